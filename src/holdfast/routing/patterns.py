r"""User patterns, matched by RE2 in time linear to the text, many at once.

A `PatternSet` puts distinct patterns into RE2 sets, so that a text is read once for a thousand of them. RE2 gives up on a set
when its automaton outgrows its memory, and its binding then says "nothing matched". That must never lose a job: every set has a
sentinel that matches any text, and if the sentinel is missing the patterns of that set are tried one by one.

Linear means: at worst a dozen nanoseconds for each character times each instruction of the compiled patterns. So that product
is counted (`Steps`), plus one for the end of a text, which may be empty, and a hundred for each pattern found; and the size of
a program is bounded as well as its number of characters: `\pL{100}` is 120,000 instructions. RE2 releases the GIL while it
reads a text, but not while it compiles: sets are so small that compiling one takes some 10 ms.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

import re2

from holdfast.errors import InvalidRequest
from holdfast.limits import (
    KEPT_PATTERN_MEMORY_BYTES,
    PATTERN_CHARS,
    PATTERN_MEMORY_BYTES,
    PATTERN_PROGRAM,
    SINGLE_PATTERN_MEMORY_BYTES,
    SINGLE_PATTERNS,
)
from holdfast.logs import structlog

log = structlog.get_logger(__name__)
_PER_SET = 1_000
_SET_PROGRAM = (
    30_000  # instructions in one set, unless one pattern alone has more: compiled in some 10 ms, and its automaton has room
)
_A_FIND = 100  # steps that a pattern costs which is found: about a microsecond, with what its queues cost
_LONG_TEXT = 1_024  # a longer text is matched one by one against the relevant patterns, if that is less work
_FEW = 64
_SIZES = 4_096  # of patterns that are remembered
_WIDE = re.compile(r"\{|\\[pP]|\[\^|\(\?|[^\x00-\x7f]")  # what may become much longer than it is written
_A_CHARACTER = 10  # instructions that anything else makes of one: a dot is nine


class Steps:
    """A budget of work. `field` and `what` say in the refusal what took too much of it."""

    def __init__(self, most: int, field: str, what: str, taken: int = 0) -> None:
        self.most = most
        self.taken = taken
        self._field = field
        self._what = what

    def take(self, count: int) -> None:
        """Count that many steps, or raise `InvalidRequest` before they are done."""
        self.taken += count
        if self.taken > self.most:
            raise InvalidRequest(f"{self._field} {self._what}; {self.most:,} steps is the most.", field=self._field)


def _options(memory: int) -> re2.Options:
    options = re2.Options()
    options.max_mem = memory
    options.log_errors = False
    return options


def check(field: str, pattern: str) -> int:
    """The size of its program; raise `InvalidRequest` with RE2's reason if it is invalid, or if its program is too large."""
    if len(pattern) > PATTERN_CHARS:
        raise InvalidRequest(f"{field} must have at most {PATTERN_CHARS} characters.", field=field)
    try:
        size = program_size(pattern, SINGLE_PATTERN_MEMORY_BYTES)
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        if "too large" in text:
            size = PATTERN_PROGRAM + 1
        else:
            raise InvalidRequest(
                f"{field}: this pattern can't be used by RE2, which matches in linear time: {text}.", field=field
            ) from None
    if size > PATTERN_PROGRAM:
        raise InvalidRequest(
            f"{field}: this pattern is too large once its repetitions and classes are written out: more than"
            f" {PATTERN_PROGRAM:,} instructions.",
            field=field,
        )
    return size


def check_kept(pattern: str) -> None:
    """Raise `InvalidRequest` if RE2 rejects a pattern. One accepted by an earlier version may be larger than the bound now."""
    try:
        program_size(pattern)
    except re2.error as error:
        raise InvalidRequest(f"{pattern[:40]!r} can't be used by RE2: {error.args[0]!r}.", field="match") from None


@lru_cache(_SIZES)
def program_size(pattern: str, memory: int = KEPT_PATTERN_MEMORY_BYTES) -> int:
    """How many instructions RE2 compiles a pattern to; raises `re2.error` if that exceeds this memory."""
    try:
        size: int = re2.compile(pattern, options=_options(memory))._regexp.ProgramSize()  # noqa: SLF001  (the binding shows it nowhere else)
    finally:
        re2.purge()  # its cache would hold 128 of them, with their automata fully grown
    return size


def costs_to_compile(pattern: str) -> int:
    """An upper bound of the instructions that a pattern compiles to, from its text: it is small without repetitions and wide
    classes.
    """
    return PATTERN_PROGRAM if _WIDE.search(pattern) else 8 + len(pattern) * _A_CHARACTER


@lru_cache(SINGLE_PATTERNS)
def _single(pattern: str) -> "re2._Regexp[str]":
    try:
        return re2.compile(pattern, options=_options(SINGLE_PATTERN_MEMORY_BYTES))
    except re2.error:  # from an older store, which accepted larger ones
        return re2.compile(pattern, options=_options(KEPT_PATTERN_MEMORY_BYTES))
    finally:
        re2.purge()


