"""The engine's end of the keeper's socket: requests out, answers and news in, on the event loop itself.

Requests made in one turn of the loop are sent in one frame. When the keeper dies, commands in progress are answered with
`outcome_unknown` (they may or may not have been committed), queries with `store_unavailable`, and `on_lost` is called: the
server must end.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from holdfast.errors import InternalError, OutcomeUnknown, StoreUnavailable
from holdfast.keeper.frames import UNSENDABLE, WEIGHTS, Answered, Asked, Frames, Hello, frame
from holdfast.limits import FRAME_BYTES
from holdfast.logs import structlog
from holdfast.messages.answers import Granted
from holdfast.messages.backend import FutureSink, Gathered, Listener, Sink, Waited
from holdfast.messages.commands import AwaitJobs, LeaseJobs
from holdfast.messages.frame import A, Answer, Query, Refused, Request
from holdfast.messages.views import Durability

log = structlog.get_logger(__name__)
_UNKNOWN = Refused(OutcomeUnknown.code, "The keeper died while this was on its way.", {"retry_after_ms": 1_000})
_UNAVAILABLE = Refused(StoreUnavailable.code, "The keeper has died; the server is ending.", {"retry_after_ms": 1_000})


class KeeperLink:
    """A `Backend` in another process."""

    abandoned = False
    let_go = None

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self.durability = Durability("")
        self.problem: str | None = None
        self.away: str | None = None  # the keeper does not answer before its store is open
        self._on_lost = on_lost
        self._pending: dict[int, tuple[Sink, object, type]] = {}
        self._sink = FutureSink()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._number = 0
        self._asked: dict[asyncio.Future[Any], int] = {}  # queries, and those who await jobs
        self._outgoing = Asked([], left=[])
        self._weight = 0  # bytes in it
        self._flushing = False
        self._listeners: list[Listener] = []
        self._frames = Frames(msgspec.msgpack.Decoder(Answered), self._take, self._lost)
        self._ready: asyncio.Future[None] | None = None
        self._gone = False
        self._closing = False

    async def connect(self, sock: socket.socket) -> None:
        """Take over the socket and wait for the keeper's greeting; `problem` says if it can't serve. Disconnects where that is cancelled."""
        loop = self._loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        await loop.create_unix_connection(lambda: self._frames, sock=sock)
        try:
            await self._ready
        except asyncio.CancelledError:
            await self.close()
            raise

    def submit(self, request: Request[A]) -> "asyncio.Future[A | Refused]":
        """Ask; the future is resolved after the commit."""
        assert self._loop is not None, "connected before it is asked"
        future: asyncio.Future[A | Refused] = self._loop.create_future()
        self._request(request, self._sink, future)
        if isinstance(request, Query):
            self._asked[future] = self._number
            future.add_done_callback(self._asked.pop)
        return future

    def await_jobs(self, command: LeaseJobs) -> "asyncio.Future[Granted | Refused]":
        """Ask for what will come; the future is resolved after the commit that brings it."""
        future: asyncio.Future[Granted | Refused] = self._running_loop().create_future()
        self._request(AwaitJobs(command), self._sink, future)
        self._asked[future] = self._number
        future.add_done_callback(self._asked.pop)
        return future

    def leave(self, asked: "asyncio.Future[Any]") -> None:
        """Tell the keeper that the caller has left."""
        if (number := self._asked.get(asked)) is not None:
            self._outgoing.left.append(number)
            self._soon()

    def submit_all(self, requests: Sequence[Request[A]], weight: int) -> "asyncio.Future[list[A | Refused]]":
        """Submit many at once, of so many bytes together; the future is resolved when the last of them is committed."""
        future: asyncio.Future[list[A | Refused]] = self._running_loop().create_future()
        gathered = self._gathered(future, len(requests))
        if not requests:
            future.set_result([])
        elif self._gone or self._weight + weight >= FRAME_BYTES:
            for place, request in enumerate(requests):
                self._request(request, gathered, place)
        else:
            self._weight += weight
            number, pending, outgoing = self._number, self._pending, self._outgoing.requests
            for place, request in enumerate(requests):
                number += 1
                pending[number] = (gathered, place, type(request))
                outgoing.append((number, request))
            self._number = number
            self._soon()
        return future

    def _gathered(self, future: "asyncio.Future[list[Any]]", count: int) -> Gathered:
        return Gathered(future, count)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None, "connected before it is asked"
        return self._loop  # asking asyncio for it costs a system call each time

    def _request(self, request: Request[Answer], sink: Sink, tag: object) -> None:
        if self._gone:
            sink.deliver(tag, _UNAVAILABLE)
            return
        number = self._number = self._number + 1
        kind = type(request)
        self._pending[number] = (sink, tag, kind)
        self._outgoing.requests.append((number, request))
        if (weigh := WEIGHTS.get(kind)) is not None:
            self._weight += weigh(request)
            if self._weight >= FRAME_BYTES:
                self._flush()
                return
        if not self._flushing:
            self._soon()

    def listen(self, listener: Listener, waited: Waited | None = None) -> None:  # noqa: ARG002
        """Call `listener` with what is committed. All news arrives, so no polling is needed."""
        self._listeners.append(listener)

    def want_job_events(self, wanted: bool) -> None:
        """Tell the keeper whether job events are of interest."""
        self._outgoing.job_events = wanted
        self._soon()

    def report(self, text: bytes) -> None:
        """Leave this front's metrics with the keeper."""
        self._outgoing.report = text
        self._soon()

    async def close(self) -> None:
        """Disconnect; the keeper commits what it has and ends when the last front has disconnected."""
        self._closing = True
        if self._frames.transport is not None:
            self._flush()
            self._frames.transport.close()

    def _soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._running_loop().call_soon(self._flush_in_turn)

    def _flush_in_turn(self) -> None:
        self._flushing = False
        self._flush()

    def _flush(self) -> None:
        if self._frames.transport is None or self._frames.transport.is_closing():
            return
        outgoing, self._outgoing, self._weight = self._outgoing, Asked([], left=[]), 0
        if (
            outgoing.requests
            or outgoing.commits
            or outgoing.job_events is not None
            or outgoing.report is not None
            or outgoing.left
        ):
            try:
                self._frames.transport.write(frame(outgoing))
            except UNSENDABLE:
                self._write_one_by_one(outgoing)

    def _write_one_by_one(self, outgoing: Asked) -> None:
        """Something in this frame has no place in a frame: a defect, and its caller's alone. The others are sent."""
        assert self._frames.transport is not None, "checked before"
        for number, request in outgoing.requests:
            try:
                self._frames.transport.write(
                    frame(Asked([(number, request)], outgoing.job_events, outgoing.report, outgoing.left, outgoing.commits))
                )
            except UNSENDABLE:
                log.exception("a request could not be sent to the keeper", request=type(request).__name__)
                sink, tag, _ = self._pending.pop(number)
                sink.deliver(
                    tag, Refused(InternalError.code, "A defect in Holdfast; nothing was changed. The log has the details.")
                )

    def _take(self, answered: Answered) -> None:
        if answered.hello is not None:
            self._greet(answered.hello)
        left = self._pending.pop
        for number, result in answered.results:
            sink, tag, _ = left(number)
            sink.deliver(tag, result)
        for news in answered.news:
            for listener in self._listeners:
                listener(news)

    def _greet(self, hello: Hello) -> None:
        self.durability = Durability(hello.level, hello.replicas)
        self.problem = hello.problem
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def _lost(self) -> None:
        self._gone = True
        if self._ready is not None and not self._ready.done():
            self.problem = "The keeper ended before it was ready."
            self._ready.set_result(None)
        pending, self._pending = self._pending, {}
        for sink, tag, kind in pending.values():
            sink.deliver(tag, _UNAVAILABLE if issubclass(kind, Query) else _UNKNOWN)
        if not self._closing and self.problem is None:  # the connecting code gets the problem, not its consequences
            self._on_lost()
