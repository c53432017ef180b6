"""The page as a door: its routes, and refusals shown to people."""

import sys
from threading import Thread

from holdfast.doors.rest.app import Dialect
from holdfast.doors.rest.state import AppState
from holdfast.doors.web import (
    assets,
    audit,
    batches,
    budgets,
    bulk,
    columns,
    enqueue,
    failures,
    interests,
    job_list,
    jobs,
    keys,
    live,
    login,
    operations,
    overview,
    previews,
    queues,
    schedules,
    store,
    suggestions,
    workers,
)
from holdfast.doors.web.layout import View
from holdfast.errors import BY_CODE, HoldfastError, Unauthorized
from holdfast.http.problem import STATUS
from holdfast.http.reply import Reply
from holdfast.http.request import Request

_SWITCH_S = 0.0005  # the thread that compiles gives way to those who are answered after half a millisecond, not five


def _shown(request: Request, state: AppState, error: HoldfastError) -> Reply:
    """A refusal for people."""
    if error.code == Unauthorized.code:
        return login.to_login(request, state.root_path)
    status = STATUS.get(error.code, 500)
    title = BY_CODE[error.code].title if error.code in BY_CODE else "This action failed"
    request.query_string = b""  # it may be what was refused
    values = {"detail": error.detail, "code": error.code, "status": status}
    view = View(request, state, needs_login=False)
    if request.header("hx-request") == "true":
        return view.part("_problem.html", values, status=status)
    return view.page("problem.html", title, "", values, status=status)


def warm() -> None:
    """Compile the templates in advance, so that the first visitor does not wait for that; a few seconds after the start, which has enough to do."""
    Thread(target=_compile_all, name="templates", daemon=True).start()


def _compile_all() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _SWITCH_S))
    try:
        from holdfast.doors.web import compiled  # noqa: PLC0415  (see `layout`)

        compiled.compile_all()
    finally:
        sys.setswitchinterval(before)


PAGE = Dialect(
    [
        *overview.ROUTES,
        *queues.ROUTES,
        *bulk.ROUTES,
        *operations.ROUTES,
        *job_list.ROUTES,
        *columns.ROUTES,
        *jobs.ROUTES,
        *failures.ROUTES,
        *workers.ROUTES,
        *interests.ROUTES,
        *schedules.ROUTES,
        *batches.ROUTES,
        *budgets.ROUTES,
        *store.ROUTES,
        *enqueue.ROUTES,
        *previews.ROUTES,
        *suggestions.ROUTES,
        *audit.ROUTES,
        *keys.ROUTES,
        *login.ROUTES,
        *live.ROUTES,
        *assets.ROUTES,
    ],
    _shown,
)
