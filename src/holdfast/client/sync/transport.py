"""HTTP for `Client`: `aio/transport.py` without an event loop. Safe to use from several threads."""

import contextlib
import os
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from holdfast.client.http1 import CONNECT_S, KEEP_ALIVE_S, KEPT_OPEN, READ_BYTES, Response, request_bytes
from holdfast.client.origin import Origin, origin_of
from holdfast.client.retry import Answer, Call, Lost, NotSent

_NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Connection:
    """One connection; it answers one request at a time. Its socket never blocks: all waiting is one `poll`."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._response = Response()
        self.idle_since = 0.0

    @property
    def is_kept(self) -> bool:
        """Whether another request may follow the one that was answered."""
        return self._response.keeps

    def is_good(self) -> bool:
        """Whether it is still open, and nothing has come unasked, which is most often the end."""
        return time.monotonic() - self.idle_since < KEEP_ALIVE_S and not self._poll.poll(0)

    def begin_tls(self, context: ssl.SSLContext, host: str, until: float) -> None:
        """Shake hands."""
        secured = self._socket = context.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
        while True:
            try:
                return secured.do_handshake()
            except _NOT_YET as error:
                self._wait(_missing(error, select.POLLIN), until)

    def ask(self, data: bytes, until: float) -> Answer:
        """Send a request, and wait for its answer; raises `OSError` or `Lost`."""
        self._send(data, until)
        while not self._response.is_whole:
            self._read(until)
        return self._response.answer()

    def lines(self, data: bytes, silence_s: float) -> Iterator[bytes]:
        """Send a request, and read the lines of its answer as they come; raises `OSError`, `Lost` or `StreamRefused`."""
        process = os.getpid()
        self._send(data, time.monotonic() + silence_s)
        while not self._response.is_whole:
            if os.getpid() != process:
                raise Lost("a fork has brought this stream here, and it is the parent's")
            self._read(time.monotonic() + silence_s)
            yield from self._response.take_lines()

    def close(self) -> None:
        """Close it at once."""
        self._response.close()
        self._socket.close()

    def _send(self, data: bytes, until: float) -> None:
        """A server that refuses a request before it has read it all may have closed: its answer is there to be read."""
        self._response.expect()
        sent = 0
        try:
            while True:
                try:
                    sent += self._socket.send(memoryview(data)[sent:] if sent else data)
                except _NOT_YET as error:
                    self._wait(_missing(error, select.POLLOUT), until)
                if sent == len(data):
                    return
        except (BrokenPipeError, ConnectionResetError):
            if isinstance(self._socket, ssl.SSLSocket):
                raise

    def _read(self, until: float) -> None:
        """Read on, as soon as there is something."""
        event = select.POLLIN
        while True:
            self._wait(event, until)
            try:
                came = self._socket.recv(
                    READ_BYTES
                )  # with TLS, more than a record has: none waits where `poll` does not see it
            except _NOT_YET as error:
                event = _missing(error, select.POLLIN)
            else:
                return self._response.feed(came) if came else self._response.end()

    def _wait(self, event: int, until: float) -> None:
        left = until - time.monotonic()
        poll = self._poll
        if event != select.POLLIN:
            poll = select.poll()
            poll.register(self._socket, event)
        if left <= 0 or not poll.poll(left * 1_000):
            raise TimeoutError("no answer in time")


def _missing(error: Exception, event: int) -> int:
    """What to wait for: TLS may have to read before it can write, and the other way round."""
    if isinstance(error, BlockingIOError):
        return event
    return select.POLLIN if isinstance(error, ssl.SSLWantReadError) else select.POLLOUT


class Pool:
    """The connections to one server that are kept open, the last used one first."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._idle: deque[Connection] = deque()

    def kept(self) -> Connection | None:
        """A connection that was used before and is still good."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                break  # another thread took it
            if connection.is_good():
                return connection
            connection.close()
        return None

    def keep(self, connection: Connection) -> None:
        """Keep a connection for the next call, and none for longer than the server would."""
        connection.idle_since = now = time.monotonic()
        self._idle.append(connection)
        try:
            while len(self._idle) > KEPT_OPEN or now - self._idle[0].idle_since >= KEEP_ALIVE_S:
                self._idle.popleft().close()
        except IndexError:
            pass  # another thread took it

    def close(self) -> None:
        """Close them."""
        with contextlib.suppress(IndexError):
            while self._idle:
                self._idle.pop().close()


class Transport:
    """Connections that are kept open. They belong to one process: what a fork brings along is the parent's, and is let go of unused."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._process = os.getpid()
        self._pools: dict[str, Pool] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it has connections of its own."""
        return Transport, (self._context,)

    def request(self, url: str, call: Call, lines: str, until: float) -> Answer:
        """One try; raises `NotSent` or `Lost`."""
        pool = self._pool(url)
        data = request_bytes(pool.origin, call, lines)
        connection = pool.kept() or self._connect(pool.origin, until)
        try:
            answer = connection.ask(data, until)
        except OSError as error:
            connection.close()
            raise Lost(str(error) or type(error).__name__) from error
        except BaseException:
            connection.close()
            raise
        if connection.is_kept and self._process == os.getpid():
            pool.keep(connection)
        else:
            connection.close()
        return answer

    def lines(self, url: str, call: Call, lines: str, silence_s: float) -> Iterator[bytes]:
        """The lines of an answer as they come; raises `Lost` where it breaks off, or is silent for too long."""
        origin = origin_of(url)
        data = request_bytes(origin, call, lines)
        connection = self._connect(origin, time.monotonic() + CONNECT_S)
        try:
            yield from connection.lines(data, silence_s)
        except OSError as error:
            raise Lost(str(error) or type(error).__name__) from error
        finally:
            connection.close()

    def close(self) -> None:
        """Close the connections."""
        if self._process == os.getpid():
            pools, self._pools = self._pools, {}
            for pool in pools.values():
                pool.close()

    def _pool(self, url: str) -> Pool:
        if self._process != os.getpid():
            self._pools, self._process = {}, os.getpid()  # in this order, for threads that look meanwhile
        pool = self._pools.get(url)
        return self._pools.setdefault(url, Pool(origin_of(url))) if pool is None else pool

    def _connect(self, origin: Origin, until: float) -> Connection:
        until = min(until, time.monotonic() + CONNECT_S)
        try:
            connection = Connection(_connected(origin, until))
        except (OSError, UnicodeError) as error:
            raise NotSent(str(error)) from error
        try:
            if origin.is_tls:
                self._context = self._context or ssl.create_default_context()
                connection.begin_tls(self._context, origin.host, until)
        except OSError as error:
            connection.close()
            raise NotSent(str(error)) from error
        return connection


def _connected(origin: Origin, until: float) -> socket.socket:
    """A connection to the first address of a host that takes it. Each has its share of the time, so that one that is silent leaves some for the others."""
    found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    failed: OSError = TimeoutError("no connection in time")
    for number, (family, kind, protocol, _, address) in enumerate(found):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(0.001, (until - time.monotonic()) / (len(found) - number)))
            sock.connect(address)
            sock.settimeout(0)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            failed = error
        else:
            return sock
    raise failed
