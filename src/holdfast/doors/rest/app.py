"""The door put together: gate, hot routes, framework, and the OpenAPI document of all of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import msgspec
import structlog
from litestar import Litestar, Request, Response
from litestar.datastructures import State as AppState
from litestar.exceptions import HTTPException, SerializationException, ValidationException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Tag
from litestar.params import HeaderParameter

from holdfast import __version__
from holdfast.doors.rest import bodies, docs, interests, keys, openapi_stubs, replies, routes, schedules, system, workers
from holdfast.doors.rest.hot import Hot
from holdfast.doors.rest.login import ByCookie, Login
from holdfast.doors.rest.middleware import NO_METHOD, Metrics, Middleware, takes_head
from holdfast.doors.websocket import routes as channel
from holdfast.doors.websocket.door import Channels
from holdfast.engine.engine import Engine
from holdfast.errors import (
    HoldfastError,
    InternalError,
    InvalidRequest,
    MalformedJson,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    breach,
)
from holdfast.http.origin import Guard
from holdfast.limits import BODY_BYTES_OVER_PAYLOAD, QUEUE_NAME_CHARS

log = structlog.get_logger(__name__)
_TAGS = [
    Tag("producing", "Enqueue jobs."),
    Tag("consuming", "Dequeue jobs under a lease (visibility timeout), and conclude, fail or release them."),
    Tag("routing", "Publish events to the queues that subscribe to them, and manage these interests (subscriptions)."),
    Tag("workers", "Who works."),
    Tag("schedules", "Recurring jobs."),
    Tag("jobs", "List, inspect and manage jobs."),
    Tag("queues", "Queues and their settings."),
    Tag("keys", "Access keys: who may do what, on which queues."),
    Tag("system", "The server itself."),
]


class JsonRequest(Request[Any, Any, Any]):
    """Has its body read as the hot routes read theirs: by content type, into the route's own type, payloads byte for byte."""

    async def json(self) -> Any:
        """The body as the route's `data`."""
        field = self.route_handler.parsed_data_field
        assert field is not None, "only a route that takes data reads a body"
        content_type = dict(self.scope["headers"]).get(b"content-type")
        kind = field.inner_types[0].annotation if field.is_optional else field.annotation  # no body is fine, a null is not
        return await bodies.read_in_turns(content_type, await self.body(), kind)


class NothingIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a route that takes none."""


_DOTS = {"%2E": ".", "%2E%2E": ".."}
"""How a name of dots stands in a path, where what reads URLs would take it for a step: escaped twice, so that once is left here."""


async def _known_fields(request: Request[Any, Any, Any]) -> None:
    """Refuse an option that the route does not know instead of doing something else; probes and scrapers may add what they like."""
    _strict_path(request)
    if not request.scope["path"].startswith("/v1/"):
        return
    _known_query(request)
    if request.route_handler.parsed_data_field is None and request.method not in ("GET", "HEAD"):
        bodies.read(dict(request.scope["headers"]).get(b"content-type"), await request.body(), NothingIn)


def _strict_path(request: Request[Any, Any, Any]) -> None:
    """A number in a path is digits and nothing else: `int` also takes 1_0, +1, ٣ and 007, and another job would be meant."""
    path: str = request.scope["path"]
    given = request.path_params
    given.update(
        {name: _DOTS[value.upper()] for name, value in given.items() if isinstance(value, str) and value.upper() in _DOTS}
    )
    numbers = [value for value in given.values() if isinstance(value, int)]
    if numbers and not {str(number) for number in numbers} <= set(path.split("/")):
        raise NotFound(f"There is nothing at {path[:200]}.")


def _known_query(request: Request[Any, Any, Any]) -> None:
    fields = request.route_handler.parsed_fn_signature.parameters
    known = {
        getattr(field.kwarg_definition, "name", None) or name: int in (field.annotation, *get_args(field.annotation))
        for name, field in fields.items()
        # the others are in the path or in a header, or are not the caller's
        if field.has_default and name != "data" and not isinstance(field.kwarg_definition, HeaderParameter)
    }
    for name, text in bodies.query_of(request.scope["query_string"]).items():
        if name not in known:
            raise breach(name, "is not a query parameter of this route")
        if known[name]:
            bodies.whole(name, text)


@dataclass(frozen=True)
class Dialect:
    """Another door's vocabulary over the same engine: its routes, and which of its GETs take something."""

    routes: Sequence[Any]
    claiming: frozenset[str] = frozenset()


