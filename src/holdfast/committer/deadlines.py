"""Deadlines of jobs: a job that no worker has when its deadline passes ends as cancelled, with the reason `expired`.

The tick ends it soon after. Whatever else comes upon such a job before, ends it too: a lease never gives it out, and its unique key is free.
"""

from msgspec.structs import replace

from holdfast.committer.batch import Batch
from holdfast.errors import breach
from holdfast.job import lifecycle
from holdfast.job.job import NO_EXTRAS, Job, NewJob
from holdfast.job.queue import Queue
from holdfast.messages import events


def has_passed(batch: Batch, job: Job) -> bool:
    """Whether the job waits, and its deadline has passed."""
    return job.extras is not NO_EXTRAS and (deadline := job.deadline) is not None and deadline <= batch.now


def end(batch: Batch, queue: Queue, job: Job) -> None:
    """End a job whose deadline has passed."""
    batch.change(events.DEADLINE_PASSED, queue, job, lifecycle.overdue(job, batch.now))


async def check(batch: Batch, new: NewJob, may_be_late: bool) -> None:
    """Raise unless the store may hold deadlines, and that of a new job is later than the time at which it is due.

    One that `may_be_late` is not refused but expires at once: a follow-up, as that would refuse the conclude of work that was done, a closing
    job, which would be owed for ever, and one that is moved, whose next attempt may be due after its deadline.
    """
    await batch.demand_newest_only("expires_in_ms" if new.extras.expires_at is None else "expires_at")
    due, expires_at = lifecycle.due_at(new, batch.now), new.extras.expires_at
    if expires_at is None or expires_at > due:
        return
    if not may_be_late:
        raise breach("expires_at", "must be later than the time at which the job is due")
    new.extras = replace(new.extras, expires_at=max(expires_at, batch.now + 1))


def expires_in_ms(new: NewJob, queue: Queue) -> int | None:
    """How long after it is due a new job in this queue expires, unless it names a time."""
    return queue.policy.expires_in_ms if new.expires_in_ms is None else new.expires_in_ms
