"""The store protocol. One conformance suite (tests/contract/stores/conformance) tests every store against it.

The committer opens one transaction per batch, loads what its commands name, lets `job/lifecycle.py` decide, and writes the changes. A store never decides: a
`Change` has a job as it was and as it is now, and all that depends on its state (its unique key, its group's slots) follows from the two.

Failures are of these kinds:
  * `StoreUnavailable` when a transaction can't begin: nothing was changed, and it may work later.
  * `StorageFull` before the commit: nothing was changed, the transaction is gone.
  * `StoreBroken` at any time, commit included: the outcome is unknown. The process must stop; a retry could prove nothing.
  * `OutcomeLost` from the commit: the outcome is unknown, but the store continues, and a retry with the same key finds out.
  * `TryAgain` before the commit, from a store that others write to as well: nothing was changed, and the batch may go through now.
  * `RowHeld` before the commit: nothing was changed; one of the commands needs a row that another transaction holds.
  * `NotReplicated` when a transaction begins: nothing was changed; too few standbys are in sync.
  * anything else is a defect: nothing was changed, the transaction is gone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from holdfast.errors import StoreUnavailable
from holdfast.job.job import Content, IdempotencyKey, Job, JobError, Receipt, State
from holdfast.job.queue import Queue, QueuePolicy, QueueSettings
from holdfast.job.registry import Roster, Worker
from holdfast.job.schedule import Schedule
from holdfast.messages.frame import A, Query
from holdfast.messages.views import Durability
from holdfast.stores.access_keys import KeyTransaction
from holdfast.stores.audit_store import AuditTransaction
from holdfast.stores.budget_store import BudgetTransaction
from holdfast.stores.by_type import OrderedJobs, RowsByType
from holdfast.stores.fair_store import FairTransaction
from holdfast.stores.health import Health
from holdfast.stores.inbox import InboxTransaction
from holdfast.stores.job_batches import JobBatchTransaction
from holdfast.stores.operation_store import OperationTransaction


class StoreBroken(Exception):
    """The store failed, and what is stored is not known."""


class OutcomeLost(Exception):
    """The commit was sent, and whether it is stored as promised is not known. The store itself continues."""


class TryAgain(Exception):
    """A conflict with others; nothing was changed. What is named is to be locked from the beginning next time."""

    def __init__(
        self, reason: str, queues: Iterable[str] = (), job_batches: Iterable[int] = (), budgets: Iterable[str] = ()
    ) -> None:
        super().__init__(reason)
        self.queues = frozenset(queues)
        self.job_batches = frozenset(job_batches)
        self.budgets = frozenset(budgets)


class RowHeld(Exception):
    """Another transaction holds a row, not a queue, that one of these commands needs; nothing was changed. Smaller batches let the others through."""

    code = StoreUnavailable.code
    detail = "Something that this needs is held by a transaction that has not ended; nothing was changed."


class QueueHeld(StoreUnavailable):
    """A transaction of another program holds this queue for long; only the commands that need the queue are refused."""

    def __init__(self, queue: str) -> None:
        detail = f"The queue {queue} is held by a transaction that has not ended; nothing was changed."
        super().__init__(detail, queue=queue, retry_after_ms=1_000)


class Prefetch(msgspec.Struct):
    """What a batch will read, announced when it begins. Only a store shared by several nodes uses it: it locks all queues in
    one order, and reads what belongs together in one query. What is left out costs time, or a `TryAgain`; it is never wrong.

    `lines`: how many jobs are wanted by (worker, queue); `expire`, `due`, `overdue`, `orphans`, `fire`: how many at most; `forget`: a page
    of queues; `shares`: queues with fair keys to forget, whether also where those without jobs are more than so many; `owed`: a page of batches whose closing jobs are owed; `job_batches`: batches that turned out to be needed. `open_ended`: more jobs may come up than are named. `unheard`: no caller gets the outcome, so that a batch that
    wrote nothing need not be proven.
    """

    now: int
    queues: set[str] = msgspec.field(default_factory=set)
    fences: list[int] = msgspec.field(default_factory=list)
    jobs: list[int] = msgspec.field(default_factory=list)
    lines: dict[tuple[str, str], int] = msgspec.field(default_factory=dict)
    own_lines: dict[str, int] = msgspec.field(default_factory=dict)
    unique: list[tuple[str, str]] = msgspec.field(default_factory=list)
    budgets: set[str] = msgspec.field(default_factory=set)
    new_jobs: int = 0
    leases: int = 0
    expire: int = 0
    due: int = 0
    overdue: int = 0
    orphans: int = 0
    fire: int = 0
    accounts: int = 0
    shares: tuple[bool, int] | None = None
    forget: tuple[str, int] | None = None
    owed: tuple[int, int] | None = None
    job_batches: set[int] = msgspec.field(default_factory=set)
    open_ended: bool = False
    unheard: bool = False


class Change(msgspec.Struct, gc=False):
    """What one decision makes of one job. None before: it is new. None after: it is removed.

    `content` is set for a new job and for an edit of its payload or type; the others are what this change adds to the job, and `FORGOTTEN`
    is a progress that removes what was noted.
    """

    before: Job | None
    after: Job | None
    content: Content | None = None
    error: JobError | None = None
    result: bytes | None = None
    progress: bytes | None = None
    then: list[Receipt] | None = None
    errors: Sequence[JobError] = ()  # of the attempts of a job that comes from elsewhere


class KeptAnswer(msgspec.Struct, array_like=True):
    """The first answer to a call with an idempotency key."""

    digest: bytes
    receipts: list[Receipt]


UNTOLD = KeptAnswer(b"", [])
"""Of an answer that can't be read: no call is the one that it was given to, so none is answered as a repetition, and none is carried out again."""


