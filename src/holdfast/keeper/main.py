"""The keeper: the process that owns the store file. Started by the server with one inherited socket for each front.

    front ──┐                       ┌─▶ committer ─▶ lifecycle ─▶ SQLite (fsync)
    front ──┼── frames ─▶ keeper ───┤                               │
    front ──┘ ◀── answers, news ────┴───────── after the commit ────┘

It ends when the last front has disconnected, for whatever reason, after committing what it received. Signals to the whole
process group are left to the server. When the store breaks, the commands in the batch are answered with `outcome_unknown`, and
the keeper exits with 1.
"""

import gc

if __name__ == "__main__":
    gc.disable()  # until `calm_collector`: imports leave no garbage

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable

import msgspec
import uvloop

from holdfast.allocator import give_back_when_quiet, use_one_heap
from holdfast.clock import SystemClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.errors import OutcomeUnknown
from holdfast.keeper.frames import UNSENDABLE, WEIGHTS, Answered, Asked, Frames, Hello, frame
from holdfast.keeper.pieces import Pieces
from holdfast.keeper.settings import KeeperConfig
from holdfast.keeper.store_file import FAILED, SWITCH_S, back_up, open_store
from holdfast.limits import FRAME_BYTES, KEEPER_UNSENT_BYTES, KEEPER_UNSENT_BYTES_MAX, LARGE_ANSWER_BYTES
from holdfast.logs import configure, settle, structlog
from holdfast.messages.commands import LeaseJobs
from holdfast.messages.events import Commit, Committed
from holdfast.messages.frame import Answer, Refused, Request
from holdfast.messages.queries import GetJob, ListJobs, ListSchedules, OldestDead
from holdfast.process import STOP_SIGNALS, calm_collector
from holdfast.stores.sqlite.files import UnfitPlace

log = structlog.get_logger(__name__)
_GRANTED_UNHEARD = 16  # callers of one front that are granted something before it is heard again; the others are woken by news
_LAST_WORDS_S = 2.0  # a front that does not read by then will learn it from the closed socket


_PAGES = (ListJobs, OldestDead, ListSchedules)
_UNSENT = Refused(
    OutcomeUnknown.code,
    "A defect in Holdfast: the answer could not be sent. The log has the details.",
    {"retry_after_ms": 1_000},
)


_NO_NEWS = Committed()


