"""A TCP proxy whose path can be cut: bytes wait on both sides, as in a network partition. It can also drop answers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Link:
    """Listens on a port of its own and forwards to `target`, a port of loopback."""

    def __init__(self, target: int, rng: Random) -> None:
        self.target = target
        self.port = 0
        self.swallow = 0.0  # the share of the target's messages that are lost, each with its connection
        self.lost = 0
        self._rng = rng
        self._whole = asyncio.Event()
        self._whole.set()
        self._listener: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()

    async def start(self) -> Link:
        """Listen."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    def cut(self) -> None:
        """From now on nothing passes, in either direction."""
        self._whole.clear()

    def mend(self) -> None:
        """Forward what waited."""
        self._whole.set()

    def sever(self) -> None:
        """Close its connections; what it holds is lost."""
        for pump in self._pumps:
            pump.cancel()

    def close(self) -> None:
        """Close everything."""
        if self._listener:
            self._listener.close()
        self.sever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._pumps.add(task)
        task.add_done_callback(self._pumps.discard)
        with suppress(asyncio.CancelledError):  # closed by `sever`; the task of a stream must not end cancelled
            await self._join(reader, writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far: asyncio.StreamWriter | None = None
        try:
            await self._whole.wait()
            source, far = await asyncio.open_connection("127.0.0.1", self.target)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, far, lossy=False))
                both.create_task(self._pump(source, writer, lossy=True))
        except* (OSError, _Over):
            pass
        finally:
            for stream in (writer, far):
                if stream is not None:
                    stream.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, lossy: bool) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                await self._whole.wait()
                if lossy and self.swallow and self._rng.random() < self.swallow:
                    self.lost += 1
                    raise _Over
                sink.write(data)
                await sink.drain()
        await self._whole.wait()  # while it is cut, this side does not notice a disconnect either
        raise _Over


class _Over(Exception):
    """One direction has ended, so the other ends too."""
