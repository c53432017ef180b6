"""The lines and clocks of fair queues that one transaction has to do with: read once, changed in memory, and each written once."""

from collections.abc import Iterable

from holdfast.job import fair as rules
from holdfast.job.fair import Clock, Line, LineId
from holdfast.job.job import LEASED, READY, Job
from holdfast.job.queue import Queue
from holdfast.limits import FAIR_TIME_MAX
from holdfast.stores.store import Change, Transaction


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
        queues, known = self.queues, self.lines
        missing: list[LineId] = []
        for change in changes:
            before, after = change.before, change.after
            left = before if before is not None and before.state is READY else None
            came = after if after is not None and after.state is READY else None
            some = left or came
            if some is None or (queue := queues.get(some.queue)) is None or queue.sharing is None:
                continue
            was = None if left is None else rules.line_of(queue.id, queue.sharing, left)
            now = None if came is None else rules.line_of(queue.id, queue.sharing, came)
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
        lines, clocks, changed, clocks_changed = self.lines, self.clocks, self._changed, self._clocks_changed
        for was, now, job in moves:
            if was is not None:
                at = was[0], was[1]
                changed[was] = clocks_changed[at] = None
                if job.state is LEASED:
                    rules.start(lines[was], clocks[at], job.id, job.extras.fair_cost)
                else:
                    rules.leave(lines[was], clocks[at])
            if now is not None:
                at = now[0], now[1]
                changed[now] = clocks_changed[at] = None
                rules.enter(lines[now], clocks[at], job.id)

    def touch(self, one: LineId) -> tuple[Line, Clock]:
        """A loaded line and its clock, which are changed and will be written."""
        self._changed[one] = None
        at = one[0], one[1]
        self._clocks_changed[at] = None
        return self.lines[one], self.clocks[at]

    async def save(self) -> None:
        """Write what has changed."""
        if not self._clocks_changed:
            return
        kept: list[Line] = []
        gone: list[Line] = []
        lines, clocks_of = self.lines, self.clocks
        for one in self._changed:
            line = lines[one]
            if line.waiting > 0:
                kept.append(line)
            elif rules.is_forgettable(line, clocks_of[one[0], one[1]]):
                gone.append(line)
            else:
                kept.append(line)
                self.idle += 1
        for line in gone:
            lines.pop(line.id)
        clocks = [self.clocks[at] for at in self._clocks_changed]
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
        await self._tx.save_shares((), (), [clock])

    async def drop(self, queue: Queue) -> None:
        """The queue is being deleted: nothing more is written for it."""
        await self.save()
        self.queues.pop(queue.name, None)
        self.forget()

    def forget(self) -> None:
        """Lines were changed in the store; nothing of it is known any more."""
        self.lines.clear()
        self.clocks.clear()
