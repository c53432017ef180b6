"""The format of `holdfast export`: NDJSON, a line for each thing, each an object with one name that says what it is.

    {"export": …}      first: which format, and the last numbers that the store has given
    {"queue": …}       a queue with its settings, its pause, its subscription and its fair weights; what its keys have had is not exported
    {"budget": …}      a budget; what its accounts owe is not exported
    {"schedule": …}    a schedule
    {"batch": …}       a batch of jobs; before its jobs, and behind them again, if it went on meanwhile
    {"answer": …}      the kept answer to an idempotency key; before the jobs, so that each job that it names is in them
    {"job": …}         a job, in the order of their ids
    {"end": …}         last, if nothing is missing

An export that goes on after a job has a first line of its own, so files may be joined. Times are milliseconds since 1970. Payload, result
and progress are texts: byte for byte what was given, or in base64 where that is not UTF-8. What is secret is not exported: the secrets of leases, and
access keys. An unknown name is an error, so that nothing is left out in silence by a version that does not know it.
"""

import secrets
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from holdfast import error_text
from holdfast.job.closing import Closing
from holdfast.job.job import ENDED, LEASED, NO_EXTRAS, Content, Job, JobError, Lease, Raised, Receipt, State
from holdfast.job.job_batch import NEVER, OWED, WAITS, ClosingJob, JobBatch
from holdfast.job.queue import QueueSettings
from holdfast.job.schedule import Schedule
from holdfast.limits import BULK_JOBS, ERRORS_KEPT, ID_MAX, JOB_BATCH_LEVELS, NUMBERS_AHEAD, WORKER_CHARS
from holdfast.stores import formats
from holdfast.stores.formats import Number

FORMAT = "holdfast-export-1"
_SECRET_BYTES = 16
_GIVEN_MAX = ID_MAX - NUMBERS_AHEAD
Given = Annotated[int, Meta(ge=0, le=_GIVEN_MAX)]
"""The last number of its kind: the store that imports it has to go on after it."""
Id = Annotated[int, Meta(ge=1, le=_GIVEN_MAX)]
Count = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]
Moment = Annotated[int, Meta(ge=0, le=ID_MAX)]
WorkerName = Annotated[str, Meta(max_length=WORKER_CHARS)]