class Transaction(
    RowsByType,
    FairTransaction,
    BudgetTransaction,
    JobBatchTransaction,
    KeyTransaction,
    OperationTransaction,
    AuditTransaction,
    InboxTransaction,
    Protocol,
):
    """One batch's view of the store. Rows that it loads stay as they are until it ends."""

    @property
    def wrote(self) -> bool:
        """Whether anything was changed, known after `commit`: a commit without changes flushes nothing."""
        ...

    async def queue(self, name: str) -> Queue | None:
        """The queue with its exact tally; raises `QueueHeld`."""
        ...

    def policy(self, settings: QueueSettings) -> QueuePolicy:
        """The settings in force: these over the server's defaults."""
        ...

    async def create_queue(self, name: str, now: int) -> Queue:
        """A new queue with the default settings; raises `InvalidRequest` past the bound on their number."""
        ...

    async def save_queues(self, queues: Sequence[Queue]) -> None:
        """Write settings, pause and tally of these queues."""
        ...

    async def delete_queue(self, queue: Queue) -> None:
        """Delete a queue without jobs."""
        ...

    async def queue_names(self, after: str, limit: int) -> list[str]:
        """Names of queues in order, after `after`."""
        ...

    async def with_history(self, after: str, limit: int) -> tuple[list[str], str]:
        """Of the next `limit` queues after `after` those that may have history to forget, and where to go on ("": from the beginning)."""
        ...

    async def interests_version(self) -> int:
        """Grows with every change of any interest."""
        ...

    async def set_interest(self, queue: Queue, match: str | dict[str, str] | None) -> bool:
        """Write or remove a queue's interest; whether there was one to remove or change. The version grows if anything changed."""
        ...

    async def interests(self) -> dict[str, str | dict[str, str]]:
        """Every queue's interest."""
        ...

    async def schedule(self, name: str) -> Schedule | None:
        """One schedule."""
        ...

    async def schedule_count(self) -> int:
        """How many schedules there are."""
        ...

    async def schedules_due(self, now: int, limit: int) -> list[Schedule]:
        """Schedules that are due and not paused, longest due first."""
        ...

    async def save_schedule(self, schedule: Schedule) -> None:
        """Write a schedule, new or changed."""
        ...

    async def schedules_after(self, name: str, limit: int) -> list[Schedule]:
        """Schedules in the order of their names."""
        ...

    async def postpone_schedule(self, name: str, try_at: int) -> None:
        """Look at a schedule later, and leave the rest of its row as it is: it may not be readable."""
        ...

    async def delete_schedule(self, name: str) -> None:
        """Remove a schedule."""
        ...

    async def workers(self) -> Roster:
        """All registered workers."""
        ...

    async def save_worker(self, worker: Worker) -> None:
        """Write a worker, new or changed."""
        ...

    async def delete_workers(self, ids: Sequence[str]) -> None:
        """Remove workers; their jobs stay leased."""
        ...

    async def holding(self, ids: Sequence[str]) -> set[str]:
        """The workers among these that have a lease."""
        ...

    async def reserve(self, job_ids: int = 0, fences: int = 0) -> None:
        """Have so many, if the commands did not announce as many jobs or leases."""
        ...

    def take_job_ids(self, count: int) -> int:
        """The first of `count` consecutive new job ids."""
        ...

    def take_fences(self, count: int) -> int:
        """The first of `count` consecutive new fences."""
        ...

    async def continue_from(self, job: int, fence: int) -> None:
        """Ids and fences that are given from now on are higher than these."""
        ...

    async def leased(self, fences: Sequence[int]) -> dict[int, Job]:
        """The leased jobs under these fences."""
        ...

    async def leased_by_request(self, requests: Sequence[str]) -> dict[str, OrderedJobs]:
        """The current leases of these dequeue calls."""
        ...

    async def job(self, job_id: int) -> Job | None:
        """One job in any state."""
        ...

    async def content(self, job_id: int) -> Content | None:
        """The content for the job's worker."""
        ...

    async def ready(self, queue: Queue, limit: int) -> OrderedJobs:
        """The next jobs to lease, by priority and id; held ones are not among them."""
        ...

    async def orphans(self, limit: int) -> list[Job]:
        """Ready jobs that only a worker may take who is not registered any more."""
        ...

    async def progress(self, job_ids: Sequence[int]) -> dict[int, bytes]:
        """What earlier attempts of these jobs noted."""
        ...

    async def expired(self, now: int, limit: int) -> list[Job]:
        """Leased jobs whose lease expired at or before `now`, longest first."""
        ...

    async def served(self) -> tuple[bool, int] | None:
        """Record that a server is running. Returns whether none had been for `OUTAGE_MS`, and until when leases were last
        extended for that; None if a single process runs, which detects outages itself.
        """
        ...

    async def grant_grace(self, until: int, limit: int) -> int:
        """Let leases that end before `until` end then, the next to end first; how many."""
        ...

    async def clamp_times(self, now: int, lease_until: int, ready_at: int) -> tuple[int, int]:
        """Let no lease last longer than this, and no job that was tried before wait longer; how many of each. Caches of later times than
        `now` are dropped.
        """
        ...

    async def clamp_history(self, now: int, after: int, limit: int) -> int:
        """Set times later than `after` to `now`: of up to that many ended jobs, and as many kept answers; returns how many."""
        ...

    async def due(self, now: int, limit: int) -> list[Job]:
        """Scheduled jobs that were due at or before `now`, earliest first."""
        ...

    async def overdue(self, now: int, limit: int) -> list[Job]:
        """Waiting jobs whose deadline passed at or before `now`, earliest first."""
        ...

    async def next_to_kick(self, queue: Queue, state: State, limit: int) -> list[Job]:
        """The queue's dead jobs that died first, or its scheduled jobs that are due first; then by id."""
        ...

    async def unique_holders(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """The jobs that have these (queue, unique key) pairs."""
        ...

    async def group_places(self, queue: str, group: str) -> int:
        """How many slots of a group are taken."""
        ...

    async def held(self, queue: str, group: str, limit: int) -> list[Job]:
        """The jobs that wait for a place in the group, oldest first."""
        ...

    async def error_of(self, job_id: int, attempt: int) -> JobError | None:
        """How this attempt went wrong, if it did."""
        ...

    async def followers(self, job_id: int) -> list[Receipt]:
        """The jobs enqueued when this one was concluded."""
        ...

    async def kept_answers(self, keys: Sequence[IdempotencyKey]) -> dict[tuple[str, str], KeptAnswer]:
        """The kept answers of these keys, by (scope, key)."""
        ...

    async def keep_answers(self, answers: Sequence[tuple[IdempotencyKey, KeptAnswer]], now: int) -> None:
        """Keep the first answers to these keys."""
        ...

    async def newest_only(self) -> bool:
        """Whether no node of the release before may serve this store, so that it may hold what only this version reads."""
        ...

    async def forgettable(self, queue: Queue, ended_before: int, limit: int) -> list[Job]:
        """Concluded and cancelled jobs of the queue that ended before this, oldest first."""
        ...

    async def forget_answers(self, before: int, limit: int) -> int:
        """Scan the next `limit` kept answers from before this time, and delete those whose jobs are gone; returns how many. Starts over at the end."""
        ...

    async def write(self, changes: Sequence[Change]) -> None:
        """Write these changes. Raises if a row is not as `before` says."""
        ...

    async def commit(self) -> None:
        """Return only when all of it is stored with the store's durability."""
        ...


class Store(Protocol):
    """A store of jobs. `shared`: other processes write to it too, and are informed by `notify`."""

    durability: Durability
    shared: bool

    def transaction(self, expected: Prefetch | None = None) -> AbstractAsyncContextManager[Transaction]:
        """Begin; leaving without `commit` undoes everything."""
        ...

    async def next_due(self) -> int | None:
        """The earliest time at which a lease expires, a scheduled job is due or a waiting one expires."""
        ...

    async def read(self, query: Query[A], now: int) -> A:
        """Answer a query from committed data. `GetStats` is answered by `committer/stats.py` with `queue_page` and `health`."""
        ...

    def accepting(self) -> bool:
        """Whether there is disk space for new jobs."""
        ...

    def in_memory(self) -> tuple[Mapping[str, Queue], Roster] | None:
        """Some queues, and all registered workers, as of the last commit, between two transactions; None: only a transaction knows."""
        ...

    def spend_reserve(self) -> bool:
        """The disk is full: delete the reserve, so that leases can be ended. False if it was deleted before."""
        ...

    def health(self) -> Health:
        """Sizes and free space; measures the disk and restores the reserve if there is room."""
        ...

    async def look_at(self, names: Sequence[str]) -> list[Queue]:
        """These queues as they are committed, to see whether it is worth asking."""
        ...

    async def produced_beside(self) -> bool:
        """Whether jobs arrive that no node has enqueued and so no node announces; used only if the store is shared."""
        ...

    async def tend(self) -> None:
        """Periodic checks, every second: of the disk, or of the connections and the standbys."""
        ...

    async def notify(self, text: str) -> None:
        """Notify the other processes; used only if the store is shared. Notifications may be lost."""
        ...

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the notifications of others."""
        ...

    async def share_beats(self, beats: dict[str, int]) -> None:
        """Exchange with the other processes when each worker was last heard of."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...
