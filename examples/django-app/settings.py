"""As small as the settings of a site with users and tasks can be. The server is that of HOLDFAST_URL."""

import os
from pathlib import Path

SECRET_KEY = "of the example"  # noqa: S105
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "holdfast.django"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(os.environ.get("OUT", ".")) / "db.sqlite3"}}
TASKS = {"default": {"BACKEND": "holdfast.django.HoldfastBackend", "QUEUES": ["example-django"]}}
