"""The answers of the HTTP API, as types: answers are encoded from them, and the OpenAPI document is generated from them."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.doors.rest import job_fields as of_a_job
from holdfast.doors.rest.budget_answers import BudgetStatsOut, WaitOut
from holdfast.doors.rest.budget_types import ChargeIn
from holdfast.doors.rest.types import Attempts, Id, Instant, Json, Priority, QueueName, Token
from holdfast.job.job import UniqueWhile
from holdfast.job.retry import RetryPolicy


class DurabilityOut(msgspec.Struct, frozen=True):
    """How the job is stored: in `memory`, on `disk` (fsynced), or `replicated` on so many other machines; `none`: it no longer
    exists.
    """

    level: str
    replicas: int = 0


class ReceiptOut(msgspec.Struct, kw_only=True, gc=False):
    """A stored job. `gone`: it was enqueued before, under the same idempotency key, and has been removed since."""

    id: Id
    queue: QueueName
    state: str
    priority: Priority
    attempt: int = 0
    max_attempts: Attempts
    created_at: Instant
    ready_at: Instant
    gone: bool | UnsetType = UNSET


class PutOut(ReceiptOut, kw_only=True, gc=False):
    """One job of several that were enqueued. `duplicate`: it had the unique key before, and stands in the place of the new job."""

    duplicate: bool | UnsetType = UNSET


class EnqueuedOut(ReceiptOut, kw_only=True, gc=False):
    """The answer to one enqueue. `duplicate`: it was stored before, under the same idempotency key, or had the unique key."""

    durability: DurabilityOut
    duplicate: bool | UnsetType = UNSET


class ReceiptsOut(msgspec.Struct):
    """Jobs as they were when they were enqueued."""

    jobs: list[ReceiptOut]


class BulkOut(msgspec.Struct, kw_only=True):
    """The answer to a bulk enqueue, in the order of the request."""

    jobs: list[PutOut]
    durability: DurabilityOut
    duplicate: bool | UnsetType = UNSET


class CopyOut(msgspec.Struct):
    """One copy of a published event."""

    queue: QueueName
    id: Id
    gone: bool | UnsetType = UNSET


class PublishedOut(msgspec.Struct, kw_only=True):
    """The queues that got an event: none, if the list is empty. `others`: how many more copies there are, in queues that the
    access key may not see.
    """

    jobs: list[CopyOut]
    durability: DurabilityOut
    duplicate: bool | UnsetType = UNSET
    others: int | UnsetType = UNSET


class InterestOut(msgspec.Struct):
    """What a queue wants."""

    queue: QueueName
    match: str | dict[str, str]


class InterestsOut(msgspec.Struct):
    """All interests, by queue."""

    interests: list[InterestOut]


class ReachedOut(msgspec.Struct):
    """The queues that would get an event. `others`: how many more there are that the access key may not see."""

    queues: list[QueueName]
    others: int | UnsetType = UNSET


class LeaseOut(msgspec.Struct, gc=False):
    """The right to end this attempt."""

    token: Token
    worker: str
    ms_left: int


class RaisedOut(msgspec.Struct):
    """What an attempt raised. `place`: file and function, of the user's own code where the traceback names it."""

    kind: str = msgspec.field(name="class")
    message: str
    traceback: str
    place: str


class ErrorOut(msgspec.Struct):
    """One failed attempt: `failed` as the worker reported, `crashed` when the lease expired."""

    attempt: int
    at: Instant
    worker: str
    kind: str
    reason: str
    leased_at: Instant | UnsetType = UNSET
    error: RaisedOut | UnsetType = UNSET


