"""Large answers on their way to a front: one after the other, each in pieces, with small answers in between.

    small answers ──────────────────────┐
                                        ├─▶ socket      a piece is written when the one before has left:
    large ones ─▶ a line ─▶ pieces ─────┘               so little stands before whoever comes next

An answer is encoded when it is its turn, so that the bytes of only one exist at a time.
"""

import asyncio
from collections.abc import Callable

from holdfast.errors import Overloaded
from holdfast.keeper.frames import frame_of_piece
from holdfast.limits import PIECE_BYTES, PIECES_AT_ONCE
from holdfast.messages.answers import Granted
from holdfast.messages.frame import Answer, Refused

_LEFT = Refused(Overloaded.code, "Nobody waits for this any more.")
_NOTHING = memoryview(b"")


class Pieces:
    """The large answers for one front. `encoded` makes a frame of one; `sent` is called when one has left."""

    def __init__(self, encoded: Callable[[int, Answer], bytes | bytearray], sent: Callable[[], None]) -> None:
        self._encoded = encoded
        self._sent = sent
        self._line: dict[int, tuple[Answer, int]] = {}
        self._rest = _NOTHING  # of the one being sent
        self._size = 0
        self._due = False
        self.held = 0  # bytes of those that have not left
        self.is_held_up = False  # what was written before has not left
        self.transport: asyncio.Transport | None = None

    def add(self, number: int, result: Answer, size: int) -> None:
        """Send this answer of about so many bytes when it is its turn."""
        self._line[number] = (result, size)
        self.held += size
        self.go_on()

    def leave(self, number: int) -> None:
        """The caller of this one has left; an answer being sent is completed, and so are leases, which the front has to hand back."""
        result, size = self._line.get(number, (None, 0))
        if result is not None and not isinstance(result, Granted):
            self._line[number] = (_LEFT, 0)
            self.held -= size
            self._sent()

    def go_on(self) -> None:
        """Schedule writing some pieces, unless that is scheduled already."""
        if not self._due and not self.is_held_up and (self._rest or self._line):
            self._due = True
            asyncio.get_running_loop().call_soon(self._write_some)

    def write_all(self) -> None:
        """Write all that is left at once: the process ends."""
        while self._rest or self._line:
            self._write_one()

    def _write_some(self) -> None:
        self._due = False
        for _ in range(PIECES_AT_ONCE):
            if self.is_held_up or not (self._rest or self._line):
                return
            self._write_one()
        self.go_on()

    def _write_one(self) -> None:
        transport = self.transport
        if transport is None or transport.is_closing():
            self._line.clear()
            self._rest, self.held = _NOTHING, 0
            return
        if not self._rest:
            number = next(iter(self._line))
            result, self._size = self._line.pop(number)
            self._rest = memoryview(self._encoded(number, result))
        piece, self._rest = self._rest[:PIECE_BYTES], self._rest[PIECE_BYTES:]
        transport.writelines((frame_of_piece(len(piece), is_last=not self._rest), piece))
        if not self._rest:
            self._rest = _NOTHING
            self.held -= self._size
            self._sent()
