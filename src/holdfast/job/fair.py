"""Fair shares: within one priority of a queue, who has had the least is next. Pure rules, exact in integers: start-time fair queueing.

Each key has a line of its own at each priority, first in, first out, and a turn: the virtual time at which its next job starts. The line with the
earliest turn is next. A start moves the turn on by the job's cost over the key's weight, and the clock of the priority to where the turn was. A line in
which no job waited begins at the clock or at its own turn, whichever is later: nobody saves up by waiting, nobody is ahead by coming anew.

When nothing waits at a priority, its clock moves to the latest turn of all. A line without jobs whose turn the clock has reached equals a new one and
is forgotten.

    a queue:   plain ── fair: true ──▶ sorting, up to a place ──▶ fair ── fair: false ──▶ clearing ──▶ plain

While it is being sorted, and once it is cleared, the queue is first in, first out.
"""

from typing import Annotated

import msgspec

from holdfast.job.job import Job
from holdfast.limits import FAIR_UNIT, ID_MAX

_Place = Annotated[int, msgspec.Meta(ge=-1, le=ID_MAX)]

LineId = tuple[int, int, str]
"""A line by queue, priority and key; no key is the empty one."""


class Sharing(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Of a queue: jobs in its order up to the place `upto` (priority and id) are counted in their lines; None: all. `clearing`: none any more."""

    upto: tuple[_Place, _Place] | None = None
    clearing: bool = False

    @property
    def whole(self) -> bool:
        """Whether turns decide who is next."""
        return self.upto is None and not self.clearing


SORTING = Sharing((-1, 0))
"""Of a queue that is to be fair from now on."""

FAIR = Sharing()
CLEARING = Sharing(clearing=True)


class Line(msgspec.Struct, gc=False):
    """The jobs of one key at one priority. None of them has a lower id than `first`. Of lines with equal turns that with the lowest `last` is next: one
    more than the id of the job that was started last, else that of the job which made the line active.
    """

    queue: int
    priority: int
    key: str
    turn: int = 0
    waiting: int = 0
    first: int = 0
    last: int = 0
    weight: int = 1

    @property
    def id(self) -> LineId:
        """Which one it is."""
        return self.queue, self.priority, self.key


class Clock(msgspec.Struct, gc=False):
    """The virtual time of one priority of a queue. `most`: the latest turn of any line; `low`: no line with jobs has an earlier one; `lines`: how many
    of these there are.
    """

    queue: int
    priority: int
    now: int = 0
    most: int = 0
    low: int = 0
    lines: int = 0


def line_of(queue: int, sharing: Sharing, job: Job) -> LineId | None:
    """The line in which a ready job is counted, if it is in one. One whose row can't be read is in none."""
    extras = job.extras
    if job.held or job.waits is not None or extras.worker is not None or extras.unreadable is not None:
        return None
    if sharing is not FAIR and (sharing.clearing or (sharing.upto is not None and (job.priority, job.id) > sharing.upto)):
        return None
    return queue, job.priority, extras.fair_key or ""


def step(cost: int, weight: int) -> int:
    """How far a start moves the turn on."""
    return max(1, cost * FAIR_UNIT // weight)


def enter(line: Line, clock: Clock, job_id: int, jobs: int = 1) -> None:
    """Jobs come to a line; this one is the first of them."""
    if line.waiting > 0:
        line.first = min(line.first, job_id)
        line.waiting += jobs
        return
    turn = line.turn
    if turn < clock.now:
        turn = line.turn = clock.now
    line.waiting = jobs
    line.first = line.last = job_id
    if clock.lines <= 0:
        clock.low, clock.lines = turn, 1
    else:
        clock.lines += 1
        clock.low = min(clock.low, turn)
    clock.most = max(clock.most, turn)


def leave(line: Line, clock: Clock, jobs: int = 1) -> None:
    """Jobs leave a line without being started."""
    if line.waiting <= 0:
        return
    line.waiting = max(0, line.waiting - jobs)
    if line.waiting == 0:
        clock.lines -= 1
        if clock.lines <= 0:
            clock.now = max(clock.now, clock.most)


def start(line: Line, clock: Clock, job_id: int, cost: int) -> None:
    """A job of a line is leased."""
    clock.now = max(clock.now, line.turn)
    turn = line.turn = clock.now + step(cost, line.weight)
    line.last = job_id + 1
    clock.most = max(clock.most, turn)
    if line.waiting > 1:
        line.waiting -= 1
    else:
        leave(line, clock)


def is_forgettable(line: Line, clock: Clock) -> bool:
    """Whether a new line would equal it."""
    return line.waiting <= 0 and line.turn <= clock.now
