"""What an operator does to jobs and queues: retry, cancel, promote, edit, delete; settings, pause, purge."""

from msgspec import UNSET
from msgspec.structs import replace

from holdfast.committer import budgets, enqueue, expiry, fair, unique
from holdfast.committer.batch import Batch
from holdfast.committer.conclude import returning
from holdfast.errors import InvalidRequest, JobNotFound, NotUnique, QueueFull, WrongState, breach
from holdfast.job import lifecycle
from holdfast.job.budget import without_charges
from holdfast.job.job import HISTORY, Content, Job, NewJob, Receipt, State, without_parent
from holdfast.job.queue import Queue, QueueSettings
from holdfast.limits import ID_MAX, INSTANT_MAX, PURGE_BYTES, PURGE_CHUNK, TYPES
from holdfast.messages import events
from holdfast.messages.answers import Changed, Counted, Enqueued
from holdfast.messages.commands import (
    AddJob,
    CancelJob,
    DeleteJob,
    DeleteQueue,
    EditJob,
    MoveJob,
    PauseQueue,
    PauseType,
    PromoteJob,
    PurgeQueue,
    RetryJob,
    SetInterest,
    SetQueue,
    SettleJob,
    TakeBackLease,
)
from holdfast.messages.views import QueueInfo


async def job_here(batch: Batch, job_id: int) -> tuple[Job, Queue]:
    """A job as this batch has left it and its queue, or `JobNotFound`."""
    job = await batch.visible(job_id)
    if job is None:
        raise JobNotFound(f"There is no job {job_id}.", job_id=job_id)
    return job, await batch.own(job)


async def content_of(batch: Batch, job_id: int) -> Content:
    """A job's content as this batch has left it."""
    change = batch.changes.get(job_id)
    content = (change.content if change is not None else None) or await batch.tx.content(job_id)
    assert content is not None, "a job has content as long as it is there"
    return content


async def _changed(batch: Batch, job: Job) -> Changed:
    return Changed(job if batch.scope is None else without_parent(job), await content_of(batch, job.id), batch.now)


async def taken_back(batch: Batch, queue: Queue, job: Job, after: Job) -> Job:
    """A dead job that becomes ready: like a new one, it needs room and its unique key."""
    if after.extras.worker is not None and after.extras.worker not in await batch.tx.workers():
        after = lifecycle.adopt(after)  # its only worker has been removed: retrying it lets any worker take it
    if not queue.has_room(1, job.size):
        raise QueueFull(
            f"The queue {queue.name} is full: there is no room for job {job.id}.", queue=queue.name, retry_after_ms=1_000
        )
    if job.extras.unique_key is not None:
        pair = (job.queue, job.extras.unique_key)
        holder = await unique.holder_of(batch, pair)
        if holder is not None:
            raise NotUnique(
                f"Job {holder} holds the unique key {pair[1]!r}.", queue=queue.name, unique_key=pair[1], job_id=holder
            )
        batch.unique[pair] = job.id
    return after


async def retry(batch: Batch, command: RetryJob) -> Changed:
    """Run a dead or expired job again; like a new one it needs room and its unique key."""
    job, queue = await job_here(batch, command.id)
    expires_at = await _deadline(batch, command.expires_in_ms, command.expires_at, batch.now)
    return await _changed(batch, await retry_one(batch, queue, job, expires_at))


async def retry_one(batch: Batch, queue: Queue, job: Job, expires_at: int | None = None) -> Job:
    """The same for a job that is known."""
    after = await taken_back(batch, queue, job, lifecycle.retry(job, batch.now, expires_at))
    batch.change(events.RETRIED, queue, job, after)
    return after


async def _deadline(batch: Batch, expires_in_ms: int | None, expires_at: int | None, due: int) -> int | None:
    """The deadline that an operator names, if any; 0: none any more."""
    if expires_in_ms is None and not expires_at:
        return expires_at
    await batch.demand_newest_only("expires_in_ms" if expires_at is None else "expires_at")
    if expires_at is None:
        return min(due + (expires_in_ms or 0), INSTANT_MAX)
    if expires_at <= due:
        raise breach("expires_at", "must be later than the time at which the job is due")
    return expires_at


async def cancel(batch: Batch, command: CancelJob) -> Changed:
    """End a waiting job, or ask the holder of a leased one to stop."""
    job, queue = await job_here(batch, command.id)
    return await _changed(batch, await cancel_one(batch, queue, job))


async def cancel_one(batch: Batch, queue: Queue, job: Job, reason: str = lifecycle.CANCELLED) -> Job:
    """The same for a job that is known. `reason`: what is told of it if it ends."""
    after = lifecycle.cancel(job, batch.now, reason)
    batch.change(events.CANCELLED if after.lease is None else events.CANCEL_REQUESTED, queue, job, after)
    if after.lease is not None:
        batch.stop.append(after.lease.fence)
    return after


async def restore_one(batch: Batch, queue: Queue, job: Job) -> Job:
    """Undo the cancel of a job; like a new one it needs room and its unique key."""
    after = await taken_back(batch, queue, job, lifecycle.restore(job, batch.now))
    batch.change(events.RETRIED, queue, job, after)
    return after


