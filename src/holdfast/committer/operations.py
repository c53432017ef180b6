"""Operations: begin one, steer it, and do its next step.

A step changes some jobs and writes the cursor in one transaction, so that a crash neither repeats nor omits one. What cannot be done to a job is a
reason to skip it; what there is no room for is a reason to wait.
"""

import time
from collections.abc import Awaitable, Callable

from holdfast.auth.keys import Ability
from holdfast.auth.scope import Scope, sees
from holdfast.committer import audit, enqueue, manage
from holdfast.committer.batch import Batch
from holdfast.errors import HoldfastError, InvalidRequest, OperationNotFound, QueueFull, Unavailable
from holdfast.job import operation as rules
from holdfast.job.job import IdempotencyKey, Job, Receipt, State
from holdfast.job.operation import Do, Doing, Operation, is_searched
from holdfast.job.queue import Queue
from holdfast.limits import (
    OPERATION_STEP_BYTES,
    OPERATION_STEP_S,
    OPERATIONS_KEPT,
    OPERATIONS_KEPT_MS,
    OPERATIONS_RUNNING,
)
from holdfast.logs import structlog
from holdfast.messages import events
from holdfast.messages.audit import DONE, AuditEntry
from holdfast.messages.operations import (
    CancelOperation,
    OperationAnswer,
    PauseOperation,
    SetOperationRate,
    StartOperation,
    StepOperation,
    Stepped,
    TrimOperations,
    note_of,
)
from holdfast.stores.store import KeptAnswer

log = structlog.get_logger(__name__)
_THERE = "already_there"
_DEFECT = "internal_error"


async def start(batch: Batch, command: StartOperation) -> OperationAnswer:
    """Begin an operation, or answer again what was answered the first time. Its id is one of the jobs' numbers: all that are there now have
    smaller ones.
    """
    once = command.once
    if once is not None and (known := await _known(batch, once)) is not None:
        return OperationAnswer(known, batch.now, duplicate=True)
    if command.filter.queue is not None:
        await batch.queue_here(command.filter.queue)
    if await batch.tx.operation_count() >= OPERATIONS_RUNNING:
        raise InvalidRequest(f"There are {OPERATIONS_RUNNING} unfinished operations already; that is the limit.", field="do")
    await batch.tx.reserve(job_ids=1)
    begun = Operation(
        batch.tx.take_job_ids(1),
        command.do,
        command.filter,
        command.states,
        batch.now,
        to=command.to,
        per_s=command.per_s,
        limit=command.limit,
        scope=command.scope,
        key=command.key,
        actor=command.actor,
        total=command.total,
        at_least=command.at_least,
        next_us=batch.now * 1_000,
    )
    await _save(batch, begun)
    _tell(batch, begun, "started")
    if once is not None:
        itself = Receipt(begun.id, "", State.READY, 0, 0, batch.now, batch.now)
        answer = batch.kept[once.scope, once.key] = KeptAnswer(once.digest, [itself])
        batch.keeping.append((once, answer))
    return OperationAnswer(begun, batch.now)


async def _known(batch: Batch, once: IdempotencyKey) -> Operation | None:
    """The operation that was begun with this key, as it is now."""
    if (once.scope, once.key) not in batch.kept:
        batch.kept.update(await batch.tx.kept_answers([once]))
    answered = enqueue.kept(batch, once)
    return None if answered is None else await _here(batch, answered.receipts[0].id)


async def pause(batch: Batch, command: PauseOperation) -> OperationAnswer:
    """Stop it, or let it go on."""
    after = rules.paused(await _here(batch, command.id), command.paused, batch.now)
    return await _changed(batch, after, "paused" if command.paused else "resumed")


async def cancel(batch: Batch, command: CancelOperation) -> OperationAnswer:
    """End it where it is."""
    after = rules.cancelled(await _here(batch, command.id), batch.now)
    _tell_end(batch, after)
    return await _changed(batch, after, "")


