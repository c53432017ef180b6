"""Conversion between rows and values, for every SQL store.

The views of a schema give a job in any state the same columns, in the order that `job_of` reads. The content of JSON columns is
defined in `formats.py`; this module decides what happens to a row with an unreadable one.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from holdfast.auth.keys import Key
from holdfast.job.budget import Account, Budget, Next
from holdfast.job.by_type import NOTHING_YET
from holdfast.job.closing import Closing
from holdfast.job.fair import CLEARING
from holdfast.job.job import LEASED, NO_EXTRAS, READY, Content, Extras, Job, JobError, Lease, Raised, Receipt, State
from holdfast.job.job_batch import ANY_QUEUE, ClosingJob, JobBatch
from holdfast.job.operation import Operation
from holdfast.job.queue import Queue, QueuePolicy, QueueSettings, Tally
from holdfast.job.registry import Process, Worker, WorkerState
from holdfast.job.schedule import Schedule, stand_in
from holdfast.job.schedule import fault as schedule_fault
from holdfast.limits import ID_MAX
from holdfast.stores import formats, operation_formats
from holdfast.stores.formats import UNREADABLE, ReadyFloors, extras_of
from holdfast.stores.unreadable import FOUND, shown

Row = Sequence[Any]
JOB_NAMES = (
    "id", "queue", "state", "priority", "attempt", "failures", "crashes", "max_attempts", "size", "created_at", "ready_at", "extras",
    "held", "fence", "secret", "worker", "leased_at", "until", "request", "cancel", "ended_at", "reason",
    "result_size",
)  # fmt: skip
JOB_COLUMNS = len(JOB_NAMES)
EXTRAS_PLACE = JOB_NAMES.index("extras")
REMOVABLE_ENDED = ("ended", ("removable_ended",))
REMOVABLE = {
    State.READY: ("ready", ("removable_ready", "removable_held", "removable_ready_for", "removable_waiting")),
    State.SCHEDULED: ("scheduled", ("removable_scheduled",)),
}
"""Statements that find jobs of a state to be removed; those of a state that is not here are of `REMOVABLE_ENDED`."""
_STATES = {state.value: state for state in State}
_key_decoder = msgspec.json.Decoder(Key)
_raw_decoder = msgspec.json.Decoder(msgspec.Raw)
_by_queue_decoder = msgspec.json.Decoder(dict[str, Next])
_json = msgspec.json.Encoder()


def job_of(row: Row, queue: str) -> Job:
    """A job from the first columns of a row; raises one of `UNREADABLE` if it is damaged."""
    (
        job_id, _, state, priority, attempt, failures, crashes, max_attempts, size, created_at, ready_at, extras,
        held, fence, secret, worker, leased_at, until, request, cancel, ended_at, reason, result_size,
    ) = row[:JOB_COLUMNS]  # fmt: skip
    if (
        not 0
        <= (priority | attempt | failures | crashes | max_attempts | size | created_at | ready_at | (until or 0))
        <= ID_MAX
    ):
        raise ValueError("a number is beyond its bounds")
    lease = Lease(fence, secret, worker, leased_at, until or 0, request, bool(cancel)) if fence is not None else None
    leased = state == "leased"
    waits = reason if held else None  # of a ready job, the account that it waits for
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
        bool(held) and waits is None,
        lease if leased else None,
        leased_at,
        ended_at,
        reason if waits is None else None,
        None if leased else lease,
        result_size,
        waits,
    )


def ready_of(row: Row, queue: str) -> tuple[Job, Content]:
    """A job at the head of a line with its content, out of a row that has no more than these differ in; raises as `job_of` does."""
    (
        job_id, priority, attempt, failures, crashes, max_attempts, size, created_at, ready_at, extras,
        kind, content_type, payload,
    ) = row  # fmt: skip
    if not 0 <= (priority | attempt | failures | crashes | max_attempts | size | created_at | ready_at) <= ID_MAX:
        raise ValueError("a number is beyond its bounds")
    return Job(
        job_id, queue, READY, priority, attempt, failures, crashes, max_attempts, size, created_at, ready_at,
        NO_EXTRAS if extras is None else extras_of(extras),
    ), Content(kind, content_type, bytes(payload))  # fmt: skip


def leased_of(row: Row, queue: str) -> tuple[int, Job]:
    """A leased job behind the fence of its lease, likewise."""
    (
        job_id, _, priority, attempt, failures, crashes, max_attempts, size, created_at, ready_at, extras,
        fence, secret, worker, leased_at, until, request, cancel,
    ) = row  # fmt: skip
    if not 0 <= (priority | attempt | failures | crashes | max_attempts | size | created_at | ready_at | until) <= ID_MAX:
        raise ValueError("a number is beyond its bounds")
    return fence, Job(
        job_id, queue, LEASED, priority, attempt, failures, crashes, max_attempts, size, created_at, ready_at,
        NO_EXTRAS if extras is None else extras_of(extras), False,
        Lease(fence, secret, worker, leased_at, until, request, bool(cancel)), leased_at,
    )  # fmt: skip


def queues_naming(budget: str, found: Iterable[Row]) -> list[str]:
    """The queues, out of names and settings, whose settings name a budget; those that can't be read name none."""
    named = []
    for name, text in found:
        try:
            charges = formats.settings_of(text).budgets
        except UNREADABLE:
            continue
        if charges and any(charge.name == budget for charge in charges):
            named.append(name)
    return named