class JobOut(msgspec.Struct, kw_only=True, gc=False):
    """A job. A payload that is not JSON is in `payload_base64`, with its `content_type`; `lease` only in the answer to its holder.

    `payload_hidden`: payload, result, progress and the words of errors were left out, because the access key sees no payloads.
    """

    id: Id
    queue: QueueName
    type: of_a_job.HandlerType
    state: of_a_job.StateName
    priority: Priority
    attempt: of_a_job.Attempt
    max_attempts: Attempts
    failures: of_a_job.Failures
    crashes: of_a_job.Crashes
    created_at: of_a_job.EnqueuedAt
    ready_at: of_a_job.ReadyAt
    payload: Json | UnsetType = UNSET
    payload_base64: of_a_job.Base64 | UnsetType = UNSET
    content_type: of_a_job.ContentType | UnsetType = UNSET
    payload_hidden: of_a_job.Hidden | UnsetType = UNSET
    payload_bytes: of_a_job.PayloadBytes | UnsetType = UNSET
    leased_at: of_a_job.LeasedAt | UnsetType = UNSET
    ended_at: of_a_job.EndedAt | UnsetType = UNSET
    reason: of_a_job.EndReason | UnsetType = UNSET
    worker: of_a_job.Holder | UnsetType = UNSET
    lease: LeaseOut | UnsetType = UNSET
    lease_ms_left: of_a_job.LeaseLeft | UnsetType = UNSET
    cancel_requested: of_a_job.CancelRequested | UnsetType = UNSET
    unique_key: of_a_job.UniqueKey | UnsetType = UNSET
    unique_while: UniqueWhile | UnsetType = UNSET
    group_key: of_a_job.GroupKey | UnsetType = UNSET
    group_limit: of_a_job.GroupLimit | UnsetType = UNSET
    only_worker: of_a_job.OnlyWorker | UnsetType = UNSET
    follows: of_a_job.Follows | UnsetType = UNSET
    batch: of_a_job.Batch | UnsetType = UNSET
    closes: of_a_job.ClosesOut | UnsetType = UNSET
    tags: tuple[str, ...] = ()
    meta: of_a_job.Named | UnsetType = UNSET
    expires_at: of_a_job.ExpiresAt | UnsetType = UNSET
    budgets: of_a_job.Budgets | UnsetType = UNSET
    fair_key: of_a_job.FairKey | UnsetType = UNSET
    fair_cost: of_a_job.FairCost | UnsetType = UNSET
    progress: of_a_job.Progress | UnsetType = UNSET
    result: of_a_job.Result | UnsetType = UNSET
    then: list[PutOut] | UnsetType = UNSET
    errors: list[ErrorOut] | UnsetType = UNSET


class LeasedOut(msgspec.Struct):
    """Jobs that are now the caller's to work on."""

    jobs: list[JobOut]


class OutcomeOut(msgspec.Struct, kw_only=True, gc=False):
    """How an attempt ended; `ready_at` is set if it will be retried."""

    id: Id
    state: str
    ready_at: Instant | UnsetType = UNSET
    then: list[PutOut] | UnsetType = UNSET


class ExtendedOut(msgspec.Struct, gc=False):
    """The lease is extended; `cancel_requested` and `draining` ask its holder to stop."""

    ms_left: int
    cancel_requested: bool
    draining: bool


