"""One channel: a worker's messages, its leases, and what happens to them when it closes.

Messages are processed in the order of arrival, and none waits for the one before it: many share a commit, and answers may come
out of order, each with the `ref` of its message. Leases belong to the channel: when it closes, all of them are released and the
attempts do not count. A conclude in progress is decided before that, because the store processes lease verbs in the order in
which they were sent.

With `on_break: keep` only the worker's own close releases. When the connection breaks, its leases continue, as those of long
polls do: the worker may extend and end them elsewhere, and if it is dead they expire, which counts.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

import msgspec
from msgspec import UNSET

from holdfast.auth.caller import CALLER, unauthorized
from holdfast.doors.rest import bodies, replies
from holdfast.doors.rest.batch import LeaseBatch
from holdfast.doors.rest.types import BulkIn, PublishIn
from holdfast.doors.websocket import messages
from holdfast.doors.websocket.deliveries import Deliveries
from holdfast.doors.websocket.door import Channels
from holdfast.doors.websocket.inline import drive
from holdfast.doors.websocket.job_feeder import JobFeeder, Wanted
from holdfast.engine import checks
from holdfast.engine.access import NOBODY, caller_here, permit
from holdfast.errors import HoldfastError, InternalError, LeaseLost, breach
from holdfast.http.problem import problem
from holdfast.job.job import LeaseRef
from holdfast.limits import (
    CHANNEL_CREDITS,
    CHANNEL_KEPT_MS,
    CHANNEL_UNANSWERED,
    CHANNEL_UNANSWERED_BYTES,
    REQUEST_ID_CHARS,
)
from holdfast.logs import structlog
from holdfast.messages.answers import Enqueued, Extended, Granted, GrantedJob
from holdfast.messages.commands import LeaseJobs
from holdfast.messages.frame import Answer, Refused

log = structlog.get_logger(__name__)
_DONE = 1012  # "service restart"
_DEFECT = 1011
KEY_ENDED = 4401  # of the numbers that are free for applications: as HTTP's 401


class Peer(Protocol):
    """The connection under a channel."""

    unread: bool

    def send(self, message: bytes) -> None:
        """Send one text."""
        ...

    def pause_reading(self, stuck: bool) -> None:
        """Whether to read no further for now."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close in good order."""
        ...

    def probe(self) -> None:
        """Make the worker send a sign of life."""
        ...


