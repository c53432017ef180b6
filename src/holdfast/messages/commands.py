"""What callers ask of the committer. Times and durations are in milliseconds."""

from typing import ClassVar

from msgspec import UNSET

from holdfast.job.budget import Block
from holdfast.job.job import Content, IdempotencyKey, LeaseRef, NewJob, Raised, State
from holdfast.job.meta import Meta
from holdfast.job.queue import QueueSettings
from holdfast.job.registry import UNTOLD, Process
from holdfast.job.schedule import ScheduleSpec
from holdfast.limits import GRANT_BYTES
from holdfast.messages.answers import Changed, Counted, Enqueued, Extended, Granted, Outcome, ScheduleAnswer, WorkerAnswer
from holdfast.messages.audit import Deed, Managed
from holdfast.messages.frame import Command, Phase, Request
from holdfast.messages.views import QueueInfo

_EDITABLE = ("content", "type", "priority", "delay_ms", "run_at", "max_attempts", "tags", "meta", "expires_in_ms", "expires_at")

# Commands: producing and consuming ------------------------------------------------------------------------------------------------


class Enqueue(Command[Enqueued], frozen=True, tag=1):
    """Put all of these jobs, or none of them. `interests` is the version of the interests by which they were routed, if they were.

    `to_workers`: each job is enqueued once for every running worker registered on its queue, and only that worker can lease it.
    `skip_held`: a job whose unique key is taken is left out, instead of a refusal of all. `member`: the lease of a running job, which adds to its
    own batch.
    """

    phase: ClassVar[Phase] = Phase.ENQUEUE

    jobs: list[NewJob]
    key: IdempotencyKey | None = None
    interests: int | None = None
    to_workers: bool = False
    skip_held: bool = False
    member: LeaseRef | None = None


class LeaseJobs(Command[Granted], frozen=True, tag=2):
    """Lease up to `limit` ready jobs to `worker`: queue after queue, or by priority over all of them; up to `most_bytes`, but
    at least one. `registered`: the worker must be registered, and without `queues` its registered queues are used. `waits`: who finds
    nothing will wait for news, so a look at what was committed last is enough. `types`: only jobs of these.
    """

    phase: ClassVar[Phase] = Phase.LEASE

    queues: tuple[str, ...]
    limit: int
    worker: str
    lease_ms: int | None = None
    request: str | None = None
    by_priority: bool = False
    registered: bool = False
    most_bytes: int = GRANT_BYTES
    waits: bool = False
    types: tuple[str, ...] | None = None


class AwaitJobs(Request[Granted], frozen=True, tag=7):
    """Have these jobs leased in the very commit that makes some ready, and be answered then; or with nothing, once its caller has left.

    Whatever else may bring jobs (other nodes, an end of a pause) is for the caller to look for.
    """

    lease: LeaseJobs


class ConcludeLease(Command[Outcome], frozen=True, tag=3):
    """The work is done; `then` are follow-up jobs, enqueued in the same transaction."""

    phase: ClassVar[Phase] = Phase.END

    ref: LeaseRef
    result: bytes | None = None
    then: list[NewJob] = []


class FailLease(Command[Outcome], frozen=True, tag=4):
    """The attempt failed. `delay_ms` None: as the retry policy says. `crashed`: the holder saw the attempt crash; the job is
    ready again at once, unless a delay is given.
    """

    phase: ClassVar[Phase] = Phase.END

    ref: LeaseRef
    reason: str
    retry: bool = True
    delay_ms: int | None = None
    crashed: bool = False
    raised: Raised | None = None
    block: Block | None = None


class ReleaseLease(Command[Outcome], frozen=True, tag=5):
    """Release the job; the attempt does not count. `counted`: the job counts its releases. `until`: only while the lease ends at this
    time, as it was granted: whoever extends it has it.
    """

    phase: ClassVar[Phase] = Phase.END

    ref: LeaseRef
    delay_ms: int = 0
    priority: int | None = None
    counted: bool = False
    until: int | None = None
    block: Block | None = None


class ExtendLease(Command[Extended], frozen=True, tag=6):
    """Extend the lease to `lease_ms` from now (None: the job's or its queue's), with optional progress (JSON)."""

    phase: ClassVar[Phase] = Phase.END

    ref: LeaseRef
    lease_ms: int | None = None
    progress: bytes | None = None


