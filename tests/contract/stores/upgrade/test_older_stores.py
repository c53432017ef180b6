"""Stores that earlier versions wrote: what each of them told then is what it tells today, field for field, and a check finds nothing."""

import gzip
import json
import re

import pytest

from holdfast.job.queue import QueuePolicy
from holdfast.stores.postgres import maintenance as database
from holdfast.stores.postgres.store import PostgresStore
from holdfast.stores.sqlite import maintenance
from holdfast.stores.sqlite.store import SqliteStore
from tests.contract.stores.conformance.conftest import Desk, postgres_server
from tests.contract.stores.upgrade.furniture import as_json, told
from tests.contract.stores.upgrade.make import FIXTURES

VERSIONS = ["positional"]


def fixture(name: str) -> bytes:
    return gzip.decompress((FIXTURES / f"{name}.gz").read_bytes())


class InFile:
    """The store file as it was."""

    def __init__(self, name, folder):
        self._path = folder / "jobs.db"
        self._path.write_bytes(fixture(f"{name}.db"))
        self.said = json.loads(fixture(f"{name}.sqlite.json"))

    def open(self):
        return SqliteStore(self._path, QueuePolicy())

    async def check(self):
        return maintenance.check(self._path)


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

    def open(self):
        return PostgresStore(self._url, QueuePolicy())

    async def check(self):
        return await database.check(self._url)


@pytest.fixture(
    params=[(place, name) for place in (InFile, InDatabase) for name in VERSIONS],
    ids=lambda pair: f"{pair[0].__name__}-{pair[1]}",
)
def place(request, tmp_path):
    kind, name = request.param
    return kind(name, tmp_path)


async def test_every_job_is_there_field_for_field_and_a_check_finds_nothing(place):
    desk = Desk(place.open())
    await desk.store.tend()
    found = as_json(await told(desk))
    await desk.count_again()
    await desk.close()
    for kind, before in place.said.items():
        assert found[kind] == before, kind
    assert found.keys() == place.said.keys()
    assert await place.check() == []