async def set_rate(batch: Batch, command: SetOperationRate) -> OperationAnswer:
    """Give it another pace."""
    return await _changed(batch, rules.at_rate(await _here(batch, command.id), command.per_s, batch.now), "changed")


async def _here(batch: Batch, operation_id: int) -> Operation:
    found = await batch.tx.operation(operation_id)
    if found is None or not rules.is_visible(found, batch.scope):
        raise OperationNotFound(f"There is no operation {operation_id}.", operation_id=operation_id)
    return found


async def _changed(batch: Batch, operation: Operation, how: str) -> OperationAnswer:
    await _save(batch, operation)
    if how:
        _tell(batch, operation, how)
    return OperationAnswer(operation, batch.now)


async def _save(batch: Batch, operation: Operation) -> None:
    await batch.tx.save_operation(operation)
    batch.earliest = 0  # whoever runs them looks again, at once


async def step(batch: Batch, command: StepOperation) -> Stepped:
    """Do the next of its jobs, as many as its pace and the bounds of a step allow. Nothing if another node was faster, or it was stopped."""
    before = await batch.tx.operation(command.id)
    if before is None or before.state is not Doing.RUNNING or rules.is_of_another(before, command.worker, batch.now):
        return Stepped(before, batch.now)
    if await _key_ended(batch, before):
        after = rules.ended(before, Doing.CANCELLED, batch.now, rules.KEY_REVOKED)
        _tell_end(batch, after)
        await _save(batch, after)
        return Stepped(after, batch.now)
    if before.cursor != command.after:
        return Stepped(before, batch.now)
    most = rules.allowance(before, batch.now)
    if not most:
        return Stepped(before, batch.now)
    after = await _Step(batch, before, command, most).run()
    if after.ended_at is not None:
        _tell_end(batch, after)
    elif after.waits and not before.waited:
        _tell(batch, after, "waits")
    await batch.tx.save_operation(after)
    return Stepped(after, batch.now, taken=True)


async def _key_ended(batch: Batch, operation: Operation) -> bool:
    """Whether the access key of who began it was revoked, has expired, or may not manage any more."""
    if not operation.key:
        return False
    key = await batch.tx.key(operation.key)
    return (
        key is None
        or (key.expires_at is not None and key.expires_at <= batch.now)
        or not {Ability.MANAGE, Ability.ADMIN} & set(key.abilities)
        or not _within(operation.scope, Scope.of(key.queues))
    )


def _within(own: Scope | None, now: Scope | None) -> bool:
    """Whether what it reaches is still what its key reaches."""
    return now is None or (
        own is not None and all(map(now.sees, own.names)) and all(one.startswith(now.prefixes) for one in own.prefixes)
    )


