"""HTTP for `Client`, by urllib3: `aio/transport.py` without an event loop. Safe to use from several threads."""

import os
import ssl
from collections.abc import Iterator
from typing import Any

import urllib3
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from holdfast.client.retry import Answer, Call, Lost, NotSent, StreamRefused

_CONNECT_S = 5.0
_KEPT_OPEN = 64  # connections to one server; more are made when more threads call at once, and closed after use
_LOST = (HTTPError, TimeoutError, OSError)
_PART = 65_536


class _Connection(HTTPSConnection):
    def connect(self) -> None:
        """As its parent; where it fails nothing was sent, which urllib3 does not tell from a failure later on."""
        try:
            super().connect()
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error


class _Pool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Connection


class Transport:
    """Connections that are kept open. They belong to one process: what a fork brings along is the parent's, and is let go of unused."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._process, self._pools = os.getpid(), self._open()

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it has connections of its own."""
        return Transport, (self._context,)

    def request(self, url: str, call: Call, headers: dict[str, str], timeout_s: float) -> Answer:
        """One try; raises `NotSent` or `Lost`."""
        timeout = urllib3.Timeout(total=timeout_s, connect=min(_CONNECT_S, timeout_s))
        try:
            response = self._mine().urlopen(
                call.method, url + call.path, body=call.body, headers=headers, timeout=timeout, redirect=False, retries=False
            )
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise NotSent(str(error)) from error
        except _LOST as error:
            raise Lost(str(error) or type(error).__name__) from error
        said = response.headers
        return Answer(response.status, response.data, said.get("X-Request-Id", ""), said.get("Retry-After", ""))

    def lines(self, url: str, call: Call, headers: dict[str, str], silence_s: float) -> Iterator[bytes]:
        """The lines of an answer as they come; raises `Lost` where it breaks off, or is silent for too long."""
        process = os.getpid()
        timeout = urllib3.Timeout(connect=_CONNECT_S, read=silence_s)
        try:
            response = self._mine().urlopen(
                call.method,
                url + call.path,
                headers=headers,
                timeout=timeout,
                redirect=False,
                retries=False,
                preload_content=False,
            )
            try:
                if response.status != 200:
                    raise StreamRefused(Answer(response.status, response.data, response.headers.get("X-Request-Id", "")))
                rest = b""
                while os.getpid() == process and (part := response.read1(_PART)):
                    *whole, rest = (rest + part).split(b"\n")
                    yield from whole
                if os.getpid() != process:
                    raise Lost("a fork has brought this stream here, and it is the parent's")
            finally:
                response.close()
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise NotSent(str(error)) from error
        except _LOST as error:
            raise Lost(str(error) or type(error).__name__) from error

    def close(self) -> None:
        """Close the connections."""
        if self._process == os.getpid():
            self._pools.clear()

    def _mine(self) -> urllib3.PoolManager:
        """The connections of this process."""
        if self._process != os.getpid():
            self._pools, self._process = self._open(), os.getpid()  # in this order, for threads that look meanwhile
        return self._pools

    def _open(self) -> urllib3.PoolManager:
        more: dict[str, Any] = {} if self._context is None else {"ssl_context": self._context}
        pools = urllib3.PoolManager(maxsize=_KEPT_OPEN, retries=False, **more)
        pools.pool_classes_by_scheme = pools.pool_classes_by_scheme | {"https": _Pool}
        return pools
