"""Group commit: the heart.

A command waits in a list. The committer swaps the list for an empty one, applies the commands in one transaction, commits once,
and resolves all of them. While it commits, the next batch gathers: there is no timer, and batches grow with the load.

    submit ─▶ waiting ─▶ [ begin · decide · write · commit ] ─▶ answers, then news
                 ▲                     │
                 └── gathers meanwhile ┘

Invariants
  * Nothing is answered before the commit that stores it.
  * No caller can cancel a commit in progress: the loop is a task of its own, and if a caller leaves, its answer is dropped.
  * One refused command never fails its neighbours. Should a defect raise in the middle of a batch, nothing of it was committed, and each
    command gets a transaction of its own, so that only the one that raises is answered with an internal error.
  * When the store breaks, every command in the batch is answered with `outcome_unknown` and the committer stops for good.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from holdfast.clock import Clock
from holdfast.committer import audit, budgets, enqueue, lease
from holdfast.committer.awaiting import Awaiting, AwaitingCallers, narrowed
from holdfast.committer.batch import Batch
from holdfast.committer.by_type import ByType
from holdfast.committer.conclude import Conclude
from holdfast.committer.history import Recorder
from holdfast.committer.job_log import JobLog
from holdfast.committer.outage import Outages
from holdfast.committer.routes import Routes
from holdfast.committer.set_aside import SetAside
from holdfast.committer.settling import settle
from holdfast.committer.ticker import LogLimit
from holdfast.committer.totals import Totals
from holdfast.committer.verbs import NOTHING_MORE, VERBS, More, prefetched
from holdfast.errors import HoldfastError, InternalError, NotReplicated, OutcomeUnknown, StorageFull, StoreUnavailable
from holdfast.job.job import LeaseRef
from holdfast.job.registry import WorkerState, is_seen
from holdfast.limits import BATCH_BYTES, BATCH_COMMANDS, BATCH_JOBS
from holdfast.logs import structlog
from holdfast.messages.answers import Granted
from holdfast.messages.audit import Managed
from holdfast.messages.backend import Courier, Sink
from holdfast.messages.commands import LeaseJobs
from holdfast.messages.events import Commit, Committed
from holdfast.messages.frame import Answer, Command, Phase, Refused
from holdfast.messages.time_commands import ReapWorkers
from holdfast.stores.store import OutcomeLost, RowHeld, Store, StoreBroken, TryAgain

log = structlog.get_logger(__name__)
_FEW_COMMANDS = 8  # of a batch that grants jobs to who waits: with more, fronts and keeper get more done side by side
_TRIES = 8  # of a batch that conflicts with other nodes
_PAUSE_S = 0.02
_MANY_COUNTS = 2_000  # verbs × queues of one transaction: counting them takes some milliseconds
_LATER_MS: dict[type, int] = {StorageFull: 10_000, RowHeld: 1_000}

Waiting = tuple[Command[Answer], Sink, object]

_UNDECIDED = Refused(InternalError.code, "A defect in Holdfast: this was not decided.")
_ENDING = Refused(StoreUnavailable.code, "The store has failed; the server is ending.")


def _nobody(_: Batch) -> list[LeaseJobs]:
    return []


class Committer:
    """Turns the commands of many callers into few commits."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        publish: Callable[[Committed], None],
        due_at: Callable[[int], None],
        totals: Totals,
        recorder: Recorder,
    ) -> None:
        self._store = store
        self._clock = clock
        self._publish = publish
        self._due_at = due_at
        self._totals = totals
        self._recorder = recorder
        self.job_log = JobLog()
        self._waiting: list[Waiting] = []
        self._awaiting = AwaitingCallers()
        self._picked: list[Awaiting] = []  # of these, for the batch in progress
        self._grants = True
        self._decided: list[Answer] = []  # in the transaction in progress
        self.untold: Callable[[list[LeaseRef]], None] = lambda _: None  # takes leases of a commit of unknown outcome
        self._asleep: asyncio.Future[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self.listeners = 0
        self.timed = 0  # fronts that want to know when commits were
        self._commit_was: Commit | None = None  # the one whose answers are delivered
        self.couriers: list[Courier] = []
        self._outages = Outages(store, clock)
        self.aside = SetAside()
        self._refusals = audit.Refusals()
        self.schedules_changed = False
        self.owing = True  # closing jobs of batches may be owed: not looked yet
        self._log_limits: dict[str, LogLimit] = {}
        self.beats: dict[str, int] = {}
        self.pauses: dict[str, int] = {}
        self.by_type = ByType()
        self.routes: Routes | None = None
        self.broken: StoreBroken | None = None

    def submit(self, command: Command[Answer], sink: Sink, tag: object) -> None:
        """Let a command wait for the next batch."""
        if self.broken is not None:
            self._turn_away([(command, sink, tag)])
            return
        if not self._waiting:  # only the first one has to wake the committer
            self._wake_up()
            self._idle.clear()
        self._waiting.append((command, sink, tag))

    def _is_in_vain(self, command: Command[Answer]) -> bool:
        """Whether this waits for jobs, and there is nothing to lease by the last commit, as far as the store knows that without a transaction."""
        if type(command) is not LeaseJobs or not command.waits:
            return False
        known = self._store.in_memory() if command.request is None and command.queues else None
        if known is None:
            return False
        queues, workers = known
        now = self._clock.now()
        for name in command.queues:
            queue = queues.get(name)
            if queue is None or queue.may_lease_at(now):
                return False
        worker = workers.get(command.worker)
        if worker is None:
            return not command.registered
        if worker.state is not WorkerState.RUNNING or not is_seen(worker, command.scope):
            return False
        self.beats[worker.id] = now
        return True

    def await_jobs(self, command: LeaseJobs, sink: Sink, tag: object) -> None:
        """Let a caller that found nothing wait for the commit that brings it something."""
        if self.broken is not None:
            sink.deliver(tag, _ENDING)
        else:
            self._awaiting.add(command, sink, tag)

    def leave(self, sink: Sink, tag: object) -> None:
        """This caller waits for jobs no more, and is answered."""
        self._awaiting.leave(sink, tag, self._clock.now())

    def forget(self, sink: Sink) -> None:
        """The connection of these callers is gone."""
        self._awaiting.forget(sink)

    def give_up(self, error: StoreBroken) -> None:
        """The store was found to be broken between two batches: take nothing more, and end `run`."""
        if self.broken is None:
            self.broken = error
            self._wake_up()

    def _wake_up(self) -> None:
        if self._asleep is not None and not self._asleep.done():
            self._asleep.set_result(None)

    async def run(self) -> None:
        """Commit batch after batch until cancelled while idle, or until the store breaks (`StoreBroken` is raised)."""
        loop = asyncio.get_running_loop()  # once: each `asyncio.Event` would ask for it at each wait, a system call
        while True:
            while self._waiting and self.broken is None:
                await self._commit(self._take())
                if self._waiting and self.broken is None:
                    await asyncio.sleep(0)  # let the answers out and the next commands in
            if self.broken is not None:
                waiting, self._waiting = self._waiting, []
                self._turn_away(waiting)
                self._awaiting.refuse(_ENDING)
                self._idle.set()  # nothing waits any more
                raise self.broken
            self._idle.set()
            self._asleep = loop.create_future()
            await self._asleep

    async def settled(self) -> None:
        """Wait until nothing waits and no commit is in progress, also because the store broke."""
        await self._idle.wait()

    def _take(self) -> list[Waiting]:
        """The next batch: all that waits, within the bounds on one transaction."""
        waiting = self._waiting
        if len(waiting) == 1:
            self._waiting = []
            return waiting
        count = size = jobs = 0
        for command, _, _ in waiting if len(waiting) <= BATCH_COMMANDS else waiting[:BATCH_COMMANDS]:
            brings, changes = VERBS[type(command)].burden(command)
            size += brings
            jobs += changes
            if count and (size > BATCH_BYTES or jobs > BATCH_JOBS):
                break
            count += 1
        self._waiting = waiting[count:]
        return waiting if count == len(waiting) else waiting[:count]

    async def _commit(self, taken: list[Waiting], grants: bool = True) -> None:
        """Commit these, and with `grants` also what callers that wait for jobs are granted in the same transaction."""
        commands = [command for command, _, _ in taken]
        if type(commands[0]) is LeaseJobs and all(map(self._is_in_vain, commands)):
            self._answer(taken, [Granted([], self._clock.now())] * len(taken), None)  # as a transaction would
            return
        self._grants = grants and len(commands) <= _FEW_COMMANDS
        began_ns = time.time_ns() if self.timed else 0
        try:
            results, news = await self._attempt(commands)
            if began_ns:
                self._commit_was = Commit(self._totals.batches, began_ns, time.time_ns(), len(commands))
        except OutcomeLost as error:
            unknown = Refused(
                OutcomeUnknown.code, f"It is not known whether this was committed: {error}.", {"retry_after_ms": 1_000}
            )
            results, news = [unknown] * (len(taken) + len(self._picked)), None
            self.untold([ref for one in self._decided if isinstance(one, Granted) for ref in one.returnable()])
        except (StorageFull, RowHeld) as error:
            if await self._without_grants(taken) or await self._apart(taken, error):
                return
            results, news = [Refused(error.code, error.detail, {"retry_after_ms": _LATER_MS[type(error)]})] * len(taken), None
        except StoreBroken as error:
            log.error(  # noqa: TRY400  (the traceback is the driver's; the sentence says it)
                "the store failed; what this batch did is not known", commands=len(commands), error=str(error)
            )
            self.broken = error
            unknown = Refused(OutcomeUnknown.code, "The store failed while committing.")
            results, news = [unknown] * (len(taken) + len(self._picked)), None
        except Exception as error:  # noqa: BLE001  (told, and answered)
            self._log_defect(error, commands)
            if await self._without_grants(taken):
                return
            if len(taken) > 1:
                await self._one_by_one(taken)
                return
            results, news = (
                [Refused(InternalError.code, "A defect in Holdfast; nothing was changed. The log has the details.")],
                None,
            )
        self._answer(taken, results, news)

    def _answer(self, taken: list[Waiting], results: list[Answer], news: Committed | None) -> None:
        """Deliver all answers, and then the news."""
        commit, self._commit_was = self._commit_was, None
        for courier in self.couriers:
            courier.hold(commit)
        later: list[Waiting] = []
        self._decided = []
        picked, self._picked = self._picked, []
        if picked:
            self._awaiting.answer(picked, results[len(taken) :], self._clock.now())
            del results[len(taken) :]
        for waiting, result in zip(taken, results, strict=True):
            if result is lease.LATER:
                later.append(waiting)
            else:
                waiting[1].deliver(waiting[2], result)
        self._waiting[:0] = later
        if news is not None:
            self._publish(news)
        for courier in self.couriers:
            courier.send()

    def _log_defect(self, error: Exception, commands: Sequence[Command[Answer]]) -> None:
        """Log a defect. One of a tick, which comes each second, is logged when it begins or changes."""
        alone = type(commands[0]).__name__ if len(commands) == 1 else ""
        ticked = any(command.phase is Phase.TIME or type(command) is ReapWorkers for command in commands)
        if ticked and not self._log_limits.setdefault(alone, LogLimit()).should_log(f"{type(error).__name__}: {error}"):
            return
        if alone:
            log.error("a command raised an error; nothing of it was stored", command=alone, exc_info=error)
        else:
            log.error(
                "a batch raised; nothing of it was stored, and its commands are retried one by one",
                commands=len(commands),
                exc_info=error,
            )

    async def _without_grants(self, taken: list[Waiting]) -> bool:
        """Commit again without what waiting callers would be granted, which may be why it failed. False if there was nothing of that."""
        if not self._picked:
            return False
        self._let_go()
        await self._commit(taken, grants=False)
        return True

    async def _one_by_one(self, taken: list[Waiting]) -> None:
        for index, one in enumerate(taken):
            if self.broken is not None:
                self._turn_away(taken[index:])
                break
            await self._commit([one], grants=False)

    async def _apart(self, taken: list[Waiting], error: StorageFull | RowHeld) -> bool:
        """Split the batch in two: on a full disk what ends leases comes first, for which the reserve may suffice; for a held row
        halves, until the command that needs it is alone. False if it can't be split.
        """
        if isinstance(error, StorageFull):
            first = [one for one in taken if one[0].phase is Phase.END]
            rest = [one for one in taken if one[0].phase is not Phase.END]
        else:
            first, rest = taken[: len(taken) // 2], taken[len(taken) // 2 :]
        if not first or not rest:
            return False
        await self._commit(first, grants=False)
        await self._commit(rest, grants=False)
        return True

    @staticmethod
    def _turn_away(waiting: Sequence[Waiting]) -> None:
        for _, sink, tag in waiting:
            sink.deliver(tag, _ENDING)

    async def _attempt(self, commands: list[Command[Answer]]) -> tuple[list[Answer], Committed | None]:
        """Apply and commit; on a full disk once more without new jobs, using the reserve, before `StorageFull` is raised."""
        accepting = self._store.accepting()
        try:
            return await self._apply(commands, accepting)
        except (StoreUnavailable, NotReplicated) as error:
            self._let_go()
            return [Refused(error.code, error.detail, error.fields)] * len(commands), None
        except StorageFull:
            given_back = self._store.spend_reserve()
            if not accepting and not given_back:
                raise
            log.warning("the disk is full: new jobs are refused, leases can still be ended", reserve_given_back=given_back)
        return await self._apply(commands, accepting=False)

    async def _apply(self, commands: list[Command[Answer]], accepting: bool) -> tuple[list[Answer], Committed]:
        """Apply and commit; retried after conflicts with other nodes."""
        more = NOTHING_MORE
        for tries in range(_TRIES):
            self._let_go()
            try:
                return await self._apply_once(commands, accepting, more)
            except TryAgain as error:
                more = (more[0] | error.queues, more[1] | error.job_batches, more[2] | error.budgets)
                log.debug("a conflict with another node; the batch is tried again", reason=str(error))
                await asyncio.sleep(tries * _PAUSE_S * random.random())  # noqa: S311  (it keeps two nodes out of step)
        raise StoreUnavailable("Other nodes are in the way; nothing was changed.", retry_after_ms=200)

    def _pick(self, batch: Batch) -> list[LeaseJobs]:
        """The leases of those who wait for what this batch has made ready."""
        if not self._grants or not self._awaiting:
            return []
        self._picked = self._awaiting.pick(batch)
        return [narrowed(caller, batch) for caller in self._picked]

    def _let_go(self) -> None:
        """Nothing was committed: whoever would have been granted something waits on."""
        if self._picked:
            picked, self._picked = self._picked, []
            self._awaiting.let_go(picked, self._clock.now())

    async def _apply_once(self, commands: list[Command[Answer]], accepting: bool, more: More) -> tuple[list[Answer], Committed]:
        self._decided = []
        began = self._totals.commit_busy.begin()
        store, outages, clock = self._store, self._outages, self._clock
        if (store.shared or outages.seen != clock.leaps) and outages.due():
            await outages.look()
        begin = store.transaction(prefetched(commands, clock.now(), more)) if store.shared else store.transaction()
        async with begin as tx:
            now = clock.now()
            if outages.seen != clock.leaps:  # just now: leases are extended first
                raise TryAgain("the clock leapt")
            batch = Batch(
                tx,
                now,
                accepting,
                self.listeners > 0,
                beats=self.beats,
                routes=self.routes,
                pauses=self.pauses,
                by_type=self.by_type,
                aside=self.aside,
                graced_until=outages.graced_until,
                refusals=self._refusals,
            )
            results = self._decided = await decide(batch, commands, self._pick)
            news = await batch.finish()
            await tx.commit()
        wrote = tx.wrote
        seconds = self._totals.commit_busy.end(began) if wrote else 0.0
        if len(batch.counts) > _MANY_COUNTS:
            await asyncio.sleep(0)  # counting outside the store takes time, too
        if batch.audit or batch.passed_over or batch.audit_removed:
            audit.committed(batch, self._refusals, self._totals.audit)
        self.schedules_changed |= batch.schedules_changed
        if batch.members is not None:
            self._totals.batches_committed(len(batch.members.made), batch.members.finished, batch.members.put, batch.owing)
            self.owing |= batch.owing
        if batch.earliest is not None:
            self._due_at(batch.earliest)
        for name in batch.removed:
            self._totals.forget(name)
            self._recorder.forget(name)
        self._recorder.committed(batch.counts, batch.written.values(), batch.now)
        self.job_log.committed(batch.steps, batch.now, batch.is_blocked)
        if wrote:
            self._totals.committed(batch.counts, len(commands), seconds)
        self._totals.batches += 1
        return results, news


async def decide(
    batch: Batch, commands: Sequence[Command[Answer]], pick: Callable[[Batch], list[LeaseJobs]] = _nobody
) -> list[Answer]:
    """Decide every command of a batch, in the order that `batch.py` explains, and behind them the leases that `pick` adds."""
    results: list[Answer] = [_UNDECIDED] * len(commands)
    phases: tuple[list[tuple[int, Any]], ...] = ([], [], [], [], [])  # one for each `Phase`
    for pair in enumerate(commands):
        phases[pair[1].phase].append(pair)
    passing_by, ends, managing, new, leases = phases
    for pair in passing_by:
        await each(batch, [pair], results)
        await budgets.settle(batch)
        await batch.flush()
    if ends:
        await each(await Conclude.load(batch, [command for _, command in ends]), ends, results)
    for pair in managing:
        await manage(batch, pair, results)
    if new:
        await enqueue.prepare(batch, new)
        await each(batch, new, results)
    if batch.members is not None or batch.grouped or batch.budgeted or batch.accounts is not None:
        await settle(batch)
    if batch.by_type.named:
        batch.came = await batch.by_type.came(batch, batch.arrived | batch.freed)
    if picked := pick(batch):  # they have waited longer
        leases[:0] = enumerate(picked, len(results))
        results += [_UNDECIDED] * len(picked)
    if leases:
        await batch.flush()
        await each(await lease.Leases.load(batch, [command for _, command in leases]), leases, results)
        await lease.add_progress(batch, results, [index for index, _ in leases])
    return results


async def manage(batch: Batch, numbered: tuple[int, Command[Answer]], results: list[Answer]) -> None:
    """Decide a managing verb, and take note of how that went."""
    index, command = numbered
    if not isinstance(command, Managed):
        await each(batch, [numbered], results)
        return
    deed = command.deed()
    queue = await audit.queue_of(batch, deed)
    await each(batch, [numbered], results)
    audit.note(batch, command, deed, queue, results[index])


async def each(decider: object, numbered: Sequence[tuple[int, Command[Answer]]], results: list[Answer]) -> None:
    """Decide commands one after the other; a refused one gets its refusal as its result."""
    for index, command in numbered:
        if isinstance(decider, Batch):
            decider.scope = command.scope
        try:
            results[index] = await VERBS[type(command)].decide(decider, command)
        except HoldfastError as error:
            results[index] = Refused(error.code, error.detail, error.fields)
