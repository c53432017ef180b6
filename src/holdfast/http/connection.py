"""One HTTP/1.1 connection: requests answered in their order, and the end.

    bytes ─▶ head ─▶ body ─▶ its turn ─▶ answer ─▶ the next

A hot route's handler runs within the parser's callbacks up to its first await, and continues when the future that it awaits is
done, without the cost of a task. Requests behind the current one wait for their turn.
"""

import asyncio
import time
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from holdfast.connection_limit import Place
from holdfast.errors import HoldfastError, InvalidRequest, Overloaded
from holdfast.http.app import App
from holdfast.http.flow import BEHIND, LARGE, READ_BEHIND, TURN, UNSEEN
from holdfast.http.problem import STATUS, refused
from holdfast.http.reply import Heads, Reply
from holdfast.http.request import Request
from holdfast.http.request_reader import SMALL_BYTES, RequestReader
from holdfast.http.upgrade import Refused
from holdfast.limits import HALF_CLOSED_READ_S, HEAD_S, LINGER_S
from holdfast.logs import structlog

if TYPE_CHECKING:
    from holdfast.http.server import Connections

log = structlog.get_logger(__name__)

_UPGRADE_REQUIRED = 426
_TOO_LATE = f"This read took more than {HALF_CLOSED_READ_S} s; a caller that has closed its half of the connection is not read for any longer."
_SWITCHED = 101
_READ_LOOK_S = 0.1  # between two checks whether the last answer has been read over TLS


