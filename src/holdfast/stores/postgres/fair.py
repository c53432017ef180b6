"""Fair shares in PostgreSQL. The row of a queue is the lock of its lines and clocks; what is written goes with the rows of the batch."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgspec.structs import astuple

from holdfast.job.fair import Clock, Line, LineId
from holdfast.job.queue import Queue
from holdfast.limits import FAIR_CHUNK
from holdfast.stores.by_type import OrderedJobs
from holdfast.stores.postgres.loader import Loader
from holdfast.stores.postgres.sql import SQL
from holdfast.stores.rows import Row, fair_key_of


class FairRows(Loader):
    """This part of a transaction."""

    _rows: defaultdict[str, list[Row]]

    async def fair_lines(self, ids: Sequence[LineId]) -> dict[LineId, Line]:
        """These lines."""
        found = await self._db.fetch(SQL["fair_lines"], *map(list, zip(*ids, strict=True))) if ids else ()
        return {(row[0], row[1], row[2]): Line(*row) for row in found}

    async def fair_clocks(self, ids: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Clock]:
        """The clocks of these queues and priorities."""
        found = await self._db.fetch(SQL["fair_clocks_of"], *map(list, zip(*ids, strict=True))) if ids else ()
        return {one: Clock(*one) for one in ids} | {(row[0], row[1]): Clock(*row) for row in found}

    async def clocks_in_use(self, queue: Queue, after: int, limit: int) -> list[Clock]:
        """Clocks at which jobs wait."""
        return [Clock(*row) for row in await self._fetch("fair_clocks", queue.id, after, limit)]

    async def next_lines(self, clock: Clock, types: Sequence[str] | None, limit: int) -> list[Line]:
        """The lines with the earliest turns."""
        if types is None:
            found = await self._fetch("fair_head", clock.queue, clock.priority, clock.low, limit)
        else:
            found = await self._fetch("fair_head_types", clock.queue, clock.priority, clock.low, limit, list(types))
        return [Line(*row) for row in found]

    async def line_places(
        self, queue: Queue, asked: Sequence[tuple[Line, int]], types: Sequence[str] | None
    ) -> list[list[int]]:
        """The ids of the first jobs of each line."""
        lines = [(line.priority, line.key, line.first, most) for line, most in asked]
        values = [queue.id, *map(list, zip(*lines, strict=True))]
        if types is None:
            found = await self._fetch("fair_places", *values)
        else:
            found = await self._fetch("fair_places_types", *values, list(types))
        ids: dict[tuple[int, str], list[int]] = {(line.priority, line.key): [] for line, _ in asked}
        for row in found:
            ids[row[0], row[1]].append(row[2])
        return [sorted(ids[line.priority, line.key]) for line, _ in asked]

    async def ready_at(self, queue: Queue, places: Sequence[tuple[int, int]]) -> OrderedJobs:
        """The jobs at these places."""
        values = (queue.id, *map(list, zip(*places, strict=True)))
        found = await self._lines("next_ready_at", *values)
        if len(found) < len(places) and await self._recover("recover_ready", queue.id, FAIR_CHUNK):
            found = await self._lines("next_ready_at", *values)
        return [(job, content) for _, job, content in found]

    async def first_jobs(self, queue: Queue, lines: Sequence[Line]) -> OrderedJobs:
        """The first job of each line."""
        keys, firsts = [line.key for line in lines], [line.first for line in lines]
        found = await self._lines("fair_first_jobs", queue.id, lines[0].priority, keys, firsts)
        return [(job, content) for _, job, content in found]

    async def save_shares(self, lines: Mapping[LineId, Line], gone: Sequence[LineId], clocks: Sequence[Clock]) -> None:
        """Write lines and clocks with the next rows."""
        if any(name in self._rows for name in ("insert_fair_line", "delete_fair_line", "insert_fair_clock")):
            await self._settle()
        if lines:
            self._rows["insert_fair_line"] += [astuple(line) for line in lines.values()]
        if gone:
            self._rows["delete_fair_line"] += gone
        if clocks:
            self._rows["insert_fair_clock"] += [astuple(clock) for clock in clocks]

    async def shift_lines(self, clock: Clock, by: int) -> None:
        """Let turns be earlier."""
        await self._settle()
        await self._db.execute(SQL["shift_lines"], clock.queue, clock.priority, by)
        self._note_written()

    async def fill_fair(self, queue: Queue, after: tuple[int, int], limit: int) -> list[tuple[int, int, str]]:
        """Give jobs their fair keys."""
        rows = await self._fetch("fair_keys_after", queue.id, *after, limit)
        found = [(row[0], row[1], fair_key_of(row[2])) for row in rows]
        if found:
            await self._db.execute(SQL["fill_fair"], [queue.id] * len(found), *map(list, zip(*found, strict=True)))
            self._note_written()
        return found

    async def clear_shares(self, queue: Queue, limit: int) -> int:
        """Forget lines of a queue."""
        count = int(await self._value("clear_lines", queue.id, limit))
        if count < limit:
            await self._db.execute(SQL["clear_clocks"], queue.id)
        self._note_written()
        return count

    async def forget_lines(self, limit: int) -> tuple[int, bool]:
        """Forget lines that new ones would equal, in the queues that are locked."""
        locked = [queue.id for queue in self._queues.values()]
        count = int(await self._value("forget_lines", limit, locked))
        if count < limit:
            await self._db.execute(SQL["forget_clocks"], locked)
        self._note_written()
        return count, count < limit and not self._more_idle

    async def forget_surplus(self, most: int, limit: int) -> int:
        """Forget lines without jobs that are too many, likewise."""
        count = int(await self._value("forget_surplus", most, limit, [queue.id for queue in self._queues.values()]))
        if count:
            self._note_written()
        return count

    async def fair_weight_count(self, queue: Queue) -> int:
        """How many weights there are."""
        return int(await self._value("fair_weight_count", queue.id))

    async def fair_weight(self, queue: Queue, key: str) -> int | None:
        """The weight of a key."""
        weight: int | None = await self._value("fair_weight", queue.id, key)
        return weight

    async def save_fair_weight(self, queue: Queue, key: str, weight: int | None) -> None:
        """Set or remove a weight."""
        await self._settle()
        if weight is None:
            await self._db.execute(SQL["delete_fair_weight"], queue.id, key)
        else:
            await self._db.execute(SQL["save_fair_weight"], queue.id, key, weight)
        await self._db.execute(SQL["weigh_lines"], weight or 1, queue.id, key)
        self._note_written()
