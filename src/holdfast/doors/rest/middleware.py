"""The outermost layer: what every request has in common, whichever route takes it.

    request ─▶ request id ─▶ path prefix ─▶ guard ─▶ hot route, or the framework ─▶ headers, metrics ─▶ answer

Nothing below has to know about any of it.
"""

import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import structlog

from holdfast.budget import Account, Budget
from holdfast.doors.rest import replies
from holdfast.doors.rest.hot import Call, Handler, Hot, T
from holdfast.doors.rest.login import Login
from holdfast.doors.rest.replies import Reply
from holdfast.doors.websocket.door import Channels
from holdfast.engine.waiters import Patience
from holdfast.errors import HoldfastError, InternalError, InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from holdfast.http.disconnect import while_here
from holdfast.http.origin import Guard
from holdfast.limits import BODY_BYTES_OVER_PAYLOAD, BODY_S, LARGE_BODY_BYTES, REQUEST_ID_CHARS

log = structlog.get_logger(__name__)

_SAFE = frozenset(("GET", "HEAD"))
_DEAR = ("/v1/jobs", "/v1/stats", "/v1/workers", "/v1/interests", "/v1/schedules", "/metrics", "/web")

# A GET here changes nothing, so a HEAD may be answered as one. Other doors have a GET that claims.
_READ_ONLY = ("/v1/", "/web", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics")

_AS_THEY_ARE = (b"identity", b"")  # the codings that change nothing
_ONCE = (
    (b"idempotency-key", "Idempotency-Key"),
    (b"host", "Host"),
    (b"origin", "Origin"),
    (b"sec-fetch-site", "Sec-Fetch-Site"),
)
ACCOUNT = "holdfast.account"  # in a scope: what the connection has us hold
_SMALL_DIGITS = len(str(LARGE_BODY_BYTES)) - 1
NO_METHOD = "*"  # what an OPTIONS becomes: no path has it, so the framework names the methods that the path has

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]


