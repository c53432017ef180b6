"""HTTP/1.1 as the clients speak it, without I/O: a request as bytes, and the reader of its answer (by httptools, the parser of Node.js)."""

from typing import Any

import httptools

from holdfast.client.origin import Origin
from holdfast.client.retry import Answer, Call, Lost, StreamRefused

CONNECT_S = 5.0
KEEP_ALIVE_S = 60.0  # shorter than the server's 75, so that it is rarely the server that closes first
HEAD_BYTES = 1 << 20  # of an answer: a server that sends more is none
LINE_BYTES = 1 << 20  # of a stream of events, which carry no payloads
_LENGTHS = (b"content-length", b"transfer-encoding")


class RequestBytes(bytes):
    """A request as it is sent. It has a token in it, which no traceback that shows variables may show."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


def request_bytes(origin: Origin, call: Call, headers: dict[str, str]) -> RequestBytes:
    """A request as it is sent. Raises `ValueError` for a header that would break it."""
    lines = [f"{call.method} {origin.prefix}{call.path} HTTP/1.1\r\nHost: {origin.authority}\r\nAccept-Encoding: identity\r\n"]
    for name, value in headers.items():
        if not value.isprintable() or max(value, default="") > "\xff":
            raise ValueError(f"The value of the header {name} has characters that no header can have.")
        lines.append(f"{name}: {value}\r\n")
    body = call.body
    if body is None:
        lines.append("Content-Length: 0\r\n\r\n" if call.method in ("POST", "PUT", "PATCH") else "\r\n")
        return RequestBytes("".join(lines).encode("latin-1"))
    lines.append(f"Content-Length: {len(body)}\r\n\r\n")
    return RequestBytes("".join(lines).encode("latin-1") + body)


class Response:
    """Reads one answer. `is_whole` says when it has come; the connection may be used again where it `keeps` it then."""

    __slots__ = (
        "_body",
        "_head_bytes",
        "_length_is_known",
        "_line",
        "_parser",
        "has_head",
        "is_whole",
        "keeps",
        "request_id",
        "retry_after",
        "status",
    )

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._line = b""
        self._head_bytes = 0
        self._begin()
        self.is_whole = False
        self.keeps = False

    def _begin(self) -> None:
        self.status = 0
        self.has_head = self._length_is_known = False
        self.request_id = self.retry_after = ""

    def feed(self, data: bytes) -> None:
        """Take what has come; raises `Lost` where it is no HTTP."""
        if not self.has_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise Lost("the server switched to another protocol") from None
        except httptools.HttpParserError as error:
            raise Lost(f"the answer is no HTTP: {error}") from error
        if self.is_whole:
            self._parser = None  # it holds on to this, which would wait for the collector of cycles
        elif not self.has_head and self._head_bytes > HEAD_BYTES:
            raise Lost(f"the head of the answer has more than {HEAD_BYTES} bytes")

    def end(self) -> None:
        """The server has closed the connection; raises `Lost` where that leaves the answer unfinished."""
        if not self.is_whole:
            if not self.has_head or self._length_is_known:
                raise Lost("the server closed the connection")
            self.is_whole, self._parser = True, None

    def take(self) -> bytes:
        """What has come of the body since this was last asked."""
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        return body

    def take_lines(self) -> list[bytes]:
        """The lines that have come since this was last asked; at the end also what follows the last of them. Raises `StreamRefused` and `Lost`."""
        if self.status != 200:
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
        """The whole answer."""
        return Answer(self.status, self.take(), self.request_id, self.retry_after)

    # Called by the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        if self.is_whole:
            self.keeps = False  # nobody asked for another answer
            return
        lower = name.lower()
        if lower in _LENGTHS:
            self._length_is_known = True
        elif lower == b"x-request-id":
            self.request_id = value.decode("latin-1")
        elif lower == b"retry-after":
            self.retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head has come."""
        if not self.is_whole:
            self.status = self._parser.get_status_code()
            self.has_head = self.status >= 200

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if not self.is_whole:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole, unless it was one of those that come before it (100 Continue)."""
        if self.status < 200:
            self._begin()
        elif not self.is_whole:
            self.is_whole, self.keeps = True, self._parser.should_keep_alive()
