"""The API described: the OpenAPI document made from the rows of the routes, and Swagger UI to read and try it, served from here alone."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from holdfast import __version__
from holdfast.doors.rest.answers import Problem
from holdfast.doors.rest.login import OPEN
from holdfast.doors.rest.state import AppState
from holdfast.engine import checks
from holdfast.errors import NotFound
from holdfast.http import openapi
from holdfast.http.problem import STATUS
from holdfast.http.reply import Reply
from holdfast.http.route import Route, get

_STATIC = files(__package__) / "static"
_FILES = {
    "swagger-ui-bundle.js": ("swagger-ui/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    "swagger-ui.css": ("swagger-ui/swagger-ui.css", "text/css; charset=utf-8"),
    "favicon-32x32.png": ("swagger-ui/favicon-32x32.png", "image/png"),
    "start.js": ("start.js", "text/javascript; charset=utf-8"),
}
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ABOUT = {
    "title": "Holdfast",
    "version": __version__,
    "description": "A work queue server that never lets go of a job. An answer means that it is kept.",
}
_TAGS = {
    "producing": "Enqueue jobs.",
    "consuming": "Dequeue jobs under a lease (visibility timeout), and conclude, fail or release them.",
    "routing": "Publish events to the queues that subscribe to them, and manage these interests (subscriptions).",
    "workers": "Who works.",
    "operations": "Bulk work by the server.",
    "batches": "Jobs that are counted together, and what runs when they have ended.",
    "schedules": "Recurring jobs.",
    "budgets": "How many jobs may start in a time, or run at once, over all queues.",
    "keys": "Access keys: who may do what, on which queues.",
    "jobs": "List, inspect and manage jobs.",
    "queues": "Queues and their settings.",
    "system": "The server itself.",
}
_SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "hf_…",
        "description": "An access key. As long as the store has none, nobody is asked for one.",
    },
    "basic": {"type": "http", "scheme": "basic", "description": "The access key as the password; any user name will do."},
}
_RAW_BODY = {
    "schema": {"type": "string", "format": "binary"},
    "x-description": "Any type but JSON: the body is the payload, kept as it is; options are query parameters.",
}


@cache
def _file(name: str) -> bytes:
    return (_STATIC / name).read_bytes()


def document(routes: Iterable[Route], root_path: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of every route; each may answer with a problem."""
    made = openapi.document(_ABOUT, routes, _TAGS, root_path or "/", Problem, _SECURITY, OPEN)
    schemas = made["components"]["schemas"]
    _add_bounds(schemas["QueueSettings"], checks.SETTINGS)
    _add_bounds(schemas["RetryPolicy"], checks.RETRY)
    schemas["Problem"]["properties"]["code"] = {"type": "string", "enum": sorted(STATUS)}
    made["paths"]["/v1/queues/{queue}/jobs"]["post"]["requestBody"]["content"]["application/octet-stream"] = _RAW_BODY
    return made


def _add_bounds(schema: dict[str, Any], bounds: Mapping[str, tuple[float, float]]) -> None:
    """Describe the bounds of numbers that are no part of their types."""
    for field, (low, high) in bounds.items():
        described = schema["properties"][field]
        for choice in described.get("anyOf", (described,)):
            if choice["type"] in ("integer", "number"):
                choice |= {"minimum": low, "maximum": high}


@get("/openapi.json")
async def openapi_json(state: AppState) -> Reply:
    """The document."""
    made = state.cached.get("openapi")
    if made is None:
        made = msgspec.json.format(msgspec.json.encode(document(state.routes, state.root_path)))
        state.cached["openapi"] = made
    return Reply(200, made)


@get("/docs")
async def page() -> Reply:
    """Swagger UI."""
    return Reply(200, _file("docs.html"), b"text/html; charset=utf-8", ((b"content-security-policy", _CSP.encode()),))


@get("/docs/{name}")
async def asset(name: str) -> Reply:
    """A file of Swagger UI."""
    if name not in _FILES:
        raise NotFound(f"There is nothing at /docs/{name[:100]}.")
    path, kind = _FILES[name]
    return Reply(200, _file(path), kind.encode(), cache=b"public, max-age=86400")


ROUTES: list[Route] = [openapi_json, page, asset]
