"""A table that PostgreSQL counted while it was empty: what a batch does to its rows is planned for none until somebody counts again."""

import asyncio

import psycopg
import pytest

from holdfast.job.queue import QueuePolicy
from holdfast.stores.postgres import uncounted
from holdfast.stores.postgres.connect import WRITER
from holdfast.stores.postgres.sql import SQL, together
from holdfast.stores.postgres.store import PostgresStore
from tests.contract.stores.conformance.conftest import empty_database

ROWS = "INSERT INTO holdfast.ready SELECT 1, 1024, n, 1, 0, 0, 0 FROM generate_series(1, 20000) n"
DELETE = together(("delete_ready",))


@pytest.fixture
async def store(monkeypatch):
    monkeypatch.setattr(uncounted, "_EACH_S", 0.05)
    made = PostgresStore(empty_database(), QueuePolicy())
    await made.tend()
    yield made
    await made.close()


@pytest.fixture
def database(store):
    """A connection that plans as that of the batches does."""
    with psycopg.connect(store._url, autocommit=True) as made:
        for name, value in WRITER.items():
            made.execute("SELECT set_config(%s, %s, false)", [name, value])
        made.execute("VACUUM ready")  # what an earlier test left is not counted
        yield made


def walks(database):
    """Whether the jobs of a batch would be found by walks through all that are ready."""
    made = DELETE.replace("$1::text::", "'{}'::").replace("$2::text::", "'{}'::").replace("$3::text::", "'{}'::")
    ((found,),) = database.execute(f"EXPLAIN (FORMAT JSON) {made}").fetchall()
    steps = [found[0]["Plan"]]
    for step in steps:
        steps += step.get("Plans", ())
    return [
        step
        for step in steps
        if step.get("Relation Name") == "ready" and step["Node Type"] == "Index Scan" and "Index Cond" not in step
    ]


def counted(database):
    return database.execute("SELECT relpages, reltuples FROM pg_class WHERE oid = 'ready'::regclass").fetchone()


def vacuumed(database):
    """How often it was."""
    ((count,),) = database.execute("SELECT vacuum_count FROM pg_stat_all_tables WHERE relid = 'ready'::regclass")
    return count


def counted_while_empty(database):
    """As autovacuum does it, which does not cut it."""
    database.execute(ROWS)
    database.execute("DELETE FROM ready")
    database.execute("ANALYZE ready")
    assert counted(database)[1] == 0 < counted(database)[0]


async def tended_until(store, true):
    async with asyncio.timeout(60):
        while not true():
            await store.tend()
            await asyncio.sleep(0.02)


async def test_it_is_counted_again_while_it_is_empty(store, database):
    counted_while_empty(database)

    await tended_until(store, lambda: counted(database) == (0, 0))
    database.execute(ROWS)
    assert walks(database) == []


async def test_it_is_counted_again_while_jobs_come(store, database):
    counted_while_empty(database)
    database.execute(ROWS)
    assert walks(database), "it would not matter"

    await tended_until(store, lambda: counted(database)[1] == 20_000)
    assert walks(database) == []


async def test_one_that_was_never_counted_is(store, database):
    database.execute("TRUNCATE ready")
    database.execute(ROWS)
    assert counted(database) == (0, -1)

    await tended_until(store, lambda: counted(database)[1] == 20_000)


async def test_one_that_an_old_snapshot_keeps_is_tried_again(store, database):
    with psycopg.connect(store._url) as other:
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        database.execute(ROWS)
        other.execute("SELECT count(*) FROM holdfast.ready")
        database.execute("DELETE FROM ready")
        database.execute("ANALYZE ready")
        before = vacuumed(database)
        await tended_until(store, lambda: vacuumed(database) >= before + 2)
        assert counted(database)[1] == 0 < counted(database)[0]

    await tended_until(store, lambda: counted(database) == (0, 0))


def test_no_table_is_left_out(database):
    """Each is found as one of the schema, whatever steps come."""
    words = SQL["replication"].split("(SELECT array_agg(c.relname::text)")[1].split("AND c.reltuples")[0]
    found = {name for (name,) in database.execute("SELECT c.relname" + words)}
    made = {
        name
        for (name,) in database.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'holdfast'::regnamespace"
        )
    }
    assert found == made > {"ready", "job"}
