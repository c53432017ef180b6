"""Entries of the audit log to SQL rows and back, for all stores, and the reading of a page.

A page scans a bounded range of ids, so that no filter makes a read long. It may have fewer entries than asked for, and then has
a cursor.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from holdfast.auth.actor import Actor
from holdfast.limits import AUDIT_ROW_BYTES, AUDIT_SCANNED, ID_MAX
from holdfast.messages.audit import AuditEntry, AuditPage, ListAudit

Row = Sequence[Any]
Fetch = Callable[..., Awaitable[Sequence[Row]]]
_ROW_BYTES = 120  # without its texts, with the index


def size_of(entry: AuditEntry) -> int:
    """About how many bytes a row takes."""
    actor = entry.actor
    texts = (
        entry.action,
        entry.queue,
        entry.target,
        entry.note,
        entry.outcome,
        actor.name,
        actor.address,
        actor.door,
        entry.run,
    )
    return _ROW_BYTES + sum([len(text.encode()) for text in texts])


def counted(size: int) -> int:
    """The size to count for a row with this stored size, which may have been damaged."""
    return size if 0 <= size <= AUDIT_ROW_BYTES else AUDIT_ROW_BYTES


def row_of(entry: AuditEntry, number: int, size: int) -> Row:
    """The columns of a new row."""
    actor = entry.actor
    return (
        number, entry.at, entry.action, entry.queue, entry.target, entry.note, entry.outcome, entry.done, entry.refused,
        actor.name, actor.address, actor.door, entry.run or None, size,
    )  # fmt: skip


def entry_of(row: Row) -> AuditEntry:
    """An entry from the columns of a listing."""
    number, at, action, queue, target, note, outcome, done, refused, who, address, door, run = row
    return AuditEntry(action, queue, target, note, outcome, done, refused, Actor(who, address, door), run or "", at, number)


async def page(fetch: Fetch, query: ListAudit, now: int) -> AuditPage:
    """The next page of matching entries."""
    wanted = query.filter
    job = "" if wanted.job is None else str(wanted.job)
    filters = (
        wanted.who, wanted.action, wanted.queue, wanted.target, job, wanted.outcome, wanted.text, wanted.since, wanted.until,
    )  # fmt: skip
    ahead = query.after is not None
    start = query.before if query.after is None else query.after
    ((edge, count),) = await fetch("audit_stretch_ahead" if ahead else "audit_stretch_back", start, AUDIT_SCANNED)
    found: Sequence[Row] = []
    if count:
        low, high = (start + 1, edge) if ahead else (edge, min(start - 1, ID_MAX))
        found = await fetch("audit_ahead" if ahead else "audit_back", low, high, query.limit, *filters)
    if len(found) == query.limit:
        edge = found[-1][0]
    elif count < AUDIT_SCANNED:
        edge = None
    kept, size, removed = next(((row[1], row[2], row[3]) for row in await fetch("audit_tally")), (0, 0, 0))
    return AuditPage([entry_of(row) for row in found], now, edge, kept, size, removed)
