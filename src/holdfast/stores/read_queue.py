"""The order of reads: cheap reads before expensive ones, with a bounded wait for all.

    keys  ───▶ a line ───────────▶ a place          the looks of the fronts at the access keys: no other read delays them
    cheap ─┐                  ┌─▶ one place        cheap reads alone: a job, a queue, a short page without a filter
    dear  ─┴─▶ two lines ─────┴─▶ the others       cheap ones first, else dear ones: what looks at many rows

A read whose caller has left (its task is cancelled) leaves the queue.
"""

import asyncio
from collections import deque
from enum import IntEnum

from holdfast.errors import Overloaded
from holdfast.limits import CHEAP_PAGE, CHEAP_READS_WAITING, DEAR_READS_WAITING, READ_WAIT_S
from holdfast.messages.audit import ListAudit
from holdfast.messages.fair_commands import GetShares
from holdfast.messages.frame import Answer, Query
from holdfast.messages.key_commands import ListKeys
from holdfast.messages.operations import FindJobs
from holdfast.messages.queries import (
    CountJobs,
    CountUrgent,
    GetInterests,
    ListJobs,
    ListSchedules,
    ListWorkers,
    RecentFailures,
    is_narrowed,
)

_DEAR = (CountUrgent, FindJobs, GetInterests, GetShares, ListAudit, RecentFailures)


def _is_filtered(query: ListJobs | CountJobs) -> bool:
    return is_narrowed(query) or query.scope is not None


class Line(IntEnum):
    """What waits together."""

    KEYS = 0
    CHEAP = 1
    DEAR = 2


def line_of(query: Query[Answer]) -> Line:
    """Where a read waits."""
    if isinstance(query, ListKeys) and query.known is not None:
        return Line.KEYS
    return Line.DEAR if _is_dear(query) else Line.CHEAP


def _is_dear(query: Query[Answer]) -> bool:
    """Whether answering may take more than some milliseconds."""
    match query:
        case ListJobs():
            return query.limit > CHEAP_PAGE or _is_filtered(query)
        case CountJobs():
            return _is_filtered(query)
        case ListSchedules():
            return query.name is None
        case ListWorkers():
            return query.id is None
        case _:
            return isinstance(query, _DEAR)


class ReadQueue:
    """So many places for reads at once, and one for looks at the keys."""

    def __init__(self, places: int) -> None:
        self._free_for_keys = 1
        self._free = places
        self._free_for_dear = max(1, places - 1)
        self._lines: dict[Line, deque[asyncio.Future[None]]] = {line: deque() for line in Line}

    @property
    def waiting(self) -> int:
        """How many reads wait for their turn."""
        return sum([not turn.done() for line in self._lines.values() for turn in line])

    async def take(self, kind: Line) -> None:
        """Return when it is this read's turn, to be ended by `give`; raises `Overloaded` if that does not come."""
        if self._may_begin(kind):
            self._count(kind, -1)
            return
        line = self._lines[kind]
        if len(line) >= (most := DEAR_READS_WAITING if kind is Line.DEAR else CHEAP_READS_WAITING):
            line = self._lines[kind] = deque([turn for turn in line if not turn.done()])
        if len(line) >= most:
            raise Overloaded("Too many reads are waiting for the store.", retry_after_ms=1_000)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        timer = asyncio.get_running_loop().call_later(READ_WAIT_S, _give_up, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give(kind)  # it had just been its turn
            raise
        finally:
            timer.cancel()

    def give(self, kind: Line) -> None:
        """This read is over: the next one's turn."""
        self._count(kind, 1)
        for one, line in self._lines.items():  # the cheap ones before the dear ones
            while line and self._may_begin(one):
                turn = line.popleft()
                if not turn.done():  # else its caller has left, or its time is up
                    self._count(one, -1)
                    turn.set_result(None)

    def _may_begin(self, kind: Line) -> bool:
        if kind is Line.KEYS:
            return self._free_for_keys > 0
        return self._free > 0 and (kind is Line.CHEAP or self._free_for_dear > 0)

    def _count(self, kind: Line, places: int) -> None:
        if kind is Line.KEYS:
            self._free_for_keys += places
            return
        self._free += places
        if kind is Line.DEAR:
            self._free_for_dear += places


def _give_up(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        turn.set_exception(
            Overloaded(f"Other reads took longer than {READ_WAIT_S:.0f} s; this one was not begun.", retry_after_ms=1_000)
        )
