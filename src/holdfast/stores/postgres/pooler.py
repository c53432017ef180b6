"""A pooler between Holdfast and PostgreSQL, as each connection finds it out at its start: it refuses, or drops, what a session of Holdfast sets.

A session needs its own settings (`connect.py`), its `LISTEN`, its prepared statements and its advisory lock on one connection of
the server. PgBouncer carries a few settings of a session and refuses to start one with others, unless it is told to drop them. Without
them a batch finds no table, or waits for a lock without end. So no connection is used that has lost one.
"""

from collections.abc import Mapping
from typing import Any

import asyncpg

from holdfast.errors import StoreUnavailable
from holdfast.stores.postgres.sql import SQL

DIRECT = (
    "Name the database itself in --store: on Neon the host without -pooler, on Azure and Cloud SQL port 5432 and not 6432, on RDS the "
    "instance and not its proxy. A node needs at most eight connections; HAProxy in TCP mode is no pooler and may stay."
)
_OF_THE_SOCKET = "tcp_keepalives_"  # what the server reports of these is what its socket has: 0 on a Unix socket


class Pooled(StoreUnavailable):
    """It is not PostgreSQL itself that answers, but a pooler that does not keep a session whole."""

    def __init__(self, what: str) -> None:
        super().__init__(f"A connection pooler such as PgBouncer stands between Holdfast and PostgreSQL: {what}. {DIRECT}")


def refused(error: BaseException) -> Pooled | None:
    """What a pooler says to a session that brings settings of its own."""
    if isinstance(error, asyncpg.ProtocolViolationError) and "startup parameter" in str(error):
        return Pooled(f"it refuses what a session sets ({str(error).strip()})")
    return None


async def keep_whole(connection: Any, settings: Mapping[str, str]) -> None:
    """Raises `Pooled` where a setting that this session asked for is not in force."""
    asked = {name: value for name, value in settings.items() if not name.startswith(_OF_THE_SOCKET)}
    try:
        found = await connection.fetch(SQL["seen_settings"], list(asked))
    except (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError) as error:
        raise Pooled("a prepared statement of this session is not there any more") from error
    lost = sorted(row["name"] for row in found if _plain(row["setting"]) != _plain(asked[row["name"]]))
    if lost:
        raise Pooled(f"it drops what a session sets ({', '.join(lost)})")


def _plain(value: str) -> str:
    """A list is the same with blanks after its commas, which some ways to set it leave there."""
    return value.replace(", ", ",")
