"""Queues whose row another transaction holds for long, set aside so that only they stand still.

A queue's row is the lock of everything in it. Other nodes hold it for the length of a batch, and are waited for. An application
that enqueues by SQL and does other work before it commits, an open console, or a node that was stopped within a transaction
holds it for seconds or indefinitely.

    a batch waits `WAIT_MS` in vain ─▶ the holders are looked for ─▶ their queues are set aside, and the batch begins anew without them
    every later batch looks whether they are free again, at most every `LOOK_S`, and then they count as before

A command that needs a queue set aside is refused alone. For a while after that, lock timeouts are shorter, because the same
program may do it again.
"""

import time
from collections.abc import Sequence
from typing import Any

import asyncpg

from holdfast.logs import structlog
from holdfast.messages.views import HeldQueue
from holdfast.stores.postgres.sql import SQL
from holdfast.stores.store import QueueHeld

log = structlog.get_logger(__name__)

WAIT_MS = 1_000  # for a lock: longer than batches of other nodes hold it
HASTY_MS = 250  # the same, while a queue was recently held for long
OLD_MS = 800  # a transaction that holds a queue and is older than this is not a batch of another node
LOOK_S = 0.1
SUSPECT_S = 60.0
_NEW_S = (1.0, 4.0)  # how long a queue that another transaction is creating is left alone, growing
_PATIENCE = 2  # timeouts in a row without finding a transaction that has held anything for long

Wanted = tuple[Sequence[str], Sequence[int], Sequence[int], Sequence[int]]
"""Names, numbers, fences and jobs by which a batch names queues."""


class HeldQueues:
    """The queues that this node has set aside, by id; and names of queues that other transactions are creating."""

    def __init__(self) -> None:
        self.queues: dict[int, str] = {}
        self._holders: dict[int, HeldQueue] = {}  # as they were seen last
        self._until: dict[int, float] = {}  # of those whose holder is not known
        self._making: dict[str, tuple[float, float]] = {}  # until when, and how long this was
        self._looked_at = 0.0
        self._suspect_until = 0.0
        self._in_vain = 0

    @property
    def hasty(self) -> bool:
        """Whether locks are to be waited for only shortly."""
        return time.monotonic() < self._suspect_until

    def suspect(self) -> None:
        """A queue is held for long: use short lock timeouts for a while."""
        self._suspect_until = time.monotonic() + SUSPECT_S

    @property
    def names(self) -> set[str]:
        """Of all that can't be had now."""
        if not self.queues and not self._making:
            return set()
        now = time.monotonic()
        return {*self.queues.values(), *(name for name, (until, _) in self._making.items() if now < until)}

    def seen(self) -> tuple[HeldQueue, ...]:
        """The queues that are set aside, and their holders as far as known."""
        unknown = "other programs"
        found = [self._holders.get(number) or HeldQueue(name, unknown) for number, name in self.queues.items()]
        now, known = time.monotonic(), set(self.queues.values())
        making = [name for name, (until, _) in self._making.items() if now < until and name not in known]
        return (*found, *(HeldQueue(name, "another program, which is just making it") for name in making))

    def check(self, name: str) -> None:
        """Raises `QueueHeld` if the queue is set aside."""
        if (self.queues or self._making) and name in self.names:
            raise QueueHeld(name)

    def making(self, name: str) -> None:
        """Somebody else makes a queue of this name, and does not get done with it."""
        _, pause = self._making.get(name, (0.0, _NEW_S[0] / 2))
        pause = min(_NEW_S[1], pause * 2)
        if len(self._making) > 1_000:
            self._making.clear()
        self._making[name] = (time.monotonic() + pause, pause)
        self.suspect()

    def made(self, name: str) -> None:
        """The queue exists now."""
        self._making.pop(name, None)

    def forget(self) -> None:
        """Another server may be the one that counts now."""
        self.queues.clear()
        self._holders.clear()
        self._until.clear()
        self._making.clear()

    async def look(self, connection: Any) -> None:
        """See which are free again; before a batch begins."""
        if not self.queues or time.monotonic() - self._looked_at < LOOK_S:
            return
        self._holders = {
            row["id"]: _held_by(row) for row in await connection.fetch(SQL["held_queues"], list(self.queues), OLD_MS)
        }
        still = set(self._holders)
        self._looked_at = now = time.monotonic()
        self._until = {number: until for number, until in self._until.items() if now < until}
        still |= self._until.keys()
        for number in self.queues.keys() - still:
            log.info("a queue is free again", queue=self.queues.pop(number))

    async def find(self, connection: Any, wanted: Wanted) -> bool:
        """After a lock timeout, outside any transaction: set aside the queues that others hold. Returns whether to retry the
        batch.
        """
        numbers = [row[0] for row in await connection.fetch(SQL["wanted_queues"], *map(list, wanted))]
        found = await connection.fetch(SQL["held_queues"], numbers, OLD_MS)
        for row in found:
            self.queues[row["id"]] = row["name"]
            self._holders[row["id"]] = _held_by(row)
            log.warning(
                "a queue is held by a transaction that does not end; it is set aside until it does",
                queue=row["name"],
                program=row["program"],
                pid=row["pid"],
                state=row["state"],
                since_ms=row["ms"],
            )
        if found:
            self._looked_at, self._in_vain = time.monotonic(), 0
            self.suspect()
            return True
        self._in_vain += 1
        if self._in_vain <= _PATIENCE:
            return True
        self._in_vain = 0
        return await self._set_aside_locked(connection, numbers)

    async def _set_aside_locked(self, connection: Any, numbers: list[int]) -> bool:
        """Held by several transactions that share the lock, such as FOR SHARE. Then only trying the lock can tell."""
        try:
            await connection.execute("BEGIN")
            free = {row[0] for row in await connection.fetch(SQL["free_queues"], numbers)}
        except asyncpg.LockNotAvailableError:  # the whole table is held
            return False
        finally:
            await connection.execute("ROLLBACK")
        held = [number for number in numbers if number not in free]
        names = dict(await connection.fetch(SQL["queue_names_of"], held)) if held else {}
        for number, name in names.items():
            log.warning("other programs lock a queue; it is set aside for a while", queue=name)
            self.queues[number], self._until[number] = name, time.monotonic() + _NEW_S[0]
        self._looked_at = time.monotonic()
        self.suspect()
        return True


def _held_by(row: Any) -> HeldQueue:
    return HeldQueue(row["name"], row["program"], row["pid"], row["state"], row["ms"])
