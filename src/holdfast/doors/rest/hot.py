"""The hot routes, as bare ASGI handlers in front of the framework: enqueue, dequeue, the lease verbs and their batches.

A framework's routing, injection and serialising cost two to four times what these requests need (docs/adr). Each route is written once, here;
the framework has a twin of each that only describes it, so that the OpenAPI document is whole.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from holdfast.doors.rest import bodies, replies, surrogates
from holdfast.doors.rest.answers import LeasedOut
from holdfast.doors.rest.batch import LeaseBatch, concluding, read_apart, shown
from holdfast.doors.rest.replies import Reply
from holdfast.doors.rest.types import BulkIn, ConcludeIn, ExtendIn, FailIn, JobIn, LeaseBatchIn, LeasesIn, ReleaseIn
from holdfast.engine.engine import Engine
from holdfast.engine.waiters import Patience
from holdfast.errors import LeaseLost, MalformedJson, breach
from holdfast.job.job import IdempotencyKey, LeaseRef, NewJob
from holdfast.limits import ONE_TURN_BODY_BYTES
from holdfast.messages.answers import Enqueued
from holdfast.messages.commands import ExtendLease, FailLease, ReleaseLease
from holdfast.messages.frame import Answer

T = TypeVar("T")
_KNOWN_PATHS = 1_000  # that need not be taken apart again
_PATH_CHARS = 300  # of a queue's path: a longer one is taken apart each time


class Call:
    """One request to a hot route, its body read. `name` is what the path names: a queue, or a lease by its token."""

    __slots__ = ("address", "body", "headers", "name", "path", "query_string")

    def __init__(self, path: str, name: str, headers: dict[bytes, bytes], query_string: bytes, body: bytes = b"") -> None:
        self.path, self.name, self.headers, self.query_string, self.body = path, name, headers, query_string, body
        self.address = ""

    def query(self) -> dict[str, str]:
        """The query's parameters, each at most once."""
        return bodies.query_of(self.query_string) if self.query_string else {}

    def let_wait(self, work: Coroutine[Any, Any, T], patience: Patience) -> Coroutine[Any, Any, T]:
        """Do this, and end the patience when nothing more comes from the caller: it has left, or looks as if it had. What is under way by
        then is done.
        """
        raise NotImplementedError


Handler = Callable[[Call], Coroutine[Any, Any, Reply]]
Route = tuple[str, Handler, str]
"""The template of a route, who answers it, and what a path of it names."""


