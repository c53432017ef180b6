"""Reading what `doctor` judges: one plain connection, as an application of the same role would get it, and a few queries.

It asks for no settings of its own, so that what roles and databases override is seen as it is. How a pooler is told: PostgreSQL
greets a connection with the number of the process that serves it; whoever stands between and hands out connections greets with a
number of its own.
"""

import asyncio
import contextlib
from typing import Any

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from holdfast.errors import StoreUnavailable
from holdfast.stores.postgres.connect import CONNECT_S, GONE, described
from holdfast.stores.postgres.doctor import SETTINGS, Facts, Override, Setting, Snapshot, Standby
from holdfast.stores.postgres.sql import SQL

EXAMINE_S = 10.0
_LOOKS = 3  # a pooler may hand out another connection with each statement


async def examine(url: str) -> Facts:
    """What there is to know about the server that takes writes, or, where none does, about any; raises `StoreUnavailable`."""
    try:
        async with asyncio.timeout(EXAMINE_S):
            connection = await _connected(url)
            try:
                return await _facts(connection)
            finally:
                connection.terminate()
    except TimeoutError as error:
        raise StoreUnavailable(f"PostgreSQL did not answer within {EXAMINE_S:g} s.") from error
    except (*GONE, asyncpg.PostgresError) as error:
        raise StoreUnavailable(f"PostgreSQL can't be examined: {described(error)}.") from error


async def _connected(url: str) -> Any:
    """Without prepared statements, which not every pooler carries."""
    for wanted in (SessionAttribute.read_write, SessionAttribute.any):
        with contextlib.suppress(asyncpg.TargetServerAttributeNotMatched):
            return await asyncpg.connect(url, target_session_attrs=wanted, statement_cache_size=0, timeout=CONNECT_S)
    raise StoreUnavailable("None of the servers that the URL names can be reached.")


async def _facts(connection: Any) -> Facts:
    pids = {connection.get_server_pid()}
    for _ in range(_LOOKS):
        seen = await connection.fetchrow(SQL["seen_self"])
        pids.add(seen["pid"])
    settings = await connection.fetch(SQL["seen_settings"], list(SETTINGS))
    return Facts(
        version=_version(connection),
        role=seen["role"],
        database=seen["database"],
        encoding=seen["encoding"],
        in_recovery=seen["in_recovery"],
        pooled=len(pids) > 1 or await _is_pgpool(connection),
        sees_standbys=seen["sees_standbys"],
        settings={row["name"]: Setting(row["setting"], row["source"]) for row in settings},
        overrides=tuple(Override(**row) for row in await connection.fetch(SQL["seen_overrides"], ["synchronous_commit"])),
        standbys=tuple(Standby(**row) for row in await connection.fetch(SQL["seen_standbys"])),
        slots=await connection.fetchval(SQL["seen_slots"]),
        snapshots=tuple(Snapshot(**row) for row in await connection.fetch(SQL["seen_snapshots"])),
    )


def _version(connection: Any) -> int:
    version: int = connection.get_server_version().major
    return version


async def _is_pgpool(connection: Any) -> bool:
    """Pgpool-II passes the process number on; it alone answers this."""
    try:
        await connection.fetch("SHOW pool_version")
    except asyncpg.PostgresError:
        return False
    return True
