"""Jobs whose rows can't be read: they end as dead, for an operator to decide."""

from holdfast.committer.batch import Batch
from holdfast.job import lifecycle
from holdfast.job.job import Job, JobError
from holdfast.job.queue import Queue
from holdfast.messages import events


def set_aside(batch: Batch, queue: Queue, job: Job) -> None:
    """Make a job with an unreadable row dead, with the reason among its errors, so that it does not block other jobs."""
    after = lifecycle.set_aside(job, batch.now)
    reason = f"This job was set aside, because its row in the store can't be read: {job.extras.unreadable}"
    batch.change(events.SET_ASIDE, queue, job, after, error=JobError(after.attempt, batch.now, "", "failed", reason))
    if job.lease is not None:
        batch.lost.append(job.lease.fence)
