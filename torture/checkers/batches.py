"""C15: each closing job of a batch comes once, when it is due, and only then; and the counts of a batch are those of its members.

The drain closes every batch and retries dead members, so at the end each has to be finished. What its members are by then says which closing jobs had to come; which was there
before a member could have ended came too early.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torture.checkers.violation import Violation
from torture.digest import Digest, may_end_the_job
from torture.history import Call, History

PLACES = ("concluded", "dead", "cancelled")


@dataclass(slots=True)
class Batch:
    """A batch as it is at the end; `members` are its jobs in the last listing."""

    shown: dict[str, Any]
    made: Call
    members: list[dict[str, Any]]
    cancelled: bool

    def __str__(self) -> str:
        return f"batch {self.shown['id']} ({self.made.asked['name']})"


def closing_jobs_come_once(history: History) -> list[Violation]:
    """C15, for every batch that was there at the end, or that was acknowledged."""
    digest = history.digest
    found: list[Violation] = []
    listed = [event.details["batches"] for event in history.named("batches")]
    if not listed:
        return []
    there = {shown["name"]: shown for shown in listed[-1]}
    members = _members(digest)
    cancelled = {call.asked["batch"] for call in history.calls if call.verb == "cancel_batch" and call.maybe_done}
    for call in history.calls:
        if call.verb != "batch":
            continue
        shown = there.get(call.asked["name"])
        if shown is None:
            found += _not_there(digest, call)
            continue
        batch = Batch(shown, call, members[shown["id"]] + members[call.asked["name"]], shown["id"] in cancelled)
        found += _counted(batch)
        for on, job in call.asked["closing"].items():
            found += _closing(digest, batch, on, job["value"])
    return found


def _members(digest: Digest) -> dict[int | str, list[dict[str, Any]]]:
    """By the batch's id for those that joined later, by its name for those that it was made with."""
    batch_of: dict[str, int | str] = {
        value: job["batch"] for value, job in digest.submitted.items() if job.get("batch") is not None
    }
    for value, submits in digest.submits.items():
        for call in submits:
            if call.verb == "batch":
                batch_of[value] = call.asked["name"]
    for value, call in digest.promised.items():
        for job in call.asked["closing"].values():
            if job["value"] == value and job.get("batch") is not None:
                batch_of[value] = job["batch"]
    members: dict[int | str, list[dict[str, Any]]] = defaultdict(list)
    for job in digest.listed.values():
        if (number := batch_of.get(job["value"])) is not None:
            members[number].append(job)
    return members


def _not_there(digest: Digest, call: Call) -> Iterator[Violation]:
    if call.done:
        yield Violation.of("C15", "batch lost", f"{call.asked['name']} was acknowledged and is not there", call)
    for on, job in call.asked["closing"].items():
        if digest.jobs_of.get(job["value"]):
            yield Violation.of("C15", "closing job wrong", f"{on} of {call.asked['name']} came, and there is no batch", call)


def _counted(batch: Batch) -> Iterator[Violation]:
    if batch.shown["state"] != "finished":
        yield Violation.of(
            "C15", "batch stuck", f"{batch} is {batch.shown['state']} after the drain: {batch.shown}", batch.made
        )
        return
    for place in PLACES:
        there = sum(job["state"] == place for job in batch.members)
        if there != batch.shown[place]:
            text = f"{batch} counts {batch.shown[place]} {place} members, and there are {there}"
            yield Violation.of("C15", "batch miscounted", text, batch.made)


def _closing(digest: Digest, batch: Batch, on: str, value: str) -> Iterator[Violation]:
    jobs = digest.jobs_of.get(value, set())
    least, most = _due(digest, batch, on)
    if not least <= len(jobs) <= most:
        kind = "closing job twice" if len(jobs) > 1 else "closing job missing" if not jobs else "closing job wrong"
        yield Violation.of("C15", kind, f"{on} of {batch} came {len(jobs)} times: {sorted(jobs)}", batch.made)
    if on == "on_failure" or batch.cancelled or any(job["id"] in digest.revived for job in batch.members):
        return  # it may have been due before others joined
    seen_at = min((lease.told_at for job in jobs for lease in digest.leases_of[job]), default=None)
    for job in batch.members if seen_at is not None else ():
        if job["state"] != "cancelled":
            ends = [call.begun for call in digest.endings(job["id"]) if may_end_the_job(call)]
            if min(ends, default=seen_at) >= seen_at:
                text = f"{on} of {batch} was given out before job {job['id']} of it had ended"
                yield Violation.of("C15", "closing job early", text, batch.made)
                return


def _due(digest: Digest, batch: Batch, on: str) -> tuple[int, int]:
    """How often it had to come at least, and could at most."""
    if on == "on_finish":
        return 1, 1
    if on == "on_success":
        due = int(all(job["state"] == "concluded" for job in batch.members))
        return due, due
    died = any(
        job["state"] == "dead" or any(call.done and call.answer.get("state") == "dead" for call in digest.endings(job["id"]))
        for job in batch.members
    )
    may_have_died = died or any(
        call.verb == "fail" and may_end_the_job(call) for job in batch.members for call in digest.endings(job["id"])
    )
    return int(died), int(may_have_died)
