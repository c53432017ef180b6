"""The engine's far side, here in this process: store, committer and ticker together.

The engine talks to a `Backing`. This one is used wherever the store is: in the keeper's process, in tests, and in a server whose store is
a database elsewhere. `keeper/link.py` is the other one: the same calls over a socket.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from msgspec.structs import replace

from holdfast.clock import Clock
from holdfast.engine import stats
from holdfast.engine.commands import (
    COMMANDS,
    BuryOrphans,
    Counted,
    ExpireLeases,
    FireSchedules,
    ForgetHistory,
    Forgotten,
    PromoteDue,
    ReapWorkers,
    Request,
    Result,
)
from holdfast.engine.committer import Committer, Sink
from holdfast.engine.events import Committed
from holdfast.engine.history import Recorder
from holdfast.engine.ticker import Tick, Ticker
from holdfast.engine.totals import Totals
from holdfast.engine.tube_commands import EndPauses
from holdfast.limits import HISTORY_QUEUES, WORKER_SILENCE_MS_DEFAULT
from holdfast.stores.queries import (
    Durability,
    GetHealth,
    GetHistory,
    GetStats,
    GetTube,
    ListQueues,
    ListWorkers,
    QueuePage,
    WorkerList,
)
from holdfast.stores.store import Store, StoreBroken

_BITE = 1_000  # jobs that one tick changes in one transaction
_SCHEDULES = 50  # schedules fired in one transaction
_HOUSEKEEPING_S = 1.0

Listener = Callable[[Committed], None]


class Backing(Protocol):
    """Where commands are committed and queries answered; the engine does not know whether it is near or far."""

    durability: Durability

    def submit(self, request: Request) -> "asyncio.Future[Result]":
        """Ask; the future is resolved after the commit, and cancelling it changes nothing."""
        ...

    def submit_all(self, requests: Sequence[Request]) -> "asyncio.Future[list[Result]]":
        """Ask many at once: one result each, in order, when the last of them is there."""
        ...

    def listen(self, listener: Listener) -> None:
        """Call `listener` with what is committed, from now on."""
        ...

    def want_job_events(self, wanted: bool) -> None:
        """Whether `Committed.jobs` is of interest: it costs something to send."""
        ...


class FutureSink:
    """Delivers an answer into the future that is its tag; a caller that left is passed over."""

    def deliver(self, tag: object, result: Result) -> None:
        """Resolve the future."""
        assert isinstance(tag, asyncio.Future), "this sink's tags are futures"
        if not tag.done():
            tag.set_result(result)


class Gathered:
    """Delivers the answers to many requests together: the tag of each is its place."""

    def __init__(self, future: "asyncio.Future[list[Result]]", count: int) -> None:
        self._future = future
        self._results: list[Any] = [None] * count
        self._missing = count

    def deliver(self, tag: object, result: Result) -> None:
        """Take the answer for one place; with the last one all are there."""
        self._results[tag] = result  # type: ignore[call-overload]  # this sink's tags are places
        self._missing -= 1
        if not self._missing and not self._future.done():
            self._future.set_result(self._results)


class InProcess:
    """A store with its committer and ticker, run by this event loop."""

    def __init__(self, store: Store, clock: Clock, silence_ms: int = WORKER_SILENCE_MS_DEFAULT) -> None:
        self.durability = store.durability
        self.totals = Totals()
        self._store = store
        self._clock = clock
        self._silence_ms = silence_ms
        self._started = clock.now()
        self._listeners: list[Listener] = []
        self._sink = FutureSink()
        self._wake_at: int | None = None
        self._forgotten_to = ""
        self.recorder = Recorder(self._started)
        self.committer = Committer(store, clock, self._publish, self._due_at, self.totals, self.recorder)
        self._ticker = Ticker(
            [
                Tick("due", _HOUSEKEEPING_S, self._pass_time, self._seconds_until_due),
                Tick("history", _HOUSEKEEPING_S, self._forget),
                Tick("workers", _HOUSEKEEPING_S, self._reap),
                Tick("health", _HOUSEKEEPING_S, self._look_at_disk),
                Tick("record", _HOUSEKEEPING_S, self._record),
            ]
        )
        self._runner: asyncio.Task[None] | None = None
        self.reports: dict[int, bytes] = {}

    def start(self) -> "asyncio.Task[None]":
        """Begin committing and ticking. The task ends only by `StoreBroken`."""
        self._runner = asyncio.create_task(self.committer.run(), name="committer")
        self._ticker.start()
        return self._runner

    async def stop(self) -> None:
        """Commit what waits, then let go of the store."""
        await self._ticker.stop()
        if self.committer.broken is None:
            await self.committer.settled()
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        await self._store.close()

    def submit(self, request: Request) -> "asyncio.Future[Result]":
        """Ask; see `Backing`."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.request(request, self._sink, future)
        return future

    def submit_all(self, requests: Sequence[Request]) -> "asyncio.Future[list[Result]]":
        """Ask many; see `Backing`."""
        future: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        gathered = Gathered(future, len(requests))
        if not requests:
            future.set_result([])
        for place, request in enumerate(requests):
            self.request(request, gathered, place)
        return future

    def request(self, request: Request, sink: Sink, tag: object) -> None:
        """Ask, with the answer going to `sink`."""
        if type(request) in COMMANDS:
            self.committer.submit(request, sink, tag)  # type: ignore[arg-type]
        else:
            task = asyncio.create_task(self._read(request, sink, tag))
            _READS.add(task)
            task.add_done_callback(_READS.discard)

    def listen(self, listener: Listener) -> None:
        """Call `listener` with what is committed."""
        self._listeners.append(listener)

    def want_job_events(self, wanted: bool) -> None:
        """Count those who want job events."""
        self.committer.listeners += 1 if wanted else -1

    async def _read(self, request: Request, sink: Sink, tag: object) -> None:
        try:
            if isinstance(request, GetStats):
                result: Result = await stats.gather(self._store, self.totals, self._clock.now(), self.reports)
            elif isinstance(request, GetHealth):
                result = stats.of_store(self._store, self.totals)
            elif isinstance(request, GetHistory):
                result = self.recorder.answer(request, self._clock.now())
            elif isinstance(request, GetTube):
                result = await stats.of_tube(self._store, self.totals, request.name, self._clock.now())
            elif isinstance(request, ListWorkers):
                result = self._with_beats(await self._store.read(request, self._clock.now()))
            else:
                result = await self._store.read(request, self._clock.now())  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001  (every question gets an answer; a defect is logged there)
            result = stats.refusal(error)
        sink.deliver(tag, result)

    def _with_beats(self, read: Result) -> WorkerList:
        """Workers with when they were last heard of: a restart counts as a beat of everyone."""
        assert isinstance(read, WorkerList), "workers are answered with workers"
        beats = self.committer.beats
        workers = [
            replace(info, beat_at=beats.get(info.worker.id, max(self._started, info.worker.registered_at)))
            for info in read.workers
        ]
        return WorkerList(workers, read.now)

    def _publish(self, news: Committed) -> None:
        for listener in self._listeners:
            listener(news)

    def _due_at(self, moment: int) -> None:
        if self._wake_at is None or moment < self._wake_at:
            self._ticker.nudge()

    async def _seconds_until_due(self) -> float:
        moments = [*self.committer.pauses.values()]
        if (due := await self._store.next_due()) is not None:
            moments.append(due)
        self._wake_at = min(moments, default=None)
        return _HOUSEKEEPING_S if self._wake_at is None else (self._wake_at - self._clock.now()) / 1000

    async def _pass_time(self) -> bool:
        commands: tuple[Request, ...] = (ExpireLeases(_BITE), PromoteDue(_BITE), FireSchedules(_SCHEDULES))
        if self.committer.pauses:
            commands = (*commands, EndPauses())
        results = await asyncio.gather(*[self.submit(command) for command in commands])
        return any(_count(result) > 0 for result in results)

    async def _forget(self) -> bool:
        result = await self.submit(ForgetHistory(_BITE, self._forgotten_to))
        if not isinstance(result, Forgotten):
            return False
        self._forgotten_to = result.after
        return result.count >= _BITE

    async def _reap(self) -> bool:
        _, buried = await asyncio.gather(self.submit(ReapWorkers(self._silence_ms)), self.submit(BuryOrphans(_BITE)))
        return _count(buried) >= _BITE

    async def _record(self) -> bool:
        now = self._clock.now()
        if self.recorder.due(now):
            page = await self._store.read(ListQueues(HISTORY_QUEUES), now)
            assert isinstance(page, QueuePage), "queues are answered with a page of queues"
            depths = {info.name: info.tally.unfinished for info in page.queues}
            self.recorder.depths(depths, sum(depths.values()), now)
            self.recorder.roll(now)
        return False

    async def _look_at_disk(self) -> bool:
        self._store.health()
        return False


_READS: set["asyncio.Task[None]"] = set()


def _count(result: Result) -> int:
    return result.count if isinstance(result, Counted) else 0


__all__ = ["Backing", "FutureSink", "InProcess", "Listener", "StoreBroken"]