async def promote(batch: Batch, command: PromoteJob) -> Changed:
    """Run a scheduled job now."""
    job, queue = await job_here(batch, command.id)
    return await _changed(batch, await promote_one(batch, queue, job))


async def promote_one(batch: Batch, queue: Queue, job: Job) -> Job:
    """The same for a job that is known."""
    after = lifecycle.promote(job, batch.now)
    batch.change(events.PROMOTED, queue, job, after)
    return after


async def take_back(batch: Batch, command: TakeBackLease) -> Changed:
    """Take a leased job back from its worker."""
    job, queue = await job_here(batch, command.id)
    return await _changed(batch, await release_one(batch, queue, job, command.attempt))


async def release_one(batch: Batch, queue: Queue, job: Job, attempt: int | None = None) -> Job:
    """The same for a job that is known."""
    after = await returning(batch, job, lifecycle.take_back(job, batch.now, attempt))
    batch.change(events.RELEASED, queue, job, after)
    assert job.lease is not None, "only a lease can be taken back"
    batch.lost.append(job.lease.fence)
    return after


async def settle(batch: Batch, command: SettleJob) -> Changed:
    """End a job that is not leased, by the decision of an operator."""
    job, queue = await job_here(batch, command.id)
    after = lifecycle.settle(job, batch.now, command.done, command.reason, len(command.result or b""))
    batch.change(events.SETTLED, queue, job, after, result=command.result)
    return await _changed(batch, after)


async def edit(batch: Batch, command: EditJob) -> Changed:
    """Change a waiting job."""
    job, queue = await job_here(batch, command.id)
    ready_at = command.run_at if command.delay_ms is None else batch.now + command.delay_ms
    due = max(batch.now, job.ready_at if ready_at is None else ready_at)
    expires_at = await _deadline(batch, command.expires_in_ms, command.expires_at, due)
    if ready_at is not None and expires_at is None and job.deadline is not None and job.deadline <= due:
        raise breach("run_at" if command.delay_ms is None else "delay_ms", "must be before the job expires (expires_at)")
    size = len(command.content.payload) if command.content is not None else None
    after = lifecycle.edit(
        job, batch.now, command.priority, ready_at, command.max_attempts, size, command.tags, command.meta, expires_at
    )
    if after.size > job.size and not queue.has_room(0, after.size - job.size):
        raise QueueFull(f"The queue {queue.name} has no room for the larger payload.", queue=queue.name, retry_after_ms=1_000)
    batch.change(events.EDITED, queue, job, after, content=await _edited(batch, command))
    return await _changed(batch, after)


async def _edited(batch: Batch, command: EditJob) -> Content | None:
    """The content with what the command names, over what this batch has left; None when it names neither part."""
    if command.content is None and command.type is None:
        return None
    kept = await content_of(batch, command.id)
    return replace(command.content or kept, type=kept.type if command.type is None else command.type)


async def move(batch: Batch, command: MoveJob) -> Enqueued:
    """Enqueue a job again in another queue, with all of its attempts, and remove it here."""
    job, queue = await job_here(batch, command.id)
    return Enqueued(await move_one(batch, queue, job, command.queue))


async def move_one(batch: Batch, queue: Queue, job: Job, target: str) -> list[Receipt]:
    """The same for a job that is known."""
    if job.state is State.LEASED:
        raise WrongState(
            f"Job {job.id} is leased; cancel it first, or wait until it has ended.", job_id=job.id, state=job.state
        )
    if target == job.queue:
        raise InvalidRequest(f"Job {job.id} is in {job.queue} already.", field="queue")
    content = await content_of(batch, job.id)
    extras = replace(job.extras, worker=None, unreadable=None)
    if extras.expires_at is not None and extras.expires_at <= batch.now and job.deadline is None:
        extras = replace(extras, expires_at=None)  # it has ended, and is moved to be run after all
    if job.state in HISTORY:
        extras = replace(extras, batch=None)  # its batch has counted it for good
    new = NewJob(
        target,
        content.payload,
        content.type,
        content.content_type,
        job.priority,
        run_at=job.ready_at if job.state is State.SCHEDULED else None,
        max_attempts=job.max_attempts,
        extras=replace(extras, budgets=without_charges(extras.budgets, extras.queue_budgets), queue_budgets=()),
    )
    receipts = await enqueue.put(batch, [new], joined=True, is_late=True)
    batch.change(events.DELETED, queue, job, None)
    if extras.batch is not None:
        batch.members_here().stays(extras.batch)
    return receipts


async def add(batch: Batch, command: AddJob) -> Enqueued:
    """Put one job."""
    return Enqueued(await enqueue.put(batch, [command.job]))


async def delete(batch: Batch, command: DeleteJob) -> Changed:
    """Remove a job that is not leased, and everything stored about it."""
    job, queue = await job_here(batch, command.id)
    if command.unless_history and job.state in HISTORY:
        raise JobNotFound(f"Job {command.id} has ended.", job_id=command.id)
    answer = await _changed(batch, job)
    await delete_one(batch, queue, job)
    return answer


