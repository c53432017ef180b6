"""Jobs for one channel, as long as it has credits: look, and where there is nothing, park as a long poll does.

One command asks for as many jobs as there are credits free. While it is on its way, more credits may come free: they are for the next one.
A channel without free credits asks for nothing, and one that waits costs nothing but the memory of its parking.

    nudge ─▶ look ──as many as asked for──▶ look again
               └──fewer──▶ park ──news──▶ look again
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from holdfast.engine.engine import Engine
from holdfast.errors import Overloaded
from holdfast.limits import CHANNEL_GRANT_BYTES, LEASE_JOBS, WAIT_MS_MAX
from holdfast.messages.answers import Granted
from holdfast.messages.commands import LeaseJobs
from holdfast.messages.frame import Refused

_PAUSE_MS = 1_000  # after a refusal, before the next look


class Receiver(Protocol):
    """Whom a supply serves."""

    def room(self) -> int:
        """How many more jobs it can take just now."""
        ...

    def give(self, granted: Granted) -> None:
        """Take these."""
        ...

    def drain(self) -> None:
        """Nothing more will come: the server shuts down."""
        ...


class Wanted:
    """What a worker wants jobs of."""

    __slots__ = ("by_priority", "lease_ms", "queues", "worker")

    def __init__(self, queues: tuple[str, ...], worker: str, lease_ms: int | None, by_priority: bool) -> None:
        self.queues, self.worker, self.lease_ms, self.by_priority = queues, worker, lease_ms, by_priority


class JobFeeder:
    """The flow of jobs to one channel."""

    __slots__ = ("_busy", "_ended", "_engine", "_loop", "_mark", "_parking", "_receiver", "_wanted", "_woken")

    def __init__(self, engine: Engine, receiver: Receiver, wanted: Wanted) -> None:
        self._engine = engine
        self._receiver = receiver
        self._wanted = wanted
        self._loop = asyncio.get_running_loop()
        self._busy = False  # a look is due, or under way, or parked
        self._ended = False
        self._mark = 0
        self._woken: str | None = None
        self._parking: asyncio.Task[None] | None = None

    def nudge(self) -> None:
        """There may be room: look, once all has happened that happens in this turn of the loop."""
        if not self._busy and not self._ended:
            self._busy = True
            self._loop.call_soon(self._look)

    def end(self) -> None:
        """Ask for nothing more. What is on its way is handed back."""
        self._ended = True
        if self._parking is not None:
            self._parking.cancel()

    def _look(self) -> None:
        woken, self._woken = self._woken, None
        if self._engine.draining and not self._ended:
            self._receiver.drain()
        room = 0 if self._ended else min(self._receiver.room(), LEASE_JOBS)
        if room <= 0:
            self._busy = False
            if woken is not None:
                self._engine.arrivals.notify(woken, 1)  # the news was meant for one who can use it
            return
        wanted = self._wanted
        self._mark = self._engine.arrivals.mark(wanted.queues)
        command = LeaseJobs(
            wanted.queues, room, wanted.worker, wanted.lease_ms, None, wanted.by_priority, most_bytes=CHANNEL_GRANT_BYTES
        )
        self._engine.submit_nowait(command, 0, partial(self._looked, room, woken))

    def _looked(self, asked: int, woken: str | None, result: Granted | Refused) -> None:
        if isinstance(result, Refused):
            self._later(self._look)
            return
        jobs = result.jobs
        if woken is not None and jobs and all(granted.job.queue != woken for granted in jobs):
            self._engine.arrivals.notify(woken, 1)  # we were woken for another queue's job and left it there
        if woken is not None and result.quiet:
            self._engine.arrivals.notify(woken, 1)  # our worker is given nothing more: the next one may be
            self._mark = self._engine.arrivals.mark(self._wanted.queues)
        room = 0 if self._ended else self._receiver.room()
        if len(jobs) > room:
            self._engine.hand_back([granted.job.ref() for granted in jobs[room:]])
        if room and jobs:
            self._receiver.give(Granted(jobs[:room], result.now))
        if len(jobs) < asked and room > len(jobs) and not result.cut:
            self._parking = asyncio.ensure_future(self._park())
        else:
            self._busy = False
            if room > len(jobs):
                self.nudge()

    def _later(self, then: Callable[[], None]) -> None:
        self._loop.call_later(_PAUSE_MS / 1000, then)

    async def _park(self) -> None:
        """Wait for news; the longest wait is short enough that a registered worker is not taken for silent."""
        try:
            self._woken = await self._engine.arrivals.park(self._wanted.queues, self._mark, WAIT_MS_MAX / 1000)
        except Overloaded:
            self._later(self._look)
            return
        finally:
            self._parking = None
        self._look()
