"""The order of reads: cheap reads before expensive ones, with a bounded wait for all.

    cheap ─┐                  ┌─▶ one place        cheap reads alone: a job, a queue, a short page without a filter
    dear  ─┴─▶ two lines ─────┴─▶ the others       cheap ones first, else dear ones: what looks at many rows

A read whose caller has left (its task is cancelled) leaves the queue.
"""

import asyncio
from collections import deque

from holdfast.errors import Overloaded
from holdfast.limits import CHEAP_PAGE, CHEAP_READS_WAITING, DEAR_READS_WAITING, READ_WAIT_S
from holdfast.messages.audit import ListAudit
from holdfast.messages.frame import Answer, Query
from holdfast.messages.queries import CountJobs, CountUrgent, GetInterests, ListJobs, ListSchedules, ListWorkers, RecentFailures

_DEAR = (CountUrgent, GetInterests, ListAudit, RecentFailures)


def _is_filtered(query: ListJobs | CountJobs) -> bool:
    return query.type is not None or query.tag is not None or query.text is not None or query.scope is not None


def is_dear(query: Query[Answer]) -> bool:
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
    """So many places for reads at once."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._free_for_dear = max(1, places - 1)
        self._lines: dict[bool, deque[asyncio.Future[None]]] = {False: deque(), True: deque()}

    @property
    def waiting(self) -> int:
        """How many reads wait for their turn."""
        return sum([not turn.done() for line in self._lines.values() for turn in line])

    async def take(self, dear: bool) -> None:
        """Return when it is this read's turn, to be ended by `give`; raises `Overloaded` if that does not come."""
        if self._may_begin(dear):
            self._begin(dear)
            return
        line = self._lines[dear]
        if len(line) >= (most := DEAR_READS_WAITING if dear else CHEAP_READS_WAITING):
            line = self._lines[dear] = deque([turn for turn in line if not turn.done()])
        if len(line) >= most:
            raise Overloaded("Too many reads are waiting for the store.", retry_after_ms=1_000)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        timer = asyncio.get_running_loop().call_later(READ_WAIT_S, _give_up, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give(dear)  # it had just been its turn
            raise
        finally:
            timer.cancel()

    def give(self, dear: bool) -> None:
        """This read is over: the next one's turn."""
        self._free += 1
        self._free_for_dear += dear
        for kind, line in self._lines.items():  # the cheap ones first
            while line and self._may_begin(kind):
                turn = line.popleft()
                if not turn.done():  # else its caller has left, or its time is up
                    self._begin(kind)
                    turn.set_result(None)

    def _may_begin(self, dear: bool) -> bool:
        return self._free > 0 and (not dear or self._free_for_dear > 0)

    def _begin(self, dear: bool) -> None:
        self._free -= 1
        self._free_for_dear -= dear


def _give_up(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        turn.set_exception(
            Overloaded(f"Other reads took longer than {READ_WAIT_S:.0f} s; this one was not begun.", retry_after_ms=1_000)
        )
