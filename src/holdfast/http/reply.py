"""An answer as a value, and its head as bytes."""

import http
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import quote

_SAFE = "/#%[]=:;$&()+,!?*@'~"  # of a URL: reserved, or escaped already
Pairs = tuple[tuple[bytes, bytes], ...]

JSON = b"application/json"
_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}
_HEAD = (
    b"%bcontent-type: %b\r\ncontent-length: %d\r\ncache-control: %b\r\nx-request-id: %b\r\nx-content-type-options: nosniff\r\n"
)
_HEAD_ALONE = b"%bcache-control: %b\r\nx-request-id: %b\r\nx-content-type-options: nosniff\r\n"
_WITHOUT_BODY = frozenset((204, 304))


@dataclass(slots=True)
class Reply:
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
    """Status lines with the headers that change once a second: the date."""

    __slots__ = ("_lines", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._lines: dict[int, bytes] = {}

    def of(self, reply: Reply, request_id: bytes) -> bytes:
        """All lines of an answer's head but the one that ends it."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._lines.clear()
        first = self._lines.get(reply.status)
        if first is None:
            date = formatdate(second, usegmt=True).encode()
            first = self._lines[reply.status] = b"%bdate: %b\r\n" % (_STATUS[reply.status], date)
        if reply.stream is None and reply.status not in _WITHOUT_BODY:
            lines = _HEAD % (first, reply.content_type, len(reply.body), reply.cache, request_id)
        else:
            lines = _HEAD_ALONE % (first, reply.cache, request_id)
            if reply.stream is not None:
                lines += b"content-type: %b\r\n" % reply.content_type
        for pair in reply.extra:
            lines += b"%b: %b\r\n" % pair
        return lines
