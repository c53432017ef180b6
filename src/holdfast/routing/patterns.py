"""User patterns, matched by RE2 in time linear to the text, many at once.

A `PatternSet` puts distinct patterns into RE2 sets, so that a text is read once for a thousand of them. RE2 gives up on a set when its
automaton outgrows its memory, and its binding then says "nothing matched". That must never lose a job: every set holds a sentinel that
matches any text, and where the sentinel is missing the patterns of that set are tried one by one.
"""

from collections.abc import Iterable

import re2

from holdfast.errors import InvalidRequest
from holdfast.limits import PATTERN_CHARS, PATTERN_MEMORY_BYTES

_PER_SET = 1_000


def _options() -> re2.Options:
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY_BYTES
    options.log_errors = False
    return options


def check(field: str, pattern: str) -> None:
    """Raise `InvalidRequest` with RE2's own reason where it can't take the pattern."""
    if len(pattern) > PATTERN_CHARS:
        raise InvalidRequest(f"{field} must have at most {PATTERN_CHARS} characters.", field=field)
    try:
        re2.compile(pattern, options=_options())
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise InvalidRequest(
            f"{field}: this pattern can't be used by RE2, which matches in linear time: {text}.", field=field
        ) from None


class PatternSet:
    """Distinct patterns, numbered in the order in which they were added. One more costs the compiling of its own thousand, when next needed."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._numbers: dict[str, int] = {}
        self._chunks: list[_Chunk] = []
        for pattern in patterns:
            self.add(pattern)

    def add(self, pattern: str) -> int:
        """The number of this pattern, which is new or was there before."""
        known = self._numbers.get(pattern)
        if known is not None:
            return known
        number = self._numbers[pattern] = len(self._numbers)
        if number % _PER_SET == 0:
            self._chunks.append(_Chunk(number))
        self._chunks[-1].add(pattern)
        return number

    def match(self, text: str) -> set[int]:
        """The numbers of the patterns that are found anywhere in `text`."""
        found: set[int] = set()
        for chunk in self._chunks:
            found |= chunk.match(text)
        return found


class _Chunk:
    def __init__(self, start: int) -> None:
        self._start = start
        self._patterns: list[str] = []
        self._set: re2._Set | None = None
        self._singles: list[re2._Regexp[str]] | None = None
        self._sentinel = 0
        self._together = False

    def add(self, pattern: str) -> None:
        self._patterns.append(pattern)
        self._set = self._singles = None

    @property
    def together(self) -> bool:
        """Whether RE2 takes these patterns as one set."""
        self._compiled()
        return self._together

    def match(self, text: str) -> set[int]:
        together = self._compiled()
        found = set(together.Match(text)) if self._together else set()
        if self._sentinel in found:
            found.discard(self._sentinel)
            return {self._start + number for number in found}
        return self._one_by_one(text)

    def _compiled(self) -> "re2._Set":
        if self._set is None:
            self._set = re2.Set.SearchSet(_options())
            for pattern in self._patterns:
                self._set.Add(pattern)
            self._sentinel = self._set.Add("")
            try:
                self._set.Compile()
                self._together = True
            except re2.error:
                self._together = False  # too large even to begin with
        return self._set

    def _one_by_one(self, text: str) -> set[int]:
        if self._singles is None:
            self._singles = [re2.compile(pattern, options=_options()) for pattern in self._patterns]
        return {self._start + number for number, single in enumerate(self._singles) if single.search(text) is not None}