class Metrics(Protocol):
    """Counts requests, and writes the page that Prometheus reads. `in_lane`: how many of them took the fast lane."""

    in_lane: int

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request was answered."""
        ...

    async def page(self) -> bytes:
        """The metrics of the whole server in the text format."""
        ...


class Middleware:
    """An ASGI application in front of the others."""

    def __init__(
        self,
        hot: Hot,
        framework: App,
        guard: Guard,
        metrics: Metrics,
        payload_bytes: int,
        root_path: str,
        channels: Channels,
        budget: Budget,
        login: Login,
    ) -> None:
        self._hot = hot
        self._login = login
        self._keyring = channels.engine.keyring
        self.budget = budget
        self._framework = framework
        self._guard = guard
        self._metrics = metrics
        self._body_bytes = payload_bytes + BODY_BYTES_OVER_PAYLOAD
        self._root_path = root_path.rstrip("/")
        self._prefix = os.urandom(6).hex().encode()
        self._numbers = itertools.count(1)
        self.channels = channels
        self.find = hot.find  # the hot route of a path without prefix
        self.observe = metrics.observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return  # a WebSocket does not come this way: `connection.py` hands it over from the parser
        started = time.perf_counter()
        headers = dict(scope["headers"])
        twice = len(headers) < len(scope["headers"])
        answer = _Answer(send, self.request_id(headers))
        method, path = scope["method"], self._own_path(scope)
        found = self.find(method, path)
        large = self._large(scope, headers, receive)
        try:
            if (refused := _unreadable(headers, scope["headers"] if twice else (), scope["http_version"])) is not None:
                route = found[0] if found is not None else "unknown"
                await answer.send(replies.refused(refused))
            elif found is not None:
                route = found[0]
                call = _AsgiCall(path, found[2], headers, scope["query_string"], large or receive)
                call.address = _address(scope)
                reply = await self._read_and_serve(found[1], method, call)
                await answer.send(reply)
            else:
                route = await self._by_framework(method, path, headers, scope, large or receive, answer)
        except ConnectionError:
            return  # the caller has left: there is nobody to answer
        finally:
            if large is not None:
                await large.end()
        self.observe(method, route, answer.status, time.perf_counter() - started)

    def _large(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> "_InTurn | None":
        """The messages of a request that may be large; None for any other."""
        if b"transfer-encoding" in headers:
            size = self._body_bytes
        else:
            declared = headers.get(b"content-length", b"0")
            if len(declared) <= _SMALL_DIGITS or not declared.isdigit():
                return None
            size = min(int(declared), self._body_bytes)
        return _InTurn(self.budget, size, scope.get(ACCOUNT), receive)

    def _admit(self, method: str, path: str, headers: dict[bytes, bytes], address: str) -> None:
        """Raise unless this request may come in, and note who calls."""
        self._guard.admit(method, path, headers)
        if self._keyring.in_force:
            self._login.admit(path, headers, address)

    def admit_channel(self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]], address: str) -> None:
        """Raise unless this request may open a live channel. It passes the same guard as every request."""
        path = self._own_path({"path": path})
        found = dict(headers)
        if (refused := _unreadable(found, headers, "1.1")) is not None:
            raise refused
        self._admit(method, path, found, address)
        self.channels.admit(method, path)

    def observe_ride(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request was answered in the fast lane."""
        self._metrics.in_lane += 1
        self._metrics.observe(method, route, status, seconds)

    async def serve(self, handler: Handler, method: str, call: Call) -> Reply:
        """Let a hot route answer; a refusal is an answer too. Raises `ConnectionError` when the caller has left."""
        try:
            self._admit(method, call.path, call.headers, call.address)
            return await handler(call)
        except HoldfastError as error:
            return replies.refused(error)
        except ConnectionError:
            raise
        except Exception:
            log.exception("a request raised", method=method, route=call.path.split("/")[:3])
            return replies.refused(InternalError())

    async def _read_and_serve(self, handler: Handler, method: str, call: "_AsgiCall") -> Reply:
        try:
            self._admit(method, call.path, call.headers, call.address)
            call.body = await self._body(call.headers, call.receive)
        except HoldfastError as error:
            return replies.refused(error)
        return await self.serve(handler, method, call)

    async def _by_framework(
        self, method: str, path: str, headers: dict[bytes, bytes], scope: Scope, receive: Receive, answer: "_Answer"
    ) -> str:
        """Let the framework answer; the template of the route that it took."""
        try:
            self._admit(method, path, headers, _address(scope))
            if method == "HEAD" and takes_head(path):
                scope, answer.bodiless = {**scope, "method": "GET"}, True
            elif method == "OPTIONS":
                scope = {**scope, "method": NO_METHOD}
            if _may_be_long(method, path, scope["query_string"], headers):
                await while_here(self._framework, scope, receive, answer.relay)
            else:
                await self._framework(scope, receive, answer.relay)
        except HoldfastError as error:
            await answer.send(replies.refused(error))
        return scope.get("path_template") or "unknown"

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The whole body, refused as soon as it is known to be too large."""
        try:
            declared = int(headers.get(b"content-length", b"0"))
        except ValueError:
            raise InvalidRequest("Content-Length is not a number.", field="Content-Length") from None
        if declared > self._body_bytes:
            raise PayloadTooLarge(
                f"The body has {declared} bytes; at most {self._body_bytes} are accepted.", limit_bytes=self._body_bytes
            )
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the caller left")
            return body
        try:
            async with asyncio.timeout(BODY_S):
                return await self._rest(body, receive)
        except TimeoutError:
            raise InvalidRequest(f"The body did not arrive within {BODY_S} s.", field="body") from None

    async def _rest(self, first: bytes, receive: Receive) -> bytes:
        parts, size, more = [first], len(first), True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the caller left while it sent the body")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._body_bytes:
                raise PayloadTooLarge(f"The body has more than {self._body_bytes} bytes.", limit_bytes=self._body_bytes)
        return b"".join(parts)

    def request_id(self, headers: dict[bytes, bytes]) -> bytes:
        """The caller's own id where it is one that can be echoed, or a new one."""
        given = headers.get(b"x-request-id")
        if given is not None and 0 < len(given) <= REQUEST_ID_CHARS and given.isascii() and given.decode().isprintable():
            return given
        return b"%b-%x" % (self._prefix, next(self._numbers))

    def _own_path(self, scope: Scope) -> str:
        """The path without the prefix that a proxy may or may not have taken off."""
        path: str = scope["path"]
        root = self._root_path
        if root and (path == root or path.startswith(root + "/")):
            path = path[len(root) :] or "/"
            scope["path"] = path
            scope["raw_path"] = path.encode()
        if path != "/" and (path[-1] == "/" or "//" in path):
            path = "/" + "/".join(part for part in path.split("/") if part)  # as the framework reads it
        return path


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _unreadable(headers: dict[bytes, bytes], all_headers: Iterable[tuple[bytes, bytes]], version: str) -> HoldfastError | None:
    """What is wrong with a request before anybody looks at where it goes: bytes that would not be what they say, or two keys, or hosts, or no
    host, for one request.
    """
    coding = headers.get(b"content-encoding", b"identity").lower()
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


