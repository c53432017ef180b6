"""Jobs for one channel, as long as it has credits; it waits as a long poll does (`engine/wait.py`).

One command leases as many jobs as there are free credits. While it is in progress, more credits may become free: they are for
the next one. A channel without free credits submits nothing, and a waiting one only costs the memory of its parking.

    nudge ─▶ look ──as many as asked for──▶ look again
               └──fewer──▶ park ──news──▶ look again
"""

import asyncio
from typing import Protocol

from holdfast.engine.engine import Engine
from holdfast.engine.wait import Wait
from holdfast.errors import Forbidden, Unauthorized, WorkerNotFound
from holdfast.limits import CHANNEL_GRANT_BYTES, LEASE_JOBS, WAIT_MS_MAX
from holdfast.messages.answers import Granted
from holdfast.messages.commands import LeaseJobs
from holdfast.messages.frame import Refused

_PAUSE_MS = 1_000  # after a refusal, before the next look
_FOR_GOOD = frozenset({Forbidden.code, Unauthorized.code, WorkerNotFound.code})


class Receiver(Protocol):
    """Whom a supply serves."""

    def room(self) -> int:
        """How many more jobs it can take just now."""
        ...

    def give(self, granted: Granted) -> None:
        """Take these."""
        ...

    def drain(self) -> None:
        """No more jobs will follow: the server shuts down."""
        ...

    def refuse(self, refused: Refused) -> None:
        """No more jobs will follow: the access key does not permit it."""
        ...


class Wanted:
    """What a worker wants jobs of."""

    __slots__ = ("by_priority", "lease_ms", "queues", "types", "worker")

    def __init__(
        self,
        queues: tuple[str, ...],
        worker: str,
        lease_ms: int | None,
        by_priority: bool,
        types: tuple[str, ...] | None = None,
    ) -> None:
        self.queues, self.worker, self.lease_ms, self.by_priority, self.types = queues, worker, lease_ms, by_priority, types


class JobFeeder(Wait[Granted]):
    """The flow of jobs to one channel."""

    def __init__(self, engine: Engine, receiver: Receiver, wanted: Wanted) -> None:
        super().__init__(engine, engine.arrivals, wanted.queues)
        self._engine = engine
        self._receiver = receiver
        self._wanted = wanted
        if wanted.types is not None:
            self._types = frozenset(wanted.types)
        self._loop = asyncio.get_running_loop()
        self._busy = False  # a look is due, in progress, or parked
        self._asked = 0

    def nudge(self) -> None:
        """There may be room: look, once all has happened that happens in this turn of the loop."""
        if not self._busy and not self.left:
            self._busy = True
            self._loop.call_soon(self.look)

    def wanted(self) -> LeaseJobs | None:
        """As many jobs as there is room for."""
        if self._engine.draining and not self.left:
            self._receiver.drain()
        room = 0 if self.left else min(self._receiver.room(), LEASE_JOBS)
        if room <= 0:
            self._busy = False
            return None
        self._asked = room
        wanted = self._wanted
        return LeaseJobs(
            wanted.queues,
            room,
            wanted.worker,
            wanted.lease_ms,
            None,
            wanted.by_priority,
            most_bytes=CHANNEL_GRANT_BYTES,
            waits=True,
            types=wanted.types,
        )

    def take(self, result: Granted | Refused) -> float | None:
        """Lease what there is room for, and wait if there was less than that."""
        if isinstance(result, Refused):
            if result.code in _FOR_GOOD:
                self._receiver.refuse(result)
                self._busy = False
                return None
            self._loop.call_later(_PAUSE_MS / 1000, self.look)
            return None
        jobs, room = result.jobs, max(0, self._receiver.room())
        if len(jobs) > room:
            self._engine.give_back([granted.job.ref() for granted in jobs[room:]])
        if room and jobs:
            self._receiver.give(Granted(jobs[:room], result.now))
        has_room = self._receiver.room() > 0  # it may not read what it was just given
        if len(jobs) < self._asked and has_room and not result.cut:
            return WAIT_MS_MAX / 1000  # short enough that a registered worker does not count as silent
        self._busy = False
        if has_room:
            self.nudge()
        return None

    def time_up(self) -> None:
        """Look again: the look is a sign of life, too."""
        self.look()
