"""Opening the file: the required SQLite version, the settings that make a commit durable (read back, not assumed), and
migrations.
"""

import contextlib
import errno
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import apsw

from holdfast import __version__
from holdfast.logs import structlog
from holdfast.stores import positional
from holdfast.stores.sqlite.files import UnfitPlace, free_bytes
from holdfast.stores.steps import Step

APPLICATION_ID = 0x486F6C64  # "Hold"
_WAL_RESET_FIXED = (3_051_003, 3_053_000)  # 3.52 was withdrawn; backports to older branches are named apart
_WAL_RESET_BACKPORTS = {3_050: 3_050_007, 3_044: 3_044_006}
_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_CACHE_KIB = 32 << 10
_STATEMENTS = 512  # apsw's most: its cache is cyclic, so a batch of 256 rows would evict what it needs next
_BUSY_MS = 5_000
_CHECKPOINT_PAGES = 1_000  # 4 MB of WAL: 6 ms at worst
_APART_PAGES = 8_000  # 32 MB, by one very large payload: checkpointed in a turn of the loop of its own, after the answer
ROOM_BYTES = 1 << 20  # what a step takes that only adds a table or a column
_FOLDER = files(__package__) / "migrations"
_FUNCTIONS: dict[str, Any] = {
    "extras_by_name": positional.extras,
    "receipts_by_name": positional.receipts,
    "schedule_by_name": positional.schedule,
}
"""What the steps of the schema have this program work out, by the names that they use."""
log = structlog.get_logger(__name__)


def check_version(number: int) -> None:
    """Raise `UnfitPlace` on a SQLite in which two connections can corrupt a WAL (https://sqlite.org/wal.html#walresetbug)."""
    branch = number // 1_000
    fixed = (
        number >= _WAL_RESET_FIXED[1]
        or _WAL_RESET_FIXED[0] <= number < 3_052_000
        or number >= _WAL_RESET_BACKPORTS.get(branch, number + 1)
    )
    if number >= 3_007_000 and not fixed:
        text = f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"
        raise UnfitPlace(
            f"SQLite {text} has the WAL-reset bug, which can lose commits. Install apsw 3.51.3 or newer (not 3.52)."
        )


def open_writer(target: str) -> apsw.Connection:
    """The one connection that writes and checkpoints. `target` is a path or ":memory:"."""
    check_version(apsw.SQLITE_VERSION_NUMBER)
    connection = apsw.Connection(target, statementcachesize=_STATEMENTS)
    try:
        _prepare(connection, target == ":memory:")
    except (apsw.FullError, apsw.IOError) as error:
        full = isinstance(error, apsw.FullError) or no_room(connection)
        connection.close()
        if not full:
            raise
        raise UnfitPlace(
            f"The disk is full: {target} can't be opened. A store of an earlier version needs about as much room again while it is brought to the "
            "newer schema. Nothing is lost: make room and start again."
        ) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: apsw.Connection, memory: bool) -> None:
    connection.set_busy_timeout(_BUSY_MS)
    check_owner(connection)  # first: the pragmas below change the file
    _demand(connection, "journal_mode", "memory" if memory else "wal", "MEMORY" if memory else "WAL")
    _demand(connection, "synchronous", 2, "FULL")
    connection.set_wal_hook(partial(_checkpoint, None))
    _demand(connection, "cache_size", -_CACHE_KIB, str(-_CACHE_KIB))
    _demand(connection, "cell_size_check", 1, "ON")
    _demand(connection, "trusted_schema", 0, "OFF")
    _plan_once(connection)
    forget_statistics(connection)
    migrate(connection)
    connection.execute("BEGIN IMMEDIATE; UPDATE counter SET value = value; COMMIT")  # the log file is there from now on


def forget_statistics(connection: apsw.Connection, wait_ms: int = _BUSY_MS) -> None:
    """Remove what ANALYZE left, which anybody may run on the file: a table that was counted while it had one row would be walked for every job from then
    on. By a connection of its own, so that all others notice and plan anew. Raises `apsw.BusyError` if another program writes for longer than that,
    `apsw.FullError` where there is no room, and `apsw.CantOpenError` where no more files can be opened.
    """
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1'").get:
        return
    beside = apsw.Connection(connection.filename)
    try:
        beside.set_busy_timeout(wait_ms)
        beside.execute("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0")
        beside.execute("BEGIN IMMEDIATE; DROP TABLE IF EXISTS sqlite_stat1; DROP TABLE IF EXISTS sqlite_stat4; COMMIT")
    except apsw.IOError as error:
        if no_room(beside):  # as of a quota
            raise apsw.FullError(str(error)) from error
        raise
    finally:
        beside.close()
    log.info("statistics that another program left in the store are removed: plans are made without")


def checkpoint_apart(connection: apsw.Connection, apart: Callable[[], None]) -> None:
    """Call `apart` from now on where a commit leaves more in the log than is brought into the file within it: `checkpoint` is then to be called
    soon.
    """
    connection.set_wal_hook(partial(_checkpoint, apart))


def _checkpoint(apart: Callable[[], None] | None, connection: apsw.Connection, name: str, pages: int) -> int:
    """Checkpoint the WAL, inline and on the writing connection alone. SQLite's automatic checkpoint would ignore an I/O error;
    this one fails the COMMIT. A full disk is not an error: the WAL keeps its content, and the next commit tries again.
    """
    if pages >= _APART_PAGES and apart is not None:
        apart()
    elif pages >= _CHECKPOINT_PAGES:
        checkpoint(connection, name)
    return apsw.SQLITE_OK


