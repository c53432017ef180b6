"""From bytes to engine values: JSON with its errors named by field, payloads checked for UTF-8 and depth, options of raw bodies."""

import asyncio
import hashlib
import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import UNSET, Raw, UnsetType

from holdfast import error_text
from holdfast.doors.rest.budget_types import BlockIn, ChargeIn
from holdfast.doors.rest.types import (
    BatchIn,
    ClosingIn,
    FailIn,
    JobIn,
    JobOptions,
    PublishIn,
    PutOptions,
    QueuedJobIn,
    ScheduleIn,
)
from holdfast.engine import checks
from holdfast.errors import HoldfastError, InvalidRequest, MalformedJson, UnsupportedMediaType, breach
from holdfast.http import duplicate_keys, entry_counts
from holdfast.http.query import whole
from holdfast.job.budget import Block, Charge
from holdfast.job.closing import Closing
from holdfast.job.job import NO_EXTRAS, Extras, IdempotencyKey, LeaseRef, NewJob, OnConflict, Raised, UniqueWhile
from holdfast.job.job_batch import ClosingJob
from holdfast.job.meta import with_traceparent
from holdfast.job.retry import RetryPolicy
from holdfast.limits import COUNTED_BODY_BYTES, JSON_DEPTH, ONE_TURN_BODY_BYTES, REASON_CHARS, REQUEST_ID_CHARS
from holdfast.messages.commands import FailLease
from holdfast.trace_context import traceparent_of

NO_QUEUE = "-"  # of an event: its copies get theirs from the interests
T = TypeVar("T")

_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_AT = re.compile(r" - at `\$\.?([^`]*)`$")
_NAMED = re.compile(r"Object (?:contains unknown|missing required) field `(.*?)`")
_CUT = r"it ends too early, or half of a surrogate pair (\ud800 to \udfff) stands alone"
_NEITHER = bytes(set(range(256)) - set(b'[]{}"'))
_SLICE = 256 << 10
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_WIDE = 16
_FLAT_BYTES = 2 * JSON_DEPTH + 1  # so few can't be nested deeper: each level opens and closes
PLAINLY_JSON = frozenset((b"", b"application/json"))  # as headers have them; of others `is_json` has to decide
_REFUSE = OnConflict.REFUSE
_UNFINISHED = UniqueWhile.UNFINISHED  # on Python 3.11 to look a member up costs as much as a call


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(body: bytes, kind: type[T]) -> T:
    """A JSON body as a value; errors name the field."""
    if len(body) > COUNTED_BODY_BYTES:
        entry_counts.check(body, kind)
    try:
        if not body.isascii():
            body.decode()
        value: T = _decoder(kind).decode(body or b"{}")  # type: ignore[arg-type]  # a type is hashable
    except _UNREADABLE as error:
        raise _refusal(error, kind) from None
    duplicate_keys.check(body, value, kind)
    if len(body) > ONE_TURN_BODY_BYTES:
        for _ in _levels_of_large(value):
            pass
    return value


async def decode_in_turns(body: bytes, kind: type[T]) -> T:
    """The same for a body so large that others get their turns between the steps, and before whatever follows."""
    entry_counts.check(body, kind)
    await asyncio.sleep(0)
    try:
        if not body.isascii():
            body.decode()
        value: T = _decoder(kind).decode(body)  # type: ignore[arg-type]  # a type is hashable
    except _UNREADABLE as error:
        raise _refusal(error, kind) from None
    await asyncio.sleep(0)
    duplicate_keys.check(body, value, kind)
    await asyncio.sleep(0)
    for _ in _levels_of_large(value):
        await asyncio.sleep(0)
    return value


_UNREADABLE = (UnicodeDecodeError, msgspec.ValidationError, msgspec.DecodeError, RecursionError)


def _refusal(error: Exception, kind: Any) -> HoldfastError:
    """What is wrong with a body that can't be read."""
    if isinstance(error, UnicodeDecodeError):
        return MalformedJson(f"The body is not UTF-8 (byte {error.start}).")
    if isinstance(error, msgspec.ValidationError):
        return invalid(error, kind)
    text = _CUT if str(error) == "Input data was truncated" else str(error)
    return MalformedJson(f"The body is not valid JSON: {text}.")


def read(content_type: bytes | None, body: bytes, kind: Any) -> Any:
    """A body as a value, if only JSON is accepted; a missing type counts as JSON, and so does a missing body."""
    _check_type(content_type, body)
    return decode(body, kind)


