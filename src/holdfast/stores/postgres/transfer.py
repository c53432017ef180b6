"""A database as the source or the target of a move; see `stores/transfer.py`. Everything happens in one transaction that locks
the table of queues, so no node and no application changes anything meanwhile; connected nodes, even idle ones, are a reason to
refuse.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from holdfast.errors import NotReplicated, StoreUnavailable
from holdfast.limits import READY_FLOORS
from holdfast.stores.postgres.connect import ASIDE, GONE, connect
from holdfast.stores.postgres.hosts import described
from holdfast.stores.postgres.maintenance import problems_of
from holdfast.stores.postgres.migrate import NEWEST, at, demand, migrate, too_new
from holdfast.stores.postgres.replication import Replication
from holdfast.stores.postgres.sql import SQL
from holdfast.stores.rows import schedule_of
from holdfast.stores.store import OutcomeLost
from holdfast.stores.transfer import PAGE_BYTES, PAGE_ROWS, SETTLE_AUDIT, SUMS, TABLES, CantMove, Counters, Row, Table
from holdfast.units import counted

_SETTINGS = ASIDE | {
    "application_name": "holdfast-move",
    "synchronous_commit": "on",
    "statement_timeout": "0",
    "lock_timeout": "5000",
    "idle_in_transaction_session_timeout": "0",
    "jit": "off",
}
_COMMIT_S = 600.0


class PostgresSource:
    """A database that no node has open."""

    def __init__(self, connection: Any) -> None:
        self._db = connection

    async def pages(self, table: Table) -> AsyncIterator[list[Row]]:
        """All rows in the order of their key, some at a time."""
        columns = ", ".join(f'{name}::int AS "{name}"' if name in table.truths else f'"{name}"' for name in table.columns)
        if table.heavy is not None:
            async for rows in self._by_size(table, columns, table.heavy):
                yield rows
            return
        key = ", ".join(f'"{name}"' for name in table.columns[: table.key])
        cursor = await self._db.cursor(f"SELECT {columns} FROM {table.name} ORDER BY {key}")
        while found := await cursor.fetch(PAGE_ROWS):
            yield [tuple(row) for row in found]

    async def _by_size(self, table: Table, columns: str, heavy: str) -> AsyncIterator[list[Row]]:
        """The same for rows that may be megabytes: first determine how many rows make a page."""
        key = table.columns[0]
        end = await self._db.prepare(
            f"SELECT max(k) FROM (SELECT k, row_number() OVER w AS n, sum(size) OVER w AS bytes FROM "
            f"(SELECT {key} AS k, octet_length({heavy}) AS size FROM {table.name} WHERE {key} > $1 ORDER BY {key} LIMIT {PAGE_ROWS}) near "
            f"WINDOW w AS (ORDER BY k)) page WHERE n = 1 OR bytes <= {PAGE_BYTES}"
        )
        page = await self._db.prepare(f"SELECT {columns} FROM {table.name} WHERE {key} > $1 AND {key} <= $2 ORDER BY {key}")
        after = -1
        while (last := await end.fetchval(after)) is not None:
            yield [tuple(row) for row in await page.fetch(after, last)]
            after = last

    async def sums(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Jobs and bytes by queue and state."""
        return {(row[0], row[1]): (row[2], row[3]) for row in await self._db.fetch(SUMS)}

    async def counters(self) -> Counters:
        """The last ids used."""
        return Counters(
            await self._db.fetchval("SELECT coalesce(pg_sequence_last_value('job_id'::regclass), 0)"),
            await self._db.fetchval("SELECT coalesce(pg_sequence_last_value('fence'::regclass), 0)"),
            await self._db.fetchval("SELECT value FROM counter WHERE name = 'interests'"),
            await self._db.fetchval(SQL["keys_version"]),
            *(await self._db.fetchrow("SELECT last, removed FROM audit_tally") or (0, 0)),
        )

    async def problems(self) -> list[str]:
        """What is wrong with it."""
        return await problems_of(self._db)


