"""`holdfast upgrade`: what a new version would do to a store is said beforehand, on both stores, beside who uses it, and nothing is changed by that."""

import asyncio
import hashlib
import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from click.testing import CliRunner

from holdfast import __version__
from holdfast.cli.entry import main
from holdfast.job.queue import QueuePolicy
from holdfast.stores import releases as released
from holdfast.stores.postgres import migrate as steps_of_database
from holdfast.stores.postgres import upgrade as upgrade_of_database
from holdfast.stores.postgres.connect import WRITER, connect
from holdfast.stores.postgres.store import PostgresStore
from holdfast.stores.sqlite.connect import migrations
from holdfast.stores.sqlite.store import SqliteStore
from tests.contract.cli.test_backup import is_refused
from tests.contract.stores.conformance.conftest import empty_database, postgres_server
from tests.contract.stores.upgrade.test_older_stores import InDatabase, InFile
from tests.system.whole.conftest import home, serve, serving
from tests.system.whole.servers import until

__all__ = ["home", "serve", "serving"]
NEWEST = migrations()[-1][0]


def upgrade(store, *options):
    return CliRunner().invoke(main, ["upgrade", "--store", store, *options])


def plan(store, *options):
    return json.loads(upgrade(store, "--check", "--json", *options).stdout)


@pytest.fixture
def older(tmp_path):
    """A file of an earlier schema."""
    InFile("positional", tmp_path)
    return tmp_path / "jobs.db"


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ------------------------------------------------------------------------------------------------------------- a file


def test_a_check_of_an_older_file_says_each_step_and_what_it_takes_and_changes_nothing(older):
    before = digest(older)
    said = upgrade(f"sqlite:///{older}", "--check")
    assert said.exit_code == 0, said.output
    assert "schema 6, 62 jobs" in said.stdout
    assert f"this program: Holdfast {__version__}, schema {NEWEST}" in said.stdout
    assert "step 7: Arrays of JSON and MessagePack, with values by position, become objects" in said.stdout
    assert "writes 74 rows anew (ended, job, kept_answer, schedule)" in said.stdout
    found = plan(f"sqlite:///{older}")
    assert (found["schema"], found["newest"], found["jobs"], found["obstacles"]) == (6, NEWEST, 62, [])
    assert [step["step"] for step in found["steps"]] == list(range(7, NEWEST + 1))
    assert all(step["does"] and step["seconds"] > 0 for step in found["steps"])
    assert found["seconds"] >= 0.1
    assert found["free_bytes"] > found["room_bytes"] > 1 << 20
    assert digest(older) == before


def test_upgrade_brings_a_file_to_the_newest_schema_without_a_server_and_then_has_nothing_to_do(older):
    store = f"sqlite:///{older}"
    done = upgrade(store)
    assert done.exit_code == 0, done.output
    assert f"{older} has schema {NEWEST} (it had 6)" in done.stderr
    assert CliRunner().invoke(main, ["check", str(older)]).exit_code == 0
    said = upgrade(store, "--check")
    assert (said.exit_code, said.stdout.splitlines()[-1]) == (0, "Nothing to do: the store has the schema of this version.")
    assert f"schema {NEWEST}, made by Holdfast {__version__}, 62 jobs" in said.stdout
    assert upgrade(store).exit_code == 0


def test_a_check_beside_a_server_disturbs_nobody_and_an_upgrade_is_refused(serve, home):
    server = serve()
    with server.client() as client:
        client.post("/v1/queues/mail/jobs", json={"payload": 1})
        store = f"sqlite:///{home}/holdfast-data/jobs.db"
        assert plan(store)["jobs"] == 1
        is_refused(upgrade(store), "is in use by another server")
        assert client.post("/v1/queues/mail/jobs", json={"payload": 1}).status_code == 201


