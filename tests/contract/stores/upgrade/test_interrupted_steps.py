"""What cuts off a step of the schema at any moment: afterwards the store is the older one or the newer one, whole, and the next start finishes it."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from holdfast.job.queue import QueuePolicy
from holdfast.stores.postgres import by_name, migrate
from holdfast.stores.postgres import maintenance as database
from holdfast.stores.postgres.connect import WRITER, connect
from holdfast.stores.postgres.store import PostgresStore
from holdfast.stores.sqlite import maintenance
from holdfast.stores.sqlite.connect import migrations
from holdfast.stores.sqlite.store import SqliteStore
from tests.contract.stores.conformance.conftest import StoreClient, postgres_server
from tests.contract.stores.upgrade.filled_store import as_json, contents
from tests.contract.stores.upgrade.test_older_stores import InDatabase, fixture

OLD = 6  # the schema of the file
NEW = migrations()[-1][0]


def rows_of(path):
    """Its schema, and every row of every table."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as other:
        other.text_factory = bytes
        assert other.execute("PRAGMA integrity_check").fetchall() == [(b"ok",)]
        tables = [name.decode() for (name,) in other.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")]
        (version,) = other.execute("PRAGMA user_version").fetchone()
        return version, {table: sorted(map(repr, other.execute(f"SELECT * FROM {table}"))) for table in tables}


def opened(path):
    asyncio.run(SqliteStore(path, QueuePolicy()).close())


@pytest.mark.parametrize("how", ["kill", "full"])
def test_a_file_is_the_older_or_the_newer_one_whenever_it_is_killed_or_its_disk_is_full(tmp_path, how):
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    for path in (old, new):
        path.write_bytes(fixture("positional.db"))
    opened(new)
    _, before = rows_of(old)
    finished, after = rows_of(new)
    assert finished == NEW
    assert maintenance.check(new) == []
    command = [sys.executable, "-m", "tests.contract.stores.upgrade.interrupted", str(old), str(tmp_path / "each"), how]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
    assert int(said[-1]) >= (40 if how == "kill" else 5)
    if how == "full":
        assert all("UnfitPlace: The disk is full: " in line for line in said[:-1]), said
    versions = set()
    for folder in sorted((tmp_path / "each").iterdir(), key=lambda one: int(one.name)):
        path = folder / "jobs.db"
        version, rows = rows_of(path)
        versions.add(version)
        assert rows == (before if version == OLD else after)
        opened(path)
        assert rows_of(path) == (NEW, after)
    assert versions == {OLD, NEW}  # and none between them


# ------------------------------------------------------------------------------------------------------------ PostgreSQL


class Database(InDatabase):
    """One of schema 3, and what is in it afterwards."""

    def __init__(self):
        super().__init__("positional", None)
        self.url = self._url

    def version(self):
        return postgres_server().value("SELECT version FROM holdfast.schema_version", database="holdfast")

    async def is_whole(self):
        client = StoreClient(self.open())
        await client.store.tend()
        found = as_json(await contents(client))
        await client.close()
        assert {kind: found[kind] for kind in self.said} == self.said
        assert await database.check(self.url) == []


@pytest.fixture
def place():
    return Database()


class Doomed:
    """A connection whose server process is ended before its Nth call."""

    def __init__(self, connection, calls):
        self._connection, self._left = connection, calls

    def __getattr__(self, name):
        found = getattr(self._connection, name)
        if name not in ("execute", "fetchval", "fetchrow", "cursor"):
            return found
        self._left -= 1
        if self._left == 0:
            postgres_server().sql("SELECT pg_terminate_backend(%s, 5000)", (self._connection.get_server_pid(),))
        return found


async def test_a_database_is_the_older_or_the_newer_one_whichever_call_its_process_is_ended_at(place):
    versions = []
    for calls in range(1, 100):
        connection = await connect(place.url, WRITER, unwavering=True)
        try:
            await migrate.migrate(Doomed(connection, calls))
        except Exception:  # noqa: BLE001  (whatever the driver makes of it)
            versions.append(place.version())
            if versions[-1] == 3:
                assert postgres_server().value("SELECT to_regclass('holdfast.audit') IS NULL", database="holdfast")
        else:
            break
        finally:
            connection.terminate()
    assert versions == sorted(versions)
    assert versions.count(3) >= 10
    await place.is_whole()


async def killed_node(url):
    """In a process of its own: a node that is killed when it has turned all rows, and has not committed."""
    convert = by_name.convert

    async def killed(connection):
        await convert(connection)
        os.kill(os.getpid(), signal.SIGKILL)

    migrate._CONVERSIONS[4] = killed
    await PostgresStore(url, QueuePolicy()).tend()


async def test_a_node_that_is_killed_in_the_step_leaves_it_to_the_next_and_two_that_start_at_once_take_turns(place):
    program = (
        "import asyncio, sys; from tests.contract.stores.upgrade.test_interrupted_steps import killed_node; "
        "asyncio.run(killed_node(sys.argv[1]))"
    )
    node = await asyncio.create_subprocess_exec(sys.executable, "-c", program, place.url, stdout=subprocess.DEVNULL)
    assert await node.wait() == -signal.SIGKILL
    assert place.version() == 3
    nodes = [place.open(), place.open()]
    async with asyncio.timeout(20):
        await asyncio.gather(*(node.tend() for node in nodes))
        for node in nodes:
            while node.health().reason:
                await asyncio.sleep(0.02)
                await node.tend()
    for node in nodes:
        await node.close()
    await place.is_whole()


async def test_a_step_that_finds_a_table_locked_gives_up_in_time_and_is_done_when_it_is_free(place, monkeypatch):
    monkeypatch.setattr(migrate, "_WAIT_MS", 200)
    store = place.open()
    with postgres_server().connect(database="holdfast") as other:
        other.execute("SET application_name = 'console'; BEGIN; SELECT FROM holdfast.job")
        async with asyncio.timeout(5):
            await store.tend()
        assert store.health().reason == "store_unavailable"
        assert f"waits for tables that others use: process {other.info.backend_pid} (console)" in store.problem
        assert place.version() == 3
    async with asyncio.timeout(10):
        while store.health().reason:
            await asyncio.sleep(0.02)
            await store.tend()
    await store.close()
    assert await database.check(place.url) == []
