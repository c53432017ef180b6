"""Django's tasks with `holdfast.django` as their backend, and its worker as `manage.py holdfast_worker` runs it."""

import os
from typing import Any

import django
from django.conf import settings

from bench.callers.marks import handled

AT_ONCE = 32
settings.configure(
    INSTALLED_APPS=["holdfast.django"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TASKS={"default": {"BACKEND": "holdfast.django.HoldfastBackend", "QUEUES": [], "OPTIONS": {"ENQUEUE": "now"}}},
)
django.setup()

from holdfast.django import task  # noqa: E402
from holdfast.django.compat import TASKS  # noqa: E402
from holdfast.django.worker import DjangoWorker  # noqa: E402


@task()
async def handle(n: int, fill: str) -> None:
    handled(n)


class Producer:
    """`Task.enqueue`."""

    def __init__(self, address: str, queue: str, payload_bytes: int) -> None:
        os.environ["HOLDFAST_URL"] = address
        self._handle: Any = handle.using(queue_name=queue)
        self._fill = "x" * payload_bytes

    def turn(self, n: int) -> None:
        self._handle.enqueue(n, self._fill)


def work(address: str, queue: str) -> None:
    os.environ["HOLDFAST_URL"] = address
    DjangoWorker(TASKS["default"], [queue], concurrency=AT_ONCE, prefetch=AT_ONCE).run()
