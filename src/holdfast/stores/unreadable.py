"""Rows that this program can't read: those found since the start, each logged once.

Such a row never blocks others. What it describes is set aside with its reason (a job becomes dead, a queue grants no leases, an
interest matches nothing), and the ordinary verbs repair or remove it.
"""

import time

from holdfast.job.queue import Queue
from holdfast.limits import MISSING_LOOK_S, UNREADABLE_REMEMBERED
from holdfast.logs import structlog

log = structlog.get_logger(__name__)
_SHOWN = 60


class Unreadable:
    """What was found, by table and key; the counts go on where the sentences end."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], str] = {}
        self.counts: dict[str, int] = {}

    def note(self, table: str, key: object, why: str) -> None:
        """Record a row, and log it if it is new."""
        place = (table, str(key))
        if self._found.get(place) == why:
            return
        if len(self._found) >= UNREADABLE_REMEMBERED and place not in self._found:
            self._found.pop(next(iter(self._found)))
        self._found[place] = why
        self.counts[table] = self.counts.get(table, 0) + 1
        log.error("a row of the store can't be read; it is set aside", table=table, row=str(key), reason=why)

    def sentences(self, most: int) -> list[str]:
        """The last ones found, the newest first."""
        return [f"{table} {key}: {why}" for (table, key), why in reversed(list(self._found.items())[-most:])]


FOUND = Unreadable()
"""Of this process: there is one store to a process that decides."""


class Looks:
    """When to look in a queue for jobs whose own row is missing: no listing of ready jobs finds them.

    Once, and then again if there are fewer ready jobs than the tally says, at most every `MISSING_LOOK_S`: jobs that wait for
    their group or for one worker are in the tally, too. There are few ready jobs then, so that looking costs little more than
    reading them.
    """

    def __init__(self) -> None:
        self._next: dict[int, float] = {}

    def due(self, queue: Queue, found: int) -> bool:
        """Whether to look in this queue, in which all ready jobs, that many, were read."""
        after = self._next.get(queue.id)
        if after is not None and (queue.tally.ready <= found or time.monotonic() < after):
            return False
        self._next[queue.id] = time.monotonic() + MISSING_LOOK_S
        return True


def shown(value: object) -> str:
    """The beginning of a column, on one line."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = bytes(value).decode(errors="backslashreplace")
    return repr(str(value)[:_SHOWN])
