"""The OpenAPI document, made of the rows of the routes; msgspec, which reads and writes by the types, also writes their schemas."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from holdfast.http.route import Parameter, Route, without_none

REF = "#/components/schemas/{name}"
_PROBLEM = "application/problem+json"
_RESPONSE = "#/components/responses/{name}"


def document(
    about: Mapping[str, Any],
    routes: Iterable[Route],
    tags: Mapping[str, str],
    server: str,
    problem: type,
    security: Mapping[str, Any],
    open_paths: Collection[str],
) -> dict[str, Any]:
    """The document of these routes; each may answer with a `problem`. All but those of `open_paths` need one of the schemes of `security`."""
    seen: set[Any] = {problem}
    content = {_PROBLEM: {"schema": {"$ref": REF.format(name=problem.__name__)}}}
    refused = {"description": "A problem, RFC 9457; `code` says which", "content": content}
    challenge = {"description": "How to say who calls", "schema": {"type": "string"}}
    denials = {
        "Unauthenticated": {
            "description": "Nobody is known by this access key, or there is none",
            "headers": {"WWW-Authenticate": challenge},
            "content": content,
        },
        "Forbidden": {"description": "The access key lacks the ability that `ability` names", "content": content},
    }
    closed = {
        "security": [{name: []} for name in security],
        "responses": dict(zip(("401", "403"), [{"$ref": _RESPONSE.format(name=name)} for name in denials], strict=True)),
    }
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if not route.tags:
            continue
        shown = paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, seen)
        if route.path in open_paths:
            shown["security"] = []
        else:
            shown["security"] = closed["security"]
            shown["responses"] |= closed["responses"]
        shown["responses"]["default"] = refused
    _, schemas = msgspec.json.schema_components(sorted(seen, key=lambda kind: kind.__name__), ref_template=REF)
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = " ".join(schema["description"].split())  # a docstring of several lines
    return {
        "openapi": "3.1.0",
        "info": dict(about),
        "servers": [{"url": server}],
        "tags": [{"name": name, "description": text} for name, text in tags.items()],
        "paths": paths,
        "components": {"schemas": schemas, "responses": denials, "securitySchemes": dict(security)},
    }


def _operation(route: Route, seen: set[Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "tags": list(route.tags),
        "summary": route.summary,
        "operationId": route.handler.__name__,
    }
    if route.parameters:
        shown["parameters"] = [_parameter(one) for one in _in_order(route.parameters) if one.name not in route.named]
    if route.takes is not None:
        shown["requestBody"] = {"content": _content(route.takes, seen), "required": route.needs_body}
    responses = {str(route.status): _response(HTTPStatus(route.status).description, route.gives, route.media_type, seen)}
    for status, (kind, description) in route.others.items():
        responses[str(status)] = _response(description, kind, route.media_type, seen)
    shown["responses"] = responses
    return shown


def _in_order(parameters: Sequence[Parameter]) -> list[Parameter]:
    return sorted(parameters, key=lambda one: ("path", "query", "header").index(one.place))


def _parameter(one: Parameter) -> dict[str, Any]:
    schema = msgspec.json.schema(without_none(one.kind))
    schema.pop("$defs", None)
    shown: dict[str, Any] = {"name": one.name, "in": one.place, "required": one.default is ...}
    if one.default not in (..., None):
        schema["default"] = one.default
    if "description" in schema:
        shown["description"] = schema["description"]
    return {**shown, "schema": schema}


def _response(description: str, kind: Any, media_type: str, seen: set[Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": description}
    if kind is not None:
        shown["content"] = _content(kind, seen, media_type)
    return shown


def _content(kind: Any, seen: set[Any], media_type: str = "application/json") -> dict[str, Any]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        seen.add(kind)
        return {media_type: {"schema": {"$ref": REF.format(name=kind.__name__)}}}
    return {media_type: {"schema": {} if kind is Any else msgspec.json.schema(kind)}}
