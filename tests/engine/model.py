"""What the engine should do, in plain Python: jobs in a dictionary, every rule in a few lines, a whole transaction at a time.

It is written from the contract and not from the engine, and knows nothing of rows, batches or stores. The test hands the same commands to
both. Tokens are the engine's to make: the model is told them after a lease, and judges them from then on.
"""

from collections import Counter
from dataclasses import dataclass, field

from holdfast.engine import commands as c
from holdfast.job.job import LeaseRef, State, UniqueWhile
from holdfast.job.queue import QueuePolicy, Tally

WAITING, UNFINISHED = ("scheduled", "ready"), ("scheduled", "ready", "leased")


class No(Exception):
    """A refusal, by its code."""


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
    state: str = "ready"
    held: bool = False
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    until: int = 0
    cancel: bool = False
    ref: LeaseRef | None = None
    concluded_by: LeaseRef | None = None
    failed: set[tuple[int, bytes]] = field(default_factory=set)  # by attempt and secret

    @property
    def has_place(self) -> bool:
        return self.group is not None and (self.state == "leased" or (self.state == "ready" and not self.held))

    @property
    def has_key(self) -> bool:
        return self.key is not None and self.state in (WAITING if self.key_while_queued else UNFINISHED)


class Model:
    """All queues and all jobs. `apply` decides a transaction; `policies` name the queues that there are."""

    def __init__(self, policies: dict[str, QueuePolicy]) -> None:
        self.policies = policies
        self.jobs: dict[int, Row] = {}
        self.paused: set[str] = set()
        self.answers: dict[tuple[str, str], tuple[bytes, list[int]]] = {}
        self.last_id = 0
        self.now = 0

    def apply(self, commands: list[c.Command], now: int) -> list[object]:
        """What each command is answered: a refusal's code, or what it comes to. Time, ends, hands, new jobs, leases: in this order."""
        self.now = now
        answers: dict[int, object] = {}
        for phase in (_TIME, _ENDS, _HANDS, (c.Enqueue,), (c.LeaseJobs,)):
            for index, command in enumerate(commands):
                if isinstance(command, phase):
                    try:
                        answers[index] = getattr(self, type(command).__name__)(command)
                    except No as refusal:
                        answers[index] = str(refusal)
                    if phase is _TIME:
                        self.settle()
            if phase == (c.Enqueue,):
                self.settle()
        return [answers[index] for index in range(len(commands))]

    def tally(self, queue: str) -> Tally:
        mine = [row for row in self.jobs.values() if row.queue == queue]
        counts = Counter(row.state for row in mine)
        return Tally(*(counts[state.value] for state in State), sum(row.size for row in mine if row.state in UNFINISHED))

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

    def need_room(self, queue: str, jobs: int, size: int) -> None:
        tally, policy = self.tally(queue), self.policies[queue]
        if (
            tally.scheduled + tally.ready + tally.leased + jobs > policy.capacity_jobs
            or tally.bytes + size > policy.capacity_bytes
        ):
            raise No("queue_full")

    def holder(self, queue: str, key: str | None) -> Row | None:
        return next((row for row in self.jobs.values() if (row.queue, row.key) == (queue, key) and row.has_key), None)

    def wait(self, row: Row, ready_at: int) -> None:
        """The job waits (again): it keeps its place while it is ready without a break, and its key unless another took it meanwhile."""
        had_place, had_key = row.has_place, row.has_key
        if row.key is not None and not had_key and self.holder(row.queue, row.key) is not None:
            row.key = None
        row.state, row.ready_at = ("ready" if ready_at <= self.now else "scheduled"), ready_at
        row.held = row.state == "ready" and row.group is not None and not had_place

    def end(self, row: Row, state: str) -> None:
        row.state, row.held = state, False

    def after_attempt(self, row: Row, ready_at: int, dead: bool) -> None:
        if row.cancel:
            self.end(row, "cancelled")
        elif dead or row.failures + row.crashes >= row.max_attempts:
            self.end(row, "dead")
        else:
            self.wait(row, ready_at)

    def outcome(self, row: Row) -> tuple[str, int]:
        return row.state, row.ready_at

    # Verbs

    def ExpireLeases(self, command: c.ExpireLeases) -> int:  # noqa: N802  (each verb is called what its command is called)
        over = [row for row in self.jobs.values() if row.state == "leased" and row.until <= self.now]
        for row in sorted(over, key=lambda row: (row.until, row.ref.fence)):
            row.crashes += 1
            self.after_attempt(row, self.now, row.crashes >= self.policies[row.queue].max_crashes)
        return len(over)

    def PromoteDue(self, command: c.PromoteDue) -> int:  # noqa: N802
        due = [row for row in self.jobs.values() if row.state == "scheduled" and row.ready_at <= self.now]
        for row in due:
            self.wait(row, row.ready_at)
        return len(due)

    def ConcludeLease(self, command: c.ConcludeLease) -> object:  # noqa: N802
        if (row := self.held_by(command.ref)) is None:
            known = self.jobs.get(command.ref.job)
            if known is None or known.concluded_by != command.ref:
                raise No("lease_lost")
            return self.outcome(known)
        row.concluded_by = row.ref
        self.end(row, "concluded")
        return self.outcome(row)

    def FailLease(self, command: c.FailLease) -> object:  # noqa: N802
        if (row := self.held_by(command.ref)) is None:
            known = self.jobs.get(command.ref.job)
            if known is None or (command.ref.attempt, command.ref.secret) not in known.failed:
                raise No("lease_lost")
            return self.outcome(known)
        row.failures += 1
        row.failed.add((command.ref.attempt, command.ref.secret))
        self.after_attempt(row, self.now + (command.delay_ms or 0), not command.retry)
        return self.outcome(row)

    def ReleaseLease(self, command: c.ReleaseLease) -> object:  # noqa: N802
        if (row := self.held_by(command.ref)) is None:
            raise No("lease_lost")
        if row.cancel:
            self.end(row, "cancelled")
        else:
            row.priority = row.priority if command.priority is None else command.priority
            self.wait(row, self.now + command.delay_ms)
        return self.outcome(row)

    def ExtendLease(self, command: c.ExtendLease) -> object:  # noqa: N802
        if (row := self.held_by(command.ref)) is None:
            raise No("lease_lost")
        row.until = self.now + (command.lease_ms or 0)
        return command.lease_ms, row.cancel

    def RetryJob(self, command: c.RetryJob) -> object:  # noqa: N802
        row = self.job(command.id, "dead")
        self.need_room(row.queue, 1, row.size)
        if row.key is not None and self.holder(row.queue, row.key) is not None:
            raise No("not_unique")
        row.failures = row.crashes = 0
        self.wait(row, self.now)
        return row.id

    def CancelJob(self, command: c.CancelJob) -> object:  # noqa: N802
        row = self.job(command.id, *UNFINISHED)
        if row.state == "leased":
            row.cancel = True
        else:
            self.end(row, "cancelled")
        return row.id

    def PromoteJob(self, command: c.PromoteJob) -> object:  # noqa: N802
        row = self.job(command.id, "scheduled")
        self.wait(row, self.now)
        return row.id

    def DeleteJob(self, command: c.DeleteJob) -> object:  # noqa: N802
        return self.jobs.pop(self.job(command.id, *(state.value for state in State if state is not State.LEASED)).id).id

    def EditJob(self, command: c.EditJob) -> object:  # noqa: N802
        row = self.job(command.id, *WAITING)
        if command.content is not None:
            if len(command.content.payload) > row.size:
                self.need_room(row.queue, 0, len(command.content.payload) - row.size)
            row.size = len(command.content.payload)
        row.priority = row.priority if command.priority is None else command.priority
        if command.delay_ms is not None:
            self.wait(row, self.now + command.delay_ms)
        return row.id

    def PauseQueue(self, command: c.PauseQueue) -> object:  # noqa: N802
        (self.paused.add if command.paused else self.paused.discard)(command.name)
        return command.paused

    def PurgeQueue(self, command: c.PurgeQueue) -> int:  # noqa: N802
        self.settle()
        gone = [row.id for row in self.jobs.values() if row.queue == command.name and row.state in command.states]
        for job_id in gone:
            del self.jobs[job_id]
        return len(gone)

    def Enqueue(self, command: c.Enqueue) -> object:  # noqa: N802
        if command.key is not None and (kept := self.answers.get((command.key.scope, command.key.key))):
            if kept[0] != command.key.digest:
                raise No("idempotency_mismatch")
            return kept[1], True
        for queue in dict.fromkeys(new.queue for new in command.jobs):
            mine = [new for new in command.jobs if new.queue == queue]
            self.need_room(queue, len(mine), sum(len(new.payload) for new in mine))
        keys = [(new.queue, new.extras.unique_key) for new in command.jobs if new.extras.unique_key is not None]
        if len(set(keys)) < len(keys) or any(self.holder(*key) is not None for key in keys):
            raise No("not_unique")
        ids = [self._put(new) for new in command.jobs]
        if command.key is not None:
            self.answers[command.key.scope, command.key.key] = (command.key.digest, ids)
        return ids, False

    def _put(self, new: object) -> int:
        self.last_id += 1
        extras = new.extras
        attempts = new.max_attempts or self.policies[new.queue].max_attempts
        queued = extras.unique_while is UniqueWhile.QUEUED
        priority = 1_024 if new.priority is None else new.priority
        key, group = extras.unique_key, extras.group_key
        row = Row(
            self.last_id, new.queue, len(new.payload), priority, attempts, 0, key, queued, group, extras.group_limit, "new"
        )
        self.wait(row, self.now + (new.delay_ms or 0))
        self.jobs[row.id] = row
        return row.id

    def LeaseJobs(self, command: c.LeaseJobs) -> list[tuple[int, int]]:  # noqa: N802
        given: list[tuple[int, int]] = []
        while len(given) < command.limit and (row := self._next(command)) is not None:
            row.state, row.attempt, row.until, row.cancel = "leased", row.attempt + 1, self.now + (command.lease_ms or 0), False
            row.ref = None
            given.append((row.id, row.attempt))
        return given

    def _next(self, command: c.LeaseJobs) -> Row | None:
        heads = []
        for index, queue in enumerate(command.queues):
            line = [row for row in self.jobs.values() if row.queue == queue and row.state == "ready" and not row.held]
            most = self.policies[queue].max_running
            if line and queue not in self.paused and (most is None or self.tally(queue).leased < most):
                heads.append((index, min(line, key=lambda row: (row.priority, row.id))))
        if command.by_priority:
            heads.sort(key=lambda head: (head[1].priority, head[1].id, head[0]))
        return heads[0][1] if heads else None


_TIME = (c.ExpireLeases, c.PromoteDue)
_ENDS = (c.ConcludeLease, c.FailLease, c.ReleaseLease, c.ExtendLease)
_HANDS = (c.RetryJob, c.CancelJob, c.PromoteJob, c.DeleteJob, c.EditJob, c.PauseQueue, c.PurgeQueue)
