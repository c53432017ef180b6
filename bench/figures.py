"""The arithmetic of a benchmark: percentiles, medians with their spread, and the server's own histograms.

Every sample is kept, so a percentile here is a real sample (nearest rank), never an interpolation.
"""

import math
import re
import statistics
from collections.abc import Iterable, Sequence

import msgspec

SAMPLE_LINE = re.compile(r"^(?P<name>[A-Za-z_:][\w:]*)(?:\{(?P<labels>[^}]*)\})?\s+(?P<value>\S+)", re.MULTILINE)
BOUND = re.compile(r'(?:^|,)\s*le="([^"]+)"')


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of values in ascending order; `share` is 0 < share <= 1."""
    if not ordered:
        raise ValueError("a percentile of no samples")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Latency(msgspec.Struct, frozen=True):
    """How long operations took, in milliseconds."""

    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> "Latency | None":
        """From samples in seconds, in any order; None when there are none."""
        ordered = sorted(seconds)
        if not ordered:
            return None
        return cls(*(1000 * percentile(ordered, share) for share in (0.5, 0.99, 0.999, 1.0)))


class Spread(msgspec.Struct, frozen=True):
    """Several runs of the same thing: their median, and how far they lay apart."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Spread | None":
        """From one value per run; runs without a value do not count; None when no run has one."""
        known = [value for value in values if value is not None]
        if not known:
            return None
        return cls(statistics.median(known), min(known), max(known))


class Histogram(msgspec.Struct, frozen=True):
    """A Prometheus histogram: cumulative counts by upper bound, and the sum and number of observations."""

    buckets: dict[float, float]
    total: float
    count: float

    @classmethod
    def read(cls, exposition: str, name: str) -> "Histogram | None":
        """The histogram `name` of a /metrics page, its label sets added up; None where the page does not have it."""
        buckets: dict[float, float] = {}
        total = count = 0.0
        found = False
        for line in SAMPLE_LINE.finditer(exposition):
            series, value = line["name"], float(line["value"])
            if series == f"{name}_bucket" and (bound := BOUND.search(line["labels"] or "")):
                upper = float(bound[1])
                buckets[upper] = buckets.get(upper, 0.0) + value
            elif series == f"{name}_sum":
                total += value
            elif series == f"{name}_count":
                count, found = count + value, True
        return cls(buckets, total, count) if found else None

    def since(self, earlier: "Histogram | None") -> "Histogram":
        """What was observed after `earlier` was read from the same server."""
        if earlier is None:
            return self
        buckets = {bound: seen - earlier.buckets.get(bound, 0.0) for bound, seen in self.buckets.items()}
        return Histogram(buckets, self.total - earlier.total, self.count - earlier.count)

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None

    def bound_of(self, share: float) -> float | None:
        """The smallest bucket bound under which at least `share` of the observations lie; None when nothing was observed."""
        if not self.count:
            return None
        return next((bound for bound in sorted(self.buckets) if self.buckets[bound] >= share * self.count), math.inf)


def labelless(text: str, name: str) -> float:
    """The value of a sample without labels on a page of metrics; 0 where it is not."""
    values = (float(found["value"]) for found in SAMPLE_LINE.finditer(text) if found["name"] == name and not found["labels"])
    return next(values, 0.0)
