"""Callers that wait for jobs where the store is: what makes a job ready leases it to one of them, in the same commit.

Each has looked and found nothing. It stays until it is granted something, is refused, or leaves. Whoever is passed over here is woken by the
news of the commit and looks again, as before: this only makes the usual case one commit instead of two.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from heapq import merge
from itertools import islice
from operator import attrgetter

from msgspec.structs import replace

from holdfast.committer.batch import Batch
from holdfast.committer.lease import LATER
from holdfast.job.by_type import TypeNames
from holdfast.limits import BATCH_JOBS
from holdfast.messages.answers import Granted
from holdfast.messages.backend import Sink
from holdfast.messages.commands import LeaseJobs
from holdfast.messages.frame import Answer, Refused

_PICKED = 200  # callers that one commit grants something to; the others are woken by its news
_PASSED = 1_000  # callers of one queue that one commit looks at: those by a front that may not be granted more are passed over


class Awaiting:
    """One caller."""

    __slots__ = ("command", "has_left", "is_picked", "number", "sink", "tag", "types")

    def __init__(self, command: LeaseJobs, sink: Sink, tag: object, number: int) -> None:
        self.command, self.sink, self.tag = command, sink, tag
        self.number = number  # those who have waited longer have lower ones
        self.types: TypeNames | None = None if command.types is None else frozenset(command.types)
        self.is_picked = False  # a commit in progress may grant it something
        self.has_left = False  # while it was picked


Line = dict[TypeNames | None, OrderedDict[Awaiting, None]]
"""The callers that wait for one queue, by the only types that they take."""


class AwaitingCallers:
    """All of them, by the queues that they wait for, the longest waiting first."""

    def __init__(self) -> None:
        self._all: dict[tuple[Sink, object], Awaiting] = {}
        self._lines: dict[str, Line] = {}
        self._entered = 0

    def __len__(self) -> int:
        return len(self._all)

    def add(self, command: LeaseJobs, sink: Sink, tag: object) -> None:
        """One more."""
        self._entered += 1
        caller = self._all[sink, tag] = Awaiting(command, sink, tag, self._entered)
        for name in command.queues:
            self._lines.setdefault(name, {}).setdefault(caller.types, OrderedDict())[caller] = None

    def leave(self, sink: Sink, tag: object, now: int) -> None:
        """It waits no more: it is answered with nothing, or with what a commit in progress grants it."""
        caller = self._all.get((sink, tag))
        if caller is None:
            return  # it has its answer
        caller.has_left = True
        if not caller.is_picked:
            self._answer(caller, Granted([], now))

    def forget(self, sink: Sink) -> None:
        """Its connection is gone, so nobody can be answered."""
        for caller in [caller for caller in self._all.values() if caller.sink is sink]:
            self._remove(caller)

    def pick(self, batch: Batch) -> list[Awaiting]:
        """Those who may get what has become ready in a batch, as far as the bound on the jobs of one transaction lets."""
        picked: dict[Awaiting, None] = {}
        granted: dict[Sink, int] = {}
        room = BATCH_JOBS - len(batch.changes) - len(batch.written)
        for name in batch.arrived | batch.freed:
            line = self._lines.get(name)
            queue = batch.queues.get(name)
            if not line or queue is None or (may := queue.may_lease()) <= 0:
                continue
            lefts = _lefts(line, may, batch.came.get(name), queue.paused_types)
            for caller in islice(_in_order(line, lefts), _PASSED):
                left = lefts[caller.types]
                wanted = min(caller.command.limit, left)
                if left <= 0 and len(lefts) > 1:
                    continue
                if left <= 0 or len(picked) >= _PICKED or wanted > room:
                    break
                sink = caller.sink
                if caller not in picked:
                    if (so_far := granted.get(sink, 0)) >= sink.may_be_granted():
                        continue
                    granted[sink] = so_far + 1
                lefts[caller.types] = left - wanted
                room -= wanted
                picked[caller] = None
        for caller in picked:
            caller.is_picked = True
        return list(picked)

    def let_go(self, picked: Sequence[Awaiting], now: int) -> None:
        """Nothing came of it: they wait on, and who has left is answered."""
        for caller in picked:
            caller.is_picked = False
            if caller.has_left:
                self._answer(caller, Granted([], now))

    def answer(self, picked: Sequence[Awaiting], results: Sequence[Answer], now: int) -> None:
        """Deliver what a commit has granted or refused; who got nothing waits on."""
        for caller, result in zip(picked, results, strict=True):
            if result is LATER or (isinstance(result, Granted) and not result.jobs and not result.quiet):
                self.let_go([caller], now)
            else:
                self._answer(caller, result)

    def refuse(self, refused: Refused) -> None:
        """Turn all away."""
        for caller in list(self._all.values()):
            self._answer(caller, refused)

    def _answer(self, caller: Awaiting, result: Answer) -> None:
        self._remove(caller)
        if isinstance(result, Granted) and result.jobs:
            caller.sink.granted()
        caller.sink.deliver(caller.tag, result)

    def _remove(self, caller: Awaiting) -> None:
        self._all.pop((caller.sink, caller.tag), None)
        for name in caller.command.queues:
            line = self._lines.get(name)
            same = line.get(caller.types) if line is not None else None
            if line is not None and same is not None:
                same.pop(caller, None)
                if not same:
                    del line[caller.types]
                    if not line:
                        del self._lines[name]


def _lefts(line: Line, may: int, came: dict[str, int] | None, paused: tuple[str, ...]) -> dict[TypeNames | None, int]:
    """How many jobs there may be for each set of types that callers of a queue want, of `may` in all. Without one for whom there is none."""
    if came is None:
        return dict.fromkeys(line, may)
    counts = {name: count for name, count in came.items() if name not in paused} if paused else came
    every = sum(counts.values())
    left = {types: may if types is None else min(may, sum([counts.get(name, 0) for name in types])) for types in line}
    if None in left and paused:
        left[None] = min(may, every)
    return {types: count for types, count in left.items() if count}


def _in_order(line: Line, lefts: Collection[TypeNames | None]) -> Iterable[Awaiting]:
    """The callers for whom there is something, the longest waiting first."""
    lines = [line[types] for types in lefts]
    return lines[0] if len(lines) == 1 else merge(*lines, key=_NUMBER)


_NUMBER = attrgetter("number")


def narrowed(caller: Awaiting, batch: Batch) -> LeaseJobs:
    """What it takes from: only the queues that this batch has brought something to, so that no other is read or locked for it."""
    command = caller.command
    if len(command.queues) == 1:
        return command
    came = batch.arrived | batch.freed
    return replace(command, queues=tuple(name for name in command.queues if name in came))
