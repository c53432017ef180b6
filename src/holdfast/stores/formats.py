"""The formats on disk beyond plain columns, for every SQL store: JSON, by name, written and read here and nowhere else.

An operation's is in `operation_formats.py`. The types of `job/` define a value in memory, and those of this file define it on disk: a field of one may move or be renamed
while the other stays. Defaults are left out, so that ordinary jobs stay small. An unknown name is an error, as is a value of
another type: the caller decides what to do then (`rows.py`).

All formats share the version of the schema: `user_version` of a file, `schema_version` of a database. So a change of a format
is a step of both schemas; `tests/unit/stores/test_formats.py` holds the bytes. The formats before SQLite's step 7 and
PostgreSQL's step 4 are read by those steps only (`positional.py`).

    column                        what it holds                            read by SQL
    job_batch.queues              names                                    -
    job_batch_closing.job         a closing job                            -
    job.extras                    Extras; NULL for most jobs               tags, meta, group, unique key, batch: listings, checks
    queue.settings                what was set of QueueSettings            capacity and attempts: `holdfast.enqueue`
    queue.ready_floors            priority → number (PostgreSQL)           written by `holdfast.enqueue`
    interest.match                "*" or an object of patterns             -
    worker.queues                 names, in the worker's order             -
    schedule.state                a schedule but for its other columns     -
    kept_answer.receipts          list of receipts                         written by `holdfast.enqueue`
    ended.followers               list of receipts                         -
    operation.value               an operation but for its other columns   -
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET

from holdfast.errors import InvalidRequest
from holdfast.job.budget import Charge
from holdfast.job.by_type import Typed
from holdfast.job.closing import Closes, Closing
from holdfast.job.fair import Sharing
from holdfast.job.job import NO_EXTRAS, READY, BeanstalkCounters, Extras, NewJob, Receipt, State, UniqueWhile
from holdfast.job.queue import QueueSettings
from holdfast.job.retry import RetryPolicy
from holdfast.job.schedule import Missed, Schedule, ScheduleSpec
from holdfast.limits import (
    BUDGET_UNITS_MAX,
    DELAY_MS_MAX,
    FAIR_COST_MAX,
    GROUP_LIMIT_MAX,
    ID_MAX,
    LEASE_MS_MAX,
    RETRY_FACTOR_MAX,
)
from holdfast.routing import interests

UNREADABLE = (msgspec.DecodeError, ValueError, KeyError, TypeError, RecursionError)
"""What reading raises where it is not as this program writes it; a `ValueError` is text that is no UTF-8, too."""

ReadyFloors = dict[int, int]
T = TypeVar("T")
_ALIKE = 4_000  # different values of a column that are remembered
_SHORT = 1_000  # characters of one that is cached, so that all together have a bound in bytes: an interest may have 130,000
_UNIQUE = ('"traceparent"', '"expires_at"')  # extras that hardly any other job has, so that they are not cached
_FEW_TAGS = 8  # the same for extras that are written: they are short but for their tags
_TOGETHER = 1_000  # receipts that one entry describes
_LEASE_MS_MAX = 4_294_967_295_000  # of a beanstalkd client, whose time to run is a number of seconds of 32 bits
Number = Annotated[int, msgspec.Meta(ge=0, le=ID_MAX + 1)]  # one more than the last job's is where an empty line begins


class Kept(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """By name, without defaults."""


class _Counters(Kept):
    delay_s: Number = 0
    timeouts: Number = 0
    releases: Number = 0
    buries: Number = 0
    kicks: Number = 0


class _Closes(Kept):
    batch: Number
    on: Closing
    name: str = ""
    pending: Number = 0
    concluded: Number = 0
    dead: Number = 0
    cancelled: Number = 0


class _Charge(Kept):
    name: str
    key: str = ""
    cost: Annotated[int, msgspec.Meta(ge=1, le=2 * BUDGET_UNITS_MAX)] = 1  # that of a job and its queue's


class _Extras(Kept):
    lease_ms: Annotated[int, msgspec.Meta(ge=1, le=_LEASE_MS_MAX)] | None = None
    retry: RetryPolicy | None = None
    unique_key: str | None = None
    unique_while: UniqueWhile = UniqueWhile.UNFINISHED
    group_key: str | None = None
    group_limit: Annotated[int, msgspec.Meta(ge=1, le=GROUP_LIMIT_MAX)] = 1
    tags: tuple[str, ...] = ()
    worker: str | None = None
    beanstalk: _Counters | None = None
    follows: Number | None = None
    meta: dict[str, str] = {}
    expires_at: Number | None = None
    batch: Number | None = None
    closes: _Closes | None = None
    budgets: tuple[_Charge, ...] = ()
    queue_budgets: tuple[_Charge, ...] = ()
    fair_key: str | None = None
    fair_cost: Annotated[int, msgspec.Meta(ge=1, le=FAIR_COST_MAX)] = 1


class _Receipt(Kept):
    """`count` receipts of jobs that were enqueued together: alike but for their ids, which are consecutive from `id` on.
    `ready_at` is left out if the jobs were ready when they were enqueued.
    """

    id: Number
    queue: str
    priority: Number
    max_attempts: Number
    created_at: Number
    state: State = READY
    ready_at: Number | None = None
    count: Annotated[int, msgspec.Meta(ge=1, le=_TOGETHER)] = 1


class _NewJob(Kept):
    """`payload` is in base64, as a schedule's JSON is one text."""

    queue: str
    payload: bytes
    type: str = ""
    content_type: str | None = None
    priority: int | None = None
    delay_ms: int | None = None
    run_at: int | None = None
    max_attempts: int | None = None
    extras: _Extras | None = None
    expires_in_ms: Number | None = None


