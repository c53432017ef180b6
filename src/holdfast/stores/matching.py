"""Which jobs an operation is about, by id: the next ones in their states, looked up where they are, and of these the ones that match.

Two questions, so that each is short: the ids come out of narrow rows, and only theirs are searched. A job that moves from one state to another in
between is found where it is, as all states are read on one snapshot and in one order: the ids.
"""

from collections.abc import Sequence
from typing import Any

from holdfast.job.job import State
from holdfast.job.operation import JobFilter, cancelled_by, is_searched
from holdfast.limits import OPERATION_FOUND, OPERATION_SCANNED
from holdfast.messages.operations import FindJobs, FoundJobs, OperationPage
from holdfast.messages.queries import CountJobs, ListJobs
from holdfast.stores import payload_fields, rows
from holdfast.stores.list_statements import SECTIONS, ids_sql, matching_sql
from holdfast.stores.snapshot import Snapshot

_AT_ONCE = 100  # jobs that are searched before others have their turn, where a read blocks them


async def find(snapshot: Snapshot, query: FindJobs, queue_id: int | None, scope: dict[str, str]) -> FoundJobs:
    """The next ids that match, and up to which id all were looked at."""
    searched = is_searched(query.filter)
    most = OPERATION_SCANNED if searched else OPERATION_FOUND
    values: dict[str, Any] = {"queue": queue_id, "after": query.after, "below": query.below, "scanned": most} | scope
    through, ids = query.below - 1, []
    for section in SECTIONS:
        if section.state in query.states:
            sql = ids_sql(snapshot.dialect, section, queue_id is not None, bool(scope))
            found = [row[0] for row in await snapshot.listed(sql, values)]
            ids += found
            if len(found) == most:
                through = min(through, found[-1])
    ids = sorted(number for number in ids if number <= through)[:most]
    if len(ids) == most:
        through = ids[-1]
    if searched:
        ids = await _matching(snapshot, query.filter, ids)
    return FoundJobs(ids, through, through == query.below - 1)


async def _matching(snapshot: Snapshot, wanted: JobFilter, ids: list[int]) -> list[int]:
    found: list[int] = []
    for first in range(0, len(ids), _AT_ONCE):
        some = values_of(wanted, ids[first : first + _AT_ONCE])
        found += sorted(row[0] for row in await snapshot.listed(matching_sql(snapshot.dialect), some))
        await snapshot.pause()
    return found


def values_of(wanted: JobFilter | ListJobs | CountJobs, ids: Sequence[int]) -> dict[str, Any]:
    """The values of the statement that searches."""
    return {
        "ids": rows.json_text(list(ids)),
        "type": wanted.type,
        "tag": wanted.tag,
        "text": wanted.text,
        "searched": wanted.text_up_to,
        "meta": rows.json_text(dict(wanted.meta)) if wanted.meta else None,
        "before": wanted.before,
        "error": wanted.error,
        "worker": wanted.worker,
        "since": wanted.since,
        "ended_by": cancelled_by(wanted.cancelled_by),
        "field": payload_fields.written(wanted.field),
    }


async def page(snapshot: Snapshot, limit: int, before: int, unfinished: bool, now: int) -> OperationPage:
    """Operations, the newest first."""
    found = await snapshot.fetch("operations_unfinished" if unfinished else "operations_before", before, limit + 1)
    shown = [one for row in found[:limit] if (one := rows.operation_of(row)) is not None]
    return OperationPage(shown, now, found[limit - 1][0] if len(found) > limit else None)


assert {section.state for section in SECTIONS} == set(State), "a job in any state is found"