class _Line(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """By name, without defaults."""


class Head(_Line):
    """The first line. `last_job` and `last_fence` are the last numbers that the store had given; `after`, `queues` and `states` what was left out."""

    format: str
    holdfast: str
    at: Moment
    last_job: Given
    last_fence: Given
    after: Number = 0
    queues: list[str] = []
    states: list[State] = []


class QueueLine(_Line):
    """A queue. `paused_until` is 0 for a pause without end; `fair_weights` of the fair keys that have one, "" for jobs without a key."""

    name: str
    created_at: Moment
    settings: QueueSettings = QueueSettings()
    paused: bool = False
    paused_until: Moment = 0
    interest: str | dict[str, str] | None = None
    paused_types: tuple[str, ...] = ()
    fair_weights: dict[str, int] = {}


class BudgetLine(_Line):
    """A budget."""

    name: str
    limit: int
    created_at: Moment
    per_ms: int | None = None
    burst: int | None = None
    blocked_until: Moment = 0


class ScheduleLine(_Line):
    """A schedule; `state` as it is stored (`formats.py`)."""

    name: str
    try_at: Moment
    state: Raw
    paused: bool = False


class AnswerLine(_Line):
    """The first answer to an idempotency key; `digest` is the hash of the request, `receipts` as they are stored (`formats.py`)."""

    scope: str
    key: str
    digest: bytes
    receipts: Raw
    at: Moment


class ClosingLine(_Line):
    """A closing job that is not put yet; `job` as it is stored (`formats.py`)."""

    on: Closing
    job: Raw


class BatchLine(_Line):
    """A batch of jobs. Most of its counts are not in it, since its jobs tell: `concluded` and `cancelled` are those of members that are not there any
    more. Of a closing job, `closing` has what is still to be put, and otherwise `marks` what became of it (`job_batch.py`). `late`: its jobs came
    before, because it was made or closed during the export, or closing jobs were put since its first line.
    """

    id: Id
    name: str
    created_at: Moment
    queues: list[str]
    closed: bool
    concluded: Number
    cancelled: Number
    level: Annotated[int, Meta(ge=1, le=JOB_BATCH_LEVELS)] = 1
    ended_at: Moment | None = None
    marks: dict[Closing, Annotated[int, Meta(ge=NEVER, le=ID_MAX)]] = {}
    closing: Annotated[list[ClosingLine], Meta(max_length=len(Closing))] = []
    late: bool = False


class ErrorLine(_Line):
    """An attempt that failed or crashed."""

    attempt: Count
    at: Moment
    worker: WorkerName
    kind: str
    reason: str
    leased_at: Moment | None = None
    kind_of_error: str | None = msgspec.field(default=None, name="class")
    message: str = ""
    traceback: str = ""


class LeaseLine(_Line):
    """The lease of a leased job, or that of the worker who concluded it; nobody can use it."""

    worker: WorkerName
    leased_at: Moment = 0
    until: Moment = 0
    cancel_requested: bool = False


class JobLine(_Line):
    """A job with everything that is stored about it, but for secrets."""

    id: Id
    queue: str
    state: State
    priority: Number
    attempt: Count
    failures: Count
    crashes: Count
    max_attempts: Number
    created_at: Moment
    ready_at: Moment
    type: str = ""
    content_type: str | None = None
    payload: str | None = None
    payload_base64: bytes | None = None
    extras: Raw | UnsetType = UNSET
    leased_at: Moment | None = None
    ended_at: Moment | None = None
    reason: str | None = None
    lease: LeaseLine | None = None
    progress: str | None = None
    result: str | None = None
    errors: Annotated[list[ErrorLine], Meta(max_length=ERRORS_KEPT)] = []
    then: Raw | UnsetType = UNSET


class End(_Line):
    """The last line: how many jobs there are from the first line on, the last of them, and the last numbers that the store has given by now."""

    jobs: Number
    last: Number
    last_job: Given
    last_fence: Given


class Line(_Line):
    """One line; exactly one of these is there."""

    head: Head | None = msgspec.field(default=None, name="export")
    queue: QueueLine | None = None
    budget: BudgetLine | None = None
    schedule: ScheduleLine | None = None
    batch: BatchLine | None = None
    answer: AnswerLine | None = None
    job: JobLine | None = None
    end: End | None = None


class Whole(msgspec.Struct):
    """A job with everything that is stored about it."""

    job: Job
    content: Content
    progress: bytes | None = None
    result: bytes | None = None
    errors: list[JobError] = []
    then: list[Receipt] = []


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Line)


def written(line: Line) -> bytes:
    """A line with its end."""
    return _encoder.encode(line) + b"\n"


def read(text: bytes) -> Line:
    """A line; raises `ValueError` with what is wrong with it."""
    line = _decoder.decode(text)
    if sum(getattr(line, name) is not None for name in line.__struct_fields__) != 1:
        raise ValueError(f"must be an object with one name of {', '.join(line.__struct_encode_fields__)}")
    return line


def line_of_schedule(schedule: Schedule) -> ScheduleLine:
    """A schedule to be written."""
    return ScheduleLine(schedule.name, schedule.try_at, Raw(formats.schedule_json(schedule)), schedule.paused)


def schedule_of(line: ScheduleLine) -> Schedule:
    """A schedule that was read; raises one of `formats.UNREADABLE`."""
    return formats.schedule_of(line.name, bytes(line.state), line.try_at, line.paused)


def line_of_batch(
    batch: JobBatch, closing: dict[Closing, ClosingJob], concluded_here: int, cancelled_here: int, late: bool
) -> BatchLine:
    """A batch to be written, with those of its closing jobs that are not put yet, and how many of the ended members are there."""
    return BatchLine(
        batch.id, batch.name, batch.created_at, list(batch.queues), batch.closed, max(0, batch.concluded - concluded_here),
        max(0, batch.cancelled - cancelled_here), batch.level, batch.ended_at,
        {on: mark for on in Closing if (mark := batch.mark(on)) is not None},
        [ClosingLine(on, Raw(formats.closing_job_text(one.job).encode())) for on, one in closing.items()], late,
    )  # fmt: skip


