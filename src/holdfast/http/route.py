"""Routes: one row describes a route completely, and a decorator makes it from the handler function.

    @get("/v1/queues/{queue}", tags=["queues"], summary="One queue")
    async def get_queue(state: State, queue: Queue) -> QueueOut: …

Path parameters are passed by name; so are `request`, `state` and `data` (the body, decoded to the annotated type); all other
parameters are from the query. The OpenAPI document (`openapi.py`) is generated from the same rows.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from holdfast.errors import HoldfastError, InvalidRequest, breach
from holdfast.http.problem import refused
from holdfast.http.query import whole
from holdfast.http.reply import NOTHING, Reply
from holdfast.http.request import Request
from holdfast.limits import QUEUE_NAME_CHARS

Handler = Callable[..., Awaitable[Any]]
Refuse = Callable[[Request, Any, HoldfastError], Reply]
"""How a door says no: to a request, with the state of its handlers."""
ReadBody = Callable[[bytes | None, bytes, Any], Coroutine[Any, Any, Any]]
"""Reads a body of this content type as a value of this type."""
Decorator = Callable[[Handler], "Route"]

_STATUS = {"POST": 201, "DELETE": 204}
_NAMES = re.compile(r"\{(\w+)\}")
_AT = re.compile(r" - at `\$\.?([^`]*)`$")
_NAME_PATTERN = re.compile(r"matching regex '\^\[A-Za-z0-9\._:-\]\{1,([0-9]+)\}")  # of a name in a path
_DOTS = {"%2E": ".", "%2E%2E": ".."}
"""How a name of dots stands in a path, where what reads URLs would take it for a step: escaped twice, so that once is left here."""
_OURS = ("request", "state", "data")
_encode = msgspec.json.Encoder().encode


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a route that takes none."""


class Parameter(NamedTuple):
    """A parameter of a request besides its body. Without a default (`...`) it is required."""

    name: str
    place: Literal["path", "query", "header"]
    kind: Any
    default: Any = ...


def refuse_as_problem(_: Request, __: Any, error: HoldfastError) -> Reply:
    """How most doors say no."""
    return refused(error)


