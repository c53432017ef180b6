"""An upgrade to a live channel: who may open one, and by which handshake."""

from typing import TYPE_CHECKING

from holdfast.doors.websocket.door import PATH, Channels
from holdfast.errors import HoldfastError, InvalidRequest, NotFound
from holdfast.http.app import App
from holdfast.http.connection import Connection
from holdfast.http.request_head import handshake
from holdfast.http.upgrade import Refused

if TYPE_CHECKING:
    from holdfast.doors.websocket.connection import WebSocketConnection

_UPGRADE_REQUIRED = 426


class ChannelUpgrade:
    """Takes connections over for the channels of one front."""

    path = PATH

    def __init__(self, channels: Channels) -> None:
        self.channels = channels

    def open(
        self, app: App, connection: Connection, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]
    ) -> "WebSocketConnection":
        """Hand the connection over, unless the origin check, a bound or the handshake refuses it."""
        try:
            path = app.admit_upgrade(method.decode(), target.partition(b"?")[0].decode("latin-1"), headers, connection.address)
            self.channels.admit(method.decode(), path)
        except HoldfastError as error:
            raise Refused(error, is_known=not isinstance(error, NotFound)) from None
        found = dict(headers)
        if found.get(b"sec-websocket-version", b"13").strip() != b"13":
            other = InvalidRequest("A WebSocket is spoken here in version 13.", field="Sec-WebSocket-Version")
            raise Refused(other, _UPGRADE_REQUIRED)
        from holdfast.doors.websocket.connection import WebSocketConnection  # noqa: PLC0415  (15 ms of each start)

        wire = WebSocketConnection(self.channels, connection.connections, connection.drain_s)
        wire.place = connection.place
        try:
            wire.open(connection.transport, handshake(method, headers), app.request_id(found))
        except Refused:
            wire.let_go()
            raise
        except HoldfastError as error:  # the access key has too many open
            wire.let_go()
            raise Refused(error) from None
        return wire
