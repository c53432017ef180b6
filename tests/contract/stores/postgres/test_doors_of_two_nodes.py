"""What is done at one node and waited for at another, by each door: told at once where the other hears it, and found by it where it is deaf."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from holdfast.committer.local_backend import LocalBackend
from holdfast.config import Config
from holdfast.doors.beanstalk.door import Beanstalk
from holdfast.engine.engine import Engine
from holdfast.job.job import NewJob, State
from holdfast.job.queue import QueuePolicy
from holdfast.messages.commands import CancelJob
from holdfast.server import application, http_server
from holdfast.sockets import BACKLOG
from holdfast.stores.postgres.store import PostgresStore
from tests.contract.doors.websocket.channel import PATIENCE_S, open_channel

WAIT_MS = 50_000
LEASE_MS = 1_500


@asynccontextmanager
async def serving(url: str):
    """All that a server has between its doors and the database, with every tick."""
    store = PostgresStore(url, QueuePolicy(capacity_jobs=1))
    backend = LocalBackend(store, store.clock)
    engine = Engine(backend)
    await store.tend()
    backend.start()
    try:
        yield engine, store
    finally:
        engine.drain()
        await backend.stop()


@pytest.fixture
async def nodes(group):
    """The engines of two nodes, and the store of the second."""
    async with serving(group.url) as (one, _), serving(group.url) as (other, store):
        yield one, other, store


@pytest.fixture
async def deaf(nodes):
    """The same two, of which the second hears nothing of the first."""
    one, other, store = nodes
    await store._aside._db.execute("UNLISTEN *")  # as if its connection were lost, and for good
    return one, other


@pytest.fixture
async def tubes(nodes):
    """A connection to the second node by the protocol of beanstalkd."""
    door = Beanstalk(nodes[1], 0)
    listener = socket.create_server(("127.0.0.1", 0))
    await door.open(listener)
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    yield reader, writer
    writer.close()
    door.drain()
    await door.closed(5)


@pytest.fixture
async def url(nodes):
    """The second node by HTTP."""
    config = Config(web=False)
    server = http_server(application(nodes[1], config)[0], config)
    listener = socket.create_server(("127.0.0.1", 0))
    started = asyncio.Event()
    serving_it = asyncio.create_task(server.serve(listener, BACKLOG, started.set))
    await started.wait()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.stop()
    await serving_it


async def parked(engine):
    while not engine.arrivals.parked and not engine.room.parked:  # noqa: ASYNC110  (a counter can't be waited for)
        await asyncio.sleep(0.01)


def at(loop, coroutine):
    """The result of something that runs in the loop, from another thread."""
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(PATIENCE_S)


async def test_a_long_poll_at_a_deaf_node_finds_what_was_put_on_another(deaf):
    one, other = deaf
    waiting = asyncio.create_task(other.lease(("q",), wait_ms=WAIT_MS))
    await parked(other)
    await one.enqueue([NewJob("q", b"1")])
    granted = await waiting
    assert [job.content.payload for job in granted.jobs] == [b"1"]


async def test_a_push_that_waits_at_a_deaf_node_finds_the_room_that_was_made_on_another(deaf):
    one, other = deaf
    await one.enqueue([NewJob("q", b"1")])
    waiting = asyncio.create_task(other.enqueue([NewJob("q", b"2")], wait_ms=WAIT_MS))
    await parked(other)
    assert await one.purge("q", (State.READY,)) == 1
    assert len((await waiting).jobs) == 1


async def test_a_reserve_at_a_deaf_node_finds_what_was_put_on_another(deaf, tubes):
    one, other = deaf
    reader, writer = tubes
    writer.write(b"watch q\r\nreserve\r\n")
    assert await reader.readline() == b"WATCHING 2\r\n"
    await parked(other)
    (receipt,) = (await one.enqueue([NewJob("q", b"1")])).jobs
    assert await reader.readline() == b"RESERVED %d 1\r\n" % receipt.id


async def test_a_channel_at_a_deaf_node_is_sent_what_was_put_on_another(deaf, url):
    one, other = deaf

    def speak(loop):
        with open_channel(url) as worker:
            worker.start("q")
            at(loop, parked(other))
            at(loop, one.enqueue([NewJob("q", b"1")]))
            return worker.job()

    job = await asyncio.to_thread(speak, asyncio.get_running_loop())
    assert job["payload"] == 1


async def test_a_channel_is_told_what_another_node_did_to_the_leases_on_it(nodes, url):
    one, _, _ = nodes

    def speak(loop):
        with open_channel(url) as worker:
            at(loop, one.enqueue([NewJob("q", b"1"), NewJob("r", b"2")]))
            worker.start("q", "r", credits=2, lease_ms=LEASE_MS)
            first, second = worker.jobs(2)
            at(loop, one.change_job(CancelJob(first["id"])))
            assert worker.receive("cancel")["job"] == first["id"]
            worker.conclude(first)
            while worker.receive("lost")["job"] != second["id"]:
                pass  # a slow machine has lost the first one, too, before it was concluded

    await asyncio.to_thread(speak, asyncio.get_running_loop())