class Connection(RequestReader):
    """One connection. `keep_alive_s`: how long it is kept while idle; `drain_s`: how long closing may take."""

    def __init__(self, app: App, connections: "Connections", heads: Heads, keep_alive_s: float, drain_s: float) -> None:
        super().__init__(app, connections)
        self.keep_alive_s = keep_alive_s
        self.drain_s = drain_s
        self.half_closed = False
        self._heads = heads
        self._is_going_on = False
        self.place: Place | None = None
        self._idle_since = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None

    # Called by the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new connection: it has as long for the first request as between two."""
        self.transport = transport
        self.connections.add(self)
        self._rest()
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        self.place = self.app.limit.enter(self.address)
        if self.place is None:
            too_many = Overloaded("There are too many connections, in all or of this address.", retry_after_ms=1_000)
            self.turn_away(None, too_many)

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has disconnected: waiting requests are dropped, and nothing waits for those in progress."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self.place is not None:
            self.place.leave()
        self.parser = None
        self.refusing = True
        self.pipeline.clear()
        self.let_go_of_body()
        if self.current is not None:
            self.current.leave()
            self.current.give_up()
        self.connections.discard(self)
        super().connection_lost(exc)

    def eof_received(self) -> bool:
        """The caller has shut down its sending side, but may still read: complete requests are answered. Requests that wait
        (long polls) end at once, because a full disconnect looks the same.
        """
        self.refusing = self.half_closed = True
        if (
            not self.is_answering() or not self.transport.can_write_eof()
        ):  # TLS has no half-closed connections that could be answered
            return False
        self._close_behind()
        if self.current is not None:
            self._hurry(self.current)
        return True

    # Answers

    def take_in(self, request: Request) -> None:
        """Answer a request, or have it wait for its turn."""
        if self.current is None and not self.pipeline and self.until_read is None:
            if request.reply is None and request.route.is_hot:  # type: ignore[union-attr]  # one without a route has a reply
                self.current = request
                self._step(self.app.serve(request), request, None)
            else:
                self._start(request)
            return
        self.pipeline.append(request)
        if len(self.pipeline) > READ_BEHIND:
            self.pause(BEHIND)

    def _start(self, request: Request) -> None:
        self.current = request
        if request.reply is not None:
            self._finish(request, request.reply)
            return
        if self.half_closed:
            self._hurry(request)
        if request.route.is_hot:  # type: ignore[union-attr]  # one without a route has a reply
            self._step(self.app.serve(request), request, None)
        else:
            request.task = self.loop.create_task(self._answer(request))
            self.connections.run(request.task)

    def _step(self, answering: Coroutine[Any, Any, Reply], request: Request, _: Any) -> None:
        """Run the handler up to its first await, and resume when the awaited future is done, without a task."""
        try:
            waited = answering.send(None)
        except StopIteration as stop:
            self._finish(request, stop.value)
        else:
            if waited is None:  # it only lets others have their turn
                self.loop.call_soon(self._step, answering, request, None)
                return
            waited._asyncio_future_blocking = False  # noqa: SLF001  (the other half of a future's protocol with its task)
            waited.add_done_callback(partial(self._step, answering, request))

    async def _answer(self, request: Request) -> None:
        try:
            reply = await self.app.serve(request)
            if reply.stream is not None:
                await self._send(request, reply)
            else:
                self._finish(request, reply)
        except asyncio.CancelledError:
            if self.half_closed and not self.transport.is_closing():  # it may still listen
                self._finish(request, refused(Overloaded(_TOO_LATE, retry_after_ms=1_000)))
                return
            self._break_off()
            raise
        except Exception:
            log.exception("an answer broke off", method=request.method, path=request.path[:200])
            self._break_off()
        finally:
            request.task = None  # each holds on to the other

    def _break_off(self) -> None:
        self.current = None
        self.transport.close()

    def _finish(self, request: Request, reply: Reply) -> None:
        """Write the answer, and be ready for the next request."""
        request.is_answered = True
        if not self.transport.is_closing():
            lines = self._heads.of(reply, self.app.request_id(request.headers))
            end = b"\r\n" if request.keep_alive else b"connection: close\r\n\r\n"
            body = reply.body if request.method != "HEAD" else b""
            if len(body) <= SMALL_BYTES:
                self.transport.write(b"%b%b%b" % (lines, end, body))
            else:
                self.transport.write(lines + end)
                self.transport.write(body)
        self._next(request, reply.status)

    async def _send(self, request: Request, reply: Reply) -> None:
        """Write an answer of unknown length."""
        stream: Any = reply.stream
        request.is_answered = True
        chunked = request.version == "1.1"
        request.keep_alive = request.keep_alive and chunked
        lines = self._heads.of(reply, self.app.request_id(request.headers))
        if chunked and request.method != "HEAD":
            lines += b"transfer-encoding: chunked\r\n"
        self.transport.write(lines + (b"\r\n" if request.keep_alive else b"connection: close\r\n\r\n"))
        try:
            async for part in stream:
                if request.method == "HEAD" or self.transport.is_closing():
                    break
                self.transport.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
                if self.until_read is not None:
                    await self.until_read
        except asyncio.CancelledError:
            if self.transport.is_closing():
                raise  # the caller has left
        finally:
            await stream.aclose()
        if chunked and request.method != "HEAD" and not self.transport.is_closing():
            self.transport.write(b"0\r\n\r\n")
        self._next(request, reply.status)

    def _next(self, request: Request, status: int) -> None:
        route = request.route
        self.app.observe(
            request.method, "unknown" if route is None else route.path, status, time.perf_counter() - request.started
        )
        self.current = None
        if self.transport.is_closing():
            return
        if not request.keep_alive:
            self._linger()
        elif self.pipeline or self._inbound is not None:
            self.go_on()
        else:
            self._rest()
            if self._paused:
                self.read_on(BEHIND)

    def go_on(self) -> None:
        """Answer the waiting requests in order, as far as possible."""
        if self._is_going_on:
            return
        self._is_going_on = True
        while self.pipeline and self.current is None and self.until_read is None and not self.transport.is_closing():
            self._start(self.pipeline.popleft())
        self._is_going_on = False
        if len(self.pipeline) <= READ_BEHIND // 2 and not self.refusing:
            self.read_on(BEHIND)
        if not self.is_answering():
            self.send_continue()
            self._rest()
        if self.account.held:
            self.charge()

    # The end

    def _hurry(self, request: Request) -> None:
        """The caller sends nothing more: end its waits, and cancel its read a little later."""
        request.leave()
        if request.is_answered:
            request.give_up()
        elif request.route is not None and request.route.is_read:
            self.loop.call_later(HALF_CLOSED_READ_S, request.give_up)

    def _close_behind(self) -> None:
        """Answer the complete requests, and then close."""
        self.let_go_of_body()
        last = self.pipeline[-1] if self.pipeline else self.current
        if last is not None:
            last.keep_alive = False

    def _linger(self) -> None:
        """Close. If the caller may still be sending, shut down the sending side first and let it read the end: closing at once
        would make the kernel discard the answer.
        """
        self.refusing = True
        self.pipeline.clear()  # input behind the last request is ignored
        if self.half_closed or self.transport.is_closing():
            self.transport.close()
            return
        if not self.transport.can_write_eof():
            self._close_when_read()
            return
        self.resume(TURN | UNSEEN | BEHIND | LARGE)
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _close_when_read(self) -> None:
        """Close over TLS, which keeps reading until the caller has closed as well, for at most `LINGER_S`; then answers that
        the caller has not read are discarded. A caller that reads nothing at all is cut off as with any answer (`UNREAD_S`).
        """
        if self.transport.get_write_buffer_size() and not self.transport.is_closing():
            self.loop.call_later(_READ_LOOK_S, self._close_when_read)
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """The server drains: close once requests in progress are answered."""
        last = self._inbound or (self.pipeline[-1] if self.pipeline else self.current)
        if last is not None:
            last.keep_alive = False
        elif not self.refusing:
            self.transport.close()

    def abort(self) -> None:
        """The server ends."""
        self.transport.abort()

    def _rest(self) -> None:
        """The connection is idle: the keep-alive time begins."""
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(min(self.keep_alive_s, self.app.body_s), self._close_if_idle)

    def _close_if_idle(self) -> None:
        """One timer for a connection, moved on while it is used, instead of one for each request."""
        self._idle_timer = None
        now = self.loop.time()
        left = self._idle_since + self.keep_alive_s - now
        if self.is_answering() or self._inbound is not None:
            left = self.keep_alive_s
        if self._inbound is not None and self._body_since is not None:
            late = now - self._body_since - self.app.body_s
            if late >= 0:
                error = InvalidRequest(f"The body did not arrive within {self.app.body_s} s.", field="body")
                self.turn_away(400, error, is_silent=True)
                return
            left = min(left, -late)
        if left > 0:
            self._idle_timer = self.loop.call_later(min(left, self.app.body_s), self._close_if_idle)
        elif self.transport.get_write_buffer_size():
            self.transport.abort()  # else it would wait for its answer to be read
        elif self._head_open and not self.refusing:
            error = InvalidRequest(f"The head of the request did not arrive within {HEAD_S} s.", field="headers")
            self.turn_away(408, error, is_silent=True)
        elif not self.transport.is_closing():
            self.transport.close()

    # Refusals that end the connection

    def turn_away(
        self, status: int | None, error: HoldfastError, request_id: bytes | None = None, *, is_silent: bool = False
    ) -> None:
        """Refuse, close, and read no more. Behind unanswered requests the refusal would be taken for the answer to one of them:
        those are answered first, and then the connection is closed.
        """
        self.refusing = True
        was_answered = self._body_open and self._inbound is None and self._early is None
        self.let_go_of_body()
        reply = refused(error, status)
        if self.is_answering():
            self._close_behind()
        elif was_answered:
            self._linger()
        else:
            if reply.status == _UPGRADE_REQUIRED:
                reply.extra += ((b"connection", b"upgrade"), (b"upgrade", b"websocket"), (b"sec-websocket-version", b"13"))
            lines = self._heads.of(reply, request_id or self.app.request_id({}))
            is_head = self.parser is not None and self._has_method and self.parser.get_method() == b"HEAD"
            self.transport.write(b"%bconnection: close\r\n\r\n%b" % (lines, b"" if is_head else reply.body))
            if is_silent:
                self.transport.close()  # there is no input to read first
            else:
                self._linger()

    # Another protocol

    def hand_over(self, method: bytes, behind: bytes) -> None:
        """Hand over the connection, with the bytes behind the handshake."""
        started = time.perf_counter()
        upgrade = self.app.upgrade
        route = upgrade.path
        try:
            if self.is_answering() or self.until_read is not None:
                behind_another = "A WebSocket can't be opened behind a request whose answer is not given and read yet."
                raise Refused(InvalidRequest(behind_another, field="Upgrade"))
            protocol = upgrade.open(self.app, self, method, self.url, self.headers)
        except Refused as said:
            route = upgrade.path if said.is_known else "unknown"
            status = said.status or STATUS[said.error.code]
            self.turn_away(status, said.error, self.app.request_id(dict(self.headers)))
        else:
            status = _SWITCHED
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            self.connections.discard(self)
            self.parser = None  # it refers to this object, and the other protocol may last long
            if behind := behind + self.let_go():
                protocol.data_received(behind)
        self.app.observe(method.decode(), route, status, time.perf_counter() - started)
