"""Between rows and values. The views of the schema give a job in any state the same columns, in the order that `job_of` reads."""

from collections.abc import Sequence
from typing import Any

import msgspec

from holdfast.job.job import NO_EXTRAS, Content, Extras, Job, JobError, Lease, Receipt, State
from holdfast.job.queue import Queue, QueuePolicy, QueueSettings, Tally
from holdfast.job.schedule import Schedule
from holdfast.workers.registry import Worker, WorkerState

Row = Sequence[Any]
Lows = dict[int, int]

JOB_NAMES = (
    "id", "queue", "state", "priority", "attempt", "failures", "crashes", "max_attempts", "size", "created_at", "ready_at", "extras",
    "held", "fence", "secret", "worker", "leased_at", "until", "request", "cancel", "ended_at", "reason",
)  # fmt: skip
JOB_COLUMNS = len(JOB_NAMES)
_STATES = {state.value: state for state in State}
_extras_decoder = msgspec.json.Decoder(Extras)
_queues_decoder = msgspec.json.Decoder(list[str])
_match_decoder = msgspec.json.Decoder(str | dict[str, str])
_schedule_decoder = msgspec.msgpack.Decoder(Schedule)
_settings_decoder = msgspec.json.Decoder(QueueSettings)
_receipts_decoder = msgspec.msgpack.Decoder(list[Receipt])
_lows_decoder = msgspec.msgpack.Decoder(Lows)
_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()


def job_of(row: Row, queue: str) -> Job:
    """A job out of the first columns of a row."""
    (
        job_id, _, state, priority, attempt, failures, crashes, max_attempts, size, created_at, ready_at, extras,
        held, fence, secret, worker, leased_at, until, request, cancel, ended_at, reason,
    ) = row[:JOB_COLUMNS]  # fmt: skip
    lease = Lease(fence, secret, worker, leased_at, until or 0, request, bool(cancel)) if fence is not None else None
    leased = state == "leased"
    return Job(
        job_id,
        queue,
        _STATES[state],
        priority,
        attempt,
        failures,
        crashes,
        max_attempts,
        size,
        created_at,
        ready_at,
        NO_EXTRAS if extras is None else _extras_decoder.decode(extras),
        held,
        lease if leased else None,
        leased_at,
        ended_at,
        reason,
        None if leased else lease,
    )


def content_of(row: Row) -> Content:
    """A content out of type, content type and payload."""
    return Content(row[0], row[1], row[2])


def error_of(row: Row) -> JobError:
    """An attempt that went wrong."""
    return JobError(*row)


def worker_of(row: Row) -> Worker:
    """A registered worker."""
    return Worker(row[0], row[1], tuple(_queues_decoder.decode(row[2])), WorkerState(row[3]), row[4])


def match_of(text: str) -> str | dict[str, str]:
    """A queue's interest."""
    match: str | dict[str, str] = _match_decoder.decode(text)
    return match


def schedule_of(blob: bytes) -> Schedule:
    """A schedule."""
    return _schedule_decoder.decode(blob)


def schedule_blob(schedule: Schedule) -> bytes:
    """A schedule as a column."""
    return _msgpack.encode(schedule)


def extras_text(extras: Extras) -> str | None:
    """The column for extras: nothing for most jobs."""
    return None if extras is NO_EXTRAS or extras == NO_EXTRAS else _json.encode(extras).decode()


def settings_text(settings: QueueSettings) -> str:
    """The column for a queue's settings."""
    return _json.encode(settings).decode()


def json_text(value: object) -> str:
    """Any value as a column of JSON."""
    return _json.encode(value).decode()


def receipts_blob(receipts: list[Receipt]) -> bytes:
    """Receipts as a column."""
    return _msgpack.encode(receipts)


def receipts_of(blob: bytes) -> list[Receipt]:
    """Receipts out of a column."""
    return _receipts_decoder.decode(blob)


def lows_of(blob: bytes | None) -> Lows | None:
    """By priority, a number that no ready job of the queue is below; None where too many priorities are in use."""
    return None if blob is None else _lows_decoder.decode(blob)


def lows_blob(lows: Lows | None) -> bytes | None:
    """The column for it."""
    return None if lows is None else _msgpack.encode(lows)


def queue_of(row: Row, defaults: QueuePolicy) -> Queue:
    """A queue with its tally."""
    settings = _settings_decoder.decode(row[2])
    paused = row[3]
    until = paused if paused > 1 else 0
    return Queue(row[0], row[1], settings, defaults.with_settings(settings), bool(paused), row[4], Tally(*row[5:12]), until)


def pause_of(queue: Queue) -> int:
    """The column for a pause: 0 for none, 1 for one without end, and else the moment at which it ends."""
    return queue.paused_until or int(queue.paused)
