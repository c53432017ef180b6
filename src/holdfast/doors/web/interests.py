"""Subscriptions (interests in the API): which events each queue gets, and a form that tests an event. A test enqueues nothing."""

from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State as AppState
from litestar.response import Redirect

from holdfast.doors.web import forms
from holdfast.doors.web.jobs import json_of
from holdfast.doors.web.layout import View
from holdfast.engine import checks
from holdfast.errors import HoldfastError, breach

_SHOWN = 500
_ROWS = 4
_EXAMPLE = '{"action": "userCreated", "id": 7}'


@get("/web/interests", include_in_schema=False)
async def show_interests(request: Request[Any, Any, Any], state: AppState) -> Response[bytes]:
    """All subscriptions, a form to edit one, and the tester."""
    view = View(request, state)
    found = await view.engine.reading.interests()
    queue = view.query.get("queue", "")
    now = found.interests.get(queue)
    pairs = list(now.items()) if isinstance(now, dict) else []
    values = {
        "interests": sorted(found.interests.items())[:_SHOWN],
        "all": len(found.interests),
        "queue": queue,
        "wanted": now,
        "everything": now == "*",
        "pairs": pairs + [("", "")] * max(1, _ROWS - len(pairs)),
        "example": _EXAMPLE,
    }
    return view.page("interests.html", "Subscriptions", "interests", values, view.curl("GET", "/v1/interests"))


@post("/web/interests/test", include_in_schema=False, status_code=200)
async def test(request: Request[Any, Any, Any], state: AppState) -> Response[bytes]:
    """Where an event would go."""
    view, form = View(request, state), await forms.read(request)
    typed = form.text("data")
    values: dict[str, Any] = {"typed": typed, "error": "", "queues": []}
    try:
        values["queues"], values["others"] = await view.engine.reached_by(json_of("data", typed))
    except HoldfastError as error:
        values["error"] = error.detail
    if request.headers.get("hx-request") == "true":
        return view.part("_tested.html", values)
    return view.page("tested.html", "Test an event", "interests", values, view.curl("POST", "/v1/publish/test", typed))


@post("/web/interests", include_in_schema=False)
async def change(request: Request[Any, Any, Any], state: AppState) -> Redirect:
    """Set or remove one queue's subscription."""
    view, form = View(request, state), await forms.read(request)
    queue = form.text("queue").strip()
    checks.name_of_queue("queue", queue)
    if form.has("remove"):
        forms.typed(form, f"remove {queue}")
        await view.actions.act("interest.remove", queue, queue, match=None)
        return view.back("/interests", "interest.remove")
    await view.actions.act("interest.set", queue, queue, match=_match(form))
    return view.back("/interests", "interest.set", queue=queue)


def _match(form: forms.Form) -> str | dict[str, str]:
    if form.has("everything"):
        return "*"
    pairs = {field: value for field, value in zip(form.all("field"), form.all("value"), strict=False) if field or value}
    if not pairs:
        raise breach("match", "is empty: give a field pattern and a value pattern, or select “All events”")
    return msgspec.convert(pairs, dict[str, str])


ROUTES: list[Any] = [show_interests, test, change]
