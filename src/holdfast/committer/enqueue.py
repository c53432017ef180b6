"""New jobs: bounds, uniqueness and idempotency, then the jobs themselves. All of a command's jobs, or none."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from holdfast.committer.batch import Batch
from holdfast.errors import (
    IdempotencyMismatch,
    InvalidRequest,
    NotUnique,
    PayloadTooLarge,
    QueueFull,
    StaleInterests,
    StorageFull,
)
from holdfast.job import lifecycle
from holdfast.job.job import NO_EXTRAS, Content, Job, NewJob, Receipt
from holdfast.job.queue import Queue
from holdfast.job.registry import takes_from
from holdfast.limits import FAN_OUT, FAN_OUT_BYTES, PRIORITY_DEFAULT
from holdfast.messages import events
from holdfast.messages.answers import Enqueued
from holdfast.messages.commands import Enqueue
from holdfast.stores.store import KeptAnswer

_RETRY_AFTER_MS = 1_000


async def prepare(batch: Batch, numbered: Sequence[tuple[int, Any]]) -> None:
    """Load in one go what these commands have to be checked against."""
    keys = [key for _, command in numbered if type(command) is Enqueue and (key := command.key) is not None]
    if keys:
        batch.kept.update(await batch.tx.kept_answers(keys))


async def enqueue(batch: Batch, command: Enqueue) -> Enqueued:
    """Put all jobs of the command, or answer again what was answered the first time."""
    key = command.key
    if key is not None:
        kept = batch.kept.get((key.scope, key.key))
        if kept is not None:
            if kept.digest != key.digest:
                raise IdempotencyMismatch(
                    f"The idempotency key {key.key!r} was used with another request.", idempotency_key=key.key
                )
            gone = [receipt.id for receipt in kept.receipts if await batch.latest(receipt.id) is None]
            return Enqueued(kept.receipts, duplicate=True, gone=gone)
    if command.interests is not None and command.interests != await batch.tx.interests_version():
        raise StaleInterests
    jobs = await _for_workers(batch, command.jobs) if command.to_workers else command.jobs
    free = await _free(batch, jobs) if command.skip_held else jobs
    receipts = await put(batch, free)
    if key is not None:
        answer = batch.kept[key.scope, key.key] = KeptAnswer(key.digest, receipts)
        batch.keeping.append((key, answer))
    return Enqueued(receipts, held=sorted({job.queue for job in jobs} - {job.queue for job in free}))


async def _free(batch: Batch, jobs: list[NewJob]) -> list[NewJob]:
    """The jobs without a unique key, or whose unique key is free."""
    return [
        job
        for job in jobs
        if job.extras.unique_key is None or await holder_of(batch, (job.queue, job.extras.unique_key)) is None
    ]


async def _for_workers(batch: Batch, jobs: list[NewJob]) -> list[NewJob]:
    """A copy of each job for every running worker on its queue; unique keys apply per worker."""
    workers = await batch.tx.workers()
    copies: list[NewJob] = []
    size = 0
    for job in jobs:
        for worker in workers.values():
            if takes_from(worker, job.queue):
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


async def put(batch: Batch, jobs: list[NewJob], ending: Job | None = None) -> list[Receipt]:
    """Enqueue these jobs; raises before anything is changed if one of them is refused.

    `ending` is the job that they follow: it ends in the same step, so its room and its unique key are theirs.
    """
    if not batch.accepting:
        raise StorageFull(
            "The disk is full, or has reached its watermark (disk_watermark_bytes): new jobs are refused.",
            retry_after_ms=10 * _RETRY_AFTER_MS,
        )
    missing: set[str] = set()
    for new in jobs:
        name = new.queue
        if name not in batch.queues and name not in missing and await batch.queue(name) is None:
            missing.add(name)
    _check_room(batch, jobs, ending)
    keyed = [(new.queue, new.extras.unique_key) for new in jobs if new.extras.unique_key is not None]
    if keyed:
        await _check_unique(batch, keyed, ending)
    for new in jobs:
        if missing and new.queue in missing:
            missing.remove(new.queue)
            await batch.queue_begun(new.queue)
        if ending is not None:
            trace = new.extras.traceparent or ending.extras.traceparent
            new.extras = replace(new.extras, follows=ending.id, traceparent=trace)
    await batch.tx.reserve(job_ids=len(jobs))
    first = batch.tx.take_job_ids(len(jobs))
    return [_put_one(batch, batch.queues[new.queue], new, first + offset) for offset, new in enumerate(jobs)]


def _put_one(batch: Batch, queue: Queue, new: NewJob, job_id: int) -> Receipt:
    priority = PRIORITY_DEFAULT if new.priority is None else new.priority
    attempts = new.max_attempts or queue.policy.max_attempts
    if new.extras is not NO_EXTRAS and new.extras == NO_EXTRAS:
        new.extras = NO_EXTRAS  # one and the same value lets everything behind pass quickly over what most jobs do without
    job = lifecycle.enqueue(new, job_id, priority, attempts, batch.now)
    if job.extras is not NO_EXTRAS and job.holds_unique_key:
        batch.unique[queue.name, job.extras.unique_key or ""] = job_id
    batch.change(events.ENQUEUED, queue, None, job, Content(new.type, new.content_type, new.payload))
    return receipt(job)


def receipt(job: Job) -> Receipt:
    """The producer's receipt for its job."""
    return Receipt(job.id, job.queue, job.state, job.priority, job.max_attempts, job.created_at, job.ready_at)


def _check_room(batch: Batch, jobs: list[NewJob], ending: Job | None) -> None:
    wanted: dict[str, tuple[int, int]] = {} if ending is None else {ending.queue: (-1, -ending.size)}
    for new in jobs:
        count, size = wanted.get(new.queue, (0, 0))
        wanted[new.queue] = (count + 1, size + len(new.payload))
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


async def _check_unique(batch: Batch, keyed: list[tuple[str, str]], ending: Job | None) -> None:
    seen: set[tuple[str, str]] = set()
    for pair in keyed:
        holder = await holder_of(batch, pair)
        if ending is not None and holder == ending.id:
            holder = None
        if holder is not None or pair in seen:
            raise NotUnique(
                f"Job {holder} holds the unique key {pair[1]!r} in queue {pair[0]}."
                if holder
                else f"The unique key {pair[1]!r} is given twice in this call.",
                queue=pair[0],
                unique_key=pair[1],
                job_id=holder,
            )
        seen.add(pair)


async def holder_of(batch: Batch, pair: tuple[str, str]) -> int | None:
    """The job that has a (queue, unique key) pair, as this batch has left it."""
    if pair in batch.unique:
        holder = batch.unique[pair]
    else:
        holder = batch.unique[pair] = (await batch.tx.unique_holders([pair])).get(pair)
    if holder is None:
        return None
    job = await batch.latest(holder)
    return holder if job is not None and job.holds_unique_key and job.extras.unique_key == pair[1] else None
