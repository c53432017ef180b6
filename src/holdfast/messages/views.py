"""Answers to queries: read from a store, or from the counters in memory. Times are in milliseconds."""

import msgspec

from holdfast.job.job import Content, Job, JobError, Receipt
from holdfast.job.queue import QueuePolicy, QueueSettings, Tally
from holdfast.job.registry import Worker
from holdfast.job.schedule import Schedule
from holdfast.messages.budget_views import BudgetInfo, WaitFacts
from holdfast.messages.fair_views import TurnFacts
from holdfast.messages.frame import Answer, Frame
from holdfast.messages.inbox import InboxState


class QueueInfo(Answer, frozen=True, tag=106):
    """A queue with its effective settings and its contents."""

    name: str
    settings: QueueSettings
    policy: QueuePolicy
    paused: bool
    created_at: int
    tally: Tally
    paused_until: int = 0
    paused_types: tuple[str, ...] = ()


class QueueCounts(Answer, frozen=True, tag=171):
    """A number for each queue; one that is not named has none."""

    counts: dict[str, int]


class ReceiptList(Answer, frozen=True, tag=184):
    """Jobs as they were enqueued; `gone`: the ids of those that are there no more."""

    receipts: list[Receipt]
    gone: list[int] = []


class QueueLoad(Answer, frozen=True, tag=183):
    """A queue, when its oldest ready job became ready, and of its last concluded jobs how many were looked at (`concluded`, up to
    `LOAD_SAMPLE`), since when, and how long each was leased, on average.
    """

    info: QueueInfo
    now: int
    oldest_ready_at: int | None
    concluded: int
    since: int | None
    work_ms: float | None


class TubeFacts(Answer, frozen=True, tag=172):
    """A queue, how often each verb happened to it since the start, and how many of its ready jobs are urgent."""

    info: QueueInfo
    totals: dict[str, int]
    urgent: int
    now: int


class Durability(msgspec.Struct, frozen=True):
    """How an answered job is stored: `memory`, `disk` (fsynced) or `replicated` on so many other machines."""

    level: str
    replicas: int = 0


class JobDetail(Answer, frozen=True, tag=121):
    """A job with everything stored about it; `now` is the store's time, `result_bytes` the size of the whole result, `then` its
    follow-up jobs. `payload_hidden`: its content was left out, because the caller may not see it.
    """

    job: Job
    content: Content
    now: int
    progress: bytes | None = None
    result: bytes | None = None
    errors: list[JobError] = []
    result_bytes: int = 0
    then: list[Receipt] = []
    payload_hidden: bool = False


class JobPage(Answer, frozen=True, tag=122):
    """Some jobs, and where the next page starts (None: there is none); `first` is where the one before ends, read in reverse. `scanned`: at least
    so many jobs were looked at.
    """

    jobs: list[JobDetail]
    cursor: tuple[int, tuple[int | str, ...]] | None = None
    first: tuple[int, tuple[int | str, ...]] | None = None
    scanned: int = 0


class QueuePage(Answer, frozen=True, tag=123):
    """Some queues, and the name after which the next page starts."""

    queues: list[QueueInfo]
    after: str | None = None


class Between(Frame, frozen=True):
    """Something that happened to a job between two attempts. `what`: `held` by its group, `waits_for_budget` or `blocked` (by an account), `released` by
    a worker, `retried` or `promoted` by hand; `of`: the group, the account or the worker. `began_at` None: before the server started;
    `ended_at` None: it lasts. `attempt`: how many there had been.
    """

    what: str
    of: str
    began_at: int | None
    ended_at: int | None
    attempt: int


class JobFacts(Answer, frozen=True, tag=124):
    """What `why` reasons from. `ahead` counts up to a limit; `group_holders` are the jobs in the group's places.

    `takers`: running workers of the queue with their times of registration, up to a limit; of a leased job its worker alone, if it is
    registered. The engine adds how many are `silent`. `turn`: of a queue with fair shares. `workers_on_type`: of those `workers_on_queue`, how many take its `type`.
    """

    job: Job
    queue: QueueInfo
    now: int
    ahead: int
    group_holders: list[int] = []
    workers_on_queue: int = 0
    workers: int = 0
    takers: list[tuple[str, int]] = []
    silent: int = 0
    type: str = ""
    workers_on_type: int = 0
    waits: list[WaitFacts] = []
    turn: TurnFacts | None = None
    between: list[Between] = []


class InterestList(Answer, frozen=True, tag=128):
    """Every queue's interest, and the version that they have together."""

    version: int
    interests: dict[str, str | dict[str, str]]


class WorkerInfo(Frame, frozen=True):
    """A registered worker, its last heartbeat (added by the engine), its leased jobs, and how many are ready for it alone."""

    worker: Worker
    beat_at: int
    jobs: list[Job]
    waiting: int


class SilentWorker(Frame, frozen=True):
    """A registered worker without a heartbeat for too long, and how many jobs it still holds."""

    id: str
    name: str
    silent_ms: int
    jobs: int


class WorkerList(Answer, frozen=True, tag=129):
    """Registered workers at `now`, and the one after which the next page starts."""

    workers: list[WorkerInfo]
    now: int
    after: tuple[int, str] | None = None


class SchedulePage(Answer, frozen=True, tag=130):
    """Some schedules, and the name after which the next page starts."""

    schedules: list[Schedule]
    after: str | None = None


class ReadyAges(Answer, frozen=True, tag=126):
    """By queue, since when its oldest ready job has been ready."""

    ready_at: dict[str, int]


