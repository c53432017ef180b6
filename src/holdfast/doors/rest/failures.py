"""The newest failures, those that are alike together."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast import limits
from holdfast.doors.rest import replies
from holdfast.doors.rest.parameters import Limit, Queue
from holdfast.doors.rest.state import AppState
from holdfast.doors.rest.types import Id, Instant, QueueName
from holdfast.engine import checks
from holdfast.engine.failure_groups import Group, groups_in_turns, line_of
from holdfast.errors import NotFound
from holdfast.http.route import Route, get


class FailureGroupOut(msgspec.Struct, kw_only=True):
    """Jobs that failed alike: with the same `error`, but for what differs from job to job, and the same class and `place` where their workers told
    these. `dead` jobs, those that `wait` to be tried again, those that `recovered`; `example` is the latest.
    """

    key: str
    queue: QueueName
    type: str
    kind: str
    error: str
    error_class: str | UnsetType = UNSET
    place: str | UnsetType = UNSET
    dead: int
    waiting: int
    recovered: int
    workers: int
    first_at: Instant
    last_at: Instant
    example: Id


class FailedOut(msgspec.Struct):
    """A dead job of a group, with its latest error in a line."""

    id: Id
    error: str
    worker: str
    attempt: int
    at: Instant


class FailureMembersOut(FailureGroupOut, kw_only=True):
    """A group with its dead jobs, the newest first."""

    jobs: list[FailedOut]


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
    alike = await groups_in_turns(found.jobs)
    return FailuresOut([_group_out(group) for group in alike[:limit]], len(found.jobs), found.whole)


@get("/v1/failures/{group}", tags=["jobs"], summary="Recent failures that are alike, with their dead jobs")
async def get_failures(
    state: AppState, group: Annotated[str, Meta(description="The group's key.", max_length=100)], queue: Queue | None = None
) -> FailureMembersOut:
    """What is done to these jobs by their ids is done to no others. `queue`: among the newest failures of this queue."""
    found = await state.engine.reading.failures(queue)
    for one in await groups_in_turns(found.jobs):
        if one.key == group:
            jobs = [
                FailedOut(job.id, line_of(job.reason), job.worker, job.attempt, replies.instant(job.at)) for job in one.dead
            ]
            return FailureMembersOut(**_fields(one), jobs=jobs)
    raise NotFound(f"No failures with this error among the newest {limits.FAILURES_SCANNED}.")


def _fields(group: Group) -> dict[str, Any]:
    return {
        "key": group.key,
        "queue": group.queue,
        "type": group.type,
        "kind": group.kind,
        "error": group.error,
        "error_class": group.error_class or UNSET,
        "place": group.place or UNSET,
        "dead": len(group.dead),
        "waiting": group.waiting,
        "recovered": group.recovered,
        "workers": len(group.workers),
        "first_at": replies.instant(group.first_at),
        "last_at": replies.instant(group.last_at),
        "example": group.example.id if group.example is not None else 0,
    }


def _group_out(group: Group) -> FailureGroupOut:
    return FailureGroupOut(**_fields(group))


ROUTES: list[Route] = [list_failures, get_failures]