def build(
    engine: Engine,
    metrics: Metrics,
    guard: Guard,
    root_path: str,
    dialects: Sequence[Dialect] = (),
    home: str = "/docs",
    environment: str = "",
    by_cookie: ByCookie | None = None,
) -> Middleware:
    """The whole door as one ASGI application, the dialects beside it; `home` is where people start, `environment` what the server is for."""
    values = {
        "engine": engine,
        "metrics": metrics,
        "root_path": root_path.rstrip("/"),
        "home": home,
        "environment": environment,
    }
    state = AppState(values)
    return Middleware(
        Hot(engine, root_path),
        framework(state, engine.payload_bytes, dialects),
        guard,
        metrics,
        engine.payload_bytes,
        root_path,
        Channels(engine),
        engine.budget,
        Login(engine.keyring, by_cookie),
    )


def framework(state: AppState, payload_bytes: int, dialects: Sequence[Dialect] = ()) -> Litestar:
    """The routes that the framework serves, and the description of all."""
    return Litestar(
        [
            *routes.ROUTES,
            *interests.ROUTES,
            *workers.ROUTES,
            *schedules.ROUTES,
            *keys.ROUTES,
            *system.ROUTES,
            *openapi_stubs.TWINS,
            *docs.ROUTES,
            *channel.ROUTES,
            *(route for dialect in dialects for route in dialect.routes),
        ],
        state=state,
        openapi_config=OpenAPIConfig(
            title="Holdfast",
            version=__version__,
            description="A work queue server that never lets go of a job. An answer means that it is kept.",
            tags=_TAGS,
            path="/_schema",
            render_plugins=[],
            operation_id_creator=lambda handler, _method, _path: handler.handler_name,
        ),
        plugins=[docs.StructSchemas()],
        request_class=JsonRequest,
        before_request=_known_fields,
        exception_handlers={HoldfastError: _refused, HTTPException: _http_refused, Exception: _defect},
        request_max_body_size=payload_bytes + BODY_BYTES_OVER_PAYLOAD,
        logging_config=None,
    )


def _reply(error: HoldfastError) -> Response[bytes]:
    reply = replies.refused(error)
    headers = {name.decode(): value.decode() for name, value in reply.headers if name != b"content-type"}
    return Response(reply.body, status_code=reply.status, media_type="application/problem+json", headers=headers)


def _refused(_: Request[Any, Any, Any], error: HoldfastError) -> Response[bytes]:
    return _reply(error)


_NAME_PATTERN = re.compile(r"matching regex '\^\[A-Za-z0-9\._:-\]\{1,([0-9]+)\}")  # of a name in a path


def _http_refused(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What the framework itself refuses, in our words."""
    response = _reply(_translated(request, error))
    if error.status_code == 405 and error.headers:
        methods = {"OPTIONS", *error.headers["allow"].split(", ")}
        if "GET" in methods and takes_head(request.scope["path"]):
            methods.add("HEAD")
        if request.scope["method"] == NO_METHOD:
            response = Response(b"", status_code=204)
        response.set_header("allow", ", ".join(sorted(methods)))
    return response


def _translated(request: Request[Any, Any, Any], error: HTTPException) -> HoldfastError:
    if isinstance(error, ValidationException):
        first = error.extra[0] if isinstance(error.extra, list) and error.extra else {}
        field = str(first.get("key", "body")) if isinstance(first, dict) else "body"
        said = str(first.get("message", error.detail)) if isinstance(first, dict) else error.detail
        if (pattern := _NAME_PATTERN.search(said)) is not None:
            return breach(field, f"must be 1 to {min(int(pattern[1]), QUEUE_NAME_CHARS)} of the characters A-Z a-z 0-9 . _ : -")
        return InvalidRequest(f"{said} at {field}.", field=field)
    if isinstance(error, SerializationException) or (error.status_code == 400 and "decod" in str(error.detail).lower()):
        return MalformedJson(f"The body is not valid JSON: {error.detail}.")
    if error.status_code == 404:
        return NotFound(f"There is nothing at {request.url.path[:200]}.")
    if error.status_code == 405:
        return MethodNotAllowed(f"{request.method} is not a method of this path.")
    if error.status_code == 413:
        return PayloadTooLarge("The body is too large.", limit_bytes=request.app.request_max_body_size)
    if error.status_code < 500:
        return InvalidRequest(str(error.detail) or "The request is not valid.", field="request")
    return InternalError()


def _defect(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.error("a route raised", method=request.method, path=request.url.path, exc_info=error)
    return _reply(InternalError())
