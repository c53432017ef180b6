"""The routes of CQueue and the in-memory job queue over the queue `jobs`: first in, first out, at least once.

    enqueue ──▶ QUEUED ── dequeue ──▶ IN_PROGRESS ── conclude ──▶ CONCLUDED
                  ▲                       │
                  └── its lease has ended ┘

A job is concluded by its id here, not by a lease: the door looks up the current lease and ends only that one, so a job that was
leased again in between is left alone. Only a consumer that gave its name with dequeue may conclude.
"""

import msgspec
from msgspec import UNSET, Raw, UnsetType

from holdfast import limits
from holdfast.doors.dialects.cqueue import replies
from holdfast.doors.rest import bodies
from holdfast.doors.rest.app import Dialect
from holdfast.doors.rest.state import AppState
from holdfast.engine import checks
from holdfast.engine.access import caller_here
from holdfast.engine.engine import Engine
from holdfast.errors import Forbidden, JobNotFound, QueueNotFound, WrongState, breach
from holdfast.http.reply import NOTHING, Reply
from holdfast.http.request import Request
from holdfast.http.route import post, route
from holdfast.job.job import NO_EXTRAS, Extras, NewJob, State
from holdfast.job.queue import Tally
from holdfast.messages.commands import ConcludeLease
from holdfast.messages.views import Durability, JobDetail

QUEUE = "jobs"
_CONSUMER = "QUEUE_CONSUMER"


class JobIn(msgspec.Struct, rename="pascal"):
    """A job to enqueue. Other members have no effect, as in the original: `ID` and `Status` are the server's."""

    type: str
    payload: Raw | UnsetType = UNSET


async def enqueue(request: Request, state: AppState) -> Reply:
    """Enqueue a job. The body is JSON, whatever its type says: curl calls every body a form."""
    body = request.body
    key = request.headers.get(b"idempotency-key")
    enqueued = await state.engine.enqueue(
        [_new_job(bodies.decode(body, JobIn))],
        bodies.idempotency(QUEUE, key, b"cqueue", body),
    )
    return replies.kept(enqueued.jobs[0].id, Durability("none", 0) if enqueued.gone else state.engine.durability)


def _new_job(given: JobIn) -> NewJob:
    payload = bodies.raw("Payload", given.payload)
    extras = Extras(tags=(replies.NULL_GIVEN,)) if payload == b"null" else NO_EXTRAS
    return NewJob(QUEUE, b"null" if payload is None else payload, given.type, extras=extras)


@post("/jobs/dequeue", status=200)
async def dequeue(request: Request, state: AppState) -> Reply:
    """Take the oldest job; 204 if there is none."""
    granted = await state.engine.lease((QUEUE,), worker=_consumer(state.engine, request))
    if not granted.jobs:
        return NOTHING
    taken = granted.jobs[0]
    return replies.answer(replies.job_out(taken.job, taken.content, taken.job.state))


async def conclude(request: Request, state: AppState, job_id: str) -> Reply:
    """The work is done."""
    detail = await _detail(state.engine, job_id)
    job = detail.job
    if job.lease is None:
        raise WrongState(f"Job {job.id} is {replies.SHOWN_STATUS[job.state]}, not IN_PROGRESS.")
    if job.lease.worker and job.lease.worker != _consumer(state.engine, request):
        raise Forbidden(f"Job {job.id} was taken with another {_CONSUMER}.")
    await state.engine.end(ConcludeLease(job.ref()))
    return replies.answer(replies.job_out(job, detail.content, State.CONCLUDED))


async def show(state: AppState, job_id: str) -> Reply:
    """One job."""
    detail = await _detail(state.engine, job_id)
    return replies.answer(replies.job_out(detail.job, detail.content, detail.job.state))


async def stats(state: AppState) -> Reply:
    """The numbers of the queue. Concluded jobs are counted for as long as they are kept."""
    try:
        tally = (await state.engine.reading.queue(QUEUE)).tally
    except QueueNotFound:
        tally = Tally()  # made with the first job
    uptime_ms = (await state.engine.reading.stats_of_store()).uptime_ms
    return replies.answer(replies.StatsOut(tally.scheduled + tally.ready, tally.leased, tally.concluded, uptime_ms))


async def _detail(engine: Engine, job_id: str) -> JobDetail:
    """A job of this door's queue; those of other queues are not there."""
    number = checks.whole(job_id) or 0
    if 0 < number <= limits.ID_MAX:
        detail = await engine.reading.job(number)
        if detail.job.queue == QUEUE:
            return detail
    raise JobNotFound(f"There is no job {job_id[:100]}.")


def _consumer(engine: Engine, request: Request) -> str:
    """The caller's name as given, or else its access key, if keys are in force. Some proxies drop header names with an
    underscore, so a hyphen is accepted too.
    """
    name, also = request.header("queue_consumer"), request.header("queue-consumer")
    if name and also and name != also:
        raise breach(_CONSUMER, "must be the same in both spellings, where both are sent")
    name = name or also
    checks.text(_CONSUMER, name, limits.WORKER_CHARS)
    caller = caller_here(engine.keyring)
    return name if name or caller is None else f"key {caller.key.name}"


_READING = ("GET", "HEAD")
DIALECT = Dialect(
    [
        *(route(method, "/jobs/enqueue", status=200)(enqueue) for method in ("PUT", "POST")),
        dequeue,
        *(post(path, status=200)(conclude) for path in ("/jobs/conclude/{job_id}", "/jobs/{job_id}/conclude")),
        *(route(method, "/jobs/{job_id}")(show) for method in _READING),
        *(route(method, "/jobs/stats")(stats) for method in _READING),
    ],
    replies.refused,
)
