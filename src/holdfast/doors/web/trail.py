"""What was done by hand through the page: when, by whom, to what, how many, and how it ended."""

from typing import Any

from litestar import Request, Response, get
from litestar.datastructures import State as AppState

from holdfast.doors.web.shell import View
from holdfast.limits import TRAIL_NOTES

_SHOWN = 200


@get("/web/trail", include_in_schema=False)
async def show_trail(request: Request[Any, Any, Any], state: AppState) -> Response[bytes]:
    """The latest, of which a part can be picked by what it has in it."""
    view = View(request, state)
    found = await view.engine.reading.notes(TRAIL_NOTES)
    wanted = view.query.get("q", "").strip()
    fit = [note for note in found.notes if wanted in f"{note.action} {note.target} {note.queue} {note.who} {note.outcome}"]
    values = {
        "notes": fit[:_SHOWN],
        "found": len(fit),
        "kept": len(found.notes),
        "most": TRAIL_NOTES,
        "total": found.total,
        "began_at": found.began_at,
        "now": found.now,
        "wanted": wanted,
    }
    return view.page("trail.html", "Done by hand", "trail", values)


ROUTES: list[Any] = [show_trail]
