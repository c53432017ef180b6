"""Batches of jobs: how far each is, and one with its members and closing jobs."""

import asyncio

from holdfast import limits
from holdfast.doors.web import forms
from holdfast.doors.web.bulk import latest_errors
from holdfast.doors.web.layout import View, get, post
from holdfast.doors.web.overview import cached_stats
from holdfast.errors import NotFound
from holdfast.http.query import whole
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.job.job_batch import JOB_BATCH_STATES
from holdfast.messages.queries import CountJobs, ListJobs

_SHOWN = 100
_MEMBERS = 200


@get("/web/batches")
async def show_batches(view: View) -> Reply:
    """All batches, the newest first."""
    state = view.query.get("state", "")
    wanted = state if state in JOB_BATCH_STATES else None
    before = view.query.get("before", "")
    page = await view.engine.reading.job_batches(_SHOWN, whole("before", before) if before else None, wanted)
    values = {
        "batches": page.batches,
        "now": (await cached_stats(view.state).stats()).now,
        "wanted": wanted or "",
        "states": JOB_BATCH_STATES,
        "next": view.at("/batches", state=wanted, before=page.before) if page.before else "",
    }
    return view.page("batches.html", "Batches", "batches", values, view.curl("GET", "/v1/batches", state=wanted))


@get("/web/batches/{batch}")
async def show_batch(view: View, batch: str) -> Reply:
    """One batch with its progress, its closing jobs and its first members."""
    info = await view.engine.reading.job_batch(_number(batch))
    members, counts = await asyncio.gather(
        view.engine.reading.jobs(ListJobs(_MEMBERS, batch=info.batch.id, payload_up_to=0, last_error=True)),
        view.engine.reading.counts(CountJobs(batch=info.batch.id)),
    )
    values = {
        "batch": info.batch,
        "closing": info.closing,
        "members": members.jobs,
        "errors": latest_errors(members.jobs),
        "counts": [(state, count, state in counts.at_least) for state, count in counts.counts.items() if count],
        "more": members.cursor is not None,
        "now": (await cached_stats(view.state).stats()).now,
    }
    return view.page("batch.html", f"Batch {batch}", "batches", values, view.curl("GET", f"/v1/batches/{batch}"))


@post("/web/batches/{batch}/{verb}", status=303)
async def steer(view: View, batch: str, verb: str) -> Reply:
    """Close or cancel it."""
    await forms.read(view.request)
    if verb not in ("close", "cancel"):
        raise NotFound(f"There is no action {verb[:40]} for batches.")
    action = f"batch.{verb}"
    await view.actions.act(action, str(_number(batch)))
    return view.back(f"/batches/{batch}", action)


def _number(batch: str) -> int:
    if limits.WHOLE.match(batch) is None or not 0 < int(batch) <= limits.ID_MAX:
        raise NotFound(f"There is no batch {batch[:100]}.")
    return int(batch)


ROUTES: list[Route] = [show_batches, show_batch, steer]
