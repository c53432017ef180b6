"""CouchQueue's routes: one for each kind of thing, with a meaning for each method, and `/api` where an action is called by its name.

GET /task takes a task, and through `/api` a GET can do anything: so these paths are as closed to pages of other sites as a POST is.
"""

from typing import Any

from litestar import HttpMethod, Request, Response, Router, route
from litestar.datastructures import State as AppState
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from msgspec.structs import replace

from holdfast.auth.actor import ACTOR, acting_as
from holdfast.doors.dialects.couchqueue import parameters, replies
from holdfast.doors.dialects.couchqueue.actions import ACTIONS
from holdfast.doors.rest.app import Dialect
from holdfast.errors import HoldfastError, InvalidRequest, NotFound, PayloadTooLarge

_EVERY = [HttpMethod.GET, HttpMethod.POST, HttpMethod.PUT, HttpMethod.PATCH, HttpMethod.DELETE]
_BY_METHOD: dict[str, dict[str, str]] = {
    "/task": {"PUT": "taskCreate", "GET": "taskGet", "POST": "taskUpdate"},
    "/worker": {"PUT": "workerRegister", "DELETE": "workerDelete"},
    "/interest": {"PUT": "interestCreate", "DELETE": "interestDelete"},
    "/queue": {"DELETE": "queueDelete"},
    "/status": {"GET": "status", "HEAD": "status"},
}


def _route(path: str, actions: dict[str, str]) -> HTTPRouteHandler:
    @route(path, http_method=[HttpMethod(method) for method in actions], status_code=200)
    async def act(request: Request[Any, Any, Any], state: AppState) -> Response[bytes]:
        return await _answer(state, actions[request.method], await parameters.read(request))

    return act


@route(["/api", "/api/{name:str}"], http_method=_EVERY, status_code=200)
async def by_name(request: Request[Any, Any, Any], state: AppState) -> Response[bytes]:
    """The action that the path or `action` names."""
    given = await parameters.read(request)
    called: str = request.path_params.get("name") or given.need("action")
    if called not in ACTIONS:
        raise NotFound(f"Error: {called[:100]} is not an action")
    return await _answer(state, called, given)


async def _answer(state: AppState, action: str, given: parameters.Parameters) -> Response[bytes]:
    with acting_as(replace(ACTOR.get(), door="couchqueue")):
        return replies.answer(await ACTIONS[action](state.engine, given))


def _refused(_: Request[Any, Any, Any], error: HoldfastError) -> Response[bytes]:
    return replies.refused(error)


def _http_refused(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What the framework itself refuses while it reads the body."""
    if error.status_code == 413:
        return replies.refused(PayloadTooLarge("The body is too large."))
    return replies.refused(InvalidRequest(error.detail or "The request is not valid."))


DIALECT = Dialect(
    [
        Router(
            "/",
            route_handlers=[*(_route(path, actions) for path, actions in _BY_METHOD.items()), by_name],
            exception_handlers={HoldfastError: _refused, HTTPException: _http_refused},
            include_in_schema=False,
        )
    ],
    claiming=frozenset(("/task", "/api", *(f"/api/{name}" for name in ACTIONS))),
)
