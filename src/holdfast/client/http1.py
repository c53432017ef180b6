"""HTTP/1.1 as the clients speak it, without I/O: a request as bytes, and the reader of its answer (by httptools, the parser of Node.js)."""

from typing import Any

import httptools

from holdfast.client.origin import Origin
from holdfast.client.retry import Answer, Call, Lost, StreamRefused
from holdfast.client.traces import traceparent_line

CONNECT_S = 5.0
KEEP_ALIVE_S = 60.0  # shorter than the server's 75, so that it is rarely the server that closes first
KEPT_OPEN = 256  # idle connections to one server; what is beyond is closed after use
READ_BYTES = 65_536  # at a time
HEAD_BYTES = 1 << 20  # of an answer: a server that sends more is none
LINE_BYTES = 1 << 20  # of a stream of events, which carry no payloads
_HEAD_END = b"\r\n\r\n"
_WITH_BODY = ("POST", "PUT", "PATCH")


class RequestBytes(bytes):
    """A request as it is sent. It has a token in it, which no traceback that shows variables may show."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


def request_bytes(origin: Origin, call: Call, lines: str) -> RequestBytes:
    """A request as it is sent; `lines` are headers that all requests have."""
    body = call.body
    length = f"Content-Length: {len(body or b'')}\r\n" if body is not None or call.method in _WITH_BODY else ""
    return RequestBytes(
        f"{call.method} {origin.prefix}{call.path} HTTP/1.1\r\nHost: {origin.authority}\r\nAccept-Encoding: identity\r\n"
        f"{lines}{call.headers}{traceparent_line()}{length}\r\n".encode("latin-1")
        + (body or b"")
    )


class Response:
    """Reads the answers of one connection, one at a time: `expect` one, then `feed` what comes.

    `is_whole` says when it has come; the connection may be used again where it `keeps` it then.
    """

    __slots__ = ("_body", "_head", "_heads", "_line", "_parser", "has_head", "is_whole", "keeps", "status")

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self.expect()

    def expect(self) -> None:
        """Begin with the next answer."""
        self._head = self._line = b""
        self._heads = 0  # those before the answer's own, such as 100 Continue, counted with it
        self.status = 0
        self.has_head = self.is_whole = self.keeps = False

    def feed(self, data: bytes | memoryview) -> None:
        """Take what has come; raises `Lost` where it is no HTTP."""
        if not self.has_head:
            self._head += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise Lost("the server switched to another protocol") from None
        except httptools.HttpParserError as error:
            raise Lost(f"the answer is no HTTP: {error}") from error
        if not self.has_head and len(self._head) > HEAD_BYTES:
            raise Lost(f"the head of the answer has more than {HEAD_BYTES} bytes")

    def end(self) -> None:
        """The server has closed the connection; raises `Lost` where that leaves the answer unfinished."""
        if not self.is_whole:
            if not self.has_head or self._header(b"content-length") or self._header(b"transfer-encoding"):
                raise Lost("the server closed the connection")
            self.is_whole = True

    def close(self) -> None:
        """Nothing more is read: the parser and this hold on to each other, and would wait for the collector of cycles."""
        self._parser = None

    def take(self) -> bytes:
        """What has come of the body since this was last asked."""
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        return body

    def take_lines(self) -> list[bytes]:
        """The lines that have come since this was last asked; at the end also what follows the last of them. Raises `StreamRefused` and `Lost`."""
        if self.status != 200 or (self.has_head and not self._header(b"content-type").startswith("text/event-stream")):
            if self.is_whole:
                raise StreamRefused(self.answer())
            return []
        *lines, self._line = (self._line + self.take()).split(b"\n")
        if len(self._line) > LINE_BYTES:
            raise Lost(f"a line has more than {LINE_BYTES} bytes")
        if self.is_whole and self._line:
            lines.append(self._line)
        return lines

    def answer(self) -> Answer:
        """The whole answer. Only a refusal's headers are looked at: nobody asks for those of others."""
        if 200 <= self.status < 300:
            return Answer(self.status, self.take(), "", "")
        return Answer(self.status, self.take(), self._header(b"x-request-id"), self._header(b"retry-after"))

    def _header(self, name: bytes) -> str:
        """A header of the answer; empty where it has none."""
        for line in self._head.split(_HEAD_END, self._heads)[self._heads - 1].split(b"\r\n")[1:]:
            found, _, value = line.partition(b":")
            if found.lower() == name:
                return value.strip().decode("latin-1")
        return ""

    # Called by the parser

    def on_message_begin(self) -> None:
        """An answer begins."""
        self.keeps = False  # nobody asked for it, if there is one already

    def on_headers_complete(self) -> None:
        """A head has come."""
        if not self.is_whole:
            self._heads += 1
            self.status = self._parser.get_status_code()
            self.has_head = self.status >= 200

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if not self.is_whole:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole, unless it was one of those that come before it."""
        if self.has_head and not self.is_whole:
            self.is_whole, self.keeps = True, self._parser.should_keep_alive()
