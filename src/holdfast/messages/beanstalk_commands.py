"""Commands that exist because beanstalkd's verbs ask for them: what a connection does to jobs by their ids, to a tube for a time, or to many at once.

They are part of `commands.Command`, and stand apart only so that neither file grows too long. Times are in milliseconds.
"""

import msgspec

from holdfast.job.job import LeaseRef, NewJob


class _Frame(msgspec.Struct, frozen=True, array_like=True, tag_field="frame"):
    pass


class PutJobs(_Frame, frozen=True, tag=70):
    """Put these jobs one after the other: one that is refused harms no other. Where `Enqueue` is all or none, this is each for itself."""

    jobs: list[NewJob]


class BuryLease(_Frame, frozen=True, tag=71):
    """The holder sets the job aside for somebody to look at: dead at once, with this priority for when it is kicked."""

    ref: LeaseRef
    priority: int


class KickJobs(_Frame, frozen=True, tag=72):
    """Make up to `limit` jobs of a queue ready: the dead ones that died first, or the scheduled ones that are due first."""

    queue: str
    buried: bool
    limit: int


class KickJob(_Frame, frozen=True, tag=73):
    """Make one dead or scheduled job ready."""

    id: int


class ReserveJob(_Frame, frozen=True, tag=74):
    """Lease one job by its id, be it ready, scheduled or dead; whether its queue is paused does not matter."""

    id: int
    worker: str


class PauseFor(_Frame, frozen=True, tag=75):
    """Stop leasing from a queue for so long (0: resume), creating it if it is new."""

    queue: str
    pause_ms: int


class EndPauses(_Frame, frozen=True, tag=76):
    """Resume the queues that were paused until now."""


TubeCommand = PutJobs | BuryLease | KickJobs | KickJob | ReserveJob | PauseFor | EndPauses


class PutIds(_Frame, frozen=True, tag=170):
    """The ids of the jobs put, in order; 0 for one that was refused, and then `refused` says why (the last one, where several were)."""

    ids: list[int]
    refused: str = ""
