"""A tenant is a row of tenants.Tenant; its schema holds what tenant_tables migrates."""

import os

host, port = os.environ["BENCH_ADDRESS"].split(":")
DATABASES = {
    "default": {
        "ENGINE": "django_tenants.postgresql_backend",
        "NAME": os.environ["BENCH_DATABASE"],
        "USER": "postgres",
        "HOST": host,
        "PORT": port,
    }
}
DATABASE_ROUTERS = ("django_tenants.routers.TenantSyncRouter",)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "nothing to keep"
USE_TZ = True

SHARED_APPS = ["django_tenants", "django.contrib.contenttypes", "tenants"]
TENANT_APPS = ["tenant_tables"]
INSTALLED_APPS = SHARED_APPS + TENANT_APPS
TENANT_MODEL = "tenants.Tenant"
TENANT_DOMAIN_MODEL = "tenants.Domain"
TENANT_MULTIPROCESSING_MAX_PROCESSES = int(os.environ["BENCH_PROCESSES"])
MIGRATION_MODULES = {"tenant_tables": "tenant_migrations"}
