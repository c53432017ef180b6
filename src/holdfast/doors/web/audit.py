"""The audit log: every action of the page with its time, target, counts, outcome and author. As a screen, and as JSON for export."""

from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State as AppState
from litestar.response import Redirect

from holdfast.doors.web import formats
from holdfast.doors.web.layout import View
from holdfast.limits import AUDIT_ENTRIES
from holdfast.messages.views import AuditEntries, AuditEntry

_SHOWN = 200


async def _picked(view: View) -> tuple[AuditEntries, str, list[AuditEntry]]:
    """The audit log, the text that is looked for, and the entries that contain it."""
    found = await view.engine.reading.audit(AUDIT_ENTRIES)
    wanted = view.query.get("q", "").strip()
    fit = [one for one in found.entries if wanted in f"{one.action} {one.target} {one.queue} {one.who} {one.outcome}"]
    return found, wanted, fit


@get("/web/audit", include_in_schema=False)
async def show_audit_log(request: Request[Any, Any, Any], state: AppState) -> Response[bytes]:
    """The latest entries, filtered by text."""
    view = View(request, state)
    found, wanted, fit = await _picked(view)
    values = {
        "entries": fit[:_SHOWN],
        "found": len(fit),
        "most": AUDIT_ENTRIES,
        "began_at": found.began_at,
        "now": found.now,
        "wanted": wanted,
    }
    return view.page("audit.html", "Audit log", "audit", values, view.curl("GET", "/web/audit.json", q=wanted))


@get(["/web/audit.json", "/web/trail.json"], include_in_schema=False)
async def audit_log_as_json(request: Request[Any, Any, Any], state: AppState) -> Response[bytes]:
    """Every matching entry, the latest first; `total` also counts those that were dropped since `began_at`."""
    found, _, fit = await _picked(View(request, state))
    entries = [
        {
            "at": formats.iso(entry.at),
            "who": entry.who,
            "action": entry.action,
            "target": entry.target,
            "queue": entry.queue or None,
            "outcome": entry.outcome,
            "done": entry.done,
            "refused": entry.refused,
        }
        for entry in fit
    ]
    body = {"began_at": formats.iso(found.began_at), "total": found.total, "notes": entries}  # the key is older than the name
    return Response(msgspec.json.encode(body), media_type="application/json")


@get("/web/trail", include_in_schema=False)
async def show_trail(request: Request[Any, Any, Any], state: AppState) -> Redirect:
    """The earlier address of the audit log, for bookmarks."""
    view = View(request, state)
    return Redirect(view.at("/audit", q=view.query.get("q", "")), status_code=308)


ROUTES: list[Any] = [show_audit_log, audit_log_as_json, show_trail]
