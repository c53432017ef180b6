"""HTTP for `AsyncClient`. `sync/transport.py` is the same for `Client`; they are the only files of the clients that connect."""

import asyncio
import os
import socket
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from aiohappyeyeballs import start_connection

from holdfast.client.http1 import CONNECT_S, KEEP_ALIVE_S, Response, request_bytes
from holdfast.client.origin import Origin, origin_of
from holdfast.client.retry import Answer, Call, Lost, NotSent

_KEPT_OPEN = 1_000  # idle connections to one server; more are made when more calls are under way, and closed after use
_AT_ONCE = 65_536
_NEXT_ADDRESS_S = 0.25  # RFC 8305: after which the next address of a host is tried beside one that does not answer
_NO_CONNECTION = (OSError, RuntimeError, UnicodeError, TimeoutError)  # uvloop has RuntimeErrors in some places of OSErrors
Idle = dict[Origin, "deque[Connection]"]
Pools = dict[asyncio.AbstractEventLoop, Idle]
_of_parents: list[Pools] = []
"""What a fork has brought here, kept for ever and never touched: the sockets are the parent's, and so is what its event loop waits with."""


class Connection(asyncio.Protocol):
    """One connection; it answers one request at a time."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._response: Response | None = None
        self._answered: asyncio.Future[Response] | None = None
        self.idle_since = 0.0
        self.is_gone = False

    def ask(self, data: bytes) -> "asyncio.Future[Response]":
        """Send a request; the future has the answer when it is whole, or `Lost`."""
        self._response = Response()
        self._answered = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        return self._answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self.transport = transport  # type: ignore[assignment]  # one of TCP is both read and written

    def data_received(self, data: bytes) -> None:
        """Read on."""
        response, answered = self._response, self._answered
        if response is None or answered is None:
            self.close()  # nothing was asked
            return
        try:
            response.feed(data)
        except Lost as error:
            self._lose(error)
        else:
            if response.is_whole:
                self._done(response)

    def eof_received(self) -> None:
        """The server sends nothing more."""
        if self._response is not None:
            try:
                self._response.end()
            except Lost as error:
                self._lose(error)
            else:
                self._done(self._response)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self.is_gone = True
        if self._response is not None:
            if exc is None:
                self.eof_received()
            else:
                lost = Lost(str(exc) or type(exc).__name__)
                lost.__cause__ = exc
                self._lose(lost)

    def close(self) -> None:
        """Close it at once."""
        self.is_gone = True
        self._response = None
        self.transport.abort()

    def _done(self, response: Response) -> None:
        answered, self._response, self._answered = self._answered, None, None
        if answered is not None and not answered.done():
            answered.set_result(response)

    def _lose(self, error: Lost) -> None:
        answered, self._answered = self._answered, None
        self.close()
        if answered is not None and not answered.done():
            answered.set_exception(error)


class AsyncTransport:
    """Persistent connections. They belong to one process and one event loop; each that calls has its own."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._pools: Pools = {}
        self._process = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it has connections of its own."""
        return AsyncTransport, (self._context,)

    async def request(self, url: str, call: Call, headers: dict[str, str], timeout_s: float) -> Answer:
        """One try; raises `NotSent` or `Lost`."""
        until = time.monotonic() + timeout_s
        origin = origin_of(url)
        data = request_bytes(origin, call, headers)
        idle = self._mine()
        connection = _kept(idle, origin) or await self._connect(origin, timeout_s)
        left = until - time.monotonic()
        if left <= 0:
            connection.close()
            raise NotSent("no connection in time")
        try:
            async with asyncio.timeout(left):
                response = await connection.ask(data)
        except TimeoutError as error:
            connection.close()
            raise Lost("no answer in time") from error
        except asyncio.CancelledError:
            connection.close()
            raise
        _keep(idle, origin, connection, response)
        return response.answer()

    async def lines(self, url: str, call: Call, headers: dict[str, str], silence_s: float) -> AsyncIterator[bytes]:
        """The lines of an answer as they come; raises `Lost` where it breaks off, or is silent for too long."""
        origin = origin_of(url)
        data = request_bytes(origin, call, headers)
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await asyncio.open_connection(sock=await _connected(origin), **self._tls(origin))
        except _NO_CONNECTION as error:
            raise NotSent(str(error) or type(error).__name__) from error
        response = Response()
        try:
            writer.write(data)
            while not response.is_whole:
                async with asyncio.timeout(silence_s):
                    came = await reader.read(_AT_ONCE)
                if came:
                    response.feed(came)
                else:
                    response.end()
                for line in response.take_lines():
                    yield line
        except (OSError, TimeoutError) as error:
            raise Lost(str(error) or type(error).__name__) from error
        finally:
            writer.transport.abort()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._process != os.getpid():
            return
        pools, self._pools = self._pools, {}
        here = asyncio.get_running_loop()
        for loop, idle in pools.items():
            if loop is not here and loop.is_running():
                loop.call_soon_threadsafe(_close, idle)
            elif not loop.is_closed():
                _close(idle)
        await asyncio.sleep(0)  # so that they are closed when this returns

    def _mine(self) -> Idle:
        """The idle connections of this process and this event loop."""
        if self._process != os.getpid():
            _of_parents.append(self._pools)
            self._pools, self._process = {}, os.getpid()
        loop = asyncio.get_running_loop()
        idle = self._pools.get(loop)
        if idle is None:
            idle = self._pools[loop] = {}
            for other in [each for each in self._pools if each.is_closed()]:
                del self._pools[other]
        return idle

    async def _connect(self, origin: Origin, timeout_s: float) -> Connection:
        try:
            async with asyncio.timeout(min(CONNECT_S, timeout_s)):
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection, sock=await _connected(origin), **self._tls(origin)
                )
        except _NO_CONNECTION as error:
            raise NotSent(str(error) or type(error).__name__) from error
        return connection

    def _tls(self, origin: Origin) -> dict[str, Any]:
        if not origin.is_tls:
            return {}
        self._context = self._context or ssl.create_default_context()
        return {"ssl": self._context, "server_hostname": origin.host}


async def _connected(origin: Origin) -> socket.socket:
    """A connection to the first address of a host that takes it, on any event loop."""
    try:
        found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:  # not an address but a name, which takes time
        found = await asyncio.get_running_loop().getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    return await start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS_S)


def _kept(idle: Idle, origin: Origin) -> Connection | None:
    """A connection that was used before and is still good."""
    connections = idle.get(origin)
    while connections:
        connection = connections.pop()
        if not connection.is_gone and time.monotonic() - connection.idle_since < KEEP_ALIVE_S:
            return connection
        connection.close()
    return None


def _keep(idle: Idle, origin: Origin, connection: Connection, response: Response) -> None:
    connections = idle.setdefault(origin, deque())
    if response.keeps and len(connections) < _KEPT_OPEN:
        connection.idle_since = time.monotonic()
        connections.append(connection)
    else:
        connection.close()


def _close(idle: Idle) -> None:
    for connections in idle.values():
        for connection in connections:
            connection.close()
    idle.clear()
