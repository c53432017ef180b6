"""Interests: which queues get a copy of an event.

A queue's interest is `*`, or pairs of two regular expressions: one for a field's name, one for its value, both searched unless
they are anchored. One matching pair is enough. Nested fields are named by their dotted path (`user.email`); an array's elements
have the array's own path and their number (`tags`, `tags.0`), see `fields.py`. Strings match as they are, numbers, booleans and
null by their JSON text.

    event ─▶ fields ─▶ { names that match } × { values that match } ─▶ queues, each once, by name
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from holdfast.errors import InvalidRequest
from holdfast.limits import (
    INTEREST_PAIRS,
    INTEREST_PROGRAM,
    INTERESTS_BYTES,
    INTERESTS_PAIRS,
    INTERESTS_PROGRAM,
    MATCH_STEPS,
    PATTERN_CHARS,
)
from holdfast.routing import patterns
from holdfast.routing.fields import steps_to_walk, values_of
from holdfast.routing.patterns import PatternSet, Steps

EVERYTHING = "*"
Match = str | dict[str, str]
_ByValue = dict[int, set[str]]
_A_QUEUE = 5  # steps for adding one more queue to the result
_A_PATTERN = 10  # steps for adding one more pattern to those of a field
_KNOWN_PAIRS = 200_000  # remembered for names of fields: about 20 MB
_KNOWN_NAMES = 4_000  # of fields, however few pairs they have: at most about 3 MB, as their names may be long
_NONE: "_ByValue" = {}


class Share(NamedTuple):
    """What interests have of what all of them together may have: pairs of patterns, bytes of their text, instructions of their programs."""

    pairs: int = 0
    text_bytes: int = 0
    program: int = 0

    def plus(self, other: "Share") -> "Share":
        """Both together."""
        return Share(self.pairs + other.pairs, self.text_bytes + other.text_bytes, self.program + other.program)

    def minus(self, other: "Share") -> "Share":
        """Without the other."""
        return Share(self.pairs - other.pairs, self.text_bytes - other.text_bytes, self.program - other.program)


def check(match: Match) -> Share:
    """Raise `InvalidRequest` unless this is an interest that can be matched. Compiles its patterns: some 0.1 s at worst."""
    if isinstance(match, str):
        if match != EVERYTHING:
            raise InvalidRequest('match must be "*" or an object of patterns.', field="match")
        return Share()
    if not 1 <= len(match) <= INTEREST_PAIRS:
        raise InvalidRequest(f"match must have 1 to {INTEREST_PAIRS} pairs of patterns.", field="match")
    size = 0
    for field, value in match.items():
        size += patterns.check(f"match[{field[:40]!r}] (the field)", field)
        size += patterns.check(f"match[{field[:40]!r}] (the value)", value)
        if size > INTEREST_PROGRAM:
            raise InvalidRequest(
                "match: these patterns are too large once their repetitions and classes are written out: more than"
                f" {INTEREST_PROGRAM:,} instructions together.",
                field="match",
            )
    return Share(len(match), text_bytes(match), size)


def check_kept(match: Match) -> None:
    """Raise `InvalidRequest` unless a stored interest can be matched. One that an earlier version accepted stays valid, even if
    it is larger than what is accepted now: otherwise its events would be lost.
    """
    if isinstance(match, str) or not match:
        check(match)
        return
    for pair in match.items():
        for pattern in pair:
            patterns.check_kept(pattern)


def text_bytes(match: Match) -> int:
    """About how many bytes an interest's patterns have."""
    return len(match) if isinstance(match, str) else sum([len(field) + len(value) for field, value in match.items()])


def costs_to_compile(match: Match | None) -> int:
    """An upper bound of the instructions that an interest's patterns compile to, from their text."""
    return (
        0
        if match is None or isinstance(match, str)
        else sum([patterns.costs_to_compile(text) for pair in match.items() for text in pair])
    )


def steps_to_match(most: int = MATCH_STEPS, field: str = "data") -> Steps:
    """What matching one event may take."""
    return Steps(most, field, "takes too many steps to match: its characters times the instructions of all patterns")


class Change(msgspec.Struct, frozen=True, array_like=True):
    """A commit's change of the interests: from version `before` to `after`, each queue's new match, None if it was removed."""

    before: int
    after: int
    matches: dict[str, Match | None]


