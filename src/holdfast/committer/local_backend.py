"""The engine's far side, here in this process: store, committer and ticker together.

The engine talks to a `Backend`. This one is used where the store is in the same process: in the keeper, in tests, and in a
server with PostgreSQL. The other one, `keeper/link.py`, offers the same calls over a socket.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from typing import Any

from holdfast import busy
from holdfast.clock import Clock
from holdfast.committer import stats
from holdfast.committer.committer import Committer
from holdfast.committer.health import HealthWatch
from holdfast.committer.history import Recorder
from holdfast.committer.intake import Intake
from holdfast.committer.lookup import Lookup
from holdfast.committer.nodes import Nodes
from holdfast.committer.operation_runner import OperationRunner
from holdfast.committer.routes import Routes
from holdfast.committer.ticker import Tick, Ticker
from holdfast.committer.totals import Totals
from holdfast.errors import InternalError, Overloaded, StaleInterests, Unavailable
from holdfast.limits import (
    AUDIT_CHUNK,
    AUDIT_RETENTION_MS_DEFAULT,
    BUDGET_ACCOUNTS,
    CLOSING_JOBS,
    FAIR_CHUNK,
    HISTORY_QUEUES,
    SCHEDULES,
    TYPES_CHUNK,
    WORKER_SILENCE_MS_DEFAULT,
)
from holdfast.messages.answers import Counted, Forgotten, Granted
from holdfast.messages.audit import RecordAudit, TrimAudit, refusal_of
from holdfast.messages.backend import FutureSink, Gathered, Listener, Sink, Waited
from holdfast.messages.beanstalk_commands import EndPauses
from holdfast.messages.commands import AwaitJobs, LeaseJobs, RunSchedule
from holdfast.messages.events import Committed
from holdfast.messages.frame import A, Answer, Command, Query, Refused, Request
from holdfast.messages.job_batches import PutClosingJobs
from holdfast.messages.owed import Owed
from holdfast.messages.queries import GetInterests, ListQueues, ListSchedules
from holdfast.messages.time_commands import (
    AdmitWaiting,
    BuryOrphans,
    EndOverdue,
    ExpireLeases,
    FillTypes,
    FireSchedules,
    ForgetHistory,
    ForgetShares,
    PromoteDue,
    ReapWorkers,
    SortShares,
)
from holdfast.messages.views import InterestList
from holdfast.routing.router import Router
from holdfast.stores.store import Store, StoreBroken

_CHUNK = 1_000  # jobs that one tick changes in one transaction
_SCHEDULES = 50  # schedules fired in one transaction
_HOUSEKEEPING_S = 1.0
_AUDIT_S = 10.0
_ROUTING_S = 0.05  # between checks for due schedules while an event is being routed; a finished route is used at once
_ROUTED_TRIES = 10  # only a program with a defect changes interests faster than this
_PRODUCED_S = 0.05  # between polls for jobs that applications enqueue by SQL, while they do
_PRODUCED_QUEUES = 500  # queues with waiting callers that are polled this often
_INBOX_S = 0.05  # between looks into the inbox
_SHARING_MS = (
    3_000  # longer silence is allowed where heartbeats are shared through the store, which each node does every second
)


class LocalBackend:
    """A store with its committer and ticker, run by this event loop."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        silence_ms: int = WORKER_SILENCE_MS_DEFAULT,
        audit_ms: int = AUDIT_RETENTION_MS_DEFAULT,
    ) -> None:
        self.durability = store.durability
        self.totals = Totals()
        self._store = store
        self._clock = clock
        self._silence_ms = silence_ms
        self._audit_ms = audit_ms
        self._started = clock.now()
        self._listeners: list[Listener] = []
        self._sink = FutureSink()
        self._wake_at: int | None = None
        self._forgotten_to = ""
        self._owed_to = 0
        self.recorder = Recorder(self._started)
        self.committer = Committer(store, clock, self._publish, self._due_at, self.totals, self.recorder)
        self.committer.untold = Owed(self.submit).give_back_later
        self._router = Router(self._all_interests)
        self._routes = self.committer.routes = Routes(self._router, self._nudge)
        self._reading: dict[asyncio.Future[Any], asyncio.Task[None]] = {}
        self._watch = HealthWatch(store, clock, self.totals, self.committer.aside)
        self.reports: dict[int, bytes] = {}
        self._lookup = Lookup(store, clock, self.committer, self.totals, self.recorder, self.reports, self._look)
        self._waited: list[Waited] = []
        self._nodes = Nodes(store, self._deliver, self._count_listener) if store.shared else None
        self._wanting_events = 0
        self.intake: Intake | None = None
        node = self._nodes.name if self._nodes is not None else ""
        self.operations = OperationRunner(store, clock, self.submit, node, self.totals.operations)
        ticks = [
            Tick("due", _HOUSEKEEPING_S, self._pass_time, self._seconds_until_due),
            Tick("history", _HOUSEKEEPING_S, self._forget),
            Tick("closing", _HOUSEKEEPING_S, self._put_closing_jobs),
            Tick("audit", _AUDIT_S, self._trim_audit),
            Tick("operations", _HOUSEKEEPING_S, self.operations.work, self.operations.due),
            Tick("old operations", _AUDIT_S, self.operations.trim),
            Tick("workers", _HOUSEKEEPING_S, self._reap),
            Tick("health", _HOUSEKEEPING_S, self._tend),
            Tick("schedules", _HOUSEKEEPING_S, _skip_when_down(self._count_schedules)),
            Tick("record", _HOUSEKEEPING_S, _skip_when_down(self._record)),
        ]
        if self._nodes is not None:
            ticks.append(Tick("nodes", _HOUSEKEEPING_S, _skip_when_down(self._look_around)))
            ticks.append(Tick("inbox", _INBOX_S, _skip_when_down(self._take_in)))
            ticks.append(Tick("producers", _PRODUCED_S, _skip_when_down(self._poll_external_producers)))
        self._ticker = Ticker(ticks)
        self._runner: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> "asyncio.Task[None]":
        """Begin committing and ticking. The task ends only by `StoreBroken`."""
        self._runner = asyncio.create_task(self.committer.run(), name="committer")
        self._ticker.start()
        busy.LOOP.start()
        if self._nodes is not None:
            self._nodes.start()
        return self._runner

    async def stop(self) -> None:
        """Commit what waits, then close the store."""
        await self.halt()
        await self._store.close()

    async def halt(self) -> None:
        """Commit what waits, and begin nothing more. The store may break by that."""
        busy.LOOP.stop()
        await self._ticker.stop()
        if self.committer.broken is None:
            await self.committer.settled()
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        if self._nodes is not None:
            await self._nodes.stop()

    def submit(self, request: Request[A]) -> "asyncio.Future[A | Refused]":
        """Ask; see `Backend`."""
        future: asyncio.Future[A | Refused] = self._running_loop().create_future()
        reading = self.request(request, self._sink, future)
        if reading is not None:
            self._reading[future] = reading
            future.add_done_callback(self._reading.pop)
        return future

    def await_jobs(self, command: LeaseJobs) -> "asyncio.Future[Granted | Refused]":
        """Grant it something as soon as something comes; see `Backend`."""
        future: asyncio.Future[Granted | Refused] = self._running_loop().create_future()
        self.committer.await_jobs(command, self._sink, future)
        return future

    def leave(self, asked: "asyncio.Future[Any]") -> None:
        """Read it, or wait, no more; see `Backend`."""
        if (reading := self._reading.get(asked)) is not None:
            reading.cancel()
        else:
            self.committer.leave(self._sink, asked)

    def submit_all(self, requests: Sequence[Request[A]], weight: int) -> "asyncio.Future[list[A | Refused]]":  # noqa: ARG002
        """Ask many; see `Backend`."""
        future: asyncio.Future[list[A | Refused]] = self._running_loop().create_future()
        gathered = self._gathered(future, len(requests))
        if not requests:
            future.set_result([])
        for place, request in enumerate(requests):
            self.request(request, gathered, place)
        return future

    def _gathered(self, future: "asyncio.Future[list[Any]]", count: int) -> Gathered:
        return Gathered(future, count)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # once: it costs a system call
        return self._loop

    def request(self, request: Request[Answer], sink: Sink, tag: object) -> "asyncio.Task[None] | None":
        """Submit, with the answer going to `sink`. Returns the task of a query, to be cancelled if its caller leaves."""
        if type(request) is RunSchedule or type(request) is FireSchedules:
            self._in_task(self._routed(request, self._commit(request), sink, tag))
        elif isinstance(request, Command):
            self.committer.submit(request, sink, tag)
        elif isinstance(request, Query):
            reading = self._in_task(self._read(request, sink, tag))
            reading.add_done_callback(lambda read: sink.deliver(tag, _LEFT) if read.cancelled() else None)
            return reading
        elif type(request) is AwaitJobs:
            self.committer.await_jobs(request.lease, sink, tag)
        return None

    @staticmethod
    def _in_task(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        _TASKS.add(task)
        task.add_done_callback(_TASKS.discard)
        return task

    async def pass_time(self) -> None:
        """Do all that is due by now, without waiting for a tick: for a manual clock that was advanced."""
        while await self._pass_time() or await self.operations.work(anyhow=True) or self._routes.finding:
            await self._routes.settled()

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

    async def _routed(
        self, request: RunSchedule | FireSchedules, committed: "asyncio.Future[Any]", sink: Sink, tag: object
    ) -> None:
        """Fire due schedules; if one publishes and its event is not routed yet, the event is routed outside the commit and the
        fire is retried.
        """
        result = await committed
        for _ in range(_ROUTED_TRIES):
            if not self._routes.missed:
                break
            await self._routes.settled()
            result = await self._commit(request)
        if isinstance(result, Refused) and result.code == StaleInterests.code:
            result = Refused(
                Overloaded.code, "The subscriptions change too fast to route this event.", {"retry_after_ms": 1_000}
            )
            if type(request) is RunSchedule:
                await self._commit(RecordAudit(refusal_of(request, result.code)))
        sink.deliver(tag, result)

    def _commit(self, command: Command[A]) -> "asyncio.Future[A | Refused]":
        future: asyncio.Future[A | Refused] = self._running_loop().create_future()
        self.committer.submit(command, self._sink, future)
        return future

    async def _all_interests(self) -> InterestList:
        return await self._store.read(GetInterests(), self._clock.now())

    async def _read(self, query: Query[Answer], sink: Sink, tag: object) -> None:
        try:
            result = await self._lookup.answer(query)
        except Exception as error:  # noqa: BLE001  (every question gets an answer; a defect is logged there)
            result = stats.refusal(error)
        sink.deliver(tag, result)

    def _publish(self, news: Committed) -> None:
        self._deliver(news)
        if self._nodes is not None:
            self._nodes.tell(news)

    def _deliver(self, news: Committed) -> None:
        if news.interests is not None:
            self._router.take(news.interests)
        for listener in self._listeners:
            listener(news)

    def _nudge(self) -> None:
        self._ticker.nudge()

    def _due_at(self, moment: int) -> None:
        if not moment:
            self.operations.changed = True
        if self._wake_at is None or moment < self._wake_at:
            self._ticker.nudge()

    async def _seconds_until_due(self) -> float:
        if self.committer.by_type.filling or self.committer.by_type.sharing:
            return 0
        moments = [*self.committer.pauses.values()]
        try:
            due = await self._store.next_due()
        except Unavailable:
            return _HOUSEKEEPING_S
        if due is not None:
            moments.append(due)
        self._wake_at = min(moments, default=None)
        left = _HOUSEKEEPING_S if self._wake_at is None else (self._wake_at - self._clock.now()) / 1000
        return max(left, _ROUTING_S) if self._routes.finding else left

    async def _pass_time(self) -> bool:
        commands: tuple[Command[Answer], ...] = (
            ExpireLeases(_CHUNK),
            PromoteDue(_CHUNK),
            FireSchedules(_SCHEDULES),
            EndOverdue(_CHUNK),
            AdmitWaiting(BUDGET_ACCOUNTS),
        )
        if self.committer.by_type.filling:
            commands = (*commands, FillTypes(_any_of(self.committer.by_type.filling), TYPES_CHUNK))
        if self.committer.by_type.sharing:
            commands = (*commands, SortShares(_any_of(self.committer.by_type.sharing), FAIR_CHUNK))
        if self.committer.by_type.idle_lines:
            commands = (*commands, ForgetShares(FAIR_CHUNK, self.committer.by_type.surplus_lines))
        if self.committer.pauses:
            commands = (*commands, EndPauses())
        results = await asyncio.gather(*[self._commit(command) for command in commands])
        fired = results[2]
        if isinstance(fired, Refused) and fired.code == InternalError.code:
            await self._fire_singly()
        self._routes.find()  # what was due and is not routed yet
        return any(_count(result) > 0 for result in results)

    async def _fire_singly(self) -> None:
        """A fire raised within a transaction, which was rolled back: fire each schedule in a transaction of its own, and set
        that one aside.
        """
        now = self._clock.now()
        page = await self._store.read(ListSchedules(SCHEDULES), now)
        due = sorted((one.try_at, one.name) for one in page.schedules if not one.paused and one.try_at <= now)
        for _, name in due[:_SCHEDULES]:
            result = await self.submit(FireSchedules(1, name))
            if isinstance(result, Refused) and result.code == InternalError.code:
                await self.submit(FireSchedules(1, name, aside="A defect in Holdfast; the log has the details."))

    async def _forget(self) -> bool:
        result = await self.submit(ForgetHistory(_CHUNK, self._forgotten_to))
        if not isinstance(result, Forgotten):
            return False
        self._forgotten_to = result.after
        return result.count >= _CHUNK

    async def _put_closing_jobs(self) -> bool:
        """Put the closing jobs of batches that are owed. Other nodes may have left some."""
        if not self.committer.owing and not self._store.shared:
            return False
        self.committer.owing = False
        result = await self.submit(PutClosingJobs(CLOSING_JOBS, self._owed_to))
        if not isinstance(result, Counted):
            self.committer.owing = True
            return False
        self._owed_to = result.up_to
        self.committer.owing |= result.more
        self.totals.job_batches["owed"] = int(self.committer.owing)
        return result.count > 0 and result.more

    async def _trim_audit(self) -> bool:
        result = await self.submit(TrimAudit(self._audit_ms, AUDIT_CHUNK))
        return isinstance(result, Counted) and result.more

    async def _reap(self) -> bool:
        silence_ms = self._silence_ms
        if self._store.shared:
            try:
                await self._store.share_beats(self.committer.beats)
            except Unavailable:
                return False  # heartbeats at other nodes may be missing, so no worker counts as silent
            silence_ms += _SHARING_MS
        _, buried = await asyncio.gather(self.submit(ReapWorkers(silence_ms)), self.submit(BuryOrphans(_CHUNK)))
        return _count(buried) >= _CHUNK

    async def _take_in(self) -> bool:
        return self.intake is not None and await self.intake.work()

    async def _look_around(self) -> bool:
        """The reliable poll behind the hints of other nodes: read the queues that callers wait for."""
        assert self._nodes is not None, "it is only done where there are others"
        self._nodes.look_who_wants(self._wanting_events > 0)
        await self._look_at(self._waited_for())
        return False

    async def _poll_external_producers(self) -> bool:
        """The same at a short interval, while jobs arrive that no node announces."""
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
            depths = {info.name: info.tally.unfinished for info in page.queues}
            self.recorder.depths(depths, sum(depths.values()), now)
            self.recorder.roll(now)
        return False

    async def _tend(self) -> bool:
        self._watch.look_at_clock()
        try:
            await self._store.tend()
        except StoreBroken as error:
            self.committer.give_up(error)
            raise
        return False

    async def _count_schedules(self) -> bool:
        """A tick apart from `_tend`, so that it does not delay that while the store is down."""
        changed, self.committer.schedules_changed = self.committer.schedules_changed, False
        await self._watch.count_schedules(changed)
        return False

    async def _look(self) -> None:
        """Everything that the health report needs."""
        await self._tend()
        await _skip_when_down(self._count_schedules)()


_LEFT = Refused(Overloaded.code, "The caller no longer waits for this.")
_TASKS: set["asyncio.Task[None]"] = set()


def _skip_when_down(work: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
    """The same work, skipped while the store is down, which is reported elsewhere."""

    async def tried() -> bool:
        try:
            return await work()
        except Unavailable:
            return False

    return tried


def _any_of(queues: Collection[str]) -> str:
    """One of these, not always the same: it may be one that another program holds."""
    return random.choice(tuple(queues))  # noqa: S311  (it guards nothing)


def _count(result: Answer) -> int:
    return result.count if isinstance(result, Counted) else 0
