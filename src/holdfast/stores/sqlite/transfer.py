"""A store file as the source or the target of a move; see `stores/transfer.py`. The file is locked against servers meanwhile.

A target is written to a temporary file and renamed when it is complete, verified and flushed, as a backup is.
"""

import errno
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from holdfast.stores.sqlite.connect import open_writer
from holdfast.stores.sqlite.copies import part_of, remove_part
from holdfast.stores.sqlite.files import (
    FileLock,
    UnfitPlace,
    check_place,
    check_regular,
    make_private,
    refuse_stray_log,
    sync_folder,
)
from holdfast.stores.sqlite.maintenance import open_store, problems_of
from holdfast.stores.transfer import PAGE_BYTES, PAGE_ROWS, SETTLE_AUDIT, SUMS, CantMove, Counters, Row, Table


class SqliteSource:
    """A file that no server has open."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    async def pages(self, table: Table) -> AsyncIterator[list[Row]]:
        """All rows in the order of their key, some at a time."""
        columns = ", ".join(f'"{name}"' for name in table.columns)
        key = ", ".join(f'"{name}"' for name in table.columns[: table.key])
        heavy = table.columns.index(table.heavy) if table.heavy else None
        page: list[Row] = []
        size = 0
        for row in self._db.execute(f"SELECT {columns} FROM {table.name} ORDER BY {key}"):  # noqa: S608  (names of our own)
            weight = len(row[heavy]) if heavy is not None and row[heavy] is not None else 0
            if page and (len(page) >= PAGE_ROWS or size + weight > PAGE_BYTES):
                yield page
                page, size = [], 0
            page.append(row)
            size += weight
        if page:
            yield page

    async def sums(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Jobs and bytes by queue and state."""
        return {(row[0], row[1]): (row[2], row[3]) for row in self._db.execute(SUMS)}

    async def counters(self) -> Counters:
        """The last ids used."""
        found = dict(self._db.execute("SELECT name, value FROM counter"))
        audit = self._db.execute("SELECT last, removed FROM audit_tally").fetchone() or (0, 0)
        return Counters(found["job"], found["fence"], found["interests"], found["keys"], *audit)

    async def problems(self) -> list[str]:
        """What is wrong with the file."""
        return problems_of(self._db)


class SqliteTarget(SqliteSource):
    """A file that does not exist yet."""

    def __init__(self, connection: apsw.Connection, part: Path, target: Path) -> None:
        super().__init__(connection)
        self._part = part
        self._target = target
        self._db.execute("BEGIN IMMEDIATE")

    async def take(self, table: Table, rows: list[Row]) -> None:
        """Add rows."""
        columns = ", ".join(f'"{name}"' for name in table.columns)
        places = ", ".join("?" * len(table.columns))
        self._db.executemany(f"INSERT INTO {table.name}({columns}) VALUES ({places})", rows)  # noqa: S608  (names of our own)

    async def settle(self, counters: Counters) -> None:
        """Take over the counters."""
        for name in ("job", "fence", "interests", "keys"):
            self._db.execute("UPDATE counter SET value = ? WHERE name = ?", (getattr(counters, name), name))
        self._db.execute(SETTLE_AUDIT.format(row="1", last="?", removed="?"), (counters.audit, counters.audit_removed))

    async def commit(self) -> None:
        """Flush it and rename it into place."""
        self._db.execute("COMMIT")
        self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._db.close()
        with self._part.open("rb") as whole:
            os.fsync(whole.fileno())
        self._part.rename(self._target)
        sync_folder(self._target.absolute().parent)


def _look_at(path: Path) -> None:
    """Raises `CantMove` if that can't be done, or if it is no file."""
    try:
        check_regular(path)
    except UnfitPlace as error:
        raise CantMove(str(error)) from None


@contextmanager
def source(path: Path) -> Iterator[SqliteSource]:
    """Have the file to oneself and read it; raises `CantMove`."""
    _look_at(path)
    if not path.exists():
        raise CantMove(f"{path} is not there.")
    lock = _locked(path)
    try:
        connection = open_store(path)
        try:
            connection.execute("BEGIN")
            yield SqliteSource(connection)
        finally:
            connection.close()
    except UnfitPlace as error:
        raise CantMove(str(error)) from None
    except apsw.Error as error:
        raise CantMove(f"{path} can't be read: {error}.") from None
    finally:
        lock.withdraw()


def check_free(path: Path) -> None:
    """Raises `CantMove` where a file can't be made there."""
    _look_at(path)
    if path.exists():
        raise CantMove(f"{path} is there already; a move never overwrites.")
    if not path.absolute().parent.is_dir():
        raise CantMove(f"The folder of {path} is not there.")
    try:
        refuse_stray_log(path)
        check_place(path.absolute().parent)
    except UnfitPlace as error:
        raise CantMove(str(error)) from None
    if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        raise CantMove(f"{path} can't be written: {os.strerror(errno.EACCES)}.")


@contextmanager
def target(path: Path) -> Iterator[SqliteTarget]:
    """A new file to be filled; raises `CantMove`. What was not committed is removed."""
    check_free(path)
    part = part_of(path)
    try:
        lock = _locked(path, new=True)
        try:
            remove_part(part)
            make_private(part)
            connection = open_writer(str(part))
            try:
                yield SqliteTarget(connection, part, path)
            finally:
                connection.close()
                remove_part(part)
        except BaseException:
            lock.withdraw()
            raise
        lock.release()
    except UnfitPlace as error:
        raise CantMove(str(error)) from None
    except (apsw.Error, OSError) as error:
        raise CantMove(f"{path} can't be written: {error}.") from None


def _locked(path: Path, *, new: bool = False) -> FileLock:
    try:
        return FileLock(path, new=new)
    except UnfitPlace as error:
        raise CantMove(str(error)) from None
    except OSError as error:
        raise CantMove(f"{path} can't be locked: {error.strerror}.") from None
