"""What every screen has around it: templates, security headers, navigation, the form's token, and the equal command line.

No screen has inline script or style, and none loads anything from elsewhere: the content security policy allows only this server.
"""

import hashlib
import shlex
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from litestar import Request, Response
from litestar.datastructures import State as AppState
from litestar.response import Redirect

from holdfast import __version__, units
from holdfast.auth.caller import CALLER, Caller
from holdfast.auth.keys import Ability
from holdfast.doors.web import assets, formats, forms
from holdfast.doors.web.actions import Actions, permit_of
from holdfast.engine.access import caller_here
from holdfast.engine.engine import Engine

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "referrer-policy": "same-origin",  # "no-referrer" would take the origin off our own forms too, and the guard wants it
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
NAVIGATION = (
    ("overview", "", "Overview"),
    ("jobs", "/jobs", "Jobs"),
    ("failures", "/failures", "Failures"),
    ("workers", "/workers", "Workers"),
    ("interests", "/interests", "Subscriptions"),
    ("schedules", "/schedules", "Schedules"),
    ("enqueue", "/enqueue", "Enqueue"),
    ("audit", "/audit", "Audit log"),
    ("keys", "/keys", "Access keys"),
)
_NEEDS = {"enqueue": Ability.PRODUCE, "audit": Ability.ADMIN, "keys": Ability.ADMIN}
"""What a screen is for; who may not do that is not shown the way to it. All others need `read`."""
_COOKIE_S = 400 * 86_400  # browsers keep none for longer


def _segment(text: str) -> str:
    """A part of a path. Browsers take `.` and `..` for steps even where they are escaped; the server reads them escaped twice."""
    return "%252E" * len(text) if text in (".", "..") else quote(text, safe="")


@cache
def templates() -> jinja2.Environment:
    """The templates, compiled once; what is put in is escaped, and what is missing is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("holdfast.doors.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals["asset"] = assets.address
    made.filters |= {
        "number": formats.number,
        "counted": formats.counted,
        "short": formats.short,
        "rate": formats.rate,
        "duration": formats.duration,
        "ago": formats.ago,
        "moment": formats.moment,
        "clock": formats.clock,
        "iso": formats.iso,
        "size": formats.size,
        "text": formats.text_of,
        "units": units.duration,
        "segment": lambda text: _segment(str(text)),
    }
    return made


def compile_all() -> None:
    """Compile every template, which takes about 0.3 s of computing: in a thread, so that the server serves meanwhile."""
    made = templates()
    for name in made.list_templates():
        made.get_template(name)


def who(request: Request[Any, Any, Any], caller: Caller | None = None) -> str:
    """Who asks: the key, where keys are in force; the address, what a proxy in front says, and a mark of the browser."""
    told = "" if caller is None else f"key {caller.key.name}, "
    told += request.client.host if request.client is not None else "?"
    before = request.headers.get("x-forwarded-for", "").strip()
    if before:
        told += f" for {before[:100]}"
    cookie = forms.cookie_of(request)
    return told if cookie is None else f"{told}, browser {hashlib.sha256(cookie.encode()).hexdigest()[:6]}"


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
    """The colour that an environment is shown in: red where it is in earnest, amber before that, green for development, else violet."""
    name = environment.lower()
    return next((colour for start, colour in (*_TONES, ("local", "green")) if name.startswith(start)), "violet")


class View:
    """One request for a screen."""

    def __init__(self, request: Request[Any, Any, Any], state: AppState, *, needs_login: bool = True) -> None:
        """Raises `Unauthorized` where access keys are in force and nobody is logged in, unless the screen is the way in."""
        self.request = request
        self.engine: Engine = state.engine
        self.caller = CALLER.get() if self.engine.keyring.in_force else None
        if needs_login and (caller := caller_here(self.engine.keyring)) is not None:
            caller.need(Ability.READ)
        self.root: str = state.root_path
        self.home = f"{self.root}/web"
        self.environment: str = state.environment
        self.actions = Actions(self.engine, permit_of(self.engine, self.caller), who(request, self.caller))
        self.asked = forms.asked(request)
        self.query = self.asked.flat()
        self._cookie = forms.cookie_of(request)

    @property
    def is_secure(self) -> bool:
        """Whether the browser speaks TLS, to us or to a proxy in front."""
        told = self.request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
        return "https" in (told, self.request.scope.get("scheme"))

    def at(self, path: str, **query: Any) -> str:
        """The address of a screen; what is empty is left out of its query."""
        given = {name: value for name, value in query.items() if value not in (None, "")}
        path = "/".join(_segment(part) if part in (".", "..") else part for part in path.split("/"))
        return f"{self.home}{path}" + (f"?{urlencode(given)}" if given else "")

    def curl(self, method: str, path: str, body: str | None = None, **query: Any) -> str:
        """The command that asks the API for the same."""
        given = {name: value for name, value in query.items() if value not in (None, "")}
        url = self._outside() + path + (f"?{urlencode(given)}" if given else "")
        parts = ["curl"]
        if method not in ("GET", "POST") or (method == "POST" and body is None):
            parts += ["-X", method]
        if body is not None:
            parts += ["--json", shlex.quote(body)]
        return " ".join([*parts, shlex.quote(url)])

    def _outside(self) -> str:
        headers = self.request.headers
        scheme = headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
        host = headers.get("host") or "127.0.0.1:4653"
        return f"{'https' if scheme == 'https' else 'http'}://{host}{self.root}"

    def page(
        self, template: str, title: str, here: str, values: Mapping[str, Any], curl: str = "", status: int = 200
    ) -> Response[bytes]:
        """A whole screen."""
        cookie = self._cookie or forms.new_cookie()
        body = (
            templates()
            .get_template(template)
            .render(self._given(cookie) | {"title": title, "here": here, "curl": curl} | dict(values))
        )
        response = Response(body.encode("utf-8", "replace"), status_code=status, media_type="text/html", headers=HEADERS)
        if self._cookie is None:
            response.set_cookie(
                forms.COOKIE,
                cookie,
                max_age=_COOKIE_S,
                path=self.root or "/",
                secure=self.is_secure,
                httponly=True,
                samesite="strict",
            )
        return response

    def part(self, template: str, values: Mapping[str, Any], status: int = 200) -> Response[bytes]:
        """A piece of a screen, to be put into one that is open."""
        body = templates().get_template(template).render(self._given(self._cookie or "") | dict(values))
        return Response(body.encode("utf-8", "replace"), status_code=status, media_type="text/html", headers=HEADERS)

    def back(self, path: str, done: str = "", **query: Any) -> Redirect:
        """To another screen after something was done, which that screen then says."""
        return Redirect(self.at(path, done=done, **query), status_code=303)

    def _may_see(self, screen: str) -> bool:
        if not self.engine.keyring.in_force:
            return True
        return self.caller is not None and {Ability.READ, _NEEDS.get(screen, Ability.READ)} <= self.caller.abilities

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
