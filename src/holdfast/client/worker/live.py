"""Jobs by a live channel, and by long polls wherever that can't be had: an old server, a proxy that lets no WebSocket through, a server that
shuts down.

What came on a channel belongs to it: when the connection breaks, the server hands it back, but for a server that was killed. So the leases are
then extended over HTTP at once, which says what became of each. Outcomes that were on their way are sent again over HTTP, where concluding twice
is as concluding once.
"""

import asyncio
import contextlib
import itertools
import logging
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
import msgspec

from holdfast.client.aio.client import AsyncClient
from holdfast.client.aio.consuming import Ended
from holdfast.client.refusals import refusal
from holdfast.client.trying import encode
from holdfast.client.types import Extend, Extended, Job, Outcome
from holdfast.client.worker.channel import Entry, LongPolls
from holdfast.errors import HoldfastError, LeaseLost, OutcomeUnknown

log = logging.getLogger("holdfast.worker")
_OPEN_S = 5.0
_ANSWER_S = 30.0
_WHILE_S = 30.0  # a `take` without jobs lasts so long
_SILENCE_S = 20.0  # then the server is pinged
_PAUSE_S = 300.0  # before the next try, where nothing here seems to know of channels
_FOR_NOW = frozenset({401, 403, 429, 500, 502, 503, 504})  # other refusals of the handshake are no matter of a moment
Told = Callable[[str, str], None]


class _Said(msgspec.Struct):
    """A message of the server, as far as a worker heeds it."""

    op: str
    ref: str | None = None
    jobs: list[Job] = []
    job: int = 0
    attempt: int = 0
    conclude: list[dict[str, Any]] = []
    fail: list[dict[str, Any]] = []
    release: list[dict[str, Any]] = []
    extend: list[dict[str, Any]] = []


_said = msgspec.json.Decoder(_Said).decode


