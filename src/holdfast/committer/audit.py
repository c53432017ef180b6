"""The audit log: which managing verb was called by whom, for which queue or job, from where, with which outcome.

    managing verb ─▶ decided, or refused ─▶ entry in the batch ─▶ rows, entries, commit ─▶ a line in the log

An entry is written in the transaction of its change, so there is never one without the other. If a verb takes several
transactions, it has one entry, and each transaction adds to its counts. Refusals change nothing and are cheap for callers, so
only some of them are stored each second; the others are counted, and the count is an entry.
"""

import hashlib
import time

from msgspec.structs import replace

from holdfast.auth.actor import Actor
from holdfast.committer.batch import Batch
from holdfast.errors import HoldfastError, StaleInterests
from holdfast.limits import AUDIT_BYTES, AUDIT_CHARS, AUDIT_NAME_CHARS, AUDIT_REFUSALS, AUDIT_REFUSALS_PER_S, AUDIT_ROWS
from holdfast.logs import structlog
from holdfast.messages.answers import Counted, Enqueued
from holdfast.messages.audit import DONE, GOING_ON, AuditEntry, Deed, Managed, RecordAudit, TrimAudit
from holdfast.messages.commands import PurgeQueue
from holdfast.messages.frame import Answer, Refused
from holdfast.messages.job_batches import CancelJobBatch
from holdfast.messages.key_commands import KeyAnswer
from holdfast.messages.operations import OperationAnswer, StartOperation

log = structlog.get_logger(__name__)
_DAY_MS = 86_400_000
UNRECORDED = "audit.unrecorded"
"""The action of an entry with the number of refusals that have no entry of their own."""


class Refusals:
    """The rate limit of stored refusals: `AUDIT_REFUSALS` at once, and `AUDIT_REFUSALS_PER_S` in the long run."""

    def __init__(self) -> None:
        self._left = float(AUDIT_REFUSALS)
        self._at = time.monotonic()
        self.unrecorded = 0  # since the last entry of this number

    def take(self) -> bool:
        """Whether one more may be stored."""
        now = time.monotonic()
        self._left = min(AUDIT_REFUSALS, self._left + (now - self._at) * AUDIT_REFUSALS_PER_S)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def committed(batch: Batch, refusals: Refusals, counts: dict[str, int]) -> None:
    """The entries of a batch are committed: log a line for each, and count them."""
    refusals.unrecorded += batch.passed_over
    counts["unrecorded"] += batch.passed_over
    counts["removed"] += batch.audit_removed
    for entry, number in zip(batch.audit.values(), batch.audit_numbers, strict=True):
        if entry.action == UNRECORDED:
            refusals.unrecorded -= entry.refused
        else:
            counts["refused" if entry.refused and not entry.done else "done"] += 1
        log.info("audit", **shown(replace(entry, id=number)))
    if batch.audit_removed:
        log.info("old entries of the audit log were removed", removed=batch.audit_removed)


def shown(entry: AuditEntry) -> dict[str, str | int]:
    """The fields of an entry's line in the log: the same for all entries, and the trace of a request that is recorded."""
    fields: dict[str, str | int] = {
        "id": entry.id,
        "at": entry.at,
        "action": entry.action,
        "queue": entry.queue,
        "target": entry.target,
        "note": entry.note,
        "outcome": entry.outcome,
        "done": entry.done,
        "refused": entry.refused,
        "who": entry.actor.name,
        "address": entry.actor.address,
        "door": entry.actor.door,
        "run": entry.run,
    }
    if entry.actor.trace:
        fields["trace_id"] = entry.actor.trace
    return fields


async def queue_of(batch: Batch, deed: Deed) -> str:
    """The queue that a deed is about: for a job, the queue that it is in before the change."""
    if deed.job is None:
        return deed.queue
    try:
        job = await batch.latest(deed.job)
    except HoldfastError:
        return ""
    return "" if job is None else job.queue


def note(batch: Batch, command: Managed[Answer], deed: Deed, queue: str, result: Answer) -> None:
    """Add the entry for a decided command."""
    if isinstance(result, Refused) and result.code == StaleInterests.code:
        return  # not decided yet: it is submitted again once its event is routed
    done, refused, outcome = _outcome(command, result)
    if command.counts and not done and not refused and outcome == DONE and not isinstance(command, PurgeQueue | CancelJobBatch):
        return  # nothing matched
    actor, bulk = command.actor, command.bulk
    words = deed.note
    if isinstance(result, Enqueued) and result.jobs:
        words = f"{words} as job {result.jobs[0].id}".strip()
        queue = queue or result.jobs[0].queue
    target = deed.target if deed.job is None else str(deed.job)
    if isinstance(command, StartOperation) and isinstance(result, OperationAnswer):
        if result.duplicate:
            return
        begun = result.operation  # its counts follow when it ends, under its run
        add(batch, AuditEntry(deed.action, queue, str(begun.id), words, GOING_ON, 0, 0, actor, begun.run, batch.now))
        return
    if isinstance(result, KeyAnswer):
        target = result.key.name  # it may have been given by its id, which nobody knows once it is revoked
    run = ""
    if bulk is not None:
        if deed.job is not None and bulk.target:
            target, queue, words = bulk.target, queue or bulk.queue, deed.note
        run = _key(bulk.run, deed, queue, actor, batch.now)
    add(batch, AuditEntry(deed.action, queue, target, words, outcome, done, refused, actor, run, batch.now))