@dataclass(slots=True, eq=False)
class Route:
    """One row: a method of a path, its handler, its input and its answers.

    `is_hot`: the handler reads the request itself and awaits futures only, so that it runs without a task. `more` are
    parameters that a handler reads itself; `given` are arguments that its door derives from the request and the state. `others`
    are answers with another status: their types and meanings. `is_read`: it is cancelled when its caller disconnects.
    `is_strict`: an unknown parameter is refused. A route without `tags` is not in the OpenAPI document.
    """

    method: str
    path: str
    handler: Handler
    status: int = 200
    takes: Any = None
    needs_body: bool = True
    gives: Any = None
    media_type: str = "application/json"
    more: tuple[Parameter, ...] = ()
    others: Mapping[int, tuple[Any, str]] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    summary: str = ""
    is_hot: bool = False
    is_read: bool = False
    is_strict: bool = False
    refuse: Refuse = refuse_as_problem
    given: Mapping[str, Callable[[Request, Any], Any]] = field(default_factory=dict)
    names: tuple[str, ...] = field(init=False)
    parameters: tuple[Parameter, ...] = field(init=False)
    whole: frozenset[str] = field(init=False)
    named: frozenset[str] = field(init=False)  # parameters that are several: `meta` is all of `meta.NAME=VALUE`
    _wants: frozenset[str] = field(init=False)
    _arguments: dict[str, str] = field(init=False)  # of the handler, by the name that the request has for them
    _read: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Read the signature of the handler."""
        self.names = tuple(_NAMES.findall(self.path))
        hints = get_type_hints(self.handler, include_extras=True)
        given = inspect.signature(self.handler).parameters
        ours = {*_OURS, *self.given}
        self._wants = frozenset(given) & ours
        if "data" in given:
            self.takes, self.needs_body = without_none(hints["data"]), given["data"].default is inspect.Parameter.empty
        if self.gives is None and hints.get("return") not in (None, type(None), Reply):
            self.gives = hints["return"]
        self._arguments = {name.rstrip("_"): name for name in given if name not in ours}
        own = [_parameter(name, hints[name], given[name].default, self.names) for name in self._arguments.values()]
        self.parameters = (*own, *self.more)
        self.whole = frozenset(one.name for one in own if int in _kinds(one.kind))
        self.named = frozenset(one.name for one in own if any(get_origin(kind) is dict for kind in _kinds(one.kind)))
        if own:
            rows = [(one.name, one.kind, *(() if one.default is ... else (one.default,))) for one in own]
            self._read = msgspec.defstruct("Parameters", rows, kw_only=True)

    async def answer(self, request: Request, state: Any, read_body: ReadBody) -> Reply:
        """Read the parameters, call the handler, and turn its result into a reply."""
        given = self._given(request)
        wants = self._wants
        if "data" in wants:
            given["data"] = await read_body(request.headers.get(b"content-type"), request.body, self.takes)
        elif request.body and self.is_strict and not self.is_read:
            await read_body(request.headers.get(b"content-type"), request.body, Nothing)
        for name, make in self.given.items():
            if name in wants:
                given[name] = make(request, state)
        if "request" in wants:
            given["request"] = request
        if "state" in wants:
            given["state"] = state
        shown = await self.handler(**given)
        if type(shown) is Reply:
            return shown
        return NOTHING if shown is None else Reply(self.status, _encode(shown))

    def _given(self, request: Request) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if request.query_string and (self.is_strict or self._read is not None):
            values = self._asked(request.query())
        for name, text in zip(self.names, request.values, strict=True):
            values[name] = _DOTS.get(text.upper(), text) if text[:1] == "%" else text
        if self._read is None:
            return {}
        try:
            read = msgspec.convert(values, self._read, strict=False)
        except msgspec.ValidationError as error:
            raise _invalid(error) from None
        return {argument: getattr(read, name) for name, argument in self._arguments.items()}

    def _asked(self, query: dict[str, str]) -> dict[str, Any]:
        known = {one.name for one in self.parameters if one.place == "query"}
        values: dict[str, Any] = {}
        for name, text in query.items():
            group, dot, rest = name.partition(".")
            if group in self.named:
                if not dot:
                    raise breach(name, f"is given as {name}.NAME=VALUE")
                values.setdefault(group, {})[rest] = text
            elif name in known:
                values[name] = whole(name, text) if name in self.whole and self.is_strict else text
            elif self.is_strict:
                raise breach(name, "is not a query parameter of this route")
        return values


def _parameter(name: str, kind: Any, default: Any, names: tuple[str, ...]) -> Parameter:
    """A parameter of a signature; one that would shadow a name of ours has a trailing `_`."""
    place: Literal["path", "query"] = "path" if name in names else "query"
    if default is None:
        kind = without_none(kind) | None  # a bound applies to the value if there is one
    return Parameter(name.rstrip("_"), place, kind, ... if default is inspect.Parameter.empty else default)


def _invalid(error: msgspec.ValidationError) -> HoldfastError:
    """What is wrong with a parameter, in our words."""
    text = str(error)
    found = _AT.search(text)
    name = found[1] if found else "request"
    said = _AT.sub("", text)
    if (pattern := _NAME_PATTERN.search(said)) is not None:
        return breach(name, f"must be 1 to {min(int(pattern[1]), QUEUE_NAME_CHARS)} of the characters A-Z a-z 0-9 . _ : -")
    return InvalidRequest(f"{said} at {name}.", field=name)


def _kinds(kind: Any) -> tuple[Any, ...]:
    """The possible types, without `Annotated`, at any depth."""
    if get_origin(kind) is Annotated:
        return _kinds(get_args(kind)[0])
    if isinstance(kind, UnionType) or get_origin(kind) is Union:
        return tuple(one for choice in get_args(kind) for one in _kinds(choice))
    return (kind,)


def without_none(kind: Any) -> Any:
    """The type of the value, where None is possible."""
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        return Annotated[(without_none(inner), *marks)]
    kinds = [one for one in get_args(kind) if one is not type(None)]
    return kinds[0] if type(None) in get_args(kind) else kind


def route(method: str, path: str, **row: Any) -> Decorator:
    """A route of any method."""
    row.setdefault("status", _STATUS.get(method, 200))
    for name in ("tags", "more"):
        row[name] = tuple(row.get(name, ()))
    row.setdefault("is_strict", path.startswith("/v1/"))
    return lambda handler: Route(method, path, handler, **row)


def get(path: str, **row: Any) -> Decorator:
    """A route that reads."""
    return route("GET", path, **{"is_read": True, **row})


post, put, patch, delete = (partial(route, method) for method in ("POST", "PUT", "PATCH", "DELETE"))
