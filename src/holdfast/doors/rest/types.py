"""What native HTTP takes, as types: they decode the bodies, and the OpenAPI document is made from them.

Bounds are in the schema for readers; they are enforced once, in the engine, for every door.
"""

from datetime import datetime
from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from holdfast import limits
from holdfast.auth.keys import Ability
from holdfast.doors.rest.bounds import META_NAMES, bounds
from holdfast.doors.rest.budget_types import BlockIn, ChargeIn
from holdfast.job.job import PURGEABLE, OnConflict, UniqueWhile
from holdfast.job.retry import RetryPolicy
from holdfast.job.schedule import Missed

Id = Annotated[int, bounds("The job's number: grows, and is unique over all queues.", minimum=1, maximum=limits.ID_MAX)]
TypeNames = Annotated[
    tuple[Annotated[str, bounds("The type of a job.", maxLength=limits.TYPE_CHARS)], ...],
    bounds("Only jobs of these types; each is named once.", minItems=1, maxItems=limits.TYPES),
]
QueueName = Annotated[
    str,
    bounds(
        "The queue's name: up to 200 characters, of which an escaped one such as :2F counts as one.",
        pattern="^(:[0-9A-F]{2}|[A-Za-z0-9._:-]){1,200}$",
        minLength=1,
        maxLength=limits.QUEUE_NAME_WRITTEN_CHARS,
    ),
]
Json = Annotated[Raw, bounds("Any JSON, kept byte for byte.")]
Instant = Annotated[str, bounds("An instant, RFC 3339 in UTC.", format="date-time")]
Priority = Annotated[
    int, bounds("Lower runs first; first in, first out within one priority.", minimum=0, maximum=limits.PRIORITY_MAX)
]
DelayMs = Annotated[int, bounds("Milliseconds from now.", minimum=0, maximum=limits.DELAY_MS_MAX)]
LeaseMs = Annotated[int, bounds("How long a lease lives, in milliseconds.", minimum=1, maximum=limits.LEASE_MS_MAX)]
Attempts = Annotated[int, bounds("How often it is tried before it is dead.", minimum=1, maximum=limits.ATTEMPTS_MAX)]
ExpiresInMs = Annotated[
    int,
    bounds(
        "Milliseconds from when it is due: a job that no worker has by then ends as cancelled, reason expired.",
        minimum=1,
        maximum=limits.EXPIRES_MS_MAX,
    ),
]
ExpiresAt = Annotated[datetime, Meta(tz=True, description="The same as an instant, instead of expires_in_ms.")]
Token = Annotated[str, bounds("The lease's token.", maxLength=100)]


class JobOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """How a job is to be run; options that are left out follow the queue."""

    type: Annotated[str, bounds("What handler runs it.", maxLength=limits.TYPE_CHARS)] = ""
    priority: Priority | None = None
    delay_ms: DelayMs | None = None
    run_at: Annotated[datetime, Meta(tz=True, description="The instant from which it may run, instead of delay_ms.")] | None = (
        None
    )
    max_attempts: Attempts | None = None
    lease_ms: LeaseMs | None = None
    unique_key: (
        Annotated[str, bounds("Only one job of the queue with this key at a time.", minLength=1, maxLength=limits.KEY_CHARS)]
        | None
    ) = None
    unique_while: UniqueWhile = UniqueWhile.UNFINISHED
    group_key: Annotated[str, bounds("Jobs of one group run in order.", minLength=1, maxLength=limits.KEY_CHARS)] | None = None
    group_limit: Annotated[int, bounds("How many of the group run at once.", minimum=1, maximum=limits.GROUP_LIMIT_MAX)] = 1
    tags: Annotated[
        tuple[Annotated[str, bounds("A tag.", maxLength=limits.TAG_CHARS)], ...],
        bounds("Words to find it by.", maxItems=limits.TAGS),
    ] = ()
    retry: RetryPolicy | None = None
    meta: (
        Annotated[
            dict[str, str],
            bounds(
                "Names and values that go with it, such as a tenant or a trace: at most 4,096 bytes in all. No secrets.",
                propertyNames=META_NAMES,
            ),
        ]
        | None
    ) = None
    expires_in_ms: ExpiresInMs | None = None
    expires_at: ExpiresAt | None = None
    budgets: Annotated[
        tuple[ChargeIn, ...], bounds("It starts only when all of these can pay.", maxItems=limits.BUDGETS_OF_JOB)
    ] = ()
    fair_key: (
        Annotated[
            str,
            bounds(
                "Whose job it is: in a fair queue, who has had the least is next.", minLength=1, maxLength=limits.FAIR_KEY_CHARS
            ),
        ]
        | None
    ) = None
    fair_cost: Annotated[int, bounds("What it counts for in its key's share.", minimum=1, maximum=limits.FAIR_COST_MAX)] = 1


