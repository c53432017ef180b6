"""C6: a queue never has more jobs than its capacity, refuses when it is full, and only then.

At each time two counts are known from outside: jobs that surely existed (acknowledged, and no end requested) and jobs that may
have existed. The first must never exceed the capacity; a single job may be refused only while the second could have reached it.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from math import inf

from torture.checkers.violation import Violation
from torture.digest import UNFINISHED, Digest, may_end_the_job, surely_ended_the_job
from torture.history import History

Step = tuple[float, int]


def a_bound_holds_exactly(history: History) -> list[Violation]:
    """C6, for every queue with a capacity."""
    found: list[Violation] = []
    for queue, capacity in capacities(history).items():
        found += _counted_over(history, queue, capacity)
        found += _surely_over(history.digest, queue, capacity)
        found += _refused_with_room(history, queue, capacity)
    return found


def capacities(history: History) -> dict[str, int]:
    """The bound of each queue whose bound was set once, before the load."""
    return {
        call.asked["queue"]: call.asked["settings"]["capacity_jobs"]
        for call in history.calls
        if call.verb == "set_queue" and call.done and "capacity_jobs" in call.asked["settings"]
    }


def _counted_over(history: History, queue: str, capacity: int) -> list[Violation]:
    found = []
    for call in history.calls:
        if call.verb == "count" and call.done and call.asked["queue"] == queue:
            held = sum(call.answer["counts"][state] for state in UNFINISHED)
            if held > capacity:
                text = f"{queue} says that it holds {held} of {capacity}"
                found.append(Violation.of("C6", "bound exceeded", text, call))
    return found


def _surely_over(digest: Digest, queue: str, capacity: int) -> list[Violation]:
    steps: list[Step] = []
    for job, value in digest.ids():
        if digest.submitted.get(value, {}).get("queue") == queue:
            since, until = _surely_there(digest, job, value)
            if since < until:
                steps += [(since, 1), (until, -1)]
    moments, held = _level(steps)
    worst = max(held, default=0)
    if worst <= capacity:
        return []
    at = moments[held.index(worst)]
    return [Violation("C6", "bound exceeded", f"{queue} held at least {worst} of {capacity} at {at:.3f} s")]


def _refused_with_room(history: History, queue: str, capacity: int) -> list[Violation]:
    digest = history.digest
    steps = []
    for value, submits in digest.submits.items():
        if digest.submitted[value]["queue"] == queue and any(call.maybe_done for call in submits):
            steps += [(min(call.begun for call in submits), 1), (_gone_by(digest, value), -1)]
    moments, held = _level(steps)
    found = []
    for call in history.calls:
        jobs = call.asked["jobs"] if call.verb == "submit" else ()
        if call.code == "queue_full" and len(jobs) == 1 and jobs[0]["queue"] == queue:
            most = _most_between(moments, held, call.begun, call.ended)
            if most < capacity:
                text = f"{queue} refused as full while it held {most} of {capacity} at most"
                found.append(Violation.of("C6", "refused with room", text, call))
    return found


def _surely_there(digest: Digest, job: int, value: str) -> tuple[float, float]:
    acknowledged = [call.ended for call in digest.submits[value] if call.done]
    given = [lease.told_at for lease in digest.leases_of[job]]
    ending = [call.begun for call in (*digest.endings(job), *digest.removals[job]) if may_end_the_job(call)]
    # A lease that expired may have ended the job for good: too many crashes, or a cancellation that waited for it.
    mortal = "max_attempts" in digest.submitted[value] or digest.removals[job]
    ending += [lease.asked_at for lease in digest.leases_of[job]] if mortal else []
    return min([*acknowledged, *given], default=inf), min(ending, default=inf)


def _gone_by(digest: Digest, value: str) -> float:
    """When the job had surely left: an acknowledged end; infinity if no end was acknowledged."""
    left = [
        call.ended
        for job in digest.jobs_of[value]
        for call in (*digest.endings(job), *digest.removals[job])
        if surely_ended_the_job(call) and not (call.answer.get("state") == "dead" and job in digest.revived)
    ]
    return min(left, default=inf)


def _level(steps: list[Step]) -> tuple[list[float], list[int]]:
    """The times at which the count changes, and the count from then on; removals come before additions."""
    steps = sorted(steps)
    return [at for at, _ in steps], list(accumulate(change for _, change in steps))


def _most_between(moments: list[float], held: list[int], begin: float, end: float) -> int:
    first, last = bisect_right(moments, begin) - 1, bisect_right(moments, end)
    return max(held[max(first, 0) : last], default=0)
