"""The connection beside the batches: hints between nodes, heartbeats of workers, checks of the standbys. Nothing depends on its
results. It also sees which tables are to be counted, see `uncounted.py`.

Its commits wait for nothing (`synchronous_commit = off`), so a NOTIFY, which holds a server-wide lock until its commit, holds
it for microseconds, and is never in a transaction with jobs.

Each call has a timeout, which includes the wait for its turn: a stopped server does not answer and does not close the
connection.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import asyncpg

from holdfast.errors import StoreUnavailable
from holdfast.logs import structlog
from holdfast.stores.postgres.connect import ASIDE, GONE, close, connect
from holdfast.stores.postgres.hosts import described
from holdfast.stores.postgres.replication import Replication
from holdfast.stores.postgres.sql import SQL
from holdfast.stores.postgres.uncounted import UncountedTables

log = structlog.get_logger(__name__)
CHANNEL = "holdfast"
_HINT_S = 2.0
_LOOK_S = 3.0
_FORGET_S = 60.0  # between two removals of the heartbeats of workers that are no longer registered


class SideConnection:
    """One connection, made again when it is lost."""

    def __init__(self, url: str, replication: Replication) -> None:
        self._url = url
        self._replication = replication
        self._uncounted = UncountedTables(url)
        self._db: Any = None
        self._lock = asyncio.Lock()
        self._listeners: list[Callable[[str], None]] = []
        self._said: dict[str, int] = {}
        self._forget_at = 0.0
        self.database_bytes = 0

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the notifications of other nodes and of this one."""
        self._listeners.append(listener)

    async def notify(self, text: str) -> None:
        """Notify all nodes; dropped if it can't be sent now."""
        try:
            async with asyncio.timeout(_HINT_S), self._lock:
                if self._db is not None:
                    await self._db.execute("SELECT pg_notify($1, $2)", CHANNEL, text)
        except (*GONE, asyncpg.PostgresError) as error:
            log.debug("a notification to the other nodes was lost; they will poll", reason=described(error))

    async def look(self) -> None:
        """Connect if needed, and read the state of the standbys; raises `StoreUnavailable`."""
        try:
            async with asyncio.timeout(_LOOK_S), self._lock:
                if self._db is None or self._db.is_closed():
                    await self._connect()
                row = await self._db.fetchrow(SQL["replication"])
        except (*GONE, asyncpg.PostgresError) as error:
            await self.drop()
            raise StoreUnavailable(f"PostgreSQL can't be asked: {described(error)}.", retry_after_ms=1_000) from error
        self._uncounted.seen(row["grown"] or (), row["uncounted"] or ())
        self.database_bytes = row["bytes"]
        self._replication.lag_bytes = row["lag_bytes"] or 0
        self._replication.in_sync = len(self._replication.voters(row["voters"], row["names"]))

    async def calls_by_sql(self) -> int | None:
        """How often applications enqueued by SQL; raises `StoreUnavailable`."""
        try:
            async with asyncio.timeout(_LOOK_S), self._lock:
                if self._db is None:
                    raise StoreUnavailable("PostgreSQL can't be reached.", retry_after_ms=1_000)
                calls: int | None = await self._db.fetchval(SQL["enqueued"])
                return calls
        except (*GONE, asyncpg.PostgresError) as error:
            raise StoreUnavailable(f"PostgreSQL can't be asked: {described(error)}.", retry_after_ms=1_000) from error

    async def share_beats(self, beats: dict[str, int]) -> None:
        """Write new heartbeats, and read those of other nodes; the later one is kept. Raises if that fails."""
        async with asyncio.timeout(_LOOK_S), self._lock:
            if self._db is None:
                raise StoreUnavailable("PostgreSQL can't be reached.", retry_after_ms=1_000)
            news = {worker: at for worker, at in beats.items() if self._said.get(worker) != at}
            if news:
                await self._db.execute(SQL["save_beats"], list(news), list(news.values()))
            if time.monotonic() >= self._forget_at:
                self._forget_at = time.monotonic() + _FORGET_S
                await self._db.execute(SQL["forget_beats"])
            shared = dict(await self._db.fetch(SQL["beats"]))
            for worker in self._said.keys() - shared.keys():  # removed, by any node
                beats.pop(worker, None)
            for worker, at in shared.items():
                beats[worker] = max(at, beats.get(worker, 0))
            self._said = shared  # without what was recorded meanwhile: that is sent next time

    async def drop(self) -> None:
        """Let go of the connection."""
        connection, self._db = self._db, None
        await self._uncounted.close()
        await close(connection)

    async def _connect(self) -> None:
        connection = await connect(self._url, ASIDE, unwavering=True)
        await connection.add_listener(CHANNEL, self._heard)
        self._db = connection
        self._said = {}

    def _heard(self, _: Any, __: int, ___: str, text: object) -> None:
        for listener in self._listeners:
            listener(str(text))
