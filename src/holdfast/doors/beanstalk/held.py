"""The jobs that one connection has reserved, and when it should hurry.

A reservation is a lease of the connection: its token never leaves the server. When the connection closes, its jobs are
released. What the store takes from it (the lease expired, or an operator took it back) is reserved no more. The deadlines here
only decide about DEADLINE_SOON; whether a lease is still valid, the store decides.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from holdfast.job.job import LeaseRef
from holdfast.messages.answers import GrantedJob

if TYPE_CHECKING:
    from holdfast.doors.beanstalk.connection import Connection

MARGIN_S = 1.0  # beanstalkd's: the last second of a job's time to run


class Holding:
    """One reserved job; `until` is in the event loop's time."""

    __slots__ = ("connection", "ref", "until")

    def __init__(self, ref: LeaseRef, until: float, connection: "Connection") -> None:
        self.ref = ref
        self.until = until
        self.connection = connection


Holders = dict[int, Holding]
"""All reserved jobs of a door, by the fence of the lease."""


class Held:
    """All that one connection has reserved, by id."""

    __slots__ = ("_clock", "_connection", "_holders", "_jobs")

    def __init__(self, clock: Callable[[], float], connection: "Connection", holders: Holders) -> None:
        self._clock = clock
        self._connection = connection
        self._holders = holders
        self._jobs: dict[int, Holding] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def take(self, granted: GrantedJob, now: int) -> None:
        """A job was granted at the store's `now`."""
        job = granted.job
        assert job.lease is not None, "what is granted is leased"
        self.put_back(job.id, Holding(job.ref(), self._clock() + (job.lease.until - now) / 1000, self._connection))

    def get(self, job_id: int) -> Holding | None:
        """The reservation of this job, if it is here."""
        return self._jobs.get(job_id)

    def pop(self, job_id: int) -> Holding | None:
        """The same, and it is here no more."""
        holding = self._jobs.pop(job_id, None)
        if holding is not None:
            del self._holders[holding.ref.fence]
        return holding

    def put_back(self, job_id: int, holding: Holding) -> None:
        """What was to end this reservation was refused: it is as it was."""
        self.pop(job_id)
        self._jobs[job_id] = self._holders[holding.ref.fence] = holding

    def is_safe(self, job_id: int) -> bool:
        """Whether the job is held for longer than its last second."""
        holding = self._jobs.get(job_id)
        return holding is not None and holding.until > self._clock() + MARGIN_S

    def soonest(self) -> float | None:
        """The first deadline of the jobs. Expired ones are dropped: they are no longer held."""
        now = self._clock()
        over = [job_id for job_id, holding in self._jobs.items() if holding.until <= now]
        for job_id in over:
            self.pop(job_id)
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
        for job_id in list(self._jobs):
            self.pop(job_id)
