"""What comes in one turn of the loop or another: a connection over an engine and a store in memory, in the test's own loop."""

import asyncio

import pytest

from holdfast.clock import ManualClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.doors.beanstalk.connection import Connection
from holdfast.doors.beanstalk.door import Beanstalk
from holdfast.engine.engine import Engine
from holdfast.job.queue import QueuePolicy
from holdfast.stores.sqlite.store import SqliteStore


class Written(asyncio.Transport):
    """Keeps what is written, and says when it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""
        self.closed = asyncio.Event()

    def write(self, data):
        self.data += data

    def can_write_eof(self):
        return True

    def close(self):
        self.closed.set()

    def is_closing(self):
        return self.closed.is_set()

    def get_write_buffer_size(self):
        return 0


@pytest.mark.parametrize("turns", range(12))
async def test_whoever_ends_in_any_turn_of_a_reserve_is_answered(turns):
    backend = LocalBackend(SqliteStore(None, QueuePolicy()), ManualClock())
    backend.start()
    try:
        door = Beanstalk(Engine(backend), 0)
        connection, transport = Connection(door), Written()
        connection.connection_made(transport)
        connection.data_received(b"reserve\r\n")
        for _ in range(turns):
            await asyncio.sleep(0)
        assert connection.eof_received()
        await asyncio.wait_for(transport.closed.wait(), 5)
        assert transport.data == b"TIMED_OUT\r\n"
        assert not door.numbers.waiting
        connection.connection_lost(None)
    finally:
        await backend.stop()
