"""The part of the store protocol that bulk work needs: the rows of operations, and many jobs by their ids."""

from collections.abc import Sequence
from typing import Protocol

from holdfast.job.job import Job
from holdfast.job.operation import JobFilter, Operation
from holdfast.job.queue import Queue


class OperationTransaction(Protocol):
    """See `stores.store.Transaction`."""

    async def operation(self, operation_id: int) -> Operation | None:
        """One operation; None, too, for one that can't be read."""
        ...

    async def operation_count(self) -> int:
        """How many operations have not ended."""
        ...

    async def save_operation(self, operation: Operation) -> None:
        """Write an operation, new or changed."""
        ...

    async def forget_operations(self, ended_before: int, keep: int) -> None:
        """Remove operations that ended before this, and the oldest that ended past so many."""
        ...

    async def matching(self, wanted: JobFilter, job_ids: Sequence[int]) -> set[int]:
        """Those of these jobs that match a filter beyond their queue and state, as a listing does."""
        ...

    async def jobs(self, job_ids: Sequence[int]) -> dict[int, Job]:
        """Those of these jobs that there are, in any state."""
        ...

    async def newest_job(self) -> int:
        """The highest job id ever used."""
        ...

    async def removable(self, queue: Queue, states: Sequence[str], up_to: int, limit: int) -> list[Job]:
        """Jobs of the queue in these states (never leased) with an id of at most `up_to`."""
        ...
