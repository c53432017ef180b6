"""The routes of CQueue and the in-memory job queue over the queue `jobs`: first in, first out, at least once.

    enqueue ──▶ QUEUED ── dequeue ──▶ IN_PROGRESS ── conclude ──▶ CONCLUDED
                  ▲                       │
                  └── its lease has ended ┘

A job is concluded by its number here, not by a lease: the door looks up who holds it and ends that lease and no other, so a job that changed
hands in between is left alone. A consumer that gave its name with dequeue is the only one who may conclude.
"""

from typing import Any

import msgspec
from litestar import HttpMethod, Request, Response, Router, post, route
from litestar.datastructures import State as AppState
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from msgspec import UNSET, Raw, UnsetType

from holdfast import limits
from holdfast.doors.dialects.cqueue import replies
from holdfast.doors.rest import bodies
from holdfast.doors.rest.app import Dialect
from holdfast.engine import checks
from holdfast.engine.access import caller_here
from holdfast.engine.engine import Engine
from holdfast.errors import Forbidden, HoldfastError, InvalidRequest, JobNotFound, PayloadTooLarge, QueueNotFound, WrongState
from holdfast.job.job import NO_EXTRAS, Extras, NewJob, State
from holdfast.job.queue import Tally
from holdfast.messages.commands import ConcludeLease
from holdfast.messages.views import Durability, JobDetail

QUEUE = "jobs"
_CONSUMER = "QUEUE_CONSUMER"
_READING = [HttpMethod.GET, HttpMethod.HEAD]


class JobIn(msgspec.Struct, rename="pascal"):
    """A job to enqueue. Other members have no effect, as in the queues that this door speaks for: `ID` and `Status` are the server's."""

    type: str
    payload: Raw | UnsetType = UNSET


@route("/enqueue", http_method=[HttpMethod.PUT, HttpMethod.POST], status_code=200)
async def enqueue(request: Request[Any, Any, Any], state: AppState) -> Response[bytes]:
    """Put a job. The body is JSON, whatever its type says: curl calls every body a form."""
    engine: Engine = state.engine
    body = await request.body()
    key = request.headers.get("idempotency-key")
    enqueued = await engine.enqueue(
        [_new_job(bodies.decode(body, JobIn))],
        bodies.idempotency(QUEUE, key.encode("latin-1") if key is not None else None, b"cqueue", body),
    )
    return replies.kept(enqueued.jobs[0].id, Durability("none", 0) if enqueued.gone else engine.durability)


def _new_job(given: JobIn) -> NewJob:
    payload = bodies.raw("Payload", given.payload)
    extras = Extras(tags=(replies.NULL_GIVEN,)) if payload == b"null" else NO_EXTRAS
    return NewJob(QUEUE, b"null" if payload is None else payload, given.type, extras=extras)


@post("/dequeue", status_code=200)
async def dequeue(request: Request[Any, Any, Any], state: AppState) -> Response[Any]:
    """Take the oldest job; 204 when there is none."""
    engine: Engine = state.engine
    granted = await engine.lease((QUEUE,), worker=_consumer(engine, request))
    if not granted.jobs:
        return Response(None, status_code=204)
    taken = granted.jobs[0]
    return replies.answer(replies.job_out(taken.job, taken.content, taken.job.state))


@post(["/conclude/{job_id:str}", "/{job_id:str}/conclude"], status_code=200)
async def conclude(request: Request[Any, Any, Any], state: AppState, job_id: FromPath[str]) -> Response[bytes]:
    """The work is done."""
    engine: Engine = state.engine
    detail = await _detail(engine, job_id)
    job = detail.job
    if job.lease is None:
        raise WrongState(f"Job {job.id} is {replies.SHOWN_STATUS[job.state]}, not IN_PROGRESS.")
    if job.lease.worker and job.lease.worker != _consumer(engine, request):
        raise Forbidden(f"Job {job.id} was taken with another {_CONSUMER}.")
    await engine.end(ConcludeLease(job.ref()))
    return replies.answer(replies.job_out(job, detail.content, State.CONCLUDED))


@route("/{job_id:str}", http_method=_READING)
async def show(state: AppState, job_id: FromPath[str]) -> Response[bytes]:
    """One job."""
    detail = await _detail(state.engine, job_id)
    return replies.answer(replies.job_out(detail.job, detail.content, detail.job.state))


@route("/stats", http_method=_READING)
async def stats(state: AppState) -> Response[bytes]:
    """The queue in numbers. Concluded jobs are counted for as long as they are kept."""
    engine: Engine = state.engine
    try:
        tally = (await engine.reading.queue(QUEUE)).tally
    except QueueNotFound:
        tally = Tally()  # made with the first job
    uptime_ms = (await engine.reading.stats_of_store()).uptime_ms
    return replies.answer(replies.StatsOut(tally.scheduled + tally.ready, tally.leased, tally.concluded, uptime_ms))


async def _detail(engine: Engine, job_id: str) -> JobDetail:
    """A job of this door's queue; those of other queues are not there."""
    number = checks.whole(job_id) or 0
    if 0 < number <= limits.ID_MAX:
        detail = await engine.reading.job(number)
        if detail.job.queue == QUEUE:
            return detail
    raise JobNotFound(f"There is no job {job_id[:100]}.")


def _consumer(engine: Engine, request: Request[Any, Any, Any]) -> str:
    """Who the caller says it is, or else its access key, where keys are in force. Some proxies drop header names with an underscore, so a
    hyphen will do too.
    """
    name: str = request.headers.get("queue_consumer") or request.headers.get("queue-consumer") or ""
    checks.text(_CONSUMER, name, limits.WORKER_CHARS)
    caller = caller_here(engine.keyring)
    return name if name or caller is None else f"key {caller.key.name}"


def _refused(_: Request[Any, Any, Any], error: HoldfastError) -> Response[bytes]:
    return replies.refused(error)


def _http_refused(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What the framework itself refuses while it reads the body."""
    if error.status_code == 413:
        return replies.refused(PayloadTooLarge("The body is too large."))
    return replies.refused(InvalidRequest(error.detail or "The request is not valid."))


DIALECT = Dialect(
    [
        Router(
            "/jobs",
            route_handlers=[enqueue, dequeue, conclude, show, stats],
            exception_handlers={HoldfastError: _refused, HTTPException: _http_refused},
            include_in_schema=False,
        )
    ]
)
