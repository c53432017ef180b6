"""What `holdfast import` does with the lines of an export: each is checked, and some hundred are one transaction.

A job keeps its id, so that one which is there already is recognized and passed over: a file may be imported again after a break. Its lease can't
come along, so it is released, as if no server had run when the lease ended. Places in groups are given out anew.
"""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import msgspec
from msgspec import UNSET

from holdfast.cli import imported_batches
from holdfast.committer import budgets, fair, job_batches
from holdfast.committer.batch import Batch
from holdfast.engine import checks
from holdfast.errors import HoldfastError, InvalidRequest, breach
from holdfast.job import lifecycle
from holdfast.job import schedule as schedules
from holdfast.job.budget import Budget, without_charges
from holdfast.job.job import IdempotencyKey, Job, NewJob
from holdfast.job.queue import Queue
from holdfast.job.schedule import Schedule
from holdfast.limits import (
    BUDGET_BLOCK_MS_MAX,
    BUDGETS,
    CRON_CHARS,
    EXPORT_PAGE_BYTES,
    EXPORT_PAGE_JOBS,
    FAIR_KEY_CHARS,
    FAIR_WEIGHT_MAX,
    FAN_OUT,
    IMPORT_LINE_BYTES,
    PAYLOAD_BYTES_MAX,
    PROGRESS_BYTES,
    REASON_CHARS,
    REQUEST_ID_CHARS,
    SCHEDULES,
    TIMEZONE_CHARS,
    WORKER_CHARS,
)
from holdfast.messages import events
from holdfast.routing import interests
from holdfast.stores import exported
from holdfast.stores.exported import FORMAT, AnswerLine, BatchLine, BudgetLine, End, Head, QueueLine, ScheduleLine, Whole
from holdfast.stores.formats import UNREADABLE, receipts_of
from holdfast.stores.store import KeptAnswer, Prefetch, Store, Transaction, TryAgain

_TRIES = 3
Item = Head | QueueLine | BudgetLine | ScheduleLine | BatchLine | AnswerLine | Whole | End


