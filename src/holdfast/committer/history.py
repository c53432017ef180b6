"""A small history of every queue: jobs enqueued, done and failed, and how long jobs waited and attempts ran.

Held in memory on the store's side, so that the management page can draw the last hour and day without Prometheus. It starts
empty with the server, and reports when that was. Bounded: `HISTORY_QUEUES` queues, two rings each.

    commit ─▶ committed() ─▶ the open step of each queue
    every second ─▶ roll() ─▶ a step that is over becomes one row of 40 bytes in its ring, and is added to the longer step that it is a part
                              of, and to that of all queues; the oldest row falls out

Times go into fixed buckets; a quantile is interpolated within its bucket, so its error is at most one bucket's width.
"""

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from itertools import islice

from holdfast.errors import InvalidRequest
from holdfast.job.job import Job, State
from holdfast.limits import HISTORY_QUEUES, HISTORY_SPANS
from holdfast.messages import events
from holdfast.messages.buckets import BOUNDS_MS, quantile
from holdfast.messages.queries import GetHistory
from holdfast.messages.views import History, Step
from holdfast.stores.store import Change

ALL = ""
"""The name under which all queues together are kept; no queue can have it."""

_VERBS = {events.ENQUEUED: 0, events.CONCLUDED: 1, events.FAILED: 2, events.EXPIRED: 2, events.DIED: 3}
_COLUMNS = 9  # of a finished step: four counts, depth, four quantiles
_NOTHING = (0.0, 0.0, 0.0, 0.0)
_TIMED = 200  # changes of one commit whose times are sampled
_POINTS = 30  # of the small picture of each queue


class _Open:
    """The current step."""

    __slots__ = ("counts", "runs", "waits")

    def __init__(self) -> None:
        self.counts = [0, 0, 0, 0]
        self.waits: list[int] | None = None
        self.runs: list[int] | None = None

    def waited(self, ms: int, weight: int) -> None:
        """A job was leased after so long; it counts for `weight` jobs."""
        if self.waits is None:
            self.waits = [0] * (len(BOUNDS_MS) + 1)
        self.waits[bisect_left(BOUNDS_MS, ms)] += weight

    def ran(self, ms: int, weight: int) -> None:
        """An attempt ended after so long."""
        if self.runs is None:
            self.runs = [0] * (len(BOUNDS_MS) + 1)
        self.runs[bisect_left(BOUNDS_MS, ms)] += weight

    def add(self, part: "_Open") -> None:
        """Count what another step counted."""
        self.counts = [a + b for a, b in zip(self.counts, part.counts, strict=True)]
        self.waits = _sum(self.waits, part.waits)
        self.runs = _sum(self.runs, part.runs)

    def row(self, depth: float) -> tuple[float, ...]:
        waits, runs = self.waits, self.runs
        return (
            *self.counts,
            depth,
            *((quantile(waits, 0.5), quantile(waits, 0.95)) if waits else (math.nan, math.nan)),
            *((quantile(runs, 0.5), quantile(runs, 0.95)) if runs else (math.nan, math.nan)),
        )


class _Ring:
    """One span of one queue: finished steps, and the open one. A step without anything costs nothing but its place."""

    __slots__ = ("open", "rows", "steps")

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.rows = array("f", [math.nan]) * (steps * _COLUMNS)
        self.open = _Open()

    def put(self, number: int, row: tuple[float, ...]) -> None:
        at = number % self.steps * _COLUMNS
        self.rows[at : at + _COLUMNS] = array("f", row)

    def row(self, number: int) -> Sequence[float]:
        at = number % self.steps * _COLUMNS
        return self.rows[at : at + _COLUMNS]


