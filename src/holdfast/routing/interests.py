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
from holdfast.limits import INTEREST_PAIRS, PATTERN_CHARS, PUBLISHED_FIELDS
from holdfast.routing import patterns
from holdfast.routing.patterns import PatternSet

EVERYTHING = "*"
Match = str | dict[str, str]
_ByValue = dict[int, set[str]]
_CHANGES = 1_000  # followed before all is read anew, where there are fewer interests than that
_KNOWN_PAIRS = 200_000  # remembered for names of fields: about 20 MB

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


class Change(msgspec.Struct, frozen=True, array_like=True):
    """What one commit made of the interests: from version `before` to `after`, each queue's new match, None where it has none any more."""

    before: int
    after: int
    matches: dict[str, Match | None]


class Interests:
    """All interests of a moment, ready to be matched. `version` tells one moment from another.

    It can follow changes, at the cost of the pattern sets that they touch. What a pattern that nobody has any more leaves behind goes when all
    is read anew. Which pairs a field's name leads to is remembered, because events repeat their names.
    """

    def __init__(self, version: int, interests: Mapping[str, Match]) -> None:
        self.version = version
        self._matches: dict[str, Match] = {}
        self._everything: set[str] = set()
        self._fields, self._values = PatternSet(), PatternSet()
        self._wanted: dict[int, _ByValue] = {}
        self._known: dict[str, _ByValue] = {}
        self._known_pairs = 0
        self._changes_left = max(len(interests), _CHANGES)
        for queue, match in interests.items():
            self._add(queue, match)

    def queues_for(self, data: bytes) -> list[str]:
        """The queues that want this event (JSON), by name. Only an object has fields; anything else is for `*` alone."""
        found = set(self._everything)
        if self._wanted:
            for field, text in fields_of(data):
                by_value = self._by_value(field)
                if by_value:
                    for number in by_value.keys() & self._values.match(text):
                        found |= by_value[number]
        return sorted(found)

    def follow(self, change: Change) -> bool:
        """Take over a change; False when all has to be read anew: another change is missing in between, or there were many."""
        self._changes_left -= len(change.matches)
        if change.before != self.version or self._changes_left < 0:
            return False
        for queue, match in change.matches.items():
            self._remove(queue)
            if match is not None:
                self._add(queue, match)
        self._known.clear()
        self._known_pairs = 0
        self.version = change.after
        return True

    def _add(self, queue: str, match: Match) -> None:
        self._matches[queue] = match
        if isinstance(match, str):
            self._everything.add(queue)
            return
        for field, value in match.items():
            by_value = self._wanted.setdefault(self._fields.add(field), {})
            by_value.setdefault(self._values.add(value), set()).add(queue)

    def _remove(self, queue: str) -> None:
        match = self._matches.pop(queue, None)
        self._everything.discard(queue)
        if isinstance(match, dict):
            for field, value in match.items():
                self._wanted[self._fields.add(field)][self._values.add(value)].discard(queue)

    def _by_value(self, field: str) -> "_ByValue":
        """What the pairs whose field this is want: queues by the number of the value's pattern."""
        known = self._known.get(field)
        if known is not None:
            return known
        found = [self._wanted[number] for number in self._fields.match(field)]
        merged = found[0] if len(found) == 1 else _merged(found)
        if len(field) <= PATTERN_CHARS:
            if self._known_pairs > _KNOWN_PAIRS:
                self._known.clear()
                self._known_pairs = 0
            self._known[field] = merged
            self._known_pairs += 1 + (len(merged) if len(found) > 1 else 0)
        return merged


def _merged(several: "list[_ByValue]") -> "_ByValue":
    merged: _ByValue = {}
    for by_value in several:
        for number, queues in by_value.items():
            merged[number] = merged[number] | queues if number in merged else queues
    return merged


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
