"""Batches of jobs: made, closed and cancelled; their members counted, and their closing jobs put in the transaction that makes them due.

Members that move are noted in `Batch.change` and counted once per transaction, before it is written. Only the conclude that ends a batch is
looked at before: where a closing job finds no room, it is refused as one with follow-up jobs is. Time and operators are never refused: what
can't be put then is owed, in the batch's row, and put by a tick.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from holdfast.auth.scope import sees
from holdfast.committer import budgets, enqueue
from holdfast.committer.batch import Batch
from holdfast.committer.joining import admit, current, here, load
from holdfast.committer.members import Members
from holdfast.errors import HoldfastError, InvalidRequest, QueueFull, WrongState
from holdfast.job import job_batch as rules
from holdfast.job import lifecycle
from holdfast.job.closing import Closing
from holdfast.job.job import UNFINISHED, Job, NewJob, Receipt, State
from holdfast.job.job_batch import ANY_QUEUE, NEVER, OWED, PENDING, WAITS, ClosingJob, JobBatch
from holdfast.limits import BATCH_BYTES, CLOSING_JOBS, JOB_BATCH_LEVELS, JOB_BATCHES
from holdfast.messages import events
from holdfast.messages.answers import Counted
from holdfast.messages.job_batches import (
    CancelJobBatch,
    CloseJobBatch,
    JobBatchInfo,
    JobBatchMade,
    MakeJobBatch,
    PutClosingJobs,
    shown_closing,
)
from holdfast.stores.store import KeptAnswer


async def settle(batch: Batch) -> None:
    """Count what members did, and put the closing jobs that this makes due, until nothing moves: a closing job that never comes may end
    the batch that waits for it. It ends: each step uses up a closing job, and batches are nested `JOB_BATCH_LEVELS` deep at most.
    """
    members = batch.members
    while members is not None and (members.moved or members.unsettled):
        ids = list(members.moved)
        if members.unsettled or len(ids) > 1:
            ids = sorted({*ids, *members.unsettled})
        await load(batch, ids)
        for number in ids:
            found = members.brought_up(number, batch.now)
            members.unsettled.discard(number)
            if found is not None and (found.finished or found.dead or number in members.died):
                await _close(batch, found)
        for number in members.over:
            batch.tell(f"{events.BATCH}.finished", number)
        members.over.clear()


async def _close(batch: Batch, found: JobBatch) -> None:
    members = batch.members_here()
    due = rules.due(found, found.id in members.died)
    if not due and not rules.moot(found):
        return
    jobs = await _closing_jobs(batch, found)
    for on in due:
        await _put_or_owe(batch, found, on, jobs.get(on))
    for on in rules.moot(found):
        _waits_no_more(members, found, on, NEVER, jobs.get(on))


def _waits_no_more(members: Members, found: JobBatch, on: Closing, mark: int, closing: ClosingJob | None) -> None:
    """Give a closing job its last mark: it was put, or never comes."""
    found.set_mark(on, mark)
    members.changed.add(found.id)
    members.gone.append((found.id, on))
    if closing is not None:
        members.promise(closing.job.extras.batch, -1)


async def was_put(batch: Batch, number: int, on: Closing, job_id: int) -> None:
    """Take note of a closing job that came in by an import, and is not to be put again."""
    found = await current(batch, number)
    if found is not None and found.mark(on) in (WAITS, OWED):
        members, jobs = batch.members_here(), await _closing_jobs(batch, found)
        members.owed = [one for one in members.owed if one[:2] != (number, on)]
        _waits_no_more(members, found, on, job_id, jobs.get(on))


async def was_closed(batch: Batch, number: int) -> None:
    """Take note that a batch that came in by an import takes no more jobs; what that makes due comes later."""
    found = await current(batch, number)
    if found is not None and not found.closed:
        found.closed = True
        batch.members_here().changed.add(number)


async def owe(batch: Batch, number: int) -> None:
    """Owe what is due in a batch that came in by an import, all of whose members are there."""
    found = await current(batch, number)
    if found is None:
        return
    members, jobs = batch.members_here(), await _closing_jobs(batch, found)
    rules.settle_end(found, batch.now)
    members.changed.add(number)
    for on in rules.due(found):
        found.set_mark(on, OWED)
        members.owed.append((number, on, ""))
    for on in rules.moot(found):
        _waits_no_more(members, found, on, NEVER, jobs.get(on))


async def _closing_jobs(batch: Batch, found: JobBatch) -> dict[Closing, ClosingJob]:
    for made, closing in batch.members_here().made:
        if made is found:
            return {one.on: one for one in closing}
    return await batch.tx.closing_jobs(found.id)


async def _put_or_owe(batch: Batch, found: JobBatch, on: Closing, closing: ClosingJob | None) -> bool:
    """Put a closing job; where that can't be, note that it is owed."""
    members = batch.members_here()
    refusal = "unreadable"
    if closing is not None:
        new = closing.job
        if members.put < CLOSING_JOBS and members.put_bytes + len(new.payload) <= BATCH_BYTES:
            try:
                (receipt,) = await enqueue.put(
                    batch, [replace(new, extras=replace(new.extras, closes=found.closes(on)))], joined=True, is_late=True
                )
            except HoldfastError as error:
                refusal = error.code
            else:
                members.put += 1
                members.put_bytes += len(new.payload)
                _waits_no_more(members, found, on, receipt.id, closing)
                return True
        else:
            refusal = closing.refusal
    batch.owing = True
    if found.mark(on) != OWED or closing is None or closing.refusal != refusal:
        found.set_mark(on, OWED)
        members.owed.append((found.id, on, refusal))
        members.changed.add(found.id)
    return False


