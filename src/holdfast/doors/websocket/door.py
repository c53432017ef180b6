"""All channels of one front: how many there may be, who holds which lease, and how they close when the server does."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from holdfast.doors.rest import replies
from holdfast.engine.engine import Engine
from holdfast.errors import Draining, MethodNotAllowed, NotFound, Overloaded
from holdfast.limits import CHANNEL_BYTES_OVER_PAYLOAD, CHANNELS
from holdfast.messages.events import Committed

if TYPE_CHECKING:
    from holdfast.doors.websocket.channel import Channel

PATH = "/v1/channel"
_GOING = 1012  # "service restart": reconnect, perhaps to another node


class Numbers:
    """What is counted for the metrics."""

    def __init__(self) -> None:
        self.open = 0
        self.held = 0
        self.messages: dict[str, int] = Counter()


class Channels:
    """The channels of one front."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.numbers = Numbers()
        self.durability = replies.durability_out(engine.durability)
        self.message_bytes = engine.payload_bytes + CHANNEL_BYTES_OVER_PAYLOAD
        self.holders: dict[int, Channel] = {}  # by the fence of the lease
        self.closes_at: float | None = None  # while the server drains
        self._open: set[Channel] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        engine.listen(self._news)

    def admit(self, method: str, path: str) -> None:
        """Raise unless one more channel may be opened by this request."""
        if path != PATH:
            raise NotFound(f"There is nothing to upgrade to at {path[:200]}; the live channel is at {PATH}.")
        if method != "GET":
            raise MethodNotAllowed(f"A channel is opened by GET, not by {method}.")
        if self.engine.draining:
            raise Draining(retry_after_ms=1_000)
        if self.numbers.open >= CHANNELS:
            raise Overloaded(f"There are {CHANNELS} channels already.", retry_after_ms=5_000)

    def add(self, channel: "Channel") -> None:
        """One is open."""
        self._open.add(channel)
        self.numbers.open += 1

    def remove(self, channel: "Channel") -> None:
        """It is closed."""
        self._open.discard(channel)
        self.numbers.open -= 1

    def keep(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run to the end, even if the channel closes."""
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def drain(self, grace_s: float) -> None:
        """Grant no more jobs. Channels may finish their jobs within this time."""
        loop = asyncio.get_running_loop()
        if self.closes_at is None:
            self.closes_at = loop.time() + grace_s
            loop.call_later(grace_s, self._close_all)
        for channel in list(self._open):
            channel.drain()

    def grace_ms(self) -> int:
        """How long unfinished jobs may still take."""
        left_s = 0.0 if self.closes_at is None else self.closes_at - asyncio.get_running_loop().time()
        return max(0, round(left_s * 1_000))

    def _close_all(self) -> None:
        for channel in list(self._open):
            channel.close(_GOING, "the server shuts down")

    def _news(self, news: Committed) -> None:
        if news.stop or news.lost:
            # Leases granted by an earlier commit may have their answers in callbacks that run only now: after those.
            asyncio.get_running_loop().call_soon(self._tell, news.stop, news.lost)

    def _tell(self, stop: list[int], lost: list[int]) -> None:
        for fence in stop:
            if (channel := self.holders.get(fence)) is not None:
                channel.cancel(fence)
        for fence in lost:
            if (channel := self.holders.get(fence)) is not None:
                channel.on_lease_lost(fence)
