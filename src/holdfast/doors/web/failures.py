"""Failures, grouped by error, with the actions for each group."""

from contextlib import suppress

from holdfast.doors.web.layout import View, get
from holdfast.engine.failure_groups import Group, groups_in_turns, line_of
from holdfast.errors import NotFound, QueueNotFound
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.limits import FAILURES_SCANNED

_SHOWN = 100
_MEMBERS_SHOWN = 200


async def group_of(view: View, key: str, queue: str | None) -> tuple[Group, int]:
    """The group of failures with this key, and the time of the read; `NotFound` if there is none (any more)."""
    failures = await view.engine.reading.failures(queue)
    for group in await groups_in_turns(failures.jobs):
        if group.key == key:
            return group, failures.now
    raise NotFound(f"No failures with this error among the newest {FAILURES_SCANNED}.")


@get("/web/failures")
async def show_failures(view: View) -> Reply:
    """The newest failures of all queues, or of one."""
    queue = view.query.get("queue") or None
    if view.query.get("group"):
        return await _show_group(view, view.query["group"], queue)
    failures = await view.engine.reading.failures(queue)
    found = await groups_in_turns(failures.jobs)
    values = {
        "queue": queue,
        "groups": found[:_SHOWN],
        "more": max(0, len(found) - _SHOWN),
        "jobs": len(failures.jobs),
        "whole": failures.whole,
        "dead": any(group.dead for group in found),
        "looked_at": FAILURES_SCANNED,
        "now": failures.now,
    }
    curl = view.curl("GET", "/v1/failures", queue=queue)
    return view.page("failures.html", f"Failures of {queue}" if queue else "Failures", "failures", values, curl)


async def _show_group(view: View, key: str, queue: str | None) -> Reply:
    group, now = await group_of(view, key, queue)
    paused = None
    with suppress(QueueNotFound):
        info = await view.engine.reading.queue(group.queue)
        paused = None if info.paused else group.type in info.paused_types
    values = {
        "paused": paused,
        "group": group,
        "members": [(job, line_of(job.reason)) for job in group.dead[:_MEMBERS_SHOWN]],
        "more": max(0, len(group.dead) - _MEMBERS_SHOWN),
        "now": now,
    }
    curl = view.curl("GET", f"/v1/failures/{group.key}", queue=queue)
    return view.page("failure_group.html", "Failures with the same error", "failures", values, curl)


ROUTES: list[Route] = [show_failures]
