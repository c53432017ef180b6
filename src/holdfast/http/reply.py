"""An answer as a value, and its head as bytes."""

import http
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from urllib.parse import quote

import msgspec

_SAFE = "/#%[]=:;$&()+,!?*@'~"  # of a URL: reserved, or escaped already
Pairs = tuple[tuple[bytes, bytes], ...]

JSON = b"application/json"
_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}
_HEAD = b"%bdate: %b\r\ncache-control: %b\r\nx-content-type-options: nosniff\r\n"
_BODY = b"%bcontent-type: %b\r\ncontent-length: "
_WITHOUT_BODY = frozenset((204, 304))
_KINDS = 200  # of answers whose first lines are kept for the second


class Reply(msgspec.Struct):
    """The answer to a request. `extra` are headers of this answer only, `cache` is its Cache-Control; `stream` is a body of
    unknown length, in place of `body`.
    """

    status: int
    body: bytes = b""
    content_type: bytes = JSON
    extra: Pairs = ()
    cache: bytes = b"no-store"
    stream: AsyncIterator[bytes] | None = None


NOTHING = Reply(204)


def redirect(where: str, status: int = 303) -> Reply:
    """To another place."""
    return Reply(status, b"", b"text/plain; charset=utf-8", ((b"location", quote(where, safe=_SAFE).encode()),))


class Heads:
    """The first lines of answers: the status, and headers that change once a second at most."""

    __slots__ = ("_lines", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._lines: dict[tuple[int, bytes | None, bytes], bytes] = {}

    def of(self, reply: Reply, request_id: bytes) -> bytes:
        """All lines of an answer's head but the one that ends it."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._lines.clear()
        if reply.stream is None and reply.status not in _WITHOUT_BODY:
            first = self._first(reply, True)
            lines = b"%b%d\r\nx-request-id: %b\r\n" % (first, len(reply.body), request_id)
        else:
            lines = b"%bx-request-id: %b\r\n" % (self._first(reply, False), request_id)
            if reply.stream is not None:
                lines += b"content-type: %b\r\n" % reply.content_type
        for pair in reply.extra:
            lines += b"%b: %b\r\n" % pair
        return lines

    def _first(self, reply: Reply, has_body: bool) -> bytes:
        kind = (reply.status, reply.content_type if has_body else None, reply.cache)
        first = self._lines.get(kind)
        if first is None:
            date = formatdate(self._second, usegmt=True).encode()
            first = _HEAD % (_STATUS[reply.status], date, reply.cache)
            if has_body:
                first = _BODY % (first, reply.content_type)
            if len(self._lines) < _KINDS:
                self._lines[kind] = first
        return first
