"""Load at a fixed rate, with latency counted from when a request was meant to be sent.

A closed loop sends less often while the server is slow, and so hides slow periods. Here the schedule is fixed in advance:
operation n is due n/rate seconds after the start, and if a request could not be sent in time, because the generator or every
connection was busy, its latency includes that wait.
"""

import asyncio
import math
from array import array
from collections.abc import Callable

from bench.scripts import Calls, Tally, clock, leased_jobs
from bench.timer import Ticker
from bench.wire import Connection, Script

TICK_US = 200


class Pace:
    """The schedule of one phase, and the callers that wait for their next turn. Nothing is due before `run`."""

    def __init__(self, rate: float, seconds: float) -> None:
        self.rate, self.total = rate, max(1, int(rate * seconds))
        self.taken = 0
        self.idle: list[Connection] = []
        self.lateness = array("d")
        self._start = math.inf
        self._all_taken = asyncio.Event()

    def intended(self, n: int) -> float:
        """When operation n was meant to be sent."""
        return self._start + n / self.rate

    def take(self) -> int | None:
        """The next due operation, or None if none is due yet or all are taken."""
        n = self.taken
        if n >= self.total or (late := clock() - self.intended(n)) < 0:
            return None
        self.taken = n + 1
        self.lateness.append(late)
        return n

    async def run(self) -> None:
        """Wake idle callers as their turns come, until every turn was taken; then wake all once more, so that they end."""
        self._start = clock()
        ticker = Ticker(TICK_US, self._tick)
        await self._all_taken.wait()
        ticker.close()
        while self.idle:
            self.idle.pop().resume()

    def _tick(self) -> None:
        while self.idle and self.taken < self.total and self.intended(self.taken) <= clock():
            self.idle.pop().resume()
        if self.taken >= self.total:
            self._all_taken.set()


def paced(pace: Pace, request_of: Callable[[int], bytes], answered: Callable[[int, tuple[int, bytes]], None]) -> Script:
    """One caller of a pace: sends what is due, and waits if nothing is."""
    while pace.taken < pace.total:
        n = pace.take()
        if n is None:
            yield None
            continue
        answered(n, (yield request_of(n)))


def working(tally: Tally, pace: Pace, calls: Calls, wait_ms: int, all_done: asyncio.Event) -> Script:
    """A parked worker: long-poll for a job, record when it came, conclude it, poll again.

    The time noted runs from the intended push of that job (its number is in the payload) to the worker's answer.
    """
    lease = calls.lease(wait_ms=wait_ms)
    while not all_done.is_set():
        answer = yield lease
        if answer[0] != 200:
            tally.failed("lease", answer)
            continue
        for job in leased_jobs(answer[1]).jobs:
            tally.timed(pace.intended(int(job.payload.n)))
            answer = yield calls.conclude(job.lease.token)
            if answer[0] == 200:
                tally.concluded += 1
            else:
                tally.failed("conclude", answer)
            if tally.concluded + tally.failures.total() >= pace.total:
                all_done.set()
