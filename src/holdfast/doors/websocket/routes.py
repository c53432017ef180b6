"""What plain HTTP is answered at the channel's path. The OpenAPI document has no words for a WebSocket, so it is not in there."""

from typing import Any

from litestar import Response, get

from holdfast.doors.rest import replies
from holdfast.doors.websocket.door import PATH
from holdfast.errors import InvalidRequest

UPGRADE = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}


@get(PATH, include_in_schema=False)
async def channel() -> Response[bytes]:
    """This is a WebSocket."""
    reply = replies.refused(InvalidRequest(f"{PATH} is a WebSocket: it is opened by an upgrade.", field="Upgrade"), 426)
    return Response(reply.body, status_code=426, media_type="application/problem+json", headers=UPGRADE)


ROUTES: list[Any] = [channel]
