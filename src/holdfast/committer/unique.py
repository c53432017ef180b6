"""Unique keys: who has one, and what becomes of a new job that wants a key that is taken."""

from collections.abc import Sequence

from holdfast.committer import budgets, deadlines
from holdfast.committer.batch import Batch
from holdfast.errors import NotUnique
from holdfast.job import lifecycle
from holdfast.job.job import FORGOTTEN, WAITING, Content, Job, NewJob, OnConflict, Receipt
from holdfast.messages import events


async def holder_of(batch: Batch, pair: tuple[str, str]) -> int | None:
    """The job that has a (queue, unique key) pair, as this batch has left it."""
    job = await _holder(batch, pair)
    return None if job is None else job.id


async def _holder(batch: Batch, pair: tuple[str, str]) -> Job | None:
    if pair in batch.unique:
        holder = batch.unique[pair]
    else:
        holder = batch.unique[pair] = (await batch.tx.unique_holders([pair])).get(pair)
    if holder is None:
        return None
    job = await batch.latest(holder)
    if job is not None and deadlines.has_passed(batch, job):
        deadlines.end(batch, await batch.own(job), job)
        return None
    return job if job is not None and job.holds_unique_key and job.extras.unique_key == pair[1] else None


async def resolve(batch: Batch, jobs: list[NewJob], ending: Job | None) -> dict[int, Job | int]:
    """What stands in the place of new jobs whose key is taken, by their place among these: the job that has the key, or the place of one of
    these that gets it. Raises `NotUnique` for one that is to be refused.
    """
    instead: dict[int, Job | int] = {}
    first: dict[tuple[str, str], int] = {}
    for place, new in enumerate(jobs):
        key = new.extras.unique_key
        if key is None:
            continue
        pair = (new.queue, key)
        if pair in first:
            if new.on_conflict is not OnConflict.EXISTING:
                raise NotUnique(
                    f"The unique key {key!r} is given twice in this call.", queue=new.queue, unique_key=key, job_id=None
                )
            instead[place] = first[pair]
            continue
        holder = await _holder(batch, pair)
        if holder is not None and (ending is None or holder.id != ending.id):
            may_be_replaced = holder.state in WAITING
            if new.on_conflict is OnConflict.REFUSE or not (may_be_replaced or new.on_conflict is OnConflict.EXISTING):
                running = (
                    "" if may_be_replaced or new.on_conflict is OnConflict.REFUSE else ", and is leased: it can't be replaced"
                )
                raise NotUnique(
                    f"Job {holder.id} holds the unique key {key!r} in queue {new.queue}{running}.",
                    queue=new.queue,
                    unique_key=key,
                    job_id=holder.id,
                )
            instead[place] = holder
        first[pair] = place
    return instead


async def give_way(batch: Batch, new: NewJob, taken: Job | int, before: Sequence[Receipt]) -> Receipt:
    """The receipt of what stands in the place of a new job, changed as its producer asked for. `before`: the receipts of the jobs before it."""
    if isinstance(taken, int):
        return before[taken]
    if new.on_conflict is OnConflict.EXISTING:
        return receipt(taken)
    queue = await batch.own(taken)
    if queue.policy.budgets:
        new = budgets.with_queues(new, queue)
    after = lifecycle.overwrite(
        taken, new, batch.now, new.max_attempts or queue.policy.max_attempts, deadlines.expires_in_ms(new, queue)
    )
    content = Content(new.type, new.content_type, new.payload)
    noted_before = FORGOTTEN if taken.attempt else None  # how far other work had come
    batch.change(events.EDITED, queue, taken, after, content=content, progress=noted_before)
    return receipt(after)


def receipt(job: Job) -> Receipt:
    """The producer's receipt for its job."""
    return Receipt(job.id, job.queue, job.state, job.priority, job.max_attempts, job.created_at, job.ready_at)