class Problem(msgspec.Struct, kw_only=True):
    """What went wrong, RFC 9457. `code` is stable; other fields depend on it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | UnsetType = UNSET
    queue: str | UnsetType = UNSET
    job_id: int | UnsetType | None = UNSET
    retry_after_ms: int | UnsetType = UNSET


def _either(name: str) -> Meta:
    return Meta(
        extra_json_schema={
            "items": {"anyOf": [{"$ref": f"#/components/schemas/{name}"}, {"$ref": "#/components/schemas/Problem"}]}
        }
    )


class LeaseBatchOut(msgspec.Struct):
    """One outcome for each entry, in the order of the lists: what the single verb would have answered, or a problem."""

    conclude: Annotated[list[Any], _either("OutcomeOut")]
    fail: Annotated[list[Any], _either("OutcomeOut")]
    release: Annotated[list[Any], _either("OutcomeOut")]
    extend: Annotated[list[Any], _either("ExtendedOut")]


class JobsOut(msgspec.Struct):
    """A page of jobs. With `next_cursor` there may be more, even where this page is short or empty."""

    jobs: list[JobOut]
    next_cursor: str | None


class Reason(msgspec.Struct):
    """One reason: a stable code, and a sentence."""

    code: str
    detail: str


class BetweenOut(msgspec.Struct):
    """Something that happened between two attempts; `began_at` null: before the server started, `ended_at` null: it lasts."""

    what: str
    of: str
    began_at: Instant | None
    ended_at: Instant | None
    attempt: int


class WhyOut(msgspec.Struct):
    """Why the job is not running, the most telling reason first."""

    id: Id
    queue: QueueName
    state: str
    reasons: list[Reason]
    ahead: int | UnsetType = UNSET
    group_holders: list[int] | UnsetType = UNSET
    expires_at: Instant | UnsetType = UNSET
    budgets: list[WaitOut] | UnsetType = UNSET
    between: list[BetweenOut] | UnsetType = UNSET


class CountsOut(msgspec.Struct):
    """Jobs by state."""

    scheduled: int
    ready: int
    leased: int
    concluded: int
    dead: int
    cancelled: int


class SettingsOut(msgspec.Struct):
    """The settings in force. Null: without a bound."""

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
    retry: RetryPolicy
    fair: bool | UnsetType = UNSET
    budgets: tuple[ChargeIn, ...] | UnsetType = UNSET


class QueueOut(msgspec.Struct, kw_only=True):
    """A queue: its contents, its effective settings, and which of them were `set` for it."""

    name: QueueName
    paused: bool
    created_at: Instant
    jobs: CountsOut
    bytes: int
    history_bytes: int
    settings: SettingsOut
    set: list[str]
    paused_types: Annotated[tuple[str, ...], Meta(description="Jobs of these types are not given out.")]


class QueuesOut(msgspec.Struct):
    """A page of queues by name."""

    queues: list[QueueOut]
    next_cursor: str | None


class ScaleOut(msgspec.Struct, kw_only=True):
    """How many `workers` a queue needs to have its `backlog` done in the time that was asked for. `work_ms` and `concluded_per_s` are of its last 100
    concluded jobs; null, and 0, if it remembers none. `drain_ms`: how long the backlog lasts at that speed; null if nothing is concluded.
    """

    queue: QueueName
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


class PurgedOut(msgspec.Struct):
    """How many jobs were removed."""

    purged: int


class QueueStatsOut(msgspec.Struct, kw_only=True):
    """A queue's numbers: totals since the server started, rates per second over about a minute, ten seconds and an hour."""

    name: QueueName
    paused: bool
    jobs: CountsOut
    bytes: int
    history_bytes: int
    capacity_jobs: int
    capacity_bytes: int
    oldest_ready_ms: int | None
    totals: dict[str, int]
    rates: dict[str, float]
    rates_10s: dict[str, float]
    rates_1h: dict[str, float]
    paused_types: tuple[str, ...] | UnsetType = UNSET
    fair_keys: Annotated[int, Meta(description="Fair keys with jobs that wait, of a fair queue.")] | UnsetType = UNSET


class ReplicationOut(msgspec.Struct):
    """The state of the standbys: `needed` before an answer, `in_sync` now, and how far the slowest of these is behind.

    `unknown` counts batches with an unknown outcome; `proofs` and `proof_seconds` the waits for the standbys after a commit.
    """

    needed: int
    in_sync: int
    lag_bytes: int
    unknown: int
    proofs: int
    proof_seconds: float


class StoreOut(msgspec.Struct):
    """The health of the store. `reason` says why nothing is accepted, if so; `replication` is set with PostgreSQL."""

    durability: DurabilityOut
    commits: int
    commands: int
    file_bytes: int
    wal_bytes: int
    disk_free_bytes: int
    accepting: bool
    reason: str | None = None
    replication: ReplicationOut | None = None


class InboxOut(msgspec.Struct):
    """What applications enqueued by SQL and no node has taken in yet, as of about a second ago: how many jobs, how many bytes, and how long the first
    of them has waited.
    """

    rows: int
    bytes: int
    oldest_ms: int


class StatsOut(msgspec.Struct):
    """All numbers, by queue and in all. `queue_count` is how many queues there are: `queues` may be fewer. `inbox` is null without a database."""

    version: str
    uptime_ms: int
    draining: bool
    jobs: CountsOut
    bytes: int
    rates: dict[str, float]
    rates_10s: dict[str, float]
    rates_1h: dict[str, float]
    queue_count: int
    queues: list[QueueStatsOut]
    store: StoreOut
    budgets: list[BudgetStatsOut] = []
    inbox: InboxOut | None = None


class HealthOut(msgspec.Struct):
    """The server's state; `reasons` say why it is not ready, `warnings` are problems while it accepts jobs."""

    status: str
    reasons: list[str] = []
    warnings: list[str] | msgspec.UnsetType = msgspec.UNSET