class _Line:
    """One open channel. `told` hears of leases: a token, and `lost`, `cancel` or `unknown`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, url: str, told: Told) -> None:
        self.url = url
        self.arrived: deque[Job] = deque()
        self.held: dict[tuple[int, int], str] = {}  # tokens by job and attempt
        self.changed = asyncio.Event()
        self.open = True
        self.draining = False
        self._socket = socket
        self._told = told
        self._credits = 0
        self._numbers = itertools.count(1)
        self._asked: dict[str, asyncio.Future[_Said]] = {}
        self._reading = asyncio.create_task(self._read(), name="holdfast-channel")

    async def start(self, wanted: dict[str, Any]) -> None:
        """Say what is wanted; raises where that is refused."""
        self._credits = wanted["credits"]
        await self.ask("start", _OPEN_S, **wanted)

    async def grant(self, number: int) -> None:
        """Have at most so many jobs here."""
        if number != self._credits:
            self._credits = number
            await self.ask("credits", credits=number)

    async def ask(self, op: str, within_s: float = _ANSWER_S, **fields: Any) -> _Said:
        """Say something and wait for the answer; raises a refusal, and `OutcomeUnknown` where none comes."""
        ref = str(next(self._numbers))
        answer: asyncio.Future[_Said] = asyncio.get_running_loop().create_future()
        self._asked[ref] = answer
        try:
            async with asyncio.timeout(within_s):
                await self._socket.send_str(encode({"op": op, "ref": ref, **fields}).decode())
                return await answer
        except (TimeoutError, ConnectionError, aiohttp.ClientError) as error:
            self._over()
            raise OutcomeUnknown(f"The channel to {self.url} broke: {error}.") from error
        finally:
            self._asked.pop(ref, None)

    def ended(self, token: str) -> None:
        """This lease is over."""
        job, attempt = token.split(".")[:2]
        self.held.pop((int(job), int(attempt)), None)

    async def close(self) -> None:
        """Hang up."""
        self._over()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._socket.close()

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._hear(message.data)
        finally:
            self._over()

    def _hear(self, text: str) -> None:
        said = _said(text)
        if said.op == "jobs":
            for job in said.jobs:
                if job.lease is not None:
                    self.held[job.id, job.attempt] = job.lease.token
            self.arrived.extend(said.jobs)
            self.changed.set()
        elif said.op in ("cancel", "lost"):
            token = self.held.get((said.job, said.attempt))
            if token is not None:
                self._told(token, said.op)
                if said.op == "lost":
                    self.ended(token)
        elif said.op == "draining":
            self.draining = True
            self.changed.set()
        elif said.ref is not None and (answer := self._asked.get(said.ref)) is not None and not answer.done():
            if said.op == "error":
                answer.set_exception(refusal(msgspec.json.decode(text)))
            else:
                answer.set_result(said)

    def _over(self) -> None:
        if not self.open:
            return
        self.open = False
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError("it was closed"))
        for token in self.held.values():
            self._told(token, "unknown")
        self.held.clear()
        self.arrived.clear()
        self.changed.set()


class LiveChannel:
    """A `Channel` over a live channel, with long polls behind it."""

    def __init__(
        self,
        client: AsyncClient,
        polls: LongPolls,
        wanted: Callable[[], dict[str, Any]],
        told: Told,
        headers: dict[str, str],
        context: ssl.SSLContext | None,
    ) -> None:
        self._client = client
        self._headers = headers
        self._context = context
        self._polls = polls
        self._wanted = wanted
        self._told = told
        self._session: aiohttp.ClientSession | None = None
        self._line: _Line | None = None
        self._not_before = 0.0

    async def take(self, most: int) -> list[Job]:
        """What comes on the channel; without one, a long poll."""
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
        return [line.arrived.popleft() for _ in range(min(most, len(line.arrived)))]

    async def end(self, entries: Sequence[Entry]) -> list[Ended]:
        """One batch on the channel; over HTTP where there is none, and where its answer was lost."""
        line = self._line
        if line is None or not line.open:
            return await self._polls.end(entries)
        lists: dict[str, list[Entry]] = {}
        for entry in entries:
            lists.setdefault(type(entry).__name__.lower(), []).append(entry)
        try:
            said = await line.ask("batch", _ANSWER_S, **lists)
        except OutcomeUnknown:
            return await self._polls.end(entries)
        given = {verb: iter(getattr(said, verb)) for verb in lists}
        outcomes = [_ended(entry, next(given[type(entry).__name__.lower()])) for entry in entries]
        for entry, outcome in zip(entries, outcomes, strict=True):
            if isinstance(outcome, Outcome | LeaseLost):
                line.ended(entry.token)
        return outcomes

    async def stop(self) -> list[Job]:
        """Take nothing more. What has come and was not taken yet."""
        late = await self._polls.stop()
        line = self._line
        if line is not None and line.open:
            with contextlib.suppress(HoldfastError):  # then it is closed, and all of it goes back
                await line.grant(0)
            late += line.arrived
            line.arrived.clear()
        return late

    async def close(self) -> None:
        """Close the connections."""
        if self._line is not None:
            await self._line.close()
        if self._session is not None:
            await self._session.close()
        await self._polls.close()

    async def _opened(self, most: int) -> _Line | None:
        if self._line is not None and not self._line.open:
            await self._line.close()
            self._line = None
        if self._line is None and time.monotonic() >= self._not_before:
            self._line = await self._open(most)
        return self._line

    async def _open(self, most: int) -> _Line | None:
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
            if error.status not in _FOR_NOW:
                self._not_before = time.monotonic() + _PAUSE_S
            log.info("%s opens no live channel (%s); polling instead", url, error.status)
            return None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.info("no live channel to %s: %s", url, error)
            return None
        line = _Line(socket, url, self._told)
        try:
            await line.start(self._wanted() | {"credits": most})
        except BaseException as error:
            await line.close()
            if not isinstance(error, OutcomeUnknown):
                raise
            self._not_before = time.monotonic() + _PAUSE_S
            log.info("%s says nothing on its live channel; polling instead", url)
            return None
        return line


def _ended(entry: Entry, said: dict[str, Any]) -> Ended:
    if "code" in said:
        return refusal(said)
    return msgspec.convert(said, Extended) if isinstance(entry, Extend) else msgspec.convert(said, Outcome)
