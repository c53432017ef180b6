"""Queues with fair shares: whose turn it is. See `job/fair.py` for the rules, `shares.py` for what is counted.

    the head of a queue = the lines with the earliest turns ─▶ how many jobs of each would be next ─▶ these jobs, in the order of their turns

Turns move on in memory while leases are given, in the same way as they are counted afterwards.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from operator import itemgetter

from holdfast.committer.batch import Batch
from holdfast.errors import InvalidRequest
from holdfast.job import fair as rules
from holdfast.job.by_type import Types
from holdfast.job.fair import CLEARING, FAIR, SORTING, Clock, Line, Sharing
from holdfast.job.job import READY, Content, Job, NewJob
from holdfast.job.queue import Queue
from holdfast.limits import FAIR_CHUNK, FAIR_KEYS, FAIR_WEIGHTS, PRIORITY_DEFAULT, TYPES_AT_ONCE, TYPES_HEAD
from holdfast.messages.answers import Counted
from holdfast.messages.fair_commands import SetFairWeight
from holdfast.messages.time_commands import ForgetShares, SortShares
from holdfast.stores.by_type import OrderedJobs

Key = tuple[int, str]
Pair = tuple[Job, Content | None]


class _Turn:
    """Where a line will be after the leases that are being given."""

    __slots__ = ("key", "last", "priority", "turn", "weight")

    def __init__(self, line: Line) -> None:
        self.priority, self.key = line.priority, line.key
        self.turn, self.last, self.weight = line.turn, line.last, line.weight

    def place(self) -> tuple[int, int, int, str]:
        """What decides who is next."""
        return self.priority, self.turn, self.last, self.key


class Turns:
    """The turns of one queue's lines while leases are given from it, which all of its heads share."""

    __slots__ = ("_now", "_of")

    def __init__(self, lines: Iterable[Line], now: dict[int, int]) -> None:
        self._of = {(line.priority, line.key): _Turn(line) for line in lines}
        self._now = now

    def add(self, lines: Iterable[Line], now: dict[int, int]) -> None:
        """More lines; those that are there stay as they are."""
        for line in lines:
            self._of.setdefault((line.priority, line.key), _Turn(line))
        for priority, moment in now.items():
            self._now.setdefault(priority, moment)

    def place(self, job: Job) -> tuple[int, int, int, str]:
        """What decides when a job's line is next."""
        return self._of[job.priority, job.extras.fair_key or ""].place()

    def start(self, job: Job) -> None:
        """A job is leased."""
        turn = self._of.get((job.priority, job.extras.fair_key or ""))
        if turn is not None:
            self._now[job.priority] = now = max(self._now[job.priority], turn.turn)
            turn.turn = now + rules.step(job.extras.fair_cost, turn.weight)
            turn.last = job.id + 1


class InTurn:
    """The head of a fair queue, used as a deque is: the jobs of each line in their order, and always one of the line whose turn it is."""

    __slots__ = ("_count", "_lines", "_order", "_turns")

    def __init__(self, pairs: OrderedJobs, turns: Turns) -> None:
        self._lines: dict[Key, deque[Pair]] = {}
        for pair in pairs:
            self._lines.setdefault((pair[0].priority, pair[0].extras.fair_key or ""), deque()).append(pair)
        self._turns = turns
        self._order = [(turns.place(line[0][0]), key) for key, line in self._lines.items()]
        heapify(self._order)
        self._count = len(pairs)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Pair]:
        return (pair for line in self._lines.values() for pair in line)

    def __getitem__(self, _: int) -> Pair:
        return self._next()[0]

    def popleft(self) -> Pair:
        """The next one, which is not to be given again."""
        self._count -= 1
        return self._next().popleft()

    def _next(self) -> deque[Pair]:
        order = self._order
        while True:
            place, key = order[0]
            line = self._lines[key]
            if not line:
                heappop(order)
            elif (now := self._turns.place(line[0][0])) != place:
                heapreplace(order, (now, key))
            else:
                return line


Head = deque[Pair] | InTurn


