"""DQID's three routes over the queue `dqid`: first in, first out, never dropped.

A returned message is concluded, and the answer is sent only after that commit. The protocol has no acknowledgement, so:

    lease ──▶ has the caller left? ──▶ conclude ──▶ answer
      │              │ yes                │            └─ lost on its way: concluded, and kept as history for the queue's retention
      │              └─ released          └─ the process dies before the commit: the lease ends, and the message is given again
      └─ the process dies: the same

The server never loses a message before that; it is lost if the caller disconnects after the last check.
"""

import msgspec

from holdfast.doors.dialects.dqid import messages
from holdfast.doors.rest import bodies, replies
from holdfast.doors.rest.answers import DurabilityOut
from holdfast.doors.rest.app import Dialect
from holdfast.doors.rest.state import AppState
from holdfast.errors import HoldfastError, LeaseLost, QueueNotFound, StoreUnavailable
from holdfast.http.reply import NOTHING, Reply
from holdfast.http.request import Request
from holdfast.http.route import get, post, route
from holdfast.job.job import NewJob
from holdfast.messages.commands import ConcludeLease

QUEUE = "dqid"
LEASE_MS = 60_000  # how soon a message is ready again after a crash; far longer than any commit takes
_WORKER = "GET /get"  # the lease's worker, as other doors show it meanwhile


class PushedOut(msgspec.Struct):
    """The message is stored, under this id and in this way."""

    id: int
    durability: DurabilityOut


class StatsOut(msgspec.Struct, rename="camel"):
    """How many messages count against the queue's capacity: waiting, or just being returned."""

    queue_size: int


@post("/push", status=200)
async def push(request: Request, state: AppState) -> Reply:
    """Enqueue a message. 429 if the queue is full: nothing is enqueued, and nothing is dropped for it."""
    payload = replies.encode(await messages.read(request))
    key = request.headers.get(b"idempotency-key")
    enqueued = await state.engine.enqueue(
        [NewJob(QUEUE, payload)],
        bodies.idempotency(QUEUE, key, b"dqid", payload),
    )
    return _json(PushedOut(enqueued.jobs[0].id, replies.kept_as(enqueued, state.durability)))


@get("/get", is_read=False)
async def take(request: Request, state: AppState) -> Reply:
    """Take the oldest message; 204 if there is none."""
    engine = state.engine
    granted = await engine.lease((QUEUE,), worker=_WORKER, lease_ms=LEASE_MS)
    if not granted.jobs or request.left:  # while the store does not answer, each of its retries would take a message
        engine.give_back(granted.returnable())
        return NOTHING
    taken = granted.jobs[0]
    try:
        await engine.end(ConcludeLease(taken.job.ref()))
    except LeaseLost:
        raise StoreUnavailable("The store took too long; the message will be given again.", retry_after_ms=1_000) from None
    except HoldfastError:
        engine.give_back(granted.returnable())  # changes nothing where the conclusion was committed after all
        raise
    body, kind = messages.given(taken.content)
    return Reply(200, body, kind)


async def stats(state: AppState) -> Reply:
    """How many messages the queue has."""
    try:
        held = (await state.engine.reading.queue(QUEUE)).tally.unfinished
    except QueueNotFound:
        held = 0  # made with the first message
    return _json(StatsOut(held))


def _json(answer: msgspec.Struct) -> Reply:
    return Reply(200, replies.encode(answer))


# Errors are those of /v1: DQID does not define any.
DIALECT = Dialect(
    [push, take, *(route(method, "/stats")(stats) for method in ("GET", "HEAD"))],
    claiming=frozenset(("/get",)),
)