class Channel:
    """One worker's channel."""

    __slots__ = (
        "_caller",
        "_channels",
        "_credits",
        "_deliveries",
        "_draining",
        "_engine",
        "_feeder",
        "_gone",
        "_held",
        "_lease_ms",
        "_parked",
        "_peer",
        "_unanswered",
        "_unanswered_bytes",
        "unresponsive",
    )  # fmt: skip

    def __init__(self, channels: Channels, peer: Peer) -> None:
        self._channels = channels
        self._engine = channels.engine
        self._peer = peer
        self._held: dict[int, LeaseRef] = {}  # by fence
        self._credits = 0
        self._feeder: JobFeeder | None = None
        self._deliveries: Deliveries | None = None  # of a worker that keeps its jobs
        self._lease_ms = 0  # that the worker asked for
        self._parked: set[asyncio.Task[None]] = set()
        self._unanswered = 0
        self._unanswered_bytes = 0
        self._draining = False
        self._gone = False
        self.unresponsive = False
        self._caller = caller_here(self._engine.keyring)
        if self._caller is not None:
            self._caller.opened(self, self._lose_access)
        channels.add(self)

    # Input

    def take(self, data: bytes) -> None:
        """One message."""
        try:
            if self._engine.keyring.in_force:
                CALLER.set(self._caller)  # the context is that of all connections here, and may name the caller of another
                if self._caller is None:  # it was opened before there was a key
                    self._lose_access(unauthorized(NOBODY))
                    return
                self._caller.count()
            asked, mark = messages.read(data)
            self._channels.numbers.messages[asked.__struct_config__.tag] += 1
            if asked.ref is not None and len(asked.ref) > REQUEST_ID_CHARS:
                raise breach("ref", f"must have at most {REQUEST_ID_CHARS} characters")
            if mark:
                self._run_batch(asked, len(data), mark)
            else:
                _VERBS[type(asked)](self, asked, len(data))
        except HoldfastError as error:
            self._refuse(messages.reference(data), error)
        except Exception:
            log.exception("a message raised")
            self.close(_DEFECT, "internal error")

    def _start(self, asked: messages.Start, _: int) -> None:
        if self._feeder is not None:
            raise breach("op", "is start, and the channel has started already")
        if asked.order not in ("queue", "priority"):
            raise breach("order", 'must be "queue" or "priority"')
        if asked.on_break not in ("release", "keep"):
            raise breach("on_break", 'must be "release" or "keep"')
        checks.leases(asked.queues, 1, asked.lease_ms, asked.worker, None)
        if asked.types is not None:
            checks.types("types", asked.types)
        if self._caller is not None:
            permit(LeaseJobs(asked.queues, 1, asked.worker), self._caller)
        self._set_credits(asked.credits)
        self._lease_ms = asked.lease_ms or 0
        wanted = Wanted(asked.queues, asked.worker, asked.lease_ms, asked.order == "priority", asked.types)
        self._feeder = JobFeeder(self._engine, self, wanted)
        self._deliveries = Deliveries() if asked.on_break == "keep" else None
        channels = self._channels
        self._send(
            messages.Started(
                ref=asked.ref, credits=asked.credits, message_bytes=channels.message_bytes, durability=channels.durability
            )
        )
        self._feeder.nudge()

    def _change_credits(self, asked: messages.Credits, _: int) -> None:
        if self._feeder is None:
            raise breach("op", "is credits, and the channel has not started yet")
        self._set_credits(asked.credits)
        self._send(messages.Credited(ref=asked.ref, credits=asked.credits, unfinished=len(self._held)))
        self._feeder.nudge()

    def _got(self, asked: messages.Got, _: int) -> None:
        if self._deliveries is None:
            raise breach("op", 'is got, and the channel has not started with on_break "keep"')
        was_stuck = self._deliveries.too_many
        self._deliveries.got(asked.delivery)
        if was_stuck:
            self.readable()

    def _set_credits(self, number: int) -> None:
        checks.number("credits", number, 0, CHANNEL_CREDITS)
        self._credits = number

    def _ping(self, asked: messages.Ping, _: int) -> None:
        self._send(messages.Pong(ref=asked.ref))

    def _batch(self, asked: messages.Batch, size: int) -> None:
        self._run_batch(asked, size)

    def _run_batch(self, asked: messages.Batch, size: int, mark: str = "") -> None:
        batch = LeaseBatch(asked, mark)
        self._drive(asked.ref, size, self._engine.end_many(batch.verbs, batch.place), partial(self._ended, asked.ref, batch))

    def _ended(self, ref: str | None, batch: LeaseBatch, results: list[Answer]) -> None:
        for verb, result in zip(batch.verbs, results, strict=True):
            is_lost = isinstance(result, Refused) and result.code == LeaseLost.code
            is_over = is_lost or not isinstance(result, Refused | Extended)
            if is_over and self._held.get(verb.ref.fence) == verb.ref:  # a token may be wrong, and name a fence that is right
                self._let_go(verb.ref.fence)
                if is_lost:  # it may be there, in a queue that the key does not see any more
                    self._engine.give_back([verb.ref])
        self._send(messages.Results(ref=ref, **batch.shown(results, self._engine.draining)))
        if self._feeder is not None:
            self._feeder.nudge()

    def _enqueue(self, asked: messages.Enqueue, size: int) -> None:
        body = bytes(asked.body)
        given = bodies.decode(body, BulkIn)
        if not given.jobs:
            raise breach("jobs", "must have at least 1 entry")
        key = bodies.idempotency("", _key(asked.idempotency_key), b"bulk", body)
        member = None
        if asked.lease_token is not None and (member := LeaseRef.parse(asked.lease_token)) is None:
            raise LeaseLost("lease_token is not a lease token.")
        enqueueing = self._engine.enqueue(bodies.new_jobs(given.jobs, "jobs"), key, asked.wait_ms, at="jobs", member=member)
        if asked.wait_ms:
            self._begin(size)
            waiting = self._channels.keep(self._waited(asked.ref, enqueueing))
            self._parked.add(waiting)
            waiting.add_done_callback(partial(self._unparked, size, enqueueing))
        else:
            self._drive(asked.ref, size, enqueueing, partial(self._enqueued, asked.ref))

    async def _waited(self, ref: str | None, enqueueing: Coroutine[Any, Any, Enqueued]) -> None:
        """Jobs that may wait for room: until the channel closes, so that they are not held for nobody."""
        try:
            self._enqueued(ref, await enqueueing)
        except HoldfastError as error:
            self._refuse(ref, error)
        except Exception:
            log.exception("a message raised")
            self._refuse(ref, InternalError())

    def _unparked(self, size: int, enqueueing: Coroutine[Any, Any, Enqueued], waiting: "asyncio.Task[None]") -> None:
        """It waits no more; it may have been cancelled before its first step."""
        self._parked.discard(waiting)
        enqueueing.close()
        self._answered(size)

    def _enqueued(self, ref: str | None, enqueued: Enqueued) -> None:
        jobs, durability = replies.receipts_out(enqueued), replies.kept_as(enqueued, self._channels.durability)
        duplicate = True if enqueued.duplicate else UNSET
        self._send(messages.Enqueued(ref=ref, jobs=jobs, durability=durability, duplicate=duplicate))

    def _publish(self, asked: messages.Publish, size: int) -> None:
        body = bytes(asked.body)
        given = bodies.decode(body, PublishIn)
        if given.scope not in ("any", "all"):
            raise breach("scope", 'must be "any" or "all"')
        key = bodies.idempotency("", _key(asked.idempotency_key), b"publish", body)
        event = bodies.event_job(given)
        self._begin(size)
        publishing = self._engine.publish(event, key, given.require_interest, given.scope == "all")
        self._channels.keep(self._published(asked.ref, size, publishing))

    async def _published(self, ref: str | None, size: int, publishing: Coroutine[Any, Any, Enqueued]) -> None:
        try:
            published = await publishing
        except HoldfastError as error:
            self._refuse(ref, error)
        except Exception:
            log.exception("a message raised")
            self._refuse(ref, InternalError())
        else:
            jobs, durability = replies.copies_out(published), replies.kept_as(published, self._channels.durability)
            duplicate = True if published.duplicate else UNSET
            others = published.others or UNSET
            self._send(messages.Published(ref=ref, jobs=jobs, durability=durability, duplicate=duplicate, others=others))
        self._answered(size)

    # Output

    def room(self) -> int:
        """How many more jobs may be sent just now."""
        if self._gone or self._draining or self._peer.unread or self.unresponsive:
            return 0
        if self._deliveries is not None and self._deliveries.too_many:
            return 0
        return self._credits - len(self._held)

    def give(self, granted: Granted) -> None:
        """Send these jobs."""
        for job in granted.jobs:
            ref = job.job.ref()
            self._held[ref.fence] = ref
            self._channels.holders[ref.fence] = self
        self._channels.numbers.held += len(granted.jobs)
        shown = [replies.granted_out(job, granted.now) for job in granted.jobs]
        number = self._deliveries.sent(list(map(_leased, granted.jobs))) if self._deliveries is not None else UNSET
        self._send(messages.Jobs(jobs=shown, delivery=number))

    def cancel(self, fence: int) -> None:
        """A cancel request for the job of this lease."""
        ref = self._held[fence]
        self._send(messages.Cancel(job=ref.job, attempt=ref.attempt))

    def on_lease_lost(self, fence: int) -> None:
        """This lease has expired. The worker may be suspended: it gets no more jobs, which it would lose too, until it gives a
        sign of life.
        """
        ref = self._held[fence]
        self._let_go(fence)
        self._send(messages.Lost(job=ref.job, attempt=ref.attempt))
        self.unresponsive = True
        self._peer.probe()
        self._close_if_done()

    def heard(self) -> None:
        """The worker has given a sign of life."""
        self.unresponsive = False
        if self._feeder is not None:
            self._feeder.nudge()

    def _let_go(self, fence: int) -> None:
        if self._held.pop(fence, None) is not None:
            del self._channels.holders[fence]
            self._channels.numbers.held -= 1

    def _refuse(self, ref: str | None, error: HoldfastError) -> None:
        self._send({"op": "error", "ref": ref, **problem(error.code, error.detail, error.fields)})

    def _send(self, message: msgspec.Struct | dict[str, Any]) -> None:
        if not self._gone:
            self._peer.send(replies.encode(message))

    # Work in progress

    def _drive(self, ref: str | None, size: int, answering: Coroutine[Any, Any, Any], then: Callable[[Any], None]) -> None:
        self._begin(size)
        drive(answering, partial(self._driven, ref, size, then))

    def _driven(
        self, ref: str | None, size: int, then: Callable[[Any], None], answer: Any, error: HoldfastError | None
    ) -> None:
        if error is None:
            then(answer)
        else:
            self._refuse(ref, error)
        self._answered(size)

    def _begin(self, size: int) -> None:
        self._unanswered += 1
        self._unanswered_bytes += size
        self._pause_reading_if_full()

    def _answered(self, size: int) -> None:
        self._unanswered -= 1
        self._unanswered_bytes -= size
        self._pause_reading_if_full()
        self._close_if_done()

    def _pause_reading_if_full(self) -> None:
        self._peer.pause_reading(self._unanswered >= CHANNEL_UNANSWERED or self._unanswered_bytes >= CHANNEL_UNANSWERED_BYTES)

    def readable(self) -> None:
        """The worker reads again."""
        if self._feeder is not None:
            self._feeder.nudge()

    # The end

    def drain(self) -> None:
        """Give out nothing more, say so, and close when nothing is unfinished."""
        if not self._draining and not self._gone:
            self._draining = True
            self._send(messages.Draining(grace_ms=self._channels.grace_ms()))
            self._close_if_done()

    def _close_if_done(self) -> None:
        if self._draining and not self._gone and not self._held and not self._unanswered:
            self.close(_DONE, "the server shuts down")

    def close(self, code: int, reason: str) -> None:
        """Close. A worker whose key has ended could not end elsewhere what it keeps, so that is released."""
        if not self._gone:
            self._peer.close(code, reason)
            self.on_closed(releases=code == KEY_ENDED)

    def refuse(self, refused: Refused) -> None:
        """The access key does not let take these jobs, or not any more."""
        self._send({"op": "error", "ref": None, **problem(refused.code, refused.detail, refused.fields)})
        self.close(KEY_ENDED, refused.code)

    def _lose_access(self, error: HoldfastError) -> None:
        """The key that opened it has ended."""
        self.close(KEY_ENDED, error.code)

    def on_closed(self, releases: bool = False) -> None:
        """The connection is closed, or nearly so: release its jobs, unless it keeps them. `releases`: also then, as by the worker's goodbye."""
        if self._gone:
            return
        self._gone = True
        if self._caller is not None:
            self._caller.closed(self)
        if self._feeder is not None:
            self._feeder.leave()
            self._feeder = None  # each refers to the other
        for task in list(self._parked):
            task.cancel()
        if self._deliveries is None or releases:
            self._engine.give_back(self._held.values())
        else:
            self._engine.give_back_unused([one for one in self._deliveries.on_their_way() if one[0].fence in self._held])
            if self._lease_ms > CHANNEL_KEPT_MS:
                self._engine.shorten(self._held.values(), CHANNEL_KEPT_MS)
        for fence in self._held:
            del self._channels.holders[fence]
        self._channels.numbers.held -= len(self._held)
        self._held.clear()
        self._channels.remove(self)


def _leased(granted: GrantedJob) -> tuple[LeaseRef, int]:
    lease = granted.job.lease
    assert lease is not None, "it was granted"
    return granted.job.ref(), lease.until


def _key(given: str | None) -> bytes | None:
    if given is None:
        return None
    checks.printable("idempotency_key", given, REQUEST_ID_CHARS)
    return given.encode()


_VERBS: dict[type[Any], Callable[[Channel, Any, int], None]] = {
    messages.Batch: Channel._batch,  # noqa: SLF001  (its own table)
    messages.Enqueue: Channel._enqueue,  # noqa: SLF001
    messages.Publish: Channel._publish,  # noqa: SLF001
    messages.Credits: Channel._change_credits,  # noqa: SLF001
    messages.Got: Channel._got,  # noqa: SLF001
    messages.Ping: Channel._ping,  # noqa: SLF001
    messages.Start: Channel._start,  # noqa: SLF001
}
