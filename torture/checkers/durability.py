"""C1 and C7: what was acknowledged exists until a request removes it, and nothing else exists.

C1 checks by value and by delivery, as Jepsen's total-queue checker does; C7 checks by id and by state. A server that loses a
job and one that loses a conclusion have different defects, and the report should tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterator

from torture.checkers.violation import Violation
from torture.digest import ENDED, Digest
from torture.history import History


def nothing_acknowledged_is_lost(history: History) -> list[Violation]:
    """C1: acknowledged values are delivered or accounted for; nothing appears that was never sent or was refused."""
    digest = history.digest
    return [*_lost(digest), *_unexpected(digest)]


def every_job_is_in_the_state_it_was_brought_to(history: History) -> list[Violation]:
    """C7: every known job is listed, or was removed by a request; an acknowledged removal stays."""
    digest = history.digest
    return [*_missing(digest), *_undone_removals(digest), *_removed_in_spite_of_refusal(digest), *_unfinished(digest)]


def _lost(digest: Digest) -> Iterator[Violation]:
    ended_unrun = {job["value"] for job in digest.listed.values() if job["state"] in ("dead", "cancelled")}
    for value in digest.acknowledged:
        if value in digest.delivered or value in ended_unrun or _removed(digest, value):
            continue
        text = f"{value} was acknowledged as job {digest.acknowledged[value]} and never came out"
        yield Violation.of("C1", "lost", text, *digest.submits[value])


def _removed(digest: Digest, value: str) -> bool:
    return any(call.maybe_done for job in digest.jobs_of[value] for call in digest.removals[job])


def _unexpected(digest: Digest) -> Iterator[Violation]:
    for value in sorted(digest.seen):
        submits = digest.submits.get(value, [])
        if value in digest.promised:
            continue  # a closing job: see `batches.py`
        if not submits:
            yield Violation("C1", "unexpected", f"{value} came out and was never asked for")
        elif not any(call.maybe_done for call in submits):
            yield Violation.of("C1", "false refusal", f"{value} came out although it was refused", *submits)


def _missing(digest: Digest) -> Iterator[Violation]:
    for job, value in digest.ids():
        removed = any(call.maybe_done for call in digest.removals[job] if call.verb == "delete")
        if job not in digest.listed and not removed:
            yield Violation.of("C7", "lost", f"job {job} ({value}) is in no state", *digest.submits[value])


def _undone_removals(digest: Digest) -> Iterator[Violation]:
    for job, calls in digest.removals.items():
        for call in calls:
            state = digest.listed.get(job, {}).get("state")
            if call.done and call.verb == "delete" and state is not None:
                yield Violation.of("C7", "removal undone", f"job {job} was deleted and is {state}", call)
            elif call.done and call.answer.get("state") == "cancelled" and state not in ("cancelled", None):
                yield Violation.of("C7", "removal undone", f"job {job} was cancelled and is {state}", call)


def _removed_in_spite_of_refusal(digest: Digest) -> Iterator[Violation]:
    """Jobs whose cancellation was refused and yet done."""
    for job, calls in digest.removals.items():
        cancels = [call for call in calls if call.verb == "cancel"]
        state = digest.listed.get(job, {}).get("state")
        if state == "cancelled" and cancels and not any(call.maybe_done for call in cancels):
            yield Violation.of("C7", "false refusal", f"job {job} is cancelled, and every cancel was refused", *cancels)


def _unfinished(digest: Digest) -> Iterator[Violation]:
    for job in digest.listed.values():
        if job["state"] not in ENDED:
            text = f"job {job['id']} ({job['value']}) is still {job['state']} after the drain"
            yield Violation("C7", "stuck", text)
