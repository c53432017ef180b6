"""What every screen has around it: templates, security headers, navigation, the form's token, and the equal command line.

No screen has inline script or style, and none loads anything from elsewhere: the content security policy allows only this server.
"""

import hashlib
import shlex
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from msgspec.structs import replace

from holdfast import __version__
from holdfast.auth.actor import ACTOR, Actor
from holdfast.auth.keys import Ability
from holdfast.doors.rest.state import AppState
from holdfast.doors.web import forms, refill
from holdfast.doors.web.actions import Actions, permit_of
from holdfast.engine.access import caller_here
from holdfast.errors import HoldfastError, InternalError, OutcomeUnknown, Unauthorized
from holdfast.http import route
from holdfast.http.problem import STATUS
from holdfast.http.reply import Pairs, Reply, redirect
from holdfast.http.request import Request
from holdfast.http.route import Route
from holdfast.http.router import Router
from holdfast.http.urlencoded import pairs_of

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", CSP.encode()),
    (b"referrer-policy", b"same-origin"),  # "no-referrer" would take the origin off our own forms too, and the guard wants it
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
HTML = b"text/html; charset=utf-8"
NAVIGATION = (
    ("overview", "", "Overview"),
    ("jobs", "/jobs", "Jobs"),
    ("failures", "/failures", "Failures"),
    ("workers", "/workers", "Workers"),
    ("interests", "/interests", "Subscriptions"),
    ("schedules", "/schedules", "Schedules"),
    ("operations", "/operations", "Operations"),
    ("batches", "/batches", "Batches"),
    ("budgets", "/budgets", "Budgets"),
    ("enqueue", "/enqueue", "Enqueue"),
    ("audit", "/audit", "Audit log"),
    ("keys", "/keys", "Access keys"),
)
_NEEDS = {"enqueue": Ability.PRODUCE, "audit": Ability.ADMIN, "keys": Ability.ADMIN}
"""What a screen is for; who may not do that is not shown the way to it. All others need `read`."""
_OF_ALL = frozenset(("budgets",))
"""Screens of what belongs to all queues, for keys that see them all."""
_COOKIE_S = 400 * 86_400  # the longest that browsers keep a cookie


def segment(text: str) -> str:
    """A part of a path. Browsers take `.` and `..` for steps even where they are escaped; the server reads them escaped twice."""
    return "%252E" * len(text) if text in (".", "..") else quote(text, safe="")


def _template(name: str) -> Any:
    from holdfast.doors.web.compiled import templates  # noqa: PLC0415  (jinja2: 20 ms of each start, for a page that may have no visitor)

    return templates().get_template(name)


def actor_of(request: Request) -> Actor:
    """The actor: the key if keys are in force, else a mark of the browser; and the address."""
    cookie = forms.cookie_of(request)
    name = "" if cookie is None else f"browser {hashlib.sha256(cookie.encode()).hexdigest()[:6]}"
    return replace(ACTOR.get(), name=ACTOR.get().name or name, door="web")


_TONES = (
    ("prod", "red"),
    ("live", "red"),
    ("stag", "amber"),
    ("pre", "amber"),
    ("qa", "amber"),
    ("test", "amber"),
    ("dev", "green"),
)


def tone(environment: str) -> str:
    """The colour of an environment: red for production, amber for staging, green for development, else violet."""
    name = environment.lower()
    return next((colour for start, colour in (*_TONES, ("local", "green")) if name.startswith(start)), "violet")


