"""Registered workers with their jobs and last heartbeat, and the leases of unregistered ones."""

import asyncio
from collections import Counter

from holdfast.doors.web import forms
from holdfast.doors.web.layout import View, get, post
from holdfast.doors.web.running_jobs import by_worker
from holdfast.errors import NotFound
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.job import registry
from holdfast.job.job import State
from holdfast.messages.queries import ListJobs

_SHOWN = 200
_LEASES = 500
_JOBS_OF_ONE = 10


@get("/web/workers")
async def show_workers(view: View) -> Reply:
    """Registered workers, then the others that have leases."""
    found, leased = await asyncio.gather(
        view.engine.reading.workers(), view.engine.reading.jobs(ListJobs(_LEASES, state=State.LEASED, payload_up_to=0))
    )
    registered = {info.worker.id for info in found.workers}
    others = [(name, jobs) for name, jobs in by_worker(detail.job for detail in leased.jobs) if name not in registered]
    wanted = view.query.get("q", "")
    shown = [
        info for info in found.workers if wanted in info.worker.name or wanted in info.worker.id or wanted in info.worker.queues
    ]
    silent = {info.worker.id for info in found.workers if registry.is_silent(info.beat_at, found.now)}
    values = {
        "workers": sorted(
            shown,
            key=lambda info: (not (info.worker.id in silent and info.jobs), -len(info.jobs), info.worker.name, info.worker.id),
        )[:_SHOWN],
        "names": sorted({info.worker.name or info.worker.id for info in found.workers})[:_SHOWN],
        "found": len(shown),
        "all": len(found.workers),
        "states": Counter(info.worker.state.value for info in found.workers),
        "others": others,
        "cut": leased.cursor is not None,
        "leases": _LEASES,
        "each": _JOBS_OF_ONE,
        "now": found.now,
        "silent": silent,
        "wanted": wanted,
    }
    return view.page("workers.html", "Workers", "workers", values, view.curl("GET", "/v1/workers"))


@post("/web/workers/{worker_id}/{verb}")
async def act(view: View, worker_id: str, verb: str) -> Reply:
    """Quiet or remove it."""
    await forms.read(view.request)
    if verb not in ("quiet", "remove"):
        raise NotFound(f"There is no action {verb[:40]} for workers.")
    await view.actions.act(f"worker.{verb}", worker_id)
    return view.back("/workers", f"worker.{verb}")


ROUTES: list[Route] = [show_workers, act]
