"""Periodic work: every piece is a named tick that hands commands to the committer like anybody else.

A tick is safe on every node, so there is no leader. One with `due` sleeps until the moment that it names, and is nudged when an earlier
one comes up; the others run every `period_s`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)
_IN_VAIN_S = (
    0.05  # after a bite that found nothing to do: what is due may be out of reach, and must not be looked for in a circle
)


@dataclass(frozen=True, slots=True)
class Tick:
    """A piece of periodic work. `work` does a bounded bite and says whether there is more; `due` says in how many seconds."""

    name: str
    period_s: float
    work: Callable[[], Awaitable[bool]]
    due: Callable[[], Awaitable[float]] | None = None


class Ticker:
    """Runs every tick in a task of its own."""

    def __init__(self, ticks: list[Tick]) -> None:
        self._ticks = ticks
        self._tasks: list[asyncio.Task[None]] = []
        self._nudged = asyncio.Event()
        self._stopping = False

    def start(self) -> None:
        """Begin ticking."""
        self._tasks = [asyncio.create_task(self._run(tick), name=f"tick:{tick.name}") for tick in self._ticks]

    def nudge(self) -> None:
        """Something is due sooner than was thought."""
        self._nudged.set()

    async def stop(self) -> None:
        """End all ticks: also one whose work takes the cancellation for something else, as a driver may that is just connecting."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, tick: Tick) -> None:
        while self._goes_on():
            try:
                await self._wait(tick)
                more = did = await tick.work()
                while more and self._goes_on():
                    more = await tick.work()
                if tick.due is not None and not did:
                    await asyncio.sleep(_IN_VAIN_S)
            except Exception:
                log.exception("a tick raised; it goes on", tick=tick.name)
                await asyncio.sleep(tick.period_s)

    def _goes_on(self) -> bool:
        return not self._stopping

    async def _wait(self, tick: Tick) -> None:
        if tick.due is None:
            await asyncio.sleep(tick.period_s)
            return
        while (left := await tick.due()) > 0:
            self._nudged.clear()
            try:
                async with asyncio.timeout(min(left, tick.period_s)):
                    await self._nudged.wait()
            except TimeoutError:
                pass  # the usual end of a sleep
