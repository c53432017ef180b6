"""Routes for operations: bulk work by the server."""

from datetime import UTC, datetime
from typing import Annotated

from msgspec import UNSET, Meta

from holdfast import limits
from holdfast.doors.rest import bodies, replies
from holdfast.doors.rest.operation_answers import OperationOut, OperationsOut, SkippedOut, WaitsOut
from holdfast.doors.rest.operation_types import FilterIn, OperationIn, RateIn
from holdfast.doors.rest.parameters import KEY, Limit
from holdfast.doors.rest.state import AppState
from holdfast.engine.operations import states_of
from holdfast.errors import breach
from holdfast.http.reply import Reply
from holdfast.http.request import Request
from holdfast.http.route import Route, get, patch, post
from holdfast.job.operation import JobFilter, Operation

OperationId = Annotated[int, Meta(description="The operation's number.", ge=1, le=limits.ID_MAX)]


@post(
    "/v1/operations",
    tags=["operations"],
    status=202,
    summary="Do one thing to many jobs: retry, cancel, restore, delete, promote, move or release them",
    gives=OperationOut,
    more=[KEY],
    others={
        200: (
            OperationOut,
            "A dry run: what it would be about; or the same idempotency key and body as before: that operation as it is now.",
        )
    },
)
async def start_operation(request: Request, state: AppState, data: OperationIn) -> Reply:
    """The jobs are those that are there now and match; it goes on by itself, also after a restart. `dry_run` only counts them, with status 200."""
    wanted = _wanted(data)
    operations = state.engine.operations
    if data.filter is UNSET and data.jobs is UNSET:
        await operations.preview(
            data.do, JobFilter(jobs=(1,)), data.to, data.per_s, data.limit
        )  # what else is wrong is told first
        raise breach("filter", "or jobs must be given: {} is all jobs")
    if not data.dry_run:
        key = bodies.idempotency("", request.headers.get(b"idempotency-key"), b"operation", request.body)
        begun = await operations.start(data.do, wanted, data.to, data.per_s, data.limit, once=key)
        location = f"{state.root_path}/v1/operations/{begun.operation.id}"
        body = shown(begun.operation)
        body.duplicate = begun.duplicate or UNSET
        return Reply(200 if begun.duplicate else 202, replies.encode(body), extra=((b"location", location.encode()),))
    counts = await operations.preview(data.do, wanted, data.to, data.per_s, data.limit)
    return Reply(
        200,
        replies.encode(
            OperationOut(
                do=data.do,
                filter=_filter_out(wanted),
                jobs=wanted.jobs or UNSET,
                states=states_of(data.do, wanted),
                to=data.to or UNSET,
                per_s=data.per_s,
                limit=data.limit or UNSET,
                total=sum(counts.counts.values()),
                at_least=bool(counts.at_least),
                counts=UNSET if wanted.jobs else counts.counts,
                counted_at=UNSET if wanted.jobs else replies.instant(counts.now),
                dry_run=True,
            )
        ),
    )


@get("/v1/operations", tags=["operations"], summary="A page of operations")
async def list_operations(
    state: AppState,
    limit: Limit = limits.LIST_LIMIT_DEFAULT,
    cursor: Annotated[int | None, Meta(description="`next_cursor` of the page before.", ge=1, le=limits.ID_MAX)] = None,
) -> OperationsOut:
    """The newest first."""
    page = await state.engine.reading.operations(limit, cursor)
    return OperationsOut(list(map(shown, page.operations)), None if page.before is None else str(page.before))


@get("/v1/operations/{operation_id}", tags=["operations"], summary="One operation, and how far it is")
async def get_operation(state: AppState, operation_id: OperationId) -> OperationOut:
    """Also after it has ended, for some time."""
    return shown((await state.engine.reading.operation(operation_id)).operation)


@post("/v1/operations/{operation_id}/pause", tags=["operations"], status=200, summary="Stop an operation for a while")
async def pause_operation(state: AppState, operation_id: OperationId) -> OperationOut:
    """It stays where it is until it is resumed."""
    return shown((await state.engine.operations.pause(operation_id, True)).operation)


@post("/v1/operations/{operation_id}/resume", tags=["operations"], status=200, summary="Let an operation go on")
async def resume_operation(state: AppState, operation_id: OperationId) -> OperationOut:
    """At its pace: what it did not do meanwhile is not caught up on at once."""
    return shown((await state.engine.operations.pause(operation_id, False)).operation)


@post("/v1/operations/{operation_id}/cancel", tags=["operations"], status=200, summary="End an operation where it is")
async def cancel_operation(state: AppState, operation_id: OperationId) -> OperationOut:
    """What it has done stays done."""
    return shown((await state.engine.operations.cancel(operation_id)).operation)


@patch("/v1/operations/{operation_id}", tags=["operations"], summary="Give an operation another pace")
async def set_operation_rate(state: AppState, operation_id: OperationId, data: RateIn) -> OperationOut:
    """From now on."""
    return shown((await state.engine.operations.set_rate(operation_id, data.per_s)).operation)


def _wanted(data: OperationIn) -> JobFilter:
    given = data.filter
    if data.jobs is not UNSET:
        before = None if given is UNSET else given.before
        if given is not UNSET and (before is None or given != FilterIn(before=before)):
            raise breach("filter", "can have nothing but before where jobs are named")
        if not data.jobs:
            raise breach("jobs", "must not be empty")
        return JobFilter(before=bodies.millis(before), jobs=tuple(data.jobs))
    if given is UNSET:
        return JobFilter()
    meta = tuple(given.meta.items())
    return JobFilter(
        given.queue,
        given.state,
        given.type,
        given.tag,
        given.text,
        meta,
        bodies.millis(given.before),
        given.error,
        given.batch,
        worker=given.worker,
        since=bodies.millis(given.since),
        field=tuple(given.field.items()),
        cancelled_by=given.cancelled_by,
    )


def _filter_out(wanted: JobFilter) -> FilterIn:
    return FilterIn(
        queue=wanted.queue,
        state=wanted.state,
        type=wanted.type,
        tag=wanted.tag,
        text=wanted.text,
        meta=dict(wanted.meta),
        field=dict(wanted.field),
        cancelled_by=wanted.cancelled_by,
        before=_moment(wanted.before),
        since=_moment(wanted.since),
        worker=wanted.worker,
        error=wanted.error,
        batch=wanted.batch,
    )


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1_000, UTC)


def shown(operation: Operation) -> OperationOut:
    """An operation as the API shows it."""
    return OperationOut(
        id=operation.id,
        do=operation.do,
        filter=UNSET if operation.filter.jobs and operation.filter.before is None else _filter_out(operation.filter),
        jobs=operation.filter.jobs or UNSET,
        states=operation.states,
        to=operation.to or UNSET,
        per_s=operation.per_s,
        limit=operation.limit or UNSET,
        state=operation.state,
        total=operation.total,
        at_least=operation.at_least,
        done=operation.done,
        skipped=[SkippedOut(skipped.reason, skipped.count, skipped.jobs) for skipped in operation.skipped],
        left=operation.left,
        waits=WaitsOut(operation.waits, operation.waits_why, replies.instant(operation.next_us // 1_000))
        if operation.waits
        else UNSET,
        began_at=replies.instant(operation.began_at),
        ended_at=UNSET if operation.ended_at is None else replies.instant(operation.ended_at),
        reason=operation.reason or UNSET,
        who=operation.actor.name or UNSET,
    )


ROUTES: list[Route] = [
    start_operation,
    list_operations,
    get_operation,
    pause_operation,
    resume_operation,
    cancel_operation,
    set_operation_rate,
]
