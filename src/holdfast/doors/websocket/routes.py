"""What plain HTTP is answered at the channel's path. The OpenAPI document has no words for a WebSocket, so it is not in there."""

from msgspec.structs import replace

from holdfast.doors.websocket.door import PATH
from holdfast.errors import InvalidRequest
from holdfast.http.problem import refused
from holdfast.http.reply import Reply
from holdfast.http.route import Route, get

_UPGRADE = ((b"connection", b"upgrade"), (b"upgrade", b"websocket"), (b"sec-websocket-version", b"13"))


@get(PATH)
async def channel() -> Reply:
    """This is a WebSocket."""
    error = InvalidRequest(f"{PATH} is a WebSocket: it is opened by an upgrade.", field="Upgrade")
    return replace(refused(error, 426), extra=_UPGRADE)


ROUTES: list[Route] = [channel]
