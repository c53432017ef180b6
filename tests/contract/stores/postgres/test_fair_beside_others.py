"""Fair shares where several nodes serve one database: none waits for what another is at just now."""

import asyncio

import pytest

from holdfast.job.queue import QueuePolicy, QueueSettings
from holdfast.messages.commands import SetQueue
from holdfast.messages.time_commands import ForgetShares
from holdfast.stores.postgres.store import PostgresStore
from tests.contract.stores.conformance.conftest import StoreClient, empty_database, new, postgres_server

WAITS = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.fixture
async def client():
    opened = StoreClient(PostgresStore(empty_database(), QueuePolicy()))
    yield opened
    await opened.count_again()
    await opened.close()


async def test_a_key_whose_jobs_another_node_just_puts_is_not_forgotten(client):
    await client.do(SetQueue("q", QueueSettings(fair=True), whole=True))
    await client.put_all([new(fair_key="a")])
    await client.lease(limit=2)
    other = await asyncio.to_thread(postgres_server().connect, database="holdfast")
    try:
        other.execute("BEGIN; SELECT 1 FROM holdfast.queue WHERE name = 'q' FOR UPDATE")  # as every batch does
        other.execute(
            "INSERT INTO holdfast.fair_line SELECT id, 'a', 1024, 0, 0, 1, 1, 1 FROM holdfast.queue ON CONFLICT DO NOTHING"
        )
        asked = asyncio.create_task(client.do(ForgetShares(100)))
        while not postgres_server().sql(WAITS, database="holdfast"):
            assert not asked.done(), "it waits for the queue"
            await asyncio.sleep(0.01)
        other.execute("UPDATE holdfast.fair_line SET waiting = 1; COMMIT")
        await asked
        with other.cursor() as cursor:
            cursor.execute("SELECT fair, waiting FROM holdfast.fair_line")
            assert cursor.fetchall() == [("a", 1)]
        other.execute("DELETE FROM holdfast.fair_line; COMMIT")
    finally:
        other.close()
