"""What was done by hand through the page: when, by whom, to what, how many, and how it ended. As a screen, and as JSON for whoever keeps it."""

from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State as AppState

from holdfast.doors.web import formats
from holdfast.doors.web.layout import View
from holdfast.limits import TRAIL_NOTES
from holdfast.messages.queries import AuditEntries, AuditEntry

_SHOWN = 200


async def _picked(view: View) -> tuple[AuditEntries, str, list[AuditEntry]]:
    """The trail, what is looked for, and the notes that have it."""
    found = await view.engine.reading.notes(TRAIL_NOTES)
    wanted = view.query.get("q", "").strip()
    fit = [note for note in found.notes if wanted in f"{note.action} {note.target} {note.queue} {note.who} {note.outcome}"]
    return found, wanted, fit


@get("/web/trail", include_in_schema=False)
async def show_trail(request: Request[Any, Any, Any], state: AppState) -> Response[bytes]:
    """The latest, of which a part can be picked by what it has in it."""
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
    """Every note that is kept and has it, the latest first; `total` counts also those that were forgotten since `began_at`."""
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