class CantImport(Exception):
    """A line that can't be taken, by its number, and why. All before it is imported."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why.rstrip('.')}.")


class Imported(msgspec.Struct):
    """How far it is: jobs that are in, and those that were there before; `ended` is whether the export is whole."""

    line: int = 0
    jobs: int = 0
    known: int = 0
    ended: bool = False


def items(file: BinaryIO) -> Iterator[tuple[int, int, Item]]:
    """What the lines say, by their numbers and with their lengths; raises `CantImport`."""
    number, begun = 0, False
    while text := file.readline(IMPORT_LINE_BYTES + 1):
        number += 1
        if len(text) > IMPORT_LINE_BYTES:
            raise CantImport(number, f"it is longer than {IMPORT_LINE_BYTES} bytes")
        if not text.strip():
            continue
        item = _item(number, text)
        if not begun and not isinstance(item, Head):
            raise CantImport(number, f'an export begins with a line {{"export": {{"format": "{FORMAT}", …}}}}')
        begun = True
        yield number, len(text), item
    if not begun:
        raise CantImport(1, "there is nothing")


def _item(number: int, text: bytes) -> Item:
    try:
        line = exported.read(text)
        if line.job is not None:
            whole = exported.job_of(line.job)
            _check(whole)
            return whole
    except msgspec.DecodeError as error:
        if not text.endswith(b"\n"):
            raise CantImport(number, "it is not complete: the export was cut off here") from None
        raise CantImport(number, f"it can't be read: {error}") from None
    except HoldfastError as error:
        raise CantImport(number, error.detail) from None
    except UNREADABLE as error:
        raise CantImport(number, f"it can't be read: {error}") from None
    if line.head is not None and line.head.format != FORMAT:
        raise CantImport(number, f"its format is {line.head.format[:80]!r}, and this version of Holdfast reads {FORMAT}")
    found = line.head or line.queue or line.budget or line.schedule or line.batch or line.answer or line.end
    assert found is not None, "a line says something"
    return found


def _check(whole: Whole) -> None:
    """The bounds of what a producer and a worker set, and that JSON is JSON."""
    job, content = whole.job, whole.content
    extras = job.extras
    if extras.queue_budgets:
        checks.charges(extras.queue_budgets, "job.queue_budgets")
        extras = msgspec.structs.replace(extras, budgets=without_charges(extras.budgets, extras.queue_budgets))
    new = NewJob(
        job.queue, content.payload, content.type, content.content_type, job.priority, None, None, job.max_attempts, extras
    )
    checks.new_job(new, PAYLOAD_BYTES_MAX, "job.")
    checks.text("job.worker", job.extras.worker, WORKER_CHARS)
    checks.text("job.reason", job.reason, REASON_CHARS)
    lease = job.lease or job.ended_by
    checks.text("job.lease.worker", lease.worker if lease is not None else None, WORKER_CHARS)
    checks.payload("job.result", len(whole.result or b""), PAYLOAD_BYTES_MAX)
    checks.payload("job.progress", len(whole.progress or b""), PROGRESS_BYTES)
    attempts = [error.attempt for error in whole.errors]
    if len(set(attempts)) < len(attempts):
        raise breach("job.errors", "must have one entry for an attempt at most")
    for place, error in enumerate(whole.errors):
        if error.kind not in ("failed", "crashed"):
            raise breach(f"job.errors[{place}].kind", "must be failed or crashed")
        checks.text(f"job.errors[{place}].worker", error.worker, WORKER_CHARS)
        checks.text(f"job.errors[{place}].reason", error.reason, REASON_CHARS)
    for field, value in (
        ("payload", None if content.content_type else content.payload),
        ("result", whole.result),
        ("progress", whole.progress),
    ):
        if (
            value is not None
            and (fault := msgspec.structs.replace(content, content_type=None, payload=value).fault()) is not None
        ):
            raise InvalidRequest(f"job.{field} is not JSON: {fault}", field=f"job.{field}")


_NEWER_EXTRAS = ("expires_at", "batch", "closes", "budgets", "queue_budgets", "fair_key", "fair_cost")


class Importer:
    """Takes items, and writes them some hundred at a time."""

    def __init__(self, store: Store, now: int) -> None:
        self._store = store
        self._now = now
        self._waiting: list[tuple[int, Item]] = []
        self._bytes = 0
        self.done = Imported()

    async def take(self, number: int, size: int, item: Item) -> bool:
        """Take one, of a line of so many bytes; whether something was written. Raises `CantImport`."""
        if isinstance(item, BatchLine) and item.late and any(isinstance(one, Whole) for _, one in self._waiting):
            await self.finish()  # the members that it counts
        self._waiting.append((number, item))
        self._bytes += size
        if len(self._waiting) < EXPORT_PAGE_JOBS and self._bytes < EXPORT_PAGE_BYTES:
            return False
        await self.finish()
        return True

    async def finish(self) -> None:
        """Write what waits. Of what contains a line that can't be taken, all before that line is."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        try:
            await self._write(waiting)
        except _Refused as refused:
            await self._write(waiting[: refused.place])
            raise CantImport(waiting[refused.place][0], refused.why) from None

    async def end(self) -> None:
        """Write what waits. If that is all, what is due by it is owed."""
        await self.finish()
        if self.done.ended:
            await imported_batches.settle(self._store, self._now)

    async def _write(self, waiting: list[tuple[int, Item]]) -> None:
        for tried in range(_TRIES):
            try:
                jobs, known, ended = await self._written([item for _, item in waiting])
                break
            except TryAgain:
                if tried == _TRIES - 1:
                    raise
        if waiting:
            self.done.line, self.done.ended = waiting[-1][0], ended
            self.done.jobs += jobs
            self.done.known += known

    async def _written(self, waiting: list[Item]) -> tuple[int, int, bool]:
        whole = [item for item in waiting if isinstance(item, Whole)]
        names = {item.job.queue for item in whole} | {item.name for item in waiting if isinstance(item, QueueLine)}
        expected = Prefetch(self._now, names, jobs=[item.job.id for item in whole], open_ended=True)
        jobs = known = 0
        ended = self.done.ended
        async with self._store.transaction(expected) as tx:
            batch = Batch(tx, self._now)
            for place, item in enumerate(waiting):
                ended = isinstance(item, End)
                try:
                    if not isinstance(item, Whole):
                        await _take(batch, item)
                    elif await _put(batch, item):
                        jobs += 1
                    else:
                        known += 1
                except HoldfastError as error:
                    if not isinstance(error, InvalidRequest):
                        raise
                    raise _Refused(place, error.detail) from None
            await imported_batches.count(batch)
            await budgets.settle(batch)
            await batch.finish()
            await tx.commit()
        return jobs, known, ended


