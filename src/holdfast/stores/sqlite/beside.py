"""A transaction on a store file that a server has open: for data that is not cached by the server, such as access keys.

The server caches its queues and ids, and those are not touched here. SQLite's lock separates the two; the server waits for it
when it begins its next transaction. The WAL is left for the server to checkpoint.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw

from holdfast.auth.keys import Key
from holdfast.job.queue import QueuePolicy
from holdfast.stores import rows
from holdfast.stores.sqlite.cache import Cache
from holdfast.stores.sqlite.connect import check_owner, check_version, migrations
from holdfast.stores.sqlite.files import UnfitPlace
from holdfast.stores.sqlite.sql import SQL
from holdfast.stores.sqlite.transaction import SqliteTransaction

_BUSY_MS = 10_000
_SINCE = 8  # the version of the schema that has access keys


@contextlib.contextmanager
def transaction_beside(path: Path) -> Iterator[SqliteTransaction]:
    """A transaction that is committed at the end, and rolled back on an exception. Raises `UnfitPlace` for a file of another
    version.
    """
    check_version(apsw.SQLITE_VERSION_NUMBER)
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(_BUSY_MS)
        check_owner(connection)
        if connection.pragma("user_version") != migrations()[-1][0]:
            raise UnfitPlace(f"{path} is in use by a server of another version of Holdfast; use the one that it is of.")
        for statement in ("PRAGMA synchronous = FULL", "PRAGMA wal_autocheckpoint = 0", "BEGIN IMMEDIATE"):
            connection.execute(statement).fetchall()
        yield SqliteTransaction(connection, Cache(QueuePolicy()))
        connection.execute("COMMIT")
    finally:
        connection.close()  # which rolls back what is not committed


def keys_beside(path: Path) -> list[Key]:
    """All access keys of a store file, whether or not a server has it open."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(_BUSY_MS)
        check_owner(connection)
        return (
            [] if connection.pragma("user_version") < _SINCE else [rows.key_of(row) for row in connection.execute(SQL["keys"])]
        )
    finally:
        connection.close()
