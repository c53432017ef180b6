"""The listening sockets, and closing their connections."""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from holdfast.http.app import App
from holdfast.http.connection import Connection
from holdfast.http.reply import Heads
from holdfast.tls import TlsListener

_SPEAK_TLS = b"This port speaks TLS: the URL begins with https://.\n"
_PLAINLY = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (
    len(_SPEAK_TLS),
    _SPEAK_TLS,
)


class Open(Protocol):
    """A connection, as the server sees it."""

    def shutdown(self) -> None:
        """Close once requests in progress are answered."""

    def abort(self) -> None:
        """Close now."""


class Connections:
    """The open connections of one front, and the tasks that answer requests."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()
        self._open: set[Open] = set()
        self._over: asyncio.Future[None] | None = None

    def add(self, connection: Open) -> None:
        """A new connection; one that was still accepted while the server ends is closed."""
        self._open.add(connection)
        if self._over is not None:
            connection.shutdown()

    def discard(self, connection: Open) -> None:
        """It is closed, or handed over."""
        self._open.discard(connection)
        self._look()

    def run(self, task: asyncio.Task[Any]) -> None:
        """A task that answers a request."""
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        self._look()

    def _look(self) -> None:
        if self._over is not None and not self._over.done() and not self._open and not self.tasks:
            self._over.set_result(None)

    async def end(self, within_s: float) -> None:
        """Close every connection once its requests in progress are answered; after so many seconds in any case."""
        self._over = asyncio.get_running_loop().create_future()
        for connection in list(self._open):
            connection.shutdown()
        self._look()
        await asyncio.wait({self._over}, timeout=within_s)
        for connection in list(self._open):
            connection.abort()
        for task in list(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)


class HttpServer:
    """The HTTP server of one front. `keep_alive_s`: how long an idle connection is kept; `drain_s`: how long closing may take;
    `context` is used for each TLS handshake.
    """

    def __init__(
        self, app: App, keep_alive_s: float, drain_s: float, context: Callable[[], ssl.SSLContext] | None = None
    ) -> None:
        self.connections = Connections()
        self._app = app
        self._keep_alive_s = keep_alive_s
        self._drain_s = drain_s
        self._context = context
        self.handshakes_failed: dict[str, int] = Counter()
        self._heads = Heads()
        self._told = asyncio.Event()

    def connection(self) -> Connection:
        """The protocol of a new connection."""
        return Connection(self._app, self.connections, self._heads, self._keep_alive_s, self._drain_s)

    async def serve(self, listener: socket.socket, backlog: int, on_started: Callable[[], None]) -> None:
        """Serve until asked to stop, and close in order."""
        server: Any
        if self._context is None:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(self.connection, sock=listener, backlog=backlog)
        else:
            server = TlsListener(listener, self.connection, self._context, _PLAINLY, self.handshakes_failed)
        on_started()
        await self._told.wait()
        server.close()
        listener.close()
        await self.connections.end(self._drain_s)

    def stop(self) -> None:
        """Take no more connections, and end."""
        self._told.set()
