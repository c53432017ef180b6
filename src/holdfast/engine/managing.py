"""What an operator does to jobs and queues: retry, cancel, promote, edit, delete; settings, pause, purge."""

from msgspec import UNSET
from msgspec.structs import replace

from holdfast.engine import enqueueing, events, groups
from holdfast.engine.batch import Batch
from holdfast.engine.commands import (
    CancelJob,
    Changed,
    Counted,
    DeleteJob,
    DeleteQueue,
    EditJob,
    PauseQueue,
    PromoteJob,
    PurgeQueue,
    RetryJob,
    SetInterest,
    SetQueue,
)
from holdfast.errors import JobNotFound, NotUnique, QueueFull, WrongState
from holdfast.job import lifecycle
from holdfast.job.job import Content, Job
from holdfast.job.queue import Queue, QueueSettings
from holdfast.limits import PURGE_CHUNK
from holdfast.stores.queries import QueueInfo


async def _job(batch: Batch, job_id: int) -> tuple[Job, Queue]:
    job = await batch.latest(job_id)
    if job is None:
        raise JobNotFound(f"There is no job {job_id}.", job_id=job_id)
    return job, await batch.own(job)


async def _content(batch: Batch, job_id: int) -> Content:
    """A job's content as this batch has left it."""
    change = batch.changes.get(job_id)
    content = (change.content if change is not None else None) or await batch.tx.content(job_id)
    assert content is not None, "a job has content as long as it is there"
    return content


async def _changed(batch: Batch, job: Job) -> Changed:
    return Changed(job, await _content(batch, job.id), batch.now)


async def retry(batch: Batch, command: RetryJob) -> Changed:
    """Run a dead job again; like a new one it needs room and its unique key."""
    job, queue = await _job(batch, command.id)
    after = lifecycle.retry(job, batch.now)
    if after.extras.worker is not None and after.extras.worker not in await batch.tx.workers():
        after = lifecycle.adopt(after)  # its only worker is gone: whoever retries it wants it run
    if not queue.has_room(1, job.size):
        raise QueueFull(
            f"The queue {queue.name} is full: there is no room for job {job.id}.", queue=queue.name, retry_after_ms=1_000
        )
    if job.extras.unique_key is not None:
        pair = (job.queue, job.extras.unique_key)
        holder = await enqueueing.holder_of(batch, pair)
        if holder is not None:
            raise NotUnique(
                f"Job {holder} holds the unique key {pair[1]!r}.", queue=queue.name, unique_key=pair[1], job_id=holder
            )
        batch.unique[pair] = job.id
    batch.change(events.RETRIED, queue, job, after)
    return await _changed(batch, after)


async def cancel(batch: Batch, command: CancelJob) -> Changed:
    """End a waiting job, or ask the holder of a leased one to stop."""
    job, queue = await _job(batch, command.id)
    after = lifecycle.cancel(job, batch.now)
    batch.change(events.CANCELLED if after.lease is None else events.CANCEL_REQUESTED, queue, job, after)
    return await _changed(batch, after)


async def promote(batch: Batch, command: PromoteJob) -> Changed:
    """Run a scheduled job now."""
    job, queue = await _job(batch, command.id)
    after = lifecycle.promote(job, batch.now)
    batch.change(events.PROMOTED, queue, job, after)
    return await _changed(batch, after)


async def edit(batch: Batch, command: EditJob) -> Changed:
    """Change a waiting job."""
    job, queue = await _job(batch, command.id)
    ready_at = command.run_at if command.delay_ms is None else batch.now + command.delay_ms
    size = len(command.content.payload) if command.content is not None else None
    after = lifecycle.edit(job, batch.now, command.priority, ready_at, command.max_attempts, size, command.tags)
    if after.size > job.size and not queue.has_room(0, after.size - job.size):
        raise QueueFull(f"The queue {queue.name} has no room for the larger payload.", queue=queue.name, retry_after_ms=1_000)
    batch.change(events.EDITED, queue, job, after, content=await _edited(batch, command))
    return await _changed(batch, after)


