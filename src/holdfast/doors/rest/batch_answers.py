"""The answers about batches of jobs, as types."""

import msgspec
from msgspec import UNSET, UnsetType

from holdfast.doors.rest.answers import DurabilityOut
from holdfast.doors.rest.types import Id, Instant, QueueName


class BatchMadeOut(msgspec.Struct, kw_only=True):
    """A new batch, and the ids of its jobs in the order of the request. `existing`: the places of those that are no new jobs and no members:
    another had their unique key before. `gone`: of a repeated call, the jobs that have been removed since.
    """

    id: Id
    jobs: list[Id]
    durability: DurabilityOut
    duplicate: bool | UnsetType = UNSET
    existing: list[int] | UnsetType = UNSET
    gone: list[Id] | UnsetType = UNSET


class ClosingOut(msgspec.Struct, kw_only=True):
    """A closing job. `state`: `waits`, `put` (as `job`), `owed` (due, and not put yet because of `refusal`) or `never` (it can't become due any
    more).
    """

    state: str
    job: Id | UnsetType = UNSET
    queue: QueueName | UnsetType = UNSET
    refusal: str | UnsetType = UNSET


class BatchOut(msgspec.Struct, kw_only=True):
    """A batch. `state`: `open` (it takes jobs), `closed` or `finished` (closed, and none is pending). `pending`: what is unfinished, closing jobs of
    other batches that are to join it included; `cancelled`: those that were removed before they were done, too.
    """

    id: Id
    name: str
    state: str
    pending: int
    concluded: int
    dead: int
    cancelled: int
    total: int
    created_at: Instant
    finished_at: Instant | UnsetType = UNSET
    on_success: ClosingOut | UnsetType = UNSET
    on_finish: ClosingOut | UnsetType = UNSET
    on_failure: ClosingOut | UnsetType = UNSET


class BatchesOut(msgspec.Struct):
    """A page of batches, the newest first."""

    batches: list[BatchOut]
    next_cursor: str | None


class BatchCancelledOut(msgspec.Struct):
    """How many of its jobs were cancelled, or asked to stop."""

    cancelled: int
