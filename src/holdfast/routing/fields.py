"""The fields of an event: every value that is not a container, under each of the names by which patterns may find it.

Nested fields are named by their dotted path (`user.email`); an array's elements have the array's own path and their number
(`tags`, `tags.0`). So a value inside n arrays has up to 2^n names. The names of each container are built once, not on every
path to it; and building them takes steps, of which an event has a bounded number.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Raw

from holdfast.errors import InvalidRequest
from holdfast.limits import FIELD_STEPS, JSON_DEPTH, PUBLISHED_FIELDS
from holdfast.routing.patterns import Steps

_object = msgspec.json.Decoder(dict[str, Raw])
_array = msgspec.json.Decoder(list[Raw])
_string = msgspec.json.Decoder(str)
_CHARS_A_STEP = 64  # of a name that is put together

Names = tuple[str, ...]


def steps_to_walk(field: str = "data") -> Steps:
    """What naming the fields of one event may take."""
    return Steps(FIELD_STEPS, field, "is nested so that naming its fields takes too many steps")


def fields_of(data: bytes, steps: Steps | None = None) -> Iterator[tuple[str, str]]:
    """Every field of a JSON object as (dotted path, text); nothing for other documents."""
    for names, text in values_of(data, steps):
        for name in names:
            yield name, text


def check(data: bytes, field: str = "data") -> None:
    """Raise `InvalidRequest` unless this event can be matched, whatever the interests are."""
    for _ in values_of(data, steps_to_walk(field), field):
        pass


def values_of(data: bytes, steps: Steps | None = None, field: str = "data") -> Iterator[tuple[Names, str]]:
    """Every value of a JSON object that is not a container: all its names, and its text. Nothing for other documents."""
    steps = steps or steps_to_walk(field)
    text = data.strip()
    if text[:1] != b"{":
        return
    count = 0
    try:
        for names, value in _walk(text, steps, field):
            count += len(names)
            if count > PUBLISHED_FIELDS:
                raise InvalidRequest(f"{field} must have at most {PUBLISHED_FIELDS} fields to be matched.", field=field)
            yield names, value
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{field} can't be matched: {error}.", field=field) from None


def _walk(text: bytes, steps: Steps, field: str) -> Iterator[tuple[Names, str]]:
    open_containers: list[Iterator[tuple[Names, Raw]]] = [_members(("",), text, steps)]
    while open_containers:
        for names, raw in open_containers[-1]:
            value = bytes(raw)
            first = value[:1]
            if first in (b"{", b"["):
                if len(open_containers) >= JSON_DEPTH:
                    raise InvalidRequest(f"{field} must be nested at most {JSON_DEPTH} deep.", field=field)
                inner = _members if first == b"{" else _elements
                open_containers.append(inner(names, value, steps))
                break
            named = tuple(name for name in names if name)  # "" is no path
            if named:
                yield named, _string.decode(value) if first == b'"' else value.decode()
        else:
            open_containers.pop()


def _members(names: Names, text: bytes, steps: Steps) -> Iterator[tuple[Names, Raw]]:
    for key, value in _object.decode(text).items():
        _pay(steps, names, len(key))
        yield tuple([f"{name}.{key}" if name else key for name in names]), value


def _elements(names: Names, text: bytes, steps: Steps) -> Iterator[tuple[Names, Raw]]:
    if names == ("",):
        return  # as if it were at the top: an array there has no fields
    for number, value in enumerate(_array.decode(text)):
        _pay(steps, names, len(names[0]) + 8)
        numbered = [f"{name}.{number}" for name in names if name]
        yield tuple(dict.fromkeys([*names, *numbered])), value


def _pay(steps: Steps, names: Names, more: int) -> None:
    chars = len(names[-1]) + more  # the last name is the longest
    steps.take(len(names) * (1 + chars // _CHARS_A_STEP))