async def next_jobs(batch: Batch, queue: Queue, types: Types | None, limit: int) -> OrderedJobs:
    """The next jobs of a fair queue (of these types), in the order in which they would be leased."""
    if types is None:
        return await _next_jobs(batch, queue, None, limit)
    if not types.names and types.only:
        return []
    names, whole = await _kept_types(batch, queue, types)
    if whole:
        if not await batch.tx.ready_of(queue, types, 1):
            return []  # and no line has to be looked at
        return await _next_jobs(batch, queue, names, limit)
    head = await _next_jobs(batch, queue, None, TYPES_HEAD)
    unknown = [job.id for job, content in head if content is None]
    known = await batch.tx.types_of(unknown) if unknown else {}
    fitting = [(job, content) for job, content in head if types.fit(known.get(job.id, "") if content is None else content.type)]
    if not fitting and names:
        return await _next_jobs(batch, queue, names, limit)  # those that are kept by type so far
    turns = turns_of(batch, queue, fitting)
    line, ordered = InTurn(fitting, turns), OrderedJobs()
    while len(line) and len(ordered) < limit:
        ordered.append(line.popleft())
        turns.start(ordered[-1][0])
    return ordered


async def _kept_types(batch: Batch, queue: Queue, types: Types) -> tuple[Sequence[str], bool]:
    """The types to look for among what a queue keeps by type, and whether that is all."""
    if queue.typed is None:
        return (), False
    if types.only:
        return sorted(types.names), queue.typed.upto is None
    found = await batch.tx.ready_types(queue, TYPES_AT_ONCE)
    return [name for name in found if name not in types.names], queue.typed.upto is None and len(found) < TYPES_AT_ONCE


async def _next_jobs(batch: Batch, queue: Queue, types: Sequence[str] | None, limit: int) -> OrderedJobs:
    shares = batch.shares_here()
    found: OrderedJobs = []
    after: int | None = -1
    while after is not None and len(found) < limit:
        clocks, after = await shares.clocks_in_use(queue, after)
        for clock in clocks:
            found += await _at_one_priority(batch, queue, clock, types, limit - len(found))
            if len(found) >= limit:
                break
    if not found and types is None and await batch.tx.ready(queue, 1):
        queue.sharing = CLEARING  # jobs that no line counts: they are sorted anew, and meanwhile first in, first out
        batch.touched.add(queue.name)
        batch.note_sharing(queue)
        return await batch.tx.ready(queue, limit)
    return found


async def _at_one_priority(batch: Batch, queue: Queue, clock: Clock, types: Sequence[str] | None, limit: int) -> OrderedJobs:
    shares = batch.shares_here()
    lines = await shares.next_lines(clock, types, limit)
    if not lines:
        return []
    if types is None:
        clock.low = max(clock.low, lines[0].turn)
        if len(lines) == limit and _once_each(lines, clock.now) and (firsts := await _firsts(batch, queue, lines)):
            return firsts
    return await _several_of_each(batch, queue, clock, lines, types, limit)


async def _several_of_each(
    batch: Batch, queue: Queue, clock: Clock, lines: Sequence[Line], types: Sequence[str] | None, limit: int
) -> OrderedJobs:
    read: dict[str, list[int]] = {line.key: [] for line in lines}
    ended: set[str] = set()
    pairs: dict[int, Pair] = {}
    healed = False
    asked = _asked(lines, clock.now, limit, types is not None)
    while True:
        for (line, most), ids in zip(asked, await batch.tx.line_places(queue, asked, types), strict=True):
            read[line.key] = ids
            if ids and types is None:
                line.first = ids[0]
            if len(ids) < most:
                ended.add(line.key)
                if types is None and len(ids) < line.waiting:
                    await _heal(batch, line, len(ids))
                    healed = True
        places = [(line.priority, job) for line, _ in asked for job in read[line.key] if job not in pairs]
        pairs.update({pair[0].id: pair for pair in await batch.tx.ready_at(queue, places)} if places else {})
        ordered, short = _ordered(lines, clock.now, limit, read, ended, pairs)
        if not short:
            break
        asked = [(line, len(known := read[line.key]) + min(len(known) + 2, limit - len(ordered))) for line in short]
    if healed and len(ordered) < limit:
        await batch.shares_here().save()
        return await _at_one_priority(batch, queue, clock, types, limit)
    return ordered


def _once_each(lines: Sequence[Line], now: int) -> bool:
    """Whether each of these lines has its turn before one of them has its second."""
    first, last = lines[0], lines[-1]
    if first is last:
        return True
    return last.turn < max(first.turn, now) + rules.step(1, max([line.weight for line in lines]))


async def _firsts(batch: Batch, queue: Queue, lines: Sequence[Line]) -> OrderedJobs | None:
    """The first job of each of these lines, in their order; None if one can't be read, or is not there."""
    found = {pair[0].extras.fair_key or "": pair for pair in await batch.tx.first_jobs(queue, lines)}
    ordered: OrderedJobs = []
    for line in lines:
        pair = found.get(line.key)
        if pair is None:
            return None
        line.first = pair[0].id
        ordered.append(pair)
    return ordered


