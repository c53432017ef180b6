"""The fast lane: hot routes answered from uvicorn's own parser callbacks, without a task, a scope or two writes for each request.

It takes what is ordinary: a POST to a hot route over HTTP/1.1 with a small body of known length, on a connection where nothing else is
under way. Everything else goes the way of ASGI, through the same gate and the same handlers, so that both ways answer alike (a test sends one
corpus through both). It leans on uvicorn's protocol class, which is why uvicorn is pinned to one minor version; `fast_lane = false` turns
it off.
"""

import asyncio
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any

import httptools

from holdfast.doors.rest import replies
from holdfast.doors.rest.backpressure import READ_BEHIND
from holdfast.doors.rest.connection_end import ConnectionEnd, is_begun, is_busy
from holdfast.doors.rest.fast_request import FastRequest
from holdfast.doors.rest.middleware import ACCOUNT, Middleware
from holdfast.doors.rest.replies import Reply
from holdfast.doors.rest.response_head import STATUS, Heads, head
from holdfast.doors.rest.upgrade import open_channel
from holdfast.doors.websocket.connection import WebSocketConnection
from holdfast.doors.websocket.door import PATH
from holdfast.errors import HoldfastError, InvalidRequest
from holdfast.http.request_head import asks_first, flaw, in_origin_form, is_handshake, without_offer
from holdfast.limits import BODY_S, HEAD_BYTES

_SMALL_BYTES = 1 << 18
_UNUSUAL = frozenset((b"transfer-encoding", b"upgrade", b"content-encoding", b"proxy-connection", b"expect"))
_UPGRADE_REQUIRED = 426


