"""What this version would do to a database, found beside nodes that serve it, and doing it without serving."""

import asyncio
import time
from typing import Any

import asyncpg

from holdfast import __version__
from holdfast.errors import StoreUnavailable
from holdfast.stores.postgres.connect import GONE, READER, WRITER, connect
from holdfast.stores.postgres.hosts import described
from holdfast.stores.postgres.migrate import (
    NEWEST,
    At,
    OlderNodes,
    at,
    beside,
    held_by,
    migrate,
    nodes,
    steps,
    still_there,
    too_new,
)
from holdfast.stores.releases import of_schema
from holdfast.stores.upgrade import ConnectedNodes, PlannedStep, UpgradePlan, planned

_ROW_S = 100e-6
"""Of one row that is written anew: see docs/upgrading.md."""
_TRY_FOR_S = 60.0
_PAUSE_S = 1.0
_SETTINGS = READER | {"application_name": "holdfast-upgrade", "statement_timeout": "60000", "lock_timeout": "500"}
_JOBS = "SELECT coalesce(sum(scheduled + ready + leased + concluded + dead + cancelled), 0)::bigint FROM holdfast.queue"
_SIZE = """
SELECT CASE WHEN reltuples > 0 AND relpages > 0
         THEN (reltuples / relpages * (pg_relation_size(oid) / current_setting('block_size')::int))::bigint END AS rows,
       pg_total_relation_size(oid) AS bytes
FROM pg_class WHERE oid = to_regclass($1)
"""


async def plan(url: str, finish: bool = False) -> UpgradePlan:
    """What would be done by a node that starts, or to `finish`; raises `StoreUnavailable`. Changes nothing."""
    connection = await connect(url, _SETTINGS, unwavering=True)
    try:
        found = await at(connection)
        if found is None or not found.version:
            raise StoreUnavailable("There is no store of Holdfast in this database; the first node makes it.")
        return await _planned(connection, found, NEWEST if finish else beside())
    except asyncpg.LockNotAvailableError:
        raise StoreUnavailable(
            f"The database can't be read just now: this waits {await held_by(connection)}. Ask again."
        ) from None
    except (*GONE, asyncpg.PostgresError) as error:
        raise StoreUnavailable(f"The database can't be read: {described(error)}.") from error
    finally:
        connection.terminate()


async def upgrade(url: str, finish: bool = False) -> tuple[At, At]:
    """Bring the database to this version's schema: where it was, and where it is. Raises `StoreUnavailable`.

    Tables that are in use, and another process that changes the schema, are waited for, again and again, for a minute; older nodes that have to go
    are not waited for.
    """
    connection = await connect(url, WRITER, unwavering=True)
    try:
        before: At | None = None
        until = time.monotonic() + _TRY_FOR_S
        while True:
            try:
                before = before or await at(connection) or At()
                await migrate(connection, finish=finish)
                return before, await at(connection) or At()
            except OlderNodes:
                raise
            except (StoreUnavailable, asyncpg.LockNotAvailableError) as error:
                may_end = isinstance(error, asyncpg.LockNotAvailableError) or "retry_after_ms" in error.fields
                if not may_end or time.monotonic() > until:
                    raise
            await asyncio.sleep(_PAUSE_S)
    except (*GONE, asyncpg.PostgresError) as error:
        raise StoreUnavailable(f"The database can't be upgraded: {described(error)}.") from error
    finally:
        connection.terminate()


async def _planned(connection: Any, found: At, goal: int) -> UpgradePlan:
    plan = UpgradePlan(
        store=await connection.fetchval("SELECT current_database()"),
        schema=found.version,
        made_by=found.made_by,
        holdfast=__version__,
        newest=NEWEST,
        jobs=await connection.fetchval(_JOBS),
    )
    connected = await nodes(connection)
    without = found.oldest
    if found.oldest > NEWEST:
        plan.obstacles.append(too_new(found, NEWEST))
    else:
        room = await _add_steps(connection, plan, found, goal)
        plan.seconds, plan.room_bytes = round(sum(step.seconds for step in plan.steps), 1), room
        without = max(
            goal, found.oldest, *[step.step for step in plan.steps if step.older_nodes == "stop" and step.kind == "pre"]
        )
        if older := {knows: count for knows, count in connected.items() if knows < without}:
            plan.obstacles.append(still_there(older))
    plan.nodes = [ConnectedNodes(knows, of_schema(knows), count, knows >= without) for knows, count in connected.items()]
    return plan


async def _add_steps(connection: Any, plan: UpgradePlan, found: At, goal: int) -> int:
    """Fill in the steps. Returns how much room they take: the rows that are written anew, and as much of the write-ahead log."""
    room = 0
    for step in steps("pre").values():
        if step.number > found.version:
            rows, size = await _size(connection, step.rewrites)
            room += 2 * size
            plan.steps.append(planned(step, rows, _ROW_S, "stop" if step.ends_older_nodes else "stay"))
    for step in steps("post").values():
        if step.number > found.oldest:
            rows, size = await _size(connection, step.rewrites)
            one: PlannedStep = planned(step, rows, _ROW_S, "stop")
            if step.number <= goal:
                room += 2 * size
                plan.steps.append(one)
            else:
                plan.later.append(one)
    return room


async def _size(connection: Any, tables: tuple[str, ...]) -> tuple[int, int]:
    rows = size = 0
    for table in tables:
        seen = await connection.fetchrow(_SIZE, f"holdfast.{table}")
        if seen is not None:
            known = seen["rows"]  # as the planner reckons; not known before the first vacuum or analyze
            rows += await connection.fetchval(f"SELECT count(*) FROM holdfast.{table}") if known is None else known
            size += seen["bytes"]
    return rows, size
