"""The fast lane: hot routes answered from uvicorn's own parser callbacks, without a task, a scope or two writes for each request.

It takes what is ordinary: a POST to a hot route over HTTP/1.1 with a small body of known length, on a connection where nothing else is
under way. Everything else goes the way of ASGI, through the same gate and the same handlers, so that both ways answer alike (a test sends one
corpus through both). It leans on uvicorn's protocol class, which is why uvicorn is pinned to one minor version; `fast_lane = false` turns
it off.
"""

import asyncio
import http
import time
import urllib.parse
from collections.abc import Coroutine
from functools import partial
from typing import Any

import httptools

from holdfast.doors.channel.door import PATH
from holdfast.doors.channel.wire import Refused as HandshakeRefused
from holdfast.doors.channel.wire import Wire
from holdfast.doors.rest import replies
from holdfast.doors.rest.gate import ACCOUNT, Gate
from holdfast.doors.rest.head import is_handshake, without_offer
from holdfast.doors.rest.metered import READ_BEHIND, Metered
from holdfast.doors.rest.replies import Reply
from holdfast.doors.rest.ride import Ride
from holdfast.errors import HoldfastError, InvalidRequest, NotFound
from holdfast.limits import BODY_S, HEAD_BYTES

_SMALL_BYTES = 1 << 18
_UNUSUAL = frozenset((b"transfer-encoding", b"upgrade", b"content-encoding", b"proxy-connection"))
_UPGRADE = b"host: %b\r\nconnection: upgrade\r\nupgrade: websocket\r\n"  # a handshake has these, and all of sec-websocket-*
_HEAD = b"%bcontent-type: %b\r\ncontent-length: %d\r\ncache-control: no-store\r\nx-request-id: %b\r\n"  # as gate.common_headers
_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}


class _Heads:
    """Status lines with the headers that uvicorn gives to every answer. Those change once a second: the date is among them."""

    __slots__ = ("_defaults", "_lines")

    def __init__(self) -> None:
        self._defaults: list[tuple[bytes, bytes]] | None = None
        self._lines: dict[int, bytes] = {}

    def of(self, status: int, defaults: list[tuple[bytes, bytes]]) -> bytes:
        """The first lines of an answer."""
        if defaults is not self._defaults:
            self._defaults, self._lines = defaults, {}
        lines = self._lines.get(status)
        if lines is None:
            lines = self._lines[status] = b"".join([_STATUS[status], *(b"%b: %b\r\n" % pair for pair in defaults)])
        return lines