async def read_in_turns(content_type: bytes | None, body: bytes, kind: Any) -> Any:
    """The same of a body that may be very large."""
    _check_type(content_type, body)
    return decode(body, kind) if len(body) <= ONE_TURN_BODY_BYTES else await decode_in_turns(body, kind)


def _check_type(content_type: bytes | None, body: bytes) -> None:
    if content_type is not None and content_type != b"application/json" and body:
        named = content_type.decode("latin-1")
        if not is_json(named):
            raise UnsupportedMediaType(f"This route reads application/json, not {named[:100]}.")


def invalid(error: msgspec.ValidationError, kind: Any = None) -> InvalidRequest:
    """Msgspec's message in our words, with the field taken out of it. It leaves out that null may stand for "not given", and
    adds the closest name for an unknown one.
    """
    text = str(error).replace(" | null`", "`")
    found = _AT.search(text)
    place = found.group(1) if found else ""
    field = place or "body"
    detail = f"{_AT.sub('', text)} at {field}."
    if named := _NAMED.match(text):
        name = named.group(1)
        field = ".".join(filter(None, (place, name)))
        if kind is not None and "unknown" in named.group() and (near := duplicate_keys.nearest(kind, place, name)):
            detail += f" Did you mean `{near}`?"
        if not place and (hint := getattr(kind, "hints", {}).get(name)):
            detail += f" {hint}"
    return InvalidRequest(detail, field=field)


def check_json(field: str, value: bytes) -> None:
    """A JSON document that every reader can parse: not nested deeper than the bound. Its syntax has been checked before."""
    if len(value) <= _FLAT_BYTES or (b"[" not in value and b"{" not in value):  # to look is twenty times faster than to count
        return
    if value.count(b"[") + value.count(b"{") > JSON_DEPTH:
        for _ in _levels(field, value):
            pass


def _levels(field: str, value: bytes) -> Iterator[None]:
    """Count the levels; a step for each pass over the document."""
    if b"\\" in value:
        value = value.replace(b"\\\\", b"")
        yield
        value = value.replace(b'\\"', b"")  # what is left of both no longer ends a string
        yield
    brackets = value.translate(_ONE_KIND, _NEITHER)
    if b'"' in brackets:
        brackets = brackets.replace(b'""', b"")
        yield
        brackets = _outside_strings(brackets)
    yield
    depth = 0
    while brackets.count(b"[]") * _WIDE >= len(brackets) > 0:  # the innermost level is much of it: take it away as a whole
        brackets = brackets.replace(b"[]", b"")
        depth += 1
        yield
    if depth > JSON_DEPTH:
        raise breach(field, f"must not be nested deeper than {JSON_DEPTH} levels")
    for turn in brackets.replace(b"][", b"] [").split(b" "):  # some that open, then some that close
        opening = turn.count(b"[")
        depth += opening
        if depth > JSON_DEPTH:
            raise breach(field, f"must not be nested deeper than {JSON_DEPTH} levels")
        depth -= len(turn) - opening


def _levels_of_large(value: Any, at: str = "") -> Iterator[None]:
    """Count the levels of the very large documents within a body that was decoded."""
    if isinstance(value, Raw):
        if memoryview(value).nbytes > ONE_TURN_BODY_BYTES:
            document = bytes(value)
            yield
            yield from _levels(at or "body", document)
    elif isinstance(value, msgspec.Struct):
        for name, shown in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
            yield from _levels_of_large(getattr(value, name), f"{at}.{shown}" if at else shown)
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from _levels_of_large(one, f"{at}[{place}]")
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _levels_of_large(one, f"{at}.{name}" if at else name)


def _outside_strings(text: bytes) -> bytes:
    """Brackets and quotes without the content of strings, in slices: a million short strings would be a million parts."""
    parts: list[bytes] = []
    inside = 0
    for begin in range(0, len(text), _SLICE):
        pieces = text[begin : begin + _SLICE].split(b'"')
        parts.append(b"".join(pieces[inside::2]))
        inside = (inside + len(pieces) - 1) % 2
    return b"".join(parts)


def raw(field: str, value: Raw | UnsetType) -> bytes | None:
    """A JSON field as bytes; None if it is missing."""
    if value is UNSET:
        return None
    data = bytes(value)
    if _FLAT_BYTES < len(data) <= ONE_TURN_BODY_BYTES:  # a larger one was scanned when the body was decoded
        check_json(field, data)
    return data


