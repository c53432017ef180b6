"""Commands that exist because beanstalkd's verbs ask for them: what a connection does to jobs by their ids, to a tube for a time, or to many at
once.
"""

from typing import ClassVar

from holdfast.job.job import LeaseRef, NewJob
from holdfast.messages.answers import Counted, Granted, Outcome, PutIds
from holdfast.messages.audit import Deed, Managed
from holdfast.messages.frame import Command, Phase
from holdfast.messages.views import QueueInfo


class PutJobs(Command[PutIds], frozen=True, tag=70):
    """Enqueue these jobs one by one: a refused one does not affect the others. `Enqueue` is all or none."""

    phase: ClassVar[Phase] = Phase.ENQUEUE

    jobs: list[NewJob]


class BuryLease(Command[Outcome], frozen=True, tag=71):
    """The holder buries the job: dead at once, with this priority for when it is kicked."""

    phase: ClassVar[Phase] = Phase.END

    ref: LeaseRef
    priority: int


class KickJobs(Managed[Counted], frozen=True, tag=72):
    """Make up to `limit` jobs of a queue ready: the dead ones that died first, or the scheduled ones that are due first."""

    counts: ClassVar[bool] = True

    queue: str
    buried: bool
    limit: int

    def deed(self) -> Deed:
        """What it does."""
        return Deed("queue.kick", self.queue, note="buried" if self.buried else "scheduled")


class KickJob(Managed[Counted], frozen=True, tag=73):
    """Make one dead or scheduled job ready."""

    id: int

    def deed(self) -> Deed:
        """What it does."""
        return Deed("job.kick", job=self.id)


class ReserveJob(Command[Granted], frozen=True, tag=74):
    """Lease one job by its id, be it ready, scheduled or dead; whether its queue is paused does not matter."""

    id: int
    worker: str


class PauseFor(Managed[QueueInfo], frozen=True, tag=75):
    """Stop leasing from a queue for so long (0: resume), creating it if it is new; or, with `if_it_holds`, not where it holds no job."""

    queue: str
    pause_ms: int
    if_it_holds: bool = False

    def deed(self) -> Deed:
        """What it does."""
        return Deed(
            "queue.pause" if self.pause_ms else "queue.resume",
            self.queue,
            note=f"for {self.pause_ms} ms" if self.pause_ms else "",
        )


class EndPauses(Command[Counted], frozen=True, tag=76):
    """Resume the queues that were paused until now."""

    phase: ClassVar[Phase] = Phase.TIME
