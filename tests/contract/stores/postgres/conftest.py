"""A primary with two standbys, made once; each test finds it whole and with an empty database."""

import asyncio

import psycopg
import pytest

from cluster.processes import wait_until
from cluster.replicated import Replicated
from holdfast.clock import Clock
from holdfast.committer.local_backend import LocalBackend
from holdfast.job.job import IdempotencyKey, NewJob
from holdfast.job.queue import QueuePolicy
from holdfast.messages.commands import Enqueue
from holdfast.stores.postgres.store import PostgresStore
from tests.contract.stores.conformance.conftest import postgres_server

TIMEOUT_MS = 1_500


@pytest.fixture(scope="session")
def made_group(tmp_path_factory):
    made = Replicated(tmp_path_factory.mktemp("replicated"), standbys=2, needed=1)
    made.start()
    yield made
    made.close()


@pytest.fixture
def group(made_group):
    """Whole again before each test, whatever the one before it broke."""
    for one in made_group.standbys:
        one.resume()
    made_group.require(1)
    made_group.primary.sql("ALTER ROLE holdfast RESET ALL")
    made_group.wait_streaming()
    made_group.primary.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")
    yield made_group
    for one in made_group.standbys:
        one.resume()


class Node:
    """A committer over the group's database, as a server has it, without its ticks."""

    def __init__(self, url: str, replicas: int) -> None:
        self.store = PostgresStore(url, QueuePolicy(), replicas, commit_timeout_ms=TIMEOUT_MS)
        clock: Clock = self.store.clock
        self.backend = LocalBackend(self.store, clock)
        self._running = asyncio.create_task(self.backend.committer.run())

    def put(self, payload: bytes = b"1", key: str | None = None, queue: str = "q"):
        """Begin to put a job."""
        kept = IdempotencyKey(queue, key, b"digest") if key is not None else None
        return self.backend.submit(Enqueue([NewJob(queue, payload)], kept))

    async def close(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self.store.close()


@pytest.fixture
async def node(group):
    opened = []

    def open_node(replicas: int = 1, url: str | None = None) -> Node:
        opened.append(Node(url or group.url, replicas))
        return opened[-1]

    yield open_node
    for one in opened:
        await one.close()


@pytest.fixture
def waiting(group):
    """Waits until so many backends wait for a standby; their process ids."""

    def wait(count: int = 1) -> list[int]:
        def found() -> list[int]:
            rows = group.primary.sql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            return [pid for (pid,) in rows]

        wait_until(lambda: len(found()) >= count, 10, "nobody waits for a standby")
        return found()

    return wait


@pytest.fixture
def connect():
    """Opens connections of an application's role, which may call `enqueue` and nothing else."""
    server, opened = postgres_server(), []
    if not server.sql("SELECT 1 FROM pg_roles WHERE rolname = 'shop'"):
        server.sql("CREATE ROLE shop LOGIN")

    def one(**options) -> psycopg.Connection:
        for grant in (
            "SELECT holdfast.let_enqueue('shop')",
            "CREATE TABLE IF NOT EXISTS orders(n int)",
            "GRANT ALL ON orders TO shop",
        ):
            server.sql(grant, database="holdfast")
        opened.append(psycopg.connect(server.url("shop"), **options))
        return opened[-1]

    yield one
    for connection in opened:
        connection.close()


@pytest.fixture
def shop(connect):
    """A connection that commits each call by itself."""
    return connect(autocommit=True)
