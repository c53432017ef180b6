"""Operations: what the server does to many jobs, how far it is, and the ways to stop it or to change its pace."""

from collections.abc import Callable
from typing import Any

from holdfast.doors.web import formats, forms
from holdfast.doors.web.filters import shown_pairs
from holdfast.doors.web.layout import View, get, post
from holdfast.errors import NotFound, breach
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.job.operation import STATES, Do, JobFilter, Operation
from holdfast.limits import ID_MAX, QUEUE_NAME
from holdfast.messages.operations import words_of

_SHOWN = 100
_VERBS: dict[str, tuple[str, Callable[[forms.Form], dict[str, Any]]]] = {
    "pause": ("operation.pause", lambda _: {"paused": True}),
    "resume": ("operation.resume", lambda _: {"paused": False}),
    "cancel": ("operation.cancel", lambda _: {}),
    "pace": ("operation.set", lambda form: {"per_s": form.number("per_s")}),
}


def told(wanted: JobFilter) -> list[tuple[str, str]]:
    """The filter as names and values."""
    given = {"queue": wanted.queue, "state": wanted.state, "type": wanted.type, "tag": wanted.tag, "text": wanted.text}
    given |= {
        "error": wanted.error,
        "meta": shown_pairs(wanted.meta),
        "field": shown_pairs(wanted.field),
        "worker": wanted.worker,
        "before": formats.iso(wanted.before),
        "since": formats.iso(wanted.since),
        "cancelled_by": None if wanted.cancelled_by is None else str(wanted.cancelled_by),
        "batch": None if wanted.batch is None else str(wanted.batch),
    }
    return [(name, str(value)) for name, value in given.items() if value]


def _row(operation: Operation) -> tuple[Operation, str]:
    return operation, words_of(operation.filter)


@get("/web/operations")
async def show_operations(view: View) -> Reply:
    """All operations, the newest first."""
    before = view.query.get("cursor", "")
    page = await view.engine.reading.operations(_SHOWN, forms.whole("cursor", before) if before else None)
    values = {"operations": list(map(_row, page.operations)), "now": page.now, "cursor": page.before}
    return view.page("operations.html", "Operations", "operations", values, view.curl("GET", "/v1/operations"))


@get("/web/operations/{number}")
async def show_operation(view: View, number: str) -> Reply:
    """One operation."""
    found = await view.engine.reading.operation(_number(number))
    operation = found.operation
    values = {
        "operation": operation,
        "now": found.now,
        "told": told(operation.filter),
        "list": view.at("/jobs", **dict(told(operation.filter))),
        "queues": _queues(operation, view.query.get("queue", "")),
    }
    command = view.curl("GET", f"/v1/operations/{operation.id}")
    return view.page("operation.html", f"Operation {operation.id}", "operations", values, command)


async def restore(view: View, queue: str, wanted: JobFilter) -> int:
    """Have the server undo the cancel of these jobs; the number of the operation."""
    given: dict[str, Any] = {"wanted": wanted, "to": None, "per_s": None, "states": STATES[Do.RESTORE], "counted": None}
    begun: int = await view.actions.act("operation.start", Do.RESTORE.value, queue, **given)
    return begun


@post("/web/operations/{number}/undo", status=303)
async def undo(view: View, number: str) -> Reply:
    """Restore exactly the jobs that it cancelled."""
    await forms.read(view.request)
    operation = (await view.engine.reading.operation(_number(number))).operation
    if operation.do is not Do.CANCEL or operation.ended_at is None:
        raise breach("operation", "must be a cancel that has ended")
    queue = operation.filter.queue
    begun = await restore(view, queue or "", JobFilter(queue, cancelled_by=operation.id))
    return view.back(f"/operations/{begun}", "operation.start")


@post("/web/operations/{number}/{verb}", status=303)
async def steer(view: View, number: str, verb: str) -> Reply:
    """Pause, resume or cancel it, or give it another pace."""
    form = await forms.read(view.request)
    if verb not in _VERBS:
        raise NotFound(f"There is no action {verb[:40]} for operations.")
    operation = (await view.engine.reading.operation(_number(number))).operation
    action, given = _VERBS[verb]
    await view.actions.act(action, str(operation.id), operation.filter.queue or "", **given(form))
    return view.back(f"/operations/{operation.id}", action)


def _queues(operation: Operation, of_the_jobs: str) -> list[str]:
    """The queues in which its work is seen: that of its filter, or that which its jobs were selected from, and the target."""
    if QUEUE_NAME.match(of_the_jobs) is None:
        of_the_jobs = ""
    return list(dict.fromkeys(filter(None, (operation.filter.queue or of_the_jobs, operation.to))))


def _number(text: str) -> int:
    return min(forms.whole("operation", text), ID_MAX)


ROUTES: list[Route] = [show_operations, show_operation, undo, steer]
