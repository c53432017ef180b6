"""The list of jobs: filters in the address, tabs with counts, rows to select, and bulk actions."""

import asyncio
import time
from typing import Any

from msgspec.structs import replace

from holdfast.doors.rest.routes import cursor_of, cursor_text
from holdfast.doors.web import columns, formats
from holdfast.doors.web.bulk import WAYS, latest_errors
from holdfast.doors.web.filters import LIMITS, PAYLOAD_UP_TO, Filter
from holdfast.doors.web.forms import whole
from holdfast.doors.web.layout import View, get
from holdfast.doors.web.running_jobs import names_of
from holdfast.engine import checks
from holdfast.errors import QueueNotFound
from holdfast.http.reply import Reply, redirect
from holdfast.http.route import Route
from holdfast.job.job import State
from holdfast.limits import ID_MAX, QUEUE_NAME_ONCE
from holdfast.messages.queries import CountJobs
from holdfast.messages.views import JobCounts, JobDetail, JobPage

_FIRST_S = 0.025  # that a search may take before the page is shown with what it has
_SEARCH_S = 1.5  # that each request may take which goes on with it
_ENDED = ("newest first", "oldest first")
ORDERS: dict[State | None, tuple[str, str]] = {
    None: ("running, waiting, ended", "ended, waiting, running"),
    State.LEASED: ("oldest lease first", "newest lease first"),
    State.READY: ("next to run first", "last to run first"),
    State.SCHEDULED: ("soonest first", "latest first"),
    State.DEAD: _ENDED,
    State.CANCELLED: _ENDED,
    State.CONCLUDED: _ENDED,
}
"""The orders of a list: that of its index, and the same the other way round. There are no others, as each would read all jobs."""


@get("/web/jobs")
async def list_jobs(view: View) -> Reply:
    """A page of jobs."""
    wanted = Filter.of(view.query)
    limit = min(max(1, whole("limit", view.query.get("limit") or "50")), LIMITS[-1])
    cursor = view.query.get("cursor") or None
    reverse, back = bool(view.query.get("reverse")), bool(view.query.get("back"))
    page, counts = await asyncio.gather(
        _page(view, wanted, limit, cursor, reverse != back, _SEARCH_S if "searched" in view.query else _FIRST_S),
        view.engine.reading.counts(wanted.counting()),
    )
    if back:  # read from its end
        page = replace(page, jobs=page.jobs[::-1], cursor=page.first, first=page.cursor)
    elif cursor is None:
        page = replace(page, first=None)
    errors = latest_errors(page.jobs)
    following = cursor_text(page.cursor)
    query = wanted.query() | ({"limit": str(limit)} if limit != 50 else {}) | ({"reverse": "1"} if reverse else {})
    searched = page.scanned + _number(view.query.get("searched", ""))
    short = following is not None and len(page.jobs) < limit and not back
    values = {
        "filter": wanted,
        "query": query,
        "others": {name: value for name, value in query.items() if name != "state"},
        "tabs": _tabs(wanted, counts),
        "rows": (rows := [_row(detail, errors) for detail in page.jobs]),
        "names": await names_of(view, [row["worker"] for row in rows]),
        "now": page.jobs[0].now if page.jobs else 0,
        "next": view.at("/jobs", **query, cursor=following, searched=searched if short else None) if following else "",
        "previous": view.at("/jobs", **query, cursor=cursor_text(page.first), back="1") if page.first is not None else "",
        "first": view.at("/jobs", **query) if cursor else "",
        "short": short,
        "searched": searched,
        "among": await _how_many(view, wanted) if short else None,
        "limit": limit,
        "limits": LIMITS,
        "columns": [name for name in columns.chosen(view) if name != "queue" or not wanted.queue],
        "all_columns": columns.COLUMNS,
        "chosen_columns": columns.chosen(view),
        "reverse": reverse,
        "orders": ORDERS[wanted.state],
        "turned": view.at("/jobs", **(query | {"reverse": "" if reverse else "1"})),
        "states": [one.value for one in State],
        "ways": [
            way
            for way in WAYS.values()
            if view.actions.may(way.action, wanted.queue or "") and (wanted.state is None or wanted.state in way.states)
        ],
    }
    asked = {"limit": query.get("limit"), "payload": "false", "reverse": "true" if reverse else None}
    curl = view.curl("GET", "/v1/jobs", **wanted.asked(), **asked, cursor=None if back else cursor)
    return view.page("jobs.html", _title(wanted), "jobs", values, curl)


