"""Jobs that applications enqueue by SQL, decoded as a request is: an option of the HTTP API is one there, too."""

from functools import partial
from typing import Any

import msgspec

from holdfast.doors.rest import bodies
from holdfast.doors.rest.types import PutOptions
from holdfast.engine import checks
from holdfast.errors import MalformedJson
from holdfast.job.job import Content, NewJob
from holdfast.limits import REQUEST_ID_CHARS
from holdfast.messages.inbox import InboxReading, InboxRow

_JSON: tuple[tuple[type[msgspec.inspect.Type], str], ...] = (
    (msgspec.inspect.BoolType, "boolean"),
    (msgspec.inspect.IntType, "number"),
    (msgspec.inspect.FloatType, "number"),
    (msgspec.inspect.StrType, "string"),
    (msgspec.inspect.DateTimeType, "string"),
    (msgspec.inspect.EnumType, "string"),
    (msgspec.inspect.CollectionType, "array"),
    (msgspec.inspect.DictType, "object"),
    (msgspec.inspect.StructType, "object"),
)


def options() -> dict[str, str]:
    """The options of a job, each with its type in JSON."""
    described: Any = msgspec.inspect.type_info(PutOptions)
    return {field.encode_name: _json_type(field.type) for field in described.fields}


def _json_type(kind: Any) -> str:
    if isinstance(kind, msgspec.inspect.Metadata):
        return _json_type(kind.type)
    if isinstance(kind, msgspec.inspect.UnionType):
        (kind,) = (one for one in kind.types if not isinstance(one, msgspec.inspect.NoneType))
        return _json_type(kind)
    return next(name for one, name in _JSON if isinstance(kind, one))


def new_job(row: InboxRow, payload_bytes: int) -> NewJob:
    """A row as the job that is to be enqueued; raises what refuses it."""
    new = bodies.optioned(row.queue, row.payload, row.content_type, bodies.decode(row.options.encode(), PutOptions))
    if (fault := Content("", row.content_type, row.payload).fault()) is not None:
        raise MalformedJson(f"The payload is not valid JSON: {fault}.")
    if row.content_type is None:
        bodies.check_json("payload", row.payload)
    checks.new_job(new, payload_bytes)
    if row.idempotency_key is not None:
        checks.printable("idempotency_key", row.idempotency_key, REQUEST_ID_CHARS)
    return new


def reading(payload_bytes: int) -> InboxReading:
    """How rows are read, with this bound on a payload."""
    return InboxReading(options(), partial(new_job, payload_bytes=payload_bytes))
