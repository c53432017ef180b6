"""Tables of which PostgreSQL believes that they are empty, or next to it, although they may not be: its last count found no row, or few, or it
never counted them.

Tables of a queue are empty whenever it has been worked off, and that is when autovacuum mostly counts them. From then on PostgreSQL
takes a walk through a whole index for as cheap as finding one row by its key, however much is written: each row of a batch is found by such
a walk, until autovacuum counts again, up to a minute into a rush. So

    uncounted  tables without a row are vacuumed and counted as soon as they are seen, mostly before the next job comes: one that is still
               empty is cut to no pages, of which nothing is believed
    grown      tables with many times the rows of the last count are counted: plans are kept that were made when they were small
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import asyncpg

from holdfast.errors import StoreUnavailable
from holdfast.logs import structlog
from holdfast.stores.postgres.connect import ALWAYS, GONE, close, connect
from holdfast.stores.postgres.hosts import described

log = structlog.get_logger(__name__)

_EACH_S = 5.0
_REST = 20  # times as long as a round took: an old snapshot or the lock of a dump may keep a table as it is for hours
_SETTINGS = ALWAYS | {"application_name": "holdfast-vacuum", "statement_timeout": "60000", "lock_timeout": "1000"}


class UncountedTables:
    """Counts them on a connection of its own, one round at a time; nothing depends on the outcome."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._round: asyncio.Task[None] | None = None
        self._count_after = 0.0
        self._vacuum_after = 0.0

    def seen(self, grown: Sequence[str], uncounted: Sequence[str]) -> None:
        """Begin to count these tables, unless that was done a moment ago."""
        now = time.monotonic()
        if self._round is not None and not self._round.done():
            return
        grown = grown if now >= self._count_after else ()
        uncounted = uncounted if now >= self._vacuum_after else ()
        if grown:
            self._count_after = now + _EACH_S
        if uncounted:
            self._vacuum_after = now + _EACH_S
        if grown or uncounted:
            self._round = asyncio.create_task(self._count(grown, uncounted), name="vacuum")

    async def close(self) -> None:
        """Leave off."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.wait({self._round})

    async def _count(self, grown: Sequence[str], uncounted: Sequence[str]) -> None:
        connection = None
        try:
            connection = await connect(self._url, _SETTINGS)
            for table in grown:  # a name in quotation marks, where it needs them
                await connection.execute(f"ANALYZE (SKIP_LOCKED) holdfast.{table}")
            await self._vacuum(connection, uncounted)
        except (*GONE, asyncpg.PostgresError, StoreUnavailable) as error:
            log.debug("tables were not counted again", grown=grown, uncounted=uncounted, reason=described(error))
        finally:
            await close(connection)

    async def _vacuum(self, connection: Any, tables: Sequence[str]) -> None:
        begun = time.monotonic()
        try:
            for table in tables:
                if time.monotonic() < begun + _EACH_S:  # a table that has grown meanwhile is not to wait for long
                    await connection.execute(f"VACUUM (ANALYZE, SKIP_LOCKED) holdfast.{table}")
        finally:
            now = time.monotonic()
            self._vacuum_after = max(self._vacuum_after, now + _REST * (now - begun))
