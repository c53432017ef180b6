"""What can be asked of the engine's committer, as frozen values, and what it answers.

These types are the frames on the keeper's socket, word for word. A command changes something and goes through the committer; what only
reads is a query (`messages/queries.py`). Times and durations are in milliseconds. `array_like` keeps a frame small: field order is the wire format, and both ends are
always the same version, because the server starts its own keeper.
"""

from typing import Any, get_args

import msgspec

from holdfast.job.job import Content, IdempotencyKey, Job, LeaseRef, NewJob, Receipt, State
from holdfast.job.queue import QueueSettings
from holdfast.job.registry import Worker
from holdfast.job.schedule import Schedule, ScheduleSpec
from holdfast.limits import GRANT_BYTES
from holdfast.messages.beanstalk_commands import PutIds, TubeCommand
from holdfast.messages.job_commands import MoveJob, SettleJob
from holdfast.messages.queries import (
    AuditEntries,
    Failures,
    History,
    InterestList,
    JobCounts,
    JobDetail,
    JobFacts,
    JobPage,
    Query,
    QueueCounts,
    QueueInfo,
    QueuePage,
    ReadyAges,
    SchedulePage,
    Stats,
    StoreStats,
    TubeFacts,
    WorkerList,
)
from holdfast.messages.time_commands import (
    BuryOrphans,
    ExpireLeases,
    FireSchedules,
    ForgetHistory,
    PromoteDue,
    ReapWorkers,
)


class _Frame(msgspec.Struct, frozen=True, array_like=True, tag_field="frame"):
    pass


# Commands: producing and consuming ------------------------------------------------------------------------------------------------


class Enqueue(_Frame, frozen=True, tag=1):
    """Put all of these jobs, or none of them. `interests` is the version of the interests by which they were routed, if they were.

    `to_workers`: each job is put once for every running worker that is registered on its queue, and only that worker gets it.
    `skip_held`: a job whose unique key is held is left out, where it would otherwise refuse them all.
    """

    jobs: list[NewJob]
    key: IdempotencyKey | None = None
    interests: int | None = None
    to_workers: bool = False
    skip_held: bool = False


class LeaseJobs(_Frame, frozen=True, tag=2):
    """Give up to `limit` ready jobs to `worker`: queue after queue, or by priority over all of them; of up to `most_bytes`, but at least one.
    `registered`: the worker must be registered, and without `queues` it is given from its own.
    """

    queues: tuple[str, ...]
    limit: int
    worker: str
    lease_ms: int | None = None
    request: str | None = None
    by_priority: bool = False
    registered: bool = False
    most_bytes: int = GRANT_BYTES


class ConcludeLease(_Frame, frozen=True, tag=3):
    """The work is done; `then` are the jobs that follow, put in the same transaction."""

    ref: LeaseRef
    result: bytes | None = None
    then: list[NewJob] = []


class FailLease(_Frame, frozen=True, tag=4):
    """The attempt went wrong. `delay_ms` of None means: as the retry policy says. `crashed`: its holder has seen it crash, and a crash is
    ready again at once, unless a delay is asked for.
    """

    ref: LeaseRef
    reason: str
    retry: bool = True
    delay_ms: int | None = None
    crashed: bool = False


class ReleaseLease(_Frame, frozen=True, tag=5):
    """Hand the job back; the attempt is not spent. `counted`: the job keeps how often this was done."""

    ref: LeaseRef
    delay_ms: int = 0
    priority: int | None = None
    counted: bool = False


class ExtendLease(_Frame, frozen=True, tag=6):
    """Keep the lease for `lease_ms` from now (None: as the job or its queue says), and perhaps note progress (JSON)."""

    ref: LeaseRef
    lease_ms: int | None = None
    progress: bytes | None = None


# Commands: managing ---------------------------------------------------------------------------------------------------------------


class RetryJob(_Frame, frozen=True, tag=10):
    """Run a dead job again."""

    id: int


class CancelJob(_Frame, frozen=True, tag=11):
    """End a waiting job; ask a running one to stop."""

    id: int


class PromoteJob(_Frame, frozen=True, tag=12):
    """Run a scheduled job now."""

    id: int


class DeleteJob(_Frame, frozen=True, tag=13):
    """Remove a job and all that is known of it. `unless_history`: one that is concluded or cancelled is not found."""

    id: int
    unless_history: bool = False


class EditJob(_Frame, frozen=True, tag=14):
    """Change a waiting job; None keeps what is there."""

    id: int
    content: Content | None = None
    type: str | None = None
    priority: int | None = None
    delay_ms: int | None = None
    run_at: int | None = None
    max_attempts: int | None = None
    tags: tuple[str, ...] | None = None


class SetQueue(_Frame, frozen=True, tag=15):
    """Create a queue or change its settings; `whole` puts back to the default what is not named."""

    name: str
    settings: QueueSettings
    whole: bool


class PauseQueue(_Frame, frozen=True, tag=16):
    """Stop or resume leasing from a queue; pushes go on."""

    name: str
    paused: bool


class PurgeQueue(_Frame, frozen=True, tag=17):
    """Remove up to `limit` jobs in these states whose id is at most `up_to` (0: all there are now)."""

    name: str
    states: tuple[State, ...]
    up_to: int
    limit: int


class DeleteQueue(_Frame, frozen=True, tag=18):
    """Remove a queue that holds no unfinished and no dead job, with its history."""

    name: str


