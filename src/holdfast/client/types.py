"""The client's types: instants are `datetime`s in UTC, durations are milliseconds, JSON is Python's own values. A newer server may send more:
unknown fields are ignored.
"""

import builtins
from datetime import datetime
from functools import cached_property
from typing import Any, TypedDict, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType, field

from holdfast.client.budgets import Block, Charge, Wait
from holdfast.client.contents import NULL, read
from holdfast.client.tokens import HidesToken

T = TypeVar("T")


class Retry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The delay before the next try: `base_ms × factor^(failures − 1)`, at most `max_ms`, changed at random by up to ± `jitter` of itself."""

    base_ms: int = 5_000
    factor: float = 2.0
    max_ms: int = 3_600_000
    jitter: float = 0.1


class JobOptions(TypedDict, total=False):
    """How a job is to be run; options that are left out follow the queue. Not both of `delay_ms` and `run_at`, nor of `expires_in_ms` and
    `expires_at`: the deadline of a job that no worker has by then.
    """

    type: str
    priority: int
    delay_ms: int
    run_at: datetime
    max_attempts: int
    lease_ms: int
    unique_key: str
    unique_while: str
    group_key: str
    group_limit: int
    tags: list[str]
    retry: Retry
    meta: dict[str, str]
    expires_in_ms: int
    expires_at: datetime
    budgets: list[Charge]
    fair_key: str
    fair_cost: int


class PutOptions(JobOptions, total=False):
    """The same, what is done if the unique key is taken (`refuse`, `existing`, `replace` or `debounce`), and the batch that it joins."""

    on_conflict: str
    debounce_max_ms: int
    batch: int


class PublishOptions(JobOptions, total=False):
    """The options of an event's copies, and the batch that they join."""

    batch: int


