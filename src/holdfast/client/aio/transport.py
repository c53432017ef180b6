"""HTTP for `AsyncClient`, by aiohttp. `sync/transport.py` is the same for `Client`; no other files use an HTTP library."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from yarl import URL

from holdfast.client.retry import Answer, Call, Lost, NotSent, StreamRefused

_CONNECT_S = 5.0
_KEEP_ALIVE_S = 60.0  # shorter than the server's 75, so that it is rarely the server that closes first
_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_LOST = (aiohttp.ClientError, TimeoutError, OSError)


Sessions = dict[asyncio.AbstractEventLoop, aiohttp.ClientSession]
_of_parents: list[Sessions] = []
"""What a fork has brought here, kept for ever and never touched: the sockets are the parent's, and so is what its event loop waits with."""


class AsyncTransport:
    """Persistent connections. They belong to one process and one event loop; each that calls has its own."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._sessions: Sessions = {}
        self._process = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it has connections of its own."""
        return AsyncTransport, (self._context,)

    async def request(self, url: str, call: Call, headers: dict[str, str], timeout_s: float) -> Answer:
        """One try; raises `NotSent` or `Lost`."""
        session = await self._mine()
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(_CONNECT_S, timeout_s))
        target = URL(url + call.path, encoded=True)
        try:
            async with session.request(
                call.method, target, data=call.body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                body = await response.read()
        except _NOT_SENT as error:
            raise NotSent(str(error)) from error
        except _LOST as error:
            raise Lost(str(error) or type(error).__name__) from error
        said = response.headers
        return Answer(response.status, body, said.get("X-Request-Id", ""), said.get("Retry-After", ""))

    async def lines(self, url: str, call: Call, headers: dict[str, str], silence_s: float) -> AsyncIterator[bytes]:
        """The lines of an answer as they arrive; raises `Lost` if it breaks off, or is silent for too long."""
        session = await self._mine()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=silence_s)
        target = URL(url + call.path, encoded=True)
        try:
            async with session.request(
                call.method, target, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise StreamRefused(
                        Answer(response.status, await response.read(), response.headers.get("X-Request-Id", ""))
                    )
                async for line in response.content:
                    yield line
        except _NOT_SENT as error:
            raise NotSent(str(error)) from error
        except _LOST as error:
            raise Lost(str(error) or type(error).__name__) from error

    async def aclose(self) -> None:
        """Close the connections."""
        if self._process != os.getpid():
            return
        sessions, self._sessions = self._sessions, {}
        here = asyncio.get_running_loop()
        for loop, session in sessions.items():
            if loop is not here and loop.is_running():
                asyncio.run_coroutine_threadsafe(session.close(), loop)
            else:
                await session.close()

    async def _mine(self) -> aiohttp.ClientSession:
        """The connections of this process and this event loop."""
        if self._process != os.getpid():
            _of_parents.append(self._sessions)
            self._sessions, self._process = {}, os.getpid()
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is not None and not session.closed:
            return session
        session = self._sessions[loop] = self._open()
        for other in [each for each in self._sessions if each.is_closed()]:
            await self._sessions.pop(other).close()
        return session

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S, ssl=self._context or True)
        return aiohttp.ClientSession(connector=connector, auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar())
