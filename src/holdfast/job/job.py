"""What a job is: the part that changes (`Job`), the part that does not (`Content`), and the right to end one attempt (`Lease`).

They are frozen values without cycles (`gc=False`). Only `lifecycle.py` makes a new `Job` from an old one; stores write what it
decides, and the keeper's socket carries the same types, so that the whole program has one description of a job.
"""

import enum
import re

import msgspec

from holdfast import limits
from holdfast.job.budget import Charge
from holdfast.job.closing import Closes
from holdfast.job.meta import Meta
from holdfast.job.retry import RetryPolicy

_TOKEN_CHARS = 100  # of a lease: checked first, as callers may send anything
_ID_MAX = limits.ID_MAX
_read_token = re.compile(r"([1-9][0-9]*)\.([1-9][0-9]*)\.([1-9][0-9]*)\.([0-9a-f]*)\Z").match  # `int` also takes 1_0, +1 and ٣

_json = msgspec.json.Decoder(msgspec.Raw)


class State(enum.StrEnum):
    """The state of a job. `scheduled` is ready later."""

    SCHEDULED = "scheduled"
    READY = "ready"
    LEASED = "leased"
    CONCLUDED = "concluded"
    DEAD = "dead"
    CANCELLED = "cancelled"


SCHEDULED, READY, LEASED, CONCLUDED, DEAD, CANCELLED = State
"""The states by name. On Python 3.11 `State.READY` runs a descriptor, at seven times the price of a global; each life asks dozens of times."""
PURGEABLE = tuple(state for state in State if state is not LEASED)
"""The states in which jobs can be removed all at once."""

WAITING = (SCHEDULED, READY)
UNFINISHED = (SCHEDULED, READY, LEASED)  # what counts against a queue's capacity
ENDED = (CONCLUDED, DEAD, CANCELLED)
HISTORY = (CONCLUDED, CANCELLED)  # kept for the queue's retention; dead jobs stay until an operator decides


class UniqueWhile(enum.StrEnum):
    """How long a job holds its unique key."""

    QUEUED = "queued"  # scheduled or ready
    UNFINISHED = "unfinished"  # scheduled, ready or leased


class OnConflict(enum.StrEnum):
    """What is done with a new job whose unique key is taken."""

    REFUSE = "refuse"
    EXISTING = "existing"  # its producer gets the job that has the key
    REPLACE = "replace"  # the waiting job that has the key gets its content and options
    DEBOUNCE = "debounce"  # the same, and its delay begins again


