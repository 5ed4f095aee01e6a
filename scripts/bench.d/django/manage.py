"""django-tenants' project, as small as one can be. The migrations of `tenant_tables` are made by the bench."""

import os
import sys

from django.core.management import execute_from_command_line

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
execute_from_command_line(sys.argv)