class _Step:
    """One step: the jobs one after the other, until it has done enough."""

    def __init__(self, batch: Batch, operation: Operation, command: StepOperation, most: int) -> None:
        self._batch = batch
        self._operation = operation
        self._command = command
        self._most = most
        self._cursor = operation.cursor
        self._done = 0
        self._bytes = 0
        self._skipped: list[tuple[str, int]] = []
        self._loaded: dict[int, Job] = {}

    async def run(self) -> Operation:
        """The operation behind it."""
        command, now = self._command, self._batch.now
        self._batch.scope = self._operation.scope
        await self._batch.flush()
        matching = await self._matching()
        self._loaded = await self._batch.tx.jobs(command.ids)
        began = time.perf_counter()
        waits: HoldfastError | None = None
        for job_id in command.ids:
            if self._done >= self._most or self._bytes > OPERATION_STEP_BYTES or time.perf_counter() - began > OPERATION_STEP_S:
                break
            try:
                await self._one(job_id, matching)
            except (QueueFull, Unavailable) as error:
                waits = error
                break
            self._cursor = job_id
        complete = waits is None and (not command.ids or self._cursor == command.ids[-1])
        cursor = command.through if complete else self._cursor
        worker = command.worker
        after = rules.stepped(
            self._operation, now, worker, cursor, self._done, self._skipped, self._done, complete and command.last
        )
        if waits is None:
            return after
        code = rules.FOR_ROOM if isinstance(waits, QueueFull) else waits.code
        return rules.waiting(after, now, code, waits.detail)

    async def _matching(self) -> set[int] | None:
        """Those of the ids that match now by what has to be searched for; None: there is nothing of that kind."""
        wanted = self._operation.filter
        if wanted.jobs or not self._command.ids or not is_searched(wanted):
            return None
        return await self._batch.tx.matching(wanted, self._command.ids)

    async def _one(self, job_id: int, matching: set[int] | None) -> None:
        operation = self._operation
        job = self._loaded.get(job_id)
        if job is not None and not sees(operation.scope, job.queue):
            job = None
        if operation.filter.jobs and (job is None or job_id >= operation.id):  # a number that no job had when it began
            self._skipped.append(("job_not_found", job_id))
        elif (
            job is None
            or not rules.is_meant(operation, job, self._batch.now)
            or (matching is not None and job_id not in matching)
        ):
            self._skipped.append((rules.CHANGED, job_id))
        elif job.queue == operation.to:
            self._skipped.append((_THERE, job_id))
        else:
            await self._do(job)

    async def _do(self, job: Job) -> None:
        """A refusal has changed nothing: a rule decides first, and `batch.change` comes last."""
        try:
            await _DOES[self._operation.do](self._batch, await self._batch.own(job), job, self._operation)
        except (QueueFull, Unavailable):
            raise
        except HoldfastError as error:
            self._skipped.append((error.code, job.id))
        except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError):
            log.exception("an operation could not change a job, which is skipped", operation=self._operation.id, job=job.id)
            self._skipped.append((_DEFECT, job.id))
        else:
            self._done += 1
            self._bytes += job.size


async def _move(batch: Batch, queue: Queue, job: Job, operation: Operation) -> None:
    await manage.move_one(batch, queue, job, operation.to)


async def _cancel(batch: Batch, queue: Queue, job: Job, operation: Operation) -> None:
    await manage.cancel_one(batch, queue, job, f"{rules.cancelled_by(operation.id)}")


def _simple(
    one: Callable[[Batch, Queue, Job], Awaitable[object]],
) -> Callable[[Batch, Queue, Job, Operation], Awaitable[object]]:
    async def do(batch: Batch, queue: Queue, job: Job, _: Operation) -> object:
        return await one(batch, queue, job)

    return do


_DOES: dict[Do, Callable[[Batch, Queue, Job, Operation], Awaitable[object]]] = {
    Do.RETRY: _simple(manage.retry_one),
    Do.CANCEL: _cancel,
    Do.RESTORE: _simple(manage.restore_one),
    Do.PROMOTE: _simple(manage.promote_one),
    Do.DELETE: _simple(manage.delete_one),
    Do.RELEASE: _simple(manage.release_one),
    Do.MOVE: _move,
}


def _tell(batch: Batch, operation: Operation, how: str) -> None:
    batch.tell(f"{events.OPERATION}.{how}", operation.id, operation.filter.queue or "")


def _tell_end(batch: Batch, operation: Operation) -> None:
    """Its entry in the audit log, which was made at its beginning, gets its counts."""
    outcome = DONE if operation.state is Doing.DONE else operation.reason or operation.state.value
    entry = AuditEntry(
        "operation.start",
        operation.filter.queue or "",
        str(operation.id),
        note_of(operation.do, operation.filter, operation.states, operation.to, operation.per_s),
        outcome,
        done=operation.done,
        refused=operation.passed,
        actor=operation.actor,
        run=operation.run,
        at=batch.now,
    )
    audit.add(batch, entry)
    _tell(batch, operation, "finished" if operation.state is Doing.DONE else "cancelled")


async def trim(batch: Batch, command: TrimOperations) -> Stepped:
    """Remove old operations that have ended."""
    await batch.tx.forget_operations(batch.now - command.keep_ms, command.keep)
    return Stepped(None, batch.now)


TRIM = TrimOperations(OPERATIONS_KEPT_MS, OPERATIONS_KEPT)
