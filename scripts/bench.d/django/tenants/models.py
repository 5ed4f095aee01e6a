"""The shared tables."""

from django_tenants.models import DomainMixin, TenantMixin


class Tenant(TenantMixin):
    auto_create_schema = False


class Domain(DomainMixin):
    pass
