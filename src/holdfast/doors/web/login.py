"""Login: the form, the session's cookie, and logout.

A key is typed once; then a cookie represents it (`auth/session.py`), which scripts can't read and other sites can't send.
Rights follow from the key's abilities: a viewer has `read`, an operator `produce` and `manage` as well, an admin `admin`.
"""

from collections.abc import Mapping
from urllib.parse import quote

from msgspec.structs import replace

from holdfast.auth import session
from holdfast.auth.actor import ACTOR
from holdfast.auth.caller import HOW_TO_SEND, Caller
from holdfast.auth.keyring import Keyring
from holdfast.auth.keys import Ability
from holdfast.doors.rest.state import AppState
from holdfast.doors.web import forms
from holdfast.doors.web.layout import View
from holdfast.errors import Forbidden, HoldfastError
from holdfast.http.cookies import cookie_in
from holdfast.http.reply import Reply, redirect
from holdfast.http.request import Request
from holdfast.http.route import Route, get, post
from holdfast.limits import SESSION_S
from holdfast.messages.audit import AuditEntry

COOKIE = "holdfast_session"
PATH = "/web/login"


def by_cookie(keyring: Keyring, headers: Mapping[bytes, bytes]) -> Caller | None:
    """The caller of the session that a request belongs to."""
    cookie = cookie_in(headers.get(b"cookie"), COOKIE)
    caller = None if cookie is None else session.caller_of(keyring, cookie)
    if caller is not None:
        caller.count()
    return caller


@get(PATH)
async def show_login(request: Request, state: AppState) -> Reply:
    """The form."""
    view = View(request, state, needs_login=False)
    if not view.engine.keyring.in_force or view.caller is not None:
        return redirect(view.at(""))
    return view.page("login.html", "Log in", "", {"next": _next(view.query.get("next", "")), "problem": ""})


@post(PATH)
async def login(request: Request, state: AppState) -> Reply:
    """Log in with a key."""
    view, form = View(request, state, needs_login=False), await forms.read(request)
    engine, target, name = state.engine, _next(form.text("next")), ""
    try:
        caller = engine.keyring.caller_by_secret(form.text("key").strip().encode() or None, request.address)
        name = caller.key.name
        if Ability.READ not in caller.abilities:
            raise Forbidden(f"The key {name} lacks the ability read.", ability=Ability.READ.value)
    except HoldfastError as error:
        await engine.record(_entry("login", name, error.code))
        values = {"next": target, "problem": error.detail.removesuffix(HOW_TO_SEND)}
        return view.page("login.html", "Log in", "", values, status=401 if error.code != "rate_limited" else 429)
    await engine.record(_entry("login", name))
    answer = redirect(f"{view.root}{target}")
    cookie = forms.set_cookie(COOKIE, session.begun(caller), SESSION_S, view.root or "/", secure=view.is_secure)
    answer.extra += ((b"set-cookie", cookie),)
    return answer


@post("/web/logout")
async def logout(request: Request, state: AppState) -> Reply:
    """Forget the session in this browser."""
    view = View(request, state, needs_login=False)
    await forms.read(request)
    if view.caller is not None:
        await state.engine.record(_entry("logout", view.caller.key.name))
    answer = redirect(view.at("/login"))
    answer.extra += ((b"set-cookie", forms.set_cookie(COOKIE, "", 0, view.root or "/", secure=view.is_secure)),)
    return answer


def _entry(action: str, name: str, code: str = "") -> AuditEntry:
    """The audit log entry of a login. `name` is that of the key, if it is known."""
    actor = replace(ACTOR.get(), name=name, door="web")
    return AuditEntry(action, target=name, outcome=code or "done", done=0 if code else 1, refused=1 if code else 0, actor=actor)


def to_login(request: Request, root: str) -> Reply:
    """The answer to a browser without a valid session: to the form, and back from there."""
    is_part = request.header("hx-request") == "true"
    path = request.path if request.method == "GET" and not is_part else ""
    query = f"?{request.query_string.decode('latin-1')}" if request.query_string and path else ""
    target = f"{root}{PATH}" + (f"?next={quote(path + query, safe='')}" if path and path != "/web" else "")
    if is_part:
        return Reply(204, extra=((b"hx-redirect", target.encode()),))
    return redirect(target)


def _next(given: str) -> str:
    """The address after a login: always on this page."""
    fine = (
        given.startswith("/web")
        and given[4:5] in ("", "/", "?")
        and given.isascii()
        and given.isprintable()
        and "\\" not in given
    )
    return given if fine and not given.startswith((PATH, "/web//")) else "/web"


ROUTES: list[Route] = [show_login, login, logout]
