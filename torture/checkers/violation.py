"""A promise that was broken, with the calls that show it."""

from __future__ import annotations

from dataclasses import dataclass

from torture.history import Call


@dataclass(frozen=True, slots=True)
class Violation:
    """`checker` is its number in the list of checkers; `kind` is what the report counts; `calls` are numbers of calls."""

    checker: str
    kind: str
    text: str
    calls: tuple[int, ...] = ()

    @classmethod
    def of(cls, checker: str, kind: str, text: str, *calls: Call) -> Violation:
        """A violation shown by these calls."""
        return cls(checker, kind, text, tuple(call.n for call in calls))

    def __str__(self) -> str:
        where = f"  (calls {', '.join(map(str, self.calls))})" if self.calls else ""
        return f"{self.checker} {self.kind}: {self.text}{where}"
