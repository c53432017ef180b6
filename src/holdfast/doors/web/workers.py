"""Registered workers with their process, jobs and last heartbeat, and the leases of unregistered ones."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress

from holdfast.doors.web import forms
from holdfast.doors.web.layout import View, get, post
from holdfast.doors.web.running_jobs import by_worker
from holdfast.errors import NotFound, WorkerNotFound, breach
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.job import registry
from holdfast.job.job import State
from holdfast.job.registry import Worker, WorkerState
from holdfast.messages.queries import ListJobs
from holdfast.messages.views import WorkerInfo

_SHOWN = 200
_LEASES = 500
_JOBS_OF_ONE = 4
_VERBS = ("quiet", "stop", "remove")
_FILTERS = ("q", "queue", "type")


@get("/web/workers")
async def show_workers(view: View) -> Reply:
    """Registered workers, then the others that have leases."""
    found, leased = await asyncio.gather(
        view.engine.reading.workers(), view.engine.reading.jobs(ListJobs(_LEASES, state=State.LEASED, payload_up_to=0))
    )
    registered = {info.worker.id for info in found.workers}
    others = [(name, jobs) for name, jobs in by_worker(detail.job for detail in leased.jobs) if name not in registered]
    wanted = _wanted(view.query)
    shown = [info for info in found.workers if _matches(info.worker, wanted)]
    silent = {info.worker.id for info in found.workers if registry.is_silent(info.beat_at, found.now)}
    values = {
        "workers": sorted(
            shown,
            key=lambda info: (not (info.worker.id in silent and info.jobs), -len(info.jobs), info.worker.name, info.worker.id),
        )[:_SHOWN],
        "names": sorted({info.worker.name or info.worker.id for info in found.workers})[:_SHOWN],
        "found": len(shown),
        "all": len(found.workers),
        "to_quiet": sum(info.worker.state is WorkerState.RUNNING for info in shown),
        "to_stop": sum(info.worker.state is not WorkerState.STOPPING for info in shown),
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


def _wanted(given: Mapping[str, str]) -> dict[str, str]:
    return {name: given.get(name, "").strip() for name in _FILTERS}


def _matches(worker: Worker, wanted: Mapping[str, str]) -> bool:
    """Whether a worker is one of those asked for: by a part of its name, id or process, by a queue and by a type that it takes."""
    process = worker.process
    texts = (worker.name, worker.id, process.host, process.version, str(process.pid or ""))
    return (
        any(wanted["q"] in text for text in texts)
        and (not wanted["queue"] or wanted["queue"] in worker.queues)
        and (not wanted["type"] or worker.types is None or wanted["type"] in worker.types)
    )


@post("/web/workers")
async def act_on_all(view: View) -> Reply:
    """Quiet or stop all that match."""
    form = await forms.read(view.request)
    wanted, verb = _wanted(form.flat()), form.text("verb")
    if verb not in ("quiet", "stop"):
        raise NotFound(f"There is no action {verb[:40]} for many workers.")
    if not any(wanted.values()):
        raise breach("q", "must be given, or queue or type: without a filter nothing is done to all workers")
    for info in (await view.engine.reading.workers()).workers:
        if _matches(info.worker, wanted) and _is_to_be(info, verb):
            with suppress(WorkerNotFound):  # it ended meanwhile
                await view.actions.act(f"worker.{verb}", info.worker.id)
    return view.back("/workers", f"worker.{verb}", **wanted)


def _is_to_be(info: WorkerInfo, verb: str) -> bool:
    state = info.worker.state
    return state is WorkerState.RUNNING if verb == "quiet" else state is not WorkerState.STOPPING


@post("/web/workers/{worker_id}/{verb}")
async def act(view: View, worker_id: str, verb: str) -> Reply:
    """Quiet, stop or remove it."""
    await forms.read(view.request)
    if verb not in _VERBS:
        raise NotFound(f"There is no action {verb[:40]} for workers.")
    await view.actions.act(f"worker.{verb}", worker_id)
    return view.back("/workers", f"worker.{verb}")


ROUTES: list[Route] = [show_workers, act_on_all, act]
