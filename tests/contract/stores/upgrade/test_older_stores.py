"""Stores that earlier versions wrote: what each of them told then is what it tells today, field for field, and a check finds nothing."""

import gzip
import json
import re
import sqlite3
from contextlib import closing, suppress

import pytest
from click.testing import CliRunner

from holdfast.cli.entry import main
from holdfast.errors import StoreUnavailable
from holdfast.job.queue import QueuePolicy
from holdfast.messages.commands import ConcludeLease, FailLease
from holdfast.stores.postgres import by_name, migrate
from holdfast.stores.postgres import maintenance as database
from holdfast.stores.postgres.store import PostgresStore
from holdfast.stores.releases import releases
from holdfast.stores.sqlite import connect, maintenance
from holdfast.stores.sqlite.files import UnfitPlace
from holdfast.stores.sqlite.store import SqliteStore
from tests.contract.stores.conformance.conftest import StoreClient, new, postgres_server
from tests.contract.stores.postgres.test_enqueue import SETTINGS
from tests.contract.stores.upgrade.filled_store import NEWER, SINCE_0_1_0, as_json, contents
from tests.contract.stores.upgrade.make import FIXTURES

BEFORE = "positional"
"""Before the first release: the last that wrote fields by their places."""
RELEASED = [release.version for release in releases()]


def fixture(name: str) -> bytes:
    return gzip.decompress((FIXTURES / f"{name}.gz").read_bytes())


class InFile:
    """The store file as it was."""

    def __init__(self, name, folder):
        self._path = folder / "jobs.db"
        self._path.write_bytes(fixture(f"{name}.db"))
        self.said = json.loads(fixture(f"{name}.sqlite.json"))
        self.without = NEWER if name == BEFORE else SINCE_0_1_0

    def open(self):
        return SqliteStore(self._path, QueuePolicy())

    async def check(self):
        return maintenance.check(self._path)

    def damage(self, statement):
        with closing(sqlite3.connect(self._path)) as other, other:
            other.execute(statement)


class InDatabase:
    """What pg_dump wrote of the database, put into an empty one."""

    def __init__(self, name, _):
        server = postgres_server()
        server.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")
        script = re.sub(r"^(\\|SET transaction_timeout).*$", "", fixture(f"{name}.sql").decode(), flags=re.MULTILINE)
        with server.connect("holdfast", "holdfast") as loading:
            loading.execute(script)
        self._url = server.url()
        self.said = json.loads(fixture(f"{name}.postgres.json"))
        self.without = NEWER if name == BEFORE else SINCE_0_1_0

    def open(self):
        return PostgresStore(self._url, QueuePolicy())

    async def check(self):
        return await database.check(self._url)

    def damage(self, statement):
        with postgres_server().connect(database="holdfast") as other:
            other.execute(f"SET search_path = holdfast; {statement}")


def placed(names):
    """A fixture of each of these stores, in a file and in a database."""

    def make(request, tmp_path):
        kind, name = request.param
        yield kind(name, tmp_path)
        if kind is InDatabase:  # an older schema may be left in it
            postgres_server().sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")

    pairs = [(kind, name) for kind in (InFile, InDatabase) for name in names]
    return pytest.fixture(make, params=pairs, ids=[f"{kind.__name__}-{name}" for kind, name in pairs])


place = placed([BEFORE])
any_place = placed([BEFORE, *RELEASED])


async def everything_is_there(place):
    client = StoreClient(place.open())
    await client.store.tend()
    found = as_json(await contents(client), place.without)
    await client.count_again()
    await client.close()
    for kind, before in place.said.items():
        assert found[kind] == before, kind
    assert found.keys() == place.said.keys()
    assert await place.check() == []


async def test_every_job_is_there_field_for_field_and_a_check_finds_nothing(any_place):
    await everything_is_there(any_place)


