"""Makes the fixtures of this folder with the code that it runs under: a store file, a database as pg_dump writes it, what both tell, and an export.

    python -m tests.contract.stores.upgrade.make NAME

`make freeze` makes those of a release, named by its version. Those named `positional` are of commit bdcf672 (SQLite schema 6, PostgreSQL schema 3): the last one that wrote fields by their places.
"""

import asyncio
import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from cluster.programs import find
from holdfast.job.queue import QueuePolicy
from holdfast.stores.postgres.store import PostgresStore
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.stores.store import Store
from tests.contract.stores.conformance.conftest import StoreClient, empty_database, postgres_server
from tests.contract.stores.upgrade.filled_store import SQL, as_json, contents, fill

BEGUN = 1_600_000_000_000  # so that no moment in them is ever ahead of the clock of whoever reads them
FIXTURES = Path(__file__).parent / "fixtures"


async def fill_and_read(store: Store) -> bytes:
    """Fill a store, read its contents and close it."""
    client = StoreClient(store, BEGUN)
    await store.tend()
    await fill(client)
    if isinstance(store, PostgresStore):
        postgres_server().sql(SQL, user="holdfast", database="holdfast")
    found = await contents(client)
    await client.close()
    return json.dumps(as_json(found, frozenset()), indent=1).encode()


def keep(name: str, content: bytes) -> None:
    (FIXTURES / f"{name}.gz").write_bytes(gzip.compress(content, 9, mtime=0))


def main(name: str) -> None:
    FIXTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.db"
        keep(f"{name}.sqlite.json", asyncio.run(fill_and_read(SqliteStore(path, QueuePolicy()))))
        keep(f"{name}.db", path.read_bytes())
        export = [sys.executable, "-m", "holdfast", "export", "--store", f"sqlite:///{path}"]
        keep(f"{name}.ndjson", subprocess.run(export, check=True, capture_output=True, timeout=60).stdout)
    url = empty_database()
    keep(f"{name}.postgres.json", asyncio.run(fill_and_read(PostgresStore(url, QueuePolicy()))))
    dump = [find()["pg_dump"], "--inserts", "--no-owner", "-n", "holdfast", postgres_server().url()]
    keep(f"{name}.sql", subprocess.run(dump, check=True, capture_output=True, timeout=60).stdout)


if __name__ == "__main__":
    main(sys.argv[1])