class _Schedule(Kept):
    job: _NewJob
    created_at: int
    next_at: int
    publish: bool = False
    cron: str | None = None
    timezone: str = "UTC"
    interval_ms: int | None = None
    missed: Missed = Missed.ONE
    overlap: bool = True
    last_at: int | None = None
    last_jobs: tuple[Number, ...] = ()
    last_error: str | None = None
    fired: int = 0
    skipped: int = 0
    owed_at: int | None = None
    refusals: int = 0
    aside: bool = False


_json = msgspec.json.Encoder()
_extras_decoder = msgspec.json.Decoder(_Extras)
_settings_decoder = msgspec.json.Decoder(QueueSettings)
_floors_decoder: msgspec.json.Decoder[ReadyFloors] = msgspec.json.Decoder(dict[Number, Number])
_match_decoder = msgspec.json.Decoder(str | dict[str, str])
_queues_decoder = msgspec.json.Decoder(list[str])
_typed_decoder = msgspec.json.Decoder(Typed)
_sharing_decoder = msgspec.json.Decoder(Sharing)
_schedule_decoder = msgspec.json.Decoder(_Schedule)
_new_job_decoder = msgspec.json.Decoder(_NewJob)
_receipts_decoder = msgspec.json.Decoder(list[_Receipt])


# Jobs


def _remembered(read: Callable[[Any], T]) -> Callable[[Any], T]:
    """Read a column, and remember what was read of texts that are short."""
    known = lru_cache(maxsize=_ALIKE)(read)
    one, other = _UNIQUE
    return lambda text: known(text) if len(text) <= _SHORT and one not in text and other not in text else read(text)


@_remembered
def extras_of(text: str) -> Extras:
    """Extras from their column. Most jobs with extras have the same ones, such as a lease time, so they are cached."""
    return _extras_from(_extras_decoder.decode(text))


def extras_text(extras: Extras) -> str | None:
    """The column for extras: nothing for most jobs."""
    is_known = len(extras.tags) <= _FEW_TAGS and not extras.meta and extras.expires_at is None
    return _known_extras_text(extras) if is_known else _written_extras(extras)


def _written_extras(extras: Extras) -> str | None:
    return None if extras is NO_EXTRAS or extras == NO_EXTRAS else _json.encode(_kept_extras(extras)).decode()


_known_extras_text = lru_cache(maxsize=_ALIKE)(_written_extras)


