"""Fair shares in a file: lines and clocks are remembered between transactions, as they are on disk."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import apsw
from msgspec.structs import astuple

from holdfast.job.fair import Clock, Line, LineId
from holdfast.job.queue import Queue
from holdfast.limits import FAIR_CHUNK, FAIR_LINES_KEPT, GRANT_BYTES
from holdfast.stores.by_type import OrderedJobs
from holdfast.stores.formats import UNREADABLE
from holdfast.stores.rows import Row, fair_key_of, json_text, ready_of
from holdfast.stores.sqlite.cache import FIRST_LINE, Cache
from holdfast.stores.sqlite.sql import SQL
from holdfast.stores.sqlite.undecodable import fetch_undecodable

WHOLE = 4_000  # lines of a queue, of which all are remembered
CLOCKS_KEPT = 64  # of a queue, in memory: with more priorities than that they are read when they are needed


class FairRows:
    """This part of a transaction."""

    _db: apsw.Connection
    _cache: Cache

    async def fair_lines(self, ids: Sequence[LineId]) -> dict[LineId, Line]:
        """These lines."""
        lines, found = self._cache.lines, {}
        for one in ids:
            line = lines.known.get(one)
            if line is None:
                line = self._line_of(*one)
            found[one] = line
        return found

    def _line_of(self, queue: int, priority: int, key: str) -> Line:
        """A line that is not remembered."""
        lines, row = self._cache.lines, None
        if self._knows_all(queue):
            if (line := lines.known.get((queue, priority, key))) is not None:
                return line  # just read with all others
        else:
            row = self._db.execute(SQL["fair_line"], (queue, key, priority)).fetchone()
        found: Any = row
        return lines.keep(
            Line(*found) if found is not None else Line(queue, priority, key, weight=self._weight(queue, key) or 1)
        )

    def _knows_all(self, queue: int) -> bool:
        """Whether all lines of a queue are in memory: where there are few, so that most keys that come are known to be new."""
        lines = self._cache.lines
        if queue not in lines.whole:
            found = fetch_undecodable(self._db, SQL["fair_lines_of"], (queue, WHOLE + 1), of_jobs=False)
            lines.whole[queue] = len(found) <= WHOLE and len(lines.known) + len(found) <= FAIR_LINES_KEPT
            if lines.whole[queue]:
                for row in found:
                    lines.known.setdefault((row[0], row[1], row[2]), Line(*row))
        return lines.whole[queue]

    def _weight(self, queue: int, key: str) -> int | None:
        weights = self._cache.lines.weights.get(queue)
        if weights is None:
            found = fetch_undecodable(self._db, SQL["fair_weights_of"], (queue,), of_jobs=False)
            weights = self._cache.lines.weights[queue] = {row[0]: row[1] for row in found}
        return weights.get(key)

    def _clocks_of(self, queue: int) -> dict[int, Clock] | None:
        """All clocks of a queue; None where there are so many that they are not remembered."""
        if queue not in self._cache.clocks:
            found: Any = self._db.execute(SQL["fair_clocks"], (queue, CLOCKS_KEPT + 1)).fetchall()
            self._cache.clocks[queue] = {row[1]: Clock(*row) for row in found} if len(found) <= CLOCKS_KEPT else None
        return self._cache.clocks[queue]

    def _clock(self, queue: int, priority: int) -> Clock:
        known = self._clocks_of(queue)
        if known is not None:
            return known.get(priority) or Clock(queue, priority)
        row: Any = self._db.execute(SQL["fair_clock"], (queue, priority)).fetchone()
        return Clock(queue, priority) if row is None else Clock(*row)

    async def fair_clocks(self, ids: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Clock]:
        """The clocks of these queues and priorities."""
        return {(queue, priority): self._clock(queue, priority) for queue, priority in ids}

    async def clocks_in_use(self, queue: Queue, after: int, limit: int) -> list[Clock]:
        """Clocks at which jobs wait."""
        known = self._clocks_of(queue.id)
        if known is None:
            found: Any = self._db.execute(SQL["fair_clocks_in_use"], (queue.id, after, limit)).fetchall()
            return [Clock(*row) for row in found]
        if len(known) == 1:
            return [clock for clock in known.values() if clock.lines > 0 and clock.priority > after]
        return sorted(
            [clock for clock in known.values() if clock.lines > 0 and clock.priority > after], key=lambda clock: clock.priority
        )[:limit]

    async def next_lines(self, clock: Clock, types: Sequence[str] | None, limit: int) -> list[Line]:
        """The lines with the earliest turns."""
        bindings: tuple[Any, ...] = (clock.queue, clock.priority, clock.low, limit)
        lines = self._cache.lines
        if types is not None:
            found: Any = self._db.execute(SQL["fair_head_types"], (*bindings, json_text(types))).fetchall()
        else:
            ids: Any = self._db.execute(SQL["fair_next"], bindings).fetchall()
            with suppress(KeyError):  # where one is not known, all are read
                return [lines.known[one] for one in ids]
            found = self._db.execute(SQL["fair_head"], bindings).fetchall()
        return [lines.known.get((row[0], row[1], row[2])) or lines.keep(Line(*row)) for row in found]

    async def line_places(
        self, queue: Queue, asked: Sequence[tuple[Line, int]], types: Sequence[str] | None
    ) -> list[list[int]]:
        """The ids of the first jobs of each line."""
        execute, found = self._db.execute, []
        for line, most in asked:
            bindings = (queue.id, line.priority, line.key, line.first, most)
            ids: list[Any]
            if types is None:
                ids = [row[0] for row in execute(SQL["fair_places"], bindings)]
            else:
                ids = sorted([row[0] for name in types for row in execute(SQL["fair_places_type"], (*bindings, name))])[:most]
            found.append(ids)
        return found

    async def ready_at(self, queue: Queue, places: Sequence[tuple[int, int]]) -> OrderedJobs:
        """The jobs at these places."""
        bindings = (queue.id, json_text(places), len(places))
        if queue.tally.bytes <= GRANT_BYTES:
            name = queue.name
            with suppress(*UNREADABLE):
                lean = self._db.execute(SQL["next_ready_at_lean"], bindings).fetchall()
                if len(lean) == len(places):
                    return [ready_of(row, name) for row in lean]
        found = self._line("next_ready_at", bindings, queue.name)
        if len(found) < len(places) and self._recover("recover_ready", (queue.id, FAIR_CHUNK)):
            found = self._line("next_ready_at", bindings, queue.name)
        return found

    def _several(self, statement: str, many: Sequence[Row]) -> int:
        raise NotImplementedError

    def _line(self, statement: str, bindings: tuple[Any, ...], name: str | None) -> OrderedJobs:
        raise NotImplementedError

    def _recover(self, statement: str, bindings: tuple[Any, ...]) -> bool:
        raise NotImplementedError

    async def first_jobs(self, queue: Queue, lines: Sequence[Line]) -> OrderedJobs:
        """The first job of each line."""
        if queue.tally.bytes > GRANT_BYTES:
            return []
        bindings = (queue.id, lines[0].priority, json_text([line.key for line in lines]))
        with suppress(*UNREADABLE):
            return [ready_of(row, queue.name) for row in self._db.execute(SQL["fair_first_jobs"], bindings).fetchall()]
        return []

    async def save_shares(self, lines: Mapping[LineId, Line], gone: Sequence[LineId], clocks: Sequence[Clock]) -> None:
        """Write lines and clocks."""
        if lines:
            self._cache.lines.known.update(lines)
            self._several("save_fair_line", [astuple(line) for line in lines.values()])
        if gone:
            self._delete_lines(gone)
        for clock in clocks:
            known = self._clocks_of(clock.queue)
            if known is not None:
                known[clock.priority] = clock
                if len(known) > CLOCKS_KEPT:
                    self._cache.clocks[clock.queue] = None
            self._db.execute(SQL["save_fair_clock"], astuple(clock))

    async def shift_lines(self, clock: Clock, by: int) -> None:
        """Let turns be earlier."""
        self._cache.lines.clear()
        self._db.execute(SQL["shift_lines"], (clock.queue, clock.priority, by))

    async def fill_fair(self, queue: Queue, after: tuple[int, int], limit: int) -> list[tuple[int, int, str]]:
        """Give jobs their fair keys."""
        rows = fetch_undecodable(self._db, SQL["fair_keys_after"], (queue.id, *after, limit), of_jobs=False)
        found = [(priority, job, fair_key_of(extras)) for priority, job, extras in rows]
        self._db.executemany(SQL["fill_fair"], [(queue.id, *one) for one in found])
        return found

    async def clear_shares(self, queue: Queue, limit: int) -> int:
        """Forget lines of a queue."""
        self._cache.lines.clear()
        self._cache.clocks.pop(queue.id, None)
        start = self._db.total_changes()
        self._db.execute(SQL["clear_lines"], (queue.id, limit))
        count = self._db.total_changes() - start
        if count < limit:
            self._db.execute(SQL["clear_clocks"], (queue.id,))
        return count

    async def forget_lines(self, limit: int) -> tuple[int, bool]:
        """Forget lines that new ones would equal: of the next stretch of all lines, since an index of them would cost each job more."""
        place: Any = self._cache.lines_looked_at
        found: Any = self._db.execute(SQL["forgettable_lines"], (*place, FAIR_CHUNK, limit)).fetchall()
        end: Any = self._db.execute(SQL["lines_after"], (*place, FAIR_CHUNK - 1)).fetchone()
        self._delete_lines(found)
        if len(found) < limit:
            self._cache.lines_looked_at = end or FIRST_LINE
            if end is None:
                for queue, _ in self._db.execute(SQL["forget_clocks"]).fetchall():
                    self._cache.clocks.pop(queue, None)  # type: ignore[arg-type]
        return len(found), len(found) < limit and end is None

    def _delete_lines(self, found: Sequence[LineId]) -> None:
        for one in found:
            self._cache.lines.known.pop(one, None)
        self._db.executemany(SQL["delete_fair_line"], found)

    async def forget_surplus(self, most: int, limit: int) -> int:
        """Forget lines without jobs that are too many."""
        count = 0
        over: Any = self._db.execute(SQL["idle_lines"], (most,)).fetchall()
        for queue, priority, lines in over:
            left = min(lines - most, limit - count)
            found: Any = self._db.execute(SQL["surplus_lines"], (queue, priority, left)).fetchall() if left else ()
            self._delete_lines(found)
            count += len(found)
        return count

    async def fair_weight_count(self, queue: Queue) -> int:
        """How many weights there are."""
        return int(self._db.execute(SQL["fair_weight_count"], (queue.id,)).get)

    async def fair_weight(self, queue: Queue, key: str) -> int | None:
        """The weight of a key."""
        return self._weight(queue.id, key)

    async def save_fair_weight(self, queue: Queue, key: str, weight: int | None) -> None:
        """Set or remove a weight."""
        self._cache.lines.clear()
        if weight is None:
            self._db.execute(SQL["delete_fair_weight"], (queue.id, key))
        else:
            self._db.execute(SQL["save_fair_weight"], (queue.id, key, weight))
        self._db.execute(SQL["weigh_lines"], (weight or 1, queue.id, key))