def _asked(lines: Sequence[Line], now: int, limit: int, typed: bool) -> list[tuple[Line, int]]:
    """How many jobs of each line would be next, if each cost 1."""
    if limit == 1:
        return [(lines[0], 1)]
    counts = [0] * len(lines)
    order = [(line.turn, line.last, place) for place, line in enumerate(lines)]
    heapify(order)
    for _ in range(limit):
        turn, last, place = order[0]
        line = lines[place]
        counts[place] += 1
        now = max(turn, now)
        if typed or counts[place] < line.waiting:
            heapreplace(order, (now + rules.step(1, line.weight), last, place))
        else:
            heappop(order)
            if not order:
                break
    return [(line, count) for line, count in zip(lines, counts, strict=True) if count]


def _ordered(
    lines: Sequence[Line], now: int, limit: int, read: dict[str, list[int]], ended: set[str], pairs: dict[int, Pair]
) -> tuple[OrderedJobs, list[Line]]:
    """The jobs in their order, up to the first line of which more would have to be known: that one, and others that come next and are as short."""
    found: OrderedJobs = []
    order = [(line.turn, line.last, line.key, 0, line) for line in lines]
    heapify(order)
    while order and len(found) < limit:
        turn, _, key, done, line = order[0]
        ids = read[key]
        if done >= len(ids):
            if key not in ended and (line.waiting > done or not done):
                return found, [
                    line
                    for _, _, key, done, line in sorted(order, key=_PLACE)[: limit - len(found)]
                    if done >= len(read[key]) and key not in ended and (line.waiting > done or not done)
                ]
            heappop(order)
            continue
        pair = pairs.get(ids[done])
        cost = 1
        if pair is not None:
            found.append(pair)
            cost = pair[0].extras.fair_cost
        now = max(now, turn)
        heapreplace(order, (now + rules.step(cost, line.weight), ids[done] + 1, key, done + 1, line))
    return found, []


_PLACE = itemgetter(0, 1, 2)


async def _heal(batch: Batch, line: Line, found: int) -> None:
    """A line has fewer jobs than it counts, since rows of some could not be read: `holdfast check` tells of it."""
    shares = batch.shares_here()
    await shares.load_clocks([(line.queue, line.priority)])
    counted, clock = shares.touch(line.id)
    rules.leave(counted, clock, counted.waiting - found)


def turns_of(batch: Batch, queue: Queue, pairs: OrderedJobs, turns: Turns | None = None) -> Turns:
    """The turns of the lines of these jobs."""
    shares = batch.shares_here()
    ids = {(queue.id, job.priority, job.extras.fair_key or "") for job, _ in pairs}
    lines = [shares.lines.get(one) or Line(*one) for one in ids]
    now = {one[1]: clock.now if (clock := shares.clocks.get((one[0], one[1]))) is not None else 0 for one in ids}
    if turns is None:
        return Turns(lines, now)
    turns.add(lines, now)
    return turns


def pays(pairs: OrderedJobs) -> bool:
    """Whether one of these jobs may have to be passed over."""
    return any(job.extras.budgets for job, _ in pairs)


async def demand(batch: Batch, jobs: Sequence[NewJob]) -> None:
    """Refuse fair keys while nodes of the release before may serve."""
    if any(new.extras.fair_key is not None or new.extras.fair_cost != 1 for new in jobs):
        await batch.demand_newest_only("fair_key")


async def check(batch: Batch, jobs: Sequence[NewJob]) -> None:
    """Refuse new jobs of more fair keys than one priority of a queue may have. Those that come back (retried, due) are never refused."""
    shares = batch.shares_here()
    queues, clocks, most = shares.queues, shares.clocks, FAIR_KEYS - len(jobs) - len(batch.changes)
    name = ""
    place: int | None = None
    for new in jobs:
        if new.priority == place and new.queue == name:
            continue  # as the one before
        name, place = new.queue, new.priority
        queue = queues.get(name)
        if queue is None:
            continue
        at = queue.id, PRIORITY_DEFAULT if place is None else place
        if at not in clocks:
            await shares.load_clocks([at])
        if clocks[at].lines > most:
            await _count_keys(batch, queue, at[1], jobs)


