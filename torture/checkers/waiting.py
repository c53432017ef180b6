"""C13: who waits for jobs is given one that is ready.

The first lease of a job says that nobody had it before, so from the answer to its enqueue until that lease was asked for it was ready. A call that
named its queue, began after that and came back with nothing before, or waited on for long, was passed over. What only *may* have been so is no
evidence: jobs with a delay, a unique key, a budget or a removal, whatever the harness did not see leased, and calls whose time was up while the store was away.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from itertools import accumulate

from torture.checkers.violation import Violation
from torture.history import History

WITHIN_S = 3.0  # while it waits; the news of other nodes may be lost, and a node looks for itself every second

AWAY_S = {
    "primary": 15.0,
    "node": 5.0,
    "other node": 5.0,
}  # after it was lost or stopped; one that stands still may hold a queue until it goes on


def nobody_waits_beside_a_ready_job(history: History) -> list[Violation]:
    """C13, for every call that found nothing."""
    ready = _spells(history)
    away = [(event.at, event.at + AWAY_S.get(event.details["which"], 0.0)) for event in history.named("paused")]
    away += [(event.details["since"], event.at + AWAY_S["primary"]) for event in history.named("primary lost")]
    found = []
    for call in history.calls:
        if call.verb != "claim" or not call.done or call.answer["jobs"] or call.asked.get("half_closed"):
            continue  # who has closed half of its connection may have gone, and is given nothing
        if any(since <= call.ended <= until for since, until in away):
            continue
        for queue in call.asked["queues"]:
            from_when, to_when, jobs = ready.get(queue, ([], [], []))
            at = bisect_right(from_when, max(call.begun, call.ended - WITHIN_S)) - 1
            if at >= 0 and to_when[at] > call.ended:
                text = f"{call.client} was given nothing from {queue} in {call.ended - call.begun:.2f} s while job {jobs[at]} was ready"
                found.append(Violation.of("C13", "passed over", text, call))
                break
    return found


def _spells(history: History) -> dict[str, tuple[list[float], list[float], list[int]]]:
    """By queue: since when a job was ready; and of all since before, until when the last of them was, and which."""
    digest = history.digest
    spells: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    for job, value in digest.ids():
        first = next((lease for lease in digest.leases_of[job] if lease.attempt == 1), None)
        sent = digest.submitted.get(value, {})
        if first is None or digest.removals[job] or {"delay_ms", "unique_key", "budgets"} & sent.keys():
            continue
        since = min((call.ended for call in digest.submits[value] if call.done), default=None)
        if since is not None and since < first.asked_at:
            spells[sent["queue"]].append((since, first.asked_at, job))
    found = {}
    for queue, some in spells.items():
        some.sort()
        last = list(accumulate(some, lambda a, b: (b[0], *max(a[1:], b[1:]))))
        found[queue] = ([one[0] for one in some], [one[1] for one in last], [one[2] for one in last])
    return found
