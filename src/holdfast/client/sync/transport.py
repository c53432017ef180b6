"""HTTP for `Client`, by urllib3: `aio/transport.py` without an event loop. Safe to use from several threads."""

import ssl
from collections.abc import Iterator
from typing import Any

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from holdfast.client.trying import Answer, Call, Lost, NotSent, StreamRefused

_CONNECT_S = 5.0
_KEPT_OPEN = 64  # connections to one server; more are made when more threads call at once, and closed after use
_LOST = (HTTPError, TimeoutError, OSError)
_PART = 65_536


class Transport:
    """Connections that are kept open."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        more: dict[str, Any] = {} if context is None else {"ssl_context": context}
        self._pools = urllib3.PoolManager(maxsize=_KEPT_OPEN, retries=False, **more)

    def request(self, url: str, call: Call, headers: dict[str, str], timeout_s: float) -> Answer:
        """One try; raises `NotSent` or `Lost`."""
        timeout = urllib3.Timeout(total=timeout_s, connect=min(_CONNECT_S, timeout_s))
        try:
            response = self._pools.urlopen(
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
        timeout = urllib3.Timeout(connect=_CONNECT_S, read=silence_s)
        try:
            response = self._pools.urlopen(
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
                while part := response.read1(_PART):
                    *whole, rest = (rest + part).split(b"\n")
                    yield from whole
            finally:
                response.close()
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise NotSent(str(error)) from error
        except _LOST as error:
            raise Lost(str(error) or type(error).__name__) from error

    def close(self) -> None:
        """Close the connections."""
        self._pools.clear()
