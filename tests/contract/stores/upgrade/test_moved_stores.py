"""`holdfast move` of a store that an earlier version wrote: there and back it holds the same as one that stayed where it was."""

import asyncio

from click.testing import CliRunner

from holdfast.cli.entry import main
from holdfast.job.queue import QueuePolicy
from holdfast.stores.postgres.store import PostgresStore
from holdfast.stores.sqlite import maintenance
from holdfast.stores.sqlite.store import SqliteStore
from tests.contract.cli.test_access_keys import run as command
from tests.contract.stores.conformance.conftest import StoreClient, postgres_server
from tests.contract.stores.upgrade.filled_store import as_json, contents
from tests.contract.stores.upgrade.test_interrupted_steps import rows_of
from tests.contract.stores.upgrade.test_older_stores import InDatabase, InFile

NOT_MOVED = {"beat", "enqueue_bounds", "schema_version"}  # of the nodes, and of the schema


def move(origin, goal):
    said = CliRunner().invoke(main, ["move", "--from", origin, "--to", goal])
    assert said.exit_code == 0, said.output


def told_by(opened):
    """What a store tells, after it was brought to the newer schema where it is older."""

    async def tell():
        store = opened()
        client = StoreClient(store)
        await store.tend()
        found = as_json(await contents(client))
        await client.close()
        return found

    return asyncio.run(tell())


def tables():
    """Every row of every table of the database. What a queue has seen last is worked out anew, and `workers` tells nodes that something has changed."""
    server = postgres_server()
    names = [
        name for (name,) in server.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'holdfast'", database="holdfast")
    ]
    found = {}
    with server.connect(database="holdfast") as reading:
        for name in set(names) - NOT_MOVED:
            rows = reading.execute(f"SELECT (to_jsonb(t) - 'seen_at')::text FROM holdfast.{name} t")
            found[name] = sorted(row for (row,) in rows if '"name": "workers"' not in row)
    return found


def emptied():
    """The URL of a database without a schema."""
    postgres_server().sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")
    return postgres_server().url()


def test_a_file_of_before_goes_into_a_database_and_back(tmp_path):
    before = InFile("positional", tmp_path)
    path, back = tmp_path / "jobs.db", tmp_path / "back.db"
    said = told_by(before.open)
    assert {kind: said[kind] for kind in before.said} == before.said
    command(
        "key", "create", "--store", f"sqlite:///{path}", "--name", "root", "--can", "admin"
    )  # and its entry in the audit log
    stayed = rows_of(path)
    assert all(stayed[1][table] for table in ("access_key", "audit", "kept_answer", "schedule", "interest", "worker"))

    url = emptied()
    move(f"sqlite:///{path}", url)
    assert told_by(lambda: PostgresStore(url, QueuePolicy())) == said
    move(url, f"sqlite:///{back}")
    assert rows_of(back) == stayed
    assert told_by(lambda: SqliteStore(back, QueuePolicy())) == said
    assert maintenance.check(back) == []


def test_a_database_of_before_goes_into_a_file_and_back(tmp_path):
    before = InDatabase("positional", tmp_path)
    said = told_by(before.open)
    url, file = postgres_server().url(), f"sqlite:///{tmp_path}/jobs.db"
    command("key", "create", "--store", url, "--name", "root", "--can", "admin")
    stayed = tables()
    move(url, file)
    move(file, emptied())
    assert tables() == stayed
    assert told_by(lambda: PostgresStore(url, QueuePolicy())) == said
    assert asyncio.run(before.check()) == []
