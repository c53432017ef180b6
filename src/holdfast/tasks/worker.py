"""A `Worker` with a handler for each task."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from holdfast.client.aio.client import AsyncClient
from holdfast.client.refusals import Unreachable
from holdfast.client.retry import LONG_DEADLINE_S
from holdfast.client.worker import HeldJob, Worker
from holdfast.client.worker.connectivity import log
from holdfast.client.worker.runner import Handler
from holdfast.client.worker.worker import LEASE_MS
from holdfast.errors import OutcomeUnknown, Unavailable
from holdfast.tasks.attempt import Attempt
from holdfast.tasks.batches import BatchTask, Gathering
from holdfast.tasks.options import Duration, milliseconds
from holdfast.tasks.task import AsyncTask, Task

if TYPE_CHECKING:
    from holdfast.tasks.tasks import Tasks

_PAUSE_S = 1.0  # before schedules are set again while no server answers


class WorkerOptions(TypedDict, total=False):
    """As `Worker` has them; `grace`: how long tasks may run on after SIGTERM."""

    concurrency: int
    prefetch: int
    order: Literal["queue", "priority"]
    grace: Duration
    name: str
    register: bool
    version: str


class TaskWorker(Worker):
    """Makes the schedules of its tasks, runs the hooks of `tasks` around its work, and hands each job to its task."""

    def __init__(self, tasks: "Tasks", queues: Sequence[str], listed: Sequence[Task[..., Any]], given: WorkerOptions) -> None:
        options: dict[str, Any] = {"register": True, **tasks.connection, **given}
        if "grace" in options:
            options["grace_s"] = milliseconds("grace", options.pop("grace")) / 1_000
        # A lease that a task asks for is that of its jobs, which a lease of the worker's would replace. Those of others are cut once they are held.
        self._own_leases = {task.name for task in listed if task.lease_ms}
        lease_ms = None if self._own_leases else LEASE_MS
        super().__init__(queues, url=tasks.url, lease_ms=lease_ms, **options)
        self._tasks = tasks
        self._names = {task.name for task in listed if task.queue in self.queues}
        self._gatherings: list[Gathering] = []
        for task in listed:
            spans = tasks.makes_spans
            if isinstance(task, BatchTask):
                self._gatherings.append(Gathering(task))
                run = _batch_handler(tasks, task, self._gatherings[-1])
                self._handlers[task.name] = Handler(run, raw=True, together=task.size, makes_spans=spans)
            else:
                self._handlers[task.name] = Handler(_handler(tasks, task), False, task.timeout_s, True, makes_spans=spans)

    def _lease_of(self, held: HeldJob) -> int | None:
        return None if held.type in self._own_leases else LEASE_MS

    def _stop_sessions(self) -> None:
        super()._stop_sessions()
        for each in self._gatherings:
            each.end()

    async def _work(self, signals: bool, url: str | Sequence[str] | None, until_empty: bool) -> None:
        async with self._tasks.running():
            setting = asyncio.create_task(self._set_schedules(url))
            setting.add_done_callback(self._schedules_set)
            try:
                await super()._work(signals, url, until_empty)
                if until_empty:
                    await setting
            finally:
                for each in self._gatherings:
                    each.close()
                setting.cancel()  # harmless if it is done
                outcome = await asyncio.gather(setting, return_exceptions=True)
            if isinstance(outcome[0], Exception):
                raise outcome[0]

    def _schedules_set(self, setting: "asyncio.Task[None]") -> None:
        if not setting.cancelled() and setting.exception() is not None:  # refused: no worker without the schedules of its tasks
            self.stop()

    async def _set_schedules(self, url: str | Sequence[str] | None) -> None:
        """While no server answers, again until one does; raises a refusal."""
        if not self._names & self._tasks.scheduled:
            return None
        async with AsyncClient(url, **self._tasks.connection, deadline_s=LONG_DEADLINE_S) as client:
            while True:
                try:
                    return await self._tasks.schedules.set(client, self._names)
                except (Unreachable, Unavailable, OutcomeUnknown) as error:
                    log.warning("the schedules could not be set, trying again: %s", error)
                await asyncio.sleep(_PAUSE_S)


def _handler(tasks: "Tasks", task: Task[..., Any]) -> Callable[[HeldJob], Any]:
    def run(held: HeldJob) -> Any:
        attempt = Attempt(task, held)
        result = None
        with tasks.attempting(held):
            result = attempt.call()
        return attempt.conclude(result)

    async def arun(held: HeldJob) -> Any:
        attempt = Attempt(task, held)
        result = None
        with tasks.attempting(held):
            result = await attempt.call()
        return attempt.conclude(result)

    return arun if isinstance(task, AsyncTask) else run


def _batch_handler(tasks: "Tasks", task: BatchTask[Any, Any, Any], gathering: Gathering) -> Callable[[HeldJob], Any]:
    async def run(held: HeldJob) -> Any:
        attempt = Attempt(task, held)
        result = None
        with tasks.attempting(held):
            result = await gathering.run(held, attempt.arguments)
        return attempt.conclude(result)

    return run