def takes_head(path: str) -> bool:
    """Whether a HEAD is answered like a GET here."""
    return path == "/" or path.startswith(_READ_ONLY)


def common_headers(body: bytes, request_id: bytes) -> list[tuple[bytes, bytes]]:
    """What every answer of a hot route has."""
    return [(b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store"), (b"x-request-id", request_id)]


class _AsgiCall(Call):
    """A call that came by ASGI."""

    __slots__ = ("receive",)

    def __init__(self, path: str, name: str, headers: dict[bytes, bytes], query_string: bytes, receive: Receive) -> None:
        super().__init__(path, name, headers, query_string)
        self.receive = receive

    async def let_wait(self, work: Coroutine[Any, Any, T], patience: Patience) -> T:
        """The next message, once the body is there, is the caller's leaving."""
        working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(self.receive())
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                patience.end()
            return await working
        finally:
            leaving.cancel()
            working.cancel()


class _InTurn:
    """A request's messages, the rest of a large body only when it is its turn."""

    __slots__ = ("_account", "_budget", "_came", "_receive", "_size", "_turn")

    def __init__(self, budget: Budget, size: int, account: Account | None, receive: Receive) -> None:
        self._budget = budget
        self._size = size
        self._account = account
        self._receive = receive
        self._came = 0
        self._turn: AbstractAsyncContextManager[None] | None = None

    async def __call__(self) -> dict[str, Any]:
        """The next message."""
        if self._came > LARGE_BODY_BYTES and self._turn is None:
            turn = self._budget.large_body(self._size, self._account)
            await turn.__aenter__()
            self._turn = turn
        message = await self._receive()
        if message.get("more_body", False):
            self._came += len(message["body"])
        else:
            self._came = 0
            await self.end()
        return message

    async def end(self) -> None:
        """Its turn is over."""
        if self._turn is not None:
            turn, self._turn = self._turn, None
            await turn.__aexit__(None, None, None)


class _Answer:
    """Adds to an answer what every answer has, and remembers its status."""

    __slots__ = ("_request_id", "_send", "_started", "bodiless", "status")

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self._request_id = request_id
        self._started = False
        self.bodiless = False
        self.status = 0

    async def send(self, reply: Reply) -> None:
        """Send a whole answer, unless one has begun."""
        if self._started:
            return
        self.status = reply.status
        self._started = True
        headers = [*reply.headers, *common_headers(reply.body, self._request_id)]
        await self._send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": reply.body})

    async def relay(self, message: MutableMapping[str, Any]) -> None:
        """Pass on what the framework sends."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._started = True
            names = {name for name, _ in message["headers"]}
            extra = [(b"x-request-id", self._request_id), (b"x-content-type-options", b"nosniff")]
            if b"cache-control" not in names:
                extra.append((b"cache-control", b"no-store"))
            message["headers"] = [*message["headers"], *extra]
        elif self.bodiless:
            return
        await self._send(message)
        if self.bodiless:
            await self._send({"type": "http.response.body", "body": b""})  # an endless stream ends here too


def _may_be_long(method: str, path: str, query: bytes, headers: dict[bytes, bytes]) -> bool:
    """Whether this is a read without a body that may take long: a single job only where it is waited for."""
    if method not in _SAFE or not path.startswith(_DEAR):
        return False
    if path.startswith("/v1/jobs/") and b"wait_ms" not in query:
        return False
    return b"transfer-encoding" not in headers and headers.get(b"content-length", b"0") == b"0"
