"""Deciders of the commands in `beanstalk_commands.py`. The rules about jobs are in `job/lifecycle.py`, as for all verbs."""

from contextlib import suppress

from holdfast.committer import budgets, deadlines, enqueue, manage
from holdfast.committer.batch import Batch
from holdfast.errors import Conflict, HoldfastError, QueueFull, QueueNotFound, WrongState
from holdfast.job import lifecycle
from holdfast.job.job import DEAD, READY, SCHEDULED, Job, Lease, State
from holdfast.job.queue import Queue
from holdfast.messages import events
from holdfast.messages.answers import Counted, Granted, GrantedJob, PutIds
from holdfast.messages.beanstalk_commands import EndPauses, KickJob, KickJobs, PauseFor, PutJobs, ReserveJob
from holdfast.messages.views import QueueInfo
from holdfast.stores.store import QueueHeld


async def put(batch: Batch, command: PutJobs) -> PutIds:
    """Enqueue all at once if possible, else one by one."""
    try:
        return PutIds([receipt.id for receipt in await enqueue.put(batch, command.jobs)])
    except HoldfastError as error:
        if len(command.jobs) == 1:
            return PutIds([0], error.code)
    ids, refused = [], ""
    for job in command.jobs:
        try:
            ids.append((await enqueue.put(batch, [job]))[0].id)
        except HoldfastError as error:
            ids.append(0)
            refused = error.code
    return PutIds(ids, refused)


async def kick_many(batch: Batch, command: KickJobs) -> Counted:
    """Make jobs ready until there are no more, or no more room."""
    queue = await batch.queue(command.queue)
    if queue is None:
        return Counted(0)
    await budgets.settle(batch)  # a job that is already written can't be settled afterwards
    await batch.flush()
    state: State = DEAD if command.buried else SCHEDULED
    count = 0
    for job in await batch.tx.next_to_kick(queue, state, command.limit):
        try:
            await _kick(batch, queue, job)
        except QueueFull:
            break
        except Conflict:
            continue  # its unique key is held by another
        count += 1
    return Counted(count)


async def kick_one(batch: Batch, command: KickJob) -> Counted:
    """Make one job ready."""
    job, queue = await manage.job_here(batch, command.id)
    await _kick(batch, queue, job)
    return Counted(1)


async def _kick(batch: Batch, queue: Queue, job: Job) -> None:
    after = lifecycle.kick(job, batch.now)
    if job.state is DEAD:
        after = await manage.taken_back(batch, queue, job, after)
    batch.change(events.RETRIED if job.state is DEAD else events.PROMOTED, queue, job, after)


async def reserve(batch: Batch, command: ReserveJob) -> Granted:
    """Lease one job by its id."""
    if batch.budgeted:
        await budgets.settle(batch)  # accounts have counted all that came before
    job, queue = await manage.job_here(batch, command.id)
    if deadlines.has_passed(batch, job):  # the tick ends it
        raise WrongState(f"Job {job.id} has expired.", job_id=job.id, state=job.state.value)
    if job.extras.worker is not None or (job.extras.group_key is not None and (job.state is not READY or job.held)):
        raise WrongState(f"Job {job.id} is reserved for one worker.", job_id=job.id, state=job.state.value)
    if job.extras.budgets and not await budgets.may_start(batch, job):
        raise WrongState(f"Job {job.id} waits for a budget.", job_id=job.id, state=job.state.value)
    running = queue.policy.max_running
    if running is not None and queue.tally.leased >= running:
        raise WrongState(f"The queue {queue.name} has reached its max concurrency.", job_id=job.id, state=job.state.value)
    ready = lifecycle.make_ready(job, batch.now)
    if job.state is DEAD:
        ready = await manage.taken_back(batch, queue, job, ready)
    content = await manage.content_of(batch, job.id)
    until = batch.now + (job.extras.lease_ms or queue.policy.lease_ms)
    lease = Lease(batch.tx.take_fences(1), batch.secrets(1)[0], command.worker, batch.now, until)
    leased = lifecycle.lease(ready, lease)
    batch.change(events.LEASED, queue, job, leased)
    if job.extras.budgets:
        budgets.accounts_of(batch).start(job, leased)
    return Granted([GrantedJob(leased, content)], batch.now)


async def pause(batch: Batch, command: PauseFor) -> QueueInfo:
    """Stop leasing from a queue until a moment, or resume it."""
    if command.if_it_holds:
        found = await batch.queue(command.queue)
        if found is None or not found.tally.unfinished + found.tally.dead:
            raise QueueNotFound(f"There is no queue {command.queue} that holds a job.", queue=command.queue)
    queue = await batch.queue_made(command.queue)
    queue.paused = command.pause_ms > 0
    queue.paused_until = batch.now + command.pause_ms if queue.paused else 0
    batch.note_pause(queue)
    batch.may_give(queue)
    return manage.info(queue)


async def end_pauses(batch: Batch, _: EndPauses) -> Counted:
    """Resume the queues whose pause has ended: reading a queue resumes it."""
    ended = [name for name, until in batch.pauses.items() if until <= batch.now]
    for name in ended:
        with suppress(QueueHeld):  # locked by another node: retried when it is free
            await batch.queue(name)
            batch.pauses.pop(name, None)
    return Counted(len(ended))