class PatternSet:
    """Distinct patterns, numbered in the order in which they were added. Adding one costs compiling its set when it is needed
    next. One that is dropped as often as it was added stays where it is and is `unused`: a new set of those in use has none.

    One thread may match while another adds: what is added meanwhile may or may not be found.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._numbers: dict[str, int] = {}
        self._patterns: list[str] = []
        self._sizes: list[int] = []
        self._uses: list[int] = []
        self._chunks: list[_Chunk] = []
        self.size = 0
        self.unused = 0  # instructions of it, for patterns that were dropped
        for pattern in patterns:
            self.add(pattern)

    def add(self, pattern: str) -> int:
        """The number of this pattern, new or existing."""
        known = self._numbers.get(pattern)
        if known is not None:
            if not self._uses[known]:
                self.unused -= self._sizes[known]
            self._uses[known] += 1
            return known
        number = len(self._patterns)
        try:
            size = program_size(pattern)
        except re2.error as error:  # accepted by an older version: the others stay usable
            log.warning("a stored pattern can't be used, and matches nothing", pattern=pattern, reason=str(error.args[0]))
            size = 0
        self._patterns.append(pattern)
        self._sizes.append(size)
        self._uses.append(1)
        self._numbers[pattern] = number
        if size:
            if not self._chunks or not self._chunks[-1].has_room(size):
                self._chunks.append(_Chunk())
            self._chunks[-1].add(number, pattern, size)
        self.size += size
        return number

    def drop(self, pattern: str) -> int:
        """Undo one `add`; the number of this pattern."""
        number = self._numbers[pattern]
        self._uses[number] -= 1
        if not self._uses[number]:
            self.unused += self._sizes[number]
        return number

    def compile(self) -> None:
        """Compile what has been added, so that the next match need not."""
        for chunk in list(self._chunks):
            chunk.compiled()

    @property
    def to_compile(self) -> int:
        """How many instructions are in sets that have to be compiled before the next match."""
        return sum([chunk.size for chunk in self._chunks if not chunk.ready])

    def match(self, text: str, steps: Steps | None = None, wanted: Iterable[int] | None = None) -> set[int]:
        """The numbers of the patterns, or of the `wanted` ones, that are found anywhere in `text`."""
        few = self._few(text, wanted)
        if few is not None:
            return self._one_by_one(text, few, steps)
        if steps is not None:
            steps.take(self.size * (len(text) + 1))
        found: set[int] = set()
        for chunk in list(self._chunks):
            matched = chunk.match(text)
            if steps is not None:
                steps.take(_A_FIND * len(matched))
            found |= matched
        return found

    def _few(self, text: str, wanted: Iterable[int] | None) -> list[int] | None:
        """The wanted patterns where looking for each alone is less work than for all together."""
        if wanted is None or len(text) < _LONG_TEXT:
            return None
        few = list(wanted)
        return few if len(few) <= _FEW and sum([self._sizes[number] for number in few]) < self.size else None

    def _one_by_one(self, text: str, few: list[int], steps: Steps | None) -> set[int]:
        found = set()
        for number in few:
            size = self._sizes[number]
            if steps is not None:
                steps.take(size * (len(text) + 1))
            if size and _single(self._patterns[number]).search(text) is not None:
                found.add(number)
        return found


class _Chunk:
    """Some patterns that are matched together."""

    def __init__(self) -> None:
        self._patterns: list[tuple[int, str]] = []
        self.size = 0
        self._compiled: tuple[re2._Set | None, list[tuple[int, str]]] | None = None

    def has_room(self, size: int) -> bool:
        """Whether one more of this size can join."""
        return len(self._patterns) < _PER_SET and self.size + size <= _SET_PROGRAM

    def add(self, number: int, pattern: str, size: int) -> None:
        """Take in one more."""
        self._patterns.append((number, pattern))
        self.size += size
        self._compiled = None

    @property
    def ready(self) -> bool:
        """Whether nothing has been added since it was compiled."""
        return self._compiled is not None

    @property
    def together(self) -> bool:
        """Whether RE2 takes these patterns as one set."""
        return self.compiled()[0] is not None

    def match(self, text: str) -> set[int]:
        """The numbers of the patterns that are found."""
        together, patterns = self.compiled()
        found = set(together.Match(text) or ()) if together is not None else set()
        if len(patterns) in found:
            found.discard(len(patterns))
            return {patterns[place][0] for place in found}
        return {number for number, pattern in patterns if _single(pattern).search(text) is not None}

    def compiled(self) -> "tuple[re2._Set | None, list[tuple[int, str]]]":
        """The set (None if RE2 does not compile it) and its patterns. Assigned as a whole: another thread may be matching."""
        ready = self._compiled
        if ready is not None:
            return ready
        patterns = list(self._patterns)
        together: re2._Set | None = re2.Set.SearchSet(_options(PATTERN_MEMORY_BYTES))
        assert together is not None, "just made"
        try:
            for _, pattern in patterns:
                together.Add(pattern)
            together.Add("")  # the sentinel: its number is the number of patterns
            together.Compile()
        except re2.error:
            together = None  # too large even to begin with
        self._compiled = ready = (together, patterns)
        if len(patterns) != len(self._patterns):
            self._compiled = None  # one was added meanwhile
        return ready
