"""Connections to PostgreSQL: the settings that each kind of them sets itself, whatever the role's or the database's defaults
are.

    writer   one: the batches. Nothing can cancel what it does: a cancelled wait for a standby is reported as success.
    readers  a few: queries, read-only, given up after a while; one more for the looks at the access keys
    aside    one: hints between nodes, beats, the look at the standbys; its commits wait for nothing, and nothing depends on them

The planner is forced to find rows by whole keys, in loops. With its statistics it scans a small index once for each item of a
batch, because the tables are empty one moment and full the next.
"""

import asyncio
import contextlib
import socket
from typing import Any

import asyncpg

from holdfast.errors import StoreUnavailable
from holdfast.logs import structlog
from holdfast.stores.postgres.hosts import reach
from holdfast.stores.postgres.pooler import keep_whole
from holdfast.stores.postgres.sql import STATEMENTS_KEPT

log = structlog.get_logger(__name__)

STATEMENT_S = 15.0  # all of a batch's statements; the commit has its own timeout
LOCK_MS = 1_000  # then `held_queues.py` takes over
READ_MS = 5_000
READERS = 4
_OLDEST = 15  # versions are tested from here on

_PLANS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "max_parallel_workers_per_gather": "0",  # PostgreSQL 15 and 16 would rather walk a whole index with two than a part of it alone
    "random_page_cost": "1.1",  # as if it were dear, a whole index is walked in the order of the table rather than a part of another
    "jit": "off",
}
ALWAYS = {
    "search_path": "holdfast,pg_temp",
    "timezone": "UTC",
    "standard_conforming_strings": "on",
    "array_nulls": "on",  # numbers are passed as one text
    "default_transaction_isolation": "read committed",
    "client_min_messages": "warning",  # a warning while committing must be heard
    "client_connection_check_interval": "0",  # a socket that closes must not end a wait for a standby
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "10000",  # a node that stops in the middle must not hold queues, or old rows, for longer
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
_KEPT_ALIVE = {
    socket.TCP_KEEPIDLE: 5,  # s
    socket.TCP_KEEPINTVL: 2,  # s
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 10_000,  # ms that what was sent may stay without a sign that it arrived
}
"""The same from our side, which the server's settings do not reach."""
WRITER = (
    ALWAYS
    | _PLANS
    | {
        "application_name": "holdfast",
        "statement_timeout": "0",
        "lock_timeout": str(LOCK_MS),
    }
)
READER = (
    ALWAYS
    | _PLANS
    | {
        "application_name": "holdfast-read",
        "statement_timeout": str(READ_MS),
    }
)
ASIDE = ALWAYS | {
    "application_name": "holdfast-aside",
    "synchronous_commit": "off",
    "statement_timeout": "5000",
    "lock_timeout": "2000",
}

GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the error for a connection that broke while it was idle
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    asyncpg.TargetServerAttributeNotMatched,
    OSError,
    TimeoutError,
)
"""After these the connection is of no use any more, or none could be made."""

IN_THE_WAY = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
)
"""Another node was first; nothing was changed."""


class UncancellableConnection(asyncpg.Connection):  # type: ignore[misc, type-arg, unused-ignore]
    """A connection that never sends a CancelRequest. Where asyncpg would (a timeout, a cancelled task) it closes the socket
    instead: the server keeps waiting for its standbys, and the commit is not reported as done. It records whether the server
    has sent a warning.
    """

    __slots__ = ("warnings",)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.warnings: list[str] = []
        _keep_alive(args[1].get_extra_info("socket"))

    def _cancel_current_command(self, waiter: Any, cancel_waiter: Any = None) -> None:
        for one in (waiter, cancel_waiter):
            if one is not None and not one.done():
                one.set_result(None)
        self.terminate()

    def _process_log_message(self, fields: Any, last_query: Any) -> None:
        """Every notice but the harmless kinds; the text is translated, so that only the severity counts."""
        severity = fields.get("V") or fields.get("S") or "?"
        if severity not in ("DEBUG", "LOG", "INFO", "NOTICE"):
            self.warnings.append(f"{severity} {fields.get('C')}: {fields.get('M')}")
        super()._process_log_message(fields, last_query)  # type: ignore[misc]


def _keep_alive(wire: Any) -> None:
    """Detect a vanished peer while the connection is idle, as a reader's is.

    A stopped server on a running kernel is not detected; the timeouts on every call cover that.
    """
    if wire is None or wire.family not in (socket.AF_INET, socket.AF_INET6):
        return
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEPT_ALIVE.items():
        wire.setsockopt(socket.IPPROTO_TCP, option, value)


async def connect(url: str, settings: dict[str, str], unwavering: bool = False) -> Any:
    """One connection to the server that takes writes, among all that the URL names; raises `StoreUnavailable`, within `CONNECT_S`."""
    kind: Any = UncancellableConnection if unwavering else asyncpg.Connection
    return await reach(
        url,
        greet=lambda connection: _look_at(connection, settings),
        server_settings=settings,
        connection_class=kind,
        statement_cache_size=STATEMENTS_KEPT,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=0,
    )


async def _look_at(connection: Any, settings: dict[str, str]) -> None:
    version = connection.get_server_version()
    if version.major < _OLDEST:
        raise StoreUnavailable(f"PostgreSQL {version.major} is too old: Holdfast needs {_OLDEST} or newer.")
    if connection.get_settings().server_encoding.upper() != "UTF8":
        raise StoreUnavailable("The database's encoding must be UTF8.")
    await keep_whole(connection, settings)
    if version.major >= 17:
        await connection.execute("SET transaction_timeout = 0")


async def close(connection: Any) -> None:
    """Terminate the connection if that is quick, else just close the socket. Never cancels."""
    if connection is None or connection.is_closed():
        return
    with contextlib.suppress(Exception):
        async with asyncio.timeout(1.0):
            await connection.execute("ROLLBACK") if connection.is_in_transaction() else None
    connection.terminate()
