"""Routes for batches of jobs."""

import asyncio
from typing import Annotated

from msgspec import UNSET, Meta

from holdfast import limits
from holdfast.doors.rest import bodies, replies
from holdfast.doors.rest.batch_answers import BatchCancelledOut, BatchesOut, BatchMadeOut, BatchOut, ClosingOut
from holdfast.doors.rest.parameters import KEY, Cursor, Limit
from holdfast.doors.rest.state import AppState
from holdfast.doors.rest.types import BatchIn
from holdfast.errors import breach
from holdfast.http.query import whole
from holdfast.http.reply import Reply
from holdfast.http.request import Request
from holdfast.http.route import Route, get, post
from holdfast.job.job_batch import JOB_BATCH_STATES, JobBatch
from holdfast.limits import ONE_TURN_BODY_BYTES
from holdfast.messages.job_batches import JobBatchInfo, ShownClosing
from holdfast.trace_context import HEADER

BatchId = Annotated[int, Meta(description="The batch's number.", ge=1, le=limits.ID_MAX)]


@post(
    "/v1/batches",
    tags=["batches"],
    is_hot=True,
    summary="Make a batch of jobs",
    takes=BatchIn,
    gives=BatchMadeOut,
    more=[KEY],
    others={200: (BatchMadeOut, "Nothing new: the same idempotency key and body as before, and the first answer again")},
)
async def make_batch(request: Request, state: AppState) -> Reply:
    """All of its jobs, or none. Its closing jobs are enqueued in the transaction that makes them due, each at most once."""
    for name in request.query():
        raise breach(name, "is not a query parameter of this route")
    is_large = len(request.body) > ONE_TURN_BODY_BYTES
    given: BatchIn = await bodies.read_in_turns(request.headers.get(b"content-type"), request.body, BatchIn)
    jobs, closing = bodies.new_jobs(given.jobs, "jobs"), bodies.closing_jobs(given)
    if HEADER in request.headers:
        bodies.trace([*jobs, *(one.job for one in closing)], request.headers)
    key = bodies.idempotency("", request.headers.get(b"idempotency-key"), b"batch", request.body)
    name, closed = given.name, given.closed
    del given  # it refers to the body
    request.body = b""
    if is_large:
        await asyncio.sleep(0)
    made = await state.engine.make_batch(jobs, name, closed, closing, key)
    body = BatchMadeOut(
        id=made.id,
        jobs=[receipt.id for receipt in made.jobs],
        durability=state.durability,
        duplicate=made.duplicate or UNSET,
        existing=made.existing or UNSET,
        gone=made.gone or UNSET,
    )
    return Reply(
        200 if made.duplicate else 201,
        replies.encode(body),
        extra=((b"location", f"{state.root_path}/v1/batches/{made.id}".encode()),),
    )


@get("/v1/batches/{batch_id}", tags=["batches"], summary="One batch, with its counts and closing jobs")
async def get_batch(state: AppState, batch_id: BatchId) -> BatchOut:
    """Its jobs are in `GET /v1/jobs?batch=`."""
    return _shown(await state.engine.reading.job_batch(batch_id))


@get("/v1/batches", tags=["batches"], summary="A page of batches")
async def list_batches(
    state: AppState,
    state_: Annotated[
        str | None, Meta(description="Only in this state.", extra_json_schema={"enum": list(JOB_BATCH_STATES)})
    ] = None,
    limit: Limit = limits.LIST_LIMIT_DEFAULT,
    cursor: Cursor = "",
) -> BatchesOut:
    """The newest first."""
    page = await state.engine.reading.job_batches(limit, whole("cursor", cursor) if cursor else None, state_)
    shown = [batch_out(batch) for batch in page.batches]
    return BatchesOut(shown, None if page.before is None else str(page.before))


@post("/v1/batches/{batch_id}/close", tags=["batches"], status=200, summary="Let a batch take no more jobs")
async def close_batch(state: AppState, batch_id: BatchId) -> BatchOut:
    """Once none of its jobs is unfinished, its closing jobs are due. To close it again changes nothing."""
    return _shown(await state.engine.batches.close(batch_id))


@post("/v1/batches/{batch_id}/cancel", tags=["batches"], status=200, summary="Cancel what is left of a batch")
async def cancel_batch(state: AppState, batch_id: BatchId) -> BatchCancelledOut:
    """Close it, cancel its waiting jobs, and ask the holders of its running ones to stop."""
    return BatchCancelledOut(await state.engine.batches.cancel(batch_id))


def batch_out(batch: JobBatch) -> BatchOut:
    """A batch without its closing jobs."""
    return BatchOut(
        id=batch.id,
        name=batch.name,
        state=batch.state,
        pending=batch.pending,
        concluded=batch.concluded,
        dead=batch.dead,
        cancelled=batch.cancelled,
        total=batch.total,
        created_at=replies.instant(batch.created_at),
        finished_at=UNSET if batch.ended_at is None else replies.instant(batch.ended_at),
    )


def _shown(info: JobBatchInfo) -> BatchOut:
    shown = batch_out(info.batch)
    for one in info.closing:
        setattr(shown, one.on.value, _closing_out(one))
    return shown


def _closing_out(one: ShownClosing) -> ClosingOut:
    return ClosingOut(
        state=one.state,
        job=UNSET if one.job is None else one.job,
        queue=one.queue or UNSET,
        refusal=one.refusal or UNSET,
    )


ROUTES: list[Route] = [make_batch, get_batch, list_batches, close_batch, cancel_batch]
