"""Reads requests from the bytes of a connection: heads, bodies, and malformed input.

A request is checked when its head is complete. An invalid one is answered then, and its body discarded as it arrives; all
others are passed on when they are complete.
"""

import asyncio
import time
from typing import TYPE_CHECKING

import httptools

from holdfast.errors import HoldfastError, InvalidRequest
from holdfast.http.app import App, together, unreadable
from holdfast.http.flow import BEHIND, LARGE, Flow
from holdfast.http.reply import Reply
from holdfast.http.request import Request
from holdfast.http.request_head import asks_first, flaw, in_origin_form, is_handshake, without_offer
from holdfast.limits import HEAD_BYTES, HEADERS, LARGE_BODY_BYTES
from holdfast.logs import structlog

if TYPE_CHECKING:
    from holdfast.http.server import Connections

log = structlog.get_logger(__name__)

SMALL_BYTES = 64 << 10  # of a body, or of an answer: larger ones are seen to
_METHODS = {method.encode(): method for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}
_UNUSUAL = frozenset((b"transfer-encoding", b"upgrade", b"content-encoding", b"expect"))


class RequestReader(Flow):
    """The reading half of a connection."""

    def __init__(self, app: App, connections: "Connections") -> None:
        super().__init__(app, connections)
        self._begin_anew()
        self._inbound: Request | None = None  # whose body is arriving
        self._early: Request | None = None  # whose answer is known, if what came with its head can be read
        self._parts: list[bytes] = []  # of that body, behind the first
        self._asks_first = False  # whoever sends the body waits for 100 Continue
        self._turn: asyncio.Future[None] | None = None  # of a large body, until it is whole
        self._head_bytes = 0  # since the head began, including the bytes received before it
        self._began_with = 0  # of those, received in one piece with its beginning: perhaps not all of it is the head's
        self._came = 0
        self._body_since: float | None = None  # that a body is waited for that did not come with its head
        self._body_bytes = 0  # of the last request
        self._bodiless = 0  # bytes of a body in chunks since the last that was one of the body's own
        self._trailer_bytes = 0
        self._has_method = False  # of the request that came last: its method was read
        self._offered = False  # the parser stops behind a head that offers another protocol
        self.address = ""  # the peer's address, which the socket does not know after a disconnect
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def _begin_anew(self) -> None:
        """A parser that has read nothing. Where a connection ends is for us to say: a trailer would say it to the parser, too."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_keep_alive=True, lenient_data_after_close=True)

    # Implemented by subclasses

    def take_in(self, request: Request) -> None:
        """A request is complete, or its answer is known already."""
        raise NotImplementedError

    def hand_over(self, method: bytes, behind: bytes) -> None:
        """Hand over the connection to another protocol, with the bytes behind the handshake."""
        raise NotImplementedError

    # Input

    def take(self, data: bytes | memoryview) -> None:
        """Feed the parser; refuse a head that does not end, or too many bytes in a body that are not its content."""
        if self.parser is None:
            return
        self._came = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            self._feed_behind(data, stopped.args[0])
        except httptools.HttpParserError as error:
            self._refuse_unread(error)
        if self._early is not None and not self.refusing:
            self._answer_early()
        if not self.refusing and (self._head_open or self._body_open):
            self._bound(data)

    def _bound(self, data: bytes | memoryview) -> None:
        if self._head_open:
            self._head_bytes += len(data)
            if self._head_bytes - self._began_with > HEAD_BYTES:
                self._refuse_head()
        else:
            if self._body_since is None:
                self._body_since = self.loop.time()
            self._bodiless += len(data)
            if self._bodiless > HEAD_BYTES:
                self._refuse_head()

    def _feed_behind(self, data: bytes | memoryview, taken: int) -> None:
        """Feed the parser again. Behind a head that offers another protocol it stops, and takes the body for that protocol's first bytes: where
        we do not take it up, a new one is given the head without the offer, and goes on with the body. (The old one would add up both lengths.)
        """
        try:
            while self.parser is not None:
                data = memoryview(data)[taken:]
                if self.refusing:
                    return
                method, version = self.parser.get_method(), self.parser.get_http_version()
                path = self.url.partition(b"?")[0]
                if version == "1.1" and is_handshake(method, path, self.headers, self.app.upgrade.path):
                    self.hand_over(method, bytes(data))
                    return
                self._begin_anew()
                self.parser.feed_data(without_offer(method, self.url, version, self.headers))
                try:
                    self.parser.feed_data(data)
                except httptools.HttpParserUpgrade as again:
                    taken = again.args[0]
                else:
                    return
        except httptools.HttpParserError as error:
            self._refuse_unread(error)

    def held_of_request(self) -> int:
        """Bytes of the incomplete request."""
        if self._head_open:
            return self._head_bytes + self._came
        return self._body_bytes if self._inbound is not None else 0

    # Called by the parser

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head_open = True
        self._has_method = False
        self.begun += 1
        self._head_bytes = self._body_bytes = 0
        self._began_with = self._came
        self.url = b""
        self.headers = []
        self._offered = False

    def on_url(self, url: bytes) -> None:
        """More of the target."""
        self.url += url
        self._has_method = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """One more header. A trailer behind a chunked body looks like one, and is dropped: the checks have seen the head by
        then.
        """
        if self._head_open:
            self.headers.append((name.lower(), value.rstrip()))
            return
        self._trailer_bytes += len(name) + len(value) + 4
        if self._trailer_bytes > HEAD_BYTES and not self.refusing:
            self._refuse_head()

    def on_headers_complete(self) -> None:
        """The head of a request is complete."""
        self._head_open = False
        if self._head_bytes + self._came > HEAD_BYTES and not self.refusing and self._is_too_long():
            self._refuse_head()
        if len(self.headers) > HEADERS and not self.refusing:
            self.turn_away(431, InvalidRequest(f"A request has at most {HEADERS} headers.", field="headers"))
        parser = self.parser
        if self.refusing or parser is None:
            return
        self._bodiless = -self._came
        headers, keep_alive, version = dict(self.headers), parser.should_keep_alive(), "1.1"
        method, flawed = _METHODS.get(parser.get_method()), None
        if (
            method is None
            or len(headers) < len(self.headers)
            or self.url[:1] != b"/"
            or not headers.get(b"host")
            or not _UNUSUAL.isdisjoint(headers)
        ):
            if parser.should_upgrade():
                self._offered = True
            if self._refuse_flawed() or self._offered:
                return
            self._trailer_bytes = 0  # only a body in chunks has any
            method, version = parser.get_method().decode(), parser.get_http_version()
            headers = together(self.headers)
            flawed = unreadable(headers, self.headers, version)
        elif not keep_alive or b"connection" in headers:
            version = parser.get_http_version()
            if version != "1.1" and self._refuse_flawed():
                return
        self._open(method, headers, flawed, keep_alive, version)

    def _open(
        self, method: str, headers: dict[bytes, bytes], flawed: HoldfastError | None, keep_alive: bool, version: str
    ) -> None:
        path, _, query = (self.url if b"#" not in self.url else self.url.partition(b"#")[0]).partition(b"?")
        request = Request(
            method,
            path.decode("ascii"),
            query,
            headers,
            self.address,
            keep_alive and version != "1.0",
            version,
            time.perf_counter(),
        )
        self._body_open, self._body_since = True, None
        self.app.open(request, flawed)
        if request.reply is not None:
            self._early = request
            return
        self._inbound = request
        if b"expect" in headers and version != "1.0" and asks_first(self.headers):
            self._asks_first = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
            self.send_continue()

    def on_body(self, body: bytes) -> None:
        """Gather the body."""
        self._body_bytes += len(body)
        self._bodiless = -self._came
        request = self._inbound
        if request is None or self.refusing:
            return
        if request.body:
            self._parts.append(body)
        else:
            request.body = body
        if self._body_bytes > SMALL_BYTES:
            self._see_to_large_body(request)

    def on_message_complete(self) -> None:
        """A request is whole."""
        if self._offered or self.refusing:
            return
        self._body_open = False
        request = self._inbound
        if request is None:
            self._answer_early()
            return
        self._inbound = None
        if self._body_bytes > SMALL_BYTES or self._parts or self._asks_first:
            request.body = b"".join((request.body, *self._parts))
            self.let_go_of_body()
            if self.account.held:
                self.charge()  # the handler counts the body again
        self.refusing = not request.keep_alive  # it was the last: bytes behind it are not a request
        self.take_in(request)

    # Bodies

    def send_continue(self) -> None:
        """Send 100 Continue, if the sender waits for it and it is its turn."""
        if self._asks_first and not self.is_answering() and not self.transport.is_closing():
            self._asks_first = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _see_to_large_body(self, request: Request) -> None:
        """Stop reading a body that is not small until it is its turn."""
        if self._body_bytes > self.app.body_bytes:
            detail = f"The body has more than {self.app.body_bytes} bytes."
            self._refuse_body(request, self.app.too_large(request, detail))
        elif self.is_answering():
            self.pause(BEHIND)
        elif self._body_bytes > LARGE_BODY_BYTES and self._turn is None:
            self.pause(LARGE)
            self._turn = self.loop.create_future()
            self.connections.run(self.loop.create_task(self._read_large(request, self._turn)))

    async def _read_large(self, request: Request, whole: asyncio.Future[None]) -> None:
        declared = request.headers.get(b"content-length")
        size = self.app.body_bytes if declared is None else int(declared)
        try:
            if not whole.done():
                async with self.app.budget.large_body(size, self.account):
                    self.read_on(LARGE)
                    await whole
        except HoldfastError as error:
            if self._inbound is request:
                self._refuse_body(request, self.app.refuse(request, error))
        finally:
            self.read_on(LARGE)

    def _refuse_body(self, request: Request, reply: Reply) -> None:
        """Answer a request whose body is still arriving; the rest of it is discarded."""
        request.reply, request.body = reply, b""
        self.let_go_of_body()
        self.take_in(request)

    def _answer_early(self) -> None:
        """Answer a request that needs no body: one that arrives is discarded."""
        request, self._early = self._early, None
        if request is not None:
            self.refusing = not request.keep_alive
            self.take_in(request)

    def let_go_of_body(self) -> None:
        """Wait for no body."""
        self._inbound = self._early = None
        self._asks_first = False
        if self._parts:
            self._parts = []
        if self._turn is not None:
            if not self._turn.done():
                self._turn.set_result(None)
            self._turn = None

    # What is refused

    def _refuse_flawed(self) -> bool:
        """Handle unusual headers; returns whether the request was refused."""
        assert self.parser is not None, "it has just read a head"
        method = self.parser.get_method()
        if self.url[:1] != b"/":
            self.url, self.headers = in_origin_form(self.url, method, self.headers)
        flawed = flaw(self.parser.get_http_version(), method, self.headers)
        if flawed is not None:
            self.turn_away(*flawed)
        elif self.url[:1] != b"/" and self.url != b"*":
            httptools.parse_url(self.url)
        return flawed is not None

    def _is_too_long(self) -> bool:
        """Whether the head itself is too long, and not only the bytes received with it."""
        return len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers]) > HEAD_BYTES

    def _refuse_head(self) -> None:
        self.turn_away(431, InvalidRequest(f"The head of a request has at most {HEAD_BYTES} bytes.", field="headers"))

    def _refuse_unread(self, error: httptools.HttpParserError) -> None:
        """Input that the parser can't read is refused like any bad request. Any other exception of a callback is a defect of
        ours, and it is unknown how far the request got.
        """
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
        if cause is not None and not isinstance(cause, httptools.HttpParserError | UnicodeDecodeError):
            log.error("a request broke off", exc_info=cause)
            self.transport.abort()
        elif not self.refusing:
            self._has_method |= isinstance(error, httptools.HttpParserInvalidURLError)  # what stands before it was read
            unread = InvalidRequest("This is no HTTP/1.1 request: Invalid HTTP request received.", field="request")
            self.turn_away(400, unread)
