"""What goes wrong, grouped by error, with the way to mend each group."""

from typing import Any

from litestar import Request, Response, get
from litestar.datastructures import State as AppState

from holdfast.doors.web.grouping import groups
from holdfast.doors.web.shell import View
from holdfast.limits import FAILURES_SCANNED

_SHOWN = 100


@get("/web/failures", include_in_schema=False)
async def show_failures(request: Request[Any, Any, Any], state: AppState) -> Response[bytes]:
    """The newest failures of all queues, or of one."""
    view = View(request, state)
    queue = view.query.get("queue") or None
    failures = await view.engine.reading.failures(queue)
    found = groups(failures.jobs)
    values = {
        "queue": queue,
        "groups": found[:_SHOWN],
        "more": max(0, len(found) - _SHOWN),
        "jobs": len(failures.jobs),
        "whole": failures.whole,
        "looked_at": FAILURES_SCANNED,
        "now": failures.now,
    }
    curl = view.curl("GET", "/v1/jobs", queue=queue, state="dead", payload="false")
    return view.page("failures.html", f"Failures of {queue}" if queue else "Failures", "failures", values, curl)


ROUTES: list[Any] = [show_failures]
