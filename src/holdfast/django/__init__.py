"""A backend for Django's tasks: `django.tasks` of Django 6, and the package `django-tasks` on Django 5.2. `docs/guides/django.md` is the guide.

    backend.py    HoldfastBackend, which enqueues and finds results     task.py      a task, with what Holdfast adds to it
    settings.py   OPTIONS, and the system checks of them                results.py   a job as a TaskResult
    worker.py     a Worker that runs tasks                              compat.py    which of the two it is
    management/   manage.py holdfast_worker                             admin.py     pages to look at tasks, with models.py and apps.py

On top of the client and of `holdfast.tasks`: it is installed without the server.
"""

from holdfast.client.budgets import Charge
from holdfast.django.backend import HoldfastBackend
from holdfast.django.results import TaskCancelled, TaskFailed, WorkerLost
from holdfast.django.task import HoldfastTask, task
from holdfast.tasks.options import Retry, RetryAfter, Snooze

__all__ = [
    "Charge",
    "HoldfastBackend",
    "HoldfastTask",
    "Retry",
    "RetryAfter",
    "Snooze",
    "TaskCancelled",
    "TaskFailed",
    "WorkerLost",
    "task",
]