async def foresee(batch: Batch, job: Job, then: Sequence[NewJob]) -> bool:
    """Whether the conclude of this job ends its batch, so that it is to be settled at once. Raises `QueueFull` if there is no room for the
    closing jobs then due.
    """
    number = job.extras.batch
    assert number is not None, "it is a member"
    members = batch.members_here()
    known = members.loaded.get(number)
    if known is not None and (not known.closed or known.pending + members.not_counted(number)[PENDING] > 1):
        return False
    found = await current(batch, number)
    due = rules.makes_due(found) if found is not None else []
    if found is None or not due or any(new.extras.batch == number for new in then):
        return False
    jobs = await _closing_jobs(batch, found)
    try:
        await enqueue.check_room(batch, [*then, *(jobs[on].job for on in due if on in jobs)], job)
    except QueueFull:
        raise
    except HoldfastError:
        pass  # it is for the closing job to be owed, and not for the worker
    return True


# Verbs


async def make(batch: Batch, command: MakeJobBatch) -> JobBatchMade:
    """Make a batch with its first jobs, or answer again what was answered the first time."""
    key = command.key
    if key is not None and (kept := enqueue.kept(batch, key)) is not None:
        first, *receipts = kept.receipts  # the batch itself comes first: see below
        gone = [receipt.id for receipt in receipts if await batch.latest(receipt.id) is None]
        return JobBatchMade(first.id, receipts, duplicate=True, gone=gone)
    await batch.demand_newest_only("batch")
    made = await _made(batch, command)
    members = batch.members_here()
    for new in command.jobs:
        new.extras = replace(new.extras, batch=made.id)
    existing: list[int] = []
    receipts = await enqueue.put(batch, command.jobs, existing=existing, joined=True)
    members.loaded[made.id] = made
    members.made.append((made, command.closing))
    members.moved_of(made.id)  # it is settled even if it has no job
    for closing in command.closing:
        made.set_mark(closing.on, WAITS)
        members.promise(closing.job.extras.batch, 1)
    batch.tell(f"{events.BATCH}.made", made.id)
    if key is not None:
        itself = Receipt(made.id, "", State.READY, 0, 0, batch.now, batch.now)
        answer = batch.kept[key.scope, key.key] = KeptAnswer(key.digest, [itself, *receipts])
        batch.keeping.append((key, answer))
    return JobBatchMade(made.id, receipts, existing=existing)