class FrontConnection:
    """One front: its requests go to the committer, its answers and the news of a commit go back in one frame. Large answers are
    sent beside it in pieces. Requests with large answers, pages and leases, are started only while the front keeps up with
    reading.
    """

    def __init__(self, number: int, backend: LocalBackend, hung_up: Callable[["FrontConnection"], None]) -> None:
        self._number = number
        self._backend = backend
        self._hung_up = hung_up
        self._outgoing = Answered([], [])
        self._weight = 0  # bytes in it
        self._unread = 0  # how far the front is behind with reading, see `_begins`
        self._unheard = 0  # grants to those who wait by it, since the last frame from it
        self._held_back: list[tuple[int, Request[Answer]]] = []
        self._reading: dict[int, asyncio.Task[None]] = {}
        self._flushing = False
        self._wants_events = self._wants_commits = False
        self._commit: Commit | None = None  # the one whose answers follow
        self._loop = asyncio.get_running_loop()
        self.frames = Frames(msgspec.msgpack.Decoder(Asked), self._take, self._lost, self._hold_up)
        self._large = Pieces(self._frame_of, self._mind)

    def may_be_granted(self) -> int:
        """None while the front has much to read before it; and few while nothing is heard of it: it may stand still, and what it is granted
        would be nobody's until the leases end.
        """
        return 0 if self._unread else _GRANTED_UNHEARD - self._unheard

    def granted(self) -> None:
        """One more who waits by this front is granted something."""
        self._unheard += 1

    def deliver(self, tag: object, result: Answer) -> None:
        """Send one answer with the next frame."""
        if self._reading:
            self._reading.pop(tag, None)  # type: ignore[call-overload]
        weigh = WEIGHTS.get(type(result))
        if weigh is not None and (weight := weigh(result)) > LARGE_ANSWER_BYTES:
            self._large.transport = self.frames.transport
            self._large.add(tag, result, weight)  # type: ignore[arg-type]
            self._mind()
            return
        self._outgoing.results.append((tag, result))  # type: ignore[arg-type]
        if weigh is not None:
            self._weight += weight
            if self._weight >= FRAME_BYTES:
                self.flush()
                return
        if not self._flushing:
            self._soon()

    def tell(self, news: Committed) -> None:
        """Send news with the next frame, behind the answers of the same commit."""
        if not self._wants_events and news.jobs:
            news = Committed(news.ready, news.freed, [], news.interests, news.stop, news.lost, news.keys)
        if news != _NO_NEWS:
            self._outgoing.news.append(news)
            if not self._flushing:
                self._soon()

    def hold(self, commit: Commit | None) -> None:
        """Answers and news of one commit follow: they leave with `send`."""
        self._flushing = True
        if commit is not None and self._wants_commits:
            self._outgoing.commit = self._commit = commit

    def send(self) -> None:
        """Send what has been collected, if anything."""
        self._flushing = False
        self._commit = None
        outgoing = self._outgoing
        if outgoing.results or outgoing.news or outgoing.hello is not None:
            self.flush()

    def greet(self, hello: Hello) -> None:
        """Send the greeting."""
        self._outgoing.hello = hello
        self.flush()

    def flush(self) -> None:
        """Send what has been collected."""
        outgoing, self._outgoing, self._weight = self._outgoing, Answered([], [], None, self._commit), 0
        transport = self.frames.transport
        if transport is None or transport.is_closing():
            return
        try:
            transport.write(frame(outgoing))
        except UNSENDABLE:
            self._write_one_by_one(outgoing, transport)
        if self._large.is_held_up:
            self._mind()

    def _write_one_by_one(self, outgoing: Answered, transport: asyncio.Transport) -> None:
        """An answer in this frame has no place in a frame: a defect, and its caller's alone. The others are sent."""
        for number, result in outgoing.results:
            transport.write(self._frame_of(number, result))
        for news in outgoing.news:
            try:
                transport.write(frame(Answered([], [news])))
            except UNSENDABLE:
                log.exception("events could not be sent to a front")
        if outgoing.hello is not None:
            transport.write(frame(Answered([], [], outgoing.hello)))

    def flush_all(self) -> None:
        """Send what has been collected, and all large answers."""
        self.flush()
        self._large.write_all()

    @staticmethod
    def _frame_of(number: int, result: Answer) -> bytes | bytearray:
        """One answer alone in a frame, or that it could not be sent."""
        try:
            return frame(Answered([(number, result)], []))
        except UNSENDABLE:
            log.exception("an answer could not be sent to a front", answer=type(result).__name__)
            return frame(Answered([(number, _UNSENT)], []))

    def _soon(self) -> None:
        self._flushing = True
        self._loop.call_soon(self.send)  # asking asyncio for it costs a system call each time

    def _hold_up(self, unread: bool) -> None:
        """Whether what was written last has not left yet."""
        self._large.is_held_up = unread
        self._large.go_on()
        self._mind()

    def _mind(self) -> None:
        """Look how far the front is behind with reading, and begin what was held back for that and need not be any more."""
        transport = self.frames.transport
        written = transport.get_write_buffer_size() if transport is not None and self._large.is_held_up else 0
        unread = self._large.held + written
        level = (unread >= KEEPER_UNSENT_BYTES) + (unread >= KEEPER_UNSENT_BYTES_MAX)
        eased, self._unread = level < self._unread, level
        if eased and self._held_back:
            held_back, self._held_back = self._held_back, []
            self._take_some(held_back)

    def _take(self, asked: Asked) -> None:
        self._unheard = 0
        if asked.job_events is not None or asked.report is not None or asked.commits:
            self._hear(asked)
        if self._unread:
            self._take_some(asked.requests)
        else:
            begin, reading = self._backend.request, self._reading
            for number, request in asked.requests:
                if (task := begin(request, self, number)) is not None:
                    reading[number] = task
        if asked.left and self._held_back:
            self._begin_left(set(asked.left))
        for number in asked.left:
            self._large.leave(number)
            if (left := self._reading.get(number)) is not None:
                left.cancel()  # which answers it
            else:
                self._backend.committer.leave(self, number)

    def _begin_left(self, left: set[int]) -> None:
        """Their callers have left: begun, they are answered at once."""
        held_back, self._held_back = self._held_back, []
        for one in held_back:
            if one[0] in left:
                self._begin(*one)
            else:
                self._held_back.append(one)

    def _hear(self, asked: Asked) -> None:
        """What the front wants to be told, and its metrics."""
        if asked.job_events is not None and asked.job_events is not self._wants_events:
            self._wants_events = asked.job_events
            self._backend.want_job_events(asked.job_events)
        if asked.commits and not self._wants_commits:
            self._wants_commits = True
            self._backend.committer.timed += 1
        if asked.report is not None:
            self._backend.reports[self._number] = asked.report

    def _take_some(self, requests: list[tuple[int, Request[Answer]]]) -> None:
        """Begin what brings little, while the front is behind with reading."""
        for number, request in requests:
            if self._unread and not self._begins(request):
                self._held_back.append((number, request))
            else:
                self._begin(number, request)

    def _begins(self, request: Request[Answer]) -> bool:
        """Whether this is begun though the front is behind: what may bring some jobs is not, and one job only as long as it is not far behind."""
        if type(request) is LeaseJobs:
            return request.limit == 1 and self._unread == 1
        if type(request) is GetJob:
            return self._unread == 1
        return type(request) not in _PAGES

    def _begin(self, number: int, request: Request[Answer]) -> None:
        reading = self._backend.request(request, self, number)
        if reading is not None:
            self._reading[number] = reading

    def _lost(self) -> None:
        if self._wants_events:
            self._backend.want_job_events(False)
        self._backend.committer.timed -= self._wants_commits
        for reading in self._reading.values():
            reading.cancel()
        self._backend.committer.forget(self)
        self._hung_up(self)