class PutOptions(JobOptions, kw_only=True, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """The options of a job, and what is done if its unique key is taken."""

    on_conflict: Annotated[
        OnConflict,
        bounds(
            "What is done if the unique key is taken. refuse: 409. existing: the answer is the job that has it. replace: that job, if it"
            " waits, gets this payload and these options, and keeps its id, group and place. debounce: the same, and its delay begins again."
        ),
    ] = OnConflict.REFUSE
    debounce_max_ms: (
        Annotated[
            int,
            bounds(
                "A job is never debounced to later than so long after it was enqueued.", minimum=1, maximum=limits.DELAY_MS_MAX
            ),
        ]
        | None
    ) = None

    batch: Annotated[int, bounds("The batch that it joins, which must be open.", minimum=1, maximum=limits.ID_MAX)] | None = (
        None
    )


class JobIn(PutOptions, kw_only=True, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """A job for the queue that the path names. Without a payload it is null."""

    payload: Json | UnsetType = UNSET


class QueuedJobIn(JobIn, kw_only=True, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """A job with its queue."""

    queue: QueueName


class BulkIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Jobs enqueued together: all of them, or none."""

    jobs: Annotated[list[QueuedJobIn], bounds("Up to 1,000 jobs.", minItems=1, maxItems=limits.BULK_JOBS)]


class ClosingIn(JobOptions, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A closing job of a batch, with its queue. `batch`: it is itself a member of another batch, which waits for it."""

    queue: QueueName
    payload: Json | UnsetType = UNSET
    batch: Annotated[int, bounds("The batch that it joins.", minimum=1, maximum=limits.ID_MAX)] | None = None


class BatchIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A batch with its first jobs: all of it, or nothing."""

    name: Annotated[str, bounds("For people to read.", maxLength=limits.JOB_BATCH_NAME_CHARS)] = ""
    jobs: Annotated[list[QueuedJobIn], bounds("Its first jobs, up to 1,000.", maxItems=limits.BULK_JOBS)] = []
    closed: Annotated[bool, bounds("Whether these are all of its jobs. Else it is open for others until it is closed.")] = False
    on_success: ClosingIn | None = None
    on_finish: ClosingIn | None = None
    on_failure: ClosingIn | None = None


class PublishIn(JobOptions, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An event: a copy of `data` goes to every queue whose interest matches, with these options, all or none."""

    data: Json
    scope: Annotated[
        str, bounds("any: one copy for each queue; all: one for each worker registered on it.", enum=["any", "all"])
    ] = "any"
    require_interest: Annotated[bool, bounds("Refuse an event to which no queue subscribes.")] = False
    batch: (
        Annotated[int, bounds("The batch that the copies join, which must be open.", minimum=1, maximum=limits.ID_MAX)] | None
    ) = None


class InterestIn(msgspec.Struct, forbid_unknown_fields=True):
    """What a queue wants: "*" for all, or pairs of regular expressions for field and value, of which one has to fit."""

    match: Annotated[str, bounds("All.", enum=["*"])] | dict[str, str]


class WorkerIn(msgspec.Struct, forbid_unknown_fields=True):
    """A worker that registers."""

    queues: Annotated[
        tuple[QueueName, ...], bounds("What it takes from, in this order.", minItems=1, maxItems=limits.QUEUES_PER_LEASE)
    ]
    name: Annotated[str, bounds("For people to read.", maxLength=limits.WORKER_CHARS)] = ""
    types: TypeNames | None = None
    host: Annotated[str, bounds("The machine that it runs on.", maxLength=limits.HOST_CHARS)] = ""
    pid: Annotated[int, bounds("Its process id there.", minimum=0, maximum=limits.ID_MAX)] | None = None
    version: Annotated[str, bounds("The version of its program.", maxLength=limits.VERSION_CHARS)] = ""


class TypeIn(msgspec.Struct, forbid_unknown_fields=True):
    """Whether jobs of one type are given out."""

    paused: Annotated[bool, bounds("Whether they are kept back.")]


class ScheduleIn(JobOptions, kw_only=True, forbid_unknown_fields=True):
    """A recurring job: by `cron` in a time zone, or every `interval_ms`; for a `queue`, or published as an event."""

    hints: ClassVar = {"batch": "A schedule joins no batch, which would be the same at each run: its job can make one."}

    cron: Annotated[str, bounds("Five fields: minute, hour, day, month, weekday.", maxLength=limits.CRON_CHARS)] | None = None
    timezone: Annotated[
        str, bounds("The time zone of the expression, such as Europe/Vienna.", maxLength=limits.TIMEZONE_CHARS)
    ] = "UTC"
    interval_ms: (
        Annotated[
            int,
            bounds(
                "Every so many milliseconds from its creation.", minimum=limits.INTERVAL_MS_MIN, maximum=limits.INTERVAL_MS_MAX
            ),
        ]
        | None
    ) = None
    queue: QueueName | None = None
    publish: Annotated[bool, bounds("Instead of a queue: an event for all subscribed queues.")] = False
    payload: Json | UnsetType = UNSET
    missed: Missed = Missed.ONE
    overlap: Annotated[bool, bounds("False: left out while a job of the fire before is not finished.")] = True
    paused: bool = False


class EventIn(msgspec.Struct, forbid_unknown_fields=True):
    """An event to try the interests on."""

    data: Json


class LeasesIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a worker asks for. `order` "queue": the queues one after the other; "priority": the lowest priority over all of
    them.
    """

    queues: Annotated[
        tuple[QueueName, ...], bounds("Where to look, in this order.", minItems=1, maxItems=limits.QUEUES_PER_LEASE)
    ]
    max: Annotated[int, bounds("How many jobs at most.", minimum=1, maximum=limits.LEASE_JOBS)] = 1
    lease_ms: LeaseMs | None = None
    wait_ms: Annotated[int, bounds("How long to wait for the first.", minimum=0, maximum=limits.WAIT_MS_MAX)] = 0
    worker: Annotated[str, bounds("The worker's name, for people to read.", maxLength=limits.WORKER_CHARS)] = ""
    request_id: (
        Annotated[
            str,
            bounds(
                "The same again gets the same jobs while their leases live.",
                pattern="^[ -~]+$",
                minLength=1,
                maxLength=limits.REQUEST_ID_CHARS,
            ),
        ]
        | None
    ) = None
    order: Annotated[str, bounds("queue or priority.", enum=["queue", "priority"])] = "queue"
    types: TypeNames | None = None


class ConcludeIn(msgspec.Struct, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """The work is done; `then` are follow-up jobs, enqueued in the same transaction."""

    result: Json | UnsetType = UNSET
    then: Annotated[list[QueuedJobIn], bounds("Follow-up jobs.", maxItems=limits.BULK_JOBS)] = []


class ErrorIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What the attempt raised. All together at most 64 KiB: more is cut from the middle."""

    kind: Annotated[str, bounds("The class of the error, such as ConnectionError.")] = msgspec.field(default="", name="class")
    message: str = ""
    traceback: Annotated[str, bounds("Where it was raised, as the language writes it.")] = ""


class FailIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The attempt went wrong. Without `delay_ms` the queue's retry policy decides; `retry` false: dead at once."""

    reason: str = ""
    retry: bool = True
    delay_ms: DelayMs | None = None
    crashed: Annotated[bool, bounds("It counts as a crash: what ran it was killed or broke down.")] = False
    error: ErrorIn | None = None
    block: BlockIn | None = None


class ReleaseIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Back to the queue; the attempt is not spent."""

    delay_ms: DelayMs = 0
    priority: Priority | None = None
    block: BlockIn | None = None


class ExtendIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Counted from now; without `lease_ms` as long as the job or its queue says."""

    lease_ms: LeaseMs | None = None
    progress: Json | UnsetType = UNSET


class ConcludeEntry(ConcludeIn, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A conclude within a batch."""

    token: Token


class FailEntry(FailIn, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A failure within a batch."""

    token: Token


class ReleaseEntry(ReleaseIn, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A release within a batch."""

    token: Token


class ExtendEntry(ExtendIn, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An extension within a batch."""

    token: Token


class LeaseBatchIn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Lease verbs together, up to 1,000: each has its own outcome."""

    conclude: Annotated[list[ConcludeEntry], bounds("Done.", maxItems=limits.BATCH_VERBS)] = []
    fail: Annotated[list[FailEntry], bounds("Went wrong.", maxItems=limits.BATCH_VERBS)] = []
    release: Annotated[list[ReleaseEntry], bounds("Back to their queues.", maxItems=limits.BATCH_VERBS)] = []
    extend: Annotated[list[ExtendEntry], bounds("Held for longer.", maxItems=limits.BATCH_VERBS)] = []


class JobEdit(msgspec.Struct, forbid_unknown_fields=True):
    """Changes of a waiting job; fields that are left out stay."""

    payload: Json | UnsetType = UNSET
    type: Annotated[str, bounds("What handler runs it.", maxLength=limits.TYPE_CHARS)] | None = None
    priority: Priority | None = None
    delay_ms: DelayMs | None = None
    run_at: Annotated[datetime, Meta(tz=True)] | None = None
    max_attempts: Attempts | None = None
    tags: Annotated[tuple[str, ...], bounds("Words to find it by.", maxItems=limits.TAGS)] | None = None
    meta: Annotated[dict[str, str], bounds("All of its names and values.", propertyNames=META_NAMES)] | None = None
    expires_in_ms: ExpiresInMs | None = None
    expires_at: ExpiresAt | UnsetType | None = UNSET


class RetryIn(msgspec.Struct, forbid_unknown_fields=True):
    """A new deadline for a job that is retried. Without one it keeps its own, if that is still to come."""

    expires_in_ms: ExpiresInMs | None = None
    expires_at: ExpiresAt | None = None


class SettleIn(msgspec.Struct, forbid_unknown_fields=True):
    """How an operator ends a job."""

    outcome: Annotated[str, bounds("What it is from now on.", enum=["concluded", "dead"])]
    reason: Annotated[str, bounds("What is known, and from where.", minLength=1, maxLength=limits.SETTLED_CHARS)]
    result: Json | UnsetType = UNSET


class MoveIn(msgspec.Struct, forbid_unknown_fields=True):
    """Where a job is to go."""

    queue: QueueName


class ReleaseLeaseIn(msgspec.Struct, forbid_unknown_fields=True):
    """Whose lease to take back: with `attempt` only that attempt's, not that of a worker who has leased the job since."""

    attempt: Annotated[int, Meta(ge=1, le=limits.ID_MAX)] | None = None


class PurgeIn(msgspec.Struct, forbid_unknown_fields=True):
    """Which jobs to remove: by default those that wait."""

    states: Annotated[
        tuple[Annotated[str, bounds("Any state but leased.", enum=list(PURGEABLE))], ...],
        bounds("The states.", minItems=1, maxItems=len(PURGEABLE)),
    ] = ("scheduled", "ready")


_Abilities = Annotated[
    tuple[Annotated[str, bounds("An ability.", enum=list(Ability))], ...],
    bounds("What it may do; `admin` includes all.", minItems=1, maxItems=len(Ability)),
]
_Patterns = Annotated[
    tuple[str, ...],
    bounds("The queues it sees: names, prefixes such as `emails.*`, or `*`.", minItems=1, maxItems=limits.KEY_PATTERNS),
]
_Expires = Annotated[int, bounds("How long it is valid.", minimum=1_000, maximum=limits.KEY_EXPIRES_MS_MAX)]
_SeesPayloads = Annotated[bool, bounds("Whether it sees payloads, results and the texts of errors.")]
_Note = Annotated[str, bounds("For people to read.", maxLength=limits.KEY_NOTE_CHARS)]
_RequestsPerS = Annotated[
    int, bounds("Max requests a second of each front process.", minimum=1, maximum=limits.KEY_REQUESTS_PER_S_MAX)
]
_Parked = Annotated[
    int, bounds("Max long polls, streams and connections of each front process.", minimum=1, maximum=limits.KEY_PARKED_MAX)
]


class KeyIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new access key."""

    name: Annotated[str, bounds("No other key may have this name.", pattern="^[A-Za-z0-9._:-]{1,128}$")]
    abilities: _Abilities
    queues: _Patterns = ("*",)
    expires_ms: _Expires | None = None
    sees_payloads: _SeesPayloads = True
    note: _Note = ""
    requests_per_s: _RequestsPerS | None = None
    parked: _Parked | None = None


class KeyEditIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Changes of an access key; what is left out stays. `expires_ms` counts from now, null: until it is revoked; null for the
    others: the default.
    """

    abilities: _Abilities | UnsetType = UNSET
    queues: _Patterns | UnsetType = UNSET
    expires_ms: _Expires | UnsetType | None = UNSET
    sees_payloads: _SeesPayloads | UnsetType = UNSET
    note: _Note | UnsetType = UNSET
    requests_per_s: _RequestsPerS | UnsetType | None = UNSET
    parked: _Parked | UnsetType | None = UNSET


class RotateIn(msgspec.Struct, forbid_unknown_fields=True):
    """A new secret for a key."""

    old_ms: Annotated[
        int, bounds("How long the previous secret stays valid.", minimum=0, maximum=limits.KEY_EXPIRES_MS_MAX)
    ] = limits.KEY_OLD_MS
