"""A network that loses answers: the request arrives and is done, the client never learns it.

The proxy passes every request on and then, for a random share of them, closes the client's connection at the first byte of the
answer. Clients of this harness have one request in progress at a time, so the first bytes that come back are its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

from torture.faults.fault import Anywhere

if TYPE_CHECKING:
    from torture.trial import Trial

SHARE = 0.15  # of answers that are lost: enough that repeats are lost as well
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Listens on a port of its own before the server's; `lost` is called for each dropped answer."""

    def __init__(self, server_port: int, rng: Random, lost: Callable[[], None]) -> None:
        self.server_port = server_port
        self.rng = rng
        self.lost = lost
        self.port = 0
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Proxy:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener, "entered before"
        self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            writer.close()
            return
        up = asyncio.create_task(self._pump(reader, server[1], lossy=False))
        down = asyncio.create_task(self._pump(server[0], writer, lossy=True))
        await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
        for task in (up, down):
            task.cancel()
        for stream in (writer, server[1]):
            stream.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, lossy: bool) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                if lossy and self.rng.random() < SHARE:
                    self.lost()
                    return
                sink.write(data)
                await sink.drain()


class LostAnswers(Anywhere):
    """Requests that are done, but their answers are lost."""

    name = "lost-answers"
    about = f"a proxy that forwards all requests and drops {SHARE:.0%} of the answers"

    async def torment(self, trial: Trial) -> None:
        """Load through the proxy."""
        async with Proxy(trial.server.port, trial.rng, lambda: trial.counts.update(["injections"])) as proxy:
            trial.client_port = proxy.port
            async with trial.load():
                for _ in range(trial.plan.rounds):
                    await trial.progress()