def _extras_from(kept: _Extras) -> Extras:
    counters = kept.beanstalk
    if kept.retry is not None:
        _check_retry(kept.retry)
    return Extras(
        kept.lease_ms,
        kept.retry,
        kept.unique_key,
        kept.unique_while,
        kept.group_key,
        kept.group_limit,
        kept.tags,
        kept.worker,
        None
        if counters is None
        else BeanstalkCounters(counters.delay_s, counters.timeouts, counters.releases, counters.buries, counters.kicks),
        kept.follows,
        None,
        tuple(kept.meta.items()),
        kept.expires_at,
        kept.batch,
        None if kept.closes is None else Closes(*msgspec.structs.astuple(kept.closes)),
        _charges(kept.budgets, Charge),
        _charges(kept.queue_budgets, Charge),
        kept.fair_key,
        kept.fair_cost,
    )


def _charges(some: Sequence[Charge | _Charge], kind: Callable[[str, str, int], T]) -> tuple[T, ...]:
    return tuple([kind(one.name, one.key, one.cost) for one in some]) if some else ()


def _check_retry(policy: RetryPolicy) -> None:
    """Raise if it has a number from which no time could be computed."""
    sound = 0 <= policy.base_ms <= DELAY_MS_MAX and 0 <= policy.max_ms <= DELAY_MS_MAX
    if not (sound and 1 <= policy.factor <= RETRY_FACTOR_MAX and 0 <= policy.jitter <= 1):
        raise ValueError("retry is beyond its bounds")


def _kept_extras(extras: Extras) -> _Extras:
    counters = extras.beanstalk
    return _Extras(
        extras.lease_ms,
        extras.retry,
        extras.unique_key,
        extras.unique_while,
        extras.group_key,
        extras.group_limit,
        extras.tags,
        extras.worker,
        None
        if counters is None
        else _Counters(counters.delay_s, counters.timeouts, counters.releases, counters.buries, counters.kicks),
        extras.follows,
        dict(extras.meta),
        extras.expires_at,
        extras.batch,
        None if extras.closes is None else _Closes(*msgspec.structs.astuple(extras.closes)),
        _charges(extras.budgets, _Charge),
        _charges(extras.queue_budgets, _Charge),
        extras.fair_key,
        extras.fair_cost,
    )


def receipts_of(column: bytes, most: int | None = None) -> list[Receipt]:
    """Receipts out of their column. `most`: of somebody who may name more than were ever given together."""
    receipts = []
    entries = _receipts_decoder.decode(column)
    if most is not None and sum(kept.count for kept in entries) > most:
        raise ValueError(f"there are more than {most} receipts")
    for kept in entries:
        ready_at = kept.created_at if kept.ready_at is None else kept.ready_at
        same = (kept.queue, kept.state, kept.priority, kept.max_attempts, kept.created_at, ready_at)
        receipts += [Receipt(number, *same) for number in range(kept.id, kept.id + kept.count)]
    return receipts


def receipts_json(receipts: list[Receipt]) -> bytes:
    """The column for receipts."""
    kept: list[_Receipt] = []
    first: Receipt | None = None
    following = 0  # the number of receipts with consecutive ids from `first` on
    for one in receipts:
        if (
            first is not None
            and one.id == following
            and one.created_at == first.created_at
            and one.ready_at == first.ready_at
            and one.priority == first.priority
            and one.state is first.state
            and one.queue == first.queue
            and one.max_attempts == first.max_attempts
            and following - first.id < _TOGETHER
        ):
            following += 1
            continue
        if first is not None:
            kept.append(_kept_receipt(first, following))
        first, following = one, one.id + 1
    if first is not None:
        kept.append(_kept_receipt(first, following))
    return _json.encode(kept)


def _kept_receipt(first: Receipt, following: int) -> _Receipt:
    ready_at = None if first.ready_at == first.created_at else first.ready_at
    return _Receipt(
        first.id, first.queue, first.priority, first.max_attempts, first.created_at, first.state, ready_at, following - first.id
    )


# Queues


@_remembered
def settings_of(text: str) -> QueueSettings:
    """Settings out of their column. Most queues have none, and many have the same."""
    settings = _settings_decoder.decode(text)
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if isinstance(value, int) and not 0 <= value <= ID_MAX:
            raise ValueError(f"{name} is beyond its bounds")
    if settings.lease_ms is not UNSET and settings.lease_ms > LEASE_MS_MAX:
        raise ValueError("lease_ms is beyond its bounds")
    if settings.retry is not UNSET:
        _check_retry(settings.retry)
    return settings


