"""The API described: the OpenAPI document made from the types, and Swagger UI to read and try it, served from here alone."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, get
from litestar._openapi.schema_generation import SchemaCreator
from litestar.datastructures import State as AppState
from litestar.openapi.spec import Schema
from litestar.params import FromPath
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

from holdfast.doors.rest import replies
from holdfast.doors.rest.answers import Problem
from holdfast.engine import checks
from holdfast.errors import NotFound

_STATIC = files(__package__) / "static"
_FILES = {
    "swagger-ui-bundle.js": ("swagger-ui/swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": ("swagger-ui/swagger-ui.css", "text/css"),
    "favicon-32x32.png": ("swagger-ui/favicon-32x32.png", "image/png"),
    "start.js": ("start.js", "text/javascript"),
}
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_REF = "#/components/schemas/{name}"
_RAW_BODY = {
    "schema": {"type": "string", "format": "binary"},
    "x-description": "Any type but JSON: the body is the payload, kept as it is; options are query parameters.",
}


class Named(Schema):
    """A schema that stands elsewhere in the document, under its `title`."""

    def to_schema(self) -> dict[str, Any]:
        """A reference to it."""
        return {"$ref": _REF.format(name=self.title)}


class StructSchemas(OpenAPISchemaPlugin):
    """Describes our types by reference; msgspec, which decodes by them, also writes their schemas."""

    seen: set[type[msgspec.Struct]] = set()  # noqa: RUF012  (the framework makes the instance; the types are the program's own)

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        """Whether this plugin describes the type."""
        return isinstance(value, type) and issubclass(value, msgspec.Struct)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:  # noqa: ARG002  (the framework calls it so)
        """A reference to the type's schema."""
        kind = field_definition.annotation
        self.seen.add(kind)
        return Named(title=kind.__name__)


@cache
def _file(name: str) -> bytes:
    return (_STATIC / name).read_bytes()


def document(app: Litestar, root_path: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of every route, hot ones included; every route may answer with a problem."""
    made: dict[str, Any] = app.openapi_schema.to_schema()
    made["servers"] = [{"url": root_path or "/"}]
    kinds = sorted(StructSchemas.seen | {Problem}, key=lambda kind: kind.__name__)
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REF)
    _add_bounds(schemas["QueueSettings"], checks.SETTINGS)
    _add_bounds(schemas["RetryPolicy"], checks.RETRY)
    schemas["Problem"]["properties"]["code"] = {"type": "string", "enum": sorted(replies.STATUS)}
    made.setdefault("components", {})["schemas"] = schemas
    problem = {
        "description": "A problem, RFC 9457; `code` says which",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path in made["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict) and "responses" in operation:
                _leave_out_null(operation)
                operation["responses"].pop("400", None)
                operation["responses"]["default"] = problem
    made["paths"]["/v1/queues/{queue}/jobs"]["post"]["requestBody"]["content"]["application/octet-stream"] = _RAW_BODY
    return made


def _add_bounds(schema: dict[str, Any], bounds: Mapping[str, tuple[float, float]]) -> None:
    """Describe the bounds of numbers that are no part of their types."""
    for field, (low, high) in bounds.items():
        described = schema["properties"][field]
        for choice in described.get("anyOf", (described,)):
            if choice["type"] in ("integer", "number"):
                choice |= {"minimum": low, "maximum": high}


def _leave_out_null(operation: dict[str, Any]) -> None:
    """What may be left out may not be null instead: a parameter has no null, and a body is there or not."""
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        if choices := [choice for choice in schema.pop("oneOf", ()) if choice != {"type": "null"}]:
            schema |= choices[0]
    body = operation.get("requestBody", {"content": {}})
    for kind in body["content"].values():
        if {"type": "null"} in kind["schema"].get("oneOf", ()):
            kind["schema"] = kind["schema"]["oneOf"][0]
            body["required"] = False


@get("/openapi.json", include_in_schema=False)
async def openapi_json(request: Request[Any, Any, Any], state: AppState) -> Response[bytes]:
    """The document."""
    if "openapi" not in state:
        state.openapi = msgspec.json.format(msgspec.json.encode(document(request.app, state.root_path)))
    return Response(state.openapi, media_type="application/json")


@get("/docs", include_in_schema=False)
async def page() -> Response[bytes]:
    """Swagger UI."""
    return Response(_file("docs.html"), media_type="text/html", headers={"content-security-policy": _CSP})


@get("/docs/{name:str}", include_in_schema=False)
async def asset(name: FromPath[str]) -> Response[bytes]:
    """A file of Swagger UI."""
    if name not in _FILES:
        raise NotFound(f"There is nothing at /docs/{name[:100]}.")
    path, kind = _FILES[name]
    return Response(_file(path), media_type=kind, headers={"cache-control": "public, max-age=86400"})


ROUTES: list[Any] = [openapi_json, page, asset]
