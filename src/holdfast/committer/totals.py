"""Totals since the start, rates over about ten seconds, a minute and an hour, and the sizes and times of commits.

Kept where the store is, in memory: a restart begins at zero, as counters in Prometheus may.
"""

import math
import time
from bisect import bisect_left
from typing import NamedTuple

from holdfast.busy import CommitWatch
from holdfast.limits import QUEUES
from holdfast.messages.buckets import BATCH_BUCKETS, COMMIT_BUCKETS
from holdfast.messages.events import CONCLUDED, COUNTED, ENQUEUED, EXPIRED, FAILED
from holdfast.messages.views import BackupState

SPANS_S = (10.0, 60.0, 3_600.0)
"""What rates are averages over: each forgets with this time constant."""
_AT_ONCE_S = (
    0.25  # what happens within this counts as if it had happened at once: little less is forgotten, and few commits pay for it
)
_LEAST_S = 1.0  # that a server counts as running: else the first job would be one of thousands a second
_COUNTED = frozenset(COUNTED)
_RATED = (ENQUEUED, CONCLUDED, FAILED, EXPIRED)
"""Verbs whose rates are told over all spans, not only over a minute."""


def spans(ran: float) -> tuple[float, float, float]:
    """What counts are divided by of who has counted for so long: less than a span of it, and the rate is the average of all that there was."""
    moment, minute, hour = [span * -math.expm1(-max(_LEAST_S, ran) / span) for span in SPANS_S]
    return moment, minute, hour


class Counter:
    """How many events there were, and how many a second: each is forgotten exponentially, over a minute to a third after a minute."""

    __slots__ = ("_at", "_hour", "_minute", "_moment", "_new", "count")

    def __init__(self) -> None:
        self.count = 0
        self._at = 0.0
        self._new = 0
        self._moment = self._minute = self._hour = 0.0

    def add(self, count: int, at: float) -> None:
        """Count events that happened at this monotonic time."""
        self.count += count
        if at - self._at > _AT_ONCE_S:
            self._moment, self._minute, self._hour = self._levels(at)
            self._new, self._at = 0, at
        self._new += count

    def per_second(self, at: float, over: tuple[float, float, float] = SPANS_S) -> tuple[float, float, float]:
        """The rates as seen at this monotonic time; `over` is what `spans` gives."""
        moment, minute, hour = self._levels(at)
        return moment / over[0], minute / over[1], hour / over[2]

    def without(self, other: "Counter", at: float) -> None:
        """What another one counts counts here no more."""
        self.count -= other.count
        mine, theirs = self._levels(at), other._levels(at)  # noqa: SLF001  (of its own kind)
        self._moment, self._minute, self._hour = [max(0.0, a - b) for a, b in zip(mine, theirs, strict=True)]
        self._new, self._at = 0, at

    def _levels(self, at: float) -> tuple[float, float, float]:
        """How many events are remembered over each span."""
        ago, new = self._at - at, self._new
        moment, minute, hour = SPANS_S
        return (
            (self._moment + new) * math.exp(ago / moment),
            (self._minute + new) * math.exp(ago / minute),
            (self._hour + new) * math.exp(ago / hour),
        )


class Numbers(NamedTuple):
    """By verb: the total since the start, and rates per second over ten seconds, a minute and an hour."""

    totals: dict[str, int]
    rates_10s: dict[str, float]
    rates: dict[str, float]
    rates_1h: dict[str, float]


class Totals:
    """Counts of committed verbs by queue, and of commits: those that changed something. `batches` are all transactions, empty ones too."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, str], Counter] = {}
        self._all: dict[str, Counter] = {}  # of all queues together, by verb
        self.batches = 0
        self.commits = 0
        self.commands = 0
        self.commit_seconds = 0.0
        self.batch_buckets = [0] * (len(BATCH_BUCKETS) + 1)
        self.commit_buckets = [0] * (len(COMMIT_BUCKETS) + 1)
        self.commit_busy = CommitWatch()
        self.started = time.monotonic()
        self.clock_behind_ms = self.clock_steps = self.schedules_aside = self.jobs_aside = 0
        self.jobs_why: list[str] = []
        self.operations: dict[str, int] = {}  # by state, those that have not ended; and the `jobs` of their steps
        self.backups: BackupState | None = None
        self.job_batches = {"made": 0, "finished": 0, "put": 0, "owed": 0}
        self.taken_in = {"enqueued": 0, "existing": 0, "duplicate": 0, "refused": 0}  # jobs out of the inbox
        self.audit = {"done": 0, "refused": 0, "unrecorded": 0, "removed": 0}  # entries of the audit log

    def batches_committed(self, made: int, finished: int, put: int, owing: bool) -> None:
        """Add what a commit did to batches of jobs; `owing`: closing jobs could not be put."""
        counts = self.job_batches
        counts["made"] += made
        counts["finished"] += finished
        counts["put"] += put
        counts["owed"] |= owing

    def committed(self, counts: dict[tuple[str, str], int], commands: int, seconds: float) -> None:
        """Add one commit: how often each (verb, queue) happened, how many commands it served, how long it took."""
        now = time.monotonic()
        for key, count in counts.items():
            counter = self._counters.get(key)
            if counter is None:
                if key[0] not in _COUNTED:
                    continue
                counter = self._begin(key)
            counter.add(count, now)
            self._all[key[0]].add(count, now)
        self.commits += 1
        self.commands += commands
        self.commit_seconds += seconds
        self.batch_buckets[bisect_left(BATCH_BUCKETS, commands)] += 1
        self.commit_buckets[bisect_left(COMMIT_BUCKETS, seconds)] += 1

    def _begin(self, key: tuple[str, str]) -> Counter:
        while len(self._counters) >= len(COUNTED) * QUEUES:  # some are gone, deleted at another node
            self.forget(next(iter(self._counters))[1])
        self._all.setdefault(key[0], Counter())
        counter = self._counters[key] = Counter()
        return counter

    def of(self, queue: str) -> "Numbers":
        """Totals and rates of one queue, by verb."""
        return self._numbers({verb: found for verb in COUNTED if (found := self._counters.get((verb, queue))) is not None})

    def _numbers(self, counters: dict[str, Counter]) -> "Numbers":
        now = time.monotonic()
        over = spans(now - self.started)
        rates = {verb: counter.per_second(now, over) for verb, counter in counters.items()}
        told = [verb for verb in _RATED if verb in rates]
        return Numbers(
            _counts_of(counters),
            {verb: rates[verb][0] for verb in told},
            {verb: rate[1] for verb, rate in rates.items()},
            {verb: rates[verb][2] for verb in told},
        )

    def fails(self, queue: str) -> bool:
        """Whether attempts of this queue went wrong lately."""
        now = time.monotonic()
        found = (self._counters.get((verb, queue)) for verb in (FAILED, EXPIRED))
        return any(counter is not None and counter.per_second(now)[1] >= 0.01 for counter in found)

    def done(self, queue: str) -> int:
        """How much was done in one queue, all verbs together."""
        return sum([counter.count for verb in COUNTED if (counter := self._counters.get((verb, queue))) is not None])

    def of_all(self) -> "Numbers":
        """Totals and rates of all queues together, by verb."""
        return self._numbers(self._all)

    def forget(self, queue: str) -> None:
        """Drop the totals of a deleted queue."""
        now = time.monotonic()
        for verb in COUNTED:
            if (counter := self._counters.pop((verb, queue), None)) is not None:
                self._all[verb].without(counter, now)


def _counts_of(counters: dict[str, Counter]) -> dict[str, int]:
    return {verb: counters[verb].count if verb in counters else 0 for verb in COUNTED}
