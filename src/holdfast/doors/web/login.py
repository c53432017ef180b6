"""Who is logged in: the form, the session's cookie, and the way out.

A key is typed once; from then on a cookie stands for it (`auth/session.py`), which scripts can't read and other sites can't send. What the
person may do follows from the key's abilities: a viewer has `read`, an operator `produce` and `manage` as well, an admin `admin`.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import structlog
from litestar import Request, Response, get, post
from litestar.datastructures import State as AppState
from litestar.response import Redirect

from holdfast.auth import session
from holdfast.auth.caller import Caller
from holdfast.auth.keyring import Keyring
from holdfast.auth.keys import Ability
from holdfast.doors.web import forms
from holdfast.doors.web.layout import View
from holdfast.engine.engine import Engine
from holdfast.errors import Forbidden, HoldfastError
from holdfast.http.cookies import cookie_in
from holdfast.limits import SESSION_S

log = structlog.get_logger(__name__)
COOKIE = "holdfast_session"
PATH = "/web/login"


def by_cookie(keyring: Keyring, headers: Mapping[bytes, bytes]) -> Caller | None:
    """Whose session a request belongs to."""
    cookie = cookie_in(headers.get(b"cookie"), COOKIE)
    caller = None if cookie is None else session.caller_of(keyring, cookie)
    if caller is not None:
        caller.count()
    return caller


@get(PATH, include_in_schema=False)
async def show_login(request: Request[Any, Any, Any], state: AppState) -> Response[bytes]:
    """The form."""
    view = View(request, state, needs_login=False)
    if not view.engine.keyring.in_force or view.caller is not None:
        return _to(Redirect(view.at("")))
    return view.page("login.html", "Log in", "", {"next": _next(view.query.get("next", "")), "problem": ""})


@post(PATH, include_in_schema=False)
async def login(request: Request[Any, Any, Any], state: AppState) -> Response[Any]:
    """Log in with a key."""
    view, form = View(request, state, needs_login=False), await forms.read(request)
    engine: Engine = state.engine
    target = _next(form.text("next"))
    try:
        caller = engine.keyring.caller_by_secret(form.text("key").strip().encode() or None, _address(request))
        if Ability.READ not in caller.abilities:
            raise Forbidden(f"The key {caller.key.name} lacks the ability read.", ability=Ability.READ.value)
    except HoldfastError as error:
        values = {"next": target, "problem": error.detail}
        log.warning("a login failed", code=error.code, address=_address(request))
        return view.page("login.html", "Log in", "", values, status=401 if error.code != "rate_limited" else 429)
    log.info("a login", key=caller.key.name, address=_address(request))
    response = Redirect(f"{view.root}{target}", status_code=303)
    response.set_cookie(
        COOKIE,
        session.begun(caller),
        max_age=SESSION_S,
        path=view.root or "/",
        secure=view.is_secure,
        httponly=True,
        samesite="strict",
    )
    return response


@post("/web/logout", include_in_schema=False)
async def logout(request: Request[Any, Any, Any], state: AppState) -> Redirect:
    """Forget the session in this browser."""
    view = View(request, state, needs_login=False)
    await forms.read(request)
    response = Redirect(view.at("/login"), status_code=303)
    response.delete_cookie(COOKIE, path=view.root or "/")
    return response


def to_login(request: Request[Any, Any, Any], root: str) -> Response[Any]:
    """The answer to somebody who is not logged in, or no longer: to the form, and back from there."""
    path = request.url.path if request.method == "GET" and request.headers.get("hx-request") != "true" else ""
    query = f"?{request.url.query}" if request.url.query and path else ""
    target = f"{root}{PATH}" + (f"?next={quote(path + query, safe='')}" if path and path != "/web" else "")
    if request.headers.get("hx-request") == "true":
        return Response(b"", status_code=204, headers={"hx-redirect": target})
    return Redirect(target, status_code=303)


def _next(given: str) -> str:
    """Where to go after a login: a screen of this page, and nowhere else."""
    fine = (
        given.startswith("/web")
        and given[4:5] in ("", "/", "?")
        and given.isascii()
        and given.isprintable()
        and "\\" not in given
    )
    return given if fine and not given.startswith((PATH, "/web//")) else "/web"


def _to(redirect: Redirect) -> Response[Any]:
    return redirect


def _address(request: Request[Any, Any, Any]) -> str:
    return request.client.host if request.client is not None else ""


ROUTES: list[Any] = [show_login, login, logout]
