"""HTTP for `Client`: `aio/transport.py` without an event loop. Safe to use from several threads."""

import os
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from holdfast.client.http1 import CONNECT_S, KEEP_ALIVE_S, Response, request_bytes
from holdfast.client.origin import Origin, origin_of
from holdfast.client.retry import Answer, Call, Lost, NotSent

_KEPT_OPEN = 64  # idle connections to one server; more are made when more threads call at once, and closed after use
_AT_ONCE = 65_536
Idle = dict[Origin, "deque[tuple[socket.socket, float]]"]


class Transport:
    """Connections that are kept open. They belong to one process: what a fork brings along is the parent's, and is let go of unused."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._process = os.getpid()
        self._idle: Idle = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it has connections of its own."""
        return Transport, (self._context,)

    def request(self, url: str, call: Call, headers: dict[str, str], timeout_s: float) -> Answer:
        """One try; raises `NotSent` or `Lost`."""
        until = time.monotonic() + timeout_s
        origin = origin_of(url)
        data = request_bytes(origin, call, headers)
        process = self._process
        connection = self._kept(origin) or self._connect(origin, timeout_s)
        response = Response()
        if time.monotonic() >= until:
            connection.close()
            raise NotSent("no connection in time")
        try:
            _send(connection, data, until)
            while not response.is_whole:
                _wait_until(connection, until)
                if came := connection.recv(_AT_ONCE):
                    response.feed(came)
                else:
                    response.end()
        except OSError as error:
            connection.close()
            raise Lost(str(error) or type(error).__name__) from error
        except BaseException:
            connection.close()
            raise
        self._keep(origin, connection, response, process)
        return response.answer()

    def lines(self, url: str, call: Call, headers: dict[str, str], silence_s: float) -> Iterator[bytes]:
        """The lines of an answer as they come; raises `Lost` where it breaks off, or is silent for too long."""
        process = os.getpid()
        origin = origin_of(url)
        data = request_bytes(origin, call, headers)
        connection = self._connect(origin, CONNECT_S)
        response = Response()
        try:
            connection.settimeout(silence_s)
            connection.sendall(data)
            while not response.is_whole:
                if os.getpid() != process:
                    raise Lost("a fork has brought this stream here, and it is the parent's")
                if came := connection.recv(_AT_ONCE):
                    response.feed(came)
                else:
                    response.end()
                yield from response.take_lines()
        except OSError as error:
            raise Lost(str(error) or type(error).__name__) from error
        finally:
            connection.close()

    def close(self) -> None:
        """Close the connections."""
        if self._process == os.getpid():
            idle, self._idle = self._idle, {}
            for connections in idle.values():
                for connection, _ in connections:
                    connection.close()

    def _kept(self, origin: Origin) -> socket.socket | None:
        """A connection that was used before and is still good."""
        if self._process != os.getpid():
            self._idle, self._process = {}, os.getpid()  # in this order, for threads that look meanwhile
        connections = self._idle.get(origin)
        while connections:
            try:
                connection, since = connections.pop()
            except IndexError:
                break  # another thread took it
            if time.monotonic() - since < KEEP_ALIVE_S and not _has_more(connection):
                return connection
            connection.close()
        return None

    def _keep(self, origin: Origin, connection: socket.socket, response: Response, process: int) -> None:
        connections = self._idle.setdefault(origin, deque())
        if response.keeps and len(connections) < _KEPT_OPEN and process == self._process == os.getpid():
            connections.append((connection, time.monotonic()))
        else:
            connection.close()

    def _connect(self, origin: Origin, timeout_s: float) -> socket.socket:
        try:
            connection = socket.create_connection((origin.host, origin.port), min(CONNECT_S, timeout_s))
        except (OSError, UnicodeError) as error:
            raise NotSent(str(error)) from error
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if origin.is_tls:
                self._context = self._context or ssl.create_default_context()
                return self._context.wrap_socket(connection, server_hostname=origin.host)
        except OSError as error:
            connection.close()
            raise NotSent(str(error)) from error
        return connection


def _has_more(connection: socket.socket) -> bool:
    """Whether something has come unasked, which is most often the end: the connection is not good any more."""
    poll = select.poll()
    try:
        poll.register(connection, select.POLLIN)
    except ValueError:  # it was closed
        return True
    return bool(poll.poll(0))


def _send(connection: socket.socket, data: bytes, until: float) -> None:
    """Send a request. A server that refuses it before it has read it all may have closed: its answer is there to be read."""
    _wait_until(connection, until)
    try:
        connection.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        if isinstance(connection, ssl.SSLSocket):
            raise


def _wait_until(connection: socket.socket, until: float) -> None:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    connection.settimeout(left)
