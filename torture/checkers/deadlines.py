"""C16: no job starts after its deadline, and none ends as expired before it.

A deadline is counted from the enqueue, so it surely has passed so long after the answer, and surely has not so long after the asking. A clock that is
set lets it pass earlier or later: there nothing is checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from torture.checkers.violation import Violation
from torture.digest import Digest
from torture.history import History

CLOCK_S = 0.002  # the server counts in milliseconds


def nothing_runs_after_its_deadline(history: History) -> list[Violation]:
    """C16, for every job that was enqueued with a deadline."""
    if any(True for _ in history.named("clock set")):
        return []
    digest = history.digest
    listed_at = max((event.at for event in history.named("listed")), default=-inf)
    found: list[Violation] = []
    for value, sent in digest.submitted.items():
        if "expires_in_ms" in sent:
            after_s = (sent["expires_in_ms"] + sent.get("delay_ms", 0)) / 1000
            found += _late(digest, value, after_s)
            found += _early(digest, value, after_s, listed_at)
    return found


def _late(digest: Digest, value: str, after_s: float) -> Iterator[Violation]:
    over = max((call.ended for call in digest.submits[value] if call.maybe_done), default=inf) + after_s + CLOCK_S
    for job in digest.jobs_of.get(value, ()):
        for lease in digest.leases_of[job]:
            if lease.asked_at > over and job not in digest.revived:
                text = f"job {job} ({value}) started {(lease.asked_at - over) * 1000:.0f} ms after its deadline at least"
                yield Violation.of("C16", "expired job run", text, *digest.submits[value], lease.claims[0][0])


def _early(digest: Digest, value: str, after_s: float, listed_at: float) -> Iterator[Violation]:
    due = min(call.begun for call in digest.submits[value]) + after_s - CLOCK_S
    for job in digest.jobs_of.get(value, ()):
        if digest.listed.get(job, {}).get("state") == "cancelled" and listed_at < due and not digest.removals[job]:
            text = f"job {job} ({value}) is cancelled {due - listed_at:.3f} s before its deadline"
            yield Violation.of("C16", "expired too soon", text, *digest.submits[value])
