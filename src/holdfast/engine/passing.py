"""What happens because time passes: leases end, scheduled jobs become ready, history is forgotten. In bounded bites."""

from holdfast.engine import events
from holdfast.engine.batch import Batch
from holdfast.engine.commands import BuryOrphans, Counted, ExpireLeases, ForgetHistory, Forgotten, PromoteDue
from holdfast.engine.ending import returning
from holdfast.job import lifecycle
from holdfast.job.job import Job, JobError
from holdfast.job.queue import Queue
from holdfast.limits import IDEMPOTENCY_MS, QUEUES_PER_TICK

_EXPIRED = "the lease ended before the worker did"


async def expire(batch: Batch, command: ExpireLeases) -> Counted:
    """Take back the jobs whose lease has ended."""
    jobs = await batch.tx.expired(batch.now, command.limit)
    for job in jobs:
        queue = await batch.own(job)
        if job.extras.unreadable is not None:
            set_aside(batch, queue, job)
            continue
        after = await returning(batch, job, lifecycle.expire(job, batch.now, queue.policy.max_crashes))
        worker = job.lease.worker if job.lease else ""
        error = JobError(job.attempt, batch.now, worker, "crashed", _EXPIRED, leased_at=job.leased_at)
        batch.change(events.EXPIRED, queue, job, after, error=error)
        if job.lease is not None:
            batch.lost.append(job.lease.fence)
    return Counted(len(jobs))


def set_aside(batch: Batch, queue: Queue, job: Job) -> None:
    """Make a job dead whose row can't be read, with the reason where errors of attempts are looked for: its neighbours go on."""
    after = lifecycle.set_aside(job, batch.now)
    reason = f"This job was set aside, because its row in the store can't be read: {job.extras.unreadable}"
    batch.change(events.SET_ASIDE, queue, job, after, error=JobError(after.attempt, batch.now, "", "failed", reason))
    if job.lease is not None:
        batch.lost.append(job.lease.fence)


async def promote_due(batch: Batch, command: PromoteDue) -> Counted:
    """Make the scheduled jobs ready whose time has come."""
    jobs = await batch.tx.due(batch.now, command.limit)
    for job in jobs:
        if job.extras.unreadable is not None:
            set_aside(batch, await batch.own(job), job)
            continue
        batch.change(events.DUE, await batch.own(job), job, lifecycle.due(job, batch.now))
    return Counted(len(jobs))


async def bury_orphans(batch: Batch, command: BuryOrphans) -> Counted:
    """Make dead what only a worker could take who is gone: it waits for somebody to decide, and is never silently lost."""
    jobs = await batch.tx.orphans(command.limit)
    for job in jobs:
        batch.change(events.ORPHANED, await batch.own(job), job, lifecycle.orphan(job, batch.now))
    return Counted(len(jobs))


async def forget(batch: Batch, command: ForgetHistory) -> Forgotten:
    """Remove history past its queue's retention, a page of queues at a time, and then idempotency keys that nothing needs any more."""
    left = command.limit
    names, go_on = await batch.tx.with_history(command.after, QUEUES_PER_TICK)
    for name in names:
        queue = await batch.queue(name)
        if queue is None or queue.policy.retention_ms is None or not (queue.tally.concluded or queue.tally.cancelled):
            continue
        for job in await batch.tx.forgettable(queue, batch.now - queue.policy.retention_ms, left):
            batch.change(events.FORGOTTEN, queue, job, None)
            left -= 1
        if left <= 0:
            return Forgotten(command.limit, command.after)
    await batch.flush()
    left -= await batch.tx.forget_answers(batch.now - IDEMPOTENCY_MS, left)
    return Forgotten(command.limit - left, go_on)
