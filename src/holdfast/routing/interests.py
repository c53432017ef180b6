"""Interests: which queues get a copy of an event.

A queue's interest is `*`, or pairs of two regular expressions: one for a field's name, one for its value, both found anywhere unless
they are anchored. One pair that fits is enough. Nested fields are named by their dotted path (`user.email`); an array's elements stand
under the array's own path and under their number (`tags`, `tags.0`). Strings match as they are, numbers, booleans and null by their JSON text.

    event ─▶ fields ─▶ { names that match } × { values that match } ─▶ queues, each once, by name
"""

from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Raw

from holdfast.errors import InvalidRequest
from holdfast.limits import INTEREST_PAIRS, PUBLISHED_FIELDS
from holdfast.routing import patterns
from holdfast.routing.patterns import PatternSet

EVERYTHING = "*"
Match = str | dict[str, str]

_object = msgspec.json.Decoder(dict[str, Raw])
_array = msgspec.json.Decoder(list[Raw])
_string = msgspec.json.Decoder(str)


def check(match: Match) -> None:
    """Raise `InvalidRequest` unless this is an interest that can be matched."""
    if isinstance(match, str):
        if match != EVERYTHING:
            raise InvalidRequest('match must be "*" or an object of patterns.', field="match")
        return
    if not 1 <= len(match) <= INTEREST_PAIRS:
        raise InvalidRequest(f"match must have 1 to {INTEREST_PAIRS} pairs of patterns.", field="match")
    for field, value in match.items():
        patterns.check(f"match[{field[:40]!r}] (the field)", field)
        patterns.check(f"match[{field[:40]!r}] (the value)", value)


class Interests:
    """All interests of a moment, ready to be matched. `version` tells one moment from another."""

    def __init__(self, version: int, interests: Mapping[str, Match]) -> None:
        self.version = version
        self._everything = [queue for queue, match in interests.items() if match == EVERYTHING]
        self._fields: dict[str, int] = {}
        self._values: dict[str, int] = {}
        self._wanted: dict[int, dict[int, list[str]]] = {}
        for queue, match in interests.items():
            if isinstance(match, dict):
                for field, value in match.items():
                    number = self._fields.setdefault(field, len(self._fields))
                    by_value = self._wanted.setdefault(number, {})
                    by_value.setdefault(self._values.setdefault(value, len(self._values)), []).append(queue)
        self._field_set = PatternSet(list(self._fields))
        self._value_set = PatternSet(list(self._values))

    def queues_for(self, data: bytes) -> list[str]:
        """The queues that want this event (JSON), by name. Only an object has fields; anything else is for `*` alone."""
        found = set(self._everything)
        if self._wanted:
            for field, text in fields_of(data):
                by_value = [self._wanted[number] for number in self._field_set.match(field)]
                if by_value:
                    for number in self._value_set.match(text):
                        found.update(queue for wanted in by_value for queue in wanted.get(number, ()))
        return sorted(found)


def fields_of(data: bytes) -> Iterator[tuple[str, str]]:
    """Every field of a JSON object as (dotted path, text); nothing for other documents."""
    count = 0
    for path, value in _walk("", Raw(data.strip())):
        if path:
            count += 1
            if count > PUBLISHED_FIELDS:
                raise InvalidRequest(f"data must have at most {PUBLISHED_FIELDS} fields to be matched.", field="data")
            yield path, value


def _walk(path: str, value: Raw) -> Iterator[tuple[str, str]]:
    text = bytes(value)
    match text[:1]:
        case b"{":
            for name, inner in _object.decode(text).items():
                yield from _walk(f"{path}.{name}" if path else name, inner)
        case b"[" if path:
            for index, inner in enumerate(_array.decode(text)):
                yield from _walk(path, inner)
                yield from _walk(f"{path}.{index}", inner)
        case b"[":
            return
        case b'"':
            yield path, _string.decode(text)
        case _:
            yield path, text.decode()
