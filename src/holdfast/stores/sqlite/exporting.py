"""A store file that is exported, whether or not a server uses it; see `stores/exporting.py`."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import apsw

from holdfast.stores.sqlite.files import UnfitPlace
from holdfast.stores.sqlite.maintenance import open_store
from holdfast.stores.sqlite.reader import SqliteSnapshot
from holdfast.stores.sqlite.sql import SQL


class SqliteExport:
    """See `ExportSource`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[SqliteSnapshot]:
        """One snapshot."""
        self._db.execute("BEGIN")
        try:
            yield SqliteSnapshot(self._db, lambda: None)
        finally:
            self._db.execute("ROLLBACK")

    async def numbers(self) -> tuple[int, int]:
        """The last ids used; a server that runs has stored them some way ahead."""
        counters = dict(self._db.execute(SQL["counters"]))
        return counters["job"], counters["fence"]

    async def not_taken_in(self, up_to: int) -> int:  # noqa: ARG002
        """None: a file has no inbox."""
        return 0


@contextmanager
def source(path: Path) -> Iterator[SqliteExport]:
    """Open it; raises `UnfitPlace`."""
    connection = open_store(path)
    try:
        yield SqliteExport(connection)
    except apsw.Error as error:
        raise UnfitPlace(f"{path} can't be read: {error}") from None
    finally:
        connection.close()
