"""A job's timeline: when it was enqueued, waited, was attempted and ended. Gives shapes in whole units; the template draws them.

created ──── waits ────▌ attempt 1 ✖ ▌── backoff ──▌ attempt 2 … ▌
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.job.job import ENDED, Job, JobError, Raised, State
from holdfast.messages.views import Between, JobDetail

WIDTH = 1_000.0
_LEAST = 6.0  # a short attempt is still to be seen
_WAITS = ("held", "waits_for_budget", "blocked")


@dataclass(frozen=True)
class Attempt:
    """One attempt: its number, when it began and ended (None: not known, or still running), its worker, and its result."""

    number: int
    began: int | None
    ended: int | None
    worker: str
    outcome: str
    reason: str = ""
    raised: Raised | None = None

    @property
    def took(self) -> int | None:
        """How long it ran, in milliseconds."""
        return self.ended - self.began if self.began is not None and self.ended is not None else None


@dataclass(frozen=True)
class Span:
    """A stretch of the line, from `x` over `width` of `WIDTH` units."""

    x: float
    width: float
    kind: str
    label: str


def attempts(detail: JobDetail, between: Sequence[Between] = ()) -> list[Attempt]:
    """Every known attempt, oldest first. A released one leaves its number, and what is remembered of it."""
    job = detail.job
    known = {
        one.attempt: Attempt(one.attempt, one.began_at, one.ended_at, one.of, "released")
        for one in between
        if one.what == "released"
    }
    known |= {error.attempt: _failed(error) for error in detail.errors}
    if job.state is State.LEASED and job.lease is not None:
        known[job.attempt] = Attempt(job.attempt, job.lease.leased_at, None, job.lease.worker, "running")
    elif job.state is State.CONCLUDED:
        worker = job.ended_by.worker if job.ended_by is not None else ""
        known[job.attempt] = Attempt(job.attempt, job.leased_at, job.ended_at, worker, "concluded")
    first = min(known, default=job.attempt + 1)
    numbers = range(min(first, max(1, job.attempt - 30)), job.attempt + 1)
    return [known.get(number) or Attempt(number, None, None, "", "released") for number in numbers]


def _failed(error: JobError) -> Attempt:
    return Attempt(error.attempt, error.leased_at, error.at, error.worker, error.kind, error.reason, error.raised)


def end_of(job: Job, now: int) -> int:
    """Where the line ends: at the job's end, at its next try, or now."""
    if job.state in ENDED:
        return job.ended_at or now
    return max(now, job.ready_at) if job.state is State.SCHEDULED else now


def rows(tries: Sequence[Attempt], between: Sequence[Between]) -> list[Attempt | Between]:
    """Attempts and what happened between them, the newest first: a wait stands before the attempt that it ended with."""
    found: list[Attempt | Between] = []
    after: dict[int, list[Between]] = defaultdict(list)
    for one in between:
        if one.what != "released":
            after[one.attempt].append(one)
    first = tries[0].number if tries else 1
    for number in sorted(number for number in after if number < first):
        found += after.pop(number)
    for attempt in tries:
        found += [attempt, *after.pop(attempt.number, [])]
    return found[::-1]


WORDS = {
    "held": "waited for its group",
    "waits_for_budget": "waited for its budget",
    "blocked": "budget was blocked",
    "retried": "retried by hand",
    "promoted": "run now, by hand",
}
"""What happened between two attempts, for people."""


def spans(detail: JobDetail, tries: Sequence[Attempt], between: Sequence[Between] = ()) -> list[Span]:
    """The line from the job's creation to its end, or to now."""
    job, now = detail.job, detail.now
    start, end = job.created_at, end_of(job, now)
    whole = max(1, end - start)

    def at(moment: int) -> float:
        return min(WIDTH, max(0.0, WIDTH * (moment - start) / whole))

    found = [Span(0.0, WIDTH, "waiting", "waiting")]
    if job.state is State.SCHEDULED and job.ready_at > now:
        found.append(Span(at(now), WIDTH - at(now), "ahead", "scheduled"))
    for wait in between:
        if wait.what in _WAITS:
            x = at(wait.began_at or start)
            width = max(_LEAST, at(wait.ended_at if wait.ended_at is not None else now) - x)
            found.append(Span(min(x, WIDTH - width), width, wait.what, WORDS[wait.what]))
    for one in tries:
        if one.began is None:
            continue
        x = at(one.began)
        width = max(_LEAST, at(one.ended if one.ended is not None else now) - x)
        found.append(Span(min(x, WIDTH - width), width, one.outcome, f"attempt {one.number}: {one.outcome}"))
    return found
