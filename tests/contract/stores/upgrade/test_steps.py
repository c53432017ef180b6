"""What a step of a schema says of itself, which `holdfast upgrade --check` repeats, is what it does."""

import apsw
import pytest

from holdfast.stores.postgres import by_name, migrate
from holdfast.stores.postgres.connect import WRITER, connect
from holdfast.stores.sqlite import connect as sqlite
from holdfast.stores.steps import Step
from tests.contract.stores.conformance.conftest import postgres_server
from tests.contract.stores.upgrade.test_older_stores import InDatabase, InFile

SMALL = {"queue", "enqueue_bounds", "counter", "schema_version", "audit_tally"}
"""Tables that have a row, or one for each queue: what is done with these costs nothing."""


def test_each_step_says_in_a_sentence_what_it_is_for():
    steps = [Step(*one) for one in sqlite.migrations()] + migrate._scripts()
    assert [step for step in steps if not 5 <= len(step.summary) <= 200] == []


def test_a_step_tells_what_stands_at_its_top():
    step = Step(
        9,
        "-- One. And\n-- more of it.\n-- rewrites: job, ended\n-- locks: queue\n\nUPDATE schema_version SET min_compatible = 9;",
    )
    assert (step.summary, step.rewrites, step.locks, step.ends_older_nodes) == ("One", ("ended", "job"), ("queue",), True)
    assert Step(1, "CREATE TABLE a(b)").summary == ""
    assert not Step(1, "-- Two\n-- lines.").ends_older_nodes


def test_the_steps_of_a_file_write_anew_what_they_say(tmp_path):
    InFile("positional", tmp_path)
    connection = apsw.Connection(str(tmp_path / "jobs.db"))
    for name, function in sqlite._FUNCTIONS.items():
        connection.create_scalar_function(name, function, 1, deterministic=True)
    version = connection.pragma("user_version")
    for step in [Step(*one) for one in sqlite.migrations() if one[0] > version]:
        written = set()
        connection.set_update_hook(
            lambda kind, _, table, __, into=written: into.add(table) if kind == apsw.SQLITE_UPDATE else None
        )
        connection.execute(step.script)
        connection.set_update_hook(None)
        # WITHOUT ROWID: SQLite tells nobody; what the script names is taken for it
        silent = {table for table in step.rewrites if f"UPDATE {table} " in step.script}
        assert (written | silent) - SMALL == set(step.rewrites) - SMALL, step.number
    connection.close()


@pytest.fixture
def older(tmp_path):
    yield InDatabase("positional", tmp_path)._url
    postgres_server().sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")


LOCKED = """
SELECT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND l.mode = 'AccessExclusiveLock' AND c.relkind = 'r' AND c.relname = ANY ($1)
"""
WRITTEN = "SELECT relname FROM pg_stat_xact_user_tables WHERE schemaname = 'holdfast' AND n_tup_upd > 0"


async def test_the_steps_of_a_database_lock_and_write_anew_what_they_say(older):
    for number, step in migrate.steps("pre").items():
        connection = await connect(older, WRITER)  # whose statistics begin with it
        if number > (await migrate.at(connection)).version:
            there = [row[0] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'holdfast'")]
            async with connection.transaction():
                await connection.execute(step.script)
                if number == 4:
                    await by_name.convert(connection)
                locked = {row[0] for row in await connection.fetch(LOCKED, there)}
                written = {row[0] for row in await connection.fetch(WRITTEN)}
            assert (locked - SMALL, written - SMALL) == (set(step.locks) - SMALL, set(step.rewrites) - SMALL), number
        await connection.close()


BEFORE = """
DO $$ DECLARE one regprocedure; BEGIN
  FOR one IN SELECT oid FROM pg_proc WHERE pronamespace = 'holdfast'::regnamespace AND proname = 'enqueue' LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO lender WITH GRANT OPTION', one);
    -- and to everybody
  END LOOP;
  PERFORM holdfast.let_enqueue('lender');
  GRANT EXECUTE ON FUNCTION holdfast.let_enqueue(regrole) TO PUBLIC;
END $$;
CREATE VIEW public.ask AS SELECT holdfast.enqueue('mail', '{"of": "a view"}'::text, priority => 7) AS id;
"""
EVERYBODY = "EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', one);"
MAY = """
SELECT proname::text, bool_and(has_function_privilege('lender', oid, 'EXECUTE WITH GRANT OPTION')), bool_or(has_function_privilege('public', oid, 'EXECUTE'))
FROM pg_proc WHERE pronamespace = 'holdfast'::regnamespace AND proname LIKE 'enqueue%' GROUP BY 1 ORDER BY 1
"""


@pytest.mark.parametrize("public", [False, True])
async def test_what_an_application_has_made_of_enqueue_goes_on(older, public):
    if not postgres_server().sql("SELECT 1 FROM pg_roles WHERE rolname = 'lender'"):
        postgres_server().sql("CREATE ROLE lender")
    connection = await connect(older, WRITER)
    at = (await migrate.at(connection)).version
    for number, step in migrate.steps("pre").items():
        if number == 12:
            await connection.execute(BEFORE.replace("-- and to everybody", EVERYBODY) if public else BEFORE)
        if number > at:
            async with connection.transaction():
                await connection.execute(step.script)
                if number == 4:
                    await by_name.convert(connection)
    try:
        assert await connection.fetchval("SELECT id FROM public.ask") > 0
        assert await connection.fetchval("SELECT max(priority) FROM holdfast.ready WHERE priority = 7") == 7
        assert [tuple(row) for row in await connection.fetch(MAY)] == [
            ("enqueue", True, public),
            ("enqueue_before", True, public),
            ("enqueue_exact", True, public),
        ]
        assert await connection.fetchval("SELECT holdfast.enqueue('mail', '{}', expires_in_ms => NULL)") > 0
    finally:
        await connection.execute("DROP VIEW public.ask")
        await connection.close()
