"""The SQLite store: one writing connection, with group commit by the committer in the same process.

Queues and their tallies are cached as last committed, and dropped when a transaction is rolled back: the rows are the truth.
Ids and fences grow for ever, also across restarts: no transaction is committed before the counters on disk are at or ahead of
them.

Errors sort into the three kinds of `stores/store.py`: FULL is `StorageFull` (SQLite has rolled back the transaction), anything
that leaves the outcome open (I/O, corruption) is `StoreBroken`, the rest is a defect.
"""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import apsw

from holdfast.errors import HoldfastError, StorageFull, StoreUnavailable
from holdfast.job.queue import Queue, QueuePolicy
from holdfast.job.registry import Roster
from holdfast.limits import NAMES_LOOK_S
from holdfast.messages.frame import A, Query
from holdfast.messages.views import Durability
from holdfast.stores.health import Health
from holdfast.stores.read_queue import Line, ReadQueue, line_of
from holdfast.stores.sqlite.cache import Cache
from holdfast.stores.sqlite.connect import checkpoint, checkpoint_apart, forget_statistics, no_room, open_reader, open_writer
from holdfast.stores.sqlite.files import (
    MEMORY_FILE_SYSTEMS,
    Disk,
    FileLock,
    UnfitPlace,
    check_place,
    file_system,
    make_folder,
    make_private,
    make_room,
    refuse_stray_log,
    sync_folder,
)
from holdfast.stores.sqlite.identity import FileIdentity
from holdfast.stores.sqlite.reader import SqliteReader
from holdfast.stores.sqlite.reads import Reads
from holdfast.stores.sqlite.single_writer import SingleWriter
from holdfast.stores.sqlite.sql import SQL
from holdfast.stores.sqlite.transaction import SqliteTransaction
from holdfast.stores.store import Prefetch, StoreBroken

_READERS = 3  # one of them for the keys
_BROKEN = (
    apsw.IOError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.CantOpenError,
    apsw.ProtocolError,
    apsw.ReadOnlyError,
    apsw.BusyError,
)