class Lane(Metered):
    """uvicorn's protocol with a lane for hot routes."""

    gate: Gate  # these three are set on a subclass for each application, see `lane_for`
    is_open: bool
    heads: _Heads

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ride: Ride | None = None  # being read
        self._riding: Ride | None = None  # being answered
        self._running: Any = None  # being answered by ASGI, or the last that was
        self._head_open = False
        self._head_bytes = 0  # since the head began, with what came beside its beginning
        self._began_with = 0  # of those, what came at once with its beginning: perhaps not all of it is the head's
        self._came = 0
        self._body_open = False
        self._body_of: Any = None  # the request whose body did not come with its head, and since when it is waited for
        self._body_since = 0.0
        self._body_bytes = 0  # of the request that came last
        self._bodiless = 0  # bytes of a body in chunks since the last that was one of the body's own
        self._trailer_bytes = 0
        self._offered = False  # the parser stops behind a head that offers another protocol
        self._idle_since = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the caller as long for its first request as between two."""
        super().connection_made(transport)
        self._rest()

    def take(self, data: bytes | memoryview) -> None:
        """Feed the parser, and refuse a head that does not end, or as many bytes in a body that are none of its own."""
        if self.refusing:
            return
        self._came = len(data)
        self._unset_keepalive_if_required()
        self._feed(data)
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

    def _feed(self, data: bytes | memoryview) -> None:
        """Feed the parser. Behind a head that offers another protocol it stops, and takes the body for that protocol's first bytes: where we
        do not take it up, it is given the head again without the offer, and goes on with the body.
        """
        try:
            while True:
                try:
                    self.parser.feed_data(data)
                    return
                except httptools.HttpParserUpgrade as stopped:
                    data = memoryview(data)[stopped.args[0] :]
                if self.refusing:
                    return
                head = self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers
                if head[2] == "1.1" and is_handshake(head[0], self.url.partition(b"?")[0], self.headers, PATH):
                    self._open_channel(bytes(data))
                    return
                self.parser.feed_data(without_offer(*head))
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def held_of_request(self) -> int:
        """Bytes of the request that is not whole."""
        if self._head_open:
            return self._head_bytes + self._came
        return self._body_bytes if self._body_open else 0

    def refuse_rest(self, error: HoldfastError) -> None:
        """Refuse the request that is not whole."""
        self._turn_away(None, error)

    def _refuse_head(self) -> None:
        self._turn_away(431, InvalidRequest(f"The head of a request has at most {HEAD_BYTES} bytes.", field="headers"))

    def send_400_response(self, msg: str) -> None:
        """What the parser can't read is refused like any other bad request."""
        self._turn_away(400, InvalidRequest(f"This is no HTTP/1.1 request: {msg.rstrip('.')}.", field="request"))

    def _turn_away(self, status: int | None, error: HoldfastError, request_id: bytes | None = None) -> int:
        """Refuse, close, and read nothing more. Behind requests that are not answered yet it would be taken for the answer to one of them:
        those are answered, and then the connection is closed.
        """
        self.refusing = True
        reply = replies.refused(error, status)
        if self._body_open and self._running is self.cycle and _is_begun(self._running):
            self.transport.close()  # it has its answer
            return reply.status
        if self._is_answering():
            if self._body_open and self.pipeline:
                self.pipeline.popleft()  # it is this one that is refused
            last: Any = self.pipeline[0][0] if self.pipeline else self._riding or self._running
            last.keep_alive = False
            return reply.status
        parts = [self._head(reply, _STATUS[reply.status], request_id or self.gate.request_id({}))]
        if reply.status == http.HTTPStatus.UPGRADE_REQUIRED:
            parts.append(b"upgrade: websocket\r\nsec-websocket-version: 13\r\n")
        parts += (b"connection: close\r\n\r\n", reply.body)
        self.transport.write(b"".join(parts))
        self.transport.close()
        return reply.status

    def _is_answering(self) -> bool:
        """Whether a request is under way that has come as a whole."""
        if self._riding is not None:
            return True
        return _is_busy(self._running) and not (self._body_open and self._running is self.cycle)

    @staticmethod
    def _head(reply: Reply, first: bytes, request_id: bytes) -> bytes:
        head = _HEAD % (first, reply.content_type, len(reply.body), request_id)
        for pair in reply.extra:
            head += b"%b: %b\r\n" % pair
        return head

    def _open_channel(self, behind: bytes) -> None:
        """Hand the connection over to a live channel, with what came behind the handshake, unless the guard, a bound or the handshake
        stands against it.
        """
        started = time.perf_counter()
        headers = dict(self.headers)
        request_id = self.gate.request_id(headers)
        method = self.parser.get_method().decode()
        route = PATH
        try:
            if self._is_answering():
                raise InvalidRequest("A WebSocket can't be opened behind a request that is not answered yet.", field="Upgrade")
            target = urllib.parse.unquote(self.url.partition(b"?")[0].decode("latin-1"))
            self.gate.admit_channel(method, target, headers)
            wire = Wire(self.gate.channels, self.server_state, float(self.config.timeout_graceful_shutdown or 0))
            self._hand_over(wire, method, request_id)
            if behind := behind + self.let_go():
                wire.data_received(behind)
            status = 101
        except HandshakeRefused as refused:
            status = self._turn_away(refused.status, refused.error, request_id)
        except HoldfastError as error:
            route = "unknown" if isinstance(error, NotFound) else PATH
            status = self._turn_away(None, error, request_id)
        self.gate.observe(method, route, status, time.perf_counter() - started)

    def _hand_over(self, wire: Wire, method: str, request_id: bytes) -> None:
        parts = [b"%b / HTTP/1.1\r\n" % method.encode(), _UPGRADE % dict(self.headers).get(b"host", b"")]
        parts += [b"%b: %b\r\n" % pair for pair in self.headers if pair[0].startswith(b"sec-websocket-")]
        wire.open(self.transport, b"".join(parts) + b"\r\n", request_id)
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
        self.expect_100_continue = False
        self.headers = []
        self._offered = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One more header. What comes behind a body in chunks looks like one, and is dropped: the guard has seen the head by then."""
        if not self._head_open:
            self._trailer_bytes += len(name) + len(value) + 4
            if self._trailer_bytes > HEAD_BYTES and not self.refusing:
                self._refuse_head()
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has left."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self._riding is not None:
            self._riding.leave()
        if _is_busy(self._running):
            self._running.disconnected = True  # uvicorn tells only the last that came
            self._running.message_event.set()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server drains: close, once what is under way is answered."""
        if not (self.refusing and self._is_answering()):
            super().shutdown()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_headers_complete(self) -> None:
        """Let an ordinary request to a hot route into the lane."""
        self._head_open = False
        if self._head_bytes + self._came > HEAD_BYTES and not self.refusing and self._is_too_long():
            self._refuse_head()
        if self.refusing:
            return
        if self.parser.should_upgrade():
            self._offered = True
            if self.parser.get_method() == b"CONNECT":
                self._turn_away(400, InvalidRequest("This is no proxy: nothing is connected to.", field="request"))
            return
        self._body_open = True
        self._bodiless = -self._came
        self._trailer_bytes = 0
        ride = self._boarding() if self.is_open else None
        if ride is None:
            self._leave_to_uvicorn()
        else:
            self._ride = ride
            self.cycle = ride  # type: ignore[assignment]

    def _is_too_long(self) -> bool:
        """Whether the head itself is, and not only what came with it."""
        return len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers]) > HEAD_BYTES

    def _leave_to_uvicorn(self) -> None:
        """Give uvicorn the scope that it makes for every request, and that the lane does without."""
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers = self.scope["headers"] = headers
        self.scope[ACCOUNT] = self.account  # type: ignore[literal-required]
        super().on_headers_complete()
        if 0 < len(self.pipeline) <= READ_BEHIND:
            self.flow.resume_reading()

    def _boarding(self) -> Ride | None:
        parser, url = self.parser, self.url
        if parser.get_method() != b"POST" or self._riding is not None or self.pipeline or self.expect_100_continue:
            return None
        if self.flow.write_paused or _is_busy(self.cycle) or b"%" in url:
            return None
        headers = dict(self.headers)
        length = headers.get(b"content-length", b"0")
        if len(headers) < len(self.headers) or not headers.keys().isdisjoint(_UNUSUAL):
            return None
        if not length.isdigit() or int(length) > _SMALL_BYTES:
            return None
        keep_alive = parser.should_keep_alive()
        if (not keep_alive or b"connection" in headers) and parser.get_http_version() != "1.1":
            return None  # asked only where it can be another one: the answer is a text made anew each time
        path, _, query = url.partition(b"?")
        text = path.decode("latin-1")
        found = self.gate.find("POST", text)
        if found is None:
            return None
        return Ride(found, text, query.partition(b"#")[0] if query else query, headers, keep_alive)

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
        ride = self._ride
        if ride is None:
            super().on_message_complete()
            return
        self._ride, self._riding = None, ride
        self._step(self.gate.serve(ride.handler, "POST", ride), ride, None)

    def _step(self, answering: Coroutine[Any, Any, Reply], ride: Ride, _: Any) -> None:
        """Run the handler as far as it goes, and come back when what it waits for is done: a task without the task."""
        stopped = ride.may_stop and ride.disconnected
        try:
            waited = answering.throw(asyncio.CancelledError()) if stopped else answering.send(None)
        except StopIteration as stop:
            self._finish(ride, stop.value)
        except ConnectionError:
            self._riding = None
        else:
            waited._asyncio_future_blocking = False  # noqa: SLF001  (the other half of a future's protocol with its task)
            go_on = partial(self._step, answering, ride)
            waited.add_done_callback(go_on)
            if ride.may_stop:
                ride.waits_for = (waited, go_on)

    def _finish(self, ride: Ride, reply: Reply) -> None:
        """Write the answer in one piece, and be ready for the next request."""
        self._riding = None
        ride.response_complete = True
        if not ride.disconnected and not self.transport.is_closing():
            first = self.heads.of(reply.status, self.server_state.default_headers)
            head = self._head(reply, first, self.gate.request_id(ride.headers))
            end = b"\r\n" if ride.keep_alive else b"connection: close\r\n\r\n"
            self.transport.write(b"%b%b%b" % (head, end, reply.body))
            self._next(ride)
        self.gate.observe_ride("POST", ride.route, reply.status, time.perf_counter() - ride.started)

    def _next(self, ride: Ride) -> None:
        if not ride.keep_alive:
            self.transport.close()
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
            and _is_busy(self.cycle)
            and self._body_since + BODY_S <= self.loop.time()
        ):
            self._turn_away(400, InvalidRequest(f"The body did not arrive within {BODY_S} s.", field="body"))
        busy = self._riding is not None or _is_busy(self.cycle) or _is_busy(self._running)
        left = self.timeout_keep_alive if busy else self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._idle_timer = self.loop.call_later(left, self._close_if_idle)
        elif self.transport.get_write_buffer_size():
            self.transport.abort()  # else it would wait for its answer to be read
        elif not self.transport.is_closing():
            self.transport.close()


def _is_busy(cycle: Any) -> bool:
    return cycle is not None and not cycle.response_complete


def _is_begun(cycle: Any) -> bool:
    return cycle is not None and cycle.response_started


def lane_for(gate: Gate, is_open: bool) -> type[Lane]:
    """The protocol class for one application: uvicorn makes the instances itself."""
    return type("Lane", (Lane,), {"gate": gate, "is_open": is_open, "heads": _Heads()})