class _Refused(Exception):
    def __init__(self, place: int, why: str) -> None:
        super().__init__(why)
        self.place, self.why = place, why


async def _take(batch: Batch, item: Head | QueueLine | BudgetLine | ScheduleLine | BatchLine | AnswerLine | End) -> None:
    if isinstance(item, Head | End):
        await batch.tx.continue_from(item.last_job, item.last_fence)
    elif isinstance(item, QueueLine):
        await _take_queue(batch, item)
    elif isinstance(item, BudgetLine):
        await _take_budget(batch, item)
    elif isinstance(item, ScheduleLine):
        await _take_schedule(batch, item)
    elif isinstance(item, BatchLine):
        await imported_batches.take(batch, item)
    else:
        await _take_answer(batch.tx, item)


async def _demand_newest(batch: Batch, given: object, names: Sequence[str], at: str) -> None:
    """Raise `UpgradeUnfinished` for a field that nodes of the release before, which may still serve the store, could not read."""
    for name in names:
        value = getattr(given, name)
        if value not in (None, UNSET, ()) and (name, value) != ("fair_cost", 1):
            await batch.demand_newest_only(at + name)


async def _take_queue(batch: Batch, line: QueueLine) -> None:
    checks.queue_name("queue.name", line.name)
    checks.settings(line.settings)
    if line.paused_types:
        checks.types("queue.paused_types", line.paused_types)
        await batch.demand_newest_only("types")
    await _demand_newest(batch, line.settings, ("expires_in_ms", "budgets", "fair"), "queue.settings.")
    queue = await batch.queue(line.name)
    if queue is None:
        queue = batch.queues[line.name] = await batch.tx.create_queue(line.name, line.created_at)
    queue.settings, queue.policy = line.settings, batch.tx.policy(line.settings)
    queue.paused, queue.paused_until, queue.unreadable = line.paused, line.paused_until, None
    queue.paused_types = line.paused_types
    if queue.policy.fair or queue.sharing is not None:
        await fair.switch(batch, queue)
    await _take_weights(batch, queue, line.fair_weights)
    batch.touched.add(line.name)
    if line.interest is not None:
        interests.check_kept(line.interest)
        await batch.set_interest(queue, line.interest)


async def _take_weights(batch: Batch, queue: Queue, weights: dict[str, int]) -> None:
    if weights:
        await batch.demand_newest_only("fair")
    for key, weight in weights.items():
        checks.text("queue.fair_weights", key, FAIR_KEY_CHARS)
        checks.number("queue.fair_weights", weight, 1, FAIR_WEIGHT_MAX)
        await fair.set_weight(batch, queue, key, weight)


async def _take_budget(batch: Batch, line: BudgetLine) -> None:
    checks.budget(line.name, line.limit, line.per_ms, line.burst)
    await batch.demand_newest_only("budgets")
    accounts = budgets.accounts_of(batch)
    await accounts.load_budgets([line.name])
    if line.name not in accounts.budgets and await batch.tx.budget_count() >= BUDGETS:
        raise InvalidRequest(f"there are {BUDGETS} budgets already; that is the most")
    until = min(line.blocked_until, batch.now + BUDGET_BLOCK_MS_MAX)
    budget = Budget(line.name, line.limit, line.per_ms, line.burst or line.limit, until, line.created_at, batch.now)
    accounts.set_budget(line.name, budget)
    await batch.tx.save_budget(budget)


