"""A worker's open live channel: incoming jobs, requests with their answers, news of leases."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec

from holdfast.client.contents import encode
from holdfast.client.refusals import refusal
from holdfast.client.retry import decode
from holdfast.client.types import Job
from holdfast.client.worker.connectivity import log
from holdfast.errors import HoldfastError, OutcomeUnknown

ANSWER_S = 30.0
Told = Callable[[str, str], None]


class _Said(msgspec.Struct):
    """A message of the server, as far as a worker heeds it."""

    op: str
    ref: str | None = None
    jobs: list[Job] = []
    job: int = 0
    attempt: int = 0
    delivery: int = 0
    conclude: list[msgspec.Raw] = []
    fail: list[msgspec.Raw] = []
    release: list[msgspec.Raw] = []
    extend: list[msgspec.Raw] = []


class WebSocketConnection:
    """One open channel. `told` is called with news of a lease: its token, and `lost`, `cancel` or `unknown`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, url: str, told: Told) -> None:
        self.url = url
        self.arrived: deque[Job] = deque()
        self.held: dict[tuple[int, int], str] = {}  # tokens by job and attempt
        self.changed = asyncio.Event()
        self.open = True
        self.draining = False
        self.deaf = False  # not read any more, though the server may still send
        self.opened_at = time.monotonic()
        self.why = ""  # it broke, if it was not closed normally
        self._socket = socket
        self._told = told
        self._credits = 0
        self._numbers = itertools.count(1)
        self._asked: dict[str, asyncio.Future[_Said]] = {}
        self._came = 0
        self._confirmed = 0
        self._confirming: asyncio.Task[None] | None = None
        self._reading = asyncio.create_task(self._read(), name="holdfast-channel")

    async def start(self, wanted: dict[str, Any], within_s: float) -> None:
        """Send the start message; raises if it is refused."""
        self._credits = wanted["credits"]
        await self.ask("start", within_s, on_break="keep", **wanted)

    async def grant(self, number: int) -> None:
        """Set the number of credits."""
        if number != self._credits:
            self._credits = number
            await self.ask("credits", credits=number)

    async def ask(self, op: str, within_s: float = ANSWER_S, **fields: Any) -> _Said:
        """Send a request and wait for the answer; raises a refusal, and `OutcomeUnknown` if none comes."""
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
            if answer.done() and not answer.cancelled():
                answer.exception()  # what came while it was still being sent is known, though nobody has waited for it

    def ended(self, token: str) -> None:
        """This lease is over."""
        job, attempt = token.split(".")[:2]
        self.held.pop((int(job), int(attempt)), None)

    async def close(self) -> None:
        """Hang up."""
        self._over()
        self._reading.cancel()
        await asyncio.gather(self._reading, *([self._confirming] if self._confirming else []), return_exceptions=True)
        await self._socket.close()

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._hear(message.data)
        except asyncio.CancelledError:
            self.deaf = True
            raise
        except HoldfastError as error:
            self.why = str(error)
        except Exception as error:  # noqa: BLE001  (what can't be understood breaks the channel, and is told)
            self.why = f"{type(error).__name__}: {error}"
        finally:
            self._over()

    def _hear(self, text: str) -> None:
        said = decode(_Said, text.encode())
        if said.op == "jobs":
            self._take(said)
        elif said.op in ("cancel", "lost"):
            token = self.held.get((said.job, said.attempt))
            if token is not None:
                self._told(token, said.op)
                if said.op == "lost":
                    self.ended(token)
        elif said.op == "draining":
            self.draining = True
            self.changed.set()
        elif said.ref is not None:
            self._answer(said, text)

    def _take(self, said: _Said) -> None:
        for job in said.jobs:
            if job.lease is not None:
                self.held[job.id, job.attempt] = job.lease.token
        self.arrived.extend(said.jobs)
        self._came = said.delivery
        if self._confirming is None:  # before any handler begins, and without waiting for what else is sent
            self._confirming = asyncio.create_task(self._confirm(), name="holdfast-got")
        self.changed.set()

    def _answer(self, said: _Said, text: str) -> None:
        answer = self._asked.get(said.ref or "")
        if answer is None or answer.done():
            return
        if said.op == "error":
            answer.set_exception(refusal(msgspec.json.decode(text)))
        else:
            answer.set_result(said)

    async def _confirm(self) -> None:
        try:
            while self._confirmed < self._came:
                self._confirmed = self._came
                await self._socket.send_str(encode({"op": "got", "delivery": self._came}).decode())
        except (ConnectionError, aiohttp.ClientError) as error:
            log.debug("the channel to %s broke: %s", self.url, error)  # which the reader notices
        finally:
            self._confirming = None

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
        self.changed.set()
