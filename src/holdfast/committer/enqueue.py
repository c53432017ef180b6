"""New jobs: bounds, uniqueness and idempotency, then the jobs themselves. All of a command's jobs, or none."""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from holdfast.committer import budgets, deadlines, fair, joining, unique
from holdfast.committer.batch import Batch
from holdfast.errors import (
    IdempotencyMismatch,
    InvalidRequest,
    PayloadTooLarge,
    QueueFull,
    StaleInterests,
    StorageFull,
)
from holdfast.job import lifecycle
from holdfast.job.job import NO_EXTRAS, Content, Extras, IdempotencyKey, Job, NewJob, OnConflict, Receipt
from holdfast.job.meta import inherited
from holdfast.job.queue import Queue
from holdfast.job.registry import takes_from
from holdfast.limits import FAN_OUT, FAN_OUT_BYTES, PRIORITY_DEFAULT
from holdfast.messages import events
from holdfast.messages.answers import Enqueued
from holdfast.messages.commands import Enqueue
from holdfast.messages.job_batches import MakeJobBatch
from holdfast.stores.store import KeptAnswer

_RETRY_AFTER_MS = 1_000


async def prepare(batch: Batch, numbered: Sequence[tuple[int, Any]]) -> None:
    """Load in one go what these commands have to be checked against."""
    keys = [
        key
        for _, command in numbered
        if (type(command) is Enqueue or type(command) is MakeJobBatch) and (key := command.key) is not None
    ]
    if keys:
        batch.kept.update(await batch.tx.kept_answers(keys))


async def enqueue(batch: Batch, command: Enqueue) -> Enqueued:
    """Put all jobs of the command, or answer again what was answered the first time."""
    key = command.key
    if key is not None and (answered := kept(batch, key)) is not None:
        gone = [receipt.id for receipt in answered.receipts if await batch.latest(receipt.id) is None]
        return Enqueued(answered.receipts, duplicate=True, gone=gone)
    if command.interests is not None and command.interests != await batch.tx.interests_version():
        raise StaleInterests
    jobs = await _for_workers(batch, command.jobs) if command.to_workers else command.jobs
    free = await _free(batch, jobs) if command.skip_held else jobs
    existing: list[int] = []
    member = None if command.member is None else await joining.member_by(batch, command.member, free)
    receipts = await put(batch, free, existing=existing, member=member)
    if key is not None:
        answer = batch.kept[key.scope, key.key] = KeptAnswer(key.digest, receipts)
        batch.keeping.append((key, answer))
    return Enqueued(receipts, held=sorted({job.queue for job in jobs} - {job.queue for job in free}), existing=existing)


def kept(batch: Batch, key: IdempotencyKey) -> KeptAnswer | None:
    """What was answered to this key before; raises `IdempotencyMismatch` if that was to another request."""
    found = batch.kept.get((key.scope, key.key))
    if found is not None and found.digest != key.digest:
        raise IdempotencyMismatch(f"The idempotency key {key.key!r} was used with another request.", idempotency_key=key.key)
    return found


async def _free(batch: Batch, jobs: list[NewJob]) -> list[NewJob]:
    """The jobs without a unique key, or whose unique key is free."""
    return [
        job
        for job in jobs
        if job.extras.unique_key is None or await unique.holder_of(batch, (job.queue, job.extras.unique_key)) is None
    ]


async def _for_workers(batch: Batch, jobs: list[NewJob]) -> list[NewJob]:
    """A copy of each job for every running worker on its queue; unique keys apply per worker."""
    workers = await batch.tx.workers()
    copies: list[NewJob] = []
    size = 0
    for job in jobs:
        for worker in workers.values():
            if takes_from(worker, job.queue, job.type):
                key = f"{job.extras.unique_key}@{worker.id}" if job.extras.unique_key is not None else None
                if len(copies) >= FAN_OUT:
                    raise InvalidRequest(f"More than {FAN_OUT} copies would be enqueued; that is the limit.", field="scope")
                size += len(job.payload)
                if copies and size > FAN_OUT_BYTES:
                    raise InvalidRequest(
                        f"More than {FAN_OUT_BYTES} bytes would be enqueued, all copies together; that is the limit.",
                        field="scope",
                    )
                copies.append(replace(job, extras=replace(job.extras, worker=worker.id, unique_key=key)))
    return copies


