"""The routes that are not hot: looking at jobs and managing them, and the queues."""

import base64
import binascii
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, structs

from holdfast import limits
from holdfast.doors.rest import bodies, replies
from holdfast.doors.rest.answers import (
    EnqueuedOut,
    JobOut,
    JobsOut,
    PurgedOut,
    QueueOut,
    QueuesOut,
    Reason,
    ReceiptsOut,
    ScaleOut,
    WhyOut,
)
from holdfast.doors.rest.parameters import (
    Before,
    CancelledBy,
    FieldPairs,
    JobId,
    JobType,
    Limit,
    MetaPairs,
    OfError,
    OfWorker,
    Queue,
    Since,
    WaitMs,
    WithLastError,
)
from holdfast.doors.rest.state import AppState
from holdfast.doors.rest.types import JobEdit, MoveIn, PurgeIn, ReleaseLeaseIn, RetryIn, SettleIn, TypeIn
from holdfast.engine.engine import JobVerb
from holdfast.errors import breach
from holdfast.http.route import Route, delete, get, patch, post, put
from holdfast.job.job import Content, State
from holdfast.job.queue import QueueSettings
from holdfast.messages.commands import CancelJob, DeleteJob, EditJob, PromoteJob, RetryJob, SettleJob, TakeBackLease
from holdfast.messages.queries import ListJobs

QueueCursor = Annotated[str, Meta(description="`next_cursor` of the page before.", max_length=limits.QUEUE_NAME_WRITTEN_CHARS)]
_cursors = msgspec.msgpack.Decoder(tuple[int, tuple[int | str, ...]])
_pack = msgspec.msgpack.encode


# Jobs


@get("/v1/jobs/{job_id}", tags=["jobs"], summary="One job, with payload, result and errors")
async def get_job(state: AppState, job_id: JobId, wait_ms: WaitMs = 0) -> JobOut:
    """With `wait_ms` the answer comes once the job has ended, or when the time is up."""
    return replies.detail_out(await state.engine.reading.job(job_id, wait_ms))


@get("/v1/jobs", tags=["jobs"], summary="A page of jobs")
async def list_jobs(
    state: AppState,
    queue: Queue | None = None,
    state_: Annotated[
        str | None,
        Meta(description="Only in this state.", extra_json_schema={"enum": [one.value for one in State]}),
    ] = None,
    type: Annotated[str | None, Meta(description="Only of this type.", max_length=limits.TYPE_CHARS)] = None,
    tag: Annotated[str | None, Meta(description="Only with this tag.", max_length=limits.TAG_CHARS)] = None,
    text: Annotated[
        str | None, Meta(description="Only with this text in the payload or an error.", max_length=limits.LIST_TEXT_CHARS)
    ] = None,
    meta: MetaPairs | None = None,
    field: FieldPairs | None = None,
    before: Before | None = None,
    since: Since | None = None,
    worker: OfWorker | None = None,
    error: OfError | None = None,
    batch: Annotated[int | None, Meta(description="Only members of this batch, by their ids.", ge=1, le=limits.ID_MAX)] = None,
    cancelled_by: CancelledBy | None = None,
    payload: Annotated[bool, Meta(description="Whether to give payloads.")] = True,
    last_error: WithLastError = False,
    reverse: Annotated[bool, Meta(description="Whether the last one comes first.")] = False,
    limit: Limit = limits.LIST_LIMIT_DEFAULT,
    cursor: Annotated[str | None, Meta(description="`next_cursor` of the page before.", max_length=1_000)] = None,
) -> JobsOut:
    """`meta.NAME=VALUE`, any number of times: only with these names and values in `meta`. `field.PATH=VALUE`: only with this string, number, `true`, `false` or `null` there in a payload of up to 64 KiB. Leased jobs first, then ready ones in the order in which they will run, scheduled ones by their time, ended ones newest first."""
    if state_ is not None and state_ not in set(State):
        raise breach("state", f"must be one of {', '.join(s.value for s in State)}")
    page = await state.engine.reading.jobs(
        ListJobs(
            limit,
            queue,
            State(state_) if state_ else None,
            type,
            tag,
            text,
            cursor_of(cursor),
            meta=tuple((meta or {}).items()),
            before=None if before is None else bodies.moment("before", before),
            error=error,
            batch=batch,
            worker=worker,
            since=None if since is None else bodies.moment("since", since),
            reverse=reverse,
            field=tuple((field or {}).items()),
            last_error=last_error,
            cancelled_by=cancelled_by,
        )
    )
    jobs = []
    for detail in page.jobs:
        shown = replies.content_out(detail)
        if not payload:
            shown.payload = shown.payload_base64 = UNSET
        if detail.errors:
            shown.errors = replies.errors_out(detail)
        jobs.append(shown)
    return JobsOut(jobs, cursor_text(page.cursor))


