"""Totals since the start, rates over about a minute, and the sizes and times of commits.

Kept where the store is, in memory: a restart begins at zero, as counters in Prometheus may.
"""

import math
import time
from bisect import bisect_left

from holdfast.busy import CommitWatch, LoopWatch
from holdfast.limits import QUEUES
from holdfast.messages.buckets import BATCH_BUCKETS, COMMIT_BUCKETS
from holdfast.messages.events import COUNTED, EXPIRED, FAILED
from holdfast.messages.views import BackupState

_MEMORY_S = 60.0  # rates forget with this time constant
_AT_ONCE_S = 0.25  # what happens within this counts as if it had happened at once: half a percent less is forgotten, and few commits pay for it


class Rate:
    """Events per second, each event forgotten exponentially: after a minute it counts a third."""

    __slots__ = ("_at", "_level")

    def __init__(self) -> None:
        self._level = 0.0
        self._at = 0.0

    def add(self, count: int, at: float) -> None:
        """Count events that happened at this monotonic time."""
        if at - self._at > _AT_ONCE_S:
            self._level = self._decayed(at)
            self._at = at
        self._level += count / _MEMORY_S

    def per_second(self, at: float) -> float:
        """The rate as seen at this monotonic time."""
        return self._decayed(at)

    def without(self, other: "Rate", at: float) -> None:
        """What another one counts counts here no more."""
        self._level = max(0.0, self._decayed(at) - other.per_second(at))
        self._at = at

    def _decayed(self, at: float) -> float:
        return self._level * math.exp((self._at - at) / _MEMORY_S) if self._level else 0.0


class Totals:
    """Counts of committed verbs by queue, and of commits: those that changed something. `batches` are all transactions, empty ones too."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._rates: dict[tuple[str, str], Rate] = {}
        self._counts_of_all: dict[str, int] = dict.fromkeys(COUNTED, 0)
        self._rates_of_all: dict[str, Rate] = {}
        self.batches = 0
        self.commits = 0
        self.commands = 0
        self.commit_seconds = 0.0
        self.batch_buckets = [0] * (len(BATCH_BUCKETS) + 1)
        self.commit_buckets = [0] * (len(COMMIT_BUCKETS) + 1)
        self.commit_busy = CommitWatch()
        self.loop_busy = LoopWatch()
        self.started = time.monotonic()
        self.clock_behind_ms = self.clock_steps = self.schedules_aside = self.jobs_aside = 0
        self.jobs_why: list[str] = []
        self.backups: BackupState | None = None
        self.audit = {"done": 0, "refused": 0, "unrecorded": 0, "removed": 0}  # entries of the audit log

    def committed(self, counts: dict[tuple[str, str], int], commands: int, seconds: float) -> None:
        """Add one commit: how often each (verb, queue) happened, how many commands it served, how long it took."""
        now = time.monotonic()
        sums: dict[str, int] = {}
        for key, count in counts.items():
            if (verb := key[0]) in COUNTED:
                sums[verb] = sums.get(verb, 0) + count
                self._counts[key] = self._counts.get(key, 0) + count
                rate = self._rates.get(key)
                if rate is None:
                    rate = self._rates[key] = Rate()
                rate.add(count, now)
        for verb, count in sums.items():
            self._counts_of_all[verb] += count
            rate = self._rates_of_all.get(verb)
            if rate is None:
                rate = self._rates_of_all[verb] = Rate()
            rate.add(count, now)
        while len(self._counts) > len(COUNTED) * QUEUES:  # some are gone, deleted at another node
            self.forget(next(iter(self._counts))[1])
        self.commits += 1
        self.commands += commands
        self.commit_seconds += seconds
        self.batch_buckets[bisect_left(BATCH_BUCKETS, commands)] += 1
        self.commit_buckets[bisect_left(COMMIT_BUCKETS, seconds)] += 1

    def of(self, queue: str) -> tuple[dict[str, int], dict[str, float]]:
        """Totals and rates per second of one queue, by verb."""
        now = time.monotonic()
        totals = {verb: self._counts.get((verb, queue), 0) for verb in COUNTED}
        rates = {verb: rate.per_second(now) for verb in COUNTED if (rate := self._rates.get((verb, queue))) is not None}
        return totals, rates

    def fails(self, queue: str) -> bool:
        """Whether attempts of this queue went wrong lately."""
        now = time.monotonic()
        found = (self._rates.get((verb, queue)) for verb in (FAILED, EXPIRED))
        return any(rate is not None and rate.per_second(now) >= 0.01 for rate in found)

    def done(self, queue: str) -> int:
        """How much was done in one queue, all verbs together."""
        return sum([self._counts.get((verb, queue), 0) for verb in COUNTED])

    def of_all(self) -> tuple[dict[str, int], dict[str, float]]:
        """Totals and rates per second of all queues together, by verb."""
        now = time.monotonic()
        return dict(self._counts_of_all), {verb: rate.per_second(now) for verb, rate in self._rates_of_all.items()}

    def forget(self, queue: str) -> None:
        """Drop the totals of a deleted queue."""
        now = time.monotonic()
        for verb in COUNTED:
            self._counts_of_all[verb] -= self._counts.pop((verb, queue), 0)
            if (rate := self._rates.pop((verb, queue), None)) is not None:
                self._rates_of_all[verb].without(rate, now)