async def put(
    batch: Batch,
    jobs: list[NewJob],
    ending: Job | None = None,
    existing: list[int] | None = None,
    member: Job | None = None,
    joined: bool = False,
    is_late: bool = False,
    ids: Sequence[int] | None = None,
) -> list[Receipt]:
    """Enqueue these jobs; raises before anything is changed if one of them is refused.

    `ending` is the job that they follow: it ends in the same step, so its room and its unique key are theirs. `existing` takes the places
    of those that are not new jobs: another that has their unique key stands there. `member`: a running job that adds to its own batch.
    `joined`: the batches that they name have them already. `is_late`: their deadlines were given long ago and may have passed.
    `ids`: one for each, where they were given before.
    """
    if not batch.accepting:
        raise StorageFull(
            "The disk is full, or has reached its watermark (disk_watermark_bytes): new jobs are refused.",
            retry_after_ms=10 * _RETRY_AFTER_MS,
        )
    for new in jobs:
        if new.expires_in_ms is not None or new.extras.expires_at is not None:
            await deadlines.check(batch, new, is_late or ending is not None)
    missing = await _missing(batch, jobs)
    instead: dict[int, Job | int] = {}
    unlike = [new.extras for new in jobs if new.extras is not NO_EXTRAS]
    if unlike:
        instead = await _admit(batch, jobs, unlike, ending, member, joined)
    _check_room(batch, jobs, ending, instead)
    if batch.shares is not None:
        await fair.check(batch, jobs)
    for new in jobs:
        if missing and new.queue in missing:
            missing.remove(new.queue)
            await batch.queue_begun(new.queue)
        if ending is not None:
            new.extras = replace(new.extras, follows=ending.id, meta=inherited(new.extras.meta, ending.extras.meta))
    count = len(jobs) - len(instead)
    await batch.tx.reserve(job_ids=0 if ids else count)
    numbers = ids or _from(batch.tx.take_job_ids(count), count)
    if instead:
        return await _put_some(batch, jobs, iter(numbers), instead, [] if existing is None else existing)
    return [_put_one(batch, batch.queues[new.queue], new, number) for new, number in zip(jobs, numbers, strict=True)]


def _from(first: int, count: int) -> range:
    return range(first, first + count)


async def _admit(
    batch: Batch, jobs: list[NewJob], unlike: list[Extras], ending: Job | None, member: Job | None, joined: bool
) -> dict[int, Job | int]:
    """Check what some of these jobs have, and most have not; what stands in the place of which."""
    paying = one_of_a_kind = joins = shares = False
    for extras in unlike:
        if extras.budgets:
            paying = True
        if extras.unique_key is not None:
            one_of_a_kind = True
        if extras.batch is not None:
            joins = True
        if extras.fair_key is not None or extras.fair_cost != 1:
            shares = True
    if shares and not batch.newest_only:
        await fair.demand(batch, jobs)
    if paying:
        await budgets.check(batch, jobs)
    instead = await unique.resolve(batch, jobs, ending) if one_of_a_kind else {}
    if joins and not joined:
        await joining.admit(batch, jobs, ending or member)
    return instead


async def _put_some(
    batch: Batch, jobs: list[NewJob], ids: Iterator[int], instead: dict[int, Job | int], existing: list[int]
) -> list[Receipt]:
    """Enqueue those of the jobs in whose place nothing stands."""
    receipts: list[Receipt] = []
    for place, new in enumerate(jobs):
        if place in instead:
            receipts.append(await unique.give_way(batch, new, instead[place], receipts))
            existing.append(place)
        else:
            receipts.append(_put_one(batch, batch.queues[new.queue], new, next(ids)))
    return receipts


