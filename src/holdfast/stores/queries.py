"""What can be read from a store, and the answers.

Queries never wait for a commit and never hold one up: they see what is committed, each on a short read of its own. Like the commands, they
are the frames on the keeper's socket. Times are in milliseconds.
"""

import msgspec

from holdfast.job.job import Content, Job, JobError, State
from holdfast.job.queue import QueuePolicy, QueueSettings, Tally
from holdfast.job.schedule import Schedule
from holdfast.workers.registry import Worker


class _Frame(msgspec.Struct, frozen=True, array_like=True, tag_field="frame"):
    pass


class GetJob(_Frame, frozen=True, tag=40):
    """One job, whole."""

    id: int


class ListJobs(_Frame, frozen=True, tag=41):
    """A page of jobs that match all of what is given. See `reading.py` for the order."""

    limit: int
    queue: str | None = None
    state: State | None = None
    type: str | None = None
    tag: str | None = None
    text: str | None = None
    cursor: tuple[int, tuple[int | str, ...]] | None = None


class GetQueue(_Frame, frozen=True, tag=42):
    """One queue."""

    name: str


class ListQueues(_Frame, frozen=True, tag=43):
    """Queues by name, after `after`."""

    limit: int
    after: str = ""


class ExplainJob(_Frame, frozen=True, tag=44):
    """The facts that decide why a job is not running."""

    id: int


class GetStats(_Frame, frozen=True, tag=45):
    """Counts and rates of every queue and of the store."""


class GetInterests(_Frame, frozen=True, tag=48):
    """All interests."""


class ListWorkers(_Frame, frozen=True, tag=49):
    """All registered workers, or one, with what each is working on."""

    id: str | None = None


class ListSchedules(_Frame, frozen=True, tag=54):
    """Schedules by name, after `after`; or the one called `name`."""

    limit: int
    after: str = ""
    name: str | None = None


class OldestReady(_Frame, frozen=True, tag=46):
    """Since when the oldest ready job of each of these queues has been ready."""

    names: list[str]


class GetHealth(_Frame, frozen=True, tag=47):
    """How the store is doing."""


Query = (
    GetJob
    | ListJobs
    | GetQueue
    | ListQueues
    | ExplainJob
    | GetStats
    | GetHealth
    | GetInterests
    | ListWorkers
    | ListSchedules
    | OldestReady
)


class QueueInfo(_Frame, frozen=True, tag=106):
    """A queue with the settings in force and what it holds."""

    name: str
    settings: QueueSettings
    policy: QueuePolicy
    paused: bool
    created_at: int
    tally: Tally


class Durability(msgspec.Struct, frozen=True):
    """How an answered job is kept: `memory`, `disk` (fsynced) or `replicated` on so many other machines."""

    level: str
    replicas: int = 0


class JobDetail(_Frame, frozen=True, tag=121):
    """A job with everything that is kept of it; `now` is the store's time."""

    job: Job
    content: Content
    now: int
    progress: bytes | None = None
    result: bytes | None = None
    errors: list[JobError] = []


class JobPage(_Frame, frozen=True, tag=122):
    """Some jobs, and where the next page starts (None: there is none)."""

    jobs: list[JobDetail]
    cursor: tuple[int, tuple[int | str, ...]] | None = None


class QueuePage(_Frame, frozen=True, tag=123):
    """Some queues, and the name after which the next page starts."""

    queues: list[QueueInfo]
    after: str | None = None


class JobFacts(_Frame, frozen=True, tag=124):
    """What `why` reasons from. `ahead` counts up to a limit; `group_holders` are the jobs in the group's places."""

    job: Job
    queue: QueueInfo
    now: int
    ahead: int
    group_holders: list[int] = []
    workers_on_queue: int = 0
    workers: int = 0


class InterestList(_Frame, frozen=True, tag=128):
    """Every queue's interest, and the version that they have together."""

    version: int
    interests: dict[str, str | dict[str, str]]


class WorkerInfo(_Frame, frozen=True):
    """A registered worker, when it was last heard of (filled in by the engine), the jobs that it has leased, and how many are ready for it alone."""

    worker: Worker
    beat_at: int
    jobs: list[Job]
    waiting: int


class WorkerList(_Frame, frozen=True, tag=129):
    """Registered workers at `now`."""

    workers: list[WorkerInfo]
    now: int


class SchedulePage(_Frame, frozen=True, tag=130):
    """Some schedules, and the name after which the next page starts."""

    schedules: list[Schedule]
    after: str | None = None


class ReadyAges(_Frame, frozen=True, tag=126):
    """By queue, the earliest moment at which one of its ready jobs became ready."""

    ready_at: dict[str, int]


class QueueStats(_Frame, frozen=True):
    """A queue's counts, its oldest ready job (milliseconds of age), totals since the start and rates per second."""

    info: QueueInfo
    oldest_ready_ms: int | None
    totals: dict[str, int]
    rates: dict[str, float]


class StoreStats(_Frame, frozen=True, tag=127):
    """How the store is doing. Sizes in bytes, times in seconds."""

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


class Stats(_Frame, frozen=True, tag=125):
    """Everything that is counted; `reports` are the metrics of the other front processes, in Prometheus' text form."""

    queues: list[QueueStats]
    store: StoreStats
    now: int
    reports: dict[int, bytes] = {}


QueryResult = (
    JobDetail
    | JobPage
    | QueueInfo
    | QueuePage
    | JobFacts
    | ReadyAges
    | InterestList
    | WorkerList
    | SchedulePage
    | Stats
    | StoreStats
)
