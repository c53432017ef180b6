"""Settings of the tests, in this process and in those of the workers that they start."""

import os

SECRET_KEY = "of tests"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SUITE_DATABASE", ":memory:"),
        "TEST": {"NAME": os.environ.get("SUITE_DATABASE")},
    }
}
INSTALLED_APPS = ["django.contrib.contenttypes", "holdfast.django", *os.environ.get("SUITE_APPS", "").split()]
TASKS = {"default": {"BACKEND": os.environ["SUITE_BACKEND"]}}
