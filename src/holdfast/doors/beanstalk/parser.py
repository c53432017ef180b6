"""Bytes in, commands out: the incremental parser of one connection.

A command is parsed only when it can be processed; until then its bytes wait, and the connection stops reading when there are
many. Three things can be in progress: a line, a body (with its line end), or bytes that are discarded before a reply.

A peer with another protocol is detected before the end of its first line, however long that is: nothing behind it is ever
parsed as a command.
"""

from holdfast.doors.beanstalk.grammar import BAD_FORMAT, FOREIGN, Asked, is_foreign, is_foreign_end, is_foreign_start, parse
from holdfast.limits import TUBE_LINE_BYTES

_LINE_END = b"\r\n"
_EXPECTED_CRLF: Asked = ("put-refused", b"EXPECTED_CRLF\r\n")
_JOB_TOO_BIG: Asked = ("put-refused", b"JOB_TOO_BIG\r\n")
_GARBAGE: Asked = ("put-refused", BAD_FORMAT)
_BAD: Asked = ("say", BAD_FORMAT)
_TAIL_BYTES = 16  # kept of a discarded line: half of its end, and what shows that it was a request


class Feed:
    """The unread bytes of one connection."""

    __slots__ = ("_at", "_begun", "_bytes", "_endless", "_put", "_skip", "body_bytes")

    def __init__(self, body_bytes: int) -> None:
        self.body_bytes = body_bytes
        self._bytes: bytes | bytearray = b""
        self._at = 0
        self._put: Asked | None = None  # its body follows
        self._skip = 0  # bytes to throw away before JOB_TOO_BIG
        self._endless = False  # in a line that is too long
        self._begun = False  # the first byte has been checked

    def add(self, data: bytes) -> None:
        """Bytes were received."""
        if self._at >= len(self._bytes):
            self._bytes, self._at = data, 0
            return
        if isinstance(self._bytes, bytes):
            self._bytes = bytearray(memoryview(self._bytes)[self._at :])
        else:
            del self._bytes[: self._at]
        self._bytes += data
        self._at = 0

    def __len__(self) -> int:
        """How many bytes wait."""
        return len(self._bytes) - self._at

    @property
    def is_between(self) -> bool:
        """Whether nothing of a command is here."""
        return not len(self) and self._put is None and not self._skip and not self._endless

    def may_begin(self, word: bytes) -> bool:
        """Whether the received bytes may be a line that begins with this."""
        return word.startswith(bytes(self._bytes[self._at : self._at + len(word)]))

    def next(self) -> Asked | None:
        """The next command, once it is complete. A put ends with its body."""
        if self._skip:
            return self._skipped()
        if self._endless:
            return self._ended()
        if self._put is not None:
            return self._body()
        if not self._begun and len(self):
            self._begun = True
            if is_foreign_start(self._bytes[self._at]):
                return FOREIGN
        end = self._bytes.find(_LINE_END, self._at, self._at + TUBE_LINE_BYTES)
        if end < 0:
            return self._begun_line()
        asked = parse(bytes(self._bytes[self._at : end]))
        self._at = end + 2
        return self._begun_put(asked) if asked[0] == "put" else asked

    def _begun_line(self) -> Asked | None:
        """A line without an end: more of it is waited for, unless it is too long already."""
        if len(self) < TUBE_LINE_BYTES:
            return None
        if is_foreign(bytes(self._bytes[self._at : self._at + TUBE_LINE_BYTES])):
            return FOREIGN
        self._endless = True
        return self._ended()

    def _begun_put(self, asked: Asked) -> Asked | None:
        size, garbage = asked[4], asked[5]
        if size > self.body_bytes:
            self._skip = size + 2
            return self._skipped()
        if garbage:
            return _GARBAGE
        self._put = asked
        return self._body()

    def _body(self) -> Asked | None:
        assert self._put is not None, "a body belongs to a put"
        _, pri, delay, ttr, size, _ = self._put
        if len(self) < size + 2:
            return None
        end = self._at + size
        whole = self._bytes[end : end + 2] == _LINE_END
        body = bytes(self._bytes[self._at : end]) if whole else b""
        self._at = end + 2
        self._put = None
        return ("put", pri, delay, ttr, body) if whole else _EXPECTED_CRLF

    def _skipped(self) -> Asked | None:
        step = min(self._skip, len(self))
        self._at += step
        self._skip -= step
        return None if self._skip else _JOB_TOO_BIG

    def _ended(self) -> Asked | None:
        """Discard the rest of a line that is too long, but for its last bytes."""
        end = self._bytes.find(_LINE_END, self._at)
        if end < 0:
            self._at = max(self._at, len(self._bytes) - _TAIL_BYTES)
            return None
        tail = bytes(self._bytes[max(self._at, end - _TAIL_BYTES + 1) : end])
        self._at = end + 2
        self._endless = False
        return FOREIGN if is_foreign_end(tail) else _BAD
