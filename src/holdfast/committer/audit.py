"""The audit log: who did what by hand, to which queue or job, from where, and how it went. An entry is written in the transaction of what it tells of.

    managing verb ─▶ decided, or refused ─▶ entry in the batch ─▶ rows, entries, commit ─▶ a line in the log

So there is no deed without its entry and no entry without its deed. What a verb does in several transactions is one entry, whose counts grow with
each. A refusal changes nothing and would cost its caller nothing, so no more than some of them are kept each second; the others are counted, and the
count is an entry.
"""

import hashlib
import time

import structlog
from msgspec.structs import replace

from holdfast.auth.actor import Actor
from holdfast.committer.batch import Batch
from holdfast.errors import HoldfastError, StaleInterests
from holdfast.limits import AUDIT_BYTES, AUDIT_CHARS, AUDIT_NAME_CHARS, AUDIT_REFUSALS, AUDIT_REFUSALS_PER_S, AUDIT_ROWS
from holdfast.messages.answers import Counted, Enqueued
from holdfast.messages.audit import DONE, GOING_ON, AuditEntry, Deed, Managed, RecordAudit, TrimAudit
from holdfast.messages.commands import PurgeQueue
from holdfast.messages.frame import Answer, Refused

log = structlog.get_logger(__name__)
_DAY_MS = 86_400_000
UNRECORDED = "audit.unrecorded"
"""The action of an entry that counts refusals which have none of their own."""


class Refusals:
    """How many refusals may still be kept: `AUDIT_REFUSALS` at once, and `AUDIT_REFUSALS_PER_S` in the long run."""

    def __init__(self) -> None:
        self._left = float(AUDIT_REFUSALS)
        self._at = time.monotonic()
        self.unrecorded = 0  # since that was last an entry

    def take(self) -> bool:
        """Whether one more may be kept."""
        now = time.monotonic()
        self._left = min(AUDIT_REFUSALS, self._left + (now - self._at) * AUDIT_REFUSALS_PER_S)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def committed(batch: Batch, refusals: Refusals, counts: dict[str, int]) -> None:
    """What a batch had to tell is kept: a line in the log for each entry."""
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
    """An entry as the fields of a line in the log: always the same ones."""
    return {
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


async def queue_of(batch: Batch, deed: Deed) -> str:
    """The queue that a deed is about: of a job the one that it is in, before anything is done to it."""
    if deed.job is None:
        return deed.queue
    try:
        job = await batch.latest(deed.job)
    except HoldfastError:
        return ""
    return "" if job is None else job.queue


def note(batch: Batch, command: Managed[Answer], deed: Deed, queue: str, result: Answer) -> None:
    """Take note of what was decided about a command."""
    if isinstance(result, Refused) and result.code == StaleInterests.code:
        return  # it is not decided yet: it is asked again once its event is routed
    done, refused, outcome = _outcome(command, result)
    if command.counts and not done and not refused and outcome == DONE and not isinstance(command, PurgeQueue):
        return  # nothing was there to do it to
    actor, bulk = command.actor, command.bulk
    words = deed.note
    if isinstance(result, Enqueued) and result.jobs:
        words = f"{words} as job {result.jobs[0].id}".strip()
        queue = queue or result.jobs[0].queue
    target = deed.target if deed.job is None else str(deed.job)
    run = ""
    if bulk is not None:
        if deed.job is not None and bulk.target:
            target, queue, words = bulk.target, queue or bulk.queue, deed.note
        run = _key(bulk.run, deed, queue, actor, batch.now)
    add(batch, AuditEntry(deed.action, queue, target, words, outcome, done, refused, actor, run, batch.now))


def _key(run: str, deed: Deed, queue: str, actor: Actor, now: int) -> str:
    """What tells a run apart. Whatever callers call their own, nobody adds to the entry of another, of another day, or of what is something else than
    the same with other jobs of the same queue: else an entry would hide what it does not tell.
    """
    same = (deed.action, queue, deed.note, "" if _of_jobs(deed.action) else deed.target)
    told = "\0".join((run, *same, actor.name, actor.address, actor.door, str(now // _DAY_MS)))
    return hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _of_jobs(action: str) -> bool:
    return action.startswith("job.")


def _outcome(command: Managed[Answer], result: Answer) -> tuple[int, int, str]:
    """How many it was done to, how many were refused, and how it went."""
    if isinstance(result, Refused):
        return 0, 1, result.code
    if not isinstance(result, Counted):
        return 1, 0, DONE
    if result.more:
        return result.count if command.counts else 0, 0, GOING_ON
    return result.count if command.counts else 1, 0, DONE


def add(batch: Batch, entry: AuditEntry) -> None:
    """Have an entry written with the batch; a refusal only as long as there are not too many."""
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
    """The entry with texts that every store can keep, and none longer than it may be."""
    actor = entry.actor
    return replace(
        entry,
        action=_cut(entry.action),
        queue=_cut(entry.queue),
        target=_cut(entry.target),
        note=_cut(entry.note),
        outcome=_cut(entry.outcome),
        actor=Actor(*[_cut(text, AUDIT_NAME_CHARS) for text in (actor.name, actor.address, actor.door)]),
    )


def _cut(text: str, chars: int = AUDIT_CHARS) -> str:
    text = text if len(text) <= chars else text[: chars - 1] + "…"
    return text if text.isascii() and text.isprintable() else text.encode("utf-8", "replace").decode().replace("\0", "�")


async def record(batch: Batch, command: RecordAudit) -> Counted:
    """Keep an entry of what is no command."""
    entry = replace(command.entry, at=batch.now)
    if not entry.queue and _of_jobs(entry.action) and entry.target.isascii() and entry.target.isdigit():
        entry = replace(entry, queue=await queue_of(batch, Deed(entry.action, job=int(entry.target))))
    if entry.run:
        deed = Deed(entry.action, entry.queue, entry.target, entry.note)
        entry = replace(entry, run=_key(entry.run, deed, entry.queue, entry.actor, batch.now))
    add(batch, entry)
    return Counted(1)


async def trim(batch: Batch, command: TrimAudit) -> Counted:
    """Remove the oldest entries that are too old or too many, and write down how many refusals have no entry."""
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