def budget_row(budget: Budget) -> Row:
    """The row of a budget."""
    return (
        budget.name, budget.limit, budget.per_ms, budget.burst, budget.blocked_until, budget.created_at, budget.changed_at,
    )  # fmt: skip


def account_row(account: Account) -> Row:
    """The row of an account of a budget."""
    return (
        account.id, account.budget, account.jobs, account.waiting, account.next_jobs, account.next_units, account.running, account.owed,
        account.owed_at, account.per_ms, account.blocked_until, account.first, account.first_cost,
        _json.encode(account.by_queue).decode() if account.by_queue else "{}", account.wake_at,
    )  # fmt: skip


def account_of(row: Row) -> Account:
    """An account from its row."""
    account = Account(*row)
    text: Any = row[12]
    try:
        account.by_queue = {} if text == "{}" else _by_queue_decoder.decode(text)
    except UNREADABLE:
        account.by_queue = {}
    account.count_passed()
    return account


def size_of(row: Row) -> int:
    """How many bytes of text and payload a row brings."""
    return sum([len(value) for value in row if isinstance(value, bytes | str)])


def content_of(row: Row) -> Content:
    """A content out of type, content type and payload."""
    return Content(row[0], row[1], bytes(row[2]))


def shown_content(content: Content, job_id: int) -> Content:
    """A content for display: invalid JSON would spoil the answer that contains it, and is shown as bytes."""
    fault = content.fault()
    if fault is not None:
        FOUND.note("payload", job_id, f"{shown(content.payload)}: {fault}")
        return Content(content.type, "application/octet-stream", content.payload)
    return content


def error_of(row: Row) -> JobError:
    """An attempt that went wrong."""
    kind = row[7]
    return JobError(*row[:7], None if kind is None else Raised(kind, row[8] or "", row[9] or "", row[10] or ""))  # type: ignore[call-arg]


def doubtful_job(row: Row, queue: str, keys: Row | None, error: Exception) -> Job:
    """A job whose row can't be read, as far as it can be: its ids, so that its row can be found, and the unique key, group,
    worker and batch (`keys`) that other tables have for it. Its extras give the reason.
    """
    raw = list(row[:JOB_COLUMNS])
    why = f"{shown(raw[EXTRAS_PLACE]) if raw[EXTRAS_PLACE] is not None else 'its row'}: {error}"
    FOUND.note("job", raw[0], why)
    try:
        extras = NO_EXTRAS if raw[EXTRAS_PLACE] is None else extras_of(raw[EXTRAS_PLACE])
    except UNREADABLE:
        extras = NO_EXTRAS
    if extras is NO_EXTRAS and keys is not None:
        extras = Extras(unique_key=keys[0], group_key=keys[1], worker=keys[2], batch=keys[3])
    job_id, _, state, priority, attempt, failures, crashes, max_attempts, size, created_at, ready_at = raw[:EXTRAS_PLACE]
    held, fence, secret, worker, leased_at, until, request, cancel, ended_at, reason, result_size = raw[EXTRAS_PLACE + 1 :]
    lease = None if fence is None else Lease(fence, secret, worker or "", leased_at, until or 0, request, bool(cancel))
    leased = state == "leased"
    waits = reason if held else None
    return Job(
        job_id, queue, _STATES.get(state, State.DEAD), priority, attempt, failures, crashes, max_attempts, size, created_at, ready_at,
        replace(extras, unreadable=why), bool(held) and waits is None, lease if leased else None, leased_at, ended_at,
        reason if waits is None else None, None if leased else lease, result_size, waits,
    )  # fmt: skip


