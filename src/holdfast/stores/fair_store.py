"""The part of the store protocol that is about fair shares: lines of keys, their turns, clocks and weights. See `job/fair.py`."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from holdfast.job.fair import Clock, Line, LineId
from holdfast.job.queue import Queue
from holdfast.stores.by_type import OrderedJobs


class FairTransaction(Protocol):
    """See `stores.store.Transaction`. The row of a queue is the lock of its lines and clocks."""

    async def fair_lines(self, ids: Sequence[LineId]) -> dict[LineId, Line]:
        """These lines; those that are not there as new ones, with the weights of their keys."""
        ...

    async def fair_clocks(self, ids: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Clock]:
        """The clocks of these queues and priorities; those that are not there as new ones."""
        ...

    async def clocks_in_use(self, queue: Queue, after: int, limit: int) -> list[Clock]:
        """Clocks of the queue at which jobs wait, in the order of their priorities, behind this one."""
        ...

    async def next_lines(self, clock: Clock, types: Sequence[str] | None, limit: int) -> list[Line]:
        """The lines with the earliest turns, of those in which jobs (of these types, in a queue that is kept by type) wait."""
        ...

    async def line_places(
        self, queue: Queue, asked: Sequence[tuple[Line, int]], types: Sequence[str] | None
    ) -> list[list[int]]:
        """For each of these lines the ids of its first so many jobs (of these types)."""
        ...

    async def ready_at(self, queue: Queue, places: Sequence[tuple[int, int]]) -> OrderedJobs:
        """The jobs at these places (priority, id) of the queue's order, in any order."""
        ...

    async def first_jobs(self, queue: Queue, lines: Sequence[Line]) -> OrderedJobs:
        """The first job of each of these lines of one priority, in any order, as far as that is read in one go."""
        ...

    async def save_shares(self, lines: Mapping[LineId, Line], gone: Sequence[LineId], clocks: Sequence[Clock]) -> None:
        """Write these lines and clocks, and forget those lines."""
        ...

    async def shift_lines(self, clock: Clock, by: int) -> None:
        """Let the turns of all lines of a clock be so much earlier."""
        ...

    async def fill_fair(self, queue: Queue, after: tuple[int, int], limit: int) -> list[tuple[int, int, str]]:
        """Give up to `limit` ready jobs behind this place their fair keys: priority, id and key of each, in order."""
        ...

    async def clear_shares(self, queue: Queue, limit: int) -> int:
        """Forget up to so many lines of a queue; how many there were. Fewer: its clocks are gone, too."""
        ...

    async def forget_lines(self, limit: int) -> tuple[int, bool]:
        """Forget up to so many lines that new ones would equal; how many, and whether all have been looked at. Then clocks that nobody needs are
        gone, too.
        """
        ...

    async def forget_surplus(self, most: int, limit: int) -> int:
        """Forget up to so many lines without jobs where one priority of a queue has more than `most`: those that are ahead the least; how many."""
        ...

    async def fair_weight_count(self, queue: Queue) -> int:
        """How many keys of the queue have a weight of their own."""
        ...

    async def fair_weight(self, queue: Queue, key: str) -> int | None:
        """The weight of a key, if it has one of its own."""
        ...

    async def save_fair_weight(self, queue: Queue, key: str, weight: int | None) -> None:
        """Set or remove the weight of a key, also where its lines are. No line of the queue may be changed and not saved."""
        ...
