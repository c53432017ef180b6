"""JSON that others wrote: payloads, progress and results.

An answer is decoded in two steps. First the envelope, the server's data about jobs; their contents stay bytes. Then each
content by itself, on first access. So one that Python can't represent (`1e999`, a number of 5,000 digits) affects only its own
access: neither the other jobs of the same answer, nor its own job's id, token and errors.

And JSON that we write: what JSON can't say is refused, never changed in silence.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw

from holdfast.errors import HoldfastError

NULL = Raw(b"null")
NAMES = ("payload", "progress", "result")
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)


class UnreadableJson(HoldfastError, ValueError):
    """JSON that Python can't represent, or that is invalid. `raw` is what was received, `field` what it is."""

    code = "unreadable_json"
    title = "The JSON can't be read"


def read(field: str, raw: Raw, owner: str) -> Any:
    """A content as Python's own values; raises `UnreadableJson`."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        said = f"The {field} of {owner} can't be read by Python: {error}."
        raise UnreadableJson(said, field=field, raw=bytes(raw)) from error


def encode(value: Any) -> bytes:
    """A value as JSON; raises if it can't be, such as NaN, which would become null."""
    encoded = msgspec.json.encode(value)
    if b"null" in encoded:
        _check_finite(value)
    return encoded


def _check_finite(value: Any) -> None:
    try:
        try:
            _STRICT.encode(value)
        except TypeError:  # keys that only msgspec knows
            _STRICT.encode(_plain(value))
    except msgspec.MsgspecError:
        return
    except ValueError:
        raise ValueError("NaN and infinities can't be said in JSON; use None or a text instead") from None


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_opaque)


def _opaque(value: Any) -> Any:
    """JSON already, or encoded by rules of its own: contains no float of ours."""
    return None if isinstance(value, Raw) else str(type(value))


_STRICT = json.JSONEncoder(allow_nan=False, check_circular=False, default=_plain)


def members(text: bytes) -> dict[str, bytes]:
    """The members of an object, each as the received bytes. Raises `ValueError` if it is not an object."""
    found: dict[str, bytes] = {}
    for part in _parts(text, b"{", b"}"):
        name, colon, value = part.partition(b":")
        if not colon:
            raise ValueError("a member without a value")
        found[msgspec.json.decode(name, type=str)] = value.strip()
    return found


def elements(text: bytes) -> list[bytes]:
    """The elements of an array, each as the received bytes. Raises `ValueError` if it is not an array."""
    return list(_parts(text, b"[", b"]"))


def _parts(text: bytes, opening: bytes, closing: bytes) -> Iterator[bytes]:
    """The parts between the commas of the outermost level; reads each byte once, at any depth."""
    text = text.strip()
    if not (text.startswith(opening) and text.endswith(closing)):
        raise ValueError(f"not between {opening.decode()} and {closing.decode()}")
    depth, begin = 0, 1
    for token in _TOKENS.finditer(text):
        found = token[0]
        if found in b"[{":
            depth += 1
        elif found in b"]}":
            depth -= 1
        elif found == b"," and depth == 1:
            yield text[begin : token.start()].strip()
            begin = token.end()
    if depth:
        raise ValueError("brackets that are not closed")
    if last := text[begin:-1].strip():
        yield last