class PostgresTarget(PostgresSource):
    """A database with the schema and without jobs."""

    def __init__(self, connection: Any, replication: Replication) -> None:
        super().__init__(connection)
        self._replication = replication
        self._voters: list[str] = []

    async def admit(self) -> None:
        """Raises `NotReplicated` if there are too few standbys to prove the commit."""
        row = await self._db.fetchrow(SQL["replication"])
        self._voters = self._replication.admit(row["voters"], row["names"])

    async def take(self, table: Table, rows: list[Row]) -> None:
        """Add rows."""
        columns = list(table.columns)
        if table.truths:
            places = [columns.index(name) for name in table.truths]
            rows = [tuple(bool(value) if place in places else value for place, value in enumerate(row)) for row in rows]
        if table.name == "queue":
            columns.append("seen_at")
            rows = [(*row, row[4]) for row in rows]
        elif table.name == "schedule":
            columns.append("queue")
            rows = [(*row, _queue_of(*row)) for row in rows]
        await self._db.copy_records_to_table(table.name, schema_name="holdfast", records=rows, columns=columns)

    async def settle(self, counters: Counters) -> None:
        """Set the counters; compute where each queue's order begins, and the latest time recorded in it."""
        for sequence, value in (("job_id", counters.job), ("fence", counters.fence)):
            if value:
                await self._db.execute(_AT_LEAST, sequence, value)
        newest = await self._db.fetchval("SELECT max(id) FROM queue")
        if newest is not None:
            await self._db.execute("SELECT setval(pg_get_serial_sequence('queue', 'id'), $1)", newest)
        await self._db.execute("UPDATE counter SET value = greatest(value, $1) WHERE name = 'interests'", counters.interests)
        await self._db.execute("UPDATE counter SET value = value + 1 WHERE name = 'workers'")
        await self._db.execute(
            "UPDATE counter SET value = value + $1 WHERE name = 'keys'", counters.keys
        )  # a node that waits here reads them
        await self._db.execute(
            SETTLE_AUDIT.format(row="true", last="$1::bigint", removed="$2::bigint"), counters.audit, counters.audit_removed
        )
        await self._db.execute(_SEEN_AT)
        await self._db.execute(SQL["count_ready_floors"], READY_FLOORS)
        await self._db.execute("ANALYZE")

    async def commit(self) -> None:
        """Commit, and prove it where standbys are to have it."""
        try:
            await self._replication.commit(self._db, self._voters)
        except OutcomeLost as error:
            raise CantMove(
                f"It is not known whether the move was kept: {error}. The source is as it was; see whether the target has jobs."
            ) from error


