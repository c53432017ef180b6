"""The hot routes: enqueue, dequeue, the lease verbs and their batches. Their handlers decode the request themselves and run
without a task: they await futures only.
"""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

from holdfast.doors.rest import bodies, replies, surrogates
from holdfast.doors.rest.answers import BulkOut, EnqueuedOut, ExtendedOut, LeaseBatchOut, LeasedOut, OutcomeOut
from holdfast.doors.rest.batch import LeaseBatch, concluding, read_apart, shown
from holdfast.doors.rest.parameters import KEY, MEMBER, QUEUE, TOKEN, WAIT_FOR_ROOM
from holdfast.doors.rest.state import AppState
from holdfast.doors.rest.types import BulkIn, ConcludeIn, ExtendIn, FailIn, JobIn, LeaseBatchIn, LeasesIn, ReleaseIn
from holdfast.engine.waiters import Patience
from holdfast.errors import LeaseLost, MalformedJson, breach
from holdfast.http.reply import Reply
from holdfast.http.request import Request
from holdfast.http.route import Route, post
from holdfast.job.job import IdempotencyKey, LeaseRef, NewJob
from holdfast.limits import ONE_TURN_BODY_BYTES
from holdfast.messages.answers import Enqueued
from holdfast.messages.commands import ExtendLease, ReleaseLease
from holdfast.messages.frame import Answer
from holdfast.trace_context import HEADER

_put = partial(post, tags=["producing"], is_hot=True)
_end = partial(post, tags=["consuming"], status=200, is_hot=True)
_of_lease = partial(_end, needs_body=False, more=[TOKEN])
_AGAIN = (
    "Nothing new: the same idempotency key and body as before, and the first answer again; or the job that has the unique key"
)


@_put(
    "/v1/queues/{queue}/jobs",
    summary="Enqueue one job",
    takes=JobIn,
    gives=EnqueuedOut,
    more=[QUEUE, WAIT_FOR_ROOM, KEY, MEMBER],
    others={200: (EnqueuedOut, _AGAIN)},
)
async def enqueue(request: Request, state: AppState) -> Reply:
    """The answer means that the job is stored, and says how. A body of any other type than JSON is the payload itself; options
    are then query parameters.
    """
    queue, query = request.values[0], request.query()
    wait_ms = bodies.take_int(query, "wait_ms", 0) if query else 0
    named = request.headers.get(b"content-type", b"")
    if named in bodies.PLAINLY_JSON or bodies.is_json(named.decode("latin-1")):
        if query:
            _nothing_left(query)
        is_large = len(request.body) > ONE_TURN_BODY_BYTES
        new = bodies.new_job(
            queue, await bodies.decode_in_turns(request.body, JobIn) if is_large else bodies.decode(request.body, JobIn)
        )
        if is_large:
            await asyncio.sleep(0)
        given_key = request.headers.get(b"idempotency-key")
        key = bodies.idempotency(queue, given_key, b"json", request.body) if given_key is not None else None
    else:
        content_type = named.decode("latin-1")
        new = bodies.raw_job(queue, request.body, content_type, query)
        options = repr(sorted(query.items())).encode()
        key = bodies.idempotency(
            queue, request.headers.get(b"idempotency-key"), b"raw", content_type.encode(), options, request.body
        )
    enqueued = await _enqueued(request, state, [new], key, wait_ms)
    body = replies.encode(replies.enqueued_out(enqueued, state.durability))
    if enqueued.gone:
        return Reply(200, body)
    location = (b"location", state.location % enqueued.jobs[0].id)
    return Reply(200 if enqueued.duplicate or enqueued.existing else 201, body, extra=(location,))


@_put(
    "/v1/jobs",
    summary="Enqueue many jobs, all or none",
    takes=BulkIn,
    gives=BulkOut,
    more=[WAIT_FOR_ROOM, KEY, MEMBER],
    others={200: (BulkOut, _AGAIN)},
)
async def bulk(request: Request, state: AppState) -> Reply:
    """One full queue refuses the whole."""
    query = request.query()
    wait_ms = bodies.take_int(query, "wait_ms", 0)
    _nothing_left(query)
    is_large = len(request.body) > ONE_TURN_BODY_BYTES
    given = await _read_in_turns(request, BulkIn) if is_large else _read(request, BulkIn)
    if not given.jobs:
        raise breach("jobs", "must have at least 1 entry")
    key = bodies.idempotency("", request.headers.get(b"idempotency-key"), b"bulk", request.body)
    jobs = bodies.new_jobs(given.jobs, "jobs")
    del given  # it refers to the body
    if is_large:
        await asyncio.sleep(0)
    enqueued = await _enqueued(request, state, jobs, key, wait_ms, at="jobs")
    body = replies.encode(replies.bulk_out(enqueued, state.durability))
    nothing_new = enqueued.duplicate or len(enqueued.existing) == len(enqueued.jobs)
    return Reply(200 if nothing_new else 201, body)