class ShortenLease(Command[Extended], frozen=True, tag=8):
    """The connection of its holder has broken: the lease lasts half of what is left of it, but `least_ms`, and never longer than
    before. A holder that extends its leases after a third of their time comes back before that, however long they are.
    """

    phase: ClassVar[Phase] = Phase.END

    ref: LeaseRef
    least_ms: int


# Commands: managing ---------------------------------------------------------------------------------------------------------------


class RetryJob(Managed[Changed], frozen=True, tag=10):
    """Run a dead or expired job again; with a new deadline, if one is named."""

    id: int
    expires_in_ms: int | None = None
    expires_at: int | None = None

    def deed(self) -> Deed:
        """What it does."""
        return Deed("job.retry", job=self.id)


class CancelJob(Managed[Changed], frozen=True, tag=11):
    """End a waiting job; ask a running one to stop."""

    id: int

    def deed(self) -> Deed:
        """What it does."""
        return Deed("job.cancel", job=self.id)


class PromoteJob(Managed[Changed], frozen=True, tag=12):
    """Run a scheduled job now."""

    id: int

    def deed(self) -> Deed:
        """What it does."""
        return Deed("job.promote", job=self.id)


class TakeBackLease(Managed[Changed], frozen=True, tag=85):
    """Take a leased job back from its worker, whose lease is lost; the attempt does not count. `attempt`: only if it is still that one."""

    id: int
    attempt: int | None = None

    def deed(self) -> Deed:
        """What it does."""
        return Deed("job.release_lease", job=self.id)


class DeleteJob(Managed[Changed], frozen=True, tag=13):
    """Remove a job and everything stored about it. `unless_history`: a concluded or cancelled one is not found."""

    id: int
    unless_history: bool = False

    def deed(self) -> Deed:
        """What it does."""
        return Deed("job.delete", job=self.id)


class EditJob(Managed[Changed], frozen=True, tag=14):
    """Change a waiting job; None leaves a field as it is. `expires_at` 0: it has no deadline any more."""

    id: int
    content: Content | None = None
    type: str | None = None
    priority: int | None = None
    delay_ms: int | None = None
    run_at: int | None = None
    max_attempts: int | None = None
    tags: tuple[str, ...] | None = None
    meta: Meta | None = None
    expires_in_ms: int | None = None
    expires_at: int | None = None

    def deed(self) -> Deed:
        """What it does."""
        named = [name for name in _EDITABLE if getattr(self, name) is not None]
        return Deed("job.edit", note=", ".join("payload" if name == "content" else name for name in named), job=self.id)


class MoveJob(Managed[Enqueued], frozen=True, tag=60):
    """Enqueue a job that is not leased again in another queue, and remove it here, in one transaction."""

    id: int
    queue: str

    def deed(self) -> Deed:
        """What it does."""
        return Deed("job.move", note=f"to {self.queue}", job=self.id)


class SettleJob(Managed[Changed], frozen=True, tag=69):
    """End a job that is not leased, by an operator's decision: concluded, perhaps with a result, or dead, for this reason."""

    id: int
    done: bool
    reason: str
    result: bytes | None = None

    def deed(self) -> Deed:
        """What it does."""
        return Deed("job.settle", note="as concluded" if self.done else "as dead", job=self.id)


class AddJob(Managed[Enqueued], frozen=True, tag=84):
    """Enqueue one job by hand; programs use `Enqueue`."""

    job: NewJob

    def deed(self) -> Deed:
        """What it does."""
        return Deed("job.enqueue", self.job.queue)


class SetQueue(Managed[QueueInfo], frozen=True, tag=15):
    """Create a queue or change its settings; `whole` resets settings that are not named. `only_change`: never create one."""

    name: str
    settings: QueueSettings
    whole: bool
    only_change: bool = False

    def deed(self) -> Deed:
        """What it does."""
        given = {
            name: value for name in QueueSettings.__struct_fields__ if (value := getattr(self.settings, name)) is not UNSET
        }
        words = [f"{name} {value}" if isinstance(value, int) else name for name, value in given.items()]
        return Deed("queue.set", self.name, note=", ".join([*words, "all else default"] if self.whole else words))


