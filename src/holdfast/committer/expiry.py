"""What happens because time passes: leases end, scheduled jobs become ready, waiting ones expire, history is forgotten. In bounded chunks."""

from collections.abc import Awaitable, Callable

from holdfast.committer import deadlines
from holdfast.committer.batch import Batch
from holdfast.committer.conclude import returning
from holdfast.committer.unreadable_jobs import set_aside
from holdfast.errors import HoldfastError, Unavailable
from holdfast.job import lifecycle
from holdfast.job.job import Job, JobError
from holdfast.job.queue import Queue
from holdfast.limits import ID_MAX, IDEMPOTENCY_MS, JOB_BATCH_KEPT_MS, JOB_BATCHES_KEPT, PURGE_BYTES, QUEUES_PER_TICK
from holdfast.messages import events
from holdfast.messages.answers import Counted, Forgotten
from holdfast.messages.time_commands import BuryOrphans, EndOverdue, ExpireLeases, ForgetHistory, PromoteDue

_EXPIRED = "the lease expired: its worker crashed or lost contact"


async def expire(batch: Batch, command: ExpireLeases) -> Counted:
    """Make the jobs ready whose lease has expired, or dead."""
    jobs = await batch.tx.expired(batch.now, command.limit + len(batch.aside))
    return await _each(batch, jobs, command.limit, _expire)


async def promote_due(batch: Batch, command: PromoteDue) -> Counted:
    """Make the scheduled jobs ready that are due."""
    jobs = await batch.tx.due(batch.now, command.limit + len(batch.aside))
    return await _each(batch, jobs, command.limit, _promote)


async def end_overdue(batch: Batch, command: EndOverdue) -> Counted:
    """End the waiting jobs whose deadline has passed."""
    jobs = await batch.tx.overdue(batch.now, command.limit + len(batch.aside))
    return await _each(batch, jobs, command.limit, _end_overdue)


async def bury_orphans(batch: Batch, command: BuryOrphans) -> Counted:
    """Make the jobs dead that only a removed worker could lease: an operator decides about them, and they are never lost
    silently.
    """
    jobs = await batch.tx.orphans(command.limit + len(batch.aside))
    return await _each(batch, jobs, command.limit, _bury)


async def _expire(batch: Batch, job: Job, queue: Queue) -> None:
    lease = job.lease
    if lease is not None and lease.until == batch.graced_until:  # no server ran when it expired, or shortly before: not a crash
        after, verb, error = lifecycle.lapse(job, batch.now), events.RELEASED, None
    else:
        after, verb = lifecycle.expire(job, batch.now, queue.policy.max_crashes), events.EXPIRED
        worker = lease.worker if lease is not None else ""
        error = JobError(job.attempt, batch.now, worker, "crashed", _EXPIRED, leased_at=job.leased_at)
    batch.change(verb, queue, job, await returning(batch, job, after), error=error)
    if lease is not None:
        batch.lost.append(lease.fence)


async def _promote(batch: Batch, job: Job, queue: Queue) -> None:
    batch.change(events.DUE, queue, job, lifecycle.due(job, batch.now))


async def _end_overdue(batch: Batch, job: Job, queue: Queue) -> None:
    deadlines.end(batch, queue, job)


async def _bury(batch: Batch, job: Job, queue: Queue) -> None:
    batch.change(events.ORPHANED, queue, job, lifecycle.orphan(job, batch.now))


async def _each(batch: Batch, jobs: list[Job], limit: int, do: Callable[[Batch, Job, Queue], Awaitable[None]]) -> Counted:
    """Apply this to every job that is not set aside. A job for which it fails is set aside, so that it does not block the
    others.

    A failure has changed nothing yet: a rule decides first, and `batch.change` comes last.
    """
    done = 0
    for job in jobs:
        if done == limit:
            break
        if len(batch.aside) and batch.aside.waits(job.id, batch.now):
            continue
        try:
            queue = await batch.own(job)
            if job.extras.unreadable is not None:
                set_aside(batch, queue, job)
            else:
                await do(batch, job, queue)
        except (HoldfastError, ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            if isinstance(error, Unavailable):
                raise
            batch.aside.put(job.id, job.queue, error, batch.now)
            continue
        if len(batch.aside):
            batch.aside.done(job.id)
        done += 1
    return Counted(done)


async def forget(batch: Batch, command: ForgetHistory) -> Forgotten:
    """Remove history past its queue's retention (by time, number and bytes), oldest first and a page of queues at a time, and then
    idempotency keys that nothing needs any more.
    """
    left, left_bytes = command.limit, PURGE_BYTES
    names, go_on = await batch.tx.with_history(command.after, QUEUES_PER_TICK)
    for name in names:
        queue = await batch.queue(name)
        if queue is None or not queue.tally.history:
            continue
        age = queue.policy.retention_ms
        if queue.has_surplus():
            oldest = await batch.tx.forgettable(queue, ID_MAX, left)
        elif age is not None:
            oldest = await batch.tx.forgettable(queue, batch.now - age, left)
        else:
            continue
        gone = queue.outlived(oldest, batch.now)
        jobs = within(gone, left_bytes)
        for job in jobs:
            batch.change(events.FORGOTTEN, queue, job, None)
            left -= 1
            left_bytes -= job.stored_bytes
        if left <= 0 or len(jobs) < len(gone):
            return Forgotten(command.limit, command.after)
    await batch.flush()
    left -= await batch.tx.forget_answers(batch.now - IDEMPOTENCY_MS, left)
    if left and not command.after:
        left -= await batch.tx.forget_job_batches(batch.now - JOB_BATCH_KEPT_MS, JOB_BATCHES_KEPT, left)
    return Forgotten(command.limit - left, go_on)


def within(jobs: list[Job], most_bytes: int) -> list[Job]:
    """The longest prefix of these jobs, at least one, whose payloads and results do not exceed that size together."""
    size = 0
    for count, job in enumerate(jobs):
        size += job.stored_bytes
        if count and size > most_bytes:
            return jobs[:count]
    return jobs