class NewJob(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A job to enqueue: for `enqueue_many`, and for the follow-ups of a conclude."""

    queue: str
    payload: Any = UNSET
    type: str | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    delay_ms: int | UnsetType = UNSET
    run_at: datetime | UnsetType = UNSET
    max_attempts: int | UnsetType = UNSET
    lease_ms: int | UnsetType = UNSET
    unique_key: str | UnsetType = UNSET
    unique_while: str | UnsetType = UNSET
    group_key: str | UnsetType = UNSET
    group_limit: int | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    retry: Retry | UnsetType = UNSET
    meta: dict[str, str] | UnsetType = UNSET
    budgets: list[Charge] | UnsetType = UNSET
    fair_key: str | UnsetType = UNSET
    fair_cost: int | UnsetType = UNSET
    on_conflict: str | UnsetType = UNSET
    debounce_max_ms: int | UnsetType = UNSET
    expires_in_ms: int | UnsetType = UNSET
    expires_at: datetime | UnsetType = UNSET
    batch: int | UnsetType = UNSET


class Durability(msgspec.Struct, frozen=True):
    """How a job is stored: `memory`, `disk` or `replicated`, and on how many other machines."""

    level: str
    replicas: int = 0


class Receipt(msgspec.Struct, kw_only=True):
    """An enqueued job. `gone`: it was enqueued before under the same idempotency key, and has been removed since. `duplicate`: it had the
    unique key before, and stands in the place of the new job.
    """

    id: int
    queue: str
    state: str
    gone: bool = False
    duplicate: bool = False
    priority: int
    attempt: int = 0
    max_attempts: int
    created_at: datetime
    ready_at: datetime


class Enqueued(Receipt, kw_only=True):
    """A stored job. `duplicate`: it was enqueued before under the same idempotency key, or had the unique key."""

    durability: Durability


class EnqueuedMany(msgspec.Struct, kw_only=True):
    """One stored chunk of jobs, in the given order."""

    jobs: list[Receipt]
    durability: Durability
    duplicate: bool = False


class Copy(msgspec.Struct):
    """One copy of an event; `gone` as in a receipt."""

    queue: str
    id: int
    gone: bool = False


class Published(msgspec.Struct, kw_only=True):
    """Where an event went: nowhere, if `jobs` is empty."""

    jobs: list[Copy]
    durability: Durability | None = None
    duplicate: bool = False


class Lease(HidesToken):
    """The right to end this attempt. Keep the token secret; `repr` does not show it."""

    token: str
    worker: str
    ms_left: int


class Raised(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What an attempt raised; together at most 64 KiB are kept. `place`, which the server finds in the traceback: file and function."""

    kind: str = field(default="", name="class")
    message: str = ""
    traceback: str = ""
    place: str = ""


class Attempt(msgspec.Struct, omit_defaults=True):
    """One failed attempt: `kind` is `failed` or `crashed`. `error`: what it raised, if its worker told that."""

    attempt: int
    at: datetime
    worker: str
    kind: str
    reason: str
    leased_at: datetime | None = None
    error: Raised | None = None


class Closes(msgspec.Struct, kw_only=True):
    """The batch that a job closes, with its counts as they were when the job was enqueued. `on`: `on_success`, `on_finish` or `on_failure`."""

    batch: int
    on: str
    name: str = ""
    pending: int = 0
    concluded: int = 0
    dead: int = 0
    cancelled: int = 0
    total: int = 0


class Job(msgspec.Struct, kw_only=True, dict=True):
    """A job. Fields without a value are None. A payload that is not JSON is in `body`, with its `content_type`.

    `payload`, `progress` and `result` are decoded on first access, and raise `UnreadableJson` if Python can't represent them;
    `payload_json` and the like are the received bytes.
    """

    id: int
    queue: str
    type: str = ""
    state: str
    priority: int
    attempt: int
    max_attempts: int
    failures: int = 0
    crashes: int = 0
    created_at: datetime
    ready_at: datetime
    payload_json: Raw = field(default=NULL, name="payload")
    body: bytes | None = field(default=None, name="payload_base64")
    content_type: str | None = None
    payload_bytes: int = 0
    leased_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str | None = None
    worker: str | None = None
    lease: Lease | None = None
    lease_ms_left: int | None = None
    cancel_requested: bool = False
    unique_key: str | None = None
    unique_while: str | None = None
    group_key: str | None = None
    group_limit: int | None = None
    only_worker: str | None = None
    follows: int | None = None
    batch: int | None = None
    closes: Closes | None = None
    tags: list[str] = []
    meta: dict[str, str] = {}
    expires_at: datetime | None = None
    budgets: list[Charge] = []
    fair_key: str | None = None
    fair_cost: int = 1
    progress_json: Raw = field(default=NULL, name="progress")
    result_json: Raw = field(default=NULL, name="result")
    then: list[Receipt] = []
    errors: list[Attempt] = []

    @cached_property
    def payload(self) -> Any:
        """The payload, if that is JSON."""
        return read("payload", self.payload_json, f"job {self.id}")

    @cached_property
    def progress(self) -> Any:
        """The progress that was reported last."""
        return read("progress", self.progress_json, f"job {self.id}")

    @cached_property
    def result(self) -> Any:
        """Its result."""
        return read("result", self.result_json, f"job {self.id}")

    @property
    def has_ended(self) -> bool:
        """Whether it is concluded, dead or cancelled: it runs again only after a `retry`."""
        return self.state in ("concluded", "dead", "cancelled")

    @property
    def last_error(self) -> str:
        """The line that says most of the last failed attempt; empty where there is none. Only a job that was asked for alone has its errors."""
        lines = [line for line in self.errors[-1].reason.split("\n") if line.strip()] if self.errors else []
        if len(lines) > 1 and lines[-1].startswith("("):  # such as (exit code 1): what the program said comes before it
            return f"{lines[-2].strip()} {lines[-1].strip()}"
        return lines[-1].strip() if lines else ""

    def payload_as(self, kind: builtins.type[T]) -> T:
        """The payload as a dataclass, a `msgspec.Struct` or another type; raises `msgspec.ValidationError` if it fails."""
        return msgspec.json.decode(self.payload_json, type=kind)


class JobPage(msgspec.Struct):
    """A page of jobs. With a `next_cursor` there may be more, even where this page is short or empty."""

    jobs: list[Job]
    next_cursor: str | None = None


class Leased(msgspec.Struct):
    """Jobs that the caller has leased."""

    jobs: list[Job]


class Outcome(msgspec.Struct, kw_only=True):
    """How an attempt ended; `ready_at` is set if the job will run again."""

    id: int
    state: str
    ready_at: datetime | None = None
    then: list[Receipt] = []


class Extended(msgspec.Struct):
    """The lease is extended; `cancel_requested` asks its holder to stop, `draining` says that this server is shutting down."""

    ms_left: int
    cancel_requested: bool = False
    draining: bool = False


class Conclude(HidesToken, kw_only=True, omit_defaults=True):
    """An entry of a batch: the work is done."""

    token: str
    result: Any = UNSET
    then: list[NewJob] = field(default_factory=list)


class Fail(HidesToken, kw_only=True, omit_defaults=True):
    """An entry of a batch: the attempt failed. `crashed`: it counts as a crash, so that `max_crashes` of the queue bounds it."""

    token: str
    reason: str = ""
    retry: bool = True
    delay_ms: int | UnsetType = UNSET
    crashed: bool = False
    error: Raised | UnsetType = UNSET
    block: Block | UnsetType = UNSET


class Release(HidesToken, kw_only=True, omit_defaults=True):
    """An entry of a batch: release the job without a counted attempt."""

    token: str
    delay_ms: int = 0
    priority: int | UnsetType = UNSET
    block: Block | UnsetType = UNSET


class Extend(HidesToken, kw_only=True, omit_defaults=True):
    """An entry of a batch: prolong the lease, perhaps with progress."""

    token: str
    lease_ms: int | UnsetType = UNSET
    progress: Any = UNSET


class Reason(msgspec.Struct):
    """One reason why a job is not running: a stable code, and a sentence."""

    code: str
    detail: str


class Between(msgspec.Struct):
    """Something that happened between two attempts. `what`: `held` by its group, `waits_for_budget`, `blocked`, `released`, `retried` or `promoted`; `of`: the
    group, the account or the worker; `began_at` None: before the server started, `ended_at` None: it lasts.
    """

    what: str
    of: str
    began_at: datetime | None
    ended_at: datetime | None
    attempt: int


class Why(msgspec.Struct):
    """Why a job is not running, the most telling reason first; and what happened between its attempts since the server started."""

    id: int
    queue: str
    state: str
    reasons: list[Reason]
    ahead: int | None = None
    group_holders: list[int] = []
    budgets: list[Wait] = []
    between: list[Between] = []


class Counts(msgspec.Struct):
    """Jobs by state."""

    scheduled: int = 0
    ready: int = 0
    leased: int = 0
    concluded: int = 0
    dead: int = 0
    cancelled: int = 0


class QueueSettings(TypedDict, total=False):
    """Settings of a queue. None: without a bound, where the server allows that."""

    capacity_jobs: int
    capacity_bytes: int
    lease_ms: int
    max_attempts: int
    max_crashes: int
    max_running: int | None
    retention_ms: int | None
    retention_jobs: int | None
    retention_bytes: int | None
    expires_in_ms: int | None
    retry: Retry
    budgets: list[Charge]
    fair: bool


class Queue(msgspec.Struct, kw_only=True):
    """A queue: its job counts, its settings in force, and the names of those that were `set` for it; jobs of its `paused_types` are not given out."""

    name: str
    paused: bool
    created_at: datetime
    jobs: Counts
    bytes: int
    history_bytes: int = 0
    settings: dict[str, Any]
    set: list[str] = []
    paused_types: list[str] = []


class Scale(msgspec.Struct, kw_only=True):
    """How many workers a queue needs: `workers`, so that `backlog` is done in the time that was asked for.

    `work_ms` (how long a job takes) and `concluded_per_s` are of its last 100 concluded jobs. `drain_ms` is how long the backlog lasts at that
    speed; None if nothing is concluded.
    """

    queue: str
    paused: bool
    backlog: int
    running: int
    scheduled: int
    oldest_ready_ms: int | None
    concluded_per_s: float
    work_ms: float | None
    drain_ms: int | None
    jobs_at_once: int
    workers: int


class QueuePage(msgspec.Struct):
    """A page of queues by name."""

    queues: list[Queue]
    next_cursor: str | None = None


class Purged(msgspec.Struct):
    """How many jobs were removed."""

    purged: int


class Interest(msgspec.Struct):
    """The subscription of a queue: "*" for all events, or patterns of which one has to match."""

    queue: str
    match: str | dict[str, str]


class Interests(msgspec.Struct):
    """All interests, by queue."""

    interests: list[Interest]


class Reached(msgspec.Struct):
    """The queues that would get an event."""

    queues: list[str]


class Event(msgspec.Struct, kw_only=True):
    """One committed change of a job; `state` is None once it is deleted, and for what is no job (`operation.started`, `batch.closed` …). `gap` says that events were missed, `missed` how many, if known."""

    event: str
    id: int = 0
    queue: str = ""
    state: str | None = None
    at: datetime | None = None
    missed: int | None = None
