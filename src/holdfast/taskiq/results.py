"""Results of tasks, kept with their jobs: `HoldfastBroker(results=True)`."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Raw, UnsetType
from taskiq.abc.result_backend import AsyncResultBackend
from taskiq.depends.progress_tracker import TaskProgress
from taskiq.exceptions import ResultGetError, ResultSetError
from taskiq.result import TaskiqResult

from holdfast.client import Job
from holdfast.client.held_leases import HeldLeases
from holdfast.client.kept_results import given, kept, key_of, why
from holdfast.errors import JobNotFound

if TYPE_CHECKING:
    from holdfast.taskiq import HoldfastBroker

_KNOWN = 10_000  # tasks whose job is kept in mind


class Results(AsyncResultBackend[Any]):
    """A result is concluded with its job, in one transaction: so a task is acknowledged when its result is saved, as it usually is."""

    def __init__(self, broker: "HoldfastBroker") -> None:
        self._broker = broker
        self._running: dict[str, tuple[HeldLeases, str]] = {}  # by the task's id
        self._given: dict[str, Raw] = {}
        self._jobs: OrderedDict[str, tuple[int, int]] = OrderedDict()  # number, and how many tries came before

    # The worker's side

    def taken(self, task_id: str, held: HeldLeases, tag: str) -> None:
        """A worker holds the message of this task."""
        self._running[task_id] = (held, tag)

    def result_for(self, task_id: str) -> Raw | UnsetType:
        """What its job is concluded with."""
        self._running.pop(task_id, None)
        return self._given.pop(task_id, UNSET)

    async def set_result(self, task_id: str, result: TaskiqResult[Any]) -> None:
        """Kept with the acknowledgement that follows."""
        if task_id not in self._running:
            raise ResultSetError from RuntimeError("It was acknowledged before: results need `--ack-type when_saved`.")
        self._given[task_id] = kept(self._broker.serializer.dumpb(result.model_dump(mode="json")))

    async def set_progress(self, task_id: str, progress: TaskProgress[Any]) -> None:
        """The progress of the job."""
        if task_id in self._running:
            held, tag = self._running[task_id]
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
        return TaskiqResult[Any].model_validate(self._broker.serializer.loadb(data))

    async def get_progress(self, task_id: str) -> TaskProgress[Any] | None:
        """What was set last; None before that."""
        job = await self._job(task_id)
        data = None if job is None else given(job.progress_json)
        return None if data is None else TaskProgress[Any].model_validate(self._broker.serializer.loadb(data))

    async def _job(self, task_id: str) -> Job | None:
        """The job that has the result, or will have it: that of the last try."""
        client = self._broker.client
        number, tries = self._jobs.get(task_id, (0, 0))
        while True:
            if not number:
                key = key_of(task_id, tries)
                receipts = await client.receipts(key) if key is not None else []
                if not receipts:
                    return None
                number = receipts[0].id
            try:
                job = await client.job(number)
            except JobNotFound:
                return None
            if job.state != "concluded" or given(job.result_json) is not None:
                self._jobs[task_id] = (number, tries)
                if len(self._jobs) > _KNOWN:
                    self._jobs.popitem(last=False)
                return job
            number, tries = 0, tries + 1