def worker_of(row: Row) -> Worker:
    """A registered worker. An unreadable one has no queues and gets no jobs, until it registers again or is removed."""
    try:
        types = None if row[5] is None else formats.types_of(row[5])
        process = Process(row[6] or "", row[7], row[8] or "")
        return Worker(row[0], row[1], tuple(formats.queues_of(row[2])), WorkerState(row[3]), row[4], types, process)
    except UNREADABLE as error:
        FOUND.note("worker", row[0], f"{shown(row[2])}, {shown(row[3])}: {error}")
        return Worker(row[0], row[1], (), WorkerState.QUIET, row[4])


def key_of(row: Row) -> Key:
    """An access key from its id, its name, its value and the time of its last use. An unreadable one is listed and grants no
    access.
    """
    try:
        return replace(_key_decoder.decode(row[2]), id=row[0], name=row[1], used_at=row[3])
    except UNREADABLE as error:
        FOUND.note("access_key", row[0], f"{type(error).__name__}; revoke it and make another")
        return Key(row[0], row[1], (), (), (), 0, used_at=row[3])


def key_row(key: Key) -> Row:
    """The row of an access key."""
    return key.id, key.name, json_text(replace(key, used_at=None)), key.used_at


def interests_of(found: Iterable[Row]) -> dict[str, str | dict[str, str]]:
    """Every queue's interest, out of names and columns. One that can't be read matches nothing, until it is set again or removed."""
    interests: dict[str, str | dict[str, str]] = {}
    for name, text in found:
        try:
            interests[name] = formats.match_of(text)
        except UNREADABLE as error:
            FOUND.note("interest", name, f"{shown(text)}: {error}")
    return interests


def operation_of(row: Row) -> Operation | None:
    """An operation; None for one that can't be read, which goes on for nobody."""
    try:
        return operation_formats.operation_of(*row)
    except formats.UNREADABLE as error:
        FOUND.note("operation", row[0], f"{shown(row[3])}: {error}")
        return None


def operation_row(operation: Operation) -> tuple[int, str, int | None, str]:
    """The columns of an operation."""
    return operation.id, operation.state.value, operation.ended_at, operation_formats.operation_text(operation)


def schedule_of(name: str, state: Any, try_at: Any, paused: Any) -> Schedule:
    """A schedule, or a placeholder for an unreadable one, which must not block the others."""
    try:
        schedule = formats.schedule_of(name, state, try_at, paused)
        why = schedule_fault(schedule)
    except UNREADABLE as error:
        why = str(error)
    return schedule if why is None else stand_in(name, why)


def job_batch_of(row: Row) -> JobBatch:
    """A batch of jobs. One with unreadable queues is seen by those who see all queues."""
    number, name, created_at, queues, closed, *rest = row
    try:
        seen_by = tuple(formats.queues_of(queues))
    except UNREADABLE as error:
        FOUND.note("job_batch", number, f"{shown(queues)}: {error}")
        seen_by = (ANY_QUEUE,)
    return JobBatch(number, name, created_at, seen_by, bool(closed), *rest)


def job_batch_row(batch: JobBatch) -> Row:
    """The row of a new batch."""
    return (
        batch.id, batch.name, batch.created_at, formats.queues_text(batch.queues), batch.closed, batch.pending, batch.concluded, batch.dead,
        batch.cancelled, batch.success, batch.finish, batch.failure, batch.ended_at, batch.level,
    )  # fmt: skip


def job_batch_changes(batch: JobBatch) -> Row:
    """What of its row changes, behind its id."""
    return (
        batch.id, batch.closed, batch.pending, batch.concluded, batch.dead, batch.cancelled, batch.success, batch.finish, batch.failure,
        batch.ended_at,
    )  # fmt: skip


def closing_rows(batch: JobBatch, closing: Iterable[ClosingJob]) -> list[Row]:
    """The rows of the closing jobs of a new batch."""
    return [
        (batch.id, one.on.value, one.job.queue, one.job.extras.batch, False, "", formats.closing_job_text(one.job))
        for one in closing
    ]


def closing_jobs_of(found: Iterable[Row], batch: int) -> dict[Closing, ClosingJob]:
    """The closing jobs of a batch. One that can't be read stays owed."""
    jobs = {}
    for due, text, refusal, _, _ in found:
        try:
            on = Closing(due)
            jobs[on] = ClosingJob(on, formats.closing_job_of(text), refusal)
        except UNREADABLE as error:
            FOUND.note("job_batch_closing", f"{batch} {due}", f"{shown(text)}: {error}")
    return jobs


def json_text(value: object) -> str:
    """Any value as JSON, such as a list that a statement takes as one parameter."""
    return _json.encode(value).decode()


