"""The bounds of `limits.py`, applied: every door's input is checked here once, and an error names the field and its bound."""

from typing import Any

from msgspec import UNSET

from holdfast import limits
from holdfast.errors import HoldfastError, InvalidRequest, PayloadTooLarge, breach
from holdfast.job.budget import Charge
from holdfast.job.job import NO_EXTRAS, PURGEABLE, Extras, NewJob, OnConflict, UniqueWhile
from holdfast.job.meta import Meta
from holdfast.job.queue import QueueSettings
from holdfast.job.registry import UNTOLD, Process
from holdfast.job.retry import RetryPolicy
from holdfast.messages.queries import CountJobs, ListJobs

_REFUSE = OnConflict.REFUSE
_KNOWN_NAMES = 1_000  # numbers of queues that need not be checked again
_known_names: set[str] = set()


def whole(text: str) -> int | None:
    """Parse a whole number of at least 0 in its canonical form; None if the text is not one."""
    return int(text) if limits.WHOLE.match(text) is not None else None


def number(field: str, value: float | None, low: float, high: float) -> None:
    """A number within bounds; None passes."""
    if value is not None and not low <= value <= high:
        raise breach(field, f"must be from {low} to {high}")


def text(field: str, value: str | None, chars: int) -> None:
    """A text of bounded length without NUL; None passes."""
    if value is None:
        return
    if len(value) > chars:
        raise breach(field, f"must have at most {chars} characters")
    if "\0" in value:
        raise breach(field, "must not hold a NUL character")


def queue_name(field: str, name: str) -> None:
    """A name for a new queue."""
    if limits.QUEUE_NAME.match(name) is None:
        raise _no_name(field, name, limits.QUEUE_NAME_CHARS)
    if len(_known_names) < _KNOWN_NAMES:
        _known_names.add(name)


def name_of_queue(field: str, name: str) -> None:
    """The name of an existing queue: an older version may have created one called ".", which must be possible to empty and
    remove.
    """
    if limits.QUEUE_NAME_ONCE.match(name) is None:
        raise _no_name(field, name, limits.QUEUE_NAME_CHARS)


def schedule_name(name: str) -> None:
    """A name for a schedule: as a queue's, but shorter."""
    if limits.SCHEDULE_NAME.match(name) is None:
        raise _no_name("name", name, limits.SCHEDULE_NAME_CHARS)


def _no_name(field: str, name: str, chars: int) -> InvalidRequest:
    if name in (".", ".."):
        return breach(field, f'must not be "{name}", which is a step in every path and address')
    return breach(field, f"must be 1 to {chars} of the characters A-Z a-z 0-9 . _ : -")


def printable(field: str, value: str, chars: int) -> None:
    """A key: 1 to `chars` printable ASCII characters."""
    if not 1 <= len(value) <= chars or not value.isascii() or not value.isprintable():
        raise breach(field, f"must be 1 to {chars} printable ASCII characters")


def payload(field: str, size: int, bound: int) -> None:
    """A payload within its bound in bytes."""
    if size > bound:
        raise PayloadTooLarge(f"{field} has {size} bytes; at most {bound} are taken.", field=field, limit_bytes=bound)


def new_job(new: NewJob, payload_bytes: int, at: str = "") -> None:
    """All fields that a producer sets on one job; `at` is its path in a larger request, such as "jobs[3]."."""
    if new.queue not in _known_names:
        queue_name(at + "queue", new.queue)
    if len(new.payload) > payload_bytes:
        payload(at + "payload", len(new.payload), payload_bytes)
    if new.type and (len(new.type) > limits.TYPE_CHARS or "\0" in new.type):
        text(at + "type", new.type, limits.TYPE_CHARS)
    if new.content_type is not None:
        text(at + "content_type", new.content_type, limits.CONTENT_TYPE_CHARS)
    if new.priority is not None:
        number(at + "priority", new.priority, 0, limits.PRIORITY_MAX)
    if new.max_attempts is not None:
        number(at + "max_attempts", new.max_attempts, 1, limits.ATTEMPTS_MAX)
    if new.delay_ms is not None or new.run_at is not None:
        when(at, new.delay_ms, new.run_at)
    if new.on_conflict is not _REFUSE or new.debounce_max_ms is not None:
        on_conflict(new, at)
    if new.expires_in_ms is not None or (new.extras is not NO_EXTRAS and new.extras != NO_EXTRAS):
        deadline(at, new.expires_in_ms, new.extras.expires_at, new.run_at)
        _extras(new.extras, at)


