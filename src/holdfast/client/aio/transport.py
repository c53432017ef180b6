"""HTTP for `AsyncClient`, by aiohttp. `sync/transport.py` is the same for `Client`; they are the only files that know an HTTP library."""

import ssl
from collections.abc import AsyncIterator

import aiohttp
from yarl import URL

from holdfast.client.trying import Answer, Call, Lost, NotSent, StreamRefused

_CONNECT_S = 5.0
_KEEP_ALIVE_S = 60.0  # shorter than the server's 75, so that it is rarely the server that closes first
_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_LOST = (aiohttp.ClientError, TimeoutError, OSError)


class AsyncTransport:
    """Connections that are kept open, made by the event loop of the first call."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._session: aiohttp.ClientSession | None = None

    async def request(self, url: str, call: Call, headers: dict[str, str], timeout_s: float) -> Answer:
        """One try; raises `NotSent` or `Lost`."""
        session = self._session or self._open()
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
        """The lines of an answer as they come; raises `Lost` where it breaks off, or is silent for too long."""
        session = self._session or self._open()
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
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S, ssl=self._context or True)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar())
        return self._session
