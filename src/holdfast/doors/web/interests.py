"""Subscriptions (interests in the API): which events each queue gets, and a form that tests an event. A test enqueues nothing."""

from contextlib import suppress
from typing import Any

import msgspec

from holdfast.doors.web import forms
from holdfast.doors.web.jobs import json_of
from holdfast.doors.web.layout import View, get, post
from holdfast.engine import checks
from holdfast.errors import Conflict, HoldfastError, breach
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.routing.interests import Match

_SHOWN = 500
_ROWS = 4
_EXAMPLE = '{"action": "userCreated", "id": 7}'


@get("/web/interests")
async def show_interests(view: View) -> Reply:
    """All subscriptions, a form to edit one, and the tester."""
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
        "match_was": _text(now),
    }
    return view.page("interests.html", "Subscriptions", "interests", values, view.curl("GET", "/v1/interests"))


@post("/web/interests/test", status=200)
async def test(view: View) -> Reply:
    """Where an event would go."""
    form = await forms.read(view.request)
    typed = form.text("data")
    values: dict[str, Any] = {"typed": typed, "error": "", "queues": []}
    try:
        values["queues"], values["others"] = await view.engine.reached_by(json_of("data", typed))
    except HoldfastError as error:
        values["error"] = error.detail
    if view.request.header("hx-request") == "true":
        return view.part("_tested.html", values)
    return view.page("tested.html", "Test an event", "interests", values, _curl(view, typed))


def _curl(view: View, typed: str) -> str:
    return view.curl("POST", "/v1/interests/test", f'{{"data": {typed.strip() or "null"}}}')


@post("/web/interests/remove")
async def remove(view: View) -> Reply:
    """Remove one queue's subscription, once the confirmation was typed."""
    form = await forms.read(view.request)
    queue = form.text("queue").strip()
    checks.name_of_queue("queue", queue)
    forms.typed(form, f"remove {queue}")
    await view.actions.act("interest.remove", queue, queue, match=None)
    return view.back("/interests", "interest.remove")


@post("/web/interests")
async def change(view: View) -> Reply:
    """Set one queue's subscription."""
    form = await forms.read(view.request)
    queue = form.text("queue").strip()
    checks.name_of_queue("queue", queue)
    match = _match(form)
    if form.text("queue_was") == queue:
        now = _text((await view.engine.reading.interests()).interests.get(queue))
        if now not in (form.text("match_was"), _text(match)):
            raise Conflict("Somebody has changed this subscription since the form was shown. Open it again.")
    await view.actions.act("interest.set", queue, queue, match=match)
    return view.back("/interests", "interest.set", queue=queue)


def _text(match: Match | None) -> str:
    return msgspec.json.encode(match, order="deterministic").decode()


def _match(form: forms.Form) -> Match:
    """What the form says; what was not touched is what it was, since not every pattern can be written in a field."""
    pairs = [pair for pair in zip(form.all("field"), form.all("value"), strict=False) if any(pair)]
    with suppress(msgspec.DecodeError):
        was = msgspec.json.decode(form.text("match_was"), type=dict[str, str] | str | None)
        if was is not None and (form.has("everything"), pairs) == _fields(was):
            return was
    if form.has("everything"):
        return "*"
    if not pairs:
        raise breach("match", "is empty: give a field pattern and a value pattern, or select “All events”")
    return msgspec.convert(dict(pairs), dict[str, str])


def _fields(match: Match) -> tuple[bool, list[tuple[str, str]]]:
    """Whether “All events” is ticked, and the pairs, as a browser sends what is shown."""
    found = match.items() if isinstance(match, dict) else ()
    pairs = [(forms.in_a_line(field), forms.in_a_line(value)) for field, value in found]
    return match == "*", [pair for pair in pairs if any(pair)]


ROUTES: list[Route] = [show_interests, test, remove, change]
