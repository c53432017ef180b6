"""Access keys: list, create, edit, rotate, revoke. A secret is shown once, on the screen that answers its creation."""

import time
from contextlib import suppress

from msgspec import UNSET

from holdfast import limits
from holdfast.auth.keys import Ability, Key, KeyChanges, abilities_of
from holdfast.doors.web import forms
from holdfast.doors.web.layout import View, get, post
from holdfast.errors import KeyNotFound, NotFound, breach
from holdfast.http.reply import Reply
from holdfast.http.route import Route

_SHOWN = 500
_DAY_MS = 86_400_000


@get("/web/keys")
async def show_keys(view: View) -> Reply:
    """All keys, and a form for a new one, or for the one with this name."""
    return await _screen(view)


@post("/web/keys")
async def create(view: View) -> Reply:
    """Create a key."""
    form = await forms.read(view.request)
    days = form.int("days")
    key, secret = await view.actions.act(
        "key.create",
        form.text("name").strip(),
        abilities=abilities_of(form.all("ability")),
        queues=tuple(_named(form.text("queues"))) or ("*",),
        expires_ms=None if days is None else days * _DAY_MS,
        sees_payloads=not form.has("hide_payloads"),
        note=form.text("note").strip(),
    )
    return await _screen(view, key, secret)


@post("/web/keys/{name}/{verb}")
async def act(view: View, name: str, verb: str) -> Reply:
    """Edit, rotate or revoke one."""
    form = await forms.read(view.request)
    if verb == "edit":
        before = None
        with suppress(KeyNotFound):  # which the action says, where its key may know
            before = await view.engine.keys.one(name)
        await view.actions.act("key.edit", name, changes=_changes(form, before))
        return view.back("/keys", done="key.edit")
    if verb == "rotate":
        days = form.int("days")
        if days is not None and days * _DAY_MS > limits.KEY_EXPIRES_MS_MAX:
            raise breach("days", f"must be at most {limits.KEY_EXPIRES_MS_MAX // _DAY_MS}")
        key, secret = await view.actions.act("key.rotate", name, old_ms=(1 if days is None else days) * _DAY_MS)
        return await _screen(view, key, secret)
    if verb == "revoke":
        await view.actions.act("key.revoke", name)
        return view.back("/keys", done="key.revoke")
    raise NotFound(f"There is no action {verb[:40]} for access keys.")


def texts_of(key: Key) -> forms.Texts:
    """What the fields of the form show."""
    return {
        "ability": [ability.value for ability in key.abilities],
        "queues": ", ".join(key.queues),
        "note": key.note,
        "hide_payloads": [] if key.sees_payloads else ["1"],
    }


def _named(queues: str) -> list[str]:
    return queues.replace(",", " ").split()


def _changes(form: forms.Form, before: Key | None) -> KeyChanges:
    """The fields of the form that were touched; the expiry stays unless `days` or `never` is given. What was taken from the key, or given to it,
    since the form was shown stays so, too.
    """
    days, never = form.int("days"), form.has("never")
    if never and days is not None:
        raise breach("days", "must be empty for a key that never expires")
    was, abilities, queues = form.showed(), form.all("ability"), _named(form.text("queues"))
    if before is not None and was:
        abilities = forms.with_changes(was.get("ability", ()), abilities, [one.value for one in before.abilities])
        queues = forms.with_changes(_named(f"{was.get('queues', '')}"), queues, before.queues)
    return KeyChanges(
        abilities_of(abilities) if form.touches("ability") else UNSET,
        tuple(queues) if form.touches("queues") else UNSET,
        UNSET if days is None and not never else None if days is None else days * _DAY_MS,
        not form.has("hide_payloads") if form.touches("hide_payloads") else UNSET,
        form.text("note").strip() if form.touches("note") else UNSET,
    )


async def _screen(view: View, made: Key | None = None, secret: str = "") -> Reply:
    keys = await view.engine.keys.all()
    name = view.query.get("name", "")
    edited = next((key for key in keys if key.name == name), None)
    shown = {"ability": (), "queues": "*", "note": "", "hide_payloads": ()} if edited is None else texts_of(edited)
    values = {
        "edited": edited,
        "shown": shown,
        "was": forms.shown(shown),
        "keys": keys[:_SHOWN],
        "found": len(keys),
        "abilities": [ability.value for ability in Ability],
        "made": made,
        "secret": secret,
        "in_force": view.engine.keyring.in_force,
        "now": time.time_ns() // 1_000_000,
    }
    return view.page("keys.html", "Access keys", "keys", values, view.curl("GET", "/v1/keys"))


ROUTES: list[Route] = [show_keys, create, act]
