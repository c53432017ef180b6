"""While somebody holds an old snapshot no dead row can be cleaned away; what every batch does must not get slower by that."""

import json

import psycopg
import pytest

from holdfast.job.job import NewJob
from holdfast.job.queue import QueuePolicy
from holdfast.messages.commands import LeaseJobs
from holdfast.messages.queries import OldestReady
from holdfast.stores.postgres.connect import READER, WRITER, connect
from holdfast.stores.postgres.reader import PostgresSnapshot
from holdfast.stores.postgres.sql import SQL, together
from holdfast.stores.postgres.store import PostgresStore
from holdfast.stores.reader import Reader
from tests.contract.stores.conformance.conftest import StoreClient, empty_database

VERSIONS = 3_000
PAGES = 30  # that a statement may look at; the dead versions fill hundreds
WRITES_OF_A_QUEUE = f"DO $$ BEGIN FOR n IN 1..{VERSIONS} LOOP UPDATE holdfast.queue SET seen_at = seen_at + 1 WHERE name = 'q'; END LOOP; END $$"
ENQUEUE = "SELECT holdfast.enqueue_exact('q', '1'::jsonb)"
TIMES = {
    "lock_queues": (SQL["lock_queues"], "'{q}', '{}', '{}', '{}', false, '{}'"),
    "peek": (SQL["peek"], "'{q}'"),
    "queue_by_name": (SQL["queue_by_name"], "'q'"),
    "ready_floors_of": (SQL["ready_floors_of"], "'{q}'"),
    "queue_ids": (SQL["queue_ids"], "'{q}'"),
    "lock_queue_by_name": (SQL["lock_queue_by_name"], "'q'"),
    "lock_queue_by_name_now": (SQL["lock_queue_by_name_now"], "'q'"),
    "unique_holders": (SQL["unique_holders"], "'{q,q}', '{a,b}'"),
    "update_queue": (together(("update_queue",)), "%(id)s, '{\"{}\"}', " + ", ".join(["'{0}'"] * 10) + ", '{NULL}'"),
    "update_ready_floors": (together(("update_ready_floors",)), "%(id)s, '{NULL}'"),
}
"""What batches, looks at what somebody waits for, and reads do with the row of a queue."""


class Counting:
    """A connection of readers that counts the pages at which its statements look."""

    def __init__(self, connection):
        self._connection = connection
        self.pages = 0

    async def fetch(self, statement, *values):
        for _ in range(2):  # the first one looks at the catalogue, too
            plan = await self._connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *values)
        step = json.loads(plan)[0]["Plan"]
        self.pages += step["Shared Hit Blocks"] + step["Shared Read Blocks"]
        return await self._connection.fetch(statement, *values)


@pytest.fixture
async def client():
    opened = StoreClient(PostgresStore(empty_database(), QueuePolicy()))
    await opened.put_all([NewJob("q", b"1")])
    yield opened
    await opened.close()


@pytest.fixture
def old_snapshot(client):
    """Somebody who sees the queue as it was before it was written so often."""
    with psycopg.connect(client.store._url) as holder:
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT count(*) FROM holdfast.queue")
        with psycopg.connect(client.store._url, autocommit=True) as writer:
            writer.execute(WRITES_OF_A_QUEUE)
        yield holder
        holder.rollback()


@pytest.mark.parametrize("name", TIMES)
async def test_the_row_of_a_queue_is_found_without_walking_over_its_dead_versions(client, old_snapshot, name):
    statement, values = TIMES[name]
    with psycopg.connect(client.store._url) as connection:
        for setting, value in WRITER.items():
            connection.execute("SELECT set_config(%s, %s, false)", [setting, value])
        (number,) = connection.execute("SELECT id FROM queue WHERE name = 'q'").fetchone()
        connection.execute(f"PREPARE one AS {statement}")
        values = values.replace("%(id)s", f"'{{{number}}}'")
        for _ in range(2):  # the first one looks at the catalogue, too
            ((plan,),) = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE one({values})").fetchall()
        connection.rollback()
    step = plan[0]["Plan"]
    assert step["Shared Hit Blocks"] + step["Shared Read Blocks"] < PAGES


async def test_enqueue_by_sql_finds_it_so_too_whatever_the_session_of_the_application_plans(client, old_snapshot):
    with psycopg.connect(client.store._url, options="-c enable_sort=on -c plan_cache_mode=force_custom_plan") as connection:
        for _ in range(2):
            ((plan,),) = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {ENQUEUE}").fetchall()
        connection.rollback()
    step = plan[0]["Plan"]
    assert step["Shared Hit Blocks"] + step["Shared Read Blocks"] < PAGES


@pytest.mark.parametrize("priorities", [[1024], range(1, 16)], ids=["one", "sixteen"])
async def test_the_oldest_ready_job_is_found_without_walking_over_those_that_were_taken(client, old_snapshot, priorities):
    last = max(priorities)
    for _ in range(4):
        await client.put_all([NewJob("q", b"1", priority=last) for _ in range(VERSIONS // 4)])
    client.clock.advance(5)
    await client.put_all([NewJob("q", b"1", priority=priority) for priority in priorities])
    taken = 0
    while taken < VERSIONS:
        taken += len(await client.lease(limit=VERSIONS // 4))
    connection = await connect(client.store._url, READER)
    try:
        counting = Counting(connection)
        ages = await Reader(PostgresSnapshot(counting), QueuePolicy(), {}).answer(OldestReady(["q", "none"]), 0)
    finally:
        connection.terminate()
    (first,) = await client.lease()
    assert ages.ready_at == {"q": first.job.ready_at}
    assert counting.pages < PAGES + 3 * len(priorities)


async def test_a_batch_reads_and_writes_the_newest_version(client, old_snapshot):
    await client.put_all([NewJob("q", b"2")])
    granted = await client.do(LeaseJobs(("q",), 10, "w"))
    assert [job.content.payload for job in granted.jobs] == [b"1", b"2"]
    await client.count_again()
