"""Where the time comes from. Rules never read a clock: they are given `now`, in milliseconds since 1970 (UTC).

The clock of the process that owns the store decides; requests carry durations, so a caller's clock never counts.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Anything that tells the time."""

    def now(self) -> int:
        """Milliseconds since 1970, never smaller than an earlier answer."""
        ...


class SystemClock:
    """The machine's wall clock, held still while it is set back, so that time never runs backwards for a job."""

    def __init__(self) -> None:
        self._last = 0

    def now(self) -> int:
        """Milliseconds since 1970."""
        self._last = max(self._last, time.time_ns() // 1_000_000)
        return self._last


class ManualClock:
    """A clock that moves when it is told to; for tests of things that take days."""

    def __init__(self, now: int = 1_800_000_000_000) -> None:
        self._now = now

    def now(self) -> int:
        """Milliseconds since 1970."""
        return self._now

    def advance(self, ms: int) -> None:
        """Move forward by `ms` milliseconds."""
        if ms < 0:
            raise ValueError("a clock does not run backwards")
        self._now += ms
