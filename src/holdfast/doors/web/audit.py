"""The audit log: every action of the page with its time, target, counts, outcome and author. As a screen, and as JSON for export."""

from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State as AppState

from holdfast.doors.web import formats
from holdfast.doors.web.layout import View
from holdfast.limits import TRAIL_NOTES
from holdfast.messages.views import AuditEntries, AuditEntry

_SHOWN = 200


async def _picked(view: View) -> tuple[AuditEntries, str, list[AuditEntry]]:
    """The audit log, the text that is looked for, and the entries that contain it."""
    found = await view.engine.reading.notes(TRAIL_NOTES)
    wanted = view.query.get("q", "").strip()
    fit = [note for note in found.notes if wanted in f"{note.action} {note.target} {note.queue} {note.who} {note.outcome}"]
    return found, wanted, fit


@get("/web/trail", include_in_schema=False)
async def show_trail(request: Request[Any, Any, Any], state: AppState) -> Response[bytes]:
    """The latest entries, filtered by text."""
    view = View(request, state)
    found, wanted, fit = await _picked(view)
    values = {
        "notes": fit[:_SHOWN],
        "found": len(fit),
        "most": TRAIL_NOTES,
        "began_at": found.began_at,
        "now": found.now,
        "wanted": wanted,
    }
    return view.page("trail.html", "Audit log", "trail", values, view.curl("GET", "/web/trail.json", q=wanted))


@get("/web/trail.json", include_in_schema=False)
async def trail_as_json(request: Request[Any, Any, Any], state: AppState) -> Response[bytes]:
    """Every matching entry, the latest first; `total` also counts those that were dropped since `began_at`."""
    found, _, fit = await _picked(View(request, state))
    notes = [
        {
            "at": formats.iso(note.at),
            "who": note.who,
            "action": note.action,
            "target": note.target,
            "queue": note.queue or None,
            "outcome": note.outcome,
            "done": note.done,
            "refused": note.refused,
        }
        for note in fit
    ]
    body = {"began_at": formats.iso(found.began_at), "total": found.total, "notes": notes}
    return Response(msgspec.json.encode(body), media_type="application/json")


ROUTES: list[Any] = [show_trail, trail_as_json]
