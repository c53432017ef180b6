"""The app: its commands, and its pages in the admin."""

from collections.abc import Iterator
from typing import Any

from django.apps import AppConfig, apps
from django.core import checks

from holdfast.django.backend import HoldfastBackend
from holdfast.django.compat import TASKS


class HoldfastConfig(AppConfig):
    """`"holdfast.django"` in `INSTALLED_APPS`."""

    name = "holdfast.django"
    label = "holdfast"
    verbose_name = "Holdfast"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """With the package `django-tasks`, backends are checked by its app; where that is not installed, ours are by this one."""
        if type(TASKS).__module__ == "django_tasks" and not apps.is_installed("django_tasks"):
            checks.register(_check)


def _check(**_: Any) -> Iterator[checks.CheckMessage]:
    for alias in TASKS.settings:
        if isinstance(backend := TASKS[alias], HoldfastBackend):
            yield from backend.check()
