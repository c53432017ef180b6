"""A table that PostgreSQL counted while it was empty: what a batch does to its rows is planned for none until somebody counts again."""

import asyncio
import time

import psycopg
import pytest

from holdfast.job.queue import QueuePolicy
from holdfast.stores.postgres import uncounted
from holdfast.stores.postgres.connect import WRITER
from holdfast.stores.postgres.sql import SQL, together
from holdfast.stores.postgres.store import PostgresStore
from tests.contract.stores.conformance.conftest import postgres_server
from tests.contract.stores.postgres import test_plans

ROWS = "INSERT INTO holdfast.ready SELECT 1, 1024, n, 1, 0, 0, 0 FROM generate_series(1, 20000) n"
DELETE = together(("delete_ready",))


@pytest.fixture
async def store(monkeypatch):
    monkeypatch.setattr(uncounted, "_EACH_S", 0.05)
    server = postgres_server()
    server.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")  # no statistics of earlier tests
    made = PostgresStore(server.url(), QueuePolicy())
    await made.tend()
    yield made
    await made.close()


@pytest.fixture
def database(store):
    """A connection that plans as that of the batches does."""
    with psycopg.connect(store._url, autocommit=True) as made:
        for name, value in WRITER.items():
            made.execute("SELECT set_config(%s, %s, false)", [name, value])
        yield made


def walks(database):
    """Whether the jobs of a batch would be found by walks through all that are ready."""
    return test_plans.walks(test_plans.plan(database, DELETE))


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


async def test_one_that_was_counted_while_it_had_few_rows_is(store, database):
    """It has room for all that comes, so that PostgreSQL, which knows how large it is, believes that there are as few."""
    database.execute(ROWS)
    database.execute("DELETE FROM ready WHERE job < 19998")
    database.execute("VACUUM (ANALYZE) ready")
    database.execute(ROWS.replace("(1,", "(20001,").replace("20000)", "39900)"))
    assert counted(database)[1] == 3
    assert walks(database), "it would not matter"

    await tended_until(store, lambda: counted(database)[1] > 15_000)
    assert walks(database) == []


async def test_one_that_has_a_few_rows_is_left_alone(store, database):
    """Nothing is to be won, and where it can't be cut it would be vacuumed for ever."""
    database.execute(ROWS)
    database.execute("DELETE FROM ready WHERE job < 19998")
    database.execute("VACUUM (ANALYZE) ready")
    before = vacuumed(database)
    at_work = store._aside._uncounted._round
    for _ in range(20):
        await store.tend()
        await asyncio.sleep(0.02)
        assert store._aside._uncounted._round is at_work
    assert vacuumed(database) == before


async def test_the_longer_a_round_takes_the_longer_is_the_rest_after_it(store, database):
    """A dump's lock keeps a table as it is: VACUUM waits 5 s for leave to cut it."""
    counted_while_empty(database)
    with psycopg.connect(store._url) as dump:
        dump.execute("LOCK TABLE holdfast.ready IN ACCESS SHARE MODE")
        before = vacuumed(database)
        begun = time.monotonic()
        await tended_until(store, lambda: vacuumed(database) > before)
        await store._aside._uncounted._round
        took = time.monotonic() - begun
        assert counted(database)[0] > 0
        assert store._aside._uncounted._vacuum_after > time.monotonic() + 15 * min(took, 4)


async def test_a_role_that_does_not_own_them_leaves_them_alone(store, database):
    """The server would log a warning each time."""
    counted_while_empty(database)
    server = postgres_server()
    server.sql("DO $$ BEGIN CREATE ROLE plain LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    try:
        database.execute("GRANT USAGE ON SCHEMA holdfast TO plain")
        with psycopg.connect(server.url("plain", "holdfast"), autocommit=True) as other:
            other.execute("SET search_path = holdfast")
            (seen,) = other.execute(SQL["replication"]).fetchall()
            assert seen[4:6] == (None, None)
        (seen,) = database.execute(SQL["replication"]).fetchall()
        assert "ready" in seen[5]
    finally:
        database.execute("REVOKE USAGE ON SCHEMA holdfast FROM plain")


async def test_one_with_any_name_in_the_schema_is_counted(store, database):
    """Whoever made it there: its name is no statement."""
    database.execute('CREATE TABLE holdfast."odd; DROP TABLE holdfast.ready; --"(n int)')
    try:
        database.execute('INSERT INTO holdfast."odd; DROP TABLE holdfast.ready; --" SELECT generate_series(1, 20000)')
        await tended_until(
            store, lambda: database.execute("SELECT reltuples FROM pg_class WHERE relname LIKE 'odd;%'").fetchone()[0] == 20_000
        )
        counted(database)  # it is there
    finally:
        database.execute('DROP TABLE holdfast."odd; DROP TABLE holdfast.ready; --"')


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
    words = SQL["replication"].split("FROM pg_depend")[1].removesuffix(") t\n")
    found = {name for (name,) in database.execute("SELECT c.relname FROM pg_depend" + words)}
    made = {
        name
        for (name,) in database.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'holdfast'::regnamespace"
        )
    }
    assert found == made > {"ready", "job"}
