"""Reading what `doctor` judges: one plain connection, as an application of the same role would get it, and a few queries.

It asks for no settings of its own but the path, so that what roles and databases override is seen as it is. How a pooler is told: PostgreSQL
greets a connection with the number of the process that serves it; whoever stands between and hands out connections greets with a
number of its own.

Of the other servers in the URL only the settings are read, because a commit may depend on them. A server that refuses the
connection is skipped: a missing standby is seen on the primary. A server that does not answer at all is reported: it exists,
and may come back at any time.
"""

import asyncio
from dataclasses import replace
from typing import Any

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from holdfast.errors import StoreUnavailable
from holdfast.stores.postgres.connect import GONE
from holdfast.stores.postgres.facts import OVERRIDES, SETTINGS, Facts, Held, Other, Override, Setting, Snapshot, Standby
from holdfast.stores.postgres.hosts import FAILED, Host, Unreached, described, hosts, reach
from holdfast.stores.postgres.sql import SQL

EXAMINE_S = 15.0  # two rounds of connecting, where one host is silent and the others take no writes
HELD_S = 1  # longer than a batch, which takes its turn
_OTHER_S = 2.0
_LOOKS = 3  # a pooler may use another connection for each statement


async def examine(url: str) -> Facts:
    """What there is to know about the primary, or, where none is, about any server; raises `StoreUnavailable`."""
    try:
        async with asyncio.timeout(EXAMINE_S):
            connection = await _connected(url)
            try:
                facts = await _facts(connection)
            finally:
                connection.terminate()
            others, silent = await _others(url)
            return replace(facts, others=others, silent=silent)
    except TimeoutError as error:
        raise StoreUnavailable(f"PostgreSQL did not answer within {EXAMINE_S:g} s.") from error
    except (Unreached, *GONE, asyncpg.PostgresError) as error:
        reason = error.reason if isinstance(error, Unreached) else described(error)
        raise StoreUnavailable(f"PostgreSQL can't be examined: {reason}.") from error


async def _connected(url: str) -> Any:
    """Without prepared statements, which not every pooler carries."""
    try:
        return await reach(url, SessionAttribute.primary, statement_cache_size=0)
    except Unreached as error:
        if not error.standby:
            raise
    return await reach(url, SessionAttribute.any, statement_cache_size=0)


async def _facts(connection: Any) -> Facts:
    pooled = await _is_pooled(connection)
    seen = await connection.fetchrow(SQL["seen_self"])
    return Facts(
        version=_version(connection),
        role=seen["role"],
        database=seen["database"],
        encoding=seen["encoding"],
        in_recovery=seen["in_recovery"],
        pooled=pooled,
        sees_standbys=seen["sees_standbys"],
        patroni=seen["patroni"],
        settings=await _settings(connection),
        overrides=tuple(Override(**row) for row in await connection.fetch(SQL["seen_overrides"], list(OVERRIDES))),
        standbys=tuple(Standby(**row) for row in await connection.fetch(SQL["seen_standbys"])),
        slots=await connection.fetchval(SQL["seen_slots"]),
        held=await _held(connection),
        snapshots=tuple(Snapshot(**row) for row in await connection.fetch(SQL["seen_snapshots"])),
    )


async def _held(connection: Any) -> tuple[Held, ...]:
    """Queues that a transaction holds; none if there is no store yet, or the role may not read it."""
    if not await connection.fetchval(
        "SELECT coalesce(has_schema_privilege(to_regnamespace('holdfast'), 'USAGE') AND"
        " has_table_privilege(to_regclass('holdfast.queue'), 'SELECT'), false)"
    ):
        return ()
    return tuple(Held(**row) for row in await connection.fetch(SQL["seen_held"], HELD_S))


async def _settings(connection: Any) -> dict[str, Setting]:
    found = await connection.fetch(SQL["seen_settings"], list(SETTINGS))
    return {row["name"]: Setting(row["setting"], row["source"]) for row in found}


async def _others(url: str) -> tuple[tuple[Other, ...], tuple[str, ...]]:
    """The standbys among the servers in the URL, and the addresses that do not answer."""
    each = hosts(url)
    if len(each) == 1:
        return (), ()
    found = await asyncio.gather(*[_other(url, host) for host in each])
    silent = tuple(host.address for host, one in zip(each, found, strict=True) if isinstance(one, TimeoutError))
    return tuple(one for one in found if isinstance(one, Other)), silent


async def _other(url: str, host: Host) -> Other | TimeoutError | None:
    try:
        async with asyncio.timeout(_OTHER_S):
            connection: Any = await asyncpg.connect(
                url,
                host=host.name,
                port=host.port,
                target_session_attrs=SessionAttribute.any,
                statement_cache_size=0,
            )
            try:
                await _is_pooled(connection)
                seen = await connection.fetchrow(SQL["seen_self"])
                return Other(host.address, await _settings(connection)) if seen["in_recovery"] else None
            finally:
                connection.terminate()
    except TimeoutError as error:
        return error
    except FAILED:
        return None


def _version(connection: Any) -> int:
    version: int = connection.get_server_version().major
    return version


async def _is_pooled(connection: Any) -> bool:
    """Whether somebody stands between. Where nobody does, only what belongs to the server is found by its name from here on, whoever else may
    make functions in the schemas that the role's own path names. A pooler would hand that path on to others.
    """
    pids = {connection.get_server_pid()}
    for _ in range(_LOOKS):
        pids.add(await connection.fetchval("SELECT pg_catalog.pg_backend_pid()"))
    if len(pids) > 1 or await _is_pgpool(connection):
        return True
    await connection.execute("SET search_path = pg_catalog, pg_temp")
    return False


async def _is_pgpool(connection: Any) -> bool:
    """Pgpool-II passes the process number on; it alone answers this."""
    try:
        await connection.fetch("SHOW pool_version")
    except asyncpg.PostgresError:
        return False
    return True
