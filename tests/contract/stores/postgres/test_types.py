"""Leases by type where others use the database, too: nodes of the release before, and applications that enqueue by SQL."""

import psycopg
import pytest

from holdfast.errors import UpgradeUnfinished
from holdfast.job.by_type import Typed
from holdfast.job.job import NewJob
from holdfast.job.queue import QueuePolicy
from holdfast.limits import TYPES_HEAD
from holdfast.messages.commands import Enqueue, PauseType, RegisterWorker
from holdfast.messages.time_commands import FillTypes
from holdfast.stores.postgres.maintenance import problems_of
from holdfast.stores.postgres.migrate import NEWEST
from holdfast.stores.postgres.store import PostgresStore
from tests.contract.stores.conformance.conftest import StoreClient, empty_database, postgres_server


@pytest.fixture
async def client():
    opened = StoreClient(PostgresStore(empty_database(), QueuePolicy()))
    await opened.store.tend()
    yield opened
    await opened.count_again()
    await opened.close()


@pytest.fixture
def unfinished(client):
    """As while nodes of the release before may serve."""
    server = postgres_server()
    server.sql(f"UPDATE holdfast.schema_version SET min_compatible = {NEWEST - 1}", database="holdfast")
    yield
    server.sql(f"UPDATE holdfast.schema_version SET min_compatible = {NEWEST}", database="holdfast")


async def typed(client, queue="q"):
    async with client.store.transaction() as tx:
        return (await tx.queue(queue)).typed


async def put(client, count, kind):
    await client.do(Enqueue([NewJob("q", b"1", kind) for _ in range(count)]))


async def test_until_the_upgrade_is_finished_no_type_is_paused_and_no_worker_registers_with_types(client, unfinished):
    await put(client, 1, "a")
    for command in (PauseType("q", "a", True), RegisterWorker("w-1", "", ("q",), ("a",))):
        with pytest.raises(UpgradeUnfinished) as refused:
            await client.do(command)
        assert refused.value.fields["field"] == "types"
    await client.do(PauseType("q", "a", False))
    await client.do(RegisterWorker("w-1", "", ("q",)))


async def test_until_then_a_lease_by_type_looks_at_the_first_jobs_only(client, unfinished):
    await put(client, TYPES_HEAD - 1, "a")
    await put(client, 2, "b")
    assert [one.job.id for one in await client.lease(limit=9, types=("b",))] == [TYPES_HEAD]
    assert await typed(client) is None
    await client.lease(limit=1)
    assert [one.job.id for one in await client.lease(types=("b",))] == [TYPES_HEAD + 1]


async def test_a_job_that_an_application_enqueues_is_found_by_its_type(client):
    await put(client, TYPES_HEAD + 1, "a")
    assert await client.lease(types=("b",)) == []
    while (await client.do(FillTypes("q", 1_000))).count:
        pass
    assert await typed(client) == Typed()
    with psycopg.connect(postgres_server().url(), autocommit=True) as connection:
        row = connection.execute("SELECT holdfast.enqueue_exact('q', '1'::text, type => 'b', priority => 2000)").fetchone()
    assert [one.job.id for one in await client.lease(types=("b",))] == [row[0]]


async def test_a_type_in_the_order_that_is_not_the_jobs_own_is_found_by_a_check_and_given_to_nobody_else(client):
    import asyncpg  # noqa: PLC0415

    await put(client, TYPES_HEAD + 5, "a")
    await client.lease(types=("b",))
    while (await client.do(FillTypes("q", 100))).count:
        pass
    server = postgres_server()
    connection = await asyncpg.connect(server.url())
    try:
        await connection.execute("SET search_path = holdfast")
        assert await problems_of(connection) == []
        await connection.execute("UPDATE ready SET type = 'b' WHERE job = 7")
        assert [problem for problem in await problems_of(connection) if "types agree" in problem and "job 7" in problem]
    finally:
        await connection.close()
    assert await client.lease(types=("b",)) == []
