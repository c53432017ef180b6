"""Suggestions for form fields: names of queues, and recent types and tags. Read when a field is first used."""

import asyncio
from typing import Any

from holdfast.doors.web.layout import View, get
from holdfast.doors.web.overview import cached_stats
from holdfast.engine import checks
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.job.job import State
from holdfast.limits import LIST_LIMIT
from holdfast.messages.queries import ListJobs

_LOOKED_AT = 50  # jobs of each state
_OFFERED = 200  # of each kind


@get("/web/suggest")
async def suggest(view: View) -> Reply:
    """Lists for the fields: registered workers, the queues on the overview, and what a few jobs of each state have, their queues included."""
    queue = view.query.get("queue") or None
    if queue is not None:
        checks.name_of_queue("queue", queue)
    questions = [ListJobs(_LOOKED_AT, queue, one, payload_up_to=0) for one in State]
    stats = await cached_stats(view.state).stats()
    pages = await asyncio.gather(*[view.engine.reading.jobs(one) for one in questions])
    workers = (await view.engine.reading.workers_after(LIST_LIMIT, (-1, ""))).workers
    details = [detail for page in pages for detail in page.jobs]
    lists: dict[str, list[Any]] = {
        "workers": [(one.worker.id, one.worker.name) for one in workers if queue in (None, *one.worker.queues)][:_OFFERED],
        "queues": sorted({one.info.name for one in stats.queues} | {detail.job.queue for detail in details})[:_OFFERED],
        "types": sorted({detail.content.type for detail in details} - {""})[:_OFFERED],
        "tags": sorted({tag for detail in details for tag in detail.job.extras.tags})[:_OFFERED],
    }
    return view.part("_suggested.html", {"lists": lists})


ROUTES: list[Route] = [suggest]
