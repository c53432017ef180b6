"""The buckets of the histograms that are counted on the store's side and read in the fronts, and their quantiles."""

import math
from collections.abc import Sequence

BOUNDS_MS = (
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000,
    3_600_000, 7_200_000, 21_600_000, 86_400_000,
)  # fmt: skip
BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000)
COMMIT_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)


def quantile(counts: Sequence[int], share: float, bounds: Sequence[float] = BOUNDS_MS) -> float:
    """The value that this share of the counted ones stays below, in the unit of the bounds; not a number where nothing was counted."""
    total = sum(counts)
    if not total:
        return math.nan
    rank, below = share * total, 0
    for number, count in enumerate(counts):
        if count and below + count >= rank:
            low = bounds[number - 1] if number else 0
            high = bounds[number] if number < len(bounds) else 2 * bounds[-1]
            return low + (high - low) * (rank - below) / count
        below += count
    return float(bounds[-1])
