"""What all requests have in common, whatever their route.

    head ─▶ request id ─▶ path prefix ─▶ guard ─▶ route ─▶ body ─▶ handler ─▶ answer ─▶ metrics

Handlers need not know of any of it. An invalid head is detected before its body has arrived.
"""

import itertools
import os
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from msgspec.structs import replace

from holdfast.auth.caller import CALLER, Caller
from holdfast.budget import Budget
from holdfast.connection_limit import ConnectionLimit
from holdfast.errors import (
    HoldfastError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    UnsupportedMediaType,
)
from holdfast.http.origin import Guard
from holdfast.http.problem import refused
from holdfast.http.reply import Reply
from holdfast.http.request import Request
from holdfast.http.route import ReadBody
from holdfast.http.router import Router, with_slashes_marked
from holdfast.http.upgrade import Upgrade
from holdfast.limits import BODY_BYTES_OVER_PAYLOAD, REQUEST_ID_CHARS
from holdfast.logs import structlog

log = structlog.get_logger(__name__)

_AS_THEY_ARE = (b"identity", b"")  # the codings that change nothing
_ONCE = (
    (b"authorization", "Authorization"),
    (b"idempotency-key", "Idempotency-Key"),
    (b"host", "Host"),
    (b"origin", "Origin"),
    (b"sec-fetch-site", "Sec-Fetch-Site"),
    (b"content-type", "Content-Type"),
    (b"holdfast-run", "Holdfast-Run"),
    (b"queue_consumer", "QUEUE_CONSUMER"),
    (b"queue-consumer", "QUEUE-CONSUMER"),
)
"""Headers with one value: nobody can say which of two counts."""
Headers = Iterable[tuple[bytes, bytes]]
Login = Callable[[str, dict[bytes, bytes], str], Caller | None]
"""Says who sends a request, by its path, its headers and its address; raises where that is nobody who may."""