class Interests:
    """All interests at one version, ready to be matched. `version` identifies it.

    One thread may apply changes while others match: their result is then of neither version, which they detect by `version`. A
    change costs only the pattern sets that it touches. Unused patterns stay until they are the larger part (`mostly_unused`): then
    `anew` has those in use alone. The pairs for a field's name are cached, because events repeat their names.
    """

    def __init__(self, version: int, interests: Mapping[str, Match]) -> None:
        self.version = version
        self._matches: dict[str, Match] = {}
        self._everything: set[str] = set()
        self._fields, self._values = PatternSet(), PatternSet()
        self._wanted: dict[int, _ByValue] = {}
        self._known: dict[str, _ByValue] = {}
        self._known_pairs = 0
        self.pairs = self.text_bytes = 0
        for queue, match in interests.items():
            self._add(queue, match)

    def queues_for(self, data: bytes, steps: Steps | None = None, field: str = "data") -> list[str]:
        """The queues that want this event (JSON), by name. Only an object has fields; anything else is for `*` alone.

        What it takes is bounded by `steps`, which raises `InvalidRequest`.
        """
        steps = steps or steps_to_match(field=field)
        found = set(self._everything)
        if self._wanted:
            for names, text in values_of(data, steps_to_walk(field), field):
                by_values = [by_value for name in names if (by_value := self._by_value(name, steps))]
                if by_values:
                    steps.take(sum(map(len, by_values)))
                    wanted = by_values[0].keys() if len(by_values) == 1 else set().union(*by_values)
                    matched = self._values.match(text, steps, wanted)
                    for by_value in by_values:
                        for number in matched & by_value.keys():
                            queues = by_value.get(number, ())  # gone, if a change is followed meanwhile
                            steps.take(_A_QUEUE * len(queues))
                            found.update(queues)
        return sorted(found)

    def compile(self) -> None:
        """Compile what has been added, so that the next match need not. In a thread: at worst it takes seconds."""
        self._fields.compile()
        self._values.compile()

    @property
    def to_compile(self) -> int:
        """How many instructions have to be compiled before the next match."""
        return self._fields.to_compile + self._values.to_compile

    @property
    def unused(self) -> int:
        """Instructions of patterns that no interest has any more."""
        return self._fields.unused + self._values.unused

    @property
    def mostly_unused(self) -> bool:
        """Whether these are more than those of the others, so that compiling the others anew costs less than these have cost."""
        return 2 * self.unused > self.share.program

    @property
    def matches(self) -> Mapping[str, Match]:
        """By queue."""
        return self._matches

    def anew(self) -> "Interests":
        """The same ones, without what is unused."""
        return Interests(self.version, self._matches)

    @property
    def share(self) -> Share:
        """What all of them have, of patterns' programs with what is unused."""
        return Share(self.pairs, self.text_bytes, self._fields.size + self._values.size)

    def check_room(self, queue: str, share: Share, coming: Share) -> None:
        """Raise `InvalidRequest` unless an interest of this size fits. `coming` are those of others in progress."""
        before = self._matches.get(queue, EVERYTHING)
        had = Share(_pairs(before), text_bytes(before))
        after = self.share.plus(coming).plus(share).minus(had)
        where = "match: all queues together may have at most"
        if after.pairs > INTERESTS_PAIRS and share.pairs > had.pairs:
            raise InvalidRequest(f"{where} {INTERESTS_PAIRS:,} pairs of patterns.", field="match")
        if after.text_bytes > INTERESTS_BYTES and share.text_bytes > had.text_bytes:
            raise InvalidRequest(f"{where} {INTERESTS_BYTES:,} bytes of patterns.", field="match")
        if after.program > INTERESTS_PROGRAM:
            raise InvalidRequest(f"{where} {INTERESTS_PROGRAM:,} instructions in their patterns' programs.", field="match")

    def follow(self, change: Change) -> bool:
        """Apply a change; False if a change in between is missing, so that all have to be read again."""
        if change.before != self.version:
            return False
        for queue, match in change.matches.items():
            self._remove(queue)
            if match is not None:
                self._add(queue, match)
        self._known = {}  # not cleared: other threads may still be filling the old one
        self._known_pairs = 0
        self.version = change.after
        return True

    def _add(self, queue: str, match: Match) -> None:
        self._matches[queue] = match
        self.pairs += _pairs(match)
        self.text_bytes += text_bytes(match)
        if isinstance(match, str):
            self._everything.add(queue)
            return
        for field, value in match.items():
            by_value = self._wanted.setdefault(self._fields.add(field), {})
            by_value.setdefault(self._values.add(value), set()).add(queue)

    def _remove(self, queue: str) -> None:
        match = self._matches.pop(queue, None)
        if match is not None:
            self.pairs -= _pairs(match)
            self.text_bytes -= text_bytes(match)
        self._everything.discard(queue)
        if isinstance(match, dict):
            for field, value in match.items():
                by_value, number = self._wanted[self._fields.drop(field)], self._values.drop(value)
                by_value[number].discard(queue)
                if not by_value[number]:
                    del by_value[number]

    def _by_value(self, field: str, steps: Steps) -> "_ByValue":
        """The queues that want this field, by the number of the value's pattern."""
        remembered = self._known
        known = remembered.get(field)
        if known is not None:
            return known
        found = [self._wanted.get(number, {}) for number in self._fields.match(field, steps)]
        merged = found[0] if len(found) == 1 else _merged(found, steps) if found else _NONE
        if len(field) <= PATTERN_CHARS:
            if self._known_pairs > _KNOWN_PAIRS or len(remembered) >= _KNOWN_NAMES:
                remembered.clear()
                self._known_pairs = 0
            remembered[field] = merged
            self._known_pairs += 1 + (len(merged) if len(found) > 1 else 0)
        return merged


def _pairs(match: Match) -> int:
    return 0 if isinstance(match, str) else len(match)


def _merged(several: "list[_ByValue]", steps: Steps) -> "_ByValue":
    merged: _ByValue = {}
    for by_value in several:
        steps.take(_A_PATTERN * len(by_value))
        for number, queues in list(by_value.items()):  # a thread may match while a change is followed
            if number not in merged:
                merged[number] = queues
                continue
            steps.take(_A_QUEUE * (len(merged[number]) + len(queues)))
            merged[number] = merged[number] | queues
    return merged