class BeanstalkCounters(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Counters that beanstalkd reports for a job: releases, buries and kicks, its last delay in seconds, and the timeouts
    before its last kick. Counted when beanstalkd's verbs are used.
    """

    delay_s: int = 0
    timeouts: int = 0
    releases: int = 0
    buries: int = 0
    kicks: int = 0


class Extras(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """What most jobs do without. Kept in one column, so that they cost the others nothing.

    `worker` is the only registered worker that may lease the job: its copy of an event for all workers. `follows` is the job
    whose conclude enqueued it. `expires_at` is the job's deadline: it ends if no worker has it by then. `unreadable` is never stored: the reason why the job's row could not be read, until the job is
    set aside or repaired. `batch` is the batch of which the job is a member, `closes` the one that it closes.
    `queue_budgets` is the part of `budgets` that the settings of its queue have added.
    """

    lease_ms: int | None = None
    retry: RetryPolicy | None = None
    unique_key: str | None = None
    unique_while: UniqueWhile = UniqueWhile.UNFINISHED
    group_key: str | None = None
    group_limit: int = 1
    tags: tuple[str, ...] = ()
    worker: str | None = None
    beanstalk: BeanstalkCounters | None = None
    follows: int | None = None
    unreadable: str | None = None
    meta: Meta = ()
    expires_at: int | None = None
    batch: int | None = None
    closes: Closes | None = None
    budgets: tuple[Charge, ...] = ()
    queue_budgets: tuple[Charge, ...] = ()
    fair_key: str | None = None
    fair_cost: int = 1


NO_EXTRAS = Extras()


class Content(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a worker gets to work on. `content_type` is None for JSON; the payload is stored byte for byte."""

    type: str
    content_type: str | None
    payload: bytes

    def fault(self) -> str | None:
        """Why stored JSON is invalid; None if it is valid, or not JSON. It would spoil every answer that contains it."""
        if self.content_type is not None:
            return None
        try:
            _json.decode(self.payload)  # skips strings: their content is not checked
            if not self.payload.isascii():
                self.payload.decode()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return str(error)
        return None


EXPIRED = "expired"
"""The reason of a cancelled job whose deadline passed while it waited."""

FORGOTTEN = b""
"""No progress: what is noted is JSON, and never empty."""


class NewJob(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    """What a producer asks for. None: the queue's or the server's default. Times are in milliseconds.

    `debounce_max_ms`: a job is never debounced to later than so long after it was enqueued. `expires_in_ms`: its deadline, from when it is
    due, unless its extras name one.
    """

    queue: str
    payload: bytes
    type: str = ""
    content_type: str | None = None
    priority: int | None = None
    delay_ms: int | None = None
    run_at: int | None = None
    max_attempts: int | None = None
    extras: Extras = NO_EXTRAS
    on_conflict: OnConflict = OnConflict.REFUSE
    debounce_max_ms: int | None = None
    expires_in_ms: int | None = None


class IdempotencyKey(msgspec.Struct, frozen=True, array_like=True):
    """A caller's key within `scope` (a queue's name, or "" for calls over several), and the hash of its request."""

    scope: str
    key: str
    digest: bytes


class LeaseRef(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a worker shows in order to end an attempt: the parsed form of a lease token."""

    job: int
    attempt: int
    fence: int
    secret: bytes

    def token(self) -> str:
        """The text that travels: `JOB.ATTEMPT.FENCE.SECRET`, the secret being 128 bits in hexadecimal."""
        return f"{self.job}.{self.attempt}.{self.fence}.{self.secret.hex()}"

    @classmethod
    def parse(cls, token: str) -> "LeaseRef | None":
        """Read a token; None if it can't be one."""
        if len(token) > _TOKEN_CHARS or (found := _read_token(token)) is None:
            return None
        first, second, third, secret = found.groups()
        job, attempt, fence = int(first), int(second), int(third)
        if job > _ID_MAX or attempt > _ID_MAX or fence > _ID_MAX or len(secret) % 2:
            return None
        return cls(job, attempt, fence, bytes.fromhex(secret))


class Lease(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The right to end one attempt of one job, until a time of the store's clock.

    `fence` grows with every lease ever granted, across restarts. `request` is the caller's `request_id`: the same
    request again finds the same leases.
    """

    fence: int
    secret: bytes
    worker: str
    leased_at: int
    until: int
    request: str | None = None
    cancel_requested: bool = False


class Job(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A job as it stands.

    Invariants:
      * `lease` is set if and only if the state is `leased`.
      * `attempt` counts leases granted; it grows with each and never shrinks.
      * `failures` and `crashes` count attempts that were spent: a released one is in neither.
      * `held` is true only of a ready job that waits for its group.
      * `waits` is set only of a ready job that is not held: the account that it waits for. With budgets and neither, it is next.
      * `ended_by` is the lease whose holder concluded the job, so that a repeated conclude is recognized.
      * `result_size` is 0 unless the job has ended.
    """

    id: int
    queue: str
    state: State
    priority: int
    attempt: int
    failures: int
    crashes: int
    max_attempts: int
    size: int
    created_at: int
    ready_at: int
    extras: Extras = NO_EXTRAS
    held: bool = False
    lease: Lease | None = None
    leased_at: int | None = None
    ended_at: int | None = None
    reason: str | None = None
    ended_by: Lease | None = None
    result_size: int = 0
    waits: str | None = None

    def ref(self) -> LeaseRef:
        """The lease of the job, as its holder presents it."""
        assert self.lease is not None, "only a leased job has a lease"
        return LeaseRef(self.id, self.attempt, self.lease.fence, self.lease.secret)

    def is_held_by(self, ref: LeaseRef) -> bool:
        """Whether `ref` is the current lease of this job."""
        lease = self.lease
        if lease is None or lease.fence != ref.fence or self.attempt != ref.attempt or self.id != ref.job:
            return False
        return lease.secret == ref.secret

    @property
    def stored_bytes(self) -> int:
        """Of its payload and its result."""
        return self.size + self.result_size

    @property
    def holds_unique_key(self) -> bool:
        """Whether the job occupies its unique key in its current state."""
        if self.extras.unique_key is None:
            return False
        return self.state in (UNFINISHED if self.extras.unique_while is UniqueWhile.UNFINISHED else WAITING)

    @property
    def deadline(self) -> int | None:
        """When the job ends if it still waits then; None if it has no deadline, or does not wait."""
        expires_at = self.extras.expires_at
        return expires_at if expires_at is None or self.state in WAITING else None

    @property
    def has_expired(self) -> bool:
        """Whether it ended because its deadline passed."""
        return self.state is CANCELLED and self.reason == EXPIRED

    @property
    def holds_group_slot(self) -> bool:
        """Whether the job occupies one of its group's places: it runs, or it is the next to run."""
        if self.extras.group_key is None:
            return False
        return self.state is LEASED or (self.state is READY and not self.held)


def is_next(job: Job) -> bool:
    """Whether a ready job stands in its queue's line."""
    return job.state is READY and not job.held and job.waits is None


def without_parent(job: Job) -> Job:
    """The job without the id of the one that it follows, for somebody who may not see in which queue that is."""
    if job.extras.follows is None:
        return job
    extras = msgspec.structs.replace(job.extras, follows=None)
    return msgspec.structs.replace(job, extras=NO_EXTRAS if extras == NO_EXTRAS else extras)


class Receipt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A job as it was when it was enqueued."""

    id: int
    queue: str
    state: State
    priority: int
    max_attempts: int
    created_at: int
    ready_at: int


class Raised(msgspec.Struct, frozen=True, array_like=True):
    """What an attempt raised: the class of the error, its message and its traceback. `place`: where, in the user's own code."""

    kind: str
    message: str = ""
    traceback: str = ""
    place: str = ""


class JobError(msgspec.Struct, frozen=True, array_like=True):
    """One failed attempt: `kind` is `failed` (the worker reported it) or `crashed` (the lease expired). It began at
    `leased_at`. `raised` is what its worker told of the error.
    """

    attempt: int
    at: int
    worker: str
    kind: str
    reason: str
    secret: bytes = b""
    leased_at: int | None = None
    raised: Raised | None = None
