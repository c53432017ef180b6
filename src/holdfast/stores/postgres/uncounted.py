"""Tables that PostgreSQL believes to be empty although they may not be: its last count found no row, or it never counted them.

Tables of a queue are empty whenever it has been worked off, and that is when autovacuum mostly counts them. From then on PostgreSQL
takes a walk through a whole index for as cheap as finding one row by its key, however much is written: each row of a batch is found by such
a walk, until autovacuum counts again, up to a minute into a rush. So such tables are vacuumed and counted as soon as they are seen, mostly before
the next job comes: one that is still empty is cut to no pages, of which nothing is believed.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence

import asyncpg

from holdfast.errors import StoreUnavailable
from holdfast.logs import structlog
from holdfast.stores.postgres.connect import ALWAYS, GONE, close, connect
from holdfast.stores.postgres.hosts import described

log = structlog.get_logger(__name__)

_EACH_S = 5.0  # dead rows that an old snapshot sees keep a table as it is
_SETTINGS = ALWAYS | {"application_name": "holdfast-vacuum", "statement_timeout": "60000", "lock_timeout": "1000"}


class UncountedTables:
    """Vacuums them on a connection of its own, one round at a time; nothing depends on the outcome."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._round: asyncio.Task[None] | None = None
        self._not_before = 0.0

    def seen(self, tables: Sequence[str]) -> None:
        """Begin to vacuum these tables, unless that was done a moment ago."""
        if not tables or time.monotonic() < self._not_before or (self._round is not None and not self._round.done()):
            return
        self._not_before = time.monotonic() + _EACH_S
        self._round = asyncio.create_task(self._vacuum(tables), name="vacuum")

    async def close(self) -> None:
        """Leave off."""
        if self._round is not None:
            self._round.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._round

    async def _vacuum(self, tables: Sequence[str]) -> None:
        connection = None
        try:
            connection = await connect(self._url, _SETTINGS)
            for table in tables:  # a name of ours, as the catalog has it
                await connection.execute(f"VACUUM (ANALYZE, SKIP_LOCKED) holdfast.{table}")
        except (*GONE, asyncpg.PostgresError, StoreUnavailable) as error:
            log.debug("tables were not counted again", tables=tables, reason=described(error))
        finally:
            await close(connection)