def batch_of(line: BatchLine) -> tuple[JobBatch, list[ClosingJob]]:
    """A batch that was read, without the members that are still to come, and its closing jobs; raises one of `formats.UNREADABLE`."""
    batch = JobBatch(
        line.id, line.name, line.created_at, tuple(line.queues), line.closed, 0, line.concluded, 0, line.cancelled, ended_at=line.ended_at,
        level=line.level,
    )  # fmt: skip
    closing = [ClosingJob(one.on, formats.closing_job_of(bytes(one.job))) for one in line.closing]
    for on, mark in line.marks.items():
        batch.set_mark(on, mark)
    if {one.on for one in closing} != {on for on, mark in line.marks.items() if mark in (WAITS, OWED)}:
        raise ValueError("batch.closing must have the jobs that are not put yet")
    return batch, closing


def line_of_job(whole: Whole) -> JobLine:
    """A job to be written. A payload that claims to be JSON and is not is written as bytes."""
    job, content = whole.job, whole.content
    kind = content.content_type if content.fault() is None else "application/octet-stream"
    text = _text(content.payload)
    lease = job.lease or job.ended_by
    return JobLine(
        job.id, job.queue, job.state, job.priority, job.attempt, job.failures, job.crashes, job.max_attempts, job.created_at, job.ready_at,
        content.type, kind, text, content.payload if text is None else None,
        UNSET if job.extras == NO_EXTRAS else Raw(str(formats.extras_text(job.extras)).encode()),
        job.leased_at, job.ended_at, job.reason,
        None if lease is None else LeaseLine(lease.worker, lease.leased_at or 0, lease.until, lease.cancel_requested),
        None if whole.progress is None else _text(whole.progress),
        None if whole.result is None else _text(whole.result),
        [_line_of_error(error) for error in whole.errors],
        Raw(formats.receipts_json(whole.then)) if whole.then else UNSET,
    )  # fmt: skip


def _line_of_error(error: JobError) -> ErrorLine:
    line = ErrorLine(error.attempt, error.at, error.worker, error.kind, error.reason, error.leased_at)
    if (raised := error.raised) is not None:
        line.kind_of_error, line.message, line.traceback = raised.kind, raised.message, raised.traceback
    return line


def _error_of(line: ErrorLine) -> JobError:
    raised = None
    if line.kind_of_error is not None:
        told = (line.kind_of_error, line.message, line.traceback)
        parts = error_text.bounded(*(part.replace("\0", "\ufffd") for part in told))
        raised = Raised(*parts, error_text.place_of(parts[2]))
    secret = secrets.token_bytes(_SECRET_BYTES)
    return JobError(line.attempt, line.at, line.worker, line.kind, line.reason, secret, line.leased_at, raised)


def job_of(line: JobLine) -> Whole:
    """A job that was read, its leases with new secrets, which nobody has; raises `ValueError`, or another one of `formats.UNREADABLE`."""
    if (line.payload is None) == (line.payload_base64 is None):
        raise ValueError("a job has either payload or payload_base64")
    payload = line.payload.encode() if line.payload is not None else line.payload_base64 or b""
    lease = None
    if line.lease is not None:
        given = line.lease
        secret = secrets.token_bytes(_SECRET_BYTES)
        lease = Lease(0, secret, given.worker, given.leased_at, given.until, None, given.cancel_requested)
    leased = line.state is LEASED
    if leased and lease is None:
        raise ValueError("a leased job has a lease")
    if (line.ended_at is not None) != (line.state in ENDED):
        raise ValueError(f"job.ended_at belongs to a job that has ended, and this one is {line.state}")
    for name in ("lease", "result", "then"):
        if getattr(line, name) not in (None, UNSET) and line.state not in (ENDED if name != "lease" else (LEASED, *ENDED)):
            raise ValueError(f"job.{name} does not belong to a job that is {line.state}")
    result = _bytes(line.result)
    job = Job(
        line.id, line.queue, line.state, line.priority, line.attempt, line.failures, line.crashes, line.max_attempts, len(payload),
        line.created_at, line.ready_at, NO_EXTRAS if line.extras is UNSET else formats.extras_of(bytes(line.extras).decode()), False,
        lease if leased else None, line.leased_at, line.ended_at, line.reason, None if leased else lease, len(result or b""),
    )  # fmt: skip
    errors = [_error_of(one) for one in line.errors]
    then = [] if line.then is UNSET else formats.receipts_of(bytes(line.then), BULK_JOBS)
    return Whole(job, Content(line.type, line.content_type, payload), _bytes(line.progress), result, errors, then)


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else value.encode()