def _enqueued(
    request: Request, state: AppState, jobs: list[NewJob], key: IdempotencyKey | None, wait_ms: int, at: str = ""
) -> Coroutine[Any, Any, Enqueued]:
    """Enqueue jobs. A call that waits for room is dropped when its caller disconnects, so that its jobs are not held for
    nobody.
    """
    request.body = b""  # the jobs have what they need of it
    if HEADER in request.headers:
        bodies.trace(jobs, request.headers)
    member = None
    if (token := request.headers.get(b"lease-token")) is not None and (
        member := LeaseRef.parse(token.decode("latin-1"))
    ) is None:
        raise LeaseLost("Lease-Token is not a lease token.")
    if not wait_ms:
        return state.engine.enqueue(jobs, key, 0, at, member=member)
    patience = Patience()
    return request.let_wait(state.engine.enqueue(jobs, key, wait_ms, at, patience, member), patience)


@_end("/v1/leases", summary="Lease jobs to work on", takes=LeasesIn, gives=LeasedOut)
async def lease(request: Request, state: AppState) -> Reply:
    """An empty list if none came in time."""
    _nothing_left(request.query())
    given = _read(request, LeasesIn)
    if given.order not in ("queue", "priority"):
        raise breach("order", 'must be "queue" or "priority"')
    patience = Patience() if given.wait_ms else None
    leasing = state.engine.lease(
        given.queues,
        given.max,
        given.worker,
        given.lease_ms,
        given.wait_ms,
        given.request_id,
        given.order == "priority",
        patience=patience,
        types=given.types,
    )
    granted = await (leasing if patience is None else request.let_wait(leasing, patience))
    if patience is not None and patience.over and granted.jobs and given.request_id is None:  # else it may be asked for again
        state.engine.give_back(granted.returnable())
        return Reply(200, replies.encode(LeasedOut([])))
    jobs = [replies.granted_out(job, granted.now) for job in granted.jobs]
    return Reply(200, replies.encode(LeasedOut(jobs)))


@_of_lease("/v1/leases/{token}/conclude", summary="The work is done", takes=ConcludeIn, gives=OutcomeOut)
async def conclude(request: Request, state: AppState) -> Reply:
    """The same token again gets the same answer."""
    is_large = len(request.body) > ONE_TURN_BODY_BYTES
    given = await _read_in_turns(request, ConcludeIn) if is_large else _read(request, ConcludeIn)
    command = concluding(_ref(request), given, "")
    if is_large:
        await asyncio.sleep(0)
    return _ended(state, await state.engine.end(command))


@_of_lease("/v1/leases/{token}/fail", summary="The attempt went wrong", takes=FailIn, gives=OutcomeOut)
async def fail(request: Request, state: AppState) -> Reply:
    """Tried again with backoff, or dead when no attempt is left."""
    try:
        given = _read(request, FailIn)
    except MalformedJson:
        given = surrogates.fail_in(request.body)
        if given is None:
            raise
    return _ended(state, await state.engine.end(bodies.failing(_ref(request), given)))


@_of_lease("/v1/leases/{token}/release", summary="Hand a job back", takes=ReleaseIn, gives=OutcomeOut)
async def release(request: Request, state: AppState) -> Reply:
    """The attempt is not spent."""
    given = _read(request, ReleaseIn)
    return _ended(
        state,
        await state.engine.end(ReleaseLease(_ref(request), given.delay_ms, given.priority, block=bodies.block(given.block))),
    )


@_of_lease("/v1/leases/{token}/extend", summary="Keep a lease for longer", takes=ExtendIn, gives=ExtendedOut)
async def extend(request: Request, state: AppState) -> Reply:
    """The answer also reports a cancel request and a draining server."""
    given = _read(request, ExtendIn)
    return _ended(
        state, await state.engine.end(ExtendLease(_ref(request), given.lease_ms, bodies.raw("progress", given.progress)))
    )


def _ended(state: AppState, result: Answer) -> Reply:
    return Reply(200, replies.encode(shown(result, state.engine.draining)))


@_end("/v1/leases/batch", summary="Many lease verbs at once", takes=LeaseBatchIn, gives=LeaseBatchOut)
async def batch(request: Request, state: AppState) -> Reply:
    """One outcome for each; one lost lease does not fail its neighbours."""
    _nothing_left(request.query())
    try:
        is_large = len(request.body) > ONE_TURN_BODY_BYTES
        asked = LeaseBatch(await _read_in_turns(request, LeaseBatchIn) if is_large else _read(request, LeaseBatchIn))
    except MalformedJson:
        apart = read_apart(request.body, LeaseBatchIn)
        if apart is None:
            raise
        asked = apart
    results = await state.engine.end_many(asked.verbs, asked.place)
    return Reply(200, replies.encode(asked.shown(results, state.engine.draining)))


def _ref(request: Request) -> LeaseRef:
    _nothing_left(request.query())
    ref = LeaseRef.parse(request.values[0])
    if ref is None:
        raise LeaseLost("This is not a lease token.")
    return ref


def _read(request: Request, kind: type[Any]) -> Any:
    return bodies.read(request.headers.get(b"content-type"), request.body, kind)


async def _read_in_turns(request: Request, kind: type[Any]) -> Any:
    return await bodies.read_in_turns(request.headers.get(b"content-type"), request.body, kind)


def _nothing_left(query: dict[str, str]) -> None:
    for name in query:  # the first
        raise breach(name, "is not a query parameter of this route")


ROUTES: list[Route] = [enqueue, bulk, lease, conclude, fail, release, extend, batch]
