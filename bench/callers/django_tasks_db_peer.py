"""Django's tasks with django-tasks-db as their backend, on PostgreSQL. Its worker is `manage.py db_worker`, one thread."""

from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qs, urlsplit

import django
from django.conf import settings
from django.core.management import call_command

from bench.callers.marks import handled

LOOK_S = 0.05  # between two looks at the table where none waits; its usual is 1


def task_of(address: str) -> Any:
    parts = urlsplit(address)
    host = parts.hostname or parse_qs(parts.query).get("host", [""])[0]
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": parts.path.strip("/"), "USER": parts.username or ""}
    settings.configure(
        INSTALLED_APPS=["django_tasks_db"] if find_spec("django.tasks") else ["django_tasks", "django_tasks_db"],
        DATABASES={"default": database | {"HOST": host, "PORT": parts.port or "", "PASSWORD": parts.password or ""}},
        TASKS={"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": []}},
        USE_TZ=True,
    )
    django.setup()
    if find_spec("django.tasks"):
        from django.tasks import task  # noqa: PLC0415
    else:
        from django_tasks import task  # noqa: PLC0415
    global handle  # noqa: PLW0603  (a task is found by the path of its function)
    handle = task()(_handle)
    return handle


def _handle(n: int, fill: str) -> None:
    handled(n)


_handle.__name__ = _handle.__qualname__ = "handle"
handle: Any = None


class Producer:
    """`Task.enqueue`."""

    def __init__(self, address: str, queue: str, payload_bytes: int) -> None:
        task = task_of(address)
        call_command("migrate", verbosity=0)
        self._handle, self._fill = task.using(queue_name=queue), "x" * payload_bytes

    def turn(self, n: int) -> None:
        self._handle.enqueue(n, self._fill)


def work(address: str, queue: str) -> None:
    task_of(address)
    call_command("db_worker", queue_name=queue, interval=LOOK_S, verbosity=0)
