"""The engine's far side, here in this process: store, committer and ticker together.

The engine talks to a `Backing`. This one is used wherever the store is: in the keeper's process, in tests, and in a server whose store is
a database elsewhere. `keeper/link.py` is the other one: the same calls over a socket.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
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
from holdfast.engine.nodes import Nodes
from holdfast.engine.ticker import Tick, Ticker
from holdfast.engine.totals import Totals
from holdfast.engine.trail import Trail
from holdfast.engine.tube_commands import EndPauses
from holdfast.errors import Unavailable
from holdfast.limits import HISTORY_QUEUES, WORKER_SILENCE_MS_DEFAULT
from holdfast.stores.queries import (
    Durability,
    ExplainJob,
    GetHealth,
    GetHistory,
    GetNotes,
    GetStats,
    GetTube,
    JobFacts,
    ListQueues,
    ListWorkers,
    QueuePage,
    Stats,
    TakeNote,
    WorkerList,
)
from holdfast.stores.store import Store, StoreBroken
from holdfast.workers import registry

_BITE = 1_000  # jobs that one tick changes in one transaction
_SCHEDULES = 50  # schedules fired in one transaction
_HOUSEKEEPING_S = 1.0
_PRODUCED_S = 0.05  # between looks at what applications enqueue by SQL, while they do
_PRODUCED_QUEUES = 500  # waited for, that are looked at so often
_SHARING_MS = 3_000  # more silence is allowed where beats come by way of the store: each node shares its own every second

Listener = Callable[[Committed], None]
Waited = Callable[[], Iterable[str]]
"""The queues that somebody waits for."""


class Backing(Protocol):
    """Where commands are committed and queries answered; the engine does not know whether it is near or far."""

    durability: Durability

    def submit(self, request: Request) -> "asyncio.Future[Result]":
        """Ask; the future is resolved after the commit, and cancelling it changes nothing."""
        ...

    def submit_all(self, requests: Sequence[Request]) -> "asyncio.Future[list[Result]]":
        """Ask many at once: one result each, in order, when the last of them is there."""
        ...

    def listen(self, listener: Listener, waited: Waited | None = None) -> None:
        """Call `listener` with what is committed, from now on. `waited` tells which queues it waits for news of."""
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
        self.trail = Trail(self._started)
        self.committer = Committer(store, clock, self._publish, self._due_at, self.totals, self.recorder)
        self._waited: list[Waited] = []
        self._nodes = Nodes(store, self._deliver, self._count_listener) if store.shared else None
        self._wanting_events = 0
        ticks = [
            Tick("due", _HOUSEKEEPING_S, self._pass_time, self._seconds_until_due),
            Tick("history", _HOUSEKEEPING_S, self._forget),
            Tick("workers", _HOUSEKEEPING_S, self._reap),
            Tick("health", _HOUSEKEEPING_S, self._tend),
            Tick("record", _HOUSEKEEPING_S, _unless_away(self._record)),
        ]
        if self._nodes is not None:
            ticks.append(Tick("nodes", _HOUSEKEEPING_S, _unless_away(self._look_around)))
            ticks.append(Tick("producers", _PRODUCED_S, _unless_away(self._look_beside)))
        self._ticker = Ticker(ticks)
        self._runner: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.reports: dict[int, bytes] = {}

    def start(self) -> "asyncio.Task[None]":
        """Begin committing and ticking. The task ends only by `StoreBroken`."""
        self._runner = asyncio.create_task(self.committer.run(), name="committer")
        self._ticker.start()
        if self._nodes is not None:
            self._nodes.start()
        return self._runner

    async def stop(self) -> None:
        """Commit what waits, then let go of the store."""
        await self._ticker.stop()
        if self.committer.broken is None:
            await self.committer.settled()
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        if self._nodes is not None:
            await self._nodes.stop()
        await self._store.close()

    def submit(self, request: Request) -> "asyncio.Future[Result]":
        """Ask; see `Backing`."""
        future: asyncio.Future[Result] = self._running_loop().create_future()
        self.request(request, self._sink, future)
        return future

    def submit_all(self, requests: Sequence[Request]) -> "asyncio.Future[list[Result]]":
        """Ask many; see `Backing`."""
        future: asyncio.Future[list[Result]] = self._running_loop().create_future()
        gathered = Gathered(future, len(requests))
        if not requests:
            future.set_result([])
        for place, request in enumerate(requests):
            self.request(request, gathered, place)
        return future

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # once: it costs a system call
        return self._loop

    def request(self, request: Request, sink: Sink, tag: object) -> None:
        """Ask, with the answer going to `sink`."""
        if type(request) in COMMANDS:
            self.committer.submit(request, sink, tag)  # type: ignore[arg-type]
        else:
            task = asyncio.create_task(self._read(request, sink, tag))
            _READS.add(task)
            task.add_done_callback(_READS.discard)

    async def pass_time(self) -> None:
        """Do all that is due by now, without waiting for a tick: for a clock that was moved by hand."""
        while await self._pass_time():
            pass

    def listen(self, listener: Listener, waited: Waited | None = None) -> None:
        """Call `listener` with what is committed."""
        self._listeners.append(listener)
        if waited is not None:
            self._waited.append(waited)

    def want_job_events(self, wanted: bool) -> None:
        """Count those who want job events."""
        self._count_listener(wanted)
        self._wanting_events += 1 if wanted else -1
        if self._nodes is not None and self._wanting_events:
            self._nodes.ask_for_events()

    def _count_listener(self, wanted: bool) -> None:
        self.committer.listeners += 1 if wanted else -1

    async def _read(self, request: Request, sink: Sink, tag: object) -> None:
        try:
            if isinstance(request, GetStats):
                result: Result = await self._stats(request)
            elif isinstance(request, TakeNote):
                result = self.trail.take(request.note, self._clock.now())
            elif isinstance(request, GetNotes):
                result = self.trail.latest(request.limit, self._clock.now())
            elif isinstance(request, GetHealth):
                await self._store.tend()  # an answer means that it was looked at now
                result = stats.of_store(self._store, self.totals)
            elif isinstance(request, GetHistory):
                result = self.recorder.answer(request, self._clock.now())
            elif isinstance(request, GetTube):
                result = await stats.of_tube(self._store, self.totals, request.name, self._clock.now())
            elif isinstance(request, ListWorkers):
                result = self._with_beats(await self._store.read(request, self._clock.now()))
            elif isinstance(request, ExplainJob):
                result = self._with_silent(await self._store.read(request, self._clock.now()))
            else:
                result = await self._store.read(request, self._clock.now())  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001  (every question gets an answer; a defect is logged there)
            result = stats.refusal(error)
        sink.deliver(tag, result)

    async def _stats(self, query: GetStats) -> Stats:
        now = self._clock.now()
        if query.most is None and query.only is None:
            return await stats.gather(self._store, self.totals, now, self.reports)
        return await stats.gather_some(self._store, self.totals, query, now)

    def _with_beats(self, read: Result) -> WorkerList:
        """Workers with when they were last heard of: a restart counts as a beat of everyone."""
        assert isinstance(read, WorkerList), "workers are answered with workers"
        beats = self.committer.beats
        workers = [
            replace(info, beat_at=beats.get(info.worker.id, max(self._started, info.worker.registered_at)))
            for info in read.workers
        ]
        return WorkerList(workers, read.now)

    def _with_silent(self, read: Result) -> Result:
        """The facts of a job, with how many of its queue's workers have not been heard of for a while."""
        if not isinstance(read, JobFacts):
            return read
        beats = self.committer.beats
        silent = sum(
            registry.is_silent(beats.get(worker, max(self._started, registered_at)), read.now)
            for worker, registered_at in read.takers
        )
        return replace(read, takers=[], silent=silent)

    def _publish(self, news: Committed) -> None:
        self._deliver(news)
        if self._nodes is not None:
            self._nodes.tell(news)

    def _deliver(self, news: Committed) -> None:
        for listener in self._listeners:
            listener(news)

    def _due_at(self, moment: int) -> None:
        if self._wake_at is None or moment < self._wake_at:
            self._ticker.nudge()

    async def _seconds_until_due(self) -> float:
        moments = [*self.committer.pauses.values()]
        try:
            due = await self._store.next_due()
        except Unavailable:
            return _HOUSEKEEPING_S
        if due is not None:
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
        silence_ms = self._silence_ms
        if self._store.shared:
            try:
                await self._store.share_beats(self.committer.beats)
            except Unavailable:
                return False  # nobody is silent for whom we may only be deaf
            silence_ms += _SHARING_MS
        _, buried = await asyncio.gather(self.submit(ReapWorkers(silence_ms)), self.submit(BuryOrphans(_BITE)))
        return _count(buried) >= _BITE

    async def _look_around(self) -> bool:
        """The truth behind the hints of other nodes: look at the queues that somebody waits for."""
        assert self._nodes is not None, "it is only done where there are others"
        self._nodes.look_who_wants(self._wanting_events > 0)
        await self._look_at(self._waited_for())
        return False

    async def _look_beside(self) -> bool:
        """The same, often, while jobs come of which no node tells."""
        names = self._waited_for()
        if names and await self._store.produced_beside():
            await self._look_at(names[:_PRODUCED_QUEUES])
        return False

    def _waited_for(self) -> list[str]:
        return sorted({name for waited in self._waited for name in waited()})

    async def _look_at(self, names: list[str]) -> None:
        if names:
            now = self._clock.now()
            queues = await self._store.look_at(names)
            ready = {queue.name: count for queue in queues if (count := queue.may_lease_at(now)) > 0}
            self._deliver(Committed(ready, [queue.name for queue in queues if queue.has_room(1, 1)]))

    async def _record(self) -> bool:
        now = self._clock.now()
        if self.recorder.due(now):
            page = await self._store.read(ListQueues(HISTORY_QUEUES), now)
            assert isinstance(page, QueuePage), "queues are answered with a page of queues"
            depths = {info.name: info.tally.unfinished for info in page.queues}
            self.recorder.depths(depths, sum(depths.values()), now)
            self.recorder.roll(now)
        return False

    async def _tend(self) -> bool:
        await self._store.tend()
        return False


_READS: set["asyncio.Task[None]"] = set()


def _unless_away(work: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
    """The same work, left out while the store is not there: that it is not is told elsewhere."""

    async def tried() -> bool:
        try:
            return await work()
        except Unavailable:
            return False

    return tried


def _count(result: Result) -> int:
    return result.count if isinstance(result, Counted) else 0


__all__ = ["Backing", "FutureSink", "InProcess", "Listener", "StoreBroken"]
