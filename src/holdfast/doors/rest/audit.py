"""The audit log: who did what by hand. A page of it as JSON, or all that match as lines of JSON."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from holdfast.doors.rest import bodies, replies
from holdfast.doors.rest.audit_answers import AuditEntryOut, AuditOut
from holdfast.doors.rest.state import AppState
from holdfast.engine.engine import Engine
from holdfast.errors import breach
from holdfast.http.reply import Reply
from holdfast.http.request import Request
from holdfast.http.route import Route, get
from holdfast.limits import AUDIT_CHARS, ID_MAX, LIST_LIMIT, LIST_LIMIT_DEFAULT
from holdfast.messages.audit import AuditEntry, AuditFilter, ListAudit

_NDJSON = "application/x-ndjson"


def _words(what: str) -> Any:
    return msgspec.Meta(description=what, max_length=AUDIT_CHARS)


def _moments(what: str) -> Any:
    return msgspec.Meta(description=what, max_length=40, extra_json_schema={"format": "date-time"})


@get("/v1/audit", tags=["system"], summary="The audit log: who did what by hand", gives=AuditOut)
async def audit_log(
    request: Request,
    state: AppState,
    who: Annotated[str, _words("Only by this name, or from this address.")] = "",
    action: Annotated[str, _words("Only this action, such as queue.purge, or all of one kind, such as queue.")] = "",
    queue: Annotated[str, _words("Only on this queue, or on jobs in it.")] = "",
    target: Annotated[str, _words("Only on this worker, schedule or other target.")] = "",
    job: Annotated[int | None, msgspec.Meta(description="Only on this job.", ge=1, le=ID_MAX)] = None,
    outcome: Annotated[str, _words("Only with this outcome: done, a code of a refusal, or refused for all of them.")] = "",
    text: Annotated[str, _words("Only with this text.")] = "",
    since: Annotated[str | None, _moments("Only from this moment on (RFC 3339).")] = None,
    until: Annotated[str | None, _moments("Only before this moment (RFC 3339).")] = None,
    limit: Annotated[int, msgspec.Meta(description="How many at most.", ge=1, le=LIST_LIMIT)] = LIST_LIMIT_DEFAULT,
    cursor: Annotated[int | None, msgspec.Meta(description="`next_cursor` of the page before.", ge=1, le=ID_MAX)] = None,
    after: Annotated[
        int | None, msgspec.Meta(description="Only after the entry with this id, the oldest first.", ge=0, le=ID_MAX)
    ] = None,
) -> Reply:
    """The newest first. If a filter matches few entries, a page may have fewer than `limit`, with a cursor.

    With `Accept: application/x-ndjson` all that match come as one line of JSON each, without `limit` and `cursor`.
    """
    engine = state.engine
    wanted = AuditFilter(
        who, action, queue, target, job, outcome, text, _moment("since", since, 0), _moment("until", until, ID_MAX)
    )
    if cursor is not None and after is not None:
        raise breach("cursor", "can't be given beside after")
    if _NDJSON in request.header("accept"):
        query = ListAudit(LIST_LIMIT, wanted, after=after)
        first = await engine.reading.audit(query)
        return Reply(200, content_type=_NDJSON.encode(), stream=_lines(engine, query, first.entries, first.cursor))
    page = await engine.reading.audit(ListAudit(limit, wanted, cursor or ID_MAX, after))
    following = None if page.cursor is None else str(page.cursor)
    shown = AuditOut([entry_out(entry) for entry in page.entries], following, page.kept, page.kept_bytes, page.removed)
    return Reply(200, replies.encode(shown))


def _moment(field: str, given: str | None, otherwise: int) -> int:
    return otherwise if given is None else bodies.moment(field, given)


async def _lines(engine: Engine, query: ListAudit, entries: list[AuditEntry], cursor: int | None) -> AsyncIterator[bytes]:
    while True:
        if entries:
            yield b"".join([replies.encode(entry_out(entry)) + b"\n" for entry in entries])
        if cursor is None:
            return
        query = replace(query, before=cursor) if query.after is None else replace(query, after=cursor)
        page = await engine.reading.audit(query)
        entries, cursor = page.entries, page.cursor


def entry_out(entry: AuditEntry) -> AuditEntryOut:
    """An entry as the API shows it."""
    actor = entry.actor
    return AuditEntryOut(
        id=entry.id,
        at=replies.instant(entry.at),
        action=entry.action,
        queue=entry.queue or None,
        target=entry.target or None,
        note=entry.note or None,
        outcome=entry.outcome,
        done=entry.done,
        refused=entry.refused,
        who=actor.name or None,
        address=actor.address or None,
        door=actor.door or None,
        run=entry.run or UNSET,
    )


ROUTES: list[Route] = [audit_log]
