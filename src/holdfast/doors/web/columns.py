"""The columns of the list of jobs: which there are, and which ones a browser wants. It keeps them in a cookie, so that no script is needed."""

from holdfast.doors.web import forms
from holdfast.doors.web.filters import NAMES, Filter
from holdfast.doors.web.layout import View, post
from holdfast.errors import breach
from holdfast.http.reply import Reply
from holdfast.http.route import Route

COOKIE = "holdfast_columns"
COLUMNS = {
    "queue": "Queue",
    "type": "Type",
    "payload": "Payload",
    "attempts": "Attempts",
    "when": "When",
    "note": "Error, reason or worker",
    "priority": "Priority",
    "enqueued": "Enqueued",
    "worker": "Worker",
    "batch": "Batch",
    "tags": "Tags",
    "meta": "Meta",
    "size": "Size",
}
"""All that can be shown beside a job's number and its state, in their order."""
USUAL = ("queue", "type", "payload", "attempts", "when", "note")
_KEPT_S = 400 * 86_400


def chosen(view: View) -> tuple[str, ...]:
    """The columns that this browser wants. What a cookie has that is no column is left out."""
    kept = view.request.cookie(COOKIE)
    if kept is None:
        return USUAL
    names = kept.split(".")
    return tuple(name for name in COLUMNS if name in names)


@post("/web/jobs/columns")
async def choose(view: View) -> Reply:
    """Keep the columns that were ticked, or the usual ones again, and go back to the list."""
    form = await forms.read(view.request)
    names = form.all("column")
    if unknown := [name for name in names if name not in COLUMNS]:
        raise breach("column", f"must be one of {', '.join(COLUMNS)}, not {unknown[0][:40]}")
    wanted = Filter.of({name: form.text(name) for name in NAMES}).query()
    answer = view.back("/jobs", **wanted, limit=form.text("limit"), reverse=form.text("reverse"))
    usual = form.has("usual")
    value = forms.set_cookie(
        COOKIE, ".".join(dict.fromkeys(names)), 0 if usual else _KEPT_S, view.root or "/", secure=view.is_secure
    )
    answer.extra += ((b"set-cookie", value),)
    return answer


ROUTES: list[Route] = [choose]
