"""The page as a door: its routes, and refusals shown to people."""

from threading import Thread
from typing import Any

import structlog
from litestar import Request, Response, Router
from litestar.datastructures import State as AppState
from litestar.exceptions import HTTPException, ValidationException

from holdfast.doors.rest import replies
from holdfast.doors.rest.app import Dialect
from holdfast.doors.web import (
    assets,
    audit,
    bulk,
    enqueue,
    failures,
    interests,
    job_list,
    jobs,
    keys,
    live,
    login,
    overview,
    queues,
    schedules,
    store,
    suggestions,
    workers,
)
from holdfast.doors.web.layout import View, compile_all
from holdfast.errors import BY_CODE, HoldfastError, InternalError, InvalidRequest, NotFound, PayloadTooLarge, Unauthorized

log = structlog.get_logger(__name__)


def _shown(request: Request[Any, Any, Any], error: HoldfastError) -> Response[bytes]:
    if error.code == Unauthorized.code:
        return login.to_login(request, request.app.state.root_path)
    status = replies.STATUS.get(error.code, 500)
    title = BY_CODE[error.code].title if error.code in BY_CODE else "This action failed"
    request.scope["query_string"] = b""  # it may be what was refused
    values = {"detail": error.detail, "code": error.code, "status": status}
    view = View(request, AppState(request.app.state), needs_login=False)
    if request.headers.get("hx-request") == "true":
        return view.part("_problem.html", values, status=status)
    return view.page("problem.html", title, "", values, status=status)


def _http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What the framework itself refuses."""
    if error.status_code == 404:
        return _shown(request, NotFound("There is no such page."))
    if error.status_code == 413:
        return _shown(request, PayloadTooLarge("The form is too large."))
    if isinstance(error, ValidationException) and isinstance(error.extra, list) and error.extra:
        first = error.extra[0]
        field = str(first.get("key", "address")) if isinstance(first, dict) else "address"
        said = str(first.get("message", "")) if isinstance(first, dict) else ""
        return _shown(request, InvalidRequest(f"{field} is not valid: {said}.", field=field))
    if error.status_code < 500:
        return _shown(request, InvalidRequest(error.detail or "The request is not valid.", field="request"))
    return _shown(request, InternalError())


def _defect(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.error("a screen raised", method=request.method, path=request.url.path, exc_info=error)
    return _shown(request, InternalError())


def warm() -> None:
    """Get ready while nobody looks yet: the first to see a screen does not wait for its template to be compiled."""
    Thread(target=compile_all, name="templates", daemon=True).start()


PAGE = Dialect(
    [
        Router(
            "/",
            route_handlers=[
                *overview.ROUTES,
                *queues.ROUTES,
                *bulk.ROUTES,
                *job_list.ROUTES,
                *jobs.ROUTES,
                *failures.ROUTES,
                *workers.ROUTES,
                *interests.ROUTES,
                *schedules.ROUTES,
                *store.ROUTES,
                *enqueue.ROUTES,
                *suggestions.ROUTES,
                *audit.ROUTES,
                *keys.ROUTES,
                *login.ROUTES,
                *live.ROUTES,
                *assets.ROUTES,
            ],
            exception_handlers={HoldfastError: _shown, HTTPException: _http, Exception: _defect},
            include_in_schema=False,
        )
    ]
)
