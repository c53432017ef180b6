"""CouchQueue's routes: one for each kind of thing, with a meaning for each method, and `/api` where an action is called by its name.

GET /task takes a task, and through `/api` a GET can do anything: so these paths are as closed to pages of other sites as a POST is.
"""

from msgspec.structs import replace

from holdfast.auth.actor import ACTOR, acting_as
from holdfast.doors.dialects.couchqueue import parameters, replies
from holdfast.doors.dialects.couchqueue.actions import ACTIONS
from holdfast.doors.rest.app import Dialect
from holdfast.doors.rest.state import AppState
from holdfast.errors import NotFound
from holdfast.http.reply import Reply
from holdfast.http.request import Request
from holdfast.http.route import Route, route

_EVERY = ("GET", "POST", "PUT", "PATCH", "DELETE")
_BY_METHOD: dict[str, dict[str, str]] = {
    "/task": {"PUT": "taskCreate", "GET": "taskGet", "POST": "taskUpdate"},
    "/worker": {"PUT": "workerRegister", "DELETE": "workerDelete"},
    "/interest": {"PUT": "interestCreate", "DELETE": "interestDelete"},
    "/queue": {"DELETE": "queueDelete"},
    "/status": {"GET": "status", "HEAD": "status"},
}


def _route(method: str, path: str, action: str) -> Route:
    @route(method, path)
    async def act(request: Request, state: AppState) -> Reply:
        return await _answer(state, action, await parameters.read(request))

    return act


async def by_name(request: Request, state: AppState) -> Reply:
    """The action that the path or `action` names."""
    given = await parameters.read(request)
    called = request.values[0] if request.values else given.need("action")
    if called not in ACTIONS:
        raise NotFound(f"Error: {called[:100]} is not an action")
    return await _answer(state, called, given)


async def _answer(state: AppState, action: str, given: parameters.Parameters) -> Reply:
    with acting_as(replace(ACTOR.get(), door="couchqueue")):
        return replies.answer(await ACTIONS[action](state.engine, given))


DIALECT = Dialect(
    [
        *(_route(method, path, action) for path, actions in _BY_METHOD.items() for method, action in actions.items()),
        *(route(method, path)(by_name) for path in ("/api", "/api/{name}") for method in _EVERY),
    ],
    replies.refused,
    claiming=frozenset(("/task", "/api", *(f"/api/{name}" for name in ACTIONS))),
)