class SetInterest(_Frame, frozen=True, tag=19):
    """Say which events a queue wants, creating it if it is new; None: it wants none any more."""

    queue: str
    match: str | dict[str, str] | None


# Commands: workers ----------------------------------------------------------------------------------------------------------------


class RegisterWorker(_Frame, frozen=True, tag=30):
    """A worker says that it is there, and what it takes from."""

    id: str
    name: str
    queues: tuple[str, ...]


class BeatWorker(_Frame, frozen=True, tag=31):
    """A worker says that it is still there; costs no write."""

    id: str


class QuietWorker(_Frame, frozen=True, tag=32):
    """Give a worker nothing more."""

    id: str


class RemoveWorkers(_Frame, frozen=True, tag=33):
    """Forget one worker, or every worker that takes from a queue."""

    id: str | None
    queue: str | None = None


# Commands: schedules --------------------------------------------------------------------------------------------------------------


class SetSchedule(_Frame, frozen=True, tag=50):
    """Make a schedule, or change what one puts and when."""

    name: str
    spec: ScheduleSpec
    paused: bool


class PauseSchedule(_Frame, frozen=True, tag=51):
    """Stop or resume a schedule."""

    name: str
    paused: bool


class RunSchedule(_Frame, frozen=True, tag=52):
    """Put a schedule's job now."""

    name: str


class DeleteSchedule(_Frame, frozen=True, tag=53):
    """Remove a schedule."""

    name: str


Command = (
    Enqueue
    | LeaseJobs
    | ConcludeLease
    | FailLease
    | ReleaseLease
    | ExtendLease
    | RetryJob
    | CancelJob
    | PromoteJob
    | DeleteJob
    | EditJob
    | MoveJob
    | SettleJob
    | SetQueue
    | PauseQueue
    | PurgeQueue
    | DeleteQueue
    | SetInterest
    | RegisterWorker
    | BeatWorker
    | QuietWorker
    | RemoveWorkers
    | SetSchedule
    | PauseSchedule
    | RunSchedule
    | DeleteSchedule
    | ExpireLeases
    | PromoteDue
    | ForgetHistory
    | ReapWorkers
    | BuryOrphans
    | FireSchedules
    | TubeCommand
)


# Answers to commands --------------------------------------------------------------------------------------------------------------


class Enqueued(_Frame, frozen=True, tag=101):
    """All of the jobs are kept. `duplicate`: they were already, under the same idempotency key. `held`: queues where one was left out.
    `gone`: those jobs of a duplicate that are kept no more.
    """

    jobs: list[Receipt]
    duplicate: bool = False
    held: list[str] = []
    gone: list[int] = []  # those jobs of a duplicate that were deleted or forgotten since


class GrantedJob(_Frame, frozen=True):
    """A leased job with what its worker needs; `progress` is what an earlier attempt noted (JSON)."""

    job: Job
    content: Content
    progress: bytes | None = None


class Granted(_Frame, frozen=True, tag=102):
    """The leases given, none when nothing was ready; `now` is the store's time. `quiet`: its worker is given nothing more. `cut`: more would be too many bytes."""

    jobs: list[GrantedJob]
    now: int
    quiet: bool = False
    cut: bool = False


class Outcome(_Frame, frozen=True, tag=103):
    """How an attempt ended, and when the job is ready again if it is."""

    id: int
    state: State
    ready_at: int
    then: list[Receipt] = []


class Extended(_Frame, frozen=True, tag=104):
    """The lease lives for `ms_left` more; `cancel_requested` asks its holder to stop."""

    ms_left: int
    cancel_requested: bool


class Changed(_Frame, frozen=True, tag=105):
    """The job after a managing verb, at `now`."""

    job: Job
    content: Content
    now: int


class Counted(_Frame, frozen=True, tag=107):
    """How many it were; `up_to` is the newest job there was at the start, for the next call. `more`: there may be more of them."""

    count: int
    up_to: int = 0
    more: bool = False


class Forgotten(_Frame, frozen=True, tag=109):
    """How much history was removed, and the queue after which to go on ("": from the start)."""

    count: int
    after: str


class WorkerAnswer(_Frame, frozen=True, tag=110):
    """A worker as it is registered."""

    worker: Worker


class ScheduleAnswer(_Frame, frozen=True, tag=111):
    """A schedule as it stands."""

    schedule: Schedule


class Refused(_Frame, frozen=True, tag=108):
    """An error of `errors.py` on its way over the socket; nothing was changed (or, for `outcome_unknown`, nobody knows)."""

    code: str
    detail: str
    fields: dict[str, Any] = {}


Result = (
    Enqueued
    | Granted
    | Outcome
    | Extended
    | Changed
    | QueueInfo
    | Counted
    | Forgotten
    | WorkerAnswer
    | ScheduleAnswer
    | PutIds
    | Refused
    | QueueCounts
    | TubeFacts
    | JobDetail
    | JobPage
    | QueuePage
    | JobFacts
    | ReadyAges
    | InterestList
    | WorkerList
    | SchedulePage
    | Stats
    | StoreStats
    | JobCounts
    | Failures
    | History
    | AuditEntries
)

Request = Command | Query
COMMANDS: frozenset[type] = frozenset(get_args(Command))
"""Tells a command from a query by its type, in one step."""