@pytest.mark.parametrize("version", RELEASED)
def test_what_a_release_exported_is_taken_in_and_comes_out_again(version, tmp_path):
    file, store = tmp_path / "all.ndjson", f"sqlite:///{tmp_path}/new.db"
    file.write_bytes(fixture(f"{version}.ndjson"))
    taken = CliRunner().invoke(main, ["import", str(file), "--store", store])
    assert taken.exit_code == 0, taken.output
    assert maintenance.check(tmp_path / "new.db") == []
    again = CliRunner().invoke(main, ["export", "--store", store]).stdout_bytes.splitlines()
    before, after = (
        {line for line in lines if line.startswith(b'{"job"')} for lines in (file.read_bytes().splitlines(), again)
    )
    changed = {json.loads(line)["job"]["id"] for line in before - after}
    assert changed == {
        job["id"] for line in before if (job := json.loads(line)["job"])["state"] == "leased"
    }  # which are ready again
    assert len(after) == len(before) > 50


async def test_what_a_database_has_set_for_its_sessions_changes_nothing(tmp_path):
    place, server = InDatabase("positional", tmp_path), postgres_server()
    more = {"default_transaction_deferrable": "on", "idle_in_transaction_session_timeout": "5ms", "statement_timeout": "10s"}
    try:
        for name, value in (SETTINGS | more).items():
            if name != "role":
                server.sql(f"ALTER DATABASE holdfast SET {name} = {value if name == 'search_path' else repr(value)}")
        await everything_is_there(place)
        client = StoreClient(place.open())
        await client.store.tend()
        await client.put_all([new("new", unique_key=f"k{n}", tags=("a", "b")) for n in range(3)])
        done, failed, _ = [one.job for one in await client.lease("new", limit=3)]
        await client.together(ConcludeLease(done.ref(), b"1", [new("then")]), FailLease(failed.ref(), "no", delay_ms=5))
        await client.count_again()
        await client.close()
        assert await place.check() == []
    finally:
        server.sql("ALTER DATABASE holdfast RESET ALL")


async def test_a_check_reads_no_store_that_was_not_brought_over_and_says_so(place):
    with pytest.raises((UnfitPlace, StoreUnavailable), match=r"has schema \d and not \d+: use the Holdfast"):
        await place.check()


async def test_what_cant_be_read_stays_as_it_is_is_named_and_is_set_aside(place):
    place.damage("UPDATE job SET extras = '[null,null,\"k' WHERE id = 41")
    place.damage(
        "UPDATE kept_answer SET receipts = '\\xc1' WHERE key = 'one'"
        if isinstance(place, InDatabase)
        else "UPDATE kept_answer SET receipts = x'c1' WHERE key = 'one'"
    )
    client = StoreClient(place.open())
    await client.store.tend()
    found = as_json(await contents(client))
    await client.close()
    assert found["kept_answers"]["mail one"]["receipts"] == []
    before = {detail["job"]["id"]: detail for detail in place.said["jobs"]}
    assert [detail["job"]["id"] for detail in found["jobs"] if detail != before[detail["job"]["id"]]] == [41]
    (sick,) = [detail["job"]["extras"] for detail in found["jobs"] if detail["job"]["id"] == 41]
    assert sick["unreadable"].startswith("""'[null,null,"k'""")
    assert {line.partition(":")[0] for line in await place.check()} >= {"extras can be read", "kept answers can be read"}


async def test_a_step_that_is_cut_off_has_changed_nothing_and_is_done_anew_with_the_next_start(place, monkeypatch):
    def cut_off(_):
        raise StoreUnavailable("cut off")

    async def cut_off_after_all_rows(connection):
        await by_name.convert(connection)
        cut_off(None)

    with monkeypatch.context() as broken:
        broken.setitem(connect._FUNCTIONS, "schedule_by_name", cut_off)  # the last that it calls
        broken.setitem(migrate._CONVERSIONS, 4, cut_off_after_all_rows)
        with suppress(StoreUnavailable):
            store = place.open()
            await store.tend()
            await store.close()
    with pytest.raises((UnfitPlace, StoreUnavailable), match=r"has schema [63] and not"):
        await place.check()
    await everything_is_there(place)