@get("/v1/receipts", tags=["jobs"], summary="The jobs that were enqueued under an idempotency key")
async def find_receipts(
    state: AppState,
    idempotency_key: Annotated[
        str, Meta(description="The key.", pattern="^[ -~]+$", min_length=1, max_length=limits.REQUEST_ID_CHARS)
    ],
    queue: Queue | None = None,
) -> ReceiptsOut:
    """As they were; none if nothing was enqueued under it, or the key is forgotten. `queue`: only by that queue's own route."""
    return replies.receipts_found(await state.engine.reading.receipts(idempotency_key, queue))


def cursor_of(text: str | None) -> tuple[int, tuple[int | str, ...]] | None:
    """Decode the cursor of a listing."""
    if text is None:
        return None
    try:
        section, key = _cursors.decode(base64.urlsafe_b64decode(text.encode()))
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise breach("cursor", "must be a next_cursor of this API") from None
    if not 0 <= section < 16 or len(key) > 4 or any(isinstance(part, int) and abs(part) >= 1 << 63 for part in key):
        raise breach("cursor", "must be a next_cursor of this API")
    return section, key


def cursor_text(cursor: tuple[int, tuple[int | str, ...]] | None) -> str | None:
    """Encode the cursor of a listing."""
    return None if cursor is None else base64.urlsafe_b64encode(_pack(cursor)).decode()


@get("/v1/jobs/{job_id}/why", tags=["jobs"], summary="Why a job is not running")
async def why(state: AppState, job_id: JobId) -> WhyOut:
    """The reasons, the most telling first."""
    facts, reasons = await state.engine.reading.why(job_id)
    return WhyOut(
        id=facts.job.id,
        queue=facts.job.queue,
        state=facts.job.state.value,
        reasons=[Reason(code, detail) for code, detail in reasons],
        ahead=facts.ahead if facts.job.state is State.READY else UNSET,
        group_holders=facts.group_holders or UNSET,
        expires_at=UNSET if facts.job.deadline is None else replies.instant(facts.job.deadline),
        budgets=replies.waits_out(facts) or UNSET,
        between=replies.between_out(facts) or UNSET,
    )


@post("/v1/jobs/{job_id}/retry", tags=["jobs"], status=200, summary="Run a dead or expired job again")
async def retry_job(state: AppState, job_id: JobId, data: RetryIn | None = None) -> JobOut:
    """It gets all of its attempts again. Its deadline stays if it is still to come, and is taken from it otherwise."""
    given = data or RetryIn()
    return await _changed(state, RetryJob(job_id, given.expires_in_ms, bodies.millis(given.expires_at)))


@post("/v1/jobs/{job_id}/cancel", tags=["jobs"], status=200, summary="Cancel a job")
async def cancel_job(state: AppState, job_id: JobId) -> JobOut:
    """A waiting job is cancelled at once; the holder of a leased one is asked to stop when it next extends its lease."""
    return await _changed(state, CancelJob(job_id))


@post("/v1/jobs/{job_id}/promote", tags=["jobs"], status=200, summary="Run a scheduled job now")
async def promote_job(state: AppState, job_id: JobId) -> JobOut:
    """It becomes ready."""
    return await _changed(state, PromoteJob(job_id))


@post("/v1/jobs/{job_id}/release-lease", tags=["jobs"], status=200, summary="Take a leased job back from its worker")
async def release_lease(state: AppState, job_id: JobId, data: ReleaseLeaseIn | None = None) -> JobOut:
    """It is ready again at once, and the attempt does not count. What its worker says of it from now on is refused with
    `lease_lost`, so the work may be done twice: by this worker, which does not know yet, and by the next one.
    """
    return await _changed(state, TakeBackLease(job_id, (data or ReleaseLeaseIn()).attempt))


@post("/v1/jobs/{job_id}/move", tags=["jobs"], status=200, summary="Move a job to another queue")
async def move_job(state: AppState, job_id: JobId, data: MoveIn) -> EnqueuedOut:
    """It is enqueued again there, with a new id and all of its attempts, and removed here, in one transaction. Not while it is
    leased.
    """
    engine = state.engine
    return replies.enqueued_out(await engine.move_job(job_id, data.queue), replies.durability_out(engine.durability))


@post("/v1/jobs/{job_id}/settle", tags=["jobs"], status=200, summary="End a job by what is known of its work")
async def settle_job(state: AppState, job_id: JobId, data: SettleIn) -> JobOut:
    """For one that waits or is dead, such as a dead job whose work turns out to be done. No attempt is made or counted."""
    if data.outcome not in ("concluded", "dead"):
        raise breach("outcome", 'must be "concluded" or "dead"')
    result = bodies.raw("result", data.result)
    return await _changed(state, SettleJob(job_id, data.outcome == "concluded", data.reason, result))


@patch("/v1/jobs/{job_id}", tags=["jobs"], summary="Change a waiting job")
async def edit_job(state: AppState, job_id: JobId, data: JobEdit | None = None) -> JobOut:
    """What is left out stays."""
    data = data or JobEdit()
    payload = bodies.raw("payload", data.payload)
    content = Content("", None, payload) if payload is not None else None
    run_at = bodies.millis(data.run_at)
    return await _changed(
        state,
        EditJob(
            job_id,
            content,
            data.type,
            data.priority,
            data.delay_ms,
            run_at,
            data.max_attempts,
            data.tags,
            None if data.meta is None else tuple(data.meta.items()),
            data.expires_in_ms,
            None if data.expires_at is UNSET else bodies.millis(data.expires_at) or 0,
        ),
    )