class Hot:
    """The hot routes over one engine."""

    def __init__(self, engine: Engine, root_path: str) -> None:
        self._engine = engine
        self._root_path = root_path.rstrip("/").encode()
        self._durability = replies.durability_out(engine.durability)
        self._known: dict[str, Route] = {
            "/v1/jobs": ("/v1/jobs", self._bulk, ""),
            "/v1/leases": ("/v1/leases", self._lease, ""),
            "/v1/leases/batch": ("/v1/leases/batch", self._batch, ""),
        }
        self._naming: dict[tuple[str, str], tuple[str, Handler]] = {
            ("queues", "jobs"): ("/v1/queues/{queue}/jobs", self._enqueue),
            ("leases", "conclude"): ("/v1/leases/{token}/conclude", self._conclude),
            ("leases", "fail"): ("/v1/leases/{token}/fail", self._fail),
            ("leases", "release"): ("/v1/leases/{token}/release", self._release),
            ("leases", "extend"): ("/v1/leases/{token}/extend", self._extend),
        }

    def find(self, method: str, path: str) -> Route | None:
        """The route of a path, when it is a hot one."""
        if method != "POST":
            return None
        if (known := self._known.get(path)) is not None:
            return known
        parts = path.split("/")
        if len(parts) != 5 or parts[0] or parts[1] != "v1" or not parts[3]:
            return None
        found = self._naming.get((parts[2], parts[4]))
        if found is None:
            return None
        route = (found[0], found[1], parts[3])
        if parts[2] == "queues" and len(self._known) < _KNOWN_PATHS and len(path) <= _PATH_CHARS:
            self._known[path] = route
        return route

    async def _enqueue(self, call: Call) -> Reply:
        queue, query = call.name, call.query()
        wait_ms = bodies.take_int(query, "wait_ms", 0) if query else 0
        named = call.headers.get(b"content-type", b"")
        if named in bodies.PLAINLY_JSON or bodies.is_json(named.decode("latin-1")):
            if query:
                _nothing_left(query)
            is_large = len(call.body) > ONE_TURN_BODY_BYTES
            new = bodies.new_job(
                queue, await bodies.decode_in_turns(call.body, JobIn) if is_large else bodies.decode(call.body, JobIn)
            )
            if is_large:
                await asyncio.sleep(0)
            given_key = call.headers.get(b"idempotency-key")
            key = bodies.idempotency(queue, given_key, b"json", call.body) if given_key is not None else None
        else:
            content_type = named.decode("latin-1")
            new = bodies.raw_job(queue, call.body, content_type, query)
            options = repr(sorted(query.items())).encode()
            key = bodies.idempotency(
                queue, call.headers.get(b"idempotency-key"), b"raw", content_type.encode(), options, call.body
            )
        enqueued = await self._put(call, [new], key, wait_ms)
        body = replies.encode(replies.enqueued_out(enqueued, self._durability))
        if enqueued.gone:
            return Reply(200, body)
        location = (b"location", b"%s/v1/jobs/%d" % (self._root_path, enqueued.jobs[0].id))
        return Reply(200 if enqueued.duplicate else 201, body, extra=(location,))

    async def _bulk(self, call: Call) -> Reply:
        query = call.query()
        wait_ms = bodies.take_int(query, "wait_ms", 0)
        _nothing_left(query)
        is_large = len(call.body) > ONE_TURN_BODY_BYTES
        given = await _read_in_turns(call, BulkIn) if is_large else _read(call, BulkIn)
        if not given.jobs:
            raise breach("jobs", "must have at least 1 entry")
        key = bodies.idempotency("", call.headers.get(b"idempotency-key"), b"bulk", call.body)
        jobs = bodies.new_jobs(given.jobs, "jobs")
        del given  # it holds on to the body
        if is_large:
            await asyncio.sleep(0)
        enqueued = await self._put(call, jobs, key, wait_ms, at="jobs")
        body = replies.encode(replies.bulk_out(enqueued, self._durability))
        return Reply(200 if enqueued.duplicate else 201, body)

    def _put(
        self, call: Call, jobs: list[NewJob], key: IdempotencyKey | None, wait_ms: int, at: str = ""
    ) -> Coroutine[Any, Any, Enqueued]:
        """Put jobs. One that waits for room is forgotten when its caller has left: whatever it waits with would be held for nobody."""
        call.body = b""  # the jobs have what they need of it
        if not wait_ms:
            return self._engine.enqueue(jobs, key, 0, at)
        patience = Patience()
        return call.let_wait(self._engine.enqueue(jobs, key, wait_ms, at, patience), patience)

    async def _lease(self, call: Call) -> Reply:
        _nothing_left(call.query())
        given = _read(call, LeasesIn)
        if given.order not in ("queue", "priority"):
            raise breach("order", 'must be "queue" or "priority"')
        patience = Patience() if given.wait_ms else None
        lease = self._engine.lease(
            given.queues,
            given.max,
            given.worker,
            given.lease_ms,
            given.wait_ms,
            given.request_id,
            given.order == "priority",
            patience=patience,
        )
        granted = await (lease if patience is None else call.let_wait(lease, patience))
        if patience is not None and patience.over and granted.jobs:
            self._engine.give_back(granted.returnable())
            return Reply(200, replies.encode(LeasedOut([])))
        jobs = [replies.granted_out(job, granted.now) for job in granted.jobs]
        return Reply(200, replies.encode(LeasedOut(jobs)))

    async def _conclude(self, call: Call) -> Reply:
        is_large = len(call.body) > ONE_TURN_BODY_BYTES
        given = await _read_in_turns(call, ConcludeIn) if is_large else _read(call, ConcludeIn)
        command = concluding(_ref(call), given, "")
        if is_large:
            await asyncio.sleep(0)
        return self._ended(await self._engine.end(command))

    async def _fail(self, call: Call) -> Reply:
        try:
            given = _read(call, FailIn)
        except MalformedJson as error:
            given = surrogates.fail_in(call.body, error)
        return self._ended(
            await self._engine.end(
                FailLease(_ref(call), bodies.reason(given.reason), given.retry, given.delay_ms, given.crashed)
            )
        )

    async def _release(self, call: Call) -> Reply:
        given = _read(call, ReleaseIn)
        return self._ended(await self._engine.end(ReleaseLease(_ref(call), given.delay_ms, given.priority)))

    async def _extend(self, call: Call) -> Reply:
        given = _read(call, ExtendIn)
        return self._ended(
            await self._engine.end(ExtendLease(_ref(call), given.lease_ms, bodies.raw("progress", given.progress)))
        )

    def _ended(self, result: Answer) -> Reply:
        return Reply(200, replies.encode(shown(result, self._engine.draining)))

    async def _batch(self, call: Call) -> Reply:
        _nothing_left(call.query())
        try:
            is_large = len(call.body) > ONE_TURN_BODY_BYTES
            batch = LeaseBatch(await _read_in_turns(call, LeaseBatchIn) if is_large else _read(call, LeaseBatchIn))
        except MalformedJson as error:
            batch = read_apart(call.body, LeaseBatchIn, error)
        results = await self._engine.end_many(batch.verbs, batch.place)
        return Reply(200, replies.encode(batch.shown(results, self._engine.draining)))


def _ref(call: Call) -> LeaseRef:
    _nothing_left(call.query())
    ref = LeaseRef.parse(call.name)
    if ref is None:
        raise LeaseLost("This is not a lease token.")
    return ref


def _read(call: Call, kind: type[Any]) -> Any:
    return bodies.read(call.headers.get(b"content-type"), call.body, kind)


async def _read_in_turns(call: Call, kind: type[Any]) -> Any:
    return await bodies.read_in_turns(call.headers.get(b"content-type"), call.body, kind)


def _nothing_left(query: dict[str, str]) -> None:
    for name in query:  # the first
        raise breach(name, "is not a query parameter of this route")
