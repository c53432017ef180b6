"""What an application is told of its caller: the body, and then that it has left, or says nothing more, which looks the same."""

from typing import Any, Protocol


class Connection(Protocol):
    """Where the caller is. `half_closed`: nothing more comes from it."""

    half_closed: bool


class Receive:
    """An application whose `receive` says so at once, whichever of the two it asks about and whenever it asks. A stream that it breaks off
    for that ends in order.
    """

    __slots__ = ("_app", "_connection", "_cycle", "_heard", "_receive")

    def __init__(self, connection: Connection, cycle: Any, app: Any) -> None:
        self._connection = connection
        self._cycle = cycle
        self._app = app
        self._heard = False
        self._receive: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        self._receive = receive
        await self._app(scope, self._hear, send)
        if self._connection.half_closed and self._cycle.chunked_encoding and not self._cycle.response_complete:
            await send({"type": "http.response.body", "body": b""})

    async def _hear(self) -> dict[str, Any]:
        if self._heard and self._connection.half_closed:
            return self._over()
        message: dict[str, Any] = await self._receive()
        if self._heard:
            return self._over()
        self._heard = not message.get("more_body", False)
        return message

    def _over(self) -> dict[str, Any]:
        return {"type": "http.disconnect", "half_closed": self._connection.half_closed and not self._cycle.disconnected}