async def _edited(batch: Batch, command: EditJob) -> Content | None:
    """The content with what the command names, over what this batch has left; None when it names neither part."""
    if command.content is None and command.type is None:
        return None
    kept = await _content(batch, command.id)
    return replace(command.content or kept, type=kept.type if command.type is None else command.type)


async def delete(batch: Batch, command: DeleteJob) -> Changed:
    """Remove a job that is not leased, and all that is known of it."""
    job, queue = await _job(batch, command.id)
    lifecycle.may_be_deleted(job)
    answer = await _changed(batch, job)
    batch.change(events.DELETED, queue, job, None)
    return answer


async def set_queue(batch: Batch, command: SetQueue) -> QueueInfo:
    """Create a queue, or change its settings."""
    queue = await batch.queue_made(command.name)
    named = {name: value for name in QueueSettings.__struct_fields__ if (value := getattr(command.settings, name)) is not UNSET}
    settings = command.settings if command.whole else replace(queue.settings, **named)
    queue.policy = batch.tx.policy(settings)
    queue.settings = settings
    batch.touched.add(queue.name)
    batch.arrived.add(queue.name)  # a larger bound may let parked calls go on
    batch.freed.add(queue.name)
    return info(queue)


async def pause(batch: Batch, command: PauseQueue) -> QueueInfo:
    """Stop or resume leasing."""
    queue = await batch.queue_here(command.name)
    queue.paused = command.paused
    batch.touched.add(queue.name)
    batch.arrived.add(queue.name)
    return info(queue)


async def purge(batch: Batch, command: PurgeQueue) -> Counted:
    """Remove a bounded number of the jobs that were there when the purge began."""
    queue = await batch.queue_here(command.name)
    await groups.settle(batch)  # what is written can't be settled afterwards
    await batch.flush()
    up_to = command.up_to or await batch.tx.newest_job()
    jobs = await batch.tx.removable(queue, command.states, up_to, command.limit)
    for job in jobs:
        lifecycle.may_be_deleted(job)
        batch.change(events.DELETED, queue, job, None)
    return Counted(len(jobs), up_to)


async def delete_queue(batch: Batch, command: DeleteQueue) -> Counted:
    """Remove a bounded part of the queue's history, and the queue itself once nothing is left in it."""
    queue = await batch.queue_here(command.name)
    tally = queue.tally
    if tally.unfinished or tally.dead:
        raise WrongState(
            f"The queue {queue.name} still has {tally.unfinished} unfinished and {tally.dead} dead jobs; purge it first.",
            queue=queue.name,
        )
    await groups.settle(batch)
    await batch.flush()
    history = await batch.tx.forgettable(queue, batch.now + 1, PURGE_CHUNK)
    for job in history:
        batch.change(events.FORGOTTEN, queue, job, None)
    if len(history) < PURGE_CHUNK:
        await batch.flush()
        if await batch.tx.set_interest(queue, None):
            batch.interests = await batch.tx.interests_version()
        await batch.tx.delete_queue(queue)
        batch.queues.pop(queue.name, None)
        batch.touched.discard(queue.name)
        batch.removed.add(queue.name)
        batch.counts = {key: count for key, count in batch.counts.items() if key[1] != queue.name}
    return Counted(len(history))


async def set_interest(batch: Batch, command: SetInterest) -> Counted:
    """Say which events a queue wants; the count is 0 when there was no interest to remove."""
    if command.match is None:
        queue = await batch.queue_here(command.queue)
    else:
        queue = await batch.queue_made(command.queue)
    changed = await batch.tx.set_interest(queue, command.match)
    if changed:
        batch.interests = await batch.tx.interests_version()
    return Counted(int(changed))


def info(queue: Queue) -> QueueInfo:
    """What is told of a queue."""
    return QueueInfo(queue.name, queue.settings, queue.policy, queue.paused, queue.created_at, replace(queue.tally))
