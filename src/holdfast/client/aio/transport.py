"""HTTP for `AsyncClient`. `sync/transport.py` is the same for `Client`; they are the only files of the clients that connect."""

import asyncio
import math
import os
import socket
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from aiohappyeyeballs import start_connection

from holdfast.client.http1 import CONNECT_S, KEEP_ALIVE_S, KEPT_OPEN, READ_BYTES, Response, request_bytes
from holdfast.client.origin import Origin, origin_of
from holdfast.client.retry import Answer, Call, Lost, NotSent

AT_ONCE = (
    256  # calls to one server under way; more wait for their turn. Those that wait at the server by intention do not count
)
_BUFFER_BYTES = 16_384  # of each connection: most answers are shorter
_FOR_AN_ANSWER = 1 / 8  # of a try's time: who would have less does not send, because nothing would be known of it then
_NEXT_ADDRESS_S = 0.25  # RFC 8305: after which the next address of a host is tried beside one that does not answer
_NO_CONNECTION = (OSError, RuntimeError, UnicodeError, TimeoutError)  # uvloop has RuntimeErrors in some places of OSErrors


class Connection(asyncio.BufferedProtocol):
    """One connection; it answers one request at a time.

    What comes is read into a buffer of its own: asyncio would ask the system for one of 256 KiB for each answer, and give it back.
    """

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._response = Response()
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._answered: asyncio.Future[Answer] | None = None
        self.idle_since = 0.0
        self.is_gone = False

    @property
    def is_kept(self) -> bool:
        """Whether another request may follow the one that was answered."""
        return self._response.keeps and not self.is_gone

    def ask(self, data: bytes, answered: "asyncio.Future[Answer]") -> None:
        """Send a request; the future gets the answer when it is whole, or `Lost`."""
        self._response.expect()
        self._answered = answered
        self.transport.write(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self.transport = transport  # type: ignore[assignment]  # one of TCP is both read and written

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Where to read to."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Read on."""
        if self._answered is None:
            self.close()  # nothing was asked
            return
        try:
            self._response.feed(self._buffer[:nbytes])
        except Lost as error:
            self._lose(error)
        else:
            if self._response.is_whole:
                self._done()

    def eof_received(self) -> None:
        """The server sends nothing more."""
        if self._answered is not None:
            try:
                self._response.end()
            except Lost as error:
                self._lose(error)
            else:
                self._done()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self.is_gone = True
        if exc is None:
            self.eof_received()
        else:
            lost = Lost(str(exc) or type(exc).__name__)
            lost.__cause__ = exc
            self._lose(lost)
        self._response.close()

    def close(self) -> None:
        """Close it at once."""
        self.is_gone = True
        self._answered = None
        self.transport.abort()

    def _done(self) -> None:
        answered, self._answered = self._answered, None
        if answered is not None and not answered.done():
            answered.set_result(self._response.answer())

    def _lose(self, error: Lost) -> None:
        answered = self._answered
        self.close()
        if answered is not None and not answered.done():
            answered.set_exception(error)


class Deadlines:
    """Ends in time what is waited for: with one timer for all of it, because most of it comes long before its time is up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ends: dict[asyncio.Future[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf

    def future(self, until: float) -> "asyncio.Future[Any]":
        """A future that raises `TimeoutError` then; who has waited for it says so, with `forget`."""
        future = self._loop.create_future()
        self._ends[future] = until
        if until < self._rings_at:
            self._ring_at(until)
        return future

    def forget(self, future: "asyncio.Future[Any]") -> None:
        """Nobody waits for it any more."""
        del self._ends[future]

    def _ring_at(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = at
        self._timer = self._loop.call_later(at - time.monotonic(), self._ring)

    def _ring(self) -> None:
        now = time.monotonic()
        for future, until in self._ends.items():
            if until <= now and not future.done():
                future.set_exception(TimeoutError())
        self._timer, self._rings_at = None, math.inf
        if (first := min((until for until in self._ends.values() if until > now), default=None)) is not None:
            self._ring_at(first)


class Pool:
    """The connections of one event loop to one server."""

    def __init__(self, origin: Origin, deadlines: Deadlines) -> None:
        self.origin = origin
        self.deadlines = deadlines
        self.idle: deque[Connection] = deque()
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def begin(self) -> bool:
        """Whether a call may begin at once, or waits for its `turn`. When it has ended, it is `over`."""
        if self._under_way >= AT_ONCE:
            return False
        self._under_way += 1
        return True

    async def turn(self, until: float) -> None:
        """Wait until another call is over; raises `NotSent` when the time is up."""
        turn: asyncio.Future[None] = self.deadlines.future(until)
        self._waiting.append(turn)
        try:
            with suppress(TimeoutError):
                return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.over()
            raise
        finally:
            self.deadlines.forget(turn)
        raise NotSent(f"{AT_ONCE} other calls were under way all the time")

    def over(self) -> None:
        """A call has ended: the next is the one that has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._under_way -= 1

    def kept(self) -> Connection | None:
        """A connection that was used before and is still good."""
        while self.idle:
            connection = self.idle.pop()
            if not connection.is_gone and time.monotonic() - connection.idle_since < KEEP_ALIVE_S:
                return connection
            connection.close()
        return None

    def keep(self, connection: Connection) -> None:
        """Keep a connection for the next call, and none for longer than the server would."""
        now = connection.idle_since = time.monotonic()
        self.idle.append(connection)
        while self.idle and (
            len(self.idle) > KEPT_OPEN or self.idle[0].is_gone or now - self.idle[0].idle_since >= KEEP_ALIVE_S
        ):
            self.idle.popleft().close()

    def close(self) -> None:
        """Close the connections that are kept."""
        while self.idle:
            self.idle.pop().close()


class LoopPools:
    """The connections of one event loop, by server."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._deadlines = Deadlines(loop)
        self._pools: dict[str, Pool] = {}

    def pool(self, url: str) -> Pool:
        """The connections to a server."""
        pool = self._pools.get(url)
        if pool is None:
            pool = self._pools[url] = Pool(origin_of(url), self._deadlines)
        return pool

    def close(self) -> None:
        """Close all that are kept."""
        for pool in self._pools.values():
            pool.close()


Loops = dict[asyncio.AbstractEventLoop, LoopPools]
_of_parents: list[Loops] = []
"""What a fork has brought here, kept for ever and never touched: the sockets are the parent's, and so is what its event loop waits with."""


class AsyncTransport:
    """Persistent connections. They belong to one process and one event loop; each that calls has its own."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._loops: Loops = {}
        self._process = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it has connections of its own."""
        return AsyncTransport, (self._context,)

    async def request(self, url: str, call: Call, lines: str, until: float) -> Answer:
        """One try; raises `NotSent` or `Lost`."""
        pool = self._mine().pool(url)
        data = request_bytes(pool.origin, call, lines)
        if call.wait_ms:
            return await self._ask(pool, data, until)
        if not pool.begin():
            await pool.turn(until - (until - time.monotonic()) * _FOR_AN_ANSWER)
        try:
            return await self._ask(pool, data, until)
        finally:
            pool.over()

    async def _ask(self, pool: Pool, data: bytes, until: float) -> Answer:
        connection = pool.kept() or await self._connect(pool.origin, until)
        answered = pool.deadlines.future(until)
        try:
            connection.ask(data, answered)
            answer: Answer = await answered
        except TimeoutError as error:
            connection.close()
            raise Lost("no answer in time") from error
        except asyncio.CancelledError:
            connection.close()
            raise
        finally:
            pool.deadlines.forget(answered)
        if connection.is_kept:
            pool.keep(connection)
        else:
            connection.close()
        return answer

    async def lines(self, url: str, call: Call, lines: str, silence_s: float) -> AsyncIterator[bytes]:
        """The lines of an answer as they come; raises `Lost` where it breaks off, or is silent for too long."""
        origin = origin_of(url)
        data = request_bytes(origin, call, lines)
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
                    came = await reader.read(READ_BYTES)
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
        loops, self._loops = self._loops, {}
        here = asyncio.get_running_loop()
        for loop, there in loops.items():
            if loop is not here and loop.is_running():
                loop.call_soon_threadsafe(there.close)
            elif not loop.is_closed():
                there.close()
        await asyncio.sleep(0)  # so that they are closed when this returns

    def _mine(self) -> LoopPools:
        """What belongs to this process and this event loop."""
        if self._process != os.getpid():
            _of_parents.append(self._loops)
            self._loops, self._process = {}, os.getpid()
        loop = asyncio.get_running_loop()
        here = self._loops.get(loop)
        if here is None:
            here = self._loops[loop] = LoopPools(loop)
            for other in [each for each in self._loops if each.is_closed()]:
                del self._loops[other]
        return here

    async def _connect(self, origin: Origin, until: float) -> Connection:
        try:
            async with asyncio.timeout(min(CONNECT_S, until - time.monotonic())):
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection, sock=await _connected(origin), **self._tls(origin)
                )
        except _NO_CONNECTION as error:
            raise NotSent(str(error) or type(error).__name__) from error
        if time.monotonic() >= until:
            connection.close()
            raise NotSent("no connection in time")
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
    sock = await start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