class View:
    """One request for a screen."""

    def __init__(self, request: Request, state: AppState, *, needs_login: bool = True) -> None:
        """Raises `Unauthorized` if access keys are in force and nobody is logged in, except on the login screen."""
        self.request = request
        self.state = state
        self.engine = state.engine
        self.caller = request.caller if self.engine.keyring.in_force else None
        if needs_login and (caller := caller_here(self.engine.keyring)) is not None:
            caller.need(Ability.READ)
        self.root = state.root_path
        self.home = f"{self.root}/web"
        self.environment = state.environment
        self.actions = Actions(self.engine, permit_of(self.engine, self.caller), actor_of(request))
        self.asked = forms.asked(request)
        self.query = self.asked.flat()
        self._cookie = forms.cookie_of(request)

    @property
    def is_secure(self) -> bool:
        """Whether the browser uses TLS, to us or to a proxy."""
        told = self.request.header("x-forwarded-proto").partition(",")[0].strip().lower()
        return told == "https" or self.state.certificate is not None

    def at(self, path: str, **query: Any) -> str:
        """The URL of a screen; empty values are left out of its query."""
        given = {name: value for name, value in query.items() if value not in (None, "")}
        path = "/".join(segment(part) if part in (".", "..") else part for part in path.split("/"))
        return f"{self.home}{path}" + (f"?{urlencode(given)}" if given else "")

    def curl(self, method: str, path: str, body: str | None = None, **query: Any) -> str:
        """The curl command for the same API call."""
        given = {name: value for name, value in query.items() if value not in (None, "")}
        url = self._outside() + path + (f"?{urlencode(given)}" if given else "")
        parts = ["curl"]
        if method not in ("GET", "POST") or (method == "POST" and body is None):
            parts += ["-X", method]
        if body is not None:
            parts += ["--json", shlex.quote(body)]
        return " ".join([*parts, shlex.quote(url)])

    def _outside(self) -> str:
        scheme = self.request.header("x-forwarded-proto").partition(",")[0].strip().lower()
        host = self.request.header("host") or "127.0.0.1:4653"
        return f"{'https' if scheme == 'https' else 'http'}://{host}{self.root}"

    def page(self, template: str, title: str, here: str, values: Mapping[str, Any], curl: str = "", status: int = 200) -> Reply:
        """A whole screen."""
        cookie = self._cookie or forms.new_cookie()
        body = _template(template).render(self._given(cookie) | {"title": title, "here": here, "curl": curl} | dict(values))
        headers: Pairs = HEADERS
        if self._cookie is None:
            given = forms.set_cookie(forms.COOKIE, cookie, _COOKIE_S, self.root or "/", secure=self.is_secure)
            headers += ((b"set-cookie", given),)
        return Reply(status, body.encode("utf-8", "replace"), HTML, headers)

    def part(self, template: str, values: Mapping[str, Any], status: int = 200) -> Reply:
        """A fragment of a screen, to be inserted into an open one."""
        body = _template(template).render(self._given(self._cookie or "") | dict(values))
        return Reply(status, body.encode("utf-8", "replace"), HTML, HEADERS)

    def back(self, path: str, done: str = "", **query: Any) -> Reply:
        """Redirect to another screen after an action, whose message that screen shows."""
        return redirect(self.at(path, done=done, **query))

    def _may_see(self, screen: str) -> bool:
        if not self.engine.keyring.in_force:
            return True
        if self.caller is None or (screen in _OF_ALL and self.caller.scope is not None):
            return False
        return {Ability.READ, _NEEDS.get(screen, Ability.READ)} <= self.caller.abilities

    def _given(self, cookie: str) -> dict[str, Any]:
        return {
            "root": self.root,
            "home": self.home,
            "at": self.at,
            "navigation": [one for one in NAVIGATION if self._may_see(one[0])],
            "logged_in": self.caller.key.name if self.caller is not None else "",
            "version": __version__,
            "environment": self.environment,
            "tone": tone(self.environment),
            "form_token": forms.token(cookie) if cookie else "",
            "may": self.actions.may,
            "done": self.actions.said(self.query.get("done", ""), self.query.get("n", "")),
            "durability": self.engine.durability,
            "draining": self.engine.draining,
        }


_SCREENS: list[Route] = []
_NO_SCREENS = ("/web/stream", "/web/history", "/web/static/{name}", "/web/login")
_NO_REFUSALS = {
    one.code for one in (Unauthorized, OutcomeUnknown, InternalError)
}  # it may be done, or another screen comes first
_REFILLED_BYTES = 512 << 10  # a larger form is not shown again


def get(path: str, **row: Any) -> Callable[[Any], Route]:
    """A route that shows a screen; its handler is given a `view`."""

    def keep(handler: Any) -> Route:
        made = route.get(path, given={"view": View}, **row)(handler)
        if path not in _NO_SCREENS:
            _SCREENS.append(made)
        return made

    return keep


def post(path: str, **row: Any) -> Callable[[Any], Route]:
    """A route that acts; its handler is given a `view`. A refused form is shown again, as it was sent."""

    def keep(handler: Any) -> Route:
        @wraps(handler)
        async def act(**given: Any) -> Any:
            try:
                return await handler(**given)
            except HoldfastError as error:
                shown = await _again(given["view"], error)
                if shown is None:
                    raise
                return shown

        return route.post(path, given={"view": View}, **row)(act)

    return keep


@cache
def _screens() -> Router:
    return Router(_SCREENS)


async def _again(view: View, error: HoldfastError) -> Reply | None:
    """The screen that a refused form is on, with what was typed and what is wrong; None where it is not known or can't be shown."""
    request, status = view.request, STATUS.get(error.code, 500)
    field = str(error.fields.get("field") or "")
    if error.code in _NO_REFUSALS or field == forms.FIELD or request.header("hx-request"):
        return None
    if len(request.body) > _REFILLED_BYTES:
        return None
    try:
        pairs = await pairs_of(request.body, max_fields=forms.FIELDS)
    except (ValueError, UnicodeDecodeError):
        return None
    came_from = dict(pairs).get(refill.CAME_FROM) or request.header("referer")
    try:
        place = urlsplit(came_from)
    except ValueError:  # such as "http://[", which is no address
        return None
    path = unquote(place.path.removeprefix(view.root))
    found = _screens().find("GET", path)
    if found is None:
        return None
    screen, values = found
    asking = replace(
        request,
        method="GET",
        path=place.path,
        query_string=place.query.encode("ascii", "replace"),
        body=b"",
        route=screen,
        values=values,
    )
    try:
        shown = await screen.answer(asking, view.state, _nothing_to_read)
    except HoldfastError:
        return None
    if shown.status != 200 or not shown.content_type.startswith(b"text/html"):
        return None
    action = f"{view.root}{request.path}"
    where = place.path + (f"?{place.query}" if place.query else "")
    said = error.detail if status >= 500 else f"{error.detail} Nothing was changed."  # of many, some may have been done
    again = refill.refilled(shown.body.decode(), action, pairs, field, said, where)
    return None if again is None else replace(shown, status=status, body=again.encode())


async def _nothing_to_read(_kind: bytes | None, _body: bytes, _type: Any) -> Any:
    return None