async def _count_keys(batch: Batch, queue: Queue, priority: int, jobs: Sequence[NewJob]) -> None:
    """Count the keys that wait, those that this transaction brings, and those of these jobs: each once."""
    shares, at = batch.shares_here(), (queue.id, priority)
    keys = {
        new.extras.fair_key or ""
        for new in jobs
        if new.queue == queue.name and (PRIORITY_DEFAULT if new.priority is None else new.priority) == priority
    }
    coming = shares.coming.get(at)
    if coming is None:
        came = [change.after for change in batch.changes.values() if change.after is not None]
        coming = shares.coming[at] = {
            job.extras.fair_key or "" for job in came if (job.queue, job.state, job.priority) == (queue.name, READY, priority)
        }
    both = {(*at, key) for key in keys | coming}
    await shares.load(both)
    if shares.clocks[at].lines + sum([shares.lines[one].waiting <= 0 for one in both]) > FAIR_KEYS:
        raise InvalidRequest(
            f"Jobs of {FAIR_KEYS} fair keys wait in this queue at this priority already; that is the most.",
            field="fair_key",
            limit=FAIR_KEYS,
        )
    coming |= keys


async def switch(batch: Batch, queue: Queue) -> None:
    """A queue's settings have changed: begin to sort its jobs, or stop. With few jobs that is done at once."""
    sharing, few = queue.sharing, queue.tally.ready <= FAIR_CHUNK
    if queue.policy.fair and sharing is None:
        queue.sharing = SORTING
    elif not queue.policy.fair and sharing is not None and not sharing.clearing:
        queue.sharing = CLEARING
    if queue.sharing is sharing:
        return
    batch.note_sharing(queue)
    if few:
        while await _go_on(batch, queue):
            pass


async def sort(batch: Batch, command: SortShares) -> Counted:
    """Go on with it."""
    queue = await batch.queue(command.queue)
    if queue is None or queue.sharing is None or queue.sharing.whole:
        batch.by_type.sharing.discard(command.queue)
        return Counted(0)
    await _go_on(batch, queue)
    return Counted(FAIR_CHUNK)


async def _go_on(batch: Batch, queue: Queue) -> bool:
    """One chunk; whether there is more to do."""
    shares = batch.shares_here()
    await batch.flush()
    await shares.save()
    sharing = queue.sharing
    assert sharing is not None, "it is being sorted, or cleared"
    batch.touched.add(queue.name)
    if sharing.clearing:
        done = await batch.tx.clear_shares(queue, FAIR_CHUNK) < FAIR_CHUNK
        shares.forget()
        if done:
            queue.sharing = SORTING if queue.policy.fair else None
        if queue.sharing is None:
            batch.by_type.sharing.discard(queue.name)
        return queue.sharing is not None
    assert sharing.upto is not None, "it is being sorted"
    found = await batch.tx.fill_fair(queue, sharing.upto, FAIR_CHUNK)
    await shares.load([(queue.id, priority, key) for priority, _, key in found])
    for priority, job, key in found:
        rules.enter(*shares.touch((queue.id, priority, key)), job)
    await shares.save()
    if len(found) == FAIR_CHUNK:
        queue.sharing = Sharing(found[-1][:2])
        return True
    queue.sharing = FAIR
    batch.by_type.sharing.discard(queue.name)
    batch.may_give(queue)
    return False


async def forget(batch: Batch, command: ForgetShares) -> Counted:
    """Forget lines that new ones would equal, and what is too much: where new keys come all the time, the clock may stand still."""
    by_type = batch.by_type
    count, whole = await batch.tx.forget_lines(command.limit)
    if command.surplus and count < command.limit:
        surplus = await batch.tx.forget_surplus(FAIR_KEYS, command.limit - count)
        count += surplus
        if count < command.limit:
            by_type.idle_written = 0
    if whole and count < command.limit:
        by_type.idle_lines = False
    return Counted(count)


async def weigh(batch: Batch, command: SetFairWeight) -> Counted:
    """Set the weight of a key, also for what waits."""
    queue = await batch.queue_here(command.queue)
    if command.weight is None and await batch.tx.fair_weight(queue, command.key) is None:
        return Counted(0)
    await batch.demand_newest_only("fair")
    await set_weight(batch, queue, command.key, command.weight)
    return Counted(1)


async def set_weight(batch: Batch, queue: Queue, key: str, weight: int | None) -> None:
    """The same for a queue that is known."""
    if (
        weight is not None
        and await batch.tx.fair_weight_count(queue) >= FAIR_WEIGHTS
        and await batch.tx.fair_weight(queue, key) is None
    ):
        raise InvalidRequest(
            f"{FAIR_WEIGHTS} fair keys of queue {queue.name} have a weight already; that is the most.",
            field="key",
            limit=FAIR_WEIGHTS,
        )
    shares = batch.shares_here()
    await batch.flush()
    await shares.save()
    await batch.tx.save_fair_weight(queue, key, weight)
    shares.forget()
