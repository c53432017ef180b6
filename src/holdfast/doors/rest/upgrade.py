"""An upgrade to a live channel: who may open one, and by which handshake."""

import asyncio
import urllib.parse

from holdfast.doors.rest.middleware import Middleware
from holdfast.doors.websocket.connection import Refused, WebSocketConnection
from holdfast.doors.websocket.door import PATH
from holdfast.errors import HoldfastError, InvalidRequest, NotFound
from holdfast.http.request_head import Headers, handshake

SWITCHED = 101
_UPGRADE_REQUIRED = 426


def open_channel(
    middleware: Middleware,
    wire: WebSocketConnection,
    transport: asyncio.Transport,
    method: bytes,
    url: bytes,
    headers: Headers,
    address: str,
) -> tuple[str, int | None, HoldfastError | None]:
    """Hand the connection over to a wire, unless the guard, a bound or the handshake stands against it: the route, and what to refuse."""
    found = dict(headers)
    try:
        target = urllib.parse.unquote(url.partition(b"?")[0].decode("latin-1"))
        middleware.admit_channel(method.decode(), target, headers, address)
        if found.get(b"sec-websocket-version", b"13").strip() != b"13":
            other = InvalidRequest("A WebSocket is spoken here in version 13.", field="Sec-WebSocket-Version")
            return PATH, _UPGRADE_REQUIRED, other
        wire.open(transport, handshake(method, headers), middleware.request_id(found))
    except Refused as refused:
        return PATH, refused.status, refused.error
    except HoldfastError as error:
        return "unknown" if isinstance(error, NotFound) else PATH, None, error
    return PATH, SWITCHED, None
