"""How fast this machine is just now, so that a bound in processor time means the same everywhere."""

import json
import statistics
import time

REFERENCE_S = 0.0065
"""What the work takes on a machine where the bounds hold as they are written. Reckoned, not measured there: on a machine that took 0.0095 s, the
longest turns of a version that had kept to the bounds elsewhere were 1.45 times as long as there.
"""
_ROWS = [{"id": n, "queue": f"q{n}", "payload": [n, str(n)]} for n in range(2_000)]


def slowness() -> float:
    """How many times as long this machine takes as that one; never less than 1."""
    return max(1.0, statistics.median(_took() for _ in range(7)) / REFERENCE_S)


def _took() -> float:
    began = time.thread_time()
    for _ in range(3):
        by_queue: dict[str, list[int]] = {}
        for row in json.loads(json.dumps(_ROWS)):
            by_queue.setdefault(row["queue"], []).append(row["id"])
        sorted(by_queue, key=len)
    return time.thread_time() - began
