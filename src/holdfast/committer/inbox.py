"""Taking in what applications enqueued in transactions of their own: each job by the rules of every other way in, and out of the inbox in the same
transaction, so that it is done exactly once.

Whoever enqueued it has gone on, so a refusal is no answer to anybody: the job is dead, with the reason among its errors, in the queue that it was
meant for. What can't be decided just now (a full disk, a queue that another program holds) stays in the inbox.
"""

from msgspec.structs import replace

from holdfast.committer import budgets, enqueue
from holdfast.committer.batch import Batch
from holdfast.errors import HoldfastError, InvalidRequest, Unavailable, UpgradeUnfinished
from holdfast.job import lifecycle
from holdfast.job.job import NO_EXTRAS, Content, JobError, NewJob, OnConflict
from holdfast.job.queue import Queue
from holdfast.limits import PRIORITY_DEFAULT, QUEUE_NAME
from holdfast.messages import events
from holdfast.messages.inbox import REFUSED_QUEUE, Arrival, TakeIn, TakenIn
from holdfast.stores.store import KeptAnswer

_LATER = (Unavailable, UpgradeUnfinished)


async def take_in(batch: Batch, command: TakeIn) -> TakenIn:
    """Enqueue, or bury, every job that is still in the inbox."""
    here = await batch.tx.lock_inbox([one.job for one in command.arrivals])
    arrivals = [one for one in command.arrivals if one.job in here]
    counts = {"enqueued": 0, "existing": 0, "duplicate": 0, "refused": 0, "left": 0}
    if keys := [one.key for one in arrivals if one.key is not None and (one.key.scope, one.key.key) not in batch.kept]:
        batch.kept.update(await batch.tx.kept_answers(keys))
    await _look_up_unique_keys(batch, arrivals)
    decided = []
    for one in arrivals:
        try:
            outcome = await _take_in(batch, one, is_new=here[one.job])
        except _LATER:
            outcome = "left"
        else:
            decided.append(one.job)
        counts[outcome] += 1
    if decided:
        await batch.tx.remove_from_inbox(decided)
    return TakenIn(**counts, gone=len(command.arrivals) - len(arrivals))


async def _look_up_unique_keys(batch: Batch, arrivals: list[Arrival]) -> None:
    """All in one go: each by itself would be a question of its own."""
    pairs = {(one.new.queue, key) for one in arrivals if (key := one.new.extras.unique_key) is not None}
    if len(pairs) > 1 and (unknown := [pair for pair in sorted(pairs) if pair not in batch.unique]):
        batch.unique.update(dict.fromkeys(unknown) | await batch.tx.unique_holders(unknown))


async def _take_in(batch: Batch, arrival: Arrival, is_new: bool) -> str:
    """Returns what became of it; raises one of `_LATER`. `is_new`: its id is not that of a job already, which only a row made by hand may have."""
    if arrival.refused is not None:
        return await _bury(batch, arrival, is_new, *arrival.refused)
    key, existing = arrival.key, list[int]()
    try:
        if key is not None and enqueue.kept(batch, key) is not None:
            return "duplicate"
        ids = [arrival.job] if is_new else None
        receipts = await enqueue.put(batch, [arrival.new], existing=existing, is_late=True, ids=ids)
    except _LATER:
        raise
    except HoldfastError as error:
        return await _bury(batch, arrival, is_new, error.code, error.detail)
    if key is not None:
        answer = batch.kept[key.scope, key.key] = KeptAnswer(key.digest, receipts)
        batch.keeping.append((key, answer))
    return "existing" if existing else "enqueued"


async def _bury(batch: Batch, arrival: Arrival, is_new: bool, code: str, detail: str) -> str:
    """Keep a refused job as a dead one: an operator may put right what was wrong, and retry it."""
    queue, number = await _place(batch, arrival.new.queue), arrival.job
    if not is_new:
        await batch.tx.reserve(job_ids=1)
        number = batch.tx.take_job_ids(1)
    new = _alone(arrival.new, queue)
    if queue.policy.budgets:  # it pays what its queue's settings say, should it be retried
        new = budgets.with_queues(new, queue)
    priority = PRIORITY_DEFAULT if new.priority is None else new.priority
    job = lifecycle.refuse(new, number, priority, new.max_attempts or queue.policy.max_attempts, batch.now)
    error = JobError(0, batch.now, "", "failed", f"{code}: {detail}")
    batch.change(events.REFUSED, queue, None, job, Content(new.type, new.content_type, new.payload), error=error)
    return "refused"


async def _place(batch: Batch, wanted: str) -> Queue:
    """The queue that it was meant for; another if there can't be one of this name."""
    if QUEUE_NAME.match(wanted) is not None:
        try:
            return await batch.queue_made(wanted)
        except InvalidRequest:  # there are as many queues as there may be
            pass
    try:
        return await batch.queue_made(REFUSED_QUEUE)
    except InvalidRequest as error:
        raise Unavailable(error.detail) from error


def _alone(new: NewJob, queue: Queue) -> NewJob:
    """The same for this queue, in no batch: it is no member of one that did not take it."""
    extras = new.extras if new.extras.batch is None else replace(new.extras, batch=None)
    return replace(
        new,
        queue=queue.name,
        extras=NO_EXTRAS if extras == NO_EXTRAS else extras,
        on_conflict=OnConflict.REFUSE,
        debounce_max_ms=None,
        expires_in_ms=None,
    )
