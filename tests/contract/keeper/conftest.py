"""The real keeper in a process of its own, started as the server starts it, with links to it from this one."""

import asyncio
import contextlib
import os
import signal
import socket

import pytest

from holdfast import backends
from holdfast.config import Config
from holdfast.keeper.link import KeeperLink

WITHIN_S = 30


class Keeper:
    """One keeper process and its fronts: `links`; `lost` has the number of a front for each time that it was told of a loss."""

    def __init__(self, store: str, fronts: int) -> None:
        pairs = [socket.socketpair() for _ in range(fronts)]
        self.process = backends.start_keeper(Config(store=store), [theirs for _, theirs in pairs])
        for _, theirs in pairs:
            theirs.close()
        self.sockets = [ours for ours, _ in pairs]
        self.lost: list[int] = []
        self.was_lost = asyncio.Event()
        self.links = [KeeperLink(lambda number=number: self._note_loss(number)) for number in range(fronts)]

    def _note_loss(self, front: int) -> None:
        self.lost.append(front)
        self.was_lost.set()

    async def connect(self) -> None:
        """Wait for the first word on every link."""
        for link, sock in zip(self.links, self.sockets, strict=True):
            await asyncio.wait_for(link.connect(sock), WITHIN_S)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        return await asyncio.wait_for(asyncio.to_thread(self.process.wait), WITHIN_S)


@pytest.fixture
def store(tmp_path):
    """Where a store may be."""
    return tmp_path / "data/jobs.db"


@pytest.fixture
async def start(store):
    """Starts keepers, by default on `store`; none outlives the test."""
    started: list[Keeper] = []

    def one(where: str = f"sqlite:///{store}", fronts: int = 1) -> Keeper:
        started.append(Keeper(where, fronts))
        return started[-1]

    yield one
    for keeper in started:
        for link in keeper.links:
            await link.close()
        keeper.process.kill()
        keeper.process.wait()
        for sock in keeper.sockets:
            with contextlib.suppress(OSError):
                os.close(sock.detach())


@pytest.fixture
def keeping(start):
    """Starts a keeper and waits until it is ready."""

    async def one(*where: str, **more: int) -> Keeper:
        keeper = start(*where, **more)
        await keeper.connect()
        return keeper

    return one
