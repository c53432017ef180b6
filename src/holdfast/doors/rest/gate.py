"""The outermost layer: what every request has in common, whichever route takes it.

    request ─▶ request id ─▶ path prefix ─▶ guard ─▶ hot route, or the framework ─▶ headers, metrics ─▶ answer

Nothing below has to know about any of it.
"""

import itertools
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

import structlog

from holdfast.doors.rest import replies
from holdfast.doors.rest.bodies import query_of
from holdfast.doors.rest.guard import Guard
from holdfast.doors.rest.hot import Call, Handler, Hot, Receive
from holdfast.errors import HoldfastError, InternalError, InvalidRequest, PayloadTooLarge
from holdfast.limits import BODY_BYTES_OVER_PAYLOAD, REQUEST_ID_CHARS

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]


class Metrics(Protocol):
    """Counts requests, and writes the page that Prometheus reads."""

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request was answered."""
        ...

    async def page(self) -> bytes:
        """The metrics of the whole server in the text format."""
        ...


class Gate:
    """An ASGI application in front of the others."""

    def __init__(self, hot: Hot, framework: App, guard: Guard, metrics: Metrics, payload_bytes: int, root_path: str) -> None:
        self._hot = hot
        self._framework = framework
        self._guard = guard
        self._metrics = metrics
        self._body_bytes = payload_bytes + BODY_BYTES_OVER_PAYLOAD
        self._root_path = root_path.rstrip("/")
        self._prefix = os.urandom(6).hex()
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1003})
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = self._request_id(headers)
        path = self._own_path(scope)
        method = scope["method"]
        found = self._hot.find(method, path)
        answer = _Answer(send, request_id)
        route = found[0] if found is not None else ""
        try:
            self._guard.admit(method, path, headers)
            if found is not None:
                await self._serve(found[1], path, headers, scope, receive, answer)
            else:
                await self._framework(scope, receive, answer.relay)
                route = scope.get("path_template") or "unknown"
        except HoldfastError as error:
            await answer.problem(error)
        except ConnectionError:
            return  # the caller has left: there is nobody to answer
        except Exception:
            log.exception("a request raised", method=method, route=route, request_id=request_id)
            await answer.problem(InternalError())
        self._metrics.observe(method, route or "unknown", answer.status, time.perf_counter() - started)

    async def _serve(
        self, handler: Handler, path: str, headers: dict[bytes, bytes], scope: Scope, receive: Receive, answer: "_Answer"
    ) -> None:
        body = await self._body(headers, receive)
        reply = await handler(Call(path, headers, query_of(scope["query_string"]), body, receive))
        await answer.send(reply.status, reply.body, reply.headers)

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The whole body, refused as soon as it is known to be too large."""
        try:
            declared = int(headers.get(b"content-length", b"0"))
        except ValueError:
            raise InvalidRequest("Content-Length is not a number.", field="Content-Length") from None
        if declared > self._body_bytes:
            raise PayloadTooLarge(
                f"The body has {declared} bytes; at most {self._body_bytes} are taken.", limit_bytes=self._body_bytes
            )
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the caller left")
            return body
        parts, size = [body], len(body)
        while message.get("more_body", False):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the caller left while it sent the body")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._body_bytes:
                raise PayloadTooLarge(f"The body has more than {self._body_bytes} bytes.", limit_bytes=self._body_bytes)
        return b"".join(parts)

    def _request_id(self, headers: dict[bytes, bytes]) -> bytes:
        given = headers.get(b"x-request-id")
        if given is not None and 0 < len(given) <= REQUEST_ID_CHARS and given.isascii() and given.decode().isprintable():
            return given
        return f"{self._prefix}-{next(self._numbers):x}".encode()

    def _own_path(self, scope: Scope) -> str:
        """The path without the prefix that a proxy may or may not have taken off."""
        path: str = scope["path"]
        root = self._root_path
        if root and (path == root or path.startswith(root + "/")):
            path = path[len(root) :] or "/"
            scope["path"] = path
            scope["raw_path"] = path.encode()
        return path


class _Answer:
    """Adds to an answer what every answer has, and remembers its status."""

    __slots__ = ("_request_id", "_send", "_started", "status")

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self._request_id = request_id
        self._started = False
        self.status = 0

    async def send(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Send a whole answer."""
        self.status = status
        self._started = True
        every = [
            *headers,
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-request-id", self._request_id),
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": every})
        await self._send({"type": "http.response.body", "body": body})

    async def problem(self, error: HoldfastError) -> None:
        """Send an error, unless an answer has begun."""
        if not self._started:
            await self.send(*replies.problem_reply(error))

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
        await self._send(message)
