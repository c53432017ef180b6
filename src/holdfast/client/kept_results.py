"""Messages of other frameworks as jobs, and their results, which are kept with the jobs: found by the id that the framework gave the message.

The id is the idempotency key of the message's first job. A retry of the framework's is a message of its own with the same id: its number is added.
"""

import base64
from typing import Any

import msgspec
from msgspec import Raw

from holdfast.client.raised import words
from holdfast.client.types import Job
from holdfast.limits import REQUEST_ID_CHARS

_JSON, _OTHER = "value", "base64"


def payload_of(data: bytes) -> tuple[Any, str | None]:
    """A message as payload and content type: as JSON where it is that, to be read by people and by programs in other languages."""
    return (Raw(data), None) if _is_json(data) else (data, "application/octet-stream")


def data_of(job: Job) -> bytes:
    """The message again."""
    return job.body if job.body is not None else bytes(job.payload_json)


def key_of(message_id: str, tries: int) -> str | None:
    """The key under which a message is found; None for an id that can't be one."""
    key = f"{message_id}.{tries}" if tries else message_id
    return key if 0 < len(key) <= REQUEST_ID_CHARS and key.isascii() and key.isprintable() else None


def kept(data: bytes) -> Raw:
    """A result as it is kept."""
    if _is_json(data):
        return Raw(b'{"%b":%b}' % (_JSON.encode(), data))
    return Raw(b'{"%b":"%b"}' % (_OTHER.encode(), base64.b64encode(data)))


def given(raw: Raw) -> bytes | None:
    """What was given to be kept; None if nothing was, as by a try that is followed by another."""
    found = msgspec.json.decode(raw, type=dict[str, Raw] | None) or {}
    if _JSON in found:
        return bytes(found[_JSON])
    return base64.b64decode(msgspec.json.decode(found[_OTHER], type=str)) if _OTHER in found else None


def unkept(error: Exception) -> str:
    """The reason of a job whose result can't be encoded: as that of one whose result is too large, it is dead, and who waits for it is told."""
    return f"The work was done, but its result can't be kept: {words(error)}"


def why(job: Job) -> str:
    """The reason of a job that ended without having been concluded."""
    return (job.errors[-1].reason if job.errors else job.reason) or job.state


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