class PauseQueue(Managed[QueueInfo], frozen=True, tag=16):
    """Stop or resume leasing from a queue; it still accepts new jobs."""

    name: str
    paused: bool

    def deed(self) -> Deed:
        """What it does."""
        return Deed("queue.pause" if self.paused else "queue.resume", self.name)


class PauseType(Managed[QueueInfo], frozen=True, tag=65):
    """Stop or resume leasing jobs of one type from a queue; it still accepts them."""

    name: str
    type: str
    paused: bool

    def deed(self) -> Deed:
        """What it does."""
        return Deed("type.pause" if self.paused else "type.resume", self.name, note=self.type)


class PurgeQueue(Managed[Counted], frozen=True, tag=17):
    """Remove up to `limit` jobs in these states whose id is at most `up_to` (0: all that exist now)."""

    counts: ClassVar[bool] = True

    name: str
    states: tuple[State, ...]
    up_to: int
    limit: int

    def deed(self) -> Deed:
        """What it does."""
        return Deed("queue.purge", self.name, note=", ".join(self.states))


class DeleteQueue(Managed[Counted], frozen=True, tag=18):
    """Remove a queue without unfinished and dead jobs, and its history."""

    name: str

    def deed(self) -> Deed:
        """What it does."""
        return Deed("queue.delete", self.name)


class SetInterest(Managed[Counted], frozen=True, tag=19):
    """Say which events a queue wants, creating it if it is new; None: it wants none any more."""

    counts: ClassVar[bool] = True

    queue: str
    match: str | dict[str, str] | None

    def deed(self) -> Deed:
        """What it does."""
        return Deed("interest.remove" if self.match is None else "interest.set", self.queue)


# Commands: workers ----------------------------------------------------------------------------------------------------------------


class RegisterWorker(Command[WorkerAnswer], frozen=True, tag=30):
    """Register a worker, with its queues, the only types that it takes if it does not take all, and its process."""

    id: str
    name: str
    queues: tuple[str, ...]
    types: tuple[str, ...] | None = None
    process: Process = UNTOLD


class BeatWorker(Command[WorkerAnswer], frozen=True, tag=31):
    """A worker's heartbeat; costs no write."""

    id: str


class QuietWorker(Managed[WorkerAnswer], frozen=True, tag=32):
    """Give a worker nothing more; with `stop` it is asked to end."""

    id: str
    stop: bool = False

    def deed(self) -> Deed:
        """What it does."""
        return Deed("worker.stop" if self.stop else "worker.quiet", target=self.id)


class RemoveWorkers(Managed[Counted], frozen=True, tag=33):
    """Forget one worker, or every worker that takes from a queue."""

    counts: ClassVar[bool] = True

    id: str | None
    queue: str | None = None

    def deed(self) -> Deed:
        """What it does."""
        return Deed("worker.remove", self.queue or "", self.id or "")


# Commands: schedules --------------------------------------------------------------------------------------------------------------


class SetSchedule(Managed[ScheduleAnswer], frozen=True, tag=50):
    """Create a schedule, or change what it enqueues and when."""

    name: str
    spec: ScheduleSpec
    paused: bool

    def deed(self) -> Deed:
        """What it does."""
        spec = self.spec
        often = f"cron {spec.cron}" if spec.cron is not None else f"every {spec.interval_ms} ms"
        note = f"{often}, paused" if self.paused else often
        return Deed("schedule.set", "" if spec.publish else spec.job.queue, self.name, note)


class PauseSchedule(Managed[ScheduleAnswer], frozen=True, tag=51):
    """Stop or resume a schedule."""

    name: str
    paused: bool

    def deed(self) -> Deed:
        """What it does."""
        return Deed("schedule.pause" if self.paused else "schedule.resume", target=self.name)


class RunSchedule(Managed[Enqueued], frozen=True, tag=52):
    """Put a schedule's job now."""

    name: str

    def deed(self) -> Deed:
        """What it does."""
        return Deed("schedule.run", target=self.name)


class DeleteSchedule(Managed[Counted], frozen=True, tag=53):
    """Remove a schedule."""

    name: str

    def deed(self) -> Deed:
        """What it does."""
        return Deed("schedule.delete", target=self.name)
