"""User patterns, matched by RE2 in time linear to the text, many at once.

A `PatternSet` puts distinct patterns into RE2 sets, so that a text is read once for a thousand of them. RE2 gives up on a set when its
automaton outgrows its memory, and its binding then says "nothing matched". That must never lose a job: every set holds a sentinel that
matches any text, and where the sentinel is missing the patterns of that set are tried one by one.
"""

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
        raise InvalidRequest(f"{field} is not a pattern that can be matched in linear time: {text}.", field=field) from None


class PatternSet:
    """Distinct patterns, numbered in the order in which they are added."""

    def __init__(self, patterns: list[str]) -> None:
        self._chunks = [_Chunk(patterns[start : start + _PER_SET], start) for start in range(0, len(patterns), _PER_SET)]

    def match(self, text: str) -> set[int]:
        """The numbers of the patterns that are found anywhere in `text`."""
        found: set[int] = set()
        for chunk in self._chunks:
            found |= chunk.match(text)
        return found


class _Chunk:
    def __init__(self, patterns: list[str], start: int) -> None:
        self._patterns = patterns
        self._start = start
        self._singles: list[re2._Regexp[str]] | None = None
        self._set = re2.Set.SearchSet(_options())
        for pattern in patterns:
            self._set.Add(pattern)
        self._sentinel = self._set.Add("")
        try:
            self._set.Compile()
            self.together = True
        except re2.error:
            self.together = False  # too large even to begin with

    def match(self, text: str) -> set[int]:
        found = set(self._set.Match(text)) if self.together else set()
        if self._sentinel in found:
            found.discard(self._sentinel)
            return {self._start + number for number in found}
        return self._one_by_one(text)

    def _one_by_one(self, text: str) -> set[int]:
        if self._singles is None:
            self._singles = [re2.compile(pattern, options=_options()) for pattern in self._patterns]
        return {self._start + number for number, single in enumerate(self._singles) if single.search(text) is not None}
