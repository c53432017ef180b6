"""What travels between a front and the keeper: a length of four bytes, then msgpack of the command, answer and event types themselves.

A large frame may come in pieces, with other frames between them: the two highest bits of a length mark a piece, and the last
one.
"""

import asyncio
from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Union

import msgspec

from holdfast import messages
from holdfast.busy import LOOP
from holdfast.limits import PIECE_BYTES
from holdfast.messages.answers import Granted
from holdfast.messages.beanstalk_commands import PutJobs
from holdfast.messages.commands import ConcludeLease, Enqueue
from holdfast.messages.events import Commit, Committed
from holdfast.messages.frame import Answer, Request, kinds_of
from holdfast.messages.views import JobDetail, JobPage, SchedulePage

_LENGTH_BYTES = 4
_PIECE = 1 << 31
_LAST = 1 << 30
_encoder = msgspec.msgpack.Encoder()

if TYPE_CHECKING:
    AnyRequest = Request[Answer]
    AnyAnswer = Answer
else:  # every type sent by itself, distinguished by its tag; of all modules, whoever has been imported by now
    for _module in iter_modules(messages.__path__):
        import_module(f"{messages.__name__}.{_module.name}")
    AnyRequest = Union[kinds_of(Request)]  # noqa: UP007
    AnyAnswer = Union[kinds_of(Answer)]  # noqa: UP007


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """The keeper's greeting: how jobs are stored, or why it can't serve."""

    level: str = ""
    replicas: int = 0
    problem: str | None = None


class Asked(msgspec.Struct, array_like=True):
    """From a front: numbered requests; whether it wants job events; its metrics, for the other fronts; cancelled queries; whether it
    wants to know when commits were.
    """

    requests: list[tuple[int, AnyRequest]] = []
    job_events: bool | None = None
    report: bytes | None = None
    left: list[int] = []
    commits: bool = False


class Answered(msgspec.Struct, array_like=True):
    """From the keeper: results by the request's number, and what was committed since; when the commit was, if that is wanted."""

    results: list[tuple[int, AnyAnswer]] = []
    news: list[Committed] = []
    hello: Hello | None = None
    commit: Commit | None = None


def frame(message: Asked | Answered) -> bytes | bytearray:
    """A message as it travels. Raises `UNSENDABLE` for what can't."""
    body = bytearray(_LENGTH_BYTES)
    _encoder.encode_into(message, body, _LENGTH_BYTES)
    size = len(body) - _LENGTH_BYTES
    if size >= _LAST:
        raise OverflowError("a frame has less than 1 GiB")
    body[:_LENGTH_BYTES] = size.to_bytes(_LENGTH_BYTES, "big")
    return body


def frame_of_piece(size: int, *, is_last: bool) -> bytes:
    """The header of a piece of so many bytes of a frame."""
    return (_PIECE | (_LAST if is_last else 0) | size).to_bytes(_LENGTH_BYTES, "big")


UNSENDABLE = (TypeError, ValueError, OverflowError)
"""What encoding raises: for a value that msgpack has no form for, such as a number of 65 bits, and for a frame of 1 GiB or more."""


def _weight_of_jobs(command: Enqueue | PutJobs) -> int:
    jobs = command.jobs
    return len(jobs[0].payload) if len(jobs) == 1 else sum([len(job.payload) for job in jobs])


def _weight_of_end(command: ConcludeLease) -> int:
    size = len(command.result) if command.result is not None else 0
    return size + sum([len(job.payload) for job in command.then]) if command.then else size


WEIGHTS: dict[type, Callable[[Any], int]] = {
    Enqueue: _weight_of_jobs,
    PutJobs: _weight_of_jobs,
    ConcludeLease: _weight_of_end,
    Granted: lambda answer: answer.jobs[0].job.size if len(answer.jobs) == 1 else sum([one.job.size for one in answer.jobs]),
    JobPage: lambda answer: sum([len(detail.content.payload) for detail in answer.jobs]),
    JobDetail: lambda answer: len(answer.content.payload) + len(answer.result or b""),
    SchedulePage: lambda answer: sum([len(schedule.spec.job.payload) for schedule in answer.schedules]),
}
"""How many bytes of payload those carry that may carry much; 0 for every other type."""


class Frames(asyncio.Protocol):
    """Splits the stream into frames and passes each on, decoded."""

    def __init__(
        self,
        decoder: msgspec.msgpack.Decoder[Any],
        take: Callable[[Any], None],
        lost: Callable[[], None],
        unread: Callable[[bool], None] | None = None,
    ) -> None:
        self._decoder = decoder
        self._take = take
        self._lost = lost
        self._unread = unread
        self._buffer = bytearray()
        self._whole = bytearray()  # of a frame in pieces
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write; what waits is bounded by the engine, not here."""
        self.transport = transport  # type: ignore[assignment]  # uvloop's does not name its base class
        if self._unread is not None:
            transport.set_write_buffer_limits(PIECE_BYTES // 2)  # type: ignore[attr-defined]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The other end has disconnected."""
        self._lost()

    def pause_writing(self) -> None:
        """The other end is behind with reading."""
        if self._unread is not None:
            self._unread(True)

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._unread is not None:
            self._unread(False)

    def eof_received(self) -> bool:
        """Let the transport close itself."""
        return False

    def data_received(self, data: bytes) -> None:
        """Extract every complete frame received so far."""
        if LOOP.asleep:
            LOOP.wake()
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _LENGTH_BYTES:
            size = int.from_bytes(buffer[start : start + _LENGTH_BYTES], "big")
            start += _LENGTH_BYTES
            if size >= _PIECE:
                end = start + (size & (_LAST - 1))
                if len(buffer) < end:
                    start -= _LENGTH_BYTES
                    break
                self._take_piece(memoryview(buffer)[start:end], is_last=bool(size & _LAST))
            else:
                end = start + size
                if len(buffer) < end:
                    start -= _LENGTH_BYTES
                    break
                self._take(self._decoder.decode(memoryview(buffer)[start:end]))
            start = end
        if start:
            del buffer[:start]

    def _take_piece(self, piece: memoryview, *, is_last: bool) -> None:
        """One more piece of a large frame; with the last one it is whole."""
        self._whole += piece
        if is_last:
            whole, self._whole = self._whole, bytearray()
            self._take(self._decoder.decode(memoryview(whole)[_LENGTH_BYTES:]))