class Connection(ConnectionEnd):
    """uvicorn's protocol with a lane for hot routes."""

    middleware: Middleware  # these three are set on a subclass for each application, see `connection_for`
    is_open: bool
    heads: Heads

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begin_anew()
        self._ride: FastRequest | None = None  # being read
        self._head_open = False
        self._head_bytes = 0  # since the head began, with what came beside its beginning
        self._began_with = 0  # of those, what came at once with its beginning: perhaps not all of it is the head's
        self._came = 0
        self._body_of: Any = None  # the request whose body did not come with its head, and since when it is waited for
        self._body_since = 0.0
        self._body_bytes = 0  # of the request that came last
        self._bodiless = 0  # bytes of a body in chunks since the last that was one of the body's own
        self._trailer_bytes = 0
        self._offered = False  # the parser stops behind a head that offers another protocol
        self._idle_since = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None

    def _begin_anew(self) -> None:
        """A parser that has read nothing. Where a connection ends is for us to say: a trailer would say it to the parser, too."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_keep_alive=True)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the caller as long for its first request as between two."""
        super().connection_made(transport)
        self._rest()

    def take(self, data: bytes | memoryview) -> None:
        """Feed the parser, and refuse a head that does not end, or as many bytes in a body that are none of its own."""
        if self.refusing:
            return
        self._came = len(data)
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            self._feed_behind(data, stopped)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        if self._head_open and not self.refusing:
            self._head_bytes += len(data)
            if self._head_bytes - self._began_with > HEAD_BYTES:
                self._refuse_head()
        elif self._body_open and not self.refusing:
            if self._body_of is not self.cycle:
                self._body_of, self._body_since = self.cycle, self.loop.time()
            self._bodiless += len(data)
            if self._bodiless > HEAD_BYTES and self._ride is None:
                self._refuse_head()

    def _feed_behind(self, data: bytes | memoryview, stopped: httptools.HttpParserUpgrade) -> None:
        """Feed the parser again. Behind a head that offers another protocol it stops, and takes the body for that protocol's first bytes: where
        we do not take it up, a new one is given the head without the offer, and goes on with the body. (The old one would add up both lengths.)
        """
        try:
            while True:
                data = memoryview(data)[stopped.args[0] :]
                if self.refusing:
                    return
                method, version = self.parser.get_method(), self.parser.get_http_version()
                if version == "1.1" and is_handshake(method, self.url.partition(b"?")[0], self.headers, PATH):
                    self._open_channel(bytes(data))
                    return
                self._begin_anew()
                self.parser.feed_data(without_offer(method, self.url, version, self.headers))
                try:
                    self.parser.feed_data(data)
                except httptools.HttpParserUpgrade as again:
                    stopped = again
                else:
                    return
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def held_of_request(self) -> int:
        """Bytes of the request that is not whole."""
        if self._head_open:
            return self._head_bytes + self._came
        return self._body_bytes if self._body_open else 0

    def refuse_rest(self, error: HoldfastError) -> None:
        """Refuse the request that is not whole, and let go of what has come of it."""
        self._turn_away(None, error)

    def _refuse_head(self) -> None:
        self._turn_away(431, InvalidRequest(f"The head of a request has at most {HEAD_BYTES} bytes.", field="headers"))

    def send_400_response(self, msg: str) -> None:
        """What the parser can't read is refused like any other bad request."""
        if self.refusing:
            return
        self._turn_away(400, InvalidRequest(f"This is no HTTP/1.1 request: {msg.rstrip('.')}.", field="request"))

    def _turn_away(
        self, status: int | None, error: HoldfastError, request_id: bytes | None = None, *, is_silent: bool = False
    ) -> int:
        """Refuse, close, and read nothing more. Behind requests that are not answered yet it would be taken for the answer to one of them:
        those are answered, and then the connection is closed.
        """
        self.refusing = True
        status = self._refuse(replies.refused(error, status), request_id, is_silent=is_silent)
        if self._ride is not None:
            self._ride.body, self._ride = b"", None
        elif self._body_open and is_busy(self.cycle) and not is_begun(self.cycle):
            cycle: Any = self.cycle
            cycle.body = bytearray()
            cycle.disconnected = True  # whoever waits for the rest need not, and says nothing more
            cycle.message_event.set()
        return status

    def _refuse(self, reply: Reply, request_id: bytes | None, *, is_silent: bool) -> int:
        if self._body_open and self._running is self.cycle and is_begun(self._running):
            self._running.keep_alive = False
            if not is_busy(self._running):
                self._linger()  # it has its answer
            return reply.status
        if self._is_answering():
            self._close_behind()
            return reply.status
        parts = [head(reply, STATUS[reply.status], request_id or self.middleware.request_id({}))]
        if reply.status == _UPGRADE_REQUIRED:
            parts.append(b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n")
        is_bodiless = not self._head_open and self.parser.get_method() == b"HEAD"
        parts += (b"connection: close\r\n\r\n", b"" if is_bodiless else reply.body)
        self.transport.write(b"".join(parts))
        if is_silent:
            self.transport.close()  # nothing comes that would have to be read first
        else:
            self._linger()
        return reply.status

    def _open_channel(self, behind: bytes) -> None:
        """Hand the connection over to a live channel, with what came behind the handshake."""
        started = time.perf_counter()
        method = self.parser.get_method()
        route: str = PATH
        status: int | None = None
        error: HoldfastError | None
        if self._is_answering():
            error = InvalidRequest("A WebSocket can't be opened behind a request that is not answered yet.", field="Upgrade")
        else:
            wire = WebSocketConnection(
                self.middleware.channels, self.server_state, float(self.config.timeout_graceful_shutdown or 0)
            )
            route, status, error = open_channel(
                self.middleware, wire, self.transport, method, self.url, self.headers, self.client[0] if self.client else ""
            )
        if error is not None:
            status = self._turn_away(status, error, self.middleware.request_id(dict(self.headers)))
        else:
            self._forget()
            if behind := behind + self.let_go():
                wire.data_received(behind)
        self.middleware.observe(method.decode(), route, status or 0, time.perf_counter() - started)

    def _forget(self) -> None:
        """The connection is somebody else's now."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self.connections.discard(self)
        self.server_state.total_requests += 1
        self.parser = None  # type: ignore[assignment]  # it holds on to us, and a channel lives long

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head_open = True
        self.begun += 1
        self._head_bytes = self._body_bytes = 0
        self._began_with = self._came
        self.url = b""
        self.headers = []
        self._offered = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One more header. What comes behind a body in chunks looks like one, and is dropped: the guard has seen the head by then."""
        if self._head_open:
            self.headers.append((name.lower(), value.rstrip()))
            return
        self._trailer_bytes += len(name) + len(value) + 4
        if self._trailer_bytes > HEAD_BYTES and not self.refusing:
            self._refuse_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has left."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        """Let an ordinary request to a hot route into the lane."""
        self._head_open = False
        if self._head_bytes + self._came > HEAD_BYTES and not self.refusing and self._is_too_long():
            self._refuse_head()
        if self.refusing:
            return
        self._bodiless = -self._came
        request = self._try_fast_path() if self.is_open else None  # it takes nothing that offers another protocol
        if request is not None:
            self._body_open = True
            self._ride = request
            self.cycle = request  # type: ignore[assignment]
        elif self.parser.should_upgrade():
            self._offered = True
            self._refuse_flawed()
        else:
            self._trailer_bytes = 0  # only a body in chunks has any
            if not self._refuse_flawed():
                self._body_open = True
                self._leave_to_uvicorn()

    def _refuse_flawed(self) -> bool:
        """See to what is not ordinary in a head; whether it was refused."""
        if self.url[:1] != b"/":
            self.url, self.headers = in_origin_form(self.url, self.parser.get_method(), self.headers)
        flawed = flaw(self.parser.get_http_version(), self.parser.get_method(), self.headers)
        if flawed is not None:
            self._turn_away(*flawed)
        return flawed is not None

    def _is_too_long(self) -> bool:
        """Whether the head itself is, and not only what came with it."""
        return len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers]) > HEAD_BYTES

    def _leave_to_uvicorn(self) -> None:
        """Give uvicorn the scope that it makes for every request, and that the lane does without."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.expect_100_continue = self.parser.get_http_version() != "1.0" and asks_first(headers)
        self.headers = self.scope["headers"] = headers
        self.scope[ACCOUNT] = self.account  # type: ignore[literal-required]
        super().on_headers_complete()
        if 0 < len(self.pipeline) <= READ_BEHIND:
            self.flow.resume_reading()

    def _try_fast_path(self) -> FastRequest | None:
        parser, url = self.parser, self.url
        before: Any = self.cycle
        if parser.get_method() != b"POST" or self._riding is not None or self.pipeline:
            return None
        if self.flow.write_paused or (before is not None and not before.response_complete) or b"%" in url:
            return None
        headers = dict(self.headers)
        length = headers.get(b"content-length", b"0")
        if len(headers) < len(self.headers) or not headers.get(b"host") or not _UNUSUAL.isdisjoint(headers):
            return None
        if not length.isdigit() or int(length) > _SMALL_BYTES:
            return None
        keep_alive = parser.should_keep_alive()
        if (not keep_alive or b"connection" in headers) and parser.get_http_version() != "1.1":
            return None  # asked only where it can be another one: the answer is a text made anew each time
        path, _, query = url.partition(b"?")
        text = path.decode("latin-1")
        found = self.middleware.find("POST", text)
        if found is None:
            return None
        return FastRequest(
            found,
            text,
            query.partition(b"#")[0] if query else query,
            headers,
            keep_alive,
            self.client[0] if self.client else "",
        )

    def on_body(self, body: bytes) -> None:
        """Gather the body."""
        self._body_bytes += len(body)
        if self._ride is not None:
            self._ride.body += body
        elif not self.refusing:
            self._bodiless = -self._came
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Start to answer."""
        if self._offered or self.refusing:
            return
        self._body_open = False
        request = self._ride
        if request is None:
            self.refusing = not self.cycle.keep_alive  # it was the last: what comes behind it is no request
            super().on_message_complete()
            return
        self._ride, self._riding = None, request
        self.refusing = not request.keep_alive
        self._step(self.middleware.serve(request.handler, "POST", request), request, None)

    def _step(self, answering: Coroutine[Any, Any, Reply], request: FastRequest, _: Any) -> None:
        """Run the handler as far as it goes, and come back when what it waits for is done: a task without the task."""
        try:
            waited = answering.send(None)
        except StopIteration as stop:
            self._finish(request, stop.value)
        except ConnectionError:
            self._riding = None
            self.transport.close()
        else:
            waited._asyncio_future_blocking = False  # noqa: SLF001  (the other half of a future's protocol with its task)
            waited.add_done_callback(partial(self._step, answering, request))

    def _finish(self, request: FastRequest, reply: Reply) -> None:
        """Write the answer in one piece, and be ready for the next request."""
        self._riding = None
        request.response_complete = True
        if not self.transport.is_closing():
            first = self.heads.of(reply.status, self.server_state.default_headers)
            lines = head(reply, first, self.middleware.request_id(request.headers))
            end = b"\r\n" if request.keep_alive else b"connection: close\r\n\r\n"
            self.transport.write(b"%b%b%b" % (lines, end, reply.body))
            self._next(request)
        self.middleware.observe_ride("POST", request.route, reply.status, time.perf_counter() - request.started)

    def _next(self, request: FastRequest) -> None:
        if not request.keep_alive:
            self._linger()
        elif self.pipeline:
            self.on_response_complete()  # uvicorn's: it starts what has come in behind us
        else:
            self.server_state.total_requests += 1
            self._rest()

    def on_response_complete(self) -> None:
        """ASGI has answered."""
        self._idle_since = self.loop.time()
        super().on_response_complete()
        self.answered()

    def _rest(self) -> None:
        """Nothing is under way: from now on the keep-alive time runs."""
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)

    def _close_if_idle(self) -> None:
        """One timer for a connection, moved on while it is used, instead of one for each request."""
        self._idle_timer = None
        if (
            self._body_open
            and self._body_of is self.cycle
            and is_busy(self.cycle)
            and self._body_since + BODY_S <= self.loop.time()
        ):
            error = InvalidRequest(f"The body did not arrive within {BODY_S} s.", field="body")
            self._turn_away(400, error, is_silent=True)
        busy = self._riding is not None or is_busy(self.cycle) or is_busy(self._running)
        left = self.timeout_keep_alive if busy else self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._idle_timer = self.loop.call_later(left, self._close_if_idle)
        elif self.transport.get_write_buffer_size():
            self.transport.abort()  # else it would wait for its answer to be read
        elif not self.transport.is_closing():
            self.transport.close()


def connection_for(middleware: Middleware, is_open: bool) -> type[Connection]:
    """The protocol class for one application: uvicorn makes the instances itself."""
    return type("Connection", (Connection,), {"middleware": middleware, "is_open": is_open, "heads": Heads()})