def new_jobs(jobs: list[NewJob], payload_bytes: int, at: str) -> None:
    """Many jobs; the path of one is built only for an error. `at` is "" for a single one."""
    if len(jobs) > limits.BULK_JOBS:
        raise breach(at or "jobs", f"must have at most {limits.BULK_JOBS} entries")
    for index, job in enumerate(jobs):
        try:
            new_job(job, payload_bytes)
        except HoldfastError:
            new_job(job, payload_bytes, f"{at}[{index}]." if at else "")


def when(at: str, delay_ms: int | None, run_at: int | None) -> None:
    """A delay or a time, not both."""
    if delay_ms is None and run_at is None:
        return
    if delay_ms is not None and run_at is not None:
        raise breach(at + "run_at", "can't be given beside delay_ms")
    number(at + "delay_ms", delay_ms, 0, limits.DELAY_MS_MAX)
    if run_at is not None and run_at > limits.RUN_AT_MAX:
        raise breach(at + "run_at", "must be at most 9999-12-31T23:59:59.999Z")


def deadline(at: str, expires_in_ms: int | None, expires_at: int | None, run_at: int | None = None) -> None:
    """A time after which a job is no more worth running, or how long after it is due that is."""
    if expires_in_ms is not None and expires_at is not None:
        raise breach(at + "expires_at", "can't be given beside expires_in_ms")
    number(at + "expires_in_ms", expires_in_ms, 1, limits.EXPIRES_MS_MAX)
    if expires_at is not None and expires_at > limits.RUN_AT_MAX:
        raise breach(at + "expires_at", "must be at most 9999-12-31T23:59:59.999Z")
    if expires_at is not None and run_at is not None and expires_at <= run_at:
        raise breach(at + "expires_at", "must be later than run_at")


def on_conflict(new: NewJob, at: str) -> None:
    """What is to be done if the unique key is taken."""
    debounces = new.on_conflict is OnConflict.DEBOUNCE
    number(at + "debounce_max_ms", new.debounce_max_ms, 1, limits.DELAY_MS_MAX)
    if new.on_conflict is not _REFUSE and new.extras.unique_key is None:
        raise breach(at + "on_conflict", "needs a unique_key")
    if debounces and not new.delay_ms:
        raise breach(at + "on_conflict", "debounce needs a delay_ms, from which the job is put off each time")
    if new.debounce_max_ms is not None and not debounces:
        raise breach(at + "debounce_max_ms", 'needs an on_conflict of "debounce"')
    if new.debounce_max_ms is not None and new.debounce_max_ms < (new.delay_ms or 0):
        raise breach(at + "debounce_max_ms", "must be at least delay_ms")


def tags(field: str, values: tuple[str, ...]) -> None:
    """A bounded number of bounded tags."""
    if len(values) > limits.TAGS:
        raise breach(field, f"must have at most {limits.TAGS} entries")
    for index, tag in enumerate(values):
        text(f"{field}[{index}]", tag, limits.TAG_CHARS)


def meta(field: str, pairs: Meta) -> None:
    """Names and values of a job, bounded together."""
    size = 0
    for name, value in pairs:
        size += len(name.encode()) + len(value.encode())
        if not 1 <= len(name) <= limits.META_NAME_CHARS:
            raise breach(field, f"must have names of 1 to {limits.META_NAME_CHARS} characters")
        if "\0" in name or "\0" in value:
            raise breach(field, "must not hold a NUL character")
    if size > limits.META_BYTES:
        raise breach(field, f"must have at most {limits.META_BYTES} bytes, names and values together")


def fields(field: str, pairs: Meta) -> None:
    """Paths into payloads, such as `order.lines.0.id`, and the values that are looked for there."""
    if len(pairs) > limits.FIELDS:
        raise breach(field, f"must have at most {limits.FIELDS} paths")
    for path, value in pairs:
        if "" in path.split("."):
            raise breach(field, "must have paths of names or places, with a dot between two")
        text(field, path, limits.FIELD_CHARS)
        text(field, value, limits.FIELD_CHARS)


