"""Where the time comes from. Rules never read a clock: they are given `now`, in milliseconds since 1970 (UTC).

The clock of the process that owns the store decides; requests carry durations, so a caller's clock never counts.
"""

import time
from typing import Protocol

LEAP_MS = 3_000  # between two looks at a clock that is looked at every second: nobody looked, or the clock was set


class Clock(Protocol):
    """Anything that tells the time. `leaps` counts how often much time had passed since it was last asked, though it is asked all the time."""

    leaps: int

    def now(self) -> int:
        """Milliseconds since 1970, never smaller than an earlier answer."""
        ...


class SystemClock:
    """The machine's wall clock, held still while it is set back, so that time never runs backwards for a job."""

    def __init__(self) -> None:
        self._last = 0
        self.leaps = 0

    def now(self) -> int:
        """Milliseconds since 1970."""
        wall = time.time_ns() // 1_000_000
        if wall > self._last:
            if wall - self._last > LEAP_MS and self._last:
                self.leaps += 1
            self._last = wall
        return self._last


class ManualClock:
    """A clock that moves when it is told to; for tests of things that take days. It never leaps: somebody is there all the time."""

    leaps = 0

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
