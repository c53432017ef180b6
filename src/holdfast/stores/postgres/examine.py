"""Reading what `doctor` judges: one plain connection, as an application of the same role would get it, and a few queries.

It asks for no settings of its own but the path, so that what roles and databases override is seen as it is. How a pooler is told: PostgreSQL
greets a connection with the number of the process that serves it; whoever stands between greets with a number of its own. A proxy
that gives each client a server connection of its own does so too (Neon's, for every connection), and is no pooler: then a second session
is opened as a node opens it, and has to have its settings, and a process of its own.

What the role may not read is named, and is not taken for sound.

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
from holdfast.stores.postgres.connect import GONE, READER, connect
from holdfast.stores.postgres.facts import OVERRIDES, SETTINGS, Facts, Held, Other, Override, Setting, Snapshot, Standby
from holdfast.stores.postgres.hosts import FAILED, Host, Unreached, described, hosts, reach
from holdfast.stores.postgres.pooler import Pooled
from holdfast.stores.postgres.sql import SQL

EXAMINE_S = 15.0  # two rounds of connecting, where one host is silent and the others take no writes
HELD_S = 1  # longer than a batch, which takes its turn
_OTHER_S = 2.0
_OWN_NAMES = "SET search_path = pg_catalog, pg_temp"
"""From here on a name finds what belongs to the server alone, whoever else may make functions in the schemas that the role's own path
names. A pooler would hand that path on to others.
"""
_LOOKS = 3  # a pooler may use another connection for each statement


async def examine(url: str) -> Facts:
    """What there is to know about the primary, or, where none is, about any server; raises `StoreUnavailable`."""
    try:
        async with asyncio.timeout(EXAMINE_S):
            connection = await _connected(url)
            try:
                facts = await _facts(url, connection)
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


async def _facts(url: str, connection: Any) -> Facts:
    pooled = await _is_pooled(url, connection)
    if not pooled:
        await connection.execute(_OWN_NAMES)
    unseen: list[str] = []

    async def see(what: str, name: str, *values: Any) -> list[Any]:
        """Rows, or none where the role may not read them, which is noted."""
        try:
            rows: list[Any] = await connection.fetch(SQL[name], *values)
        except asyncpg.InsufficientPrivilegeError:
            unseen.append(what)
            return []
        return rows

    seen = await connection.fetchrow(SQL["seen_self"])
    settings = await _settings(connection)
    unseen += [f"the setting {name}" for name in SETTINGS if name not in settings]
    if not seen["sees_standbys"]:
        unseen.append("which standbys follow, and old transactions of other roles")
    slots = await see("replication slots", "seen_slots")
    return Facts(
        version=_version(connection),
        role=seen["role"],
        database=seen["database"],
        encoding=seen["encoding"],
        in_recovery=seen["in_recovery"],
        pooled=pooled,
        sees_standbys=seen["sees_standbys"],
        patroni=seen["patroni"],
        makes_schema=seen["makes_schema"],
        settings=settings,
        overrides=tuple(
            Override(**row) for row in await see("settings of roles and databases", "seen_overrides", list(OVERRIDES))
        ),
        standbys=tuple(Standby(**row) for row in await see("standbys", "seen_standbys")),
        slots=slots[0]["slots"] if slots else 0,
        held=await _held(connection),
        snapshots=tuple(Snapshot(**row) for row in await see("old snapshots", "seen_snapshots")),
        unseen=tuple(unseen),
    )


async def _held(connection: Any) -> tuple[Held, ...]:
    """Queues that a transaction holds; none if there is no store yet, or the role may not read it."""
    if not await connection.fetchval(
        "SELECT coalesce(has_schema_privilege(to_regnamespace('holdfast'), 'USAGE') AND"
        " has_table_privilege(to_regclass('holdfast.queue'), 'SELECT'), false)"
    ):
        return ()
    found = [Held(**row) for row in await connection.fetch(SQL["seen_held"], HELD_S)]
    if any(one.seconds is None and one.pid is not None for one in found):  # since when is hidden from this role: look again
        await asyncio.sleep(HELD_S)
        still = {(row["name"], row["pid"]) for row in await connection.fetch(SQL["seen_held"], HELD_S)}
        found = [one for one in found if (one.name, one.pid) in still]
    return tuple(found)


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
                if await _processes(connection) == {connection.get_server_pid()}:
                    await connection.execute(_OWN_NAMES)
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


async def _is_pooled(url: str, connection: Any) -> bool:
    """Whether a pooler stands between, which shares the server's connections among sessions or does not carry their settings."""
    served = await _processes(connection)
    if len(served) > 1 or await _is_pgpool(connection):
        return True
    if served == {connection.get_server_pid()}:
        return False
    try:
        another = await connect(url, READER)
    except Pooled:
        return True
    except StoreUnavailable:  # a standby; what is there to tell is told of it
        return False
    try:
        await another.execute("BEGIN")  # where they are shared it keeps a server connection: the one given back last
        return await _processes(another) == served or await _processes(connection) != served
    finally:
        another.terminate()


async def _processes(connection: Any) -> set[int]:
    """Which processes of the server answer this session."""
    return {await connection.fetchval("SELECT pg_catalog.pg_backend_pid()") for _ in range(_LOOKS)}


async def _is_pgpool(connection: Any) -> bool:
    """Pgpool-II passes the process number on; it alone answers this."""
    try:
        await connection.fetch("SHOW pool_version")
    except asyncpg.PostgresError:
        return False
    return True
