"""C2, C3, C4 and C8: a lease is held by one worker, only its holder ends it, and it expires on time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from torture.checkers.violation import Violation
from torture.digest import Digest, Lease
from torture.history import Call, History

RETURN_WITHIN_S = (
    5.0  # the job of an expired lease must be claimable this long after it expired or, if later, after the server was healed
)


def a_job_is_concluded_once_and_by_its_holder(history: History) -> list[Violation]:
    """C2: one token concludes, it is the latest and valid, and the conclusion stays."""
    digest = history.digest
    found = [*_concluded_unclaimed(digest)]
    for job, leases in digest.leases_of.items():
        found += _concluded_twice(job, leases)
        found += _run_again(digest, job, leases)
        for lease in leases:
            found += _stale(digest, lease, leases)
            found += _refused_holder(digest, lease)
    return found


def a_job_has_one_holder_at_a_time(history: History) -> list[Violation]:
    """C3: the times during which a job was surely held do not overlap."""
    found = []
    for job, leases in history.digest.leases_of.items():
        last = None
        for lease in sorted(leases, key=lambda lease: lease.attempt):  # an answer may have been read late
            if last and lease.told_at < last.surely_held_until:
                over = last.surely_held_until - lease.told_at
                text = f"job {job}: attempt {lease.attempt} was given {over:.3f} s before attempt {last.attempt} was over"
                found.append(Violation.of("C3", "overlapping leases", text, last.claims[0][0], lease.claims[0][0]))
            if last is None or lease.surely_held_until > last.surely_held_until:
                last = lease
    return found


def attempts_grow(history: History) -> list[Violation]:
    """C4: a later lease has a higher attempt, across every restart; no two leases share one."""
    found = []
    for job, leases in history.digest.leases_of.items():
        by_attempt = sorted(leases, key=lambda lease: lease.attempt)
        for a, b in pairwise(by_attempt):
            if a.attempt == b.attempt:
                text = f"job {job}: two leases have attempt {a.attempt}"
            elif b.told_at < a.asked_at:
                text = f"job {job}: attempt {b.attempt} was given before attempt {a.attempt} was asked for"
            else:
                continue
            found.append(Violation.of("C4", "attempts shrink", text, a.claims[0][0], b.claims[0][0]))
    return found


def what_expired_is_claimable_again(history: History) -> list[Violation]:
    """C8: abandoned leases expire in time, once the server was healed."""
    healed = max((event.at for event in history.named("healed")), default=None)
    if healed is None:
        return []
    found = []
    for job, leases in history.digest.leases_of.items():
        for lease, following in pairwise(leases):
            if "budgets" in history.digest.submitted.get(lease.value, {}):
                continue  # it may have to wait for them
            if any(call.maybe_done for call in lease.endings) or following.asked_at < healed:
                continue
            late = following.told_at - max(history.digest.surely_over_from(lease), healed)
            if late > RETURN_WITHIN_S:
                text = f"job {job} came back {late:.1f} s after attempt {lease.attempt} ran out"
                found.append(Violation.of("C8", "late return", text, lease.claims[0][0], following.claims[0][0]))
    return found


def _concludes(lease: Lease) -> list[Call]:
    return [call for call in lease.endings if call.verb == "conclude" and call.done]


def _concluded_twice(job: int, leases: list[Lease]) -> Iterator[Violation]:
    by = [lease for lease in leases if _concludes(lease)]
    if len(by) > 1:
        text = f"job {job} was concluded by attempts {[lease.attempt for lease in by]}"
        yield Violation.of("C2", "concluded twice", text, *[_concludes(lease)[0] for lease in by])


def _stale(digest: Digest, lease: Lease, leases: list[Lease]) -> Iterator[Violation]:
    """An ending accepted after a newer lease was known, or after the lease had surely expired."""
    accepted = [call for call in lease.endings if call.done]
    if not accepted:
        return
    first = min(accepted, key=lambda call: call.begun)
    unknown_before = any(call.outcome == "info" and call.begun < first.begun for call in lease.endings)
    newer = [other for other in leases if other.attempt > lease.attempt and other.told_at < first.begun]
    if newer and not (first.verb == "fail" and unknown_before):  # a failure may be repeated while the job runs again
        text = f"{first.verb} of job {lease.job} by attempt {lease.attempt} was accepted after attempt {newer[0].attempt} began"
        yield Violation.of("C2", "stale token", text, first, newer[0].claims[0][0])
    late = first.begun - digest.surely_over_from(lease)
    if late > 0 and not unknown_before:
        text = f"{first.verb} of job {lease.job} was accepted {late * 1000:.0f} ms after its lease ran out"
        yield Violation.of("C2", "expired token", text, first, lease.claims[0][0])


def _refused_holder(digest: Digest, lease: Lease) -> Iterator[Violation]:
    """`lease_lost` answered to a worker that surely held the lease."""
    if digest.removals[lease.job]:
        return
    for call in lease.endings:
        earlier = any(other is not call and other.maybe_done and other.begun < call.ended for other in lease.endings)
        if call.code == "lease_lost" and not earlier and call.ended < lease.surely_alive_until:
            left = lease.surely_alive_until - call.ended
            text = f"{call.verb} of job {lease.job} was refused with {left * 1000:.0f} ms of its lease left"
            yield Violation.of("C2", "holder refused", text, call, lease.claims[0][0])


def _run_again(digest: Digest, job: int, leases: list[Lease]) -> Iterator[Violation]:
    """An acknowledged conclusion that was undone."""
    for call in (call for lease in leases for call in _concludes(lease)):
        for later in leases:
            if later.asked_at > call.ended:
                text = f"job {job} was given out again after it was concluded"
                yield Violation.of("C2", "conclusion lost", text, call, later.claims[0][0])
        state = digest.listed.get(job, {}).get("state")
        if state not in ("concluded", None):
            yield Violation.of("C2", "conclusion lost", f"job {job} was concluded and is {state}", call)


def _concluded_unclaimed(digest: Digest) -> Iterator[Violation]:
    for job in digest.listed.values():
        if job["state"] == "concluded":
            asked = [call for call in digest.endings(job["id"]) if call.verb == "conclude" and call.maybe_done]
            if not asked:
                text = f"job {job['id']} ({job['value']}) is concluded, but no conclude was accepted"
                yield Violation("C2", "concluded by nobody", text)
