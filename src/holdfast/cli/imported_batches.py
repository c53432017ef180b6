"""What `holdfast import` does with batches of jobs, so that each closing job comes exactly once, also out of an export of a store in use.

What a batch counts follows from the jobs that come in, and from how many of its members were not there any more when its line was written. A
closing job that comes in, or of which a later line says that it was put, does not wait any more. At the end, what is due by these counts is owed,
and put by who serves the store.
"""

from holdfast.committer import job_batches, joining
from holdfast.committer.batch import Batch
from holdfast.engine import checks
from holdfast.errors import InvalidRequest
from holdfast.job.job_batch import OWED
from holdfast.limits import ID_MAX, JOB_BATCH_NAME_CHARS, PAYLOAD_BYTES_MAX
from holdfast.stores import exported
from holdfast.stores.exported import BatchLine
from holdfast.stores.formats import UNREADABLE
from holdfast.stores.store import Prefetch, Store

_PAGE = 200


async def take(batch: Batch, line: BatchLine) -> None:
    """Take a batch. Of one that is there, only the closing jobs that were put since are new, and that it is closed: the line came again, or the file is imported again."""
    checks.text("batch.name", line.name, JOB_BATCH_NAME_CHARS)
    await batch.demand_newest_only("batch")
    try:
        found, closing = exported.batch_of(line)
    except UNREADABLE as error:
        raise InvalidRequest(f"the batch {line.id} can't be read: {error}") from None
    for one in closing:
        checks.new_job(one.job, PAYLOAD_BYTES_MAX, f"batch.{one.on.value}.")
    if await joining.current(batch, line.id) is not None:
        if line.late and line.closed:
            await job_batches.was_closed(batch, line.id)
        for on, mark in line.marks.items():
            if mark > 0:
                await job_batches.was_put(batch, line.id, on, mark)
        return
    await batch.tx.continue_from(line.id, 0)
    members = batch.members_here()
    members.loaded[line.id] = found
    members.made.append((found, closing))
    members.owed += [(line.id, one.on, "") for one in closing if found.mark(one.on) == OWED]
    moved = members.moved_of(line.id)
    if line.late:  # its members came before
        for place, count in enumerate(await batch.tx.count_members(line.id)):
            moved[place] += count
    for one in closing:
        members.promise(one.job.extras.batch, 1)


async def count(batch: Batch) -> None:
    """Count what has come of batches. Their closing jobs are put by who serves the store."""
    members = batch.members
    if members is not None and members.moved:
        ids = sorted(members.moved)
        await joining.load(batch, ids)
        for number in ids:
            members.brought_up(number, batch.now)


async def settle(store: Store, now: int) -> None:
    """Owe what is due, once everything has come in."""
    before = ID_MAX
    while True:
        async with store.transaction(Prefetch(now, open_ended=True)) as tx:
            batch = Batch(tx, now)
            ids = await tx.unsettled_job_batches(before, _PAGE)
            await joining.load(batch, ids)
            for number in ids:
                await job_batches.owe(batch, number)
            await count(batch)
            await batch.finish()
            await tx.commit()
        if len(ids) < _PAGE:
            return
        before = ids[-1]
