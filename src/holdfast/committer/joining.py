"""Which jobs may join which batch, and the batches of jobs as one transaction has left them."""

from collections.abc import Iterable, Sequence

from holdfast.committer.batch import Batch
from holdfast.committer.members import COUNTS
from holdfast.errors import BatchClosed, BatchNotFound, InvalidRequest, LeaseLost
from holdfast.job import job_batch as rules
from holdfast.job.job import Job, LeaseRef, NewJob
from holdfast.job.job_batch import JobBatch
from holdfast.limits import JOB_BATCH_MEMBERS


async def load(batch: Batch, ids: Iterable[int]) -> None:
    """Read these batches, and have nobody else change them until the commit."""
    loaded = batch.members_here().loaded
    missing = [one for one in ids if one not in loaded]
    if missing:
        found = await batch.tx.job_batches(sorted(set(missing)) if len(missing) > 1 else missing)
        for one in missing:
            loaded[one] = found.get(one)


async def current(batch: Batch, number: int) -> JobBatch | None:
    """A batch as this transaction has left it."""
    members = batch.members_here()
    if number not in members.loaded:
        await load(batch, (number,))
    return members.brought_up(number, batch.now)


async def here(batch: Batch, number: int) -> JobBatch:
    """The same, or `BatchNotFound` if it is not there or its caller may not see it."""
    found = await current(batch, number)
    if found is None or not rules.is_seen(found, batch.scope):
        raise not_found(number)
    return found


def not_found(number: int) -> BatchNotFound:
    """The refusal for a batch that is not there, or not to be seen."""
    return BatchNotFound(f"There is no batch {number}.", batch=number)


async def admit(batch: Batch, jobs: Sequence[NewJob], member: Job | None) -> None:
    """Refuse jobs for batches that are not there or that take no more. `member` is a running job that may add to its own."""
    joining: dict[int, int] = {}
    for new in jobs:
        if (number := new.extras.batch) is not None:
            joining[number] = joining.get(number, 0) + 1
    if not joining:
        return
    if not batch.newest_only:
        await batch.demand_newest_only("batch")
    members = batch.members_here()
    if not joining.keys() <= members.loaded.keys():
        await load(batch, joining)
    for number, count in joining.items():
        _may_join(batch, number, count, member is not None and member.extras.batch == number)


def _may_join(batch: Batch, number: int, count: int, is_own: bool) -> None:
    """Raise if a loaded batch does not take so many more jobs. `is_own`: one of its running jobs adds them."""
    members = batch.members_here()
    found = members.loaded[number]
    if found is None and is_own:
        return
    if found is None or not (is_own or rules.is_seen(found, batch.scope)):
        raise not_found(number)
    if found.closed and not is_own:
        raise BatchClosed(
            f"Batch {number} is closed: only its running jobs may still add to it, in their `then` or with their lease.",
            batch=number,
        )
    total = found.total + sum(members.not_counted(number)[:COUNTS])
    if total + count > JOB_BATCH_MEMBERS:
        raise InvalidRequest(f"Batch {number} has {total} jobs; at most {JOB_BATCH_MEMBERS} are taken.", field="batch")


async def member_by(batch: Batch, ref: LeaseRef, jobs: Sequence[NewJob]) -> Job:
    """The running job whose lease a producer shows, in order to add to its batch; raises `LeaseLost`. Batches are read first: then its lease
    can't be ended by another node before this is committed.
    """
    await load(batch, {new.extras.batch for new in jobs if new.extras.batch is not None})
    job = await batch.latest(ref.job)
    if job is None or not job.is_held_by(ref) or job.lease is None or job.lease.until <= batch.now:
        raise LeaseLost(
            f"The lease on job {ref.job}, attempt {ref.attempt}, is not held any more.", job_id=ref.job, attempt=ref.attempt
        )
    return job
