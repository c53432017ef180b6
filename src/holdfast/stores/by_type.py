"""What a store does for leases by type: a part of `stores.store.Transaction`."""

from collections.abc import Sequence
from typing import Protocol

from holdfast.job.by_type import Types
from holdfast.job.job import Content, Job
from holdfast.job.queue import Queue

OrderedJobs = list[tuple[Job, Content | None]]
"""Jobs in their order with what their workers are given: of the first `GRANT_BYTES` only, the others' is to be read one by one."""


class RowsByType(Protocol):
    """Reads by type, and the writing of `ready.type`."""

    async def ready_of(self, queue: Queue, types: Types, limit: int) -> OrderedJobs:
        """The next jobs of these types: of all in a queue that is kept by type, else of the first `TYPES_HEAD` only and of those kept so far.
        Of all but some types, which may be very many, the first few types may come first.
        """
        ...

    async def ready_types(self, queue: Queue, limit: int) -> list[str]:
        """Types of which a queue that is kept by type has ready jobs."""
        ...

    async def fill_types(self, queue: Queue, after: tuple[int, int], limit: int) -> tuple[int, int] | None:
        """Give up to `limit` ready jobs behind this place (priority, id) their types; the place of the last, None if there are no more."""
        ...

    async def types_of(self, job_ids: Sequence[int]) -> dict[int, str]:
        """The types of these jobs."""
        ...

    async def ready_for(self, worker: str, queue: Queue, limit: int, types: Types | None = None) -> OrderedJobs:
        """The next jobs of the queue that only this worker may take, of these types."""
        ...
