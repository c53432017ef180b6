"""A job as Django's `TaskResult`. Its id is made here and sent as the idempotency key, by which the job is found again."""

import os
import re
import time
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.module_loading import import_string

from holdfast.client.contents import UnreadableJson
from holdfast.client.types import Attempt, Job
from holdfast.django.compat import Task, TaskError, TaskResult, TaskResultStatus
from holdfast.limits import ID_MAX, PRIORITY_DEFAULT

_BY_STATE = {"leased": TaskResultStatus.RUNNING, "concluded": TaskResultStatus.SUCCESSFUL} | dict.fromkeys(
    ("dead", "cancelled"), TaskResultStatus.FAILED
)
_BY_NUMBER = re.compile(r"job-([1-9][0-9]{0,18})")
_OUR_MODULE = "holdfast.django"
_PRIORITY_MAX = 100  # of Django, which has as many below zero


class WorkerLost(Exception):
    """The worker died, or was out of reach for as long as its lease lasts, while it ran the task."""


class TaskCancelled(Exception):
    """The task was cancelled, or its deadline passed before a worker had it."""


class TaskFailed(Exception):
    """The task has failed, and what was raised is not known: another program ended it."""


def new_id() -> str:
    """A UUID of version 7: ids that are made one after the other are neighbours on the server's disk."""
    number = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10))
    return str(uuid.UUID(int=number & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62))


def job_number(result_id: str) -> int | None:
    """The number of a job that was not enqueued by Django, and so has no id of its own: `job-7`."""
    found = _BY_NUMBER.fullmatch(result_id)
    return int(found[1]) if found and int(found[1]) <= ID_MAX else None


def id_of(job: Job) -> str:
    """The id of a job's result."""
    given = _payload(job).get("id")
    return given if isinstance(given, str) and given else f"job-{job.id}"


def wire_priority(priority: int) -> int:
    """Django's priority, of which the larger is first, as Holdfast's, of which the smaller is."""
    return PRIORITY_DEFAULT - int(priority)


def status_of(state: str) -> Any:
    """The state of a job in Django's words."""
    return _BY_STATE.get(state, TaskResultStatus.READY)


def local(moment: datetime | None) -> datetime | None:
    """A moment as this program's settings want it."""
    return moment if moment is None or settings.USE_TZ else timezone.make_naive(moment)


def import_task(path: str) -> Any:
    """The task at a path. Raises `ImportError`; `SuspiciousOperation` for what is no task."""
    found = import_string(path)
    if not isinstance(found, Task):
        raise SuspiciousOperation(f"{path} is no task.")
    return found


def task_of(job: Job, alias: str, prefix: str) -> Any:
    """The task of a job, as it was enqueued, with the nearest priority that Django has: others take any. Raises as `import_task` does."""
    found = import_task(job.type)
    given = _payload(job).get("run_after")
    run_after = parse_datetime(given) if isinstance(given, str) else None
    queue = job.queue.removeprefix(prefix)
    priority = max(-_PRIORITY_MAX, min(PRIORITY_DEFAULT - job.priority, _PRIORITY_MAX))
    return found.using(backend=alias, queue_name=queue, priority=priority, run_after=run_after)


def result_of(job: Job, task: Any, alias: str, id: str | None = None) -> Any:
    """The result of a job. `worker_ids` are those of the attempts that counted, one each."""
    payload = _payload(job)
    runs = job.state in ("leased", "concluded")
    began = [each.leased_at for each in job.errors if each.leased_at is not None]
    if job.leased_at is not None:
        began.append(job.leased_at)
    holder = job.worker or (job.lease.worker if job.lease is not None else "")
    result = TaskResult(
        task=task,
        id=id or id_of(job),
        status=status_of(job.state),
        enqueued_at=local(job.created_at),
        started_at=local(began[0]) if began else None,
        finished_at=local(job.ended_at),
        last_attempted_at=local(began[-1]) if began else None,
        args=list(payload.get("args") or ()),
        kwargs=dict(payload.get("kwargs") or {}),
        backend=alias,
        errors=_errors(job),
        worker_ids=[each.worker for each in job.errors if each.leased_at is not None]
        + ([holder] if runs and job.attempt else []),
    )
    if job.state == "concluded":
        object.__setattr__(result, "_return_value", job.result)
    return result


def written(traceback: str) -> str:
    """A traceback as Django has it, with the end of its last line."""
    return traceback and traceback.rstrip("\n") + "\n"


def error_path(name: str) -> str:
    """The path of an exception's class: built-in ones are told by their name alone."""
    return name if "." in name else f"builtins.{name}"


def _errors(job: Job) -> list[Any]:
    errors = [_error(each) for each in job.errors]
    if job.state == "cancelled":
        errors.append(_ours(TaskCancelled, job.reason or "cancelled"))
    elif job.state == "dead" and not errors:
        errors.append(_ours(TaskFailed, job.reason or "dead"))
    return errors


def _error(attempt: Attempt) -> Any:
    told = attempt.error
    if told is not None and told.kind:
        return TaskError(exception_class_path=error_path(told.kind), traceback=written(told.traceback or attempt.reason))
    kind = WorkerLost if attempt.kind == "crashed" else TaskFailed
    return _ours(kind, attempt.reason or f"The worker {attempt.worker or 'of the task'} was lost.")


def _ours(kind: type[Exception], said: str) -> Any:
    return TaskError(exception_class_path=f"{_OUR_MODULE}.{kind.__name__}", traceback=said)


def _payload(job: Job) -> Mapping[str, Any]:
    try:
        payload = None if job.body is not None else job.payload
    except UnreadableJson:
        return {}
    return payload if isinstance(payload, dict) else {}
