"""The audit log as a screen: who did what by hand, the newest first, with filters."""

from datetime import UTC, datetime

from holdfast.doors.web import forms
from holdfast.doors.web.layout import View, get
from holdfast.errors import breach
from holdfast.http.reply import Reply, redirect
from holdfast.http.route import Route
from holdfast.limits import ID_MAX
from holdfast.messages.audit import AuditFilter, ListAudit

_SHOWN = 200
_NAMES = ("who", "action", "queue", "job", "outcome", "since", "until", "q")


@get("/web/audit")
async def show_audit_log(view: View) -> Reply:
    """A page of matching entries."""
    given = {name: view.query.get(name, "").strip() for name in _NAMES}
    before = view.query.get("cursor", "")
    found = await view.engine.reading.audit(
        ListAudit(_SHOWN, _filter(given), forms.whole("cursor", before) if before else ID_MAX)
    )
    values = {"entries": found.entries, "page": found, "now": found.now, "wanted": given, "paged": bool(before)}
    asked = {
        ("text" if name == "q" else name): _instant(value) if name in ("since", "until") else value
        for name, value in given.items()
    }
    return view.page("audit.html", "Audit log", "audit", values, view.curl("GET", "/v1/audit", **asked))


def _filter(given: dict[str, str]) -> AuditFilter:
    job = forms.whole("job", given["job"]) if given["job"] else None
    since, until = _moment("since", given["since"]), _moment("until", given["until"])
    return AuditFilter(
        given["who"],
        given["action"],
        given["queue"],
        "",
        job,
        given["outcome"],
        given["q"],
        0 if since is None else since,
        ID_MAX if until is None else until,
    )


def _moment(field: str, value: str) -> int | None:
    """The time in a form's field for a day and a time, in UTC."""
    if not value:
        return None
    try:
        return max(0, round(datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp() * 1_000))
    except (ValueError, OverflowError):
        raise breach(field, "must be a day and a time") from None


def _instant(value: str) -> str:
    return f"{value if value.count(':') > 1 else value + ':00'}Z" if value else ""


@get("/web/trail")
async def show_trail(view: View) -> Reply:
    """The earlier address of the audit log, for bookmarks."""
    return redirect(view.at("/audit", q=view.query.get("q", "")), 308)


ROUTES: list[Route] = [show_audit_log, show_trail]
