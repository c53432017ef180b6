"""The newest failures, those that are alike together."""

import msgspec
from msgspec import UNSET, UnsetType

from holdfast import limits
from holdfast.doors.rest import replies
from holdfast.doors.rest.parameters import Limit, Queue
from holdfast.doors.rest.state import AppState
from holdfast.doors.rest.types import Id, Instant, QueueName
from holdfast.engine import checks
from holdfast.engine.failure_groups import Group, groups
from holdfast.http.route import Route, get


class FailureGroupOut(msgspec.Struct, kw_only=True):
    """Jobs that failed alike: with the same class of error at the same `place`, where their workers told these, else with the same `error` but for
    what differs from job to job. `dead` jobs, those that `wait` to be tried again, those that `recovered`; `example` is the latest.
    """

    key: str
    queue: QueueName
    type: str
    kind: str
    error: str
    place: str | UnsetType = UNSET
    dead: int
    waiting: int
    recovered: int
    workers: int
    first_at: Instant
    last_at: Instant
    example: Id


class FailuresOut(msgspec.Struct):
    """The newest failures, those with the most dead jobs first. `jobs` were looked at; `whole` is false if there may be more."""

    groups: list[FailureGroupOut]
    jobs: int
    whole: bool


@get("/v1/failures", tags=["jobs"], summary="Recent failures, those that are alike together")
async def list_failures(state: AppState, queue: Queue | None = None, limit: Limit = 100) -> FailuresOut:
    """Of all queues, or of one."""
    checks.number("limit", limit, 1, limits.LIST_LIMIT)
    found = await state.engine.reading.failures(queue)
    return FailuresOut([_group_out(group) for group in groups(found.jobs)[:limit]], len(found.jobs), found.whole)


def _group_out(group: Group) -> FailureGroupOut:
    return FailureGroupOut(
        key=group.key,
        queue=group.queue,
        type=group.type,
        kind=group.kind,
        error=group.error,
        place=group.place or UNSET,
        dead=len(group.dead),
        waiting=group.waiting,
        recovered=group.recovered,
        workers=len(group.workers),
        first_at=replies.instant(group.first_at),
        last_at=replies.instant(group.last_at),
        example=group.example.id if group.example is not None else 0,
    )


ROUTES: list[Route] = [list_failures]