def test_a_file_of_a_newer_version_is_in_the_way_with_its_name_and_the_way_back(tmp_path):
    path = tmp_path / "jobs.db"
    InFile("positional", tmp_path)
    asyncio.run(SqliteStore(path, QueuePolicy()).close())
    with sqlite3.connect(path) as other:
        other.execute("UPDATE made_by SET holdfast = '77.1.0'")
        other.execute(f"PRAGMA user_version = {NEWEST + 3}")
    other.close()
    said = upgrade(f"sqlite:///{path}", "--check")
    assert said.exit_code == 1
    told = " ".join(said.stdout.split())
    assert (
        f"has schema {NEWEST + 3}, which Holdfast 77.1.0 made. This is Holdfast {__version__}, which knows up to {NEWEST}."
        in told
    )
    assert "`holdfast export`" in told
    assert (plan(f"sqlite:///{path}")["steps"], plan(f"sqlite:///{path}")["jobs"]) == ([], 62)
    is_refused(upgrade(f"sqlite:///{path}"), "77.1.0")


@pytest.mark.parametrize(
    ("store", "options", "code", "says"),
    [
        ("sqlite:///no/such.db", ("--check",), 1, "There is no store at"),
        ("sqlite:///no/such.db", (), 1, "There is no store at"),
        ("memory", ("--check",), 2, "a store in memory is always new"),
        ("sqlite:///jobs.db", ("--finish",), 2, "--finish is for PostgreSQL"),
        ("sqlite:///jobs.db", ("--json",), 2, "--json goes with --check"),
        ("mysql://x", ("--check",), 2, "must be sqlite:///PATH"),
        ("postgresql://nobody@127.0.0.1:1/none", ("--check",), 1, "PostgreSQL"),
    ],
)
def test_what_can_not_be_asked_is_refused(tmp_path, monkeypatch, store, options, code, says):
    monkeypatch.chdir(tmp_path)
    said = upgrade(store, *options)
    assert said.exit_code == code
    assert says in said.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_store_is_left_as_it_is(tmp_path):
    path = tmp_path / "letter.db"
    path.write_text("Dear Ada")
    for options in (("--check",), ()):
        assert upgrade(f"sqlite:///{path}", *options).exit_code == 1
    assert path.read_text() == "Dear Ada"


# --------------------------------------------------------------------------------------------------------- PostgreSQL


@pytest.fixture
def no_schema():
    server = postgres_server()
    server.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")
    yield server.url()
    server.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")


def test_a_check_of_an_older_database_says_each_step_and_changes_nothing(no_schema, tmp_path):
    InDatabase("positional", tmp_path)
    said = upgrade(no_schema, "--check")
    assert said.exit_code == 0, said.output
    newest = steps_of_database.NEWEST
    assert "database holdfast: schema 3, " in said.stdout
    found = plan(no_schema)
    assert (found["schema"], found["newest"]) == (3, newest)
    first = found["steps"][0]
    assert (first["step"], first["kind"], first["older_nodes"]) == (4, "pre", "stop")
    assert first["rows"] > 60
    assert {"job", "queue"} <= set(first["locks"])
    ends = [step.ends_older_nodes for number, step in steps_of_database.steps("pre").items() if number > 4]
    assert [step["older_nodes"] == "stop" for step in found["steps"][1:]] == ends
    assert found["room_bytes"] > 0
    assert found["free_bytes"] is None
    assert plan(no_schema)["schema"] == 3
    done = upgrade(no_schema)
    assert done.exit_code == 0, done.output
    assert f"The database has schema {newest} (it had 3)" in done.stderr
    assert plan(no_schema)["steps"] == []


def test_a_database_without_a_store_is_said_to_be_one_and_made(no_schema):
    is_refused(upgrade(no_schema, "--check"), "There is no store of Holdfast in this database")
    assert upgrade(no_schema).exit_code == 0
    assert upgrade(no_schema, "--check").exit_code == 0


async def node(url):
    store = PostgresStore(url, QueuePolicy())
    await store.tend()
    assert store.health().reason == ""
    return store


async def test_nodes_that_are_connected_are_counted_by_what_they_know():
    url = empty_database()
    nodes = [await node(url) for _ in range(2)]
    try:
        found = await asyncio.to_thread(plan, url)
        assert [(one["schema"], one["nodes"], one["stay"]) for one in found["nodes"]] == [(steps_of_database.NEWEST, 2, True)]
    finally:
        for one in nodes:
            await one.close()


