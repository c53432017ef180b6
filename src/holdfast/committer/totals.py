"""Totals since the start, rates over about a minute, and the sizes and times of commits.

Kept where the store is, in memory: a restart begins at zero, as counters in Prometheus may.
"""

import math
import time
from bisect import bisect_left

from holdfast.busy import CommitWatch
from holdfast.limits import QUEUES
from holdfast.messages.buckets import BATCH_BUCKETS, COMMIT_BUCKETS
from holdfast.messages.events import COUNTED, EXPIRED, FAILED
from holdfast.messages.views import BackupState

_MEMORY_S = 60.0  # rates forget with this time constant
_AT_ONCE_S = 0.25  # what happens within this counts as if it had happened at once: half a percent less is forgotten, and few commits pay for it


_COUNTED = frozenset(COUNTED)


class Counter:
    """How many events there were, and how many a second, each forgotten exponentially: after a minute it counts a third."""

    __slots__ = ("_at", "_level", "count")

    def __init__(self) -> None:
        self.count = 0
        self._level = 0.0
        self._at = 0.0

    def add(self, count: int, at: float) -> None:
        """Count events that happened at this monotonic time."""
        self.count += count
        if at - self._at > _AT_ONCE_S:
            self._level = self._decayed(at)
            self._at = at
        self._level += count / _MEMORY_S

    def per_second(self, at: float) -> float:
        """The rate as seen at this monotonic time."""
        return self._decayed(at)

    def without(self, other: "Counter", at: float) -> None:
        """What another one counts counts here no more."""
        self.count -= other.count
        self._level = max(0.0, self._decayed(at) - other.per_second(at))
        self._at = at

    def _decayed(self, at: float) -> float:
        return self._level * math.exp((self._at - at) / _MEMORY_S) if self._level else 0.0


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

    def of(self, queue: str) -> tuple[dict[str, int], dict[str, float]]:
        """Totals and rates per second of one queue, by verb."""
        now = time.monotonic()
        found = {verb: counter for verb in COUNTED if (counter := self._counters.get((verb, queue))) is not None}
        return _counts_of(found), {verb: counter.per_second(now) for verb, counter in found.items()}

    def fails(self, queue: str) -> bool:
        """Whether attempts of this queue went wrong lately."""
        now = time.monotonic()
        found = (self._counters.get((verb, queue)) for verb in (FAILED, EXPIRED))
        return any(counter is not None and counter.per_second(now) >= 0.01 for counter in found)

    def done(self, queue: str) -> int:
        """How much was done in one queue, all verbs together."""
        return sum([counter.count for verb in COUNTED if (counter := self._counters.get((verb, queue))) is not None])

    def of_all(self) -> tuple[dict[str, int], dict[str, float]]:
        """Totals and rates per second of all queues together, by verb."""
        now = time.monotonic()
        return _counts_of(self._all), {verb: counter.per_second(now) for verb, counter in self._all.items()}

    def forget(self, queue: str) -> None:
        """Drop the totals of a deleted queue."""
        now = time.monotonic()
        for verb in COUNTED:
            if (counter := self._counters.pop((verb, queue), None)) is not None:
                self._all[verb].without(counter, now)


def _counts_of(counters: dict[str, Counter]) -> dict[str, int]:
    return {verb: counters[verb].count if verb in counters else 0 for verb in COUNTED}
