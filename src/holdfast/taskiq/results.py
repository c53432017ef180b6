"""Results of tasks, kept with their jobs: `HoldfastBroker(results=True)`."""

from collections import OrderedDict
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Raw, UnsetType
from taskiq.abc.result_backend import AsyncResultBackend
from taskiq.depends.progress_tracker import TaskProgress
from taskiq.exceptions import ResultGetError, ResultSetError
from taskiq.result import TaskiqResult

from holdfast.client import Job
from holdfast.client.held_leases import HeldLeases
from holdfast.client.kept_results import given, kept, key_of, unkept, why
from holdfast.errors import JobNotFound

if TYPE_CHECKING:
    from holdfast.taskiq import HoldfastBroker

# Of the asyncio task in which taskiq's receiver has one message: its task's id, and the result or why it can't be kept; no result once it was
# acknowledged.
_SAVED: ContextVar[tuple[str, Raw | str | UnsetType]] = ContextVar("saved", default=("", UNSET))
_KNOWN = 10_000  # tasks whose job is kept in mind


class Results(AsyncResultBackend[Any]):
    """A result is concluded with its job, in one transaction: so a task is acknowledged when its result is saved, as it usually is."""

    def __init__(self, broker: "HoldfastBroker") -> None:
        self._broker = broker
        self._running: dict[str, dict[str, HeldLeases]] = {}  # by the task's id, which a retry has, too
        self._jobs: OrderedDict[str, tuple[int, int]] = OrderedDict()  # number, and how many tries came before

    # The worker's side

    def taken(self, task_id: str, held: HeldLeases, tag: str) -> None:
        """A worker holds a message of this task."""
        self._running.setdefault(task_id, {})[tag] = held

    def acknowledged(self, task_id: str, tag: str) -> None:
        """The job is concluded, with its result if there is one."""
        tags = self._running.get(task_id, {})
        held = tags.pop(tag, None)
        if not tags:
            self._running.pop(task_id, None)
        of, data = _SAVED.get()
        _SAVED.set((task_id, UNSET))
        if held is not None and of == task_id and isinstance(data, str):
            held.reject(tag, data)
        elif held is not None:
            held.conclude(tag, data if of == task_id else UNSET)

    async def set_result(self, task_id: str, result: TaskiqResult[Any]) -> None:
        """Kept with the acknowledgement that follows."""
        if task_id not in self._running or _SAVED.get() == (task_id, UNSET):
            raise ResultSetError from RuntimeError("It was acknowledged before: results need `--ack-type when_saved`.")
        try:
            _SAVED.set((task_id, kept(self._broker.serializer.dumpb(result.model_dump(mode="json")))))
        except Exception as error:
            _SAVED.set((task_id, unkept(error)))
            raise

    async def set_progress(self, task_id: str, progress: TaskProgress[Any]) -> None:
        """The progress of the job."""
        for tag, held in list(self._running.get(task_id, {}).items())[-1:]:
            held.note(tag, kept(self._broker.serializer.dumpb(progress.model_dump(mode="json"))))

    # The caller's side

    async def is_result_ready(self, task_id: str) -> bool:
        """Whether its job has ended, however that was."""
        job = await self._job(task_id)
        return job is not None and job.has_ended

    async def get_result(self, task_id: str, with_logs: bool = False) -> TaskiqResult[Any]:  # noqa: ARG002
        """Its result; that of a dead or cancelled job is an error."""
        job = await self._job(task_id)
        if job is None or not job.has_ended:
            raise ResultGetError
        data = given(job.result_json)
        if data is None:
            error = RuntimeError(f"Job {job.id} is {job.state}: {why(job)}")
            return TaskiqResult(is_err=True, return_value=None, execution_time=0, error=error)
        return self._result(data)

    async def get_progress(self, task_id: str) -> TaskProgress[Any] | None:
        """What was set last; None before that."""
        job = await self._job(task_id)
        data = None if job is None else given(job.progress_json)
        return None if data is None else TaskProgress[Any].model_validate(self._broker.serializer.loadb(data))

    async def _job(self, task_id: str) -> Job | None:
        """The job that has the result, or will have it: that of the last try. Until that has one, what an earlier one has raised is the result."""
        number, tries = self._jobs.get(task_id, (0, 0))
        failed: Job | None = None
        while (job := await self._job_of(task_id, number, tries)) is not None:
            data = given(job.result_json)
            if not job.has_ended:
                return failed or job
            if job.state != "concluded" or (data is not None and not self._result(data).is_err):
                self._jobs[task_id] = (job.id, tries)
                if len(self._jobs) > _KNOWN:
                    self._jobs.popitem(last=False)
                return job
            failed = failed if data is None else job
            number, tries = 0, tries + 1
        return failed

    async def _job_of(self, task_id: str, number: int, tries: int) -> Job | None:
        client = self._broker.client
        key = key_of(task_id, tries)
        if not number and key is not None and (receipts := await client.receipts(key)):
            number = receipts[0].id
        try:
            return await client.job(number) if number else None
        except JobNotFound:
            return None

    def _result(self, data: bytes) -> TaskiqResult[Any]:
        return TaskiqResult[Any].model_validate(self._broker.serializer.loadb(data))