def checkpoint(connection: apsw.Connection, name: str = "main") -> None:
    """Checkpoint the WAL now; raises on an error other than a full disk."""
    try:
        connection.wal_checkpoint(name)
    except (apsw.FullError, apsw.BusyError):
        pass
    except apsw.IOError:
        if not no_room(connection):
            raise


def no_room(connection: apsw.Connection) -> bool:
    """Whether an I/O error was a quota or a file size limit: like a full disk, but SQLite reports only ENOSPC as such."""
    return connection.system_errno in _NO_ROOM


def open_reader(path: Path) -> apsw.Connection:
    """A connection that can only read, and never checkpoints."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=64)
    try:
        connection.set_busy_timeout(_BUSY_MS)
        _demand(connection, "query_only", 1, "ON")
        _demand(connection, "wal_autocheckpoint", 0, "0")
        _demand(connection, "cache_size", -8_192, "-8192")
        _plan_once(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def migrations() -> list[tuple[int, str]]:
    """Numbered scripts, oldest first."""
    scripts = [(int(entry.name[:3]), entry.read_text()) for entry in _FOLDER.iterdir() if entry.name.endswith(".sql")]
    return sorted(scripts)


def check_owner(connection: apsw.Connection) -> None:
    """Raise `UnfitPlace` on a file of another program or of a newer schema, without changing it."""
    owner = connection.pragma("application_id")
    version = connection.pragma("user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if owner not in (0, APPLICATION_ID) or (owner == 0 and tables):
        raise UnfitPlace(f"{connection.filename} is a SQLite file of another program.")
    if version > migrations()[-1][0]:
        raise UnfitPlace(too_new(connection, version))


def too_new(connection: apsw.Connection, version: int) -> str:
    """Why this Holdfast can't use a file, and the way back."""
    by = made_by(connection)
    return (
        f"{connection.filename} has schema {version}{f', which Holdfast {by} made' if by else ''}. This is Holdfast {__version__}, which knows up to "
        f"{migrations()[-1][0]}. Use the newer Holdfast. To go back, have that one write it out (`holdfast export`), and import it with this one into "
        "a new store (`holdfast import`)."
    )


def made_by(connection: apsw.Connection) -> str:
    """The version of Holdfast that brought the file to its schema; "" if it was not recorded, or can't be read."""
    with contextlib.suppress(apsw.Error):
        return str(connection.execute("SELECT holdfast FROM made_by").get or "")
    return ""


def migrate(connection: apsw.Connection) -> None:
    """Bring the file to the newest schema, in one transaction: it is the older store or the newer one, whatever happens meanwhile."""
    version = connection.pragma("user_version")
    due = [Step(number, script) for number, script in migrations() if number > version]
    if not due:
        return
    if version:
        jobs = connection.execute("SELECT count(*) FROM job").get
        _demand_room(connection, due)
        log.info("the store goes to a newer schema", schema=due[-1].number, before=version, jobs=jobs)
    begun = time.monotonic()
    for name, function in _FUNCTIONS.items():
        connection.create_scalar_function(name, function, 1, deterministic=True)
    try:
        connection.execute("BEGIN IMMEDIATE")
        for step in due:
            connection.execute(step.script)
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'made_by'").get:
            connection.execute("INSERT OR REPLACE INTO made_by(only_row, holdfast) VALUES (1, ?)", (__version__,))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {due[-1].number}; COMMIT")
    finally:
        for name in _FUNCTIONS:
            connection.create_scalar_function(name, None, 1)
    if version:
        log.info("the store has the newer schema", schema=due[-1].number, seconds=round(time.monotonic() - begun, 1))


def room_of(connection: apsw.Connection, due: Iterable[Step]) -> int:
    """About how many bytes the log grows by while these steps are done: what they write anew is as large as it was."""
    tables = sorted({table for step in due for table in step.rewrites})
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    pages = "SELECT sum(pgsize) FROM dbstat WHERE aggregate = 1 AND name = ?"
    return ROOM_BYTES + sum([connection.execute(pages, (table,)).get or 0 for table in tables if table in there])


def _demand_room(connection: apsw.Connection, due: list[Step]) -> None:
    """Raise `UnfitPlace` before the disk runs full."""
    needed, free = room_of(connection, due), free_bytes(Path(connection.filename).parent)
    if free < needed:
        raise UnfitPlace(
            f"{connection.filename} goes to a newer schema, for which the disk needs {needed} bytes free and has {free}. Nothing was changed: make room "
            "and start again."
        )


def _plan_once(connection: apsw.Connection) -> None:
    """Keep a statement's plan whatever values are bound to it. SQLite built with STAT4, as apsw's is, otherwise recompiles a
    statement for every value that is compared with an indexed column: 20 µs each
    (https://sqlite.org/queryplanner-ng.html#qpstab).
    """
    if connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1) != 1:
        raise UnfitPlace("SQLite does not keep its query plans stable.")


def _demand(connection: apsw.Connection, name: str, wanted: object, text: str) -> None:
    connection.execute(f"PRAGMA {name} = {text}")
    got = connection.pragma(name)
    if got != wanted:
        raise UnfitPlace(f"SQLite does not keep to PRAGMA {name} = {text}: it says {got!r}.")