class Recorder:
    """The history of every queue on one store. `now` is the store's time everywhere."""

    def __init__(self, now: int) -> None:
        self.began_at = now
        self._queues: dict[str, dict[str, _Ring]] = {}
        self._depths: dict[str, int] = {}
        self._busy_at: dict[str, int] = {}
        self._full_until = 0
        self._current = {span: now // step_ms for span, (step_ms, _) in HISTORY_SPANS.items()}

    def committed(self, counts: dict[tuple[str, str], int], changes: Collection[Change], now: int) -> None:
        """Count one commit: how often each (verb, queue) happened, how long jobs waited that it leased, and how long attempts ran that
        ended of their own.

        Of a large commit every n-th change is sampled and counts n times, so that the cost for the commit stays small.
        """
        for (verb, queue), count in counts.items():
            column = _VERBS.get(verb)
            if column is not None:
                self._step(queue, now).counts[column] += count
        weight = len(changes) // _TIMED + 1
        queue, step = "", None
        for change in islice(changes, 0, None, weight):
            before, after = change.before, change.after
            if before is None or after is None:
                continue
            if step is None or after.queue != queue:
                queue = after.queue
                step = self._step(queue, now)
            if after.lease is not None:
                if before.lease is None:
                    step.waited(after.lease.leased_at - after.ready_at, weight)
            elif before.lease is not None and _was_worked_on(before, after):
                step.ran(now - before.lease.leased_at, weight)

    def depths(self, depths: dict[str, int], total: int, now: int) -> None:
        """How many unfinished jobs each queue has now, and all together."""
        for queue, depth in depths.items():
            if depth or queue in self._queues:
                self._step(queue, now if depth else 0)
        self._depths = {**depths, ALL: total}

    def due(self, now: int) -> bool:
        """Whether a step is over, so that depths are wanted."""
        return any(now // step_ms > self._current[span] for span, (step_ms, _) in HISTORY_SPANS.items())

    def roll(self, now: int) -> None:
        """Finish the steps that are over, the shorter ones first: the longer ones are made of them."""
        for span, (step_ms, steps) in HISTORY_SPANS.items():
            number, first = now // step_ms, self._current[span]
            if number <= first:
                continue
            self._current[span] = number
            if span == _SHORTEST:
                self._hand_up()
            for queue, rings in self._queues.items():
                ring = rings[span]
                depth = float(self._depths.get(queue, 0))
                ring.put(first, ring.open.row(depth))
                ring.open = _Open()
                for empty in range(max(first + 1, number - steps), number):  # the clock may have leapt
                    ring.put(empty, (*_NOTHING, depth, math.nan, math.nan, math.nan, math.nan))

    def _hand_up(self) -> None:
        """Add the shortest steps to the longer ones, and to those of all queues together."""
        everything = self._rings(ALL)
        for queue, rings in self._queues.items():
            if queue != ALL:
                everything[_SHORTEST].open.add(rings[_SHORTEST].open)
        for rings in self._queues.values():
            for span in _LONGER:
                rings[span].open.add(rings[_SHORTEST].open)

    def forget(self, queue: str) -> None:
        """Drop the history of a deleted queue, except its part in the sums over all queues."""
        rings = self._queues.pop(queue, None)
        if rings is not None:
            self._rings(ALL)[_SHORTEST].open.add(rings[_SHORTEST].open)
        self._busy_at.pop(queue, None)
        self._full_until = 0

    def answer(self, query: GetHistory, now: int) -> History:
        """What one queue did, or small pictures of many."""
        if query.span not in HISTORY_SPANS:
            raise InvalidRequest(f"span must be one of {', '.join(HISTORY_SPANS)}.", field="span")
        step_ms, steps = HISTORY_SPANS[query.span]
        current = self._current[query.span]
        first = max(current - steps, self.began_at // step_ms)
        if query.names is not None:
            depths = {name: self._picture(name, query.span, first, current) for name in query.names if name in self._queues}
            return History(self.began_at, now, step_ms, depths=depths)
        seen = query.queue != ALL or query.scope is None  # of all queues together only who may see them all
        ring = self._queues.get(query.queue, {}).get(query.span) if seen else None
        found = [] if ring is None else [_shown(number * step_ms, ring.row(number)) for number in range(first, current)]
        return History(self.began_at, now, step_ms, [step for step in found if step is not None])

    def _picture(self, queue: str, span: str, first: int, current: int) -> list[int | None]:
        """The depth at a few moments, the latest last; each the highest of its stretch, so that no peak is lost."""
        ring = self._queues[queue][span]
        stride = max(1, -(-(current - first) // _POINTS))
        found: list[int | None] = []
        for start in range(first, current, stride):
            depths = [ring.row(number)[4] for number in range(start, min(start + stride, current))]
            known = [depth for depth in depths if not math.isnan(depth)]
            found.append(round(max(known)) if known else None)
        return found

    def _step(self, queue: str, now: int) -> _Open:
        """A queue's current step, or that of all queues if it has none."""
        rings = self._queues.get(queue)
        if rings is None:
            known = len(self._queues) - (ALL in self._queues)
            if known >= HISTORY_QUEUES and not self._make_room(now):
                return self._rings(ALL)[_SHORTEST].open
            rings = self._rings(queue)
        if now and self._busy_at.get(queue) != now:
            self._busy_at.pop(queue, None)
            self._busy_at[queue] = now  # at the end: the order is that in which they were busy last
        return rings[_SHORTEST].open

    def _rings(self, queue: str) -> dict[str, _Ring]:
        rings = self._queues.get(queue)
        if rings is None:
            rings = self._queues[queue] = {span: _Ring(steps) for span, (_, steps) in HISTORY_SPANS.items()}
        return rings

    def _make_room(self, now: int) -> bool:
        """Drop the queue that has been idle longest, if for at least an hour. Called for every queue of a commit without a
        history, so it does not search.
        """
        if now < self._full_until:
            return False
        idle = next((name for name in self._busy_at if name != ALL), None)
        if idle is None:  # none of them was ever busy
            idle = next(name for name in self._queues if name != ALL)
        elif now - self._busy_at[idle] < _IDLE_MS:
            self._full_until = min(self._busy_at[idle] + _IDLE_MS, now + _LOOK_AGAIN_MS)
            return False
        self.forget(idle)
        return True


_IDLE_MS = 3_600_000
_LOOK_AGAIN_MS = 1_000
_SHORTEST, *_LONGER = sorted(HISTORY_SPANS, key=lambda span: HISTORY_SPANS[span][0])


def _was_worked_on(before: Job, after: Job) -> bool:
    """Whether the attempt was ended by its worker: neither expired nor released."""
    return after.state is State.CONCLUDED or after.failures > before.failures


def _sum(into: list[int] | None, more: list[int] | None) -> list[int] | None:
    if more is None:
        return into
    return list(more) if into is None else [a + b for a, b in zip(into, more, strict=True)]


def _shown(at: int, row: Sequence[float]) -> Step | None:
    """A finished step; None where the ring has none there."""
    if math.isnan(row[0]):
        return None
    known: Callable[[float], float | None] = lambda value: None if math.isnan(value) else round(value, 1)  # noqa: E731  (said once, used four times)
    came, done, failed, died = (round(value) for value in row[:4])
    depth = None if math.isnan(row[4]) else round(row[4])
    return Step(at, came, done, failed, died, depth, known(row[5]), known(row[6]), known(row[7]), known(row[8]))
