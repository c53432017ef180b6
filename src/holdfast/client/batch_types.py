"""What the client tells of batches of jobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import msgspec

from holdfast.client.types import Durability
from holdfast.errors import HoldfastError


class BatchMade(msgspec.Struct, kw_only=True):
    """A new batch, and the ids of its jobs. `existing`: the places of those that are no new jobs and no members: another had their unique key."""

    id: int
    jobs: list[int]
    durability: Durability
    duplicate: bool = False
    existing: list[int] = []
    gone: list[int] = []

    @contextmanager
    def named_by_errors(self) -> Iterator[None]:
        """An error within tells the id of this batch, which is there."""
        try:
            yield
        except HoldfastError as error:
            error.fields["batch"] = self.id
            raise


class ClosingJob(msgspec.Struct, kw_only=True):
    """A closing job of a batch: `waits`, `put` (as `job`), `owed` (due, and not put yet because of `refusal`) or `never`."""

    state: str
    job: int | None = None
    queue: str | None = None
    refusal: str | None = None


class Batch(msgspec.Struct, kw_only=True):
    """A batch: `open`, `closed` or `finished`."""

    id: int
    name: str
    state: str
    pending: int
    concluded: int
    dead: int
    cancelled: int
    total: int
    created_at: datetime
    finished_at: datetime | None = None
    on_success: ClosingJob | None = None
    on_finish: ClosingJob | None = None
    on_failure: ClosingJob | None = None


class BatchPage(msgspec.Struct):
    """A page of batches."""

    batches: list[Batch]
    next_cursor: str | None = None


class BatchCancelled(msgspec.Struct):
    """How many of its jobs were cancelled, or asked to stop."""

    cancelled: int
