"""C17: in a fair queue nobody waits behind the many jobs of another.

Of a job that was there and not started, each other key may start about as many meanwhile as its own key does: one turn each, and a second around the
first. Only starts count that surely lie between the answer to the enqueue and the asking for its own; what its own key may have started, and claims without
an answer, allow for more.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator

from torture.checkers.violation import Violation
from torture.digest import Digest, Lease
from torture.history import Call, History

TURNS = 2  # of another key for each of one's own
SPARE = 4

Keys = dict[str, list[Lease]]


def nobody_is_starved(history: History) -> list[Violation]:
    """C17, for every queue that is fair."""
    fair = {
        call.asked["queue"]
        for call in history.calls
        if call.verb == "set_queue" and call.done and call.asked["settings"].get("fair")
    }
    lost = [call for call in history.calls if call.verb == "claim" and call.outcome == "info"]
    found: list[Violation] = []
    for queue in sorted(fair):
        found += _starved(history.digest, queue, [call for call in lost if queue in call.asked["queues"]])
    return found


def _starved(digest: Digest, queue: str, lost: list[Call]) -> Iterator[Violation]:
    keys: Keys = defaultdict(list)
    for lease in digest.leases.values():
        if lease.queue == queue:
            keys[digest.submitted.get(lease.value, {}).get("fair_key", "")].append(lease)
    for leases in keys.values():
        leases.sort(key=lambda lease: lease.asked_at)
    asked = {key: [lease.asked_at for lease in leases] for key, leases in keys.items()}
    for key, leases in keys.items():
        for lease in leases:
            since = min((call.ended for call in digest.submits[lease.value] if call.done), default=lease.asked_at)
            if lease.attempt > 1 or since >= lease.asked_at or digest.removals[lease.job]:
                continue
            own = sum(other.told_at >= since for other in leases[: bisect_right(asked[key], lease.told_at)])
            own += sum(call.asked["max"] for call in lost if call.ended >= since and call.begun <= lease.told_at)
            for other, theirs in keys.items():
                if other == key:
                    continue
                between = theirs[bisect_right(asked[other], since) : bisect_left(asked[other], lease.asked_at)]
                before = sum(one.told_at < lease.asked_at for one in between)
                if before > TURNS * own + SPARE:
                    text = (
                        f"job {lease.job} of {key!r} waited while {before} of {other!r} were started, and {own} of its own key"
                    )
                    yield Violation.of("C17", "tenant starved", text, *digest.submits[lease.value][:1], lease.claims[0][0])
                    return