class Metrics(Protocol):
    """Counts requests, and writes the page that Prometheus reads."""

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request was answered."""
        ...

    async def page(self) -> bytes:
        """The metrics of the whole server in the text format."""
        ...


class App:
    """All routes and the common steps before them. `state` is passed to handlers; `enter` is called before a handler that runs
    in a task, in its context; `login` identifies the caller.
    """

    def __init__(
        self,
        router: Router,
        state: Any,
        guard: Guard,
        metrics: Metrics,
        budget: Budget,
        limit: ConnectionLimit,
        payload_bytes: int,
        body_s: float,
        root_path: str,
        login: Login,
        enter: Callable[[Request], None],
        read_body: ReadBody,
        upgrade: Upgrade,
    ) -> None:
        self.router = router
        self.budget = budget
        self.limit = limit
        self.body_s = body_s
        self.upgrade = upgrade
        self.body_bytes = payload_bytes + BODY_BYTES_OVER_PAYLOAD
        self.observe = metrics.observe
        self._state = state
        self._guard = guard
        self._root_path = root_path.rstrip("/")
        self._login = login
        self._enter = enter
        self._read_body = read_body
        self._prefix = os.urandom(6).hex().encode()
        self._numbers = itertools.count(1)

    def request_id(self, headers: dict[bytes, bytes]) -> bytes:
        """The caller's own id where it is one that can be echoed, or a new one."""
        given = headers.get(b"x-request-id")
        if given is not None and 0 < len(given) <= REQUEST_ID_CHARS and given.isascii() and given.decode().isprintable():
            return given
        return b"%b-%x" % (self._prefix, next(self._numbers))

    def own_path(self, target: str) -> str:
        """The path of a target: decoded, without the prefix that a proxy may or may not have removed. Raises if it is not UTF-8."""
        path = _decoded(target) if "%" in target else target
        root = self._root_path
        if root and (path == root or path.startswith(root + "/")):
            path = path[len(root) :] or "/"
        return path

    def open(self, request: Request, flawed: HoldfastError | None) -> None:
        """Process the head of a request: its route, and its answer if that is known before the body has arrived."""
        given = path = request.path
        found = None
        if self._root_path or path[-1:] == "/" or "%" in path or "//" in path:
            try:
                given = self.own_path(path)
            except InvalidRequest as error:
                request.reply = refused(flawed or error)
                return
            request.path = as_routes_have_it(given)
            if "%2" in path and (apart := with_slashes_marked(path)) != path:
                found = self.router.find(request.method, as_routes_have_it(self.own_path(apart)))
        if found is None:
            found = self.router.find(request.method, request.path)
        if found is not None:
            request.route, request.values = found
        if flawed is not None:
            request.reply = refused(flawed)
            return
        try:
            self._guard.admit(request.method, request.path, request.headers)
            request.caller = self._login(request.path, request.headers, request.address)
        except HoldfastError as error:
            request.reply = refused(error)
            return
        if found is None:
            request.reply = self._nothing_there(request, given)
            return
        declared = request.headers.get(b"content-length")
        if declared is not None and len(declared) > 5 and int(declared) > self.body_bytes:
            request.reply = self.too_large(
                request, f"The body has {int(declared)} bytes; at most {self.body_bytes} are accepted."
            )

    def refuse(self, request: Request, error: HoldfastError) -> Reply:
        """An error in the format of the route's door."""
        assert request.route is not None, "one without a route was answered when its head had come"
        return request.route.refuse(request, self._state, error)

    def too_large(self, request: Request, detail: str) -> Reply:
        """The refusal of a body larger than any route allows."""
        return self.refuse(request, PayloadTooLarge(detail, limit_bytes=self.body_bytes))

    def admit_upgrade(self, method: str, target: str, headers: list[tuple[bytes, bytes]], address: str) -> str:
        """Raise unless an upgrade is allowed: it passes the same checks as every request. Returns its path; the caller is set
        in the context.
        """
        path, found = as_routes_have_it(self.own_path(target)), together(headers)
        if (flawed := unreadable(found, headers, "1.1")) is not None:
            try:
                raise flawed
            finally:
                del flawed  # else this frame and the error, which refers to it by its traceback, are a cycle
        self._guard.admit(method, path, found)
        CALLER.set(self._login(path, found, address))
        return path

    async def serve(self, request: Request) -> Reply:
        """Answer a request; a refusal is an answer too."""
        route = request.route
        assert route is not None, "one without a route was answered when its head had come"
        # Here, not with the head: other callers' requests may have followed.
        if request.caller is not None or CALLER.get() is not None:
            CALLER.set(request.caller)
        try:
            if route.is_hot:
                return await route.handler(request, self._state)  # type: ignore[no-any-return]
            self._enter(request)
            return await route.answer(request, self._state, self._read_body)
        except HoldfastError as error:
            return self.refuse(request, error)
        except Exception:
            known = request.headers[b"x-request-id"] = self.request_id(request.headers)  # which the answer has, too
            log.exception("a request raised", method=request.method, route=route.path, request_id=known.decode("latin-1"))
            return self.refuse(request, InternalError())

    def _nothing_there(self, request: Request, path: str) -> Reply:
        methods = self.router.methods(request.path)
        if not methods:
            return refused(NotFound(f"There is nothing at {path[:200]}."))
        allow = ((b"allow", ", ".join(methods).encode()),)
        if request.method == "OPTIONS":
            return Reply(204, extra=allow)
        return replace(refused(MethodNotAllowed(f"{request.method} is not a method of this path.")), extra=allow)


def _decoded(target: str) -> str:
    try:
        return urllib.parse.unquote(target, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequest("The path is not UTF-8.", field="path") from None


def as_routes_have_it(path: str) -> str:
    """A path without empty steps."""
    if path != "/" and (path[-1:] == "/" or "//" in path):
        return "/" + "/".join(part for part in path.split("/") if part)
    return path


def together(headers: Headers) -> dict[bytes, bytes]:
    """Headers by name; the lines of one that may stand in several are one list (RFC 9110 5.3)."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        before = found.get(name)
        found[name] = value if before is None else (b"; " if name == b"cookie" else b", ").join((before, value))
    return found


def unreadable(headers: dict[bytes, bytes], all_headers: Headers, version: str) -> HoldfastError | None:
    """What is wrong with a request before anybody looks at where it goes: bytes that would not be what they say, or two keys, or hosts, or no
    host, for one request.
    """
    coding = b"identity"
    for name, value in all_headers:
        if name == b"content-encoding" and coding in _AS_THEY_ARE:
            coding = value.lower()
    if coding not in _AS_THEY_ARE:
        return UnsupportedMediaType(f"Bodies are read as they are, not in the encoding {coding.decode('latin-1')[:100]}.")
    names = [name for name, _ in all_headers]
    for name, shown in _ONCE:
        if names.count(name) > 1:
            return InvalidRequest(f"The header {shown} is given twice.", field=shown)
    if version != "1.0" and not headers.get(b"host"):
        return InvalidRequest("A request must have a Host header.", field="Host")
    return None