class QueueStats(Frame, frozen=True):
    """A queue's counts, its oldest ready job (milliseconds of age), totals since the start and rates per second over a minute, of some
    verbs also over ten seconds and an hour; of a fair one, how many keys wait.
    """

    info: QueueInfo
    oldest_ready_ms: int | None
    totals: dict[str, int]
    rates: dict[str, float]
    fair_keys: int | None = None
    rates_10s: dict[str, float] = {}
    rates_1h: dict[str, float] = {}


class Replication(Frame, frozen=True):
    """The state of the standbys. `needed` of them must have flushed before an answer; `in_sync` do so now; `lag_bytes` is how
    far the slowest of these is behind. `unknown` counts batches with an unknown outcome, `proofs` and `proof_seconds` the waits
    for the proof.
    """

    needed: int
    in_sync: int
    lag_bytes: int
    unknown: int
    proofs: int
    proof_seconds: float


class HeldQueue(Frame, frozen=True):
    """A queue that is set aside, because another program holds its row: that program, its process id, its current state, and
    for how long it has held it. `pid` is 0 if several hold it, or it is not known.
    """

    name: str
    program: str
    pid: int = 0
    state: str = ""
    held_ms: int = 0


class BackupState(msgspec.Struct):
    """The scheduled backups of a store file: when the newest was begun (milliseconds, 0 without any), its size and, if it was made by this
    server, how long it took; how many there are; how many failed since the start, and why the last one did, if it did.
    """

    every_ms: int
    last_at: int = 0
    bytes: int = 0
    seconds: float = 0.0
    kept: int = 0
    failures: int = 0
    failing: str = ""


class StoreStats(Answer, frozen=True, tag=127):
    """How the store is doing. Sizes in bytes, times in seconds. `reason` is the code of why it is not accepting. `unreadable` counts rows
    that could not be read since the start, by table; `audit` entries of the audit log, by what became of them; `set_aside` has a sentence on each of the last ones, `jobs_why` on each of `jobs_aside`;
    `job_batches` counts batches of jobs that were `made` and `finished`, closing jobs that were `put`, and whether some are `owed`; `oldest_batch_ms`: how old the oldest unfinished batch is.
    `taken_in` counts jobs that came out of the `inbox`, by what became of them.

    The `busy` ones: the longest that a commit, and a turn of the store's event loop, used the processor in the last minute or
    two.
    """

    commits: int
    commands: int
    batch_buckets: list[int]
    commit_buckets: list[int]
    commit_seconds: float
    file_bytes: int
    wal_bytes: int
    disk_free_bytes: int
    accepting: bool
    uptime_ms: int
    reason: str | None = None
    replication: Replication | None = None
    commit_busy_seconds: float = 0.0
    loop_busy_seconds: float = 0.0
    clock_behind_ms: int = 0
    clock_steps: int = 0
    schedules_aside: int = 0
    jobs_aside: int = 0
    operations: dict[str, int] = {}
    unreadable: dict[str, int] = {}
    set_aside: list[str] = []
    held_queues: list[HeldQueue] = []
    jobs_why: list[str] = []
    audit: dict[str, int] = {}
    backups: BackupState | None = None
    job_batches: dict[str, int] = {}
    inbox: InboxState | None = None
    taken_in: dict[str, int] = {}
    oldest_batch_ms: int = 0


class JobCounts(Answer, frozen=True, tag=161):
    """How many jobs match, by state; `at_least` names the states of which there may be more; `now`: when they were counted."""

    counts: dict[str, int]
    at_least: list[str] = []
    now: int = 0


class FailedJob(Frame, frozen=True):
    """A failed job with its latest error. `state` is its current one; `reason` is cut; `error_class` and `place` of what it raised, "" if that is
    not known.
    """

    id: int
    queue: str
    type: str
    state: str
    at: int
    attempt: int
    kind: str
    worker: str
    reason: str
    error_class: str = ""
    place: str = ""


class Failures(Answer, frozen=True, tag=162):
    """Failed jobs, each once; `whole` is false if there may be more than were scanned."""

    jobs: list[FailedJob]
    whole: bool
    now: int


class Step(Frame, frozen=True):
    """One step of a queue's history: jobs in, out, failed attempts, jobs that died; unfinished jobs at its end (None: not
    known); the time that jobs waited and attempts ran, in milliseconds (None: there were none).
    """

    at: int
    came: int
    done: int
    failed: int
    died: int
    depth: int | None = None
    wait_p50: float | None = None
    wait_p95: float | None = None
    run_p50: float | None = None
    run_p95: float | None = None


class History(Answer, frozen=True, tag=163):
    """The steps of `step_ms` each, oldest first, since the history began; `depths` are a few points of each queue that was named."""

    began_at: int
    now: int
    step_ms: int
    steps: list[Step] = []
    depths: dict[str, list[int | None]] = {}


class Stats(Answer, frozen=True, tag=125):
    """All counters; `reports` are the metrics of the other front processes, in Prometheus' text form.

    `queues` are in the order of their names or, if there are more than requested, in the order in which they were chosen. `all`
    is how many there are, `found` how many match by name; `tally`, `totals` and `rates` are the sums over all of them.
    `oldest_left_out_ms`: the age of the oldest ready job outside `queues`, if the busiest were requested. `silent`: workers that hold jobs and
    send no heartbeats, those with the most jobs first.
    """

    queues: list[QueueStats]
    store: StoreStats
    now: int
    reports: dict[int, bytes] = {}
    all: int = 0
    found: int = 0
    tally: Tally = msgspec.field(default_factory=Tally)
    totals: dict[str, int] = {}
    rates: dict[str, float] = {}
    oldest_left_out_ms: int | None = None
    budgets: list[BudgetInfo] = []
    rates_10s: dict[str, float] = {}
    rates_1h: dict[str, float] = {}
    silent: list[SilentWorker] = []
