"""Fair shares where several nodes serve one database: none waits for what another is at just now."""

import asyncio

import pytest

from holdfast.job.queue import QueuePolicy, QueueSettings
from holdfast.messages.commands import SetQueue
from holdfast.messages.time_commands import ForgetShares
from holdfast.stores.postgres.store import PostgresStore
from tests.contract.stores.conformance.conftest import StoreClient, empty_database, new, postgres_server


@pytest.fixture
async def client():
    opened = StoreClient(PostgresStore(empty_database(), QueuePolicy()))
    yield opened
    await opened.count_again()
    await opened.close()


async def test_a_clock_that_another_node_moves_is_left_to_it(client):
    """Waiting for it with lines of that queue already locked, which the other wants next, would be a deadlock."""
    await client.do(SetQueue("q", QueueSettings(fair=True), whole=True))
    await client.put_all([new(fair_key=key) for key in "ab"])
    await client.lease(limit=2)
    other = await asyncio.to_thread(postgres_server().connect, database="holdfast")
    other.execute("BEGIN; UPDATE holdfast.fair_clock SET now = now")
    try:
        assert (await client.do(ForgetShares(100))).count == 0
    finally:
        other.close()
