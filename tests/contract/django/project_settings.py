"""The settings of a project with everything that the backend meets: databases, sessions, the admin."""

import tempfile
from pathlib import Path

FOLDER = tempfile.TemporaryDirectory(prefix="holdfast-django-")
SECRET_KEY = "of tests"
USE_TZ = True
TIME_ZONE = "Europe/Vienna"
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "tests.contract.django.urls"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "holdfast.django",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(Path(FOLDER.name) / "db.sqlite3")}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_URL = "static/"
TASKS = {
    "default": {
        "BACKEND": "holdfast.django.HoldfastBackend",
        "QUEUES": ["default", "other"],
        "OPTIONS": {"URL": "http://127.0.0.1:9"},
    }
}