def receipts_of(blob: bytes, table: str, key: object) -> list[Receipt] | None:
    """Receipts out of a column; None where they can't be read."""
    try:
        return formats.receipts_of(blob)
    except UNREADABLE as error:
        FOUND.note(table, key, f"{shown(blob)}: {error}")
        return None


def json_strictly(value: bytes) -> None:
    """Raises one of `UNREADABLE` if it is not JSON."""
    str(value, "utf-8")
    _raw_decoder.decode(value)


def payload_strictly(payload: bytes) -> None:
    """Raises `ValueError` if stored JSON is invalid."""
    fault = Content("", None, payload).fault()
    if fault is not None:
        raise ValueError(fault)


def json_or_none(value: bytes | None, table: str, key: object) -> bytes | None:
    """A column of JSON that is returned as it is; None if it is invalid, because it would spoil the answer that contains it.

    It is validated as on input: JSON that Python can't represent, such as `1e999` or a number of 5,000 digits, is valid.
    """
    try:
        if value is not None:
            json_strictly(value)
    except UNREADABLE as error:
        FOUND.note(table, key, f"{shown(value)}: {error}")
        return None
    return value


def queue_of(row: Row, defaults: QueuePolicy) -> Queue:
    """A queue with its tally. One with unreadable settings accepts jobs by the defaults and grants no leases: it is paused
    until its settings are set again.
    """
    tally, until = Tally(*row[5:13]), row[3] if row[3] > 1 else 0
    try:
        settings = formats.settings_of(row[2])
    except UNREADABLE as error:
        FOUND.note("queue", row[1], f"{shown(row[2])}: {error}")
        settings = QueueSettings()
        queue = Queue(row[0], row[1], settings, defaults, True, row[4], tally, 0, (row[2], row[3]))
    else:
        queue = Queue(row[0], row[1], settings, defaults.with_settings(settings), bool(row[3]), row[4], tally, until)
    if row[13] is not None or row[14] is not None:
        _read_types(queue, row[13], row[14])
    if row[15] is not None:
        try:
            queue.sharing = formats.sharing_of(row[15])
        except UNREADABLE as error:
            FOUND.note(
                "queue",
                queue.name,
                f"how far its jobs are sorted by their fair keys is {shown(row[15])}: {error}; it is done anew",
            )
            queue.sharing = CLEARING
    return queue


def _read_types(queue: Queue, paused: Any, typed: Any) -> None:
    """What a queue has about types. What can't be read is as if no type were paused, and is given to the jobs anew."""
    try:
        queue.paused_types = () if paused is None else formats.types_of(paused)
    except UNREADABLE as error:
        FOUND.note("queue", queue.name, f"its paused types are {shown(paused)}: {error}; none is paused")
    try:
        queue.typed = None if typed is None else formats.typed_of(typed)
    except UNREADABLE as error:
        FOUND.note("queue", queue.name, f"how far it is kept by type is {shown(typed)}: {error}; it is done anew")
        queue.typed = NOTHING_YET


def job_to_show(row: Row, queue: str) -> Job:
    """A job for display, whose row may be unreadable."""
    try:
        return job_of(row, queue)
    except UNREADABLE as error:
        return doubtful_job(row, queue, None, error)


def ready_floors_of(column: Any, queue: str) -> ReadyFloors | None:
    """Where each priority of a queue begins; None if too many priorities are in use, or it can't be read: then the whole order
    is scanned.
    """
    try:
        return None if column is None else formats.ready_floors_of(column)
    except UNREADABLE as error:
        FOUND.note("queue", queue, f"where its lines begin is {shown(column)}: {error}; they are looked through")
        return None


def settings_text(queue: Queue) -> Any:
    """The column for settings; what could not be read stays as it is."""
    return formats.settings_text(queue.settings) if queue.unreadable is None else queue.unreadable[0]


def fair_key_of(extras: str | None) -> str:
    """The fair key of a job, out of the column of its extras: empty for none, and where it can't be read."""
    if not extras:
        return ""
    try:
        return formats.extras_of(extras).fair_key or ""
    except UNREADABLE:
        return ""  # who reads the job sets it aside


def types_row(queue: Queue) -> Row:
    """The columns about types and fair keys: the types that are paused, how far its jobs are kept by them, and how far by fair keys."""
    return formats.types_text(queue.paused_types or None), formats.typed_text(queue.typed), formats.sharing_text(queue.sharing)


def pause_of(queue: Queue) -> int:
    """The column for a pause: 0 for none, 1 for one without end, else the time at which it ends."""
    return queue.unreadable[1] if queue.unreadable is not None else queue.paused_until or int(queue.paused)
