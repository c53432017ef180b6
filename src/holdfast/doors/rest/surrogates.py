"""Bodies with invalid text: a lone surrogate (as Python writes a file name that is not UTF-8), or bytes that are not UTF-8.

A failure's reason is repaired and never refused, because a worker must be able to report a failure. So such a body is decoded
once more, with a mark in place of invalid text: a character that does not occur elsewhere in the body. A reason gets U+FFFD in
place of the mark; a mark anywhere else is refused for that item alone.
"""

import re
from typing import Any

import msgspec
from msgspec import UNSET

from holdfast.doors.rest import bodies
from holdfast.doors.rest.types import FailIn
from holdfast.errors import HoldfastError

MENDED_BYTES = 4 << 20  # of a body: scanning more would delay others
BROKEN = "it has half of a surrogate pair (\\ud800 to \\udfff), or bytes that are not UTF-8"
_NONE = range(0xFDD0, 0xFDF0)  # noncharacters, which Unicode reserves for internal use
_HALVES = re.compile(
    rb"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_PAIR_CHARS = 12  # such as \ud83d\ude00
_encode = msgspec.json.Encoder().encode


def repaired(body: bytes) -> tuple[bytes, str] | None:
    """The body with a mark in place of invalid text, and the mark; None if there is none, or it is too large to be scanned."""
    if len(body) > MENDED_BYTES:
        return None
    text = body.decode(errors="replace")
    number = next((one for one in _NONE if chr(one) not in text and rf"\u{one:x}" not in text.lower()), None)
    if number is None:
        return None
    try:
        body.decode()
    except UnicodeDecodeError:
        body = body.decode(errors="surrogateescape").translate(dict.fromkeys(range(0xDC80, 0xDD00), number)).encode()
    escape = rb"\u%x" % number

    def marked(found: re.Match[bytes]) -> bytes:
        before, half = found[1], found[2]
        return found[0] if len(half) == _PAIR_CHARS else before + escape

    while (next_body := _HALVES.sub(marked, body)) != body:  # two halves side by side are found one after the other
        body = next_body
    return body, chr(number)


def cleaned(text: str, mark: str) -> str:
    """A text with the replacement character in place of the mark."""
    return text.replace(mark, "\ufffd")


def is_broken(value: Any, mark: str) -> bool:
    """Whether any text in this value, or in JSON within it, has the mark."""
    if value is UNSET:
        return False
    data = _encode(value)
    return mark.encode() in data or rb"\u%x" % ord(mark) in data


def again(body: bytes, kind: Any) -> Any:
    """A mended body as a value; None where something else is wrong with it: that is told as it was at first."""
    try:
        return bodies.decode(body, kind)
    except HoldfastError:
        return None


def fail_in(body: bytes) -> FailIn | None:
    """A failure whose body could not be read: read with its own reason cleaned; None where that is not what is wrong."""
    found = repaired(body)
    given: FailIn | None = None if found is None else again(found[0], FailIn)
    if found is None or given is None:
        return None
    clean_failure(given, found[1])
    return given


def clean_failure(given: FailIn, mark: str) -> None:
    """Clean the texts of a failure, which are never refused."""
    given.reason = cleaned(given.reason, mark)
    if (error := given.error) is not None:
        error.kind, error.message, error.traceback = (
            cleaned(text, mark) for text in (error.kind, error.message, error.traceback)
        )