def millis(moment: datetime | None) -> int | None:
    """A time as milliseconds since 1970."""
    return None if moment is None else round(moment.timestamp() * 1000)


def moment(field: str, given: str) -> int:
    """A moment in an address, in milliseconds."""
    try:
        return max(0, millis(msgspec.convert(given, _Moment)) or 0)  # there is nothing from before 1970
    except (msgspec.ValidationError, OverflowError, ValueError):
        raise breach(field, "must be a moment such as 2026-01-31T12:00:00Z") from None


def new_job(queue: str, given: JobIn, at: str = "") -> NewJob:
    """A job for the engine out of a JSON body."""
    if given.payload is UNSET:
        return _conflicting(_new(queue, b"null", None, given), given)
    payload = bytes(given.payload)
    if _FLAT_BYTES < len(payload) <= ONE_TURN_BODY_BYTES:  # a larger one was checked when the body was decoded
        check_json(at + "payload", payload)
    return _conflicting(_new(queue, payload, None, given), given)


def new_jobs(given: list[QueuedJobIn], at: str) -> list[NewJob]:
    """Jobs with their queues; the place of one is worked out only for a refusal."""
    if not given:
        return []
    try:
        return [new_job(job.queue, job) for job in given]
    except HoldfastError:
        return [new_job(job.queue, job, f"{at}[{index}].") for index, job in enumerate(given)]


def trace(jobs: list[NewJob], headers: dict[bytes, bytes]) -> None:
    """Have these jobs keep the trace of the request that they came with."""
    traceparent = traceparent_of(headers)
    if traceparent is not None:
        for job in jobs:
            job.extras = msgspec.structs.replace(job.extras, meta=with_traceparent(job.extras.meta, traceparent))


def event_job(given: PublishIn) -> NewJob:
    """An event as the job whose copies are enqueued."""
    event = _new(NO_QUEUE, raw("data", given.data) or b"null", None, given)
    if given.batch is not None:
        event.extras = msgspec.structs.replace(event.extras, batch=given.batch)
    return event


def scheduled_job(given: ScheduleIn) -> NewJob:
    """What a schedule enqueues at each fire."""
    if given.publish == (given.queue is not None):
        raise breach("queue", "must be given, or publish must be true")
    if given.delay_ms is not None or given.run_at is not None:
        raise breach("delay_ms" if given.delay_ms is not None else "run_at", "has no place in a schedule")
    if given.expires_at is not None:
        raise breach("expires_at", "has no place in a schedule: give expires_in_ms, which counts from each fire")
    return _new(given.queue or NO_QUEUE, raw("payload", given.payload) or b"null", None, given)


def closing_jobs(given: BatchIn) -> list[ClosingJob]:
    """The closing jobs of a batch."""
    found = []
    for on in Closing:
        job: ClosingIn | None = getattr(given, on.value)
        if job is not None:
            new = _new(job.queue, raw(f"{on.value}.payload", job.payload) or b"null", None, job)
            if job.batch is not None:
                new.extras = msgspec.structs.replace(new.extras, batch=job.batch)
            found.append(ClosingJob(on, new))
    return found


def raw_job(queue: str, body: bytes, content_type: str, query: dict[str, str]) -> NewJob:
    """A job from a body that is not JSON, with its options in the query."""
    for name in query:
        if name not in PutOptions.__struct_fields__:
            near = duplicate_keys.nearest(PutOptions, "", name)
            raise breach(name, "is not an option of a job" + (f"; did you mean {near}?" if near else ""))
    options = strict_numbers(query, PutOptions)
    if "tags" in options:
        options["tags"] = _tags(options["tags"])
    for name, kind, what in (
        ("retry", RetryPolicy, "a retry policy in JSON"),
        ("meta", dict[str, str], "an object of texts in JSON"),
        ("budgets", list[ChargeIn], "an array of budgets in JSON"),
    ):
        if name in options:
            try:
                options[name] = msgspec.json.decode(given_json := options[name].encode(), type=kind)
                duplicate_keys.once(given_json, duplicate_keys.KEYED, name)
            except (msgspec.DecodeError, RecursionError) as error:
                raise breach(name, f"must be {what} ({error})") from None
    try:
        given = msgspec.convert(options, PutOptions)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    return _conflicting(_new(queue, body, content_type or "application/octet-stream", given), given)


def optioned(queue: str, payload: bytes, content_type: str | None, given: PutOptions) -> NewJob:
    """A job with its payload as it is stored, and its options."""
    return _conflicting(_new(queue, payload, content_type, given), given)