def filter_of_jobs(query: ListJobs | CountJobs, at: str) -> None:
    """What a listing is narrowed by; `at` is where it was given."""
    text(f"{at}text", query.text, limits.REASON_CHARS)
    text(f"{at}type", query.type, limits.TYPE_CHARS)
    text(f"{at}tag", query.tag, limits.TAG_CHARS)
    meta(f"{at}meta", query.meta)
    number(f"{at}batch", query.batch, 1, limits.ID_MAX)
    number(f"{at}cancelled_by", query.cancelled_by, 1, limits.ID_MAX)
    if query.queue is not None:
        name_of_queue(f"{at}queue", query.queue)
    text(f"{at}error", query.error, limits.REASON_CHARS)
    number(f"{at}before", query.before, 0, limits.ID_MAX)
    number(f"{at}since", query.since, 0, limits.ID_MAX)
    text(f"{at}worker", query.worker, limits.WORKER_CHARS)
    fields(f"{at}field", query.field)


def _extras(extras: Extras, at: str) -> None:
    number(at + "lease_ms", extras.lease_ms, 1, limits.LEASE_MS_MAX)
    for field, key in (("unique_key", extras.unique_key), ("group_key", extras.group_key)):
        if key == "":
            raise breach(at + field, "must not be empty")
        text(at + field, key, limits.KEY_CHARS)
    number(at + "group_limit", extras.group_limit, 1, limits.GROUP_LIMIT_MAX)
    if extras.unique_while is not UniqueWhile.UNFINISHED and extras.unique_key is None:
        raise breach(at + "unique_while", "needs a unique_key")
    if extras.group_limit != 1 and extras.group_key is None:
        raise breach(at + "group_limit", "needs a group_key")
    tags(at + "tags", extras.tags)
    meta(at + "meta", extras.meta)
    number(at + "batch", extras.batch, 1, limits.ID_MAX)
    if extras.retry is not None:
        retry(extras.retry, at + "retry")
    if extras.budgets:
        charges(extras.budgets, at + "budgets")
    if extras.fair_key is not None or extras.fair_cost != 1:
        fair(extras.fair_key, extras.fair_cost, at)


def fair(key: str | None, cost: int, at: str) -> None:
    """The fair key of a job, and what the job counts for."""
    if key == "":
        raise breach(at + "fair_key", "must not be empty")
    text(at + "fair_key", key, limits.FAIR_KEY_CHARS)
    number(at + "fair_cost", cost, 1, limits.FAIR_COST_MAX)


def charges(given: tuple[Charge, ...], at: str) -> None:
    """What a job costs which accounts; none is named twice."""
    if len(given) > limits.BUDGETS_OF_JOB:
        raise breach(at, f"must have at most {limits.BUDGETS_OF_JOB} entries")
    for place, one in enumerate(given):
        if limits.BUDGET_NAME.match(one.name) is None:
            raise _no_name(f"{at}[{place}].name", one.name, limits.BUDGET_NAME_CHARS)
        text(f"{at}[{place}].key", one.key, limits.BUDGET_KEY_CHARS)
        number(f"{at}[{place}].cost", one.cost, 1, limits.BUDGET_UNITS_MAX)
        if any(one.account == other.account for other in given[:place]):
            raise breach(f"{at}[{place}]", "names the same budget with the same key again")


def budget(name: str, limit: int, per_ms: int | None, burst: int | None) -> None:
    """A budget."""
    if limits.BUDGET_NAME.match(name) is None:
        raise _no_name("name", name, limits.BUDGET_NAME_CHARS)
    number("limit", limit, 1, limits.BUDGET_UNITS_MAX)
    number("per_ms", per_ms, 1, limits.BUDGET_PER_MS_MAX)
    number("burst", burst, 1, limits.BUDGET_UNITS_MAX)
    if burst is not None and per_ms is None:
        raise breach("burst", "needs a per_ms")


