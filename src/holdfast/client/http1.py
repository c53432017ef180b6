"""HTTP/1.1 as the clients speak it, without I/O: a request as bytes, and the reader of its answer (by httptools, the parser of Node.js)."""

import base64
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

import httptools

from holdfast.client.retry import Answer, Call, Lost, StreamRefused

CONNECT_S = 5.0
KEEP_ALIVE_S = 60.0  # shorter than the server's 75, so that it is rarely the server that closes first
HEAD_BYTES = 1 << 20  # of an answer: a server that sends more is none
LINE_BYTES = 64 << 20  # a line of a stream: an event is far smaller
_LENGTHS = (b"content-length", b"transfer-encoding")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """A base URL: where to connect, and what its requests begin with."""

    host: str
    port: int
    is_tls: bool
    prefix: str
    fixed: str = field(repr=False)
    """The headers of each request."""


@lru_cache(maxsize=256)
def origin_of(url: str) -> Origin:
    """Read a base URL. A user and password in it are sent as `Authorization: Basic`."""
    parts = urlsplit(url)
    port = parts.port or _PORTS[parts.scheme]
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host.encode("idna").decode()
    fixed = f"Host: {shown}\r\n" if port == _PORTS[parts.scheme] else f"Host: {shown}:{port}\r\n"
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        fixed += f"Authorization: Basic {base64.b64encode(pair.encode()).decode()}\r\n"
    return Origin(host, port, parts.scheme == "https", parts.path, fixed + "Accept-Encoding: identity\r\n")


class RequestBytes(bytes):
    """A request as it is sent. It has a token in it, which no traceback that shows variables may show."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


def request_bytes(origin: Origin, call: Call, headers: dict[str, str]) -> RequestBytes:
    """A request as it is sent. Raises `ValueError` for a header that would break it."""
    fixed = origin.fixed
    if "Authorization" in headers and "Authorization: Basic" in fixed:
        fixed = "".join(line for line in fixed.splitlines(keepends=True) if not line.startswith("Authorization"))
    lines = [f"{call.method} {origin.prefix}{call.path} HTTP/1.1\r\n{fixed}"]
    for name, value in headers.items():
        if not value.isprintable():
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
            self.is_whole, self.keeps = True, False

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
