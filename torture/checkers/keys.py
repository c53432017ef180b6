"""C9 and C10: a key stands for one job, and a bulk is atomic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from math import inf

from torture.checkers.violation import Violation
from torture.digest import Digest, may_end_the_job
from torture.history import Call, History


def one_job_per_key(history: History) -> list[Violation]:
    """C9: one answer per idempotency key, one job per value, one unfinished job per unique key."""
    digest = history.digest
    return [*_two_jobs_of_a_value(digest), *_two_answers_of_a_key(history), *_two_holders_of_a_unique_key(digest)]


def bulk_is_all_or_nothing(history: History) -> list[Violation]:
    """C10: of the jobs of one call, all were enqueued or none."""
    digest = history.digest
    found = []
    for call in history.calls:
        if call.verb not in ("submit", "batch") or len(call.asked["jobs"]) < 2:
            continue
        values = {job["value"] for job in call.asked["jobs"]}
        told = call.answer.get("ids")
        if call.done and told and len(told) != len(values):
            found.append(Violation.of("C10", "torn bulk", f"{len(values)} jobs were answered with {len(told)}", call))
        there = {value for value in values if value in digest.seen or _removed(digest, value)}
        if there and there != values:
            text = f"{len(there)} of {len(values)} jobs of one bulk came to be; {min(values - there)} did not"
            found.append(Violation.of("C10", "torn bulk", text, call))
    return found


def _removed(digest: Digest, value: str) -> bool:
    """Removed before any read: only a job with a known id can be removed, so it did exist."""
    return any(call.maybe_done for job in digest.jobs_of[value] for call in digest.removals[job])


def _two_jobs_of_a_value(digest: Digest) -> Iterator[Violation]:
    for value, jobs in digest.jobs_of.items():
        if len(jobs) > 1:
            yield Violation.of("C9", "duplicate", f"{value} became jobs {sorted(jobs)}", *digest.submits[value])


def _two_answers_of_a_key(history: History) -> Iterator[Violation]:
    first: dict[str, Call] = {}
    for call in history.calls:
        key = call.asked.get("key") if call.verb == "submit" and call.done else None
        if not key:
            continue
        before = first.setdefault(key, call)
        if before.answer["ids"] != call.answer["ids"]:
            text = f"key {key} stands for jobs {before.answer['ids']} and {call.answer['ids']}"
            yield Violation.of("C9", "duplicate", text, before, call)


def _two_holders_of_a_unique_key(digest: Digest) -> Iterator[Violation]:
    held = defaultdict(list)
    for job, value in digest.ids():
        key = digest.submitted.get(value, {}).get("unique_key")
        if key:
            held[digest.submitted[value]["queue"], key].append((*_surely_unfinished(digest, job, value), job))
    for (_, key), spans in held.items():
        last_until, last_job = -inf, 0
        for since, until, job in sorted(spans):
            if since < min(last_until, until):
                yield Violation("C9", "duplicate", f"jobs {last_job} and {job} held the unique key {key} at the same time")
            if until > last_until:
                last_until, last_job = until, job


def _surely_unfinished(digest: Digest, job: int, value: str) -> tuple[float, float]:
    since = [call.ended for call in digest.submits[value] if call.done]
    since += [lease.told_at for lease in digest.leases_of[job]]
    until = [call.begun for call in (*digest.endings(job), *digest.removals[job]) if may_end_the_job(call)]
    return min(since, default=inf), min(until, default=inf)
