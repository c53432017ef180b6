"""The state of the system, in the parts that a caller asks for; by default in all that need no name.

Lists of tasks are bounded. `truncated` says what was left out, and `/v1/jobs` has pages.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from holdfast import limits
from holdfast.doors.dialects.couchqueue import tasks
from holdfast.doors.dialects.couchqueue.parameters import Parameters
from holdfast.engine import checks
from holdfast.engine.engine import Engine
from holdfast.errors import JobNotFound, WorkerNotFound
from holdfast.job.job import State
from holdfast.messages.queries import ListJobs
from holdfast.messages.views import QueueInfo, WorkerInfo

LISTED = 200  # tasks in one list: each failed one is read with its reason


async def status(engine: Engine, given: Parameters) -> dict[str, Any]:
    """The requested parts, each under its parameter's name."""
    asked = [name for name in _PARTS if (given.names(name) if name in _NAMED else given.asks_for(name))]
    asked = asked or [name for name in _PARTS if name not in _NAMED]
    shown: dict[str, Any] = {name: await _PARTS[name](engine, given) for name in asked}
    truncated = [name for name in _LISTS if len(shown.get(name, ())) > LISTED]
    for name in truncated:
        shown[name].pop()
    return {"status": shown | ({"truncated": truncated} if truncated else {})}


async def _queue(engine: Engine, given: Parameters) -> int:
    """How many tasks of one queue wait."""
    return _length(await engine.reading.queue(given.need("queue")))


async def _queues(engine: Engine, _: Parameters) -> dict[str, int]:
    """All queues, and how many tasks wait in each."""
    lengths: dict[str, int] = {}
    after: str | None = ""
    while after is not None:
        page = await engine.reading.queues(limits.LIST_LIMIT, after)
        lengths |= {info.name: _length(info) for info in page.queues}
        after = page.after
    return lengths


def _length(info: QueueInfo) -> int:
    return info.tally.scheduled + info.tally.ready


async def _worker_queue(engine: Engine, given: Parameters) -> dict[str, int]:
    """By worker, or for the named one, how many tasks wait for it alone."""
    waiting = {info.worker.id: info.waiting for info in (await engine.reading.workers()).workers}
    named = given.get("workerQueue")
    if named is None or not named.startswith("w-"):
        return waiting
    if named not in waiting:
        raise WorkerNotFound
    return {named: waiting[named]}


async def _interests(engine: Engine, _: Parameters) -> dict[str, Any]:
    """What each queue wants."""
    return (await engine.reading.interests()).interests


async def _workers(engine: Engine, _: Parameters) -> dict[str, Any]:
    """All workers: what they take from, and what they are doing."""
    return {info.worker.id: _worker(info) for info in (await engine.reading.workers()).workers}


def _worker(info: WorkerInfo) -> dict[str, Any]:
    return {
        "queues": info.worker.queues,
        "status": "working" if info.jobs else "idle",
        "tasks": [job.id for job in info.jobs],
        "createdAt": info.worker.registered_at,
        "lastSeenAt": info.beat_at,
    }


async def _failed(engine: Engine, _: Parameters) -> list[tasks.TaskOut]:
    """Tasks that failed for good, the newest first, with their reasons."""
    page = await engine.reading.jobs(ListJobs(LISTED + 1, state=State.DEAD))
    shown = []
    for listed in page.jobs:
        try:
            detail = await engine.reading.job(listed.job.id)
        except JobNotFound:
            continue  # removed meanwhile
        shown.append(tasks.task_out(detail.job, detail.content, detail.errors))
    return shown


async def _in_progress(engine: Engine, _: Parameters) -> list[tasks.TaskOut]:
    """Tasks being worked on, the longest leased first."""
    page = await engine.reading.jobs(ListJobs(LISTED + 1, state=State.LEASED))
    return [tasks.task_out(detail.job, detail.content) for detail in page.jobs]


async def _task(engine: Engine, given: Parameters) -> tasks.TaskOut:
    """One task."""
    text = given.need("task")
    number = checks.whole(text) or 0
    try:
        detail = await engine.reading.job(number if number <= limits.ID_MAX else 0)  # 0 is no one's
    except JobNotFound:
        raise JobNotFound(f"no task with the taskId {text[:100]}") from None
    return tasks.task_out(detail.job, detail.content, detail.errors)


_PARTS: dict[str, Callable[[Engine, Parameters], Awaitable[Any]]] = {
    "queue": _queue,
    "queues": _queues,
    "workerQueue": _worker_queue,
    "interests": _interests,
    "workers": _workers,
    "failedQueue": _failed,
    "task": _task,
    "tasksInProgress": _in_progress,
}
_NAMED = ("queue", "task")
_LISTS = ("failedQueue", "tasksInProgress")