def _tags(text: str) -> list[str]:
    """Tags of a query: separated by commas, or a JSON array, in which a tag may contain commas."""
    if not text.startswith("["):
        return [tag for tag in text.split(",") if tag]
    try:
        return msgspec.json.decode(text, type=list[str])
    except (msgspec.DecodeError, RecursionError) as error:
        raise breach("tags", f"must be comma-separated, or a JSON array of strings ({error})") from None


def _conflicting(new: NewJob, given: PutOptions) -> NewJob:
    """The same with what is to be done if its unique key is taken, and the batch that it joins."""
    if given.on_conflict is not _REFUSE or given.debounce_max_ms is not None:
        new.on_conflict, new.debounce_max_ms = given.on_conflict, given.debounce_max_ms
    if given.batch is not None:
        new.extras = msgspec.structs.replace(new.extras, batch=given.batch)
    return new


def _new(queue: str, payload: bytes, content_type: str | None, given: JobOptions) -> NewJob:
    extras = NO_EXTRAS
    if (
        given.lease_ms is not None
        or given.unique_key is not None
        or given.group_key is not None
        or given.tags
        or given.meta
        or given.expires_at is not None
        or given.budgets
        or given.fair_key is not None
        or given.fair_cost != 1
        or given.retry is not None
        or given.group_limit != 1
        or given.unique_while is not _UNFINISHED
    ):
        extras = Extras(
            given.lease_ms,
            given.retry,
            given.unique_key,
            given.unique_while,
            given.group_key,
            given.group_limit,
            given.tags,
            meta=tuple(given.meta.items()) if given.meta else (),
            expires_at=None if given.expires_at is None else millis(given.expires_at),
            budgets=tuple([Charge(one.name, one.key, one.cost) for one in given.budgets]) if given.budgets else (),
            fair_key=given.fair_key,
            fair_cost=given.fair_cost,
        )
    return NewJob(
        queue,
        payload,
        given.type,
        content_type,
        given.priority,
        given.delay_ms,
        None if given.run_at is None else millis(given.run_at),
        given.max_attempts,
        extras,
        expires_in_ms=given.expires_in_ms,
    )


def is_json(content_type: str) -> bool:
    """Whether a body of this type is read as JSON: so is one without a type."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("", "application/json") or kind.endswith("+json")


def take_int(query: dict[str, str], name: str, default: int) -> int:
    """Take a whole number out of the query."""
    value = query.pop(name, None)
    if value is None:
        return default
    return whole(name, value)


def strict_numbers(values: dict[str, str], kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Texts of parameters with those as numbers that are numbers in this type: the converter itself would also take 1e1 and 1.0."""
    return {name: whole(name, text) if int in _numeric(kind, name) else text for name, text in values.items()}


@cache
def _numeric(kind: type[msgspec.Struct], name: str) -> tuple[Any, ...]:
    """The possible types of a field, except `None`."""
    hint = get_type_hints(kind)[name]
    return get_args(hint) or (hint,)


def idempotency(scope: str, key: bytes | None, *parts: bytes) -> IdempotencyKey | None:
    """The caller's key with a hash of everything that identifies the request."""
    if key is None:
        return None
    text = key.decode("latin-1")
    checks.printable("Idempotency-Key", text, REQUEST_ID_CHARS)
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return IdempotencyKey(scope, text, digest.digest())


def block(given: BlockIn | None) -> Block | None:
    """What a worker says of an account."""
    return None if given is None else Block(given.budget, given.for_ms, given.key)


def reason(text: str) -> str:
    """A failure's reason, cut to its bound and free of NUL: a worker must always be able to say that it failed."""
    text = text.replace("\0", "\ufffd")
    return text if len(text) <= REASON_CHARS else text[: REASON_CHARS - 8] + " … [cut]"


def failing(ref: LeaseRef, given: FailIn) -> FailLease:
    """A failure as a command. Without a reason it is what the error says."""
    raised, text = None, given.reason
    if (error := given.error) is not None:
        parts = error_text.bounded(*(part.replace("\0", "\ufffd") for part in (error.kind, error.message, error.traceback)))
        raised = Raised(*parts, error_text.place_of(error.traceback.replace("\0", "\ufffd")))
        text = text or error_text.sentence(error.kind, error.message)
    return FailLease(ref, reason(text), given.retry, given.delay_ms, given.crashed, raised, block(given.block))
