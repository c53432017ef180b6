"""What a worker of taskiq takes: one thread waits for messages, another holds their leases and tells the server how they ended.

Receiver ──▶ inbox ──▶ listen() of the broker ──▶ taskiq ──▶ ack ──▶ HeldLeases
"""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence

from holdfast.client import Client, Job
from holdfast.client.held_leases import HeldLeases, tag_of
from holdfast.client.receiver import Receiver


class Consumer:
    """Of one event loop. `prefetch`: messages that wait here at most."""

    def __init__(self, client: Client, prefetch: int, lease_ms: int, types: Callable[[], list[str] | None]) -> None:
        self.held = HeldLeases(client, lease_ms)
        self._client = client
        self._prefetch = prefetch
        self._types = types
        self._loop = asyncio.get_running_loop()
        self._inbox: asyncio.Queue[Job | Exception] = asyncio.Queue()
        self._here: dict[str, None] = {}  # waits in the inbox
        self._receiver: Receiver | None = None

    def begin(self, queues: Sequence[str]) -> None:
        """Take messages from these."""
        self._inbox = asyncio.Queue()
        self._receiver = Receiver(
            self._client,
            self.held,
            room=self._room,
            deliver=self._deliver,
            name=lambda: f"taskiq@{socket.gethostname()}:{os.getpid()}",
            types=self._types,
        )
        self._receiver.set_queues(queues, True)

    async def next(self) -> Job:
        """The next message, under its lease. Raises what ended the receiver."""
        came = await self._inbox.get()
        if isinstance(came, Exception):
            raise came
        self._here.pop(tag_of(came), None)
        if self._receiver is not None:
            self._receiver.more_room()
        return came

    async def stop(self) -> None:
        """Take no more. What waits here goes back."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            await asyncio.to_thread(receiver.stop)
        while self._here:
            self.held.release(self._here.popitem()[0])

    async def close(self) -> None:
        """What was not acknowledged goes back, too."""
        await self.stop()
        self.held.give_back()
        await asyncio.to_thread(self.held.close)
        self._client.close()

    def _room(self) -> int:
        """Many at once, and not one after the other."""
        waiting = len(self._here)
        return 0 if waiting > self._prefetch // 2 else self._prefetch - waiting

    def _deliver(self, came: list[Job] | Exception) -> None:
        for one in came if isinstance(came, list) else [came]:
            if isinstance(one, Job):
                self._here[tag_of(one)] = None
            try:
                self._loop.call_soon_threadsafe(self._inbox.put_nowait, one)
            except RuntimeError:  # the loop has ended
                if isinstance(one, Job):
                    self.held.release(tag_of(one))