@lru_cache(maxsize=_ALIKE)
def settings_text(settings: QueueSettings) -> str:
    """The column for settings."""
    return _json.encode(settings).decode()


def ready_floors_of(text: str) -> ReadyFloors:
    """Out of their column: by priority, a number that no ready job of the queue is below."""
    return _floors_decoder.decode(text)


def ready_floors_text(floors: ReadyFloors | None) -> str | None:
    """The column for them; None if they are not known."""
    return None if floors is None else _json.encode(floors).decode()


@_remembered
def match_of(text: Any) -> str | dict[str, str]:
    """A queue's interest; one with an invalid pattern is unreadable."""
    match: str | dict[str, str] = _match_decoder.decode(text)
    try:
        interests.check_kept(match)
    except InvalidRequest as error:
        raise ValueError(error.detail) from None
    return match


def match_text(match: str | dict[str, str]) -> str:
    """The column for an interest."""
    return _json.encode(match).decode()


# Workers and schedules


def queues_of(text: Any) -> list[str]:
    """A worker's queues."""
    return _queues_decoder.decode(text)


def queues_text(queues: tuple[str, ...]) -> str:
    """The column for them."""
    return _json.encode(queues).decode()


def types_of(text: Any) -> tuple[str, ...]:
    """Names of types."""
    return tuple(_queues_decoder.decode(text))


def types_text(types: tuple[str, ...] | None) -> str | None:
    """The column for them."""
    return None if types is None else _json.encode(types).decode()


def typed_of(text: Any) -> Typed:
    """How far a queue keeps its jobs by type."""
    return _typed_decoder.decode(text)


def sharing_of(text: Any) -> Sharing:
    """How far the jobs of a queue are sorted by their fair keys."""
    return _sharing_decoder.decode(text)


def sharing_text(sharing: Sharing | None) -> str | None:
    """The column for it."""
    return None if sharing is None else _json.encode(sharing).decode()


def typed_text(typed: Typed | None) -> str | None:
    """The column for it."""
    return None if typed is None else _json.encode(typed).decode()


def schedule_of(name: str, state: Any, try_at: int, paused: bool) -> Schedule:
    """A schedule out of its columns."""
    kept = _schedule_decoder.decode(state)
    spec = ScheduleSpec(
        _new_job_from(kept.job), kept.publish, kept.cron, kept.timezone, kept.interval_ms, kept.missed, kept.overlap
    )
    return Schedule(
        name, spec, bool(paused), kept.created_at, kept.next_at, try_at, kept.last_at, kept.last_jobs, kept.last_error, kept.fired,
        kept.skipped, kept.owed_at, kept.refusals, kept.aside,
    )  # fmt: skip


def schedule_json(schedule: Schedule) -> bytes:
    """The column for the fields of a schedule without a column of their own: not its name, `try_at` and `paused`."""
    spec = schedule.spec
    return _json.encode(
        _Schedule(
            _kept_new_job(spec.job), schedule.created_at, schedule.next_at, spec.publish, spec.cron, spec.timezone, spec.interval_ms, spec.missed,
            spec.overlap, schedule.last_at, schedule.last_jobs, schedule.last_error, schedule.fired, schedule.skipped, schedule.owed_at,
            schedule.refusals, schedule.aside,
        )
    )  # fmt: skip


# Batches


def closing_job_text(job: NewJob) -> str:
    """The column for a closing job of a batch."""
    return _json.encode(_kept_new_job(job)).decode()


def closing_job_of(text: Any) -> NewJob:
    """A closing job out of its column."""
    return _new_job_from(_new_job_decoder.decode(text))


def _new_job_from(job: _NewJob) -> NewJob:
    return NewJob(
        job.queue, job.payload, job.type, job.content_type, job.priority, job.delay_ms, job.run_at, job.max_attempts,
        NO_EXTRAS if job.extras is None else _extras_from(job.extras), expires_in_ms=job.expires_in_ms,
    )  # fmt: skip


def _kept_new_job(job: NewJob) -> _NewJob:
    return _NewJob(
        job.queue, job.payload, job.type, job.content_type, job.priority, job.delay_ms, job.run_at, job.max_attempts,
        None if job.extras == NO_EXTRAS else _kept_extras(job.extras), job.expires_in_ms,
    )  # fmt: skip
