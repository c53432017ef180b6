"""Jobs over a live channel, and over long polls if none can be opened: an old server, a proxy without WebSocket support, a
server that shuts down.

Jobs received on a channel stay with the worker when the connection breaks (`on_break: keep`), like those of a long poll: so a
job that kills its worker counts as crashed, and a proxy that disconnects costs nothing. The leases are then extended over HTTP
at once, which tells the state of each. Outcomes in transit are sent again over HTTP, where a repeated conclude is harmless.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp

from holdfast.client.aio.client import AsyncClient
from holdfast.client.outcomes import Ended, Entry, ended, size_of
from holdfast.client.tls import distrust
from holdfast.client.types import Extend, Extended, Job, Outcome
from holdfast.client.worker.connectivity import log
from holdfast.client.worker.job_source import LongPollSource
from holdfast.client.worker.known_types import KnownTypes
from holdfast.client.worker.websocket_connection import ANSWER_S, Told, WebSocketConnection
from holdfast.errors import HoldfastError, LeaseLost, OutcomeUnknown
from holdfast.limits import CHANNEL_BYTES_OVER_PAYLOAD

_OPEN_S = 5.0
_WHILE_S = 30.0  # how long a `take` without jobs waits
_SILENCE_S = 20.0  # then the server is pinged
_PAUSE_S = 30.0  # before the next try to open one
_LONG_PAUSE_S = 300.0  # the same if no server here seems to support channels
_AT_ONCE_S = 10.0  # a channel that breaks sooner than this is not reopened at once
_FOR_NOW = frozenset({401, 403, 429, 500, 502, 503, 504})  # other refusals of the handshake will not pass soon


class WebSocketSource:
    """A `JobSource` over a live channel, with long polls as the fallback."""

    def __init__(
        self,
        client: AsyncClient,
        polls: LongPollSource,
        wanted: Callable[[], dict[str, Any]],
        told: Told,
        headers: dict[str, str],
        context: ssl.SSLContext | None,
        types: KnownTypes,
    ) -> None:
        self._types = types
        self._client = client
        self._headers = headers
        self._context = context
        self._polls = polls
        self._wanted = wanted
        self._told = told
        self._session: aiohttp.ClientSession | None = None
        self._line: WebSocketConnection | None = None
        self._not_before = 0.0
        self._broke = 0

    async def take(self, most: int) -> list[Job]:
        """Jobs from the channel; without one, from a long poll."""
        if self._line is not None and not self._line.open and self._line.arrived:
            return await self._left_over(self._line, most)
        line = await self._opened(most)
        if line is None:
            return await self._polls.take(most)
        if line.draining and not line.arrived:
            self._client.nodes.leave(line.url)
            return await self._polls.take(most)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WHILE_S):
                await line.grant(most + len(line.held) - len(line.arrived))
                while not line.arrived and line.open and not line.draining:
                    line.changed.clear()
                    await line.changed.wait()
        return _first(line, most) if line.open else []

    async def _left_over(self, line: WebSocketConnection, most: int) -> list[Job]:
        """The jobs received on a channel that broke, as far as their leases are still ours."""
        jobs = list(line.arrived)[:most]
        outcomes = await self._polls.end([Extend(token=job.lease.token) for job in jobs if job.lease is not None])
        _first(line, most)
        return [job for job, outcome in zip(jobs, outcomes, strict=True) if isinstance(outcome, Extended)]

    async def end(self, entries: Sequence[Entry]) -> list[Ended]:
        """One batch on the channel; over HTTP if there is none, if its answer was lost, or if it is larger than a message may
        be.
        """
        line = self._line
        if line is not None and line.deaf:
            await line.close()  # or the server would send on it, unread, the jobs released here
        if line is None or not line.open or sum(map(size_of, entries)) > CHANNEL_BYTES_OVER_PAYLOAD:
            return await self._polls.end(entries)
        lists: dict[str, list[Entry]] = {}
        for entry in entries:
            lists.setdefault(type(entry).__name__.lower(), []).append(entry)
        try:
            said = await line.ask("batch", ANSWER_S, **lists)
        except OutcomeUnknown:
            return await self._polls.end(entries)
        given = {verb: iter(getattr(said, verb)) for verb in lists}
        outcomes = [ended(entry, next(given[type(entry).__name__.lower()])) for entry in entries]
        for entry, outcome in zip(entries, outcomes, strict=True):
            if isinstance(outcome, Outcome | LeaseLost):
                line.ended(entry.token)
        return outcomes

    async def stop(self) -> list[Job]:
        """Take no more jobs. Returns those received and not taken yet."""
        late = await self._polls.stop()
        line = self._line
        if line is not None:
            with contextlib.suppress(HoldfastError):  # then it has broken, and nothing more arrives
                if line.open:
                    await line.grant(0)
            late += line.arrived
            line.arrived.clear()
        return late

    async def close(self) -> None:
        """Close the connections."""
        if self._line is not None and self._line.open:
            await self._line.close()
        await self._left()
        await self._polls.close()

    async def _opened(self, most: int) -> WebSocketConnection | None:
        if self._line is not None and not self._line.open:
            self._broken(self._line)
            await self._left()
        if self._line is None and time.monotonic() >= self._not_before:
            self._line = await self._open(most)
        return self._line

    async def _left(self) -> None:
        """Leave a channel that broke without hanging up: a server that is only slow would take that for giving back the jobs held here."""
        session, line, self._session, self._line = self._session, self._line, None, None
        if session is not None:
            with contextlib.suppress(TimeoutError):  # it may wait for the server to take what was sent
                async with asyncio.timeout(_OPEN_S):
                    await session.close()  # with the connection, on which nothing can be said any more
        if line is not None:
            await line.close()

    def _broken(self, line: WebSocketConnection) -> None:
        """After repeated early breaks the next opening is delayed, longer each time; long polls fetch jobs meanwhile."""
        if line.draining or (not line.why and time.monotonic() - line.opened_at >= _AT_ONCE_S):
            self._broke = 0
            return
        self._broke += 1
        if self._broke == 1 and not line.why:
            return  # one broken connection is not logged
        pause_s = min(_LONG_PAUSE_S, 2.0 ** min(self._broke - 1, 10))
        self._not_before = time.monotonic() + pause_s
        said = "the live channel to %s broke (%s), polling for %g s"
        log.warning(said, line.url, line.why or "it was hung up", pause_s)

    async def _open(self, most: int) -> WebSocketConnection | None:
        url = self._client.nodes.current
        session = self._session = self._session or aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with asyncio.timeout(_OPEN_S):
                socket = await session.ws_connect(
                    f"{url}/v1/channel",
                    headers=self._headers,
                    heartbeat=_SILENCE_S,
                    max_msg_size=0,
                    ssl=self._context or True,
                )
        except aiohttp.WSServerHandshakeError as error:
            self._wait(url, f"refused with {error.status}", _PAUSE_S if error.status in _FOR_NOW else _LONG_PAUSE_S)
            return None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._wait(url, distrust(error) or str(error) or "no answer", _PAUSE_S)
            return None
        line = WebSocketConnection(socket, url, self._told)
        try:
            await line.start(self._wanted() | {"credits": most}, _OPEN_S)
        except BaseException as error:
            await line.close()
            if isinstance(error, HoldfastError) and self._types.is_refused(error):
                return await self._open(most)
            if not isinstance(error, OutcomeUnknown):
                raise
            self._wait(url, "nothing is said on it", _LONG_PAUSE_S)
            return None
        log.debug("jobs come on a live channel to %s", url)
        return line

    def _wait(self, url: str, why: str, pause_s: float) -> None:
        self._not_before = time.monotonic() + pause_s
        log.info("no live channel to %s, polling for %d s at least: %s", url, pause_s, why)


def _first(line: WebSocketConnection, most: int) -> list[Job]:
    return [line.arrived.popleft() for _ in range(min(most, len(line.arrived)))]