def block(key: str | None, for_ms: int, at: str = "") -> None:
    """How long an account is blocked."""
    text(at + "key", key, limits.BUDGET_KEY_CHARS)
    number(at + "for_ms", for_ms, 1, limits.BUDGET_BLOCK_MS_MAX)


RETRY: dict[str, tuple[float, float]] = {
    "base_ms": (0, limits.DELAY_MS_MAX),
    "max_ms": (0, limits.DELAY_MS_MAX),
    "factor": (1, limits.RETRY_FACTOR_MAX),
    "jitter": (0, 1),
}


def retry(policy: RetryPolicy, at: str) -> None:
    """A retry policy."""
    for field, (low, high) in RETRY.items():
        number(f"{at}.{field}", getattr(policy, field), low, high)


SETTINGS: dict[str, tuple[int, int]] = {
    "capacity_jobs": (0, limits.CAPACITY_JOBS_MAX),
    "capacity_bytes": (0, limits.CAPACITY_BYTES_MAX),
    "lease_ms": (1, limits.LEASE_MS_MAX),
    "max_attempts": (1, limits.ATTEMPTS_MAX),
    "max_crashes": (1, limits.ATTEMPTS_MAX),
    "max_running": (0, limits.CAPACITY_JOBS_MAX),
    "retention_ms": (0, limits.RETENTION_MS_MAX),
    "retention_jobs": (0, limits.CAPACITY_JOBS_MAX),
    "retention_bytes": (0, limits.CAPACITY_BYTES_MAX),
    "expires_in_ms": (1, limits.EXPIRES_MS_MAX),
}


def settings(given: QueueSettings) -> None:
    """A queue's settings."""
    for field, (low, high) in SETTINGS.items():
        value: Any = getattr(given, field)
        if value is not UNSET:
            number(field, value, low, high)
    if given.retry is not UNSET:
        retry(given.retry, "retry")
    if given.budgets is not UNSET:
        charges(given.budgets, "budgets")


def purgeable(states: tuple[str, ...]) -> None:
    """The states of jobs that are to be removed."""
    if not 1 <= len(states) <= len(PURGEABLE) or not set(states) <= set(PURGEABLE):
        raise breach("states", f"must name 1 to {len(PURGEABLE)} of {', '.join(PURGEABLE)}")


def leases(
    queues: tuple[str, ...], limit: int, lease_ms: int | None, worker: str, request: str | None, registered: bool = False
) -> None:
    """The parameters of a dequeue; a registered worker need not name queues."""
    _queues(queues, 0 if registered else 1)
    number("max", limit, 1, limits.LEASE_JOBS)
    if lease_ms is not None:
        number("lease_ms", lease_ms, 1, limits.LEASE_MS_MAX)
    if worker:
        text("worker", worker, limits.WORKER_CHARS)
    if request is not None:
        printable("request_id", request, limits.REQUEST_ID_CHARS)


def types(field: str, names: tuple[str, ...]) -> None:
    """The only types that a caller takes."""
    if not 1 <= len(names) <= limits.TYPES:
        raise breach(field, f"must name 1 to {limits.TYPES} types")
    for index, name in enumerate(names):
        if len(name) > limits.TYPE_CHARS or "\0" in name:
            text(f"{field}[{index}]", name, limits.TYPE_CHARS)
    if len(set(names)) < len(names):
        raise breach(field, "must name each type once")


def worker(queues: tuple[str, ...], name: str, only: tuple[str, ...] | None = None, process: Process = UNTOLD) -> None:
    """A worker that registers."""
    _queues(queues, 1)
    if only is not None:
        types("types", only)
    if name:
        text("name", name, limits.WORKER_CHARS)
    text("host", process.host, limits.HOST_CHARS)
    number("pid", process.pid, 0, limits.ID_MAX)
    text("version", process.version, limits.VERSION_CHARS)


def _queues(names: tuple[str, ...], least: int) -> None:
    if not least <= len(names) <= limits.QUEUES_PER_LEASE:
        raise breach("queues", f"must name {least} to {limits.QUEUES_PER_LEASE} queues")
    for name in names:
        if limits.QUEUE_NAME_ONCE.match(name) is None:
            name_of_queue(f"queues[{names.index(name)}]", name)
