"""A channel that is gone is let go of at once: thousands of them may come and go before Python looks for cycles."""

import asyncio
import gc
import weakref

import pytest

from holdfast.clock import ManualClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.doors.websocket.connection import WebSocketConnection
from holdfast.doors.websocket.door import Channels
from holdfast.engine.engine import Engine
from holdfast.http.server import Connections
from holdfast.job.queue import QueuePolicy
from holdfast.stores.sqlite.store import SqliteStore
from tests.contract.doors.websocket.channel import frame, handshake


class Transport(asyncio.Transport):
    """A connection without a network."""

    written = b""

    def write(self, data):
        self.written += data

    def is_closing(self):
        return False

    def get_write_buffer_size(self):
        return 0

    def can_write_eof(self):
        return True

    def set_write_buffer_limits(self, high=None, low=None):
        """Nothing is ever full."""

    def set_protocol(self, protocol):
        """It is called by hand."""

    def pause_reading(self):
        """It is called by hand."""

    resume_reading = write_eof = close = abort = pause_reading


@pytest.fixture
async def engine():
    backend = LocalBackend(SqliteStore(None, QueuePolicy()), ManualClock())
    running = asyncio.create_task(backend.committer.run())
    yield Engine(backend)
    await asyncio.wait_for(backend.stop(), 10)
    running.cancel()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        frame(b'{"op":"ping"}'),
        frame(b'{"op":"start","queues":["q"],"credits":1}'),
        frame(b"{}")[:3],
        b"\x81\x02{}",
        frame(b"{}", opcode=2),
        frame(b"\xff"),
        frame(b"\x03\xe8", opcode=8),
    ],
    ids=["nothing", "a message", "a start", "half a frame", "not masked", "binary", "not UTF-8", "a close"],
)
async def test_a_channel_that_is_gone_is_let_go_of(engine, sent):
    gc.disable()
    try:
        wire, transport = WebSocketConnection(Channels(engine), Connections(), 0), Transport()
        wire.open(transport, handshake("localhost"), b"id")
        wire.data_received(sent)
        await asyncio.sleep(0.1)
        assert transport.written.startswith(b"HTTP/1.1 101 ")
        wire.connection_lost(None)
        gone = weakref.ref(wire)
        del wire
        await asyncio.sleep(0.1)
        assert gone() is None, gc.get_referrers(gone())
    finally:
        gc.enable()
