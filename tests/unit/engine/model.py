"""What the engine should do, in plain Python: jobs in a dictionary, every rule in a few lines, a whole transaction at a time.

It is written from the contract and not from the engine, and knows nothing of rows, batches or stores. The test hands the same commands to
both. Tokens are the engine's to make: the model is told them after a lease, and judges them from then on.
"""

from collections import Counter
from dataclasses import dataclass, field

from holdfast.job.budget import Charge
from holdfast.job.job import LeaseRef, NewJob, OnConflict, State, UniqueWhile
from holdfast.job.operation import STATES, Do
from holdfast.job.queue import QueuePolicy, Tally
from holdfast.limits import LEASE_GRACE_MS
from holdfast.messages import beanstalk_commands as t
from holdfast.messages import commands as c
from holdfast.messages import job_batches as b
from holdfast.messages.budget_commands import BlockBudget
from holdfast.messages.frame import Command
from holdfast.messages.time_commands import BuryOrphans, EndOverdue, ExpireLeases, PromoteDue, ReapWorkers
from tests.unit.engine.model_batches import Batches
from tests.unit.engine.model_budgets import Budgets
from tests.unit.engine.model_fair import Fair
from tests.unit.engine.model_routing import Late, No, Publish, Routing
from tests.unit.engine.model_tubes import Tubes

Put = c.Enqueue | Publish
WAITING, UNFINISHED, HISTORY = ("scheduled", "ready"), ("scheduled", "ready", "leased"), ("concluded", "cancelled")


_DOES = {
    Do.RETRY: c.RetryJob, Do.PROMOTE: c.PromoteJob, Do.DELETE: c.DeleteJob, Do.RELEASE: c.TakeBackLease,
}  # fmt: skip


@dataclass
class Row:
    """One job."""

    id: int
    queue: str
    size: int
    priority: int
    max_attempts: int
    ready_at: int
    key: str | None
    key_while_queued: bool
    group: str | None
    limit: int
    worker: str | None
    state: str = "ready"
    batch: int | None = None
    held: bool = False
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    created_at: int = 0
    until: int = 0
    ended_at: int = 0
    expires_at: int | None = None
    result_size: int = 0
    by: str = ""
    reason: str | None = None
    cancel: bool = False
    type: str = ""
    budgets: tuple[Charge, ...] = ()
    fair: str | None = None
    ref: LeaseRef | None = None
    concluded_by: LeaseRef | None = None
    failed: set[tuple[int, bytes]] = field(default_factory=set)  # by attempt and secret

    @property
    def has_place(self) -> bool:
        return self.group is not None and (self.state == "leased" or (self.state == "ready" and not self.held))

    @property
    def has_key(self) -> bool:
        return self.key is not None and self.state in (WAITING if self.key_while_queued else UNFINISHED)


