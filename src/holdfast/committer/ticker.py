"""Periodic work: each piece is a named tick that submits commands to the committer like any caller.

A tick is safe on every node, so there is no leader. One with `due` sleeps until the time that it returns, and is woken if an
earlier one is set; the others run every `period_s`, counted from the start: those of one period wake the process together, and what they submit is
one batch.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from holdfast.logs import structlog

log = structlog.get_logger(__name__)
_PAUSE_MAX_S = 10.0  # between tries of work that raises each time: leases that end wait for it, so no longer
_DOUBLINGS = 10
_IN_VAIN_S = 0.001
_REMIND_S = 3_600.0


class LogLimit:
    """Limits logging of a repeated fault: a line when it begins or changes, and one an hour."""

    def __init__(self) -> None:
        self._what: str | None = None
        self._at = 0.0

    def should_log(self, what: str) -> bool:
        """Whether to log this now; if so, it counts as logged."""
        now = time.monotonic()
        if what == self._what and now - self._at < _REMIND_S:
            return False
        self._what, self._at = what, now
        return True


@dataclass(frozen=True, slots=True)
class Tick:
    """A piece of periodic work. `work` does a chunk and returns whether there is more; `due` returns the seconds until the next
    run.
    """

    name: str
    period_s: float
    work: Callable[[], Awaitable[bool]]
    due: Callable[[], Awaitable[float]] | None = None


class Ticker:
    """Runs every tick in a task of its own."""

    def __init__(self, ticks: list[Tick]) -> None:
        self._ticks = ticks
        self._tasks: list[asyncio.Task[None]] = []
        self._nudged = {tick.name: asyncio.Event() for tick in ticks}
        self._stopping = False
        self._started = 0.0

    def start(self) -> None:
        """Begin ticking."""
        self._started = time.monotonic()
        self._tasks = [asyncio.create_task(self._run(tick), name=f"tick:{tick.name}") for tick in self._ticks]

    def nudge(self) -> None:
        """Something is due earlier than planned."""
        for nudged in self._nudged.values():
            nudged.set()

    async def stop(self) -> None:
        """Stop all ticks, including one that swallows a cancellation, as a database driver may while it connects."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, tick: Tick) -> None:
        stumbles, log_limit, in_vain = 0, LogLimit(), 0
        while self._goes_on():
            try:
                await self._wait(tick)
                in_vain = 0 if await self._work(tick) else in_vain + 1
                stumbles = 0
            except Exception as error:
                if log_limit.should_log(f"{type(error).__name__}: {error}"):
                    log.exception("a tick raised an error; ticks continue", tick=tick.name)
                await asyncio.sleep(min(tick.period_s * 2.0**stumbles, max(tick.period_s, _PAUSE_MAX_S)))
                stumbles = min(stumbles + 1, _DOUBLINGS)
            else:
                if in_vain and tick.due is not None:  # what is due may be something that it can't do: do not spin
                    await asyncio.sleep(min(_IN_VAIN_S * 2.0 ** min(in_vain - 1, _DOUBLINGS), tick.period_s))

    async def _work(self, tick: Tick) -> bool:
        """Run until there is no more work, chunk by chunk; returns whether there was any."""
        chunks = 0
        while self._goes_on() and await tick.work():
            chunks += 1
        return chunks > 0

    def _goes_on(self) -> bool:
        return not self._stopping

    def _until_next(self, period_s: float) -> float:
        """The seconds until a period ends; until the end of the next one where that is sooner than half a period."""
        left = period_s - (time.monotonic() - self._started) % period_s
        return left if left >= period_s / 2 else left + period_s

    async def _wait(self, tick: Tick) -> None:
        if tick.due is None:
            await asyncio.sleep(self._until_next(tick.period_s))
            return
        nudged = self._nudged[tick.name]
        nudged.clear()  # before it is asked: what comes meanwhile may be what the answer leaves out
        while (left := await tick.due()) > 0:
            try:
                async with asyncio.timeout(min(left, self._until_next(tick.period_s))):
                    await nudged.wait()
            except TimeoutError:
                pass  # the usual end of a sleep
            nudged.clear()
