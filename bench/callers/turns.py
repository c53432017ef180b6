"""One call after the other: as fast as they are answered, or at a fixed rate.

A call at a fixed rate counts from when it was due if the caller was still busy with the one before, and otherwise from when the caller woke: how late the
machine's timer is says nothing about a server.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from bench.callers.marks import clock


class Turns:
    """What one order does, and what came of it. Times in seconds."""

    def __init__(self, first: int, count: int, seconds: float, rate: float) -> None:
        self.first, self.next = first, first
        self._count, self._seconds, self._rate = count, seconds, rate
        self.took: list[float] = []
        self.sent: list[float] = []
        self.failures: dict[str, int] = {}
        self.first_failure = ""
        self.began = clock()

    def due(self) -> Iterator[float]:
        """When each turn is due; 0 for at once."""
        self.began = clock()
        most = self._count or (max(1, int(self._rate * self._seconds)) if self._rate else 0)
        while (not most or self.next < self.first + most) and (self._rate or clock() < self.began + self._seconds):
            yield self.began + (self.next - self.first) / self._rate if self._rate else 0.0

    def answered(self, sent: float) -> None:
        self.took.append(clock() - sent)
        self.sent.append(sent)
        self.next += 1

    def failed(self, error: Exception) -> None:
        kind = type(error).__name__
        self.failures[kind] = self.failures.get(kind, 0) + 1
        self.first_failure = self.first_failure or f"{kind}: {error}"[:500]
        self.sent.append(clock())
        self.next += 1

    def said(self) -> dict[str, Any]:
        """For the harness. `sent` has one time for each number, from `first` on."""
        about = {"first": self.first, "next": self.next, "seconds": clock() - self.began}
        return about | {"took": self.took, "sent": self.sent, "failures": self.failures, "first_failure": self.first_failure}


def play(door: Any, turns: Turns) -> None:
    """Blocking calls."""
    for due in turns.due():
        if (ahead := due - clock()) > 0:
            time.sleep(ahead)
        sent = due if due and ahead <= 0 else clock()
        try:
            door.turn(turns.next)
        except Exception as error:  # noqa: BLE001 -- counted, and the first is shown
            turns.failed(error)
        else:
            turns.answered(sent)


async def play_async(door: Any, turns: Turns) -> None:
    """The same with coroutines."""
    for due in turns.due():
        if (ahead := due - clock()) > 0:
            await asyncio.sleep(ahead)
        sent = due if due and ahead <= 0 else clock()
        try:
            await door.turn(turns.next)
        except Exception as error:  # noqa: BLE001 -- counted, and the first is shown
            turns.failed(error)
        else:
            turns.answered(sent)
