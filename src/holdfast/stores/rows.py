"""Between rows and values, for every store that keeps jobs in tables of SQL.

The views of a schema give a job in any state the same columns, in the order that `job_of` reads. What is small and never searched (extras,
settings, a queue's interest) is JSON in one column; what only this program reads is MessagePack.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from holdfast.job.job import NO_EXTRAS, Content, Extras, Job, JobError, Lease, Receipt, State
from holdfast.job.queue import Queue, QueuePolicy, QueueSettings, Tally
from holdfast.job.schedule import Schedule, stand_in
from holdfast.workers.registry import Worker, WorkerState

Row = Sequence[Any]

JOB_NAMES = (
    "id", "queue", "state", "priority", "attempt", "failures", "crashes", "max_attempts", "size", "created_at", "ready_at", "extras",
    "held", "fence", "secret", "worker", "leased_at", "until", "request", "cancel", "ended_at", "reason",
)  # fmt: skip
JOB_COLUMNS = len(JOB_NAMES)
_ALIKE = 1_000  # different extras that are remembered
_STATES = {state.value: state for state in State}
_extras_decoder = msgspec.json.Decoder(Extras)
_queues_decoder = msgspec.json.Decoder(list[str])
_match_decoder = msgspec.json.Decoder(str | dict[str, str])
_schedule_decoder = msgspec.msgpack.Decoder(Schedule)
_settings_decoder = msgspec.json.Decoder(QueueSettings)
_receipts_decoder = msgspec.msgpack.Decoder(list[Receipt])
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
        NO_EXTRAS if extras is None else extras_of(extras),
        bool(held),
        lease if leased else None,
        leased_at,
        ended_at,
        reason,
        None if leased else lease,
    )


def size_of(row: Row) -> int:
    """How many bytes of text and payload a row brings."""
    return sum([len(value) for value in row if isinstance(value, bytes | str)])


def content_of(row: Row) -> Content:
    """A content out of type, content type and payload."""
    return Content(row[0], row[1], bytes(row[2]))


def error_of(row: Row) -> JobError:
    """An attempt that went wrong."""
    return JobError(*row)


def worker_of(row: Row) -> Worker:
    """A registered worker."""
    return Worker(row[0], row[1], tuple(_queues_decoder.decode(row[2])), WorkerState(row[3]), row[4])


def match_of(text: Any) -> str | dict[str, str]:
    """A queue's interest."""
    match: str | dict[str, str] = _match_decoder.decode(text)
    return match


def schedule_of(name: str, blob: Any) -> Schedule:
    """A schedule, or what stands in for one that can't be read: it must not stop the others."""
    try:
        return _schedule_decoder.decode(blob)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError) as error:
        return stand_in(name, str(error))


def schedule_blob(schedule: Schedule) -> bytes:
    """A schedule as a column."""
    return _msgpack.encode(schedule)


@lru_cache(maxsize=_ALIKE)
def extras_of(text: str) -> Extras:
    """Extras out of their column. Most jobs with any have the same, such as a lease of so long."""
    return _extras_decoder.decode(text)


@lru_cache(maxsize=_ALIKE)
def extras_text(extras: Extras) -> str | None:
    """The column for extras: nothing for most jobs."""
    return None if extras is NO_EXTRAS or extras == NO_EXTRAS else _json.encode(extras).decode()


def json_text(value: object) -> str:
    """Any value as a column of JSON."""
    return _json.encode(value).decode()


def receipts_blob(receipts: list[Receipt]) -> bytes:
    """Receipts as a column."""
    return _msgpack.encode(receipts)


def receipts_of(blob: bytes) -> list[Receipt]:
    """Receipts out of a column."""
    return _receipts_decoder.decode(blob)


def queue_of(row: Row, defaults: QueuePolicy) -> Queue:
    """A queue with its tally."""
    settings = _settings_decoder.decode(row[2])
    return Queue(
        row[0],
        row[1],
        settings,
        defaults.with_settings(settings),
        bool(row[3]),
        row[4],
        Tally(*row[5:12]),
        row[3] if row[3] > 1 else 0,
    )


def pause_of(queue: Queue) -> int:
    """The column for a pause: 0 for none, 1 for one without end, and else the moment at which it ends."""
    return queue.paused_until or int(queue.paused)
