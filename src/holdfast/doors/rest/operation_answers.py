"""Operations as the HTTP API answers them, as types."""

import msgspec
from msgspec import UNSET, UnsetType

from holdfast.doors.rest.operation_types import FilterIn
from holdfast.doors.rest.types import Id, Instant, QueueName
from holdfast.job.job import State
from holdfast.job.operation import Do, Doing


class SkippedOut(msgspec.Struct):
    """How many jobs were skipped for one reason, and the ids of the first."""

    reason: str
    count: int
    jobs: tuple[int, ...]


class WaitsOut(msgspec.Struct):
    """Why an operation can't go on just now, such as `waits_for_room` in the queue that it moves to, and when it tries again."""

    reason: str
    detail: str
    next_at: Instant


class OperationOut(msgspec.Struct, kw_only=True):
    """An operation and how far it is. `total`: the jobs that matched when it began (`at_least`: so many or more), `left`: about how many are to be
    done; `skipped`: those that could not be changed, by reason. A dry run has only what it would be about, with `counts` by state, and when they
    were counted.
    """

    id: Id | UnsetType = UNSET
    do: Do
    filter: FilterIn | UnsetType = UNSET
    jobs: tuple[int, ...] | UnsetType = UNSET
    states: tuple[State, ...]
    to: QueueName | UnsetType = UNSET
    per_s: float | None
    limit: int | UnsetType = UNSET
    state: Doing | UnsetType = UNSET
    total: int
    at_least: bool
    counts: dict[str, int] | UnsetType = UNSET
    counted_at: Instant | UnsetType = UNSET
    done: int | UnsetType = UNSET
    skipped: list[SkippedOut] | UnsetType = UNSET
    left: int | UnsetType = UNSET
    waits: WaitsOut | UnsetType = UNSET
    began_at: Instant | UnsetType = UNSET
    ended_at: Instant | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    who: str | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET
    duplicate: bool | UnsetType = UNSET


class OperationsOut(msgspec.Struct):
    """A page of operations, the newest first."""

    operations: list[OperationOut]
    next_cursor: str | None