class SqliteStore(SingleWriter):
    """Jobs in one SQLite file, or in memory when `path` is None."""

    def __init__(self, path: Path | None, defaults: QueuePolicy, watermark_bytes: int = 0) -> None:
        self._path = path
        self._lock: FileLock | None = None
        self._disk: Disk | None = None
        self._reads: Reads | None = None
        self._closed = False
        self._failure: apsw.Error | None = None  # of a checkpoint that was not within a commit
        self.identity: FileIdentity | None = None
        self._turns = ReadQueue(1)
        self._damaged = threading.Event()  # a read found invalid UTF-8
        self._names_looked_at = -math.inf
        self.durability = Durability("memory")
        if path is not None:
            make_folder(path.parent)
            check_place(path.parent)
            refuse_stray_log(path)
            self._lock = FileLock(path)
        with contextlib.ExitStack() as undone:
            if self._lock is not None:
                undone.callback(self._lock.withdraw)
            try:
                self._open(path, defaults, watermark_bytes, undone)
            except apsw.Error as error:
                raise UnfitPlace(f"{path} can't be opened: {type(error).__name__}: {error}") from error
            undone.pop_all()
        self._own_reader = SqliteReader(self._writer, defaults, self._damaged.set)

    def _open(self, path: Path | None, defaults: QueuePolicy, watermark_bytes: int, undone: contextlib.ExitStack) -> None:
        if path is not None:
            if file_system(path.parent) not in MEMORY_FILE_SYSTEMS:
                self.durability = Durability("disk")
            make_private(path)  # before SQLite opens it: the WAL takes its mode from the file
        if path is not None:
            make_room(path)
        self._writer = open_writer(":memory:" if path is None else str(path))
        undone.callback(self._writer.close)
        self._cache = Cache(defaults)
        self._cache.load_counters(self._writer)
        self._cache.recover_queues(self._writer)
        self._cache.recover_names(self._writer)
        if path is not None:
            path.chmod(0o600)
            self._disk = Disk(path, watermark_bytes)  # the file is known to be ours now: creates the reserve beside it
            sync_folder(path.parent)
            readers: list[SqliteReader] = []
            for _ in range(_READERS):
                readers.append(SqliteReader(open_reader(path), defaults, self._damaged.set))
                undone.callback(readers[-1].close)
            self._reads = Reads(readers)
            self.identity = FileIdentity(path)
            checkpoint_apart(self._writer, self._checkpoint_soon)  # now that there is somebody who waits for an answer

    def transaction(self, expected: Prefetch | None = None) -> "_Begun":  # noqa: ARG002
        """Begin; leaving without `commit` rolls everything back. Only one process writes, so `Prefetch` is not used."""
        return _Begun(self, SqliteTransaction(self._writer, self._cache))

    def begin(self) -> None:
        """Take the write lock."""
        self._check_failure()
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:  # another program writes to our file; nothing was changed yet, so this is a definite no
            raise StoreUnavailable("Another program holds the store's write lock.", retry_after_ms=1_000) from None
        except apsw.Error as error:
            raise self.sort(error) from error

    def sort(self, error: BaseException) -> BaseException:
        """What an error of SQLite's means, by the three kinds."""
        if isinstance(error, apsw.FullError) or (isinstance(error, apsw.IOError) and no_room(self._writer)):
            return StorageFull("The disk is full.")
        if isinstance(error, _BROKEN):
            return StoreBroken(f"{type(error).__name__}: {error}")
        return error

    def undo(self) -> None:
        """Roll back, and forget what was remembered."""
        self._cache.forget()
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            self._cache.load_counters(self._writer)
        except apsw.Error as error:
            raise StoreBroken(f"the transaction could not be undone: {error}") from error

    def _checkpoint_soon(self) -> None:
        """The WAL holds more than is checkpointed within a commit."""
        if not self._closed:
            asyncio.get_running_loop().call_soon(self._checkpoint)

    def _checkpoint(self) -> None:
        try:
            if not self._closed:
                checkpoint(self._writer)
        except apsw.Error as error:  # reported by the next transaction or tick
            self._failure = error

    def _check_failure(self) -> None:
        if self._failure is not None:
            raise self.sort(self._failure) from self._failure

    async def next_due(self) -> int | None:
        """The earliest time at which a lease expires, a scheduled job is due, a waiting one expires, a schedule fires or an account has jobs to let go on."""
        names = ("earliest_until", "earliest_scheduled", "earliest_expiry", "earliest_schedule", "earliest_account")
        moments = [self._writer.execute(SQL[name]).get for name in names]
        return min((moment for moment in moments if moment is not None), default=None)

    async def read(self, query: Query[A], now: int) -> A:
        """Answer a query on a read connection, beside the writer; in memory, between its transactions."""
        if self._reads is None:
            return await self._read_between(query, now)
        try:
            return await self._reads.answer(query, now)
        except _BROKEN as error:
            raise StoreBroken(str(error)) from error

    async def _read_between(self, query: Query[A], now: int) -> A:
        """In memory there is one connection: expensive reads run one at a time, in short stretches."""
        if line_of(query) is not Line.DEAR:
            return self._own_reader.answer(query, now)
        await self._turns.take(Line.DEAR)
        try:
            return await SqliteReader(self._writer, self._cache.defaults, self._damaged.set).answer_in_stretches(query, now)
        finally:
            self._turns.give(Line.DEAR)

    def in_memory(self) -> tuple[Mapping[str, Queue], Roster] | None:
        """What is cached: it is as committed, since only this process writes."""
        return None if self._cache.workers is None else (self._cache.queues, self._cache.workers)

    def accepting(self) -> bool:
        """Whether there is disk space for new jobs."""
        return self._disk is None or self._disk.accepting

    def spend_reserve(self) -> bool:
        """Delete the reserve, so that leases can be ended."""
        return self._disk is not None and self._disk.spend_reserve()

    def health(self) -> Health:
        """Sizes and free space, measured now."""
        if self._path is None or self._disk is None:
            pages, size = self._writer.pragma("page_count"), self._writer.pragma("page_size")
            return Health(pages * size, 0, 0, True)
        self._disk.look(self._writer.pragma("freelist_count") * self._writer.pragma("page_size"))
        return Health(
            _size(self._path),
            _size(self._path.with_name(self._path.name + "-wal")),
            self._disk.free_bytes,
            self._disk.accepting,
        )

    async def produced_beside(self) -> bool:
        """Nobody else writes here."""
        return False

    async def tend(self) -> None:
        """Look at the disk, and whether the file is still there; raises `StoreBroken` where it is not. Names that were found damaged get others;
        statistics are removed.
        """
        self._check_failure()
        if self.identity is not None:
            self.identity.look()
        self.health()
        if not self._writer.in_transaction:
            with contextlib.suppress(apsw.BusyError, apsw.FullError, apsw.CantOpenError):  # then in a second
                forget_statistics(self._writer, wait_ms=0)
        if self._damaged.is_set() and time.monotonic() - self._names_looked_at > NAMES_LOOK_S:
            self._names_looked_at = time.monotonic()
            self._damaged.clear()
            with contextlib.suppress(HoldfastError):  # a disk that is full at the moment
                await self._recover_names()

    async def _recover_names(self) -> None:
        async with self.transaction() as tx:
            self._cache.recover_names(self._writer)
            if tx.wrote:
                await tx.commit()

    def let_go_of_cache(self) -> None:
        """Free the pages that are kept in memory and are not in use: the system has them too."""
        self._writer.release_memory()
        if self._reads is not None:
            self._reads.let_go_of_cache()

    async def close(self) -> None:
        """Let go of the file, in a thread: a read may be stuck, and a second signal then ends the server."""
        self._closed = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        """Readers first, so that the writer's end tidies up the WAL."""
        if self._reads is not None:
            self._reads.close()
        with contextlib.suppress(apsw.Error):  # on a full disk the next start has a gap in its numbers
            self._cache.settle_counters(self._writer)
        self._writer.close()
        if self.identity is not None:
            self.identity.close()
        if self._lock is not None:
            self._lock.release()


class _Begun:
    """A transaction from its begin to its end; a class, because a generator would cost each commit three times as much."""

    __slots__ = ("_store", "_tx")

    def __init__(self, store: SqliteStore, tx: SqliteTransaction) -> None:
        self._store, self._tx = store, tx

    async def __aenter__(self) -> SqliteTransaction:
        self._store.begin()
        return self._tx

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        store = self._store
        if error is None:
            if not self._tx.committed:
                store.undo()
            if store.identity is not None:
                store.identity.confirm()  # a commit into a file that is no longer the store's is not answered
            return
        sorted_as = store.sort(error)  # before another call overwrites the last system error
        store.undo()
        if sorted_as is not error:
            raise sorted_as from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