def _key(run: str, deed: Deed, queue: str, actor: Actor, now: int) -> str:
    """The key by which commands share an entry. Whatever `run` callers choose, commands share one only if caller, day, queue,
    action and note are the same, and the target unless it is a job: else a caller could hide one action in the entry of
    another.
    """
    same = (deed.action, queue, deed.note, "" if _of_jobs(deed.action) else deed.target)
    told = "\0".join((run, *same, actor.name, actor.address, actor.door, str(now // _DAY_MS)))
    return hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _of_jobs(action: str) -> bool:
    return action.startswith("job.")


def _outcome(command: Managed[Answer], result: Answer) -> tuple[int, int, str]:
    """How many were changed, how many were refused, and the outcome."""
    if isinstance(result, Refused):
        return 0, 1, result.code
    if not isinstance(result, Counted):
        return 1, 0, DONE
    if result.more:
        return result.count if command.counts else 0, 0, GOING_ON
    return result.count if command.counts else 1, 0, DONE


def add(batch: Batch, entry: AuditEntry) -> None:
    """Add an entry to the batch; a refusal only within the rate limit."""
    before = batch.audit.get(entry.run) if entry.run else None
    if before is not None:
        outcome = before.outcome if before.done and not entry.done and entry.refused else entry.outcome
        done, refused = before.done + entry.done, before.refused + entry.refused
        batch.audit[entry.run] = replace(before, outcome=outcome, done=done, refused=refused)
    elif entry.refused and not entry.done and batch.refusals is not None and not batch.refusals.take():
        batch.passed_over += 1
    else:
        _put(batch, entry)


def _put(batch: Batch, entry: AuditEntry) -> None:
    batch.audit[entry.run or f" {len(batch.audit)}"] = _fitting(entry)


def _fitting(entry: AuditEntry) -> AuditEntry:
    """The entry with texts that every store can hold, each cut to its limit."""
    actor = entry.actor
    return replace(
        entry,
        action=_cut(entry.action),
        queue=_cut(entry.queue),
        target=_cut(entry.target),
        note=_cut(entry.note),
        outcome=_cut(entry.outcome),
        actor=replace(
            actor,
            name=_cut(actor.name, AUDIT_NAME_CHARS),
            address=_cut(actor.address, AUDIT_NAME_CHARS),
            door=_cut(actor.door, AUDIT_NAME_CHARS),
        ),
    )


def _cut(text: str, chars: int = AUDIT_CHARS) -> str:
    text = text if len(text) <= chars else text[: chars - 1] + "…"
    return text if text.isascii() and text.isprintable() else text.encode("utf-8", "replace").decode().replace("\0", "�")


async def record(batch: Batch, command: RecordAudit) -> Counted:
    """Add an entry for an action that is not a command, such as a login."""
    entry = replace(command.entry, at=batch.now)
    if not entry.queue and _of_jobs(entry.action) and entry.target.isascii() and entry.target.isdigit():
        entry = replace(entry, queue=await queue_of(batch, Deed(entry.action, job=int(entry.target))))
    if entry.run:
        deed = Deed(entry.action, entry.queue, entry.target, entry.note)
        entry = replace(entry, run=_key(entry.run, deed, entry.queue, entry.actor, batch.now))
    add(batch, entry)
    return Counted(1)


async def trim(batch: Batch, command: TrimAudit) -> Counted:
    """Remove the oldest entries that are too old or too many, and add an entry with the number of refusals without one."""
    refusals = batch.refusals
    if refusals is not None and refusals.unrecorded:
        _put(batch, AuditEntry(UNRECORDED, outcome="too_many", done=0, refused=refusals.unrecorded, at=batch.now))
    tally, oldest = await batch.tx.audit_tally(), await batch.tx.oldest_audit(1)
    if oldest and not tally.can_be(oldest[0][0]):
        tally = await batch.tx.count_audit()
    kept, size, before = tally.kept, tally.bytes, batch.now - command.keep_ms
    if not oldest or (kept <= AUDIT_ROWS and size <= AUDIT_BYTES and oldest[0][1] >= before):
        return Counted(0)
    last = 0
    for number, at, of_it in await batch.tx.oldest_audit(command.limit):
        if kept <= AUDIT_ROWS and size <= AUDIT_BYTES and at >= before:
            break
        last, kept, size = number, kept - 1, size - of_it
    removed = await batch.tx.forget_audit(last)
    batch.audit_removed += removed
    return Counted(removed, more=removed >= command.limit)