_AT_LEAST = "SELECT setval($1::text::regclass, greatest($2, coalesce(pg_sequence_last_value($1::text::regclass), 0)))"
_SEEN_AT = """
UPDATE queue q SET seen_at = greatest(q.seen_at, m.moment) FROM (
  SELECT queue, max(moment) AS moment FROM (
    SELECT queue, max(created_at) AS moment FROM job GROUP BY queue UNION ALL SELECT queue, max(ready_at) FROM ready GROUP BY queue
    UNION ALL SELECT queue, max(ready_at) FROM held GROUP BY queue UNION ALL SELECT queue, max(leased_at) FROM leased GROUP BY queue
    UNION ALL SELECT queue, max(ended_at) FROM ended GROUP BY queue
  ) latest GROUP BY queue
) m WHERE m.queue = q.id
"""
_OTHERS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND application_name IN ('holdfast', 'holdfast-read', 'holdfast-aside', 'holdfast-inbox', 'holdfast-move')
"""


def _queue_of(name: str, try_at: int, paused: bool, state: bytes) -> str | None:
    spec = schedule_of(name, state, try_at, paused).spec
    return None if spec.publish else spec.job.queue


@asynccontextmanager
async def source(url: str) -> AsyncIterator[PostgresSource]:
    """Lock the database exclusively and read one snapshot of it; raises `CantMove`."""
    connection = await _connected(url)
    try:
        await demand(connection)
        await _hold(connection, "ISOLATION LEVEL REPEATABLE READ READ WRITE")
        if waiting := await connection.fetchval("SELECT count(*) FROM holdfast.inbox"):
            raise CantMove(
                f"Applications enqueued {counted(waiting, 'job')} by SQL that no node has taken in. Start a node once, until there are none left."
            )
        yield PostgresSource(connection)
    except (*GONE, asyncpg.PostgresError, StoreUnavailable) as error:
        raise CantMove(f"The database can't be read: {described(error)}.") from error
    finally:
        connection.terminate()


async def check_free(url: str, replicas: int) -> None:
    """Raises `CantMove` where the database has jobs already, is in use, is not ours to write, or has too few standbys. Changes nothing."""
    connection = await _connected(url)
    try:
        await PostgresTarget(connection, Replication(replicas)).admit()
        if await connection.fetchval("SELECT to_regclass('holdfast.job')") is not None:
            await _refuse_others(connection)
            await _check_empty(connection)
            await _check_not_newer(connection)
        elif not await connection.fetchval("SELECT has_database_privilege(current_database(), 'CREATE')"):
            raise CantMove("The database can't be written: the role may not create a schema in it.")
    except NotReplicated as error:
        raise CantMove(error.detail) from error
    except (*GONE, asyncpg.PostgresError) as error:
        raise CantMove(f"The database can't be read: {described(error)}.") from error
    finally:
        connection.terminate()


@asynccontextmanager
async def target(url: str, replicas: int) -> AsyncIterator[PostgresTarget]:
    """A database to be filled in one transaction; raises `CantMove`. It is rolled back unless it is committed."""
    connection = await _connected(url)
    try:
        await migrate(connection)
        await _hold(connection, "ISOLATION LEVEL READ COMMITTED")
        await _check_empty(connection)
        filled = PostgresTarget(connection, Replication(replicas, timeout_s=_COMMIT_S))
        await filled.admit()
        yield filled
    except NotReplicated as error:
        raise CantMove(error.detail) from error
    except (*GONE, asyncpg.PostgresError, StoreUnavailable) as error:
        raise CantMove(f"The database can't be written: {described(error)}.") from error
    finally:
        connection.terminate()


async def demand_alone(url: str) -> None:
    """Raises `CantMove` where nodes serve the database."""
    connection = await _connected(url)
    try:
        await _refuse_others(connection)
    except (*GONE, asyncpg.PostgresError) as error:
        raise CantMove(f"The database can't be read: {described(error)}.") from error
    finally:
        connection.terminate()


async def _connected(url: str) -> Any:
    try:
        return await connect(url, _SETTINGS, unwavering=True)
    except StoreUnavailable as error:
        raise CantMove(error.detail) from error


async def _check_not_newer(connection: Any) -> None:
    found = await at(connection)
    if found is not None and found.oldest > NEWEST:
        raise CantMove(too_new(found, NEWEST))


async def _hold(connection: Any, mode: str) -> None:
    await connection.execute(
        f"BEGIN {mode}; SET LOCAL synchronous_commit = 'on'; LOCK TABLE holdfast.queue, holdfast.inbox IN EXCLUSIVE MODE"
    )
    await _refuse_others(connection)


async def _refuse_others(connection: Any) -> None:
    others = await connection.fetchval(_OTHERS)
    if others:
        raise CantMove(f"The database is in use: Holdfast has {counted(others, 'connection')} to it. Stop its nodes first.")


async def _check_empty(connection: Any) -> None:
    full = [table.name for table in TABLES if await connection.fetchval(f"SELECT EXISTS (SELECT FROM holdfast.{table.name})")]
    full += ["inbox"] if await connection.fetchval("SELECT EXISTS (SELECT FROM holdfast.inbox)") else []
    if full:
        raise CantMove(f"The target is not empty: there are rows in {', '.join(full)}. A move never overwrites.")