@delete("/v1/jobs/{job_id}", tags=["jobs"], summary="Remove a job")
async def delete_job(state: AppState, job_id: JobId) -> None:
    """Not while it is leased: cancel it first."""
    await state.engine.change_job(DeleteJob(job_id))


async def _changed(state: AppState, command: JobVerb) -> JobOut:
    return replies.content_out(await state.engine.change_job(command))


# Queues


@get("/v1/queues", tags=["queues"], summary="A page of queues")
async def list_queues(state: AppState, limit: Limit = 100, cursor: QueueCursor = "") -> QueuesOut:
    """By name."""
    page = await state.engine.reading.queues(limit, cursor)
    return QueuesOut([replies.queue_out(info) for info in page.queues], page.after)


@get("/v1/queues/{queue}", tags=["queues"], summary="One queue")
async def get_queue(state: AppState, queue: Queue) -> QueueOut:
    """Its contents and its settings."""
    return replies.queue_out(await state.engine.reading.queue(queue))


@get("/v1/queues/{queue}/scale", tags=["queues"], summary="How many workers a queue needs, for autoscalers")
async def scale_queue(
    state: AppState,
    queue: Queue,
    drain_ms: Annotated[
        int, Meta(description="The time in which what waits now is to be done.", ge=1, le=limits.DRAIN_MS_MAX)
    ] = limits.DRAIN_MS_DEFAULT,
    concurrency: Annotated[int, Meta(description="How many jobs one worker runs at once.", ge=1, le=limits.SLOTS_MAX)] = 1,
) -> ScaleOut:
    """By what waits, what runs, and how long the last jobs took; right also without a worker."""
    need = await state.engine.reading.load(queue, drain_ms, concurrency)
    return ScaleOut(**structs.asdict(structs.replace(need, concluded_per_s=round(need.concluded_per_s, 3))))


@put("/v1/queues/{queue}", tags=["queues"], summary="Create a queue or set all of its settings")
async def put_queue(state: AppState, queue: Queue, data: QueueSettings | None = None) -> QueueOut:
    """Settings that are left out get the server's defaults."""
    return replies.queue_out(await state.engine.set_queue(queue, data or QueueSettings(), whole=True))


@patch("/v1/queues/{queue}", tags=["queues"], summary="Change some settings of a queue")
async def patch_queue(state: AppState, queue: Queue, data: QueueSettings | None = None) -> QueueOut:
    """What is left out stays."""
    return replies.queue_out(await state.engine.set_queue(queue, data or QueueSettings(), whole=False, only_change=True))


@delete("/v1/queues/{queue}", tags=["queues"], summary="Remove an empty queue")
async def delete_queue(state: AppState, queue: Queue) -> None:
    """Only without unfinished and dead jobs; its history goes with it."""
    await state.engine.delete_queue(queue)


@post("/v1/queues/{queue}/pause", tags=["queues"], status=200, summary="Stop leasing from a queue")
async def pause_queue(state: AppState, queue: Queue) -> QueueOut:
    """It still accepts new jobs, and leases can be ended."""
    return replies.queue_out(await state.engine.pause(queue, True))


@post("/v1/queues/{queue}/resume", tags=["queues"], status=200, summary="Lease from a queue again")
async def resume_queue(state: AppState, queue: Queue) -> QueueOut:
    """Parked calls are woken."""
    return replies.queue_out(await state.engine.pause(queue, False))


@put("/v1/queues/{queue}/types/{type}", tags=["queues"], summary="Stop or resume leasing jobs of one type")
async def pause_type(state: AppState, queue: Queue, type: JobType, data: TypeIn) -> QueueOut:
    """They are still accepted, and leases can be ended. `paused_types` of the queue names those that are paused."""
    return replies.queue_out(await state.engine.pause_type(queue, type, data.paused))


@delete("/v1/queues/{queue}/types/{type}", tags=["queues"], summary="Resume leasing jobs of one type")
async def resume_type(state: AppState, queue: Queue, type: JobType) -> None:
    """The same as `paused` false."""
    await state.engine.pause_type(queue, type, False)


@post("/v1/queues/{queue}/purge", tags=["queues"], status=200, summary="Remove jobs of a queue")
async def purge_queue(state: AppState, queue: Queue, data: PurgeIn | None = None) -> PurgedOut:
    """Those that were there when the purge began, in the states that are named; leased jobs never."""
    return PurgedOut(await state.engine.purge(queue, (data or PurgeIn()).states))


ROUTES: list[Route] = [
    get_job,
    list_jobs,
    find_receipts,
    why,
    retry_job,
    cancel_job,
    promote_job,
    release_lease,
    move_job,
    settle_job,
    edit_job,
    delete_job,
    list_queues,
    get_queue,
    scale_queue,
    put_queue,
    patch_queue,
    delete_queue,
    pause_queue,
    resume_queue,
    pause_type,
    resume_type,
    purge_queue,
]
