"""A database that is exported, whether or not nodes serve it; see `stores/exporting.py`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from holdfast.errors import StoreUnavailable
from holdfast.stores.postgres.connect import GONE, READER, connect
from holdfast.stores.postgres.hosts import described
from holdfast.stores.postgres.migrate import demand
from holdfast.stores.postgres.reader import PostgresSnapshot

_SETTINGS = READER | {"application_name": "holdfast-export", "statement_timeout": "60000"}
_NUMBERS = (
    "SELECT coalesce(pg_sequence_last_value('job_id'::regclass), 0), coalesce(pg_sequence_last_value('fence'::regclass), 0)"
)
_LOOKS, _LOOK_S = 30, 0.1


class PostgresExport:
    """See `ExportSource`."""

    def __init__(self, connection: Any) -> None:
        self._db = connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[PostgresSnapshot]:
        """One snapshot."""
        async with self._db.transaction(isolation="repeatable_read", readonly=True):
            yield PostgresSnapshot(self._db)

    async def numbers(self) -> tuple[int, int]:
        """The last ids used."""
        job, fence = await self._db.fetchrow(_NUMBERS)
        return job, fence

    async def not_taken_in(self, up_to: int) -> int:
        """What a node does not take in within some seconds."""
        for _ in range(_LOOKS):
            left: int = await self._db.fetchval("SELECT count(*) FROM inbox WHERE job <= $1", up_to)
            if not left:
                break
            await asyncio.sleep(_LOOK_S)
        return left


@asynccontextmanager
async def source(url: str) -> AsyncIterator[PostgresExport]:
    """Connect; raises `StoreUnavailable`."""
    connection = await connect(url, _SETTINGS, unwavering=True)
    try:
        await demand(connection)
        yield PostgresExport(connection)
    except (*GONE, asyncpg.PostgresError) as error:
        raise StoreUnavailable(f"The database can't be read: {described(error)}.") from error
    finally:
        connection.terminate()