async def _made(batch: Batch, command: MakeJobBatch) -> JobBatch:
    """The new batch, without its jobs; raises if it can't be."""
    closing = [one.job for one in command.closing]
    queues = rules.kept_queues(job.queue for job in (*command.jobs, *closing))
    if batch.scope is not None and (not queues or queues == (ANY_QUEUE,)):
        raise InvalidRequest(
            "A key that sees only some queues has to name at least one of them, and not more than 32, in the jobs of its batch: who sees"
            " these queues sees the batch.",
            field="jobs",
        )
    if await batch.tx.job_batch_count() + len(batch.members_here().made) >= JOB_BATCHES:
        raise InvalidRequest(
            f"There are {JOB_BATCHES} batches that are not finished or have dead jobs; that is the limit.", field="batch"
        )
    level = 1
    await budgets.check(batch, closing)
    for new in closing:
        await enqueue.check_could_fit(batch, new)
        if new.extras.batch is not None:
            await admit(batch, [new], None)
            level = max(level, 1 + (await here(batch, new.extras.batch)).level)
    if level > JOB_BATCH_LEVELS:
        raise InvalidRequest(f"Batches would be nested {level} deep; at most {JOB_BATCH_LEVELS} are taken.", field="batch")
    await batch.tx.reserve(job_ids=1)
    number = batch.tx.take_job_ids(1)
    return JobBatch(number, command.name, batch.now, queues, command.closed, level=level)


async def close(batch: Batch, command: CloseJobBatch) -> JobBatchInfo:
    """Take no more jobs from outside. To close it again changes nothing."""
    found = await here(batch, command.id)
    await _closed(batch, found)
    left = await _closing_jobs(batch, found)
    kept = {on: (one.job.queue if sees(batch.scope, one.job.queue) else "", one.refusal) for on, one in left.items()}
    return JobBatchInfo(replace(found), shown_closing(found, kept))


async def _closed(batch: Batch, found: JobBatch) -> None:
    if not found.closed:
        found.closed = True
        batch.tell(f"{events.BATCH}.closed", found.id)
        batch.members_here().moved_of(found.id)  # counted anew: it may be finished by that alone
        await settle(batch)


async def cancel(batch: Batch, command: CancelJobBatch) -> Counted:
    """Close a batch, and cancel some of its members."""
    found = await here(batch, command.id)
    if not command.jobs:  # the first of its commands
        batch.tell(f"{events.BATCH}.cancelled", command.id)
    await _closed(batch, found)
    count = 0
    for number in command.jobs:
        job = await batch.visible(number)
        if job is None or job.extras.batch != command.id or job.state not in UNFINISHED:
            continue
        if job.lease is not None and job.lease.cancel_requested:
            continue
        try:
            after = lifecycle.cancel(job, batch.now)
        except WrongState:
            continue
        batch.change(events.CANCELLED if after.lease is None else events.CANCEL_REQUESTED, await batch.own(job), job, after)
        if after.lease is not None:
            batch.stop.append(after.lease.fence)
        count += 1
    return Counted(count)


async def put_owed(batch: Batch, command: PutClosingJobs) -> Counted:
    """Put what is owed, where there is room by now."""
    ids = await batch.tx.owing_job_batches(command.after, command.limit)
    put = 0
    owing, batch.owing = batch.owing, False
    if ids:
        await load(batch, ids)
    for number in ids:
        found = await current(batch, number)
        if found is None:
            continue
        jobs = await _closing_jobs(batch, found)
        for on in Closing:
            if found.mark(on) == OWED:
                put += await _put_or_owe(batch, found, on, jobs.get(on))
    more = batch.owing or len(ids) == command.limit or command.after > 0
    batch.owing |= owing
    return Counted(put, ids[-1] if len(ids) == command.limit else 0, more)
