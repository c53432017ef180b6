"""What a transaction of a store can do with batches of jobs: a part of the protocol in `store.py`."""

from collections.abc import Sequence
from typing import Protocol

from holdfast.job.closing import Closing
from holdfast.job.job_batch import ClosingJob, JobBatch


class JobBatchTransaction(Protocol):
    """The batches of one transaction."""

    async def job_batches(self, ids: Sequence[int]) -> dict[int, JobBatch]:
        """Batches of jobs by their ids, as nobody else changes them until the commit."""
        ...

    async def job_batch_count(self) -> int:
        """About how many there are that are not finished or have dead members: it may be a few seconds old."""
        ...

    async def closing_jobs(self, job_batch: int) -> dict[Closing, ClosingJob]:
        """The closing jobs of a batch that are not put yet; one that can't be read is not among them."""
        ...

    async def owing_job_batches(self, after: int, limit: int) -> list[int]:
        """Batches that owe a closing job, in order, after this one."""
        ...

    async def unsettled_job_batches(self, before: int, limit: int) -> list[int]:
        """Batches that are not finished or whose closing jobs wait, before this one, the newest first."""
        ...

    async def count_members(self, job_batch: int) -> tuple[int, int, int, int]:
        """How many of its members that are there are pending, concluded, dead and cancelled."""
        ...

    async def add_job_batches(self, made: Sequence[tuple[JobBatch, list[ClosingJob]]]) -> None:
        """Write new batches with their closing jobs."""
        ...

    async def save_job_batches(
        self, changed: Sequence[JobBatch], gone: Sequence[tuple[int, Closing]], owed: Sequence[tuple[int, Closing, str]]
    ) -> None:
        """Write what changed, drop closing jobs that are put or never come, and note why others are owed."""
        ...

    async def forget_job_batches(self, before: int, keep: int, limit: int) -> int:
        """Remove up to `limit` finished batches without dead members: those that finished before this time, or of more than `keep` the oldest;
        how many.
        """
        ...
