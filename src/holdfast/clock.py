"""The source of the time. Rules never read a clock: they get `now`, in milliseconds since 1970 (UTC).

The clock of the process that owns the store decides; requests carry durations, so a caller's clock never counts.
"""

import time
from typing import Protocol

LEAP_MS = 3_000  # between two reads of a clock that is read every second: the process was suspended, or the clock was set


class Clock(Protocol):
    """A source of time. `leaps` counts how often much time had passed since the last read, although it is read all the time."""

    leaps: int

    def now(self) -> int:
        """Milliseconds since 1970, never smaller than an earlier answer."""
        ...

    def behind_ms(self) -> int:
        """How far its source has been set back behind its latest answer: it stands still until then."""
        ...

    def step_ms(self) -> int:
        """By how much its source was set since the last call, forward or (below 0) back."""
        ...


class SystemClock:
    """The machine's wall clock, held still while it is set back, so that time never runs backwards for a job."""

    def __init__(self) -> None:
        self._last = 0
        self.leaps = 0
        self._ahead = _ahead_ms()

    def now(self) -> int:
        """Milliseconds since 1970."""
        wall = time.time_ns() // 1_000_000
        if wall > self._last:
            if wall - self._last > LEAP_MS and self._last:
                self.leaps += 1
            self._last = wall
        return self._last

    def behind_ms(self) -> int:
        """How far the machine's clock is behind."""
        return max(0, self._last - time.time_ns() // 1_000_000)

    def step_ms(self) -> int:
        """How far the machine's clock was moved against the one that counts since the machine's start, its sleep included."""
        before, self._ahead = self._ahead, _ahead_ms()
        return self._ahead - before


class ManualClock:
    """A clock that is moved by its caller; for tests of things that take days. It never leaps: it is never suspended."""

    leaps = 0

    def __init__(self, now: int = 1_800_000_000_000) -> None:
        self._now = now

    def now(self) -> int:
        """Milliseconds since 1970."""
        return self._now

    def behind_ms(self) -> int:
        """It is never behind."""
        return 0

    def step_ms(self) -> int:
        """Nobody sets it but the test."""
        return 0

    def advance(self, ms: int) -> None:
        """Move forward by `ms` milliseconds."""
        if ms < 0:
            raise ValueError("a clock does not run backwards")
        self._now += ms


def _ahead_ms() -> int:
    return time.time_ns() // 1_000_000 - time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
