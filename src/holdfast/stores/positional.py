"""The positional formats before SQLite's schema 7 and PostgreSQL's schema 4, converted to what those steps write: JSON by name.

Used by these two steps only. It does not follow later changes of `formats.py` or `job/`: later steps start from what this one
wrote. What can't be read stays as it is, to be set aside when it is read later: each function returns None for it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec


class _Placed(msgspec.Struct, array_like=True, gc=False):
    """A stored value: its fields in order."""


class _Retry(msgspec.Struct, forbid_unknown_fields=True):
    """Was by name already. What was left out had these defaults."""

    base_ms: int = 5_000
    factor: float = 2.0
    max_ms: int = 3_600_000
    jitter: float = 0.1


class _Counters(_Placed):
    delay_s: int = 0
    timeouts: int = 0
    releases: int = 0
    buries: int = 0
    kicks: int = 0


class _Extras(_Placed):
    lease_ms: int | None = None
    retry: _Retry | None = None
    unique_key: str | None = None
    unique_while: str = "unfinished"
    group_key: str | None = None
    group_limit: int = 1
    tags: tuple[str, ...] = ()
    worker: str | None = None
    beanstalk: _Counters | None = None
    follows: int | None = None
    unreadable: str | None = None


class _NewJob(_Placed):
    queue: str
    payload: bytes
    type: str = ""
    content_type: str | None = None
    priority: int | None = None
    delay_ms: int | None = None
    run_at: int | None = None
    max_attempts: int | None = None
    extras: _Extras = msgspec.field(default_factory=_Extras)


class _Spec(_Placed):
    job: _NewJob
    publish: bool = False
    cron: str | None = None
    timezone: str = "UTC"
    interval_ms: int | None = None
    missed: str = "one"
    overlap: bool = True


class _Schedule(_Placed):
    name: str
    spec: _Spec
    paused: bool
    created_at: int
    next_at: int
    try_at: int
    last_at: int | None = None
    last_jobs: tuple[int, ...] = ()
    last_error: str | None = None
    fired: int = 0
    skipped: int = 0
    owed_at: int | None = None
    refusals: int = 0
    aside: bool = False
    unreadable: bool = False


class _Receipt(_Placed):
    id: int
    queue: str
    state: str
    priority: int
    max_attempts: int
    created_at: int
    ready_at: int


_UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)
_json = msgspec.json.Encoder()
_extras_decoder = msgspec.json.Decoder(_Extras)
_receipts_decoder = msgspec.msgpack.Decoder(list[_Receipt])
_schedule_decoder = msgspec.msgpack.Decoder(_Schedule)


def _or_none(convert: Callable[[bytes], bytes]) -> Callable[[Any], bytes | None]:
    def converted(column: Any) -> bytes | None:
        try:
            return convert(bytes(column))
        except _UNREADABLE:
            return None

    return converted


@_or_none
@lru_cache(maxsize=1_000)
def extras(column: bytes) -> bytes:
    """`job.extras`: the text of a JSON array, as UTF-8."""
    return _json.encode(_named_extras(_extras_decoder.decode(column)))


@_or_none
def receipts(column: bytes) -> bytes:
    """`kept_answer.receipts` and `ended.followers`: MessagePack."""
    named: list[dict[str, Any]] = []
    for one in map(_named_receipt, _receipts_decoder.decode(column)):
        last = named[-1] if named else {}
        count = last.get("count", 0)
        if last and one == {**last, "id": last["id"] + count, "count": 1} and count < 1_000:
            last["count"] = count + 1
        else:
            named.append(one)
    for one in named:
        if one["count"] == 1:
            del one["count"]
    return _json.encode(named)


@_or_none
def schedule(column: bytes) -> bytes:
    """`schedule.state`: MessagePack. The name, `paused` and `try_at` have columns of their own, and are left out."""
    one = _schedule_decoder.decode(column)
    spec, job = one.spec, one.spec.job
    new = _without(
        _NewJob, queue=job.queue, payload=job.payload, type=job.type, content_type=job.content_type, priority=job.priority
    )
    new |= _without(_NewJob, delay_ms=job.delay_ms, run_at=job.run_at, max_attempts=job.max_attempts)
    if given := _named_extras(job.extras):
        new["extras"] = given
    named = {"job": new, "created_at": one.created_at, "next_at": one.next_at}
    named |= _without(_Spec, publish=spec.publish, cron=spec.cron, timezone=spec.timezone, interval_ms=spec.interval_ms)
    named |= _without(_Spec, missed=spec.missed, overlap=spec.overlap)
    named |= _without(_Schedule, last_at=one.last_at, last_jobs=one.last_jobs, last_error=one.last_error, fired=one.fired)
    named |= _without(_Schedule, skipped=one.skipped, owed_at=one.owed_at, refusals=one.refusals, aside=one.aside)
    return _json.encode(named)


def _named_extras(one: _Extras) -> dict[str, Any]:
    beanstalk = one.beanstalk
    named = _without(_Extras, lease_ms=one.lease_ms, retry=one.retry, unique_key=one.unique_key, unique_while=one.unique_while)
    named |= _without(_Extras, group_key=one.group_key, group_limit=one.group_limit, tags=one.tags, worker=one.worker)
    if beanstalk is not None:
        counted = {name: getattr(beanstalk, name) for name in _Counters.__struct_fields__}
        named["beanstalk"] = _without(_Counters, **counted)
    return named | _without(_Extras, follows=one.follows)


def _named_receipt(one: _Receipt) -> dict[str, Any]:
    named: dict[str, Any] = {
        "id": one.id,
        "queue": one.queue,
        "priority": one.priority,
        "max_attempts": one.max_attempts,
        "created_at": one.created_at,
    }
    if one.state != "ready":
        named["state"] = one.state
    if one.ready_at != one.created_at:
        named["ready_at"] = one.ready_at
    return named | {"count": 1}  # of jobs alike with consecutive ids


def _without(kind: type[msgspec.Struct], **given: Any) -> dict[str, Any]:
    """The fields that differ from their defaults."""
    return {name: value for name, value in given.items() if name not in _DEFAULTS[kind] or value != _DEFAULTS[kind][name]}


_DEFAULTS: dict[type[msgspec.Struct], dict[str, Any]] = {
    kind: {field.name: field.default for field in msgspec.structs.fields(kind) if field.default is not msgspec.NODEFAULT}
    for kind in (_Extras, _NewJob, _Spec, _Schedule, _Counters)
}