def _own_socket(fd: int) -> socket.socket:
    """A front's socket. A process that makes a backup must not keep it open after this one, whose end the front would not see."""
    sock = socket.socket(fileno=fd)
    sock.set_inheritable(False)
    return sock


async def keep(config: KeeperConfig) -> int:
    """Serve the fronts until the last one hangs up; the exit code."""
    sockets = [_own_socket(fd) for fd in config.fds]
    try:
        store = open_store(config.path, config.defaults, config.watermark_bytes)
    except UnfitPlace as error:
        with contextlib.suppress(OSError):  # a server that was told to end meanwhile
            sockets[0].sendall(frame(Answered(hello=Hello(problem=str(error)))))
        return 2
    backend = LocalBackend(store, SystemClock(), config.worker_silence_ms, config.audit_ms)
    running = backend.start()
    alone = asyncio.Event()
    fronts: list[FrontConnection] = []

    def hung_up(front: FrontConnection) -> None:
        fronts.remove(front)
        if not fronts:
            alone.set()

    for number, sock in enumerate(sockets):
        front = FrontConnection(number, backend, hung_up)
        fronts.append(front)
        await asyncio.get_running_loop().create_unix_connection(lambda front=front: front.frames, sock=sock)  # type: ignore[misc]
        backend.listen(front.tell)
        backend.committer.couriers.append(front)
        front.greet(Hello(store.durability.level, store.durability.replicas))
    backing_up = back_up(config.path, config.backups, backend)
    giving_back = asyncio.create_task(give_back_when_quiet(store.let_go_of_cache))
    waiting = asyncio.create_task(alone.wait())
    await asyncio.wait({waiting, running}, return_when=asyncio.FIRST_COMPLETED)
    giving_back.cancel()
    backing_up.cancel()
    if not running.done():
        await asyncio.gather(backing_up, return_exceptions=True)
        await backend.halt()
    if not running.cancelled():  # by itself it ends only when the store broke, or by a defect
        await _abandon(fronts, backend.committer.broken or running.exception())
    await store.close()
    return 0


async def _abandon(fronts: list[FrontConnection], cause: BaseException | None) -> None:
    """End at once: closing the file would flush and checkpoint it, and a flush that succeeds now proves nothing."""
    await _last_words(fronts)
    log.critical(FAILED, error=str(cause))
    settle()
    os._exit(1)


async def _last_words(fronts: list[FrontConnection]) -> None:
    """Send the answers that are ready before the process ends."""
    for front in fronts:
        front.flush_all()
        if front.frames.transport is not None:
            front.frames.transport.close()
    deadline = asyncio.get_running_loop().time() + _LAST_WORDS_S
    while any(front.frames.transport is not None and front.frames.transport.get_write_buffer_size() for front in fronts):
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.01)


def main() -> None:
    """Run the keeper with the config that the server gave as the one argument."""
    config = msgspec.json.decode(sys.argv[1], type=KeeperConfig)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # the server held them back while it started us
    configure(config.log_level, config.log_format)
    sys.setswitchinterval(SWITCH_S)
    calm_collector()
    use_one_heap()
    sys.exit(uvloop.run(keep(config)))


if __name__ == "__main__":
    main()
