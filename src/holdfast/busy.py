"""How long an event loop, or a commit, was busy at a stretch: the longest of the last one to two minutes, in processor time.

A front answers nothing, and the keeper commits nothing, during one turn of its loop. The loop itself can't measure its turns;
so a timer measures how late it is, and how much processor time its thread has used since the last time. The smaller of the two
is the turn's length, give or take the period: a late timer alone may be the machine's fault, and used time alone may be many
short turns. Waking up only for that costs as much as a request, so a loop with little to do is measured less often, and one with
nothing to do not until bytes arrive: every protocol wakes the watch before it reads them. A commit is measured in the same way:
reading the processor time is a system call, so it is read every few milliseconds, and after a commit that may be the longest.
"""

import asyncio
import time

_PERIOD_S = 0.02
_IDLE_PERIOD_S = 0.05  # of a loop that used less than this part of the last one
_IDLE_PART = 1 / 8
_IDLE_LOOKS = 3  # in a row: then it sleeps
_SAMPLED_S = 0.005
_WINDOW_S = 60.0


class Longest:
    """The largest of what was noted in the last one to two minutes."""

    __slots__ = ("_before", "_since", "latest")

    def __init__(self) -> None:
        self._before = self.latest = 0.0  # `latest`: since the last turn of the window; what is not longer need not be noted
        self._since = time.monotonic()

    def note(self, seconds: float) -> None:
        """Take note of one stretch."""
        if seconds > self.latest:
            self._turn()
            self.latest = max(self.latest, seconds)

    @property
    def seconds(self) -> float:
        """The longest."""
        self._turn()
        return max(self._before, self.latest)

    def _turn(self) -> None:
        past = time.monotonic() - self._since
        if past >= _WINDOW_S:
            self._before = self.latest if past < 2 * _WINDOW_S else 0.0
            self.latest = 0.0
            self._since = time.monotonic()


class CommitWatch:
    """Measures commits: `longest` is the longest, in processor time, give or take a few milliseconds."""

    def __init__(self) -> None:
        self.longest = Longest()
        self._sampled = self._used = 0.0

    def begin(self) -> float:
        """A commit begins; returns the time, by `time.perf_counter`."""
        now = time.perf_counter()
        if now - self._sampled > _SAMPLED_S:
            self._sampled, self._used = now, time.thread_time()
        return now

    def end(self, began: float) -> float:
        """It is over; how many seconds it took."""
        seconds = time.perf_counter() - began
        if seconds > self.longest.latest:
            self.longest.note(min(seconds, time.thread_time() - self._used))
        return seconds


class LoopWatch:
    """Looks after the loop of this process: `longest` is its longest turn. While `asleep`, whoever receives bytes wakes it."""

    def __init__(self) -> None:
        self.longest = Longest()
        self.asleep = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._used = 0.0
        self._period = _PERIOD_S
        self._idle_looks = 0

    def start(self) -> None:
        """Begin, on the running loop."""
        self.stop()
        self.wake()

    def stop(self) -> None:
        """Look no more."""
        self.asleep = False
        if self._timer is not None:
            self._timer.cancel()

    def wake(self) -> None:
        """Something begins on a loop that had nothing to do: the running one."""
        self._loop = asyncio.get_running_loop()
        self.asleep = False
        self._idle_looks = 0
        self._period = _PERIOD_S
        self._again(time.thread_time())

    def _again(self, used: float) -> None:
        assert self._loop is not None, "it was started"
        self._used = used
        self._due = time.monotonic() + self._period
        self._timer = self._loop.call_later(self._period, self._look)

    def _look(self) -> None:
        late = time.monotonic() - self._due
        used = time.thread_time()
        if late > 0.001:
            self.longest.note(min(late, used - self._used))
        if used - self._used >= _IDLE_PART * self._period:
            self._idle_looks, self._period = 0, _PERIOD_S
        else:
            self._idle_looks, self._period = self._idle_looks + 1, _IDLE_PERIOD_S
            if self._idle_looks == _IDLE_LOOKS:
                self.asleep = True
                return
        self._again(used)


LOOP = LoopWatch()
"""That of the loop that serves in this process."""
