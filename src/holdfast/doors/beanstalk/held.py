"""The jobs that one connection has reserved, and when it should hurry.

A reservation is a lease of the connection: its token never leaves the server. When the connection closes, its jobs are
released. The deadlines here only decide about DEADLINE_SOON; whether a lease is still valid, the store decides.
"""

from collections.abc import Callable, Iterator

from holdfast.job.job import LeaseRef
from holdfast.messages.answers import GrantedJob

MARGIN_S = 1.0  # beanstalkd's: the last second of a job's time to run


class Holding:
    """One reserved job; `until` is in the event loop's time."""

    __slots__ = ("ref", "until")

    def __init__(self, ref: LeaseRef, until: float) -> None:
        self.ref = ref
        self.until = until


class Held:
    """All that one connection has reserved, by id."""

    __slots__ = ("_clock", "_jobs")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._jobs: dict[int, Holding] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def take(self, granted: GrantedJob, now: int) -> None:
        """A job was granted at the store's `now`."""
        job = granted.job
        assert job.lease is not None, "what is granted is leased"
        self._jobs[job.id] = Holding(job.ref(), self._clock() + (job.lease.until - now) / 1000)

    def get(self, job_id: int) -> Holding | None:
        """The reservation of this job, if it is here."""
        return self._jobs.get(job_id)

    def pop(self, job_id: int) -> Holding | None:
        """The same, and it is here no more."""
        return self._jobs.pop(job_id, None)

    def put_back(self, job_id: int, holding: Holding) -> None:
        """What was to end this reservation was refused: it is as it was."""
        self._jobs[job_id] = holding

    def is_safe(self, job_id: int) -> bool:
        """Whether the job is held for longer than its last second."""
        holding = self._jobs.get(job_id)
        return holding is not None and holding.until > self._clock() + MARGIN_S

    def soonest(self) -> float | None:
        """The first deadline of the jobs. Expired ones are dropped: they are no longer held."""
        now = self._clock()
        over = [job_id for job_id, holding in self._jobs.items() if holding.until <= now]
        for job_id in over:
            del self._jobs[job_id]
        return min((holding.until for holding in self._jobs.values()), default=None)

    def must_hurry(self) -> bool:
        """Whether one of the jobs is in its last second."""
        until = self.soonest()
        return until is not None and until <= self._clock() + MARGIN_S

    def refs(self) -> Iterator[LeaseRef]:
        """All leases."""
        return (holding.ref for holding in self._jobs.values())

    def clear(self) -> None:
        """Nothing is held."""
        self._jobs.clear()