async def test_what_an_older_node_needs_stays_until_it_has_gone(no_schema, monkeypatch):
    """As if the release before knew all steps but the newest."""
    known = steps_of_database.NEWEST - 1
    if steps_of_database.steps("pre")[known + 1].ends_older_nodes:
        pytest.skip("the newest step ends older nodes by itself")
    monkeypatch.setattr(steps_of_database, "releases", lambda: [released.Release("77.0.0", "0" * 40, None, 0, known)])
    monkeypatch.setattr(steps_of_database, "of_schema", lambda step: {known: "77.0.0"}.get(step, ""))
    older = await connect(no_schema, WRITER)
    await steps_of_database.migrate(older, known)
    newer = await node(no_schema)
    assert (await steps_of_database.at(older)).oldest == known
    found = await asyncio.to_thread(plan, no_schema, "--finish")
    assert found["obstacles"][0].startswith("Older nodes are connected to the database (1 of Holdfast 77.0.0)")
    assert {one["schema"]: one["stay"] for one in found["nodes"]} == {known: False, known + 1: True}
    refused = await asyncio.to_thread(upgrade, no_schema, "--finish")
    assert refused.exit_code == 1
    assert "holdfast: Older nodes are connected to the database (1 of Holdfast 77.0.0)" in refused.stderr
    assert (await steps_of_database.at(older)).oldest == known
    await older.close()
    for _ in range(100):
        done = await asyncio.to_thread(upgrade, no_schema, "--finish")
        if done.exit_code == 0:
            break
        await asyncio.sleep(0.05)  # the server has not noticed yet
    assert f"and serves nodes that know schema {known + 1} on" in done.stderr
    again = await connect(no_schema, WRITER)
    with pytest.raises(steps_of_database.StoreUnavailable, match=f"serves nodes that know schema {known + 1} on"):
        await steps_of_database.migrate(again, known)
    again.terminate()
    await newer.close()


# ------------------------------------------------------------------------------------------- beside others, in PostgreSQL


@contextmanager
def holding(statement):
    """A session of another program, in a transaction in which it has done this."""
    with psycopg.connect(postgres_server().url()) as other:
        other.execute(statement)
        yield other.info.backend_pid


@pytest.fixture
def impatient(monkeypatch):
    """An upgrade whose waits are short, and which counts its tries."""
    tries = []
    monkeypatch.setattr(steps_of_database, "_OURS", "SET lock_timeout = '100ms'; SET idle_session_timeout = '10s'")
    monkeypatch.setattr(upgrade_of_database, "_PAUSE_S", 0.01)

    async def counted(*words, **named):
        tries.append(1)
        await steps_of_database.migrate(*words, **named)

    monkeypatch.setattr(upgrade_of_database, "migrate", counted)
    return tries


def test_an_upgrade_waits_for_another_process_that_changes_the_schema(no_schema, impatient):
    with ThreadPoolExecutor(1) as pool:
        with holding(f"SELECT pg_advisory_xact_lock({steps_of_database._LOCK})"):
            upgrading = pool.submit(upgrade, no_schema)
            until(lambda: len(impatient) > 2 or upgrading.done(), "it tries again")
            assert not upgrading.done(), upgrading.result().output
        assert upgrading.result().exit_code == 0, upgrading.result().output


def test_an_upgrade_gives_up_after_its_time_in_a_sentence(no_schema, impatient, monkeypatch):
    monkeypatch.setattr(upgrade_of_database, "_TRY_FOR_S", 0.2)
    with holding(f"SELECT pg_advisory_xact_lock({steps_of_database._LOCK})"):
        is_refused(upgrade(no_schema), "Another Holdfast is changing the database's schema.")
    assert len(impatient) > 1


@pytest.mark.parametrize("table", ["queue", "schema_version"])
def test_a_check_waits_for_nobody(no_schema, table):
    assert upgrade(no_schema).exit_code == 0
    with holding(f"LOCK TABLE holdfast.{table} IN ACCESS EXCLUSIVE MODE") as pid:
        begun = time.monotonic()
        is_refused(upgrade(no_schema, "--check"), "can't be read just now", f"process {pid} (")
        assert time.monotonic() - begun < 5


def test_two_upgrades_at_once_are_both_done(no_schema):
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(upgrade, no_schema) for _ in range(2)]
    assert [one.result().exit_code for one in both] == [0, 0], [one.result().output for one in both]
