"""Rows that are not as this program writes them: what was found since the start, told once each.

One such row never stops its neighbours. What it stands for is set aside with its reason (a job is made dead, a queue gives nothing out, an
interest matches nothing), and the ordinary verbs mend or remove it.
"""

import time

import structlog

from holdfast.job.queue import Queue
from holdfast.limits import MISSING_LOOK_S, UNREADABLE_REMEMBERED

log = structlog.get_logger(__name__)
_SHOWN = 60


class Unreadable:
    """What was found, by table and key; the counts go on where the sentences end."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], str] = {}
        self.counts: dict[str, int] = {}

    def note(self, table: str, key: object, why: str) -> None:
        """Take note of a row, and tell of it where it is a new one."""
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
    """When it is looked in a queue's line for rows of jobs whose own row is missing: they are in no line that is read.

    Once, and then again where the line is shorter than the tally says, at most every `MISSING_LOOK_S`: jobs that wait for their group or for
    one worker are in the tally, too. The line is short, so that a look costs little more than reading it.
    """

    def __init__(self) -> None:
        self._next: dict[int, float] = {}

    def due(self, queue: Queue, found: int) -> bool:
        """Whether to look in this queue, of which so many ready jobs were read and there are no more."""
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