async def delete_one(batch: Batch, queue: Queue, job: Job) -> None:
    """The same for a job that is known."""
    lifecycle.may_be_deleted(job)
    batch.change(events.DELETED, queue, job, None)


async def set_queue(batch: Batch, command: SetQueue) -> QueueInfo:
    """Create a queue, or change its settings."""
    if command.settings.expires_in_ms is not UNSET:
        await batch.demand_newest_only("expires_in_ms")
    if command.settings.budgets is not UNSET and command.settings.budgets:
        await batch.demand_newest_only("budgets")
        await budgets.demand(batch, command.settings.budgets)
    if command.settings.fair is not UNSET:
        await batch.demand_newest_only("fair")
    queue = await (batch.queue_here if command.only_change else batch.queue_made)(command.name)
    named = {name: value for name in QueueSettings.__struct_fields__ if (value := getattr(command.settings, name)) is not UNSET}
    settings = command.settings if command.whole else replace(queue.settings, **named)
    queue.policy = batch.tx.policy(settings)
    queue.settings = settings
    readable(queue)
    if queue.policy.fair or queue.sharing is not None:
        await fair.switch(batch, queue)
    batch.may_give(queue)
    batch.freed.add(queue.name)
    return info(queue)


def readable(queue: Queue) -> None:
    """An operator has set a queue with unreadable settings: its current settings apply, and its stored pause is restored."""
    if queue.unreadable is not None:
        pause = queue.unreadable[1]
        queue.unreadable = None
        queue.paused, queue.paused_until = bool(pause), pause if pause > 1 else 0


async def pause(batch: Batch, command: PauseQueue) -> QueueInfo:
    """Stop or resume leasing."""
    queue = await batch.queue_here(command.name)
    readable(queue)
    queue.paused, queue.paused_until = command.paused, 0
    batch.may_give(queue)
    return info(queue)


async def pause_type(batch: Batch, command: PauseType) -> QueueInfo:
    """Stop or resume leasing jobs of one type from a queue."""
    queue = await batch.queue_here(command.name)
    if command.paused is (command.type in queue.paused_types):
        return info(queue)
    if command.paused:
        await batch.demand_newest_only("types")
        if len(queue.paused_types) >= TYPES:
            raise InvalidRequest(f"Of one queue at most {TYPES} types are paused.", field="type")
        queue.paused_types = (*queue.paused_types, command.type)
        batch.touched.add(queue.name)
    else:
        queue.paused_types = tuple(name for name in queue.paused_types if name != command.type)
        batch.may_give(queue)
    return info(queue)


async def purge(batch: Batch, command: PurgeQueue) -> Counted:
    """Remove a bounded number of the jobs that were there when the purge began."""
    queue = await batch.queue_here(command.name)
    await budgets.settle(batch)  # a job that is already written can't be settled afterwards
    await batch.flush()
    up_to = command.up_to or await batch.tx.newest_job()
    found = await batch.tx.removable(queue, command.states, up_to, command.limit)
    jobs = expiry.within(found, PURGE_BYTES)
    for job in jobs:
        lifecycle.may_be_deleted(job)
        batch.change(events.DELETED, queue, job, None)
    return Counted(len(jobs), up_to, len(found) == command.limit or len(jobs) < len(found))


async def delete_queue(batch: Batch, command: DeleteQueue) -> Counted:
    """Remove a bounded part of the queue's history, and the queue itself once nothing is left in it."""
    queue = await batch.queue_here(command.name)
    tally = queue.tally
    if tally.unfinished or tally.dead:
        raise WrongState(
            f"The queue {queue.name} still has {tally.unfinished} unfinished and {tally.dead} dead jobs; purge it first.",
            queue=queue.name,
        )
    await budgets.settle(batch)
    await batch.flush()
    found = await batch.tx.removable(queue, HISTORY, ID_MAX, PURGE_CHUNK)
    history = expiry.within(found, PURGE_BYTES)
    for job in history:
        batch.change(events.FORGOTTEN, queue, job, None)
    more = len(found) == PURGE_CHUNK or len(history) < len(found)
    if not more:
        await batch.flush()
        await batch.set_interest(queue, None)
        if batch.shares is not None:
            await batch.shares.drop(queue)
        await batch.tx.delete_queue(queue)
        batch.queues.pop(queue.name, None)
        batch.touched.discard(queue.name)
        batch.removed.add(queue.name)
        batch.counts = {key: count for key, count in batch.counts.items() if key[1] != queue.name}
    return Counted(len(history), more=more)


async def set_interest(batch: Batch, command: SetInterest) -> Counted:
    """Say which events a queue wants; the count is 0 when there was no interest to remove."""
    if command.match is None:
        queue = await batch.queue_here(command.queue)
    else:
        queue = await batch.queue_made(command.queue)
    return Counted(int(await batch.set_interest(queue, command.match)))


def info(queue: Queue) -> QueueInfo:
    """The public description of a queue."""
    return QueueInfo(
        queue.name,
        queue.settings,
        queue.policy,
        queue.paused,
        queue.created_at,
        replace(queue.tally),
        queue.paused_until,
        queue.paused_types,
    )
