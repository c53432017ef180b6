"""Steps of a schema: numbered scripts. What a script says of itself at its top is what `holdfast upgrade --check` tells of it.

    -- One sentence about what it is for. More, for who reads the script.
    -- rewrites: job, ended     tables of which it writes every row anew: what it costs grows with them
    -- locks: queue             tables that were there and that nobody else can use until it is done (PostgreSQL)

A test runs each and compares. `SET min_compatible` in the script of a step says that no node of a version before can serve after it.
"""

import re

import msgspec

_FIRST = re.compile(r"(.+?[.:])(?:\s|$)")


class Step(msgspec.Struct, frozen=True):
    """One script. `kind` is `pre` or `post` in PostgreSQL; a file has one kind only."""

    number: int
    script: str
    kind: str = "pre"

    @property
    def summary(self) -> str:
        """The first sentence at its top."""
        lines = []
        for line in self.script.splitlines():
            text = line.removeprefix("--").strip()
            if not line.startswith("--") or not text or _words_of(line):
                break
            lines.append(text)
        found = _FIRST.match(" ".join(lines))
        return found[1].rstrip(".:") if found else ""

    @property
    def rewrites(self) -> tuple[str, ...]:
        """The tables of which every row is written anew."""
        return self._told("rewrites")

    @property
    def locks(self) -> tuple[str, ...]:
        """The tables that nobody else can use meanwhile."""
        return self._told("locks")

    @property
    def ends_older_nodes(self) -> bool:
        """Whether no node of a version before can serve any more once this is done."""
        return "SET min_compatible" in self.script

    def _told(self, name: str) -> tuple[str, ...]:
        for line in self.script.splitlines():
            if (found := _words_of(line)) is not None and found[0] == name:
                return tuple(sorted(word.strip() for word in found[1].split(",")))
        return ()


def _words_of(line: str) -> tuple[str, str] | None:
    found = re.match(r"-- (rewrites|locks): (.+)", line)
    return None if found is None else (found[1], found[2])
