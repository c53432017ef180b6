"""The lines and clocks of fair queues that one transaction has to do with: read once, changed in memory, and each written once."""

from collections.abc import Iterable, Sequence
from operator import attrgetter

from holdfast.job import fair as rules
from holdfast.job.fair import Clock, Line, LineId
from holdfast.job.job import LEASED, READY, Job
from holdfast.job.queue import Queue
from holdfast.limits import FAIR_TIME_MAX
from holdfast.stores.store import Change, Transaction

_CLOCKS = 64  # that are read in one go
_MERGED = 32  # changed lines more than are asked for: fewer are sorted in among those that are read
_TURN = attrgetter("turn", "last", "key")


class Shares:
    """What lines count follows from the jobs: `count` is called with all changes, before they are written."""

    __slots__ = ("_changed", "_clocks_changed", "_tx", "clocks", "coming", "idle", "lines", "queues")

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.queues: dict[str, Queue] = {}  # of this transaction, that are or will be fair
        self.lines: dict[LineId, Line] = {}
        self.clocks: dict[tuple[int, int], Clock] = {}
        self.coming: dict[
            tuple[int, int], set[str]
        ] = {}  # where a priority is nearly full: keys of jobs that are not counted yet
        self._changed: dict[LineId, None] = {}
        self._clocks_changed: dict[tuple[int, int], None] = {}
        self.idle = 0  # lines that are left without jobs, and clocks without lines, to be forgotten later

    async def load(self, ids: Iterable[LineId]) -> None:
        """Read what is not read yet."""
        missing = [one for one in dict.fromkeys(ids) if one not in self.lines]
        if missing:
            self.lines.update(await self._tx.fair_lines(missing))
            await self.load_clocks([(queue, priority) for queue, priority, _ in missing])

    async def load_clocks(self, ids: Iterable[tuple[int, int]]) -> None:
        """Clocks alone."""
        missing = [one for one in dict.fromkeys(ids) if one not in self.clocks]
        if missing:
            self.clocks.update(await self._tx.fair_clocks(missing))

    def take(self, lines: Iterable[Line]) -> list[Line]:
        """Lines that were just read, as this transaction has them."""
        return [self.lines.setdefault(line.id, line) for line in lines]

    async def count(self, changes: Iterable[Change]) -> None:
        """Count jobs as they are now instead of as they were, and move the turns of those that were started."""
        self.coming.clear()
        moves: list[tuple[LineId | None, LineId | None, Job]] = []
        queues, known, line_of = self.queues, self.lines, rules.line_of
        missing: list[LineId] = []
        for change in changes:
            before, after = change.before, change.after
            some = before if before is not None and before.state is READY else after
            if some is None or some.state is not READY or (queue := queues.get(some.queue)) is None:
                continue
            number, sharing = queue.id, queue.sharing
            if sharing is None:
                continue
            was = line_of(number, sharing, some) if some is before else None
            now = line_of(number, sharing, after) if after is not None and after.state is READY else None
            if was != now:
                moves.append((was, now, after or some))
                if was is not None and was not in known:
                    missing.append(was)
                if now is not None and now not in known:
                    missing.append(now)
        if missing:
            await self.load(missing)
        self._apply(moves)

    def _apply(self, moves: Iterable[tuple[LineId | None, LineId | None, Job]]) -> None:
        """Move jobs out of and into their lines, in this order."""
        lines, changed = self.lines, self._changed
        at: tuple[int, int] | None = None
        for was, now, job in moves:
            if was is not None:
                if was[:2] != at:
                    clock = self._clock_to_change(at := was[:2])
                changed[was] = None
                if job.state is LEASED:
                    rules.start(lines[was], clock, job.id, job.extras.fair_cost)
                else:
                    rules.leave(lines[was], clock)
            if now is not None:
                if now[:2] != at:
                    clock = self._clock_to_change(at := now[:2])
                changed[now] = None
                rules.enter(lines[now], clock, job.id)

    def _clock_to_change(self, at: tuple[int, int]) -> Clock:
        self._clocks_changed[at] = None
        return self.clocks[at]

    def touch(self, one: LineId) -> tuple[Line, Clock]:
        """A loaded line and its clock, which are changed and will be written."""
        self._changed[one] = None
        return self.lines[one], self._clock_to_change(one[:2])

    async def clocks_in_use(self, queue: Queue, after: int) -> tuple[list[Clock], int | None]:
        """Clocks at which jobs wait, in the order of their priorities, behind one; behind which there are more."""
        read = await self._tx.clocks_in_use(queue, after, _CLOCKS)
        upto = read[-1].priority if len(read) == _CLOCKS else None
        found = {clock.priority: self.clocks.setdefault((clock.queue, clock.priority), clock) for clock in read}
        for at in self._clocks_changed:
            if at[0] == queue.id and at[1] > after and (upto is None or at[1] <= upto):
                found[at[1]] = self.clocks[at]
        return [clock for _, clock in sorted(found.items()) if clock.lines > 0], upto

    async def next_lines(self, clock: Clock, types: Sequence[str] | None, limit: int) -> list[Line]:
        """The lines with the earliest turns, as this transaction has them. What has changed is written before only where that is less work."""
        changed = self._changed
        if changed and (types is not None or len(changed) > limit + _MERGED):
            await self.save()
        queue, priority = clock.queue, clock.priority
        mine = {one[2]: self.lines[one] for one in changed if one[1] == priority and one[0] == queue}
        lines = self.take(await self._tx.next_lines(clock, types, limit + len(mine)))
        if mine:
            lines = [line for line in lines if line.key not in mine]
            lines += [line for line in mine.values() if line.waiting > 0]
            lines.sort(key=_TURN)
        return lines[:limit]

    async def save(self) -> None:
        """Write what has changed."""
        if not self._clocks_changed:
            return
        kept: dict[LineId, Line] = {}
        gone: list[LineId] = []
        lines, clocks_of = self.lines, self.clocks
        for one in self._changed:
            line = lines[one]
            if line.waiting <= 0:
                if rules.is_forgettable(line, clocks_of[one[:2]]):
                    gone.append(one)
                    del lines[one]
                    continue
                self.idle += 1
            kept[one] = line
        clocks = [clocks_of[at] for at in self._clocks_changed]
        self.idle += any(clock.lines <= 0 for clock in clocks)
        self._changed.clear()
        self._clocks_changed.clear()
        await self._tx.save_shares(kept, gone, clocks)
        for clock in clocks:
            if clock.now > FAIR_TIME_MAX:
                await self._count_anew(clock)

    async def _count_anew(self, clock: Clock) -> None:
        """Virtual time has become large: let it begin again, with all distances as they are."""
        by = clock.now
        clock.now, clock.most, clock.low = 0, clock.most - by, max(0, clock.low - by)
        await self._tx.shift_lines(clock, by)
        self.lines = {one: line for one, line in self.lines.items() if one[:2] != (clock.queue, clock.priority)}
        await self._tx.save_shares({}, (), [clock])

    async def drop(self, queue: Queue) -> None:
        """The queue is being deleted: nothing more is written for it."""
        await self.save()
        self.queues.pop(queue.name, None)
        self.forget()

    def forget(self) -> None:
        """Lines were changed in the store; nothing of it is known any more."""
        self.lines.clear()
        self.clocks.clear()