async def _take_schedule(batch: Batch, line: ScheduleLine) -> None:
    tx = batch.tx
    checks.schedule_name(line.name)
    try:
        schedule = exported.schedule_of(line)
    except UNREADABLE as error:
        raise InvalidRequest(f"the schedule {line.name} can't be read: {error}") from None
    _check_schedule(schedule)
    await _demand_newest(batch, schedule.spec.job, ("expires_in_ms",), "schedule.job.")
    await _demand_newest(batch, schedule.spec.job.extras, _NEWER_EXTRAS, "schedule.job.")
    if await tx.schedule(line.name) is None and await tx.schedule_count() >= SCHEDULES:
        raise InvalidRequest(f"there are {SCHEDULES} schedules already; that is the most")
    await tx.save_schedule(schedule)


def _check_schedule(schedule: Schedule) -> None:
    """The bounds of one that was accepted. Whether it can fire is not asked: one that can't on this machine is set aside when its time comes."""
    spec = schedule.spec
    checks.text("schedule.cron", spec.cron, CRON_CHARS)
    checks.text("schedule.timezone", spec.timezone, TIMEZONE_CHARS)
    checks.text("schedule.last_error", schedule.last_error, REASON_CHARS)
    checks.new_job(
        spec.job if not spec.publish else msgspec.structs.replace(spec.job, queue="-"), PAYLOAD_BYTES_MAX, "schedule.job."
    )
    checks.text("schedule.job.worker", spec.job.extras.worker, WORKER_CHARS)
    fault = schedules.fault(schedule)
    if fault is not None:
        raise InvalidRequest(f"the schedule {schedule.name} can't be taken: {fault}")


async def _take_answer(tx: Transaction, line: AnswerLine) -> None:
    if line.scope:
        checks.queue_name("answer.scope", line.scope)
    checks.printable("answer.key", line.key, REQUEST_ID_CHARS)
    try:
        receipts = receipts_of(bytes(line.receipts), FAN_OUT)
    except UNREADABLE as error:
        raise InvalidRequest(f"the answer to the idempotency key {line.key} can't be read: {error}") from None
    key = IdempotencyKey(line.scope, line.key, line.digest)
    if not await tx.kept_answers([key]):
        await tx.keep_answers([(key, KeptAnswer(line.digest, receipts))], line.at)


async def _put(batch: Batch, whole: Whole) -> bool:
    """Whether the job was not there yet."""
    job = whole.job
    there = await batch.latest(job.id)
    if there is not None:
        if (there.created_at, there.queue, there.size) != (job.created_at, job.queue, job.size):
            raise InvalidRequest(
                f"job {job.id} is there already, and is another one: of queue {there.queue}. An import goes into a store of its own"
            )
        return False
    await _demand_newest(batch, job.extras, _NEWER_EXTRAS, "job.extras.")
    queue = await batch.queue(job.queue)
    if queue is None:
        queue = batch.queues[job.queue] = await batch.tx.create_queue(job.queue, job.created_at)
    if job.lease is not None:
        job = _without_lease(job, batch.now)
    if job.holds_unique_key and job.extras.unique_key is not None:
        await _demand_unique(batch, job, job.extras.unique_key)
    await batch.tx.continue_from(job.id, 0)
    batch.change(
        events.ENQUEUED,
        queue,
        None,
        job,
        content=whole.content,
        result=whole.result,
        progress=whole.progress,
        then=whole.then or None,
    )
    batch.changes[job.id].errors = whole.errors
    if (closes := job.extras.closes) is not None:
        await job_batches.was_put(batch, closes.batch, closes.on, job.id)
    return True


def _without_lease(job: Job, now: int) -> Job:
    assert job.lease is not None, "only such a job comes here"
    over = msgspec.structs.replace(job.lease, until=min(job.lease.until, now))
    return lifecycle.lapse(msgspec.structs.replace(job, lease=over), now)


async def _demand_unique(batch: Batch, job: Job, key: str) -> None:
    known = (job.queue, key)
    holder = batch.unique.get(known) or (await batch.tx.unique_holders([known])).get(known)
    if holder is not None:
        raise InvalidRequest(
            f"job {job.id} has the unique key {key!r} of job {holder}. An export of a store in use is not one moment; export a backup of it"
        )
    batch.unique[known] = job.id
