"""A message in the formats in which it may be sent, and in the one in which it is returned.

A message is a text. It is stored as a JSON string, so that other doors show the queue's jobs well. What can't be returned
exactly as it was sent is refused: bytes that are not UTF-8, and formats that would lose a part.
"""

import msgspec

from holdfast.doors.rest import bodies, replies
from holdfast.errors import InvalidRequest, breach
from holdfast.http.multipart import content_type_of, parts_of
from holdfast.http.reply import JSON
from holdfast.http.request import Request
from holdfast.http.urlencoded import pairs_of
from holdfast.job.job import Content

_UTF8 = frozenset(("utf-8", "utf8", "us-ascii", "ascii"))
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"


class MessageIn(msgspec.Struct):
    """The body of a push in JSON. Other members are left alone: no part of the message can be in them."""

    msg: str


async def read(request: Request) -> str:
    """The message of a push: `msg` of JSON or of a form, or the whole body if it has any other type."""
    kind, parameters = content_type_of(request)
    if bodies.is_json(kind):
        return bodies.decode(request.body, MessageIn).msg
    if (charset := parameters.get("charset", "utf-8").lower()) not in _UTF8:
        raise breach("Content-Type", f"must have the charset UTF-8, not {charset[:100]}")
    if kind == _FORM:
        return _only(await _fields(request.body))
    if kind == _MULTIPART:
        return _only(await _parts(request))
    return _text(request.body)


def given(content: Content) -> tuple[bytes, bytes]:
    """The message of a job as the body of an answer, and the body's type.

    A job that another door enqueued is returned as it is: JSON as JSON, a text as a JSON string, bytes as bytes.
    """
    if content.content_type is None:
        return content.payload, JSON
    try:
        return replies.encode(content.payload.decode()), JSON
    except UnicodeDecodeError:
        return content.payload, b"application/octet-stream"


async def _fields(body: bytes) -> list[tuple[str, str]]:
    """The fields of a form. A bare `&` in a message would split it, so an incomplete field is refused."""
    try:
        _text(body)
        return await pairs_of(body, max_fields=100, strict_parsing=bool(body))
    except ValueError:
        raise InvalidRequest(
            "The body came as a form and can't be read as one. JSON needs its Content-Type; in a form, every & and % of the message is "
            "percent-encoded.",
            field="msg",
        ) from None


async def _parts(request: Request) -> list[tuple[str, str]]:
    try:
        return [(name, _text(value) if isinstance(value, bytes) else value) for name, value in await parts_of(request)]
    except (UnicodeDecodeError, LookupError):
        raise InvalidRequest("The form is not UTF-8.", field="msg") from None


def _only(pairs: list[tuple[str, str]]) -> str:
    """The message of a form, which has one field: a second one would be dropped."""
    if [name for name, _ in pairs] != ["msg"]:
        raise breach("msg", "must be there once, and be the only field of the form")
    return pairs[0][1]


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"The message is not UTF-8 (byte {error.start}), so it could not be given back as a JSON string.", field="msg"
        ) from None
