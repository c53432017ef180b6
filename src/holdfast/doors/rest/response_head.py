"""The head of an answer as bytes, for those that are written without ASGI."""

import http

from holdfast.doors.rest.replies import Reply

STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}
_HEAD = b"%bcontent-type: %b\r\ncontent-length: %d\r\ncache-control: no-store\r\nx-request-id: %b\r\n"  # as gate.common_headers


class Heads:
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
            lines = self._lines[status] = b"".join([STATUS[status], *(b"%b: %b\r\n" % pair for pair in defaults)])
        return lines


def head(reply: Reply, first: bytes, request_id: bytes) -> bytes:
    """All lines of an answer's head but the one that ends it."""
    lines = _HEAD % (first, reply.content_type, len(reply.body), request_id)
    for pair in reply.extra:
        lines += b"%b: %b\r\n" % pair
    return lines
