"""The verbs about batches of jobs: make, close, cancel."""

from collections.abc import Sequence

from msgspec.structs import replace

from holdfast import limits
from holdfast.engine import checks
from holdfast.engine.reader import Reader
from holdfast.engine.submitter import Submitter, new_run
from holdfast.errors import HoldfastError, OutcomeUnknown, breach
from holdfast.job.job import IdempotencyKey, NewJob, OnConflict
from holdfast.job.job_batch import ClosingJob
from holdfast.messages.job_batches import CancelJobBatch, CloseJobBatch, JobBatchInfo, JobBatchMade, ListMembers, MakeJobBatch
from holdfast.units import counted

_CANCELLED_AT_ONCE = 500


class JobBatches:
    """Verbs on batches. `payload_bytes` bounds the payload of a job."""

    def __init__(self, submitter: Submitter, reading: Reader, payload_bytes: int) -> None:
        self._submitter = submitter
        self._reading = reading
        self._payload_bytes = payload_bytes

    async def make(
        self,
        jobs: list[NewJob],
        name: str = "",
        closed: bool = False,
        closing: Sequence[ClosingJob] = (),
        key: IdempotencyKey | None = None,
    ) -> JobBatchMade:
        """Make a batch with its first jobs, all of it or nothing; `closed`: it takes no others."""
        checks.text("name", name, limits.JOB_BATCH_NAME_CHARS)
        for place, job in enumerate(jobs):
            if job.extras.batch is not None:
                raise breach(f"jobs[{place}].batch", "has no place here: all of these jobs are for the new batch")
        if jobs:
            checks.new_jobs(jobs, self._payload_bytes, "jobs")
        for one in closing:
            checks.new_job(one.job, self._payload_bytes, f"{one.on.value}.")
            if one.job.on_conflict is not OnConflict.REFUSE:
                raise breach(f"{one.on.value}.on_conflict", "has no place in a closing job")
        weight = sum([len(job.payload) for job in (*jobs, *(one.job for one in closing))])
        return await self._submitter.ask(MakeJobBatch(jobs, name, closed, list(closing), key), weight)

    async def close(self, number: int) -> JobBatchInfo:
        """Let a batch take no more jobs; those that it has are done as before."""
        _check_id(number)
        return await self._submitter.ask(CloseJobBatch(number))

    async def cancel(self, number: int) -> int:
        """Close a batch, cancel what waits of it and ask what runs to stop; how many these were. Runs in many small commits."""
        command = CancelJobBatch(number, bulk=new_run())
        async with self._submitter.audited(command):
            _check_id(number)
        await self._submitter.manage(command)  # closed first: what it has now is all there is to cancel
        count, after = 0, 0
        while True:
            page = await self._reading.members(ListMembers(number, _CANCELLED_AT_ONCE, after))
            if page.jobs:
                try:
                    count += (await self._submitter.manage(replace(command, jobs=page.jobs))).count
                except HoldfastError as error:
                    if not count:
                        raise
                    raise OutcomeUnknown(
                        f"{counted(count, 'job')} cancelled, then: {error.detail} Repeat it.", retry_after_ms=1_000
                    ) from error
            if page.after is None:
                return count
            after = page.after


def _check_id(number: int) -> None:
    checks.number("batch", number, 1, limits.ID_MAX)