def _number(text: str) -> int:
    return checks.whole(text) or 0


async def _page(view: View, wanted: Filter, limit: int, cursor: str | None, reverse: bool, within_s: float) -> JobPage:
    """A page that is full, or as far as is found in this time: a search looks at a bounded number of rows at a time, and goes on by itself."""
    began = time.monotonic()
    found = JobPage([], cursor_of(cursor))
    while True:
        asked = wanted.listing(limit - len(found.jobs), found.cursor, payload_up_to=PAYLOAD_UP_TO, reverse=reverse)
        page = await view.engine.reading.jobs(asked)
        found = JobPage(found.jobs + page.jobs, page.cursor, found.first or page.first, found.scanned + page.scanned)
        if page.cursor is None or len(found.jobs) >= limit or time.monotonic() - began >= within_s:
            return found


async def _how_many(view: View, wanted: Filter) -> int | None:
    """Among how many jobs it is searched; None where that is not counted."""
    if wanted.batch is not None:
        return None
    counts = await view.engine.reading.counts(CountJobs(wanted.queue, wanted.state))
    return None if counts.at_least else sum(counts.counts.values())


def _title(wanted: Filter) -> str:
    return " ".join(
        filter(
            None,
            (
                wanted.state.value.capitalize() if wanted.state else "All",
                "jobs",
                f"of {wanted.queue}" if wanted.queue else "",
                f"of batch {wanted.batch}" if wanted.batch is not None else "",
            ),
        )
    )


def _tabs(wanted: Filter, counts: JobCounts) -> list[tuple[str, str, bool]]:
    """Each state with its count, and "all": (state, count, whether it is shown now)."""
    shown = wanted.state.value if wanted.state is not None else ""
    some = bool(counts.at_least)
    tabs = [("", ("≥ " if some else "") + formats.short(sum(counts.counts.values())), shown == "")]
    for state in (State.READY, State.SCHEDULED, State.LEASED, State.DEAD, State.CONCLUDED, State.CANCELLED):
        count = counts.counts.get(state.value, 0)
        tabs.append(
            (state.value, ("≥ " if state.value in counts.at_least else "") + formats.short(count), shown == state.value)
        )
    return tabs


def _row(detail: JobDetail, errors: dict[int, str]) -> dict[str, Any]:
    job = detail.job
    return {
        "job": job,
        "type": detail.content.type,
        "error": errors.get(job.id, ""),
        "excerpt": formats.excerpt(detail.content) if detail.content.payload else "",
        "moment": job.ended_at or (job.lease.leased_at if job.lease is not None else job.ready_at),
        "worker": (job.lease or job.ended_by).worker if job.lease is not None or job.ended_by is not None else "",  # type: ignore[union-attr]
    }


@get("/web/find")
async def find(view: View) -> Reply:
    """A number is a job, the name of a queue is that queue, anything else is text."""
    wanted = view.query.get("q", "").strip()
    if (number := checks.whole(wanted)) is not None and number <= ID_MAX:
        return redirect(view.at(f"/jobs/{number}"))
    if QUEUE_NAME_ONCE.match(wanted):
        try:
            await view.engine.reading.queue(wanted)
            return redirect(view.at(f"/queues/{wanted}"))
        except QueueNotFound:
            pass  # then it is searched as text
    return redirect(view.at("/jobs", text=wanted))


ROUTES: list[Route] = [list_jobs, find]
