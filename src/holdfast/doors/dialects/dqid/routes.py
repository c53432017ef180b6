"""DQID's three routes over the queue `dqid`: first in, first out, never dropped.

A message that was given is concluded, and the answer leaves only after that is committed. Its protocol has no word for "I have it", so:

    lease ──▶ has the caller left? ──▶ conclude ──▶ answer
      │              │ yes                │            └─ lost on its way: concluded, and kept as history for the queue's retention
      │              └─ released          └─ the process dies before the commit: the lease ends, and the message is given again
      └─ the process dies: the same

A message is never lost by the server; it can be given to nobody only after the last look at the caller.
"""

import asyncio
from typing import Any

import msgspec
from litestar import HttpMethod, Request, Response, Router, get, post, route
from litestar.datastructures import State as AppState

from holdfast.doors.dialects.dqid import messages
from holdfast.doors.rest import bodies, replies
from holdfast.doors.rest.answers import DurabilityOut
from holdfast.doors.rest.app import Dialect
from holdfast.engine.engine import Engine
from holdfast.errors import HoldfastError, LeaseLost, QueueNotFound, StoreUnavailable
from holdfast.job.job import NewJob
from holdfast.messages.commands import ConcludeLease

QUEUE = "dqid"
LEASE_MS = 60_000  # how soon a message comes back after a crash; far longer than any commit takes
_WORKER = "GET /get"  # who holds the lease, for those who look at the job meanwhile


class PushedOut(msgspec.Struct):
    """The message is kept, under this number and in this way."""

    id: int
    durability: DurabilityOut


class StatsOut(msgspec.Struct, rename="camel"):
    """How many messages count against the queue's capacity: waiting, or being given this moment."""

    queue_size: int


@post("/push", status_code=200)
async def push(request: Request[Any, Any, Any], state: AppState) -> Response[bytes]:
    """Put a message. 429 when the queue is full: nothing is put, and nothing is dropped for it."""
    engine: Engine = state.engine
    payload = replies.encode(await messages.read(request))
    key = request.headers.get("idempotency-key")
    enqueued = await engine.enqueue(
        [NewJob(QUEUE, payload)],
        bodies.idempotency(QUEUE, key.encode("latin-1") if key is not None else None, b"dqid", payload),
    )
    return _json(PushedOut(enqueued.jobs[0].id, replies.kept_as(enqueued, replies.durability_out(engine.durability))))


@get("/get")
async def take(request: Request[Any, Any, Any], state: AppState) -> Response[bytes | None]:
    """Take the oldest message; 204 when there is none."""
    engine: Engine = state.engine
    await request.body()  # what comes from the caller after it is that it left
    granted = await engine.lease((QUEUE,), worker=_WORKER, lease_ms=LEASE_MS)
    if not granted.jobs or await _has_left(request):
        engine.give_back(granted.returnable())
        return Response(None, status_code=204)
    taken = granted.jobs[0]
    try:
        await engine.end(ConcludeLease(taken.job.ref()))
    except LeaseLost:
        raise StoreUnavailable("The store took too long; the message will be given again.", retry_after_ms=1_000) from None
    except HoldfastError:
        engine.give_back(granted.returnable())  # changes nothing where the conclusion was committed after all
        raise
    body, kind = messages.given(taken.content)
    return Response(body, media_type=kind)


async def _has_left(request: Request[Any, Any, Any]) -> bool:
    """Whether the caller hung up while it waited: on a store that stands still, each of its tries would take a message with it."""
    leaving = asyncio.ensure_future(request.receive())
    await asyncio.sleep(0)
    try:
        return leaving.done()
    finally:
        leaving.cancel()


@route("/stats", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def stats(state: AppState) -> Response[bytes]:
    """How many messages the queue holds."""
    engine: Engine = state.engine
    try:
        held = (await engine.reading.queue(QUEUE)).tally.unfinished
    except QueueNotFound:
        held = 0  # made with the first message
    return _json(StatsOut(held))


def _json(answer: msgspec.Struct) -> Response[bytes]:
    return Response(replies.encode(answer), media_type="application/json")


# Refusals are those of /v1: DQID never said what its own look like.
DIALECT = Dialect(
    [Router("/", route_handlers=[push, take, stats], include_in_schema=False)],
    claiming=frozenset(("/get",)),
)