async def _missing(batch: Batch, jobs: list[NewJob]) -> set[str]:
    """Of the queues that these jobs are for, those that do not exist."""
    missing: set[str] = set()
    for new in jobs:
        name = new.queue
        if name not in batch.queues and name not in missing and await batch.queue(name) is None:
            missing.add(name)
    return missing


def _put_one(batch: Batch, queue: Queue, new: NewJob, job_id: int) -> Receipt:
    priority = PRIORITY_DEFAULT if new.priority is None else new.priority
    if queue.policy.budgets:
        new = budgets.with_queues(new, queue)
    attempts = new.max_attempts or queue.policy.max_attempts
    if new.extras is not NO_EXTRAS and new.extras == NO_EXTRAS:
        new.extras = NO_EXTRAS  # one and the same value lets everything behind pass quickly over what most jobs do without
    job = lifecycle.enqueue(new, job_id, priority, attempts, batch.now, deadlines.expires_in_ms(new, queue))
    if job.extras is not NO_EXTRAS and job.holds_unique_key:
        batch.unique[queue.name, job.extras.unique_key or ""] = job_id
    batch.change(events.ENQUEUED, queue, None, job, Content(new.type, new.content_type, new.payload))
    return unique.receipt(job)


async def check_room(batch: Batch, jobs: list[NewJob], ending: Job) -> None:
    """Raise `QueueFull` if there is no room for these jobs even once that one has ended."""
    await _missing(batch, jobs)
    _check_room(batch, jobs, ending, {})


async def check_could_fit(batch: Batch, new: NewJob) -> None:
    """Raise `PayloadTooLarge` if there will never be room for this job in its queue as it is set."""
    _check_could_fit(await batch.queue(new.queue) or batch.queue_imagined(new.queue), [new])


def _check_room(batch: Batch, jobs: list[NewJob], ending: Job | None, instead: dict[int, Job | int]) -> None:
    wanted: dict[str, tuple[int, int]] = {} if ending is None else {ending.queue: (-1, -ending.size)}
    for place, new in enumerate(jobs):
        count, size = wanted.get(new.queue, (0, 0))
        taken = instead.get(place) if instead else None
        if taken is None:
            wanted[new.queue] = (count + 1, size + len(new.payload))
        elif isinstance(taken, Job) and new.on_conflict is not OnConflict.EXISTING:
            wanted[new.queue] = (count, size + len(new.payload) - taken.size)
    for name, (count, size) in wanted.items():
        queue = batch.queues.get(name) or batch.queue_imagined(name)
        if not queue.has_room(count, size):
            _check_could_fit(queue, jobs)
            raise QueueFull(
                f"The queue {name} is full: {queue.tally.unfinished} of {queue.policy.capacity_jobs} jobs, "
                f"{queue.tally.bytes} of {queue.policy.capacity_bytes} bytes.",
                queue=name,
                capacity_jobs=queue.policy.capacity_jobs,
                capacity_bytes=queue.policy.capacity_bytes,
                jobs=queue.tally.unfinished,
                bytes=queue.tally.bytes,
                retry_after_ms=_RETRY_AFTER_MS,
            )


def _check_could_fit(queue: Queue, jobs: list[NewJob]) -> None:
    """A payload larger than its whole queue gets no `Retry-After`. A capacity of 0 closes a queue, and may be raised."""
    bound = queue.policy.capacity_bytes
    for new in jobs:
        if new.queue == queue.name and len(new.payload) > bound > 0:
            raise PayloadTooLarge(
                f"A payload of {len(new.payload)} bytes never fits into queue {queue.name}, whose capacity is {bound} bytes.",
                field="payload",
                queue=queue.name,
                limit_bytes=bound,
            )