class Model(Batches, Budgets, Fair, Tubes, Routing):
    """All queues and all jobs. `apply` decides a transaction; `policies` name the queues that there are."""

    def __init__(self, policies: dict[str, QueuePolicy]) -> None:
        super().__init__()
        self.policies = policies
        self.jobs: dict[int, Row] = {}
        self.paused: set[str] = set()
        self.paused_types: set[tuple[str, str]] = set()
        self.answers: dict[tuple[str, str], tuple[bytes, list[int]]] = {}
        self.last_id = 0
        self.now = 0
        self.graced_until = 0

    def apply(self, commands: list[Command], now: int) -> list[object]:
        """What each command is answered: a refusal's code, or what it comes to. Time, ends, hands, new jobs, leases: in this order."""
        self.now, self.routed_by = now, self.interests
        wanted = {
            index: self.wanting(command.event.payload) for index, command in enumerate(commands) if type(command) is Publish
        }
        answers: dict[int, object] = {}
        late: dict[int, Command] = {}
        for phase in (_TIME, _ENDS, _HANDS, _PUTS, (c.LeaseJobs,)):
            for index, command in enumerate(commands):
                if isinstance(command, phase):
                    try:
                        if wanted.get(index) == [] and command.require_interest:
                            raise No("no_interest")
                        answers[index] = getattr(self, type(command).__name__)(command)
                    except No as refusal:
                        answers[index] = str(refusal)
                    except Late:
                        late[index] = command
                    if phase is _TIME:
                        self.settle()
            if phase is _PUTS:
                self.settle_batches()
                self.settle()
        if late:
            answers.update(zip(late, self.apply([*late.values()], now), strict=True))
        return [answers[index] for index in range(len(commands))]

    def operate(self, do: Do, queue: str, now: int) -> tuple[int, int, str]:
        """An operation on all of a queue, from its beginning to where it ends or waits: how many it has done and skipped, and why it waits."""
        self.now, done, skipped = now, 0, 0
        self.last_id = number = self.last_id + 1
        rows = [row for row in self.jobs.values() if row.queue == queue and State(row.state) in STATES[do]]
        waits = ""
        for row in sorted(rows, key=lambda row: row.id):
            try:
                if do is Do.CANCEL:
                    self.cancel(row, f"cancelled: operation {number}")
                elif do is Do.RESTORE:
                    self.restore(row)
                else:
                    getattr(self, _DOES[do].__name__)(_DOES[do](row.id))
                done += 1
            except No as refusal:
                if str(refusal) == "queue_full":
                    waits = "waits_for_room"
                    break
                skipped += 1
        self.settle_batches()
        self.settle()
        return done, skipped, waits

    def tally(self, queue: str) -> Tally:
        mine = [row for row in self.jobs.values() if row.queue == queue]
        counts = Counter(row.state for row in mine)
        unfinished = sum(row.size for row in mine if row.state in UNFINISHED)
        history = sum(row.size + row.result_size for row in mine if row.state in HISTORY)
        return Tally(*(counts[state.value] for state in State), unfinished, history)

    def settle(self) -> None:
        """Free places of each group go to those who have waited longest, and nobody overtakes."""
        for name, group in {(row.queue, row.group) for row in self.jobs.values() if row.group is not None}:
            members = [row for row in self.jobs.values() if (row.queue, row.group) == (name, group)]
            for row in sorted((row for row in members if row.held), key=lambda row: row.id):
                if sum(other.has_place for other in members) >= row.limit:
                    break
                row.held = False

    # Rules

    def job(self, job_id: int, *states: str) -> Row:
        if job_id not in self.jobs:
            raise No("job_not_found")
        if self.jobs[job_id].state not in states:
            raise No("wrong_state")
        return self.jobs[job_id]

    def held_by(self, ref: LeaseRef) -> Row | None:
        row = self.jobs.get(ref.job)
        return row if row is not None and row.state == "leased" and row.ref == ref and row.until > self.now else None

    def need_room(self, queue: str, jobs: int, size: int, largest: int = 0) -> None:
        tally, policy = self.tally(queue), self.policies[queue]
        if (
            tally.scheduled + tally.ready + tally.leased + jobs > policy.capacity_jobs
            or tally.bytes + size > policy.capacity_bytes
        ):
            raise No("payload_too_large" if largest > policy.capacity_bytes > 0 else "queue_full")

    def is_overdue(self, row: Row) -> bool:
        return row.expires_at is not None and row.expires_at <= self.now

    def holder(self, queue: str, key: str | None) -> Row | None:
        return next((row for row in self.jobs.values() if (row.queue, row.key) == (queue, key) and row.has_key), None)

    def wait(self, row: Row, ready_at: int) -> None:
        """The job waits (again): it keeps its place while it is ready without a break, and its key unless another took it meanwhile."""
        had_place, had_key = row.has_place, row.has_key
        if row.key is not None and not had_key and self.holder(row.queue, row.key) is not None:
            row.key = None
        row.state, row.ready_at = ("ready" if ready_at <= self.now else "scheduled"), ready_at
        row.held = row.state == "ready" and row.group is not None and not had_place

    def end(self, row: Row, state: str, reason: str | None) -> None:
        row.state, row.held, row.reason, row.ended_at = state, False, reason, self.now
        if state == "dead" and row.batch is not None:
            self.batches[row.batch].somebody_died = True

    def after_attempt(self, row: Row, ready_at: int, for_good: str | None) -> None:
        if row.cancel:
            self.end(row, "cancelled", "cancelled")
        elif for_good is not None or row.failures + row.crashes >= row.max_attempts:
            self.end(row, "dead", for_good or "attempts_exhausted")
        else:
            self.come_back(row, ready_at)

    def come_back(self, row: Row, ready_at: int) -> None:
        if self.is_overdue(row):
            self.end(row, "cancelled", "expired")
        else:
            self.wait(row, ready_at)

    def outcome(self, row: Row) -> tuple[str, int]:
        return row.state, row.ready_at

    # What happens by itself

    def outage(self, now: int) -> None:
        """Nobody served until now: what ended meanwhile, or is about to, lives on for a while, and nobody is to blame if it ends then."""
        until = now + LEASE_GRACE_MS
        for row in self.jobs.values():
            if row.state == "leased" and row.until < until:
                row.until = self.graced_until = until

    # Verbs

    def ExpireLeases(self, command: ExpireLeases) -> int:  # noqa: N802  (each verb is called what its command is called)
        over = [row for row in self.jobs.values() if row.state == "leased" and row.until <= self.now]
        for row in sorted(over, key=lambda row: (row.until, row.ref.fence)):
            if row.until == self.graced_until:
                self.hand_back(row, self.now)
                continue
            row.crashes += 1
            self.after_attempt(row, self.now, "crashed" if row.crashes >= self.policies[row.queue].max_crashes else None)
        return len(over)

    def PromoteDue(self, command: PromoteDue) -> int:  # noqa: N802
        due = [row for row in self.jobs.values() if row.state == "scheduled" and row.ready_at <= self.now]
        for row in due:
            self.wait(row, row.ready_at)
        return len(due)

    def EndOverdue(self, command: EndOverdue) -> int:  # noqa: N802
        over = [row for row in self.jobs.values() if row.state in WAITING and self.is_overdue(row)]
        for row in over:
            self.end(row, "cancelled", "expired")
        return len(over)

    def ConcludeLease(self, command: c.ConcludeLease) -> object:  # noqa: N802
        if (row := self.held_by(command.ref)) is None:
            known = self.jobs.get(command.ref.job)
            if known is None or known.concluded_by != command.ref:
                raise No("lease_lost")
            return self.outcome(known)
        is_last = self.need_room_for_last(row)
        row.concluded_by = row.ref
        row.result_size = len(command.result or b"")
        self.end(row, "concluded", None)
        if is_last:
            self.settle_batches()
        return self.outcome(row)

    def FailLease(self, command: c.FailLease) -> object:  # noqa: N802
        if (row := self.held_by(command.ref)) is None:
            known = self.jobs.get(command.ref.job)
            if known is None or (command.ref.attempt, command.ref.secret) not in known.failed:
                raise No("lease_lost")
            return self.outcome(known)
        self.heed(row, command.block)
        row.failures += not command.crashed
        row.crashes += command.crashed
        row.failed.add((command.ref.attempt, command.ref.secret))
        quarantined = command.crashed and row.crashes >= self.policies[row.queue].max_crashes
        for_good = "failed" if not command.retry else "crashed" if quarantined else None
        self.after_attempt(row, self.now + (command.delay_ms or 0), for_good)
        return self.outcome(row)

    def ReleaseLease(self, command: c.ReleaseLease) -> object:  # noqa: N802
        if (row := self.held_by(command.ref)) is None:
            raise No("lease_lost")
        self.heed(row, command.block)
        if not row.cancel:
            row.priority = row.priority if command.priority is None else command.priority
        self.hand_back(row, self.now + command.delay_ms)
        return self.outcome(row)

    def hand_back(self, row: Row, ready_at: int) -> None:
        if row.cancel:
            self.end(row, "cancelled", "cancelled")
        else:
            self.come_back(row, ready_at)

    def ExtendLease(self, command: c.ExtendLease) -> object:  # noqa: N802
        if (row := self.held_by(command.ref)) is None:
            raise No("lease_lost")
        row.until = self.now + (command.lease_ms or 0)
        return command.lease_ms, row.cancel

    def RetryJob(self, command: c.RetryJob) -> object:  # noqa: N802
        expired = command.id in self.jobs and self.jobs[command.id].reason == "expired"
        row = self.job(command.id, "dead", *(["cancelled"] if expired else []))
        self.take_back(row)
        if command.expires_in_ms is not None:
            row.expires_at = self.now + command.expires_in_ms
        self.wait(row, self.now)
        return row.id

    def take_back(self, row: Row) -> None:
        self.fit_in(row)
        row.failures = row.crashes = 0

    def fit_in(self, row: Row) -> None:
        """An ended job waits again."""
        self.need_room(row.queue, 1, row.size)
        if row.key is not None and self.holder(row.queue, row.key) is not None:
            raise No("not_unique")
        row.reason = None
        row.worker = row.worker if row.worker in self.workers else None
        row.expires_at = None if self.is_overdue(row) else row.expires_at

    def CancelJob(self, command: c.CancelJob) -> object:  # noqa: N802
        row = self.job(command.id, *UNFINISHED)
        self.cancel(row, "cancelled")
        return row.id

    def cancel(self, row: Row, reason: str) -> None:
        if row.state == "leased":
            row.cancel = True
        else:
            self.end(row, "cancelled", reason)

    def restore(self, row: Row) -> None:
        """Undo a cancel."""
        if row.reason == "expired":
            raise No("wrong_state")
        self.fit_in(row)
        self.wait(row, max(row.ready_at, self.now))

    def PromoteJob(self, command: c.PromoteJob) -> object:  # noqa: N802
        row = self.job(command.id, "scheduled")
        self.wait(row, self.now)
        return row.id

    def TakeBackLease(self, command: c.TakeBackLease) -> object:  # noqa: N802
        row = self.job(command.id, "leased")
        if command.attempt not in (None, row.attempt):
            raise No("wrong_state")
        self.hand_back(row, self.now)
        return row.id

    def SettleJob(self, command: c.SettleJob) -> object:  # noqa: N802
        row = self.job(command.id, *WAITING, "dead")
        row.result_size = len(command.result or b"")
        self.end(row, "concluded" if command.done else "dead", f"settled: {command.reason}")
        return row.id

    def DeleteJob(self, command: c.DeleteJob) -> object:  # noqa: N802
        row = self.jobs.pop(self.job(command.id, *(state.value for state in State if state is not State.LEASED)).id)
        self.remove_member(row)
        return row.id

    def EditJob(self, command: c.EditJob) -> object:  # noqa: N802
        row = self.job(command.id, *WAITING)
        due = max(self.now, row.ready_at if command.delay_ms is None else self.now + command.delay_ms)
        names_none = command.expires_in_ms is None and command.expires_at is None
        if command.delay_ms is not None and names_none and row.expires_at is not None and row.expires_at <= due:
            raise No("invalid_request")
        if command.content is not None:
            if len(command.content.payload) > row.size:
                self.need_room(row.queue, 0, len(command.content.payload) - row.size)
            row.size = len(command.content.payload)
        row.type = row.type if command.type is None else command.type
        row.priority = row.priority if command.priority is None else command.priority
        if command.delay_ms is not None:
            self.wait(row, self.now + command.delay_ms)
        if not names_none:
            row.expires_at = None if command.expires_in_ms is None else due + command.expires_in_ms
        return row.id

    def PauseQueue(self, command: c.PauseQueue) -> object:  # noqa: N802
        (self.paused.add if command.paused else self.paused.discard)(command.name)
        return command.paused

    def PauseType(self, command: c.PauseType) -> object:  # noqa: N802
        (self.paused_types.add if command.paused else self.paused_types.discard)((command.name, command.type))
        return command.name in self.paused

    def PurgeQueue(self, command: c.PurgeQueue) -> int:  # noqa: N802
        self.settle()
        gone = [row.id for row in self.jobs.values() if row.queue == command.name and row.state in command.states]
        for job_id in gone:
            self.remove_member(self.jobs.pop(job_id))
        return len(gone)

    def Enqueue(self, command: c.Enqueue) -> object:  # noqa: N802
        return self._answered_before(command) or self._put_all(command, command.jobs)

    def Publish(self, command: Put) -> object:  # noqa: N802
        if (again := self._answered_before(command)) is not None:
            return again
        if self.interests is not self.routed_by:
            raise Late
        return self._put_all(command, self.copies(command), command.skip_held)

    def _answered_before(self, command: Put) -> object | None:
        if command.key is None or (kept := self.answers.get((command.key.scope, command.key.key))) is None:
            return None
        if kept[0] != command.key.digest:
            raise No("idempotency_mismatch")
        return kept[1], True, []

    def _put_all(self, command: Put, jobs: list[NewJob], skip_held: bool = False, batch: int | None = None) -> object:
        free = [new for new in jobs if not skip_held or self.holder(new.queue, new.extras.unique_key) is None]
        held = [self._taken(new, free[:place]) for place, new in enumerate(free)]
        if batch is None:
            self.admit(free)
        for queue in dict.fromkeys(new.queue for new in free):
            mine = [(new, row) for new, row in zip(free, held, strict=True) if new.queue == queue]
            count = sum(row is None for _, row in mine)
            overwrites = (OnConflict.REPLACE, OnConflict.DEBOUNCE)
            size = sum(len(new.payload) for new, row in mine if row is None)
            size += sum(
                len(new.payload) - row.size for new, row in mine if isinstance(row, Row) and new.on_conflict in overwrites
            )
            self.need_room(queue, count, size, max(len(new.payload) for new, _ in mine))
        ids: list[int] = []
        for new, row in zip(free, held, strict=True):
            ids.append(self._put(new, batch) if row is None else self._give_way(new, row, ids))
        if command.key is not None:
            self.answers[command.key.scope, command.key.key] = (command.key.digest, ids)
        return ids, False, sorted({new.queue for new in jobs} - {new.queue for new in free})

    def _taken(self, new: NewJob, before: list[NewJob]) -> "Row | int | None":
        """Who has the unique key that a new job wants: a job, or the one of those before it at this place."""
        pair = (new.queue, new.extras.unique_key)
        if pair[1] is None:
            return None
        for place, earlier in enumerate(before):
            if (earlier.queue, earlier.extras.unique_key) == pair:
                if new.on_conflict is not OnConflict.EXISTING:
                    raise No("not_unique")
                return place
        row = self.holder(*pair)
        if row is None:
            return None
        refuses = new.on_conflict is OnConflict.REFUSE
        if refuses or (new.on_conflict is not OnConflict.EXISTING and row.state not in WAITING):
            raise No("not_unique")
        return row

    def _give_way(self, new: NewJob, row: "Row | int", ids: list[int]) -> int:
        if isinstance(row, int):
            return ids[row]
        if new.on_conflict is not OnConflict.EXISTING:
            row.size, row.failures, row.crashes, row.type = len(new.payload), 0, 0, new.type
            row.priority = row.priority if new.priority is None else new.priority
            row.max_attempts = new.max_attempts or self.policies[new.queue].max_attempts
            row.budgets, row.fair = self.costs(new), new.extras.fair_key
            row.key_while_queued = new.extras.unique_while is UniqueWhile.QUEUED
        if new.on_conflict is OnConflict.DEBOUNCE:
            until = self.now + (new.delay_ms or 0)
            if new.debounce_max_ms is not None:
                until = min(until, row.created_at + new.debounce_max_ms)
            if until > self.now or row.state == "scheduled":
                self.wait(row, max(until, self.now))
        if new.on_conflict is not OnConflict.EXISTING:
            row.expires_at = self.deadline(new, max(row.ready_at, self.now))
        return row.id

    def deadline(self, new: NewJob, due: int) -> int | None:
        """When a job in this queue ends if it waits until then."""
        lasts = self.policies[new.queue].expires_in_ms if new.expires_in_ms is None else new.expires_in_ms
        return None if lasts is None else due + lasts

    def _put(self, new: NewJob, batch: int | None = None) -> int:
        self.last_id += 1
        extras = new.extras
        attempts = new.max_attempts or self.policies[new.queue].max_attempts
        queued = extras.unique_while is UniqueWhile.QUEUED
        priority = 1_024 if new.priority is None else new.priority
        key, group = extras.unique_key, extras.group_key
        size, limit = len(new.payload), extras.group_limit
        row = Row(self.last_id, new.queue, size, priority, attempts, 0, key, queued, group, limit, extras.worker, "new")
        row.created_at, row.type, row.batch = self.now, new.type, batch or extras.batch
        row.budgets, row.fair = self.costs(new), extras.fair_key
        self.wait(row, self.now + (new.delay_ms or 0))
        row.expires_at = self.deadline(new, row.ready_at)
        self.jobs[row.id] = row
        return row.id

    def LeaseJobs(self, command: c.LeaseJobs) -> list[tuple[int, int]]:  # noqa: N802
        known = self.workers.get(command.worker)
        if known is not None:
            known.beat = self.now
            if not known.running:
                return []
        elif command.registered:
            raise No("worker_not_found")
        given: list[tuple[int, int]] = []
        while len(given) < command.limit and (row := self._next(command, command.queues or known.queues)) is not None:
            self.grant(row, command.worker, self.now + (command.lease_ms or 0))
            given.append((row.id, row.attempt))
        return given

    def grant(self, row: Row, worker: str, until: int) -> None:
        row.state, row.attempt, row.until, row.cancel = "leased", row.attempt + 1, until, False
        row.ref, row.by = None, worker

    def _next(self, command: c.LeaseJobs, queues: tuple[str, ...]) -> Row | None:
        mine = (None, command.worker) if command.worker in self.workers else (None,)
        open_to_it = [row for row in self.jobs.values() if row.state == "ready" and not row.held and row.worker in mine]
        of_worker = self.workers[command.worker].types if command.worker in self.workers else None
        for only in (command.types, of_worker):
            open_to_it = [row for row in open_to_it if only is None or row.type in only]
        open_to_it = [row for row in open_to_it if (row.queue, row.type) not in self.paused_types and not self.is_blocked(row)]
        heads = []
        for index, queue in enumerate(queues):
            line = [row for row in open_to_it if row.queue == queue]
            most = self.policies[queue].max_running
            if line and queue not in self.paused and (most is None or self.tally(queue).leased < most):
                heads.append((index, self.first(line)))
        if command.by_priority:
            heads.sort(key=lambda head: (head[1].priority, head[1].id, head[0]))
        return heads[0][1] if heads else None


_TIME = (EndOverdue, ExpireLeases, PromoteDue, BuryOrphans, b.PutClosingJobs)
_ENDS = (c.ConcludeLease, c.FailLease, c.ReleaseLease, c.ExtendLease, t.BuryLease)
_JOBS = (
    c.SettleJob,
    c.RetryJob,
    c.CancelJob,
    c.PromoteJob,
    c.TakeBackLease,
    c.DeleteJob,
    c.EditJob,
    c.PauseQueue,
    c.PauseType,
    c.PurgeQueue,
)
_WORKERS = (c.RegisterWorker, c.BeatWorker, c.QuietWorker, c.RemoveWorkers, ReapWorkers)
_TUBES = (t.KickJob, t.KickJobs)
_HANDS = (*_JOBS, *_TUBES, *_WORKERS, c.SetInterest, b.CancelJobBatch, BlockBudget)
_PUTS = (c.Enqueue, t.PutJobs, Publish, b.MakeJobBatch, b.CloseJobBatch)
