"""Copies of a store file: made while a server uses it, and put in place of one that is lost.

    backup     store ──▶ NAME.part ──▶ verified ──▶ flushed ──▶ NAME
    restore    backup ─▶ NAME.part ──▶ of the newest schema, verified, numbers ahead ──▶ flushed ──▶ NAME

Whatever ends either of them before the last arrow leaves NAME as it was, and a `.part` that the next one removes.
"""

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from holdfast.limits import ID_MAX, NUMBERS_AHEAD
from holdfast.stores.sqlite.connect import check_owner, open_writer
from holdfast.stores.sqlite.files import (
    FileLock,
    UnfitPlace,
    check_place,
    free_bytes,
    make_folder,
    make_private,
    refuse_stray_log,
    sync_folder,
)
from holdfast.stores.sqlite.maintenance import open_store, problems_in, problems_of

_FLUSH_S = 0.02
_STEPS = 4_000  # of SQLite: some milliseconds
_MOMENT = "%Y-%m-%dT%H-%M-%SZ"
_KEPT = re.compile(r"(?P<stem>.+)-(?P<moment>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ)\.db", re.ASCII)
_PART = ".part"
_PART_LOGS = ("", "-wal", "-shm", "-journal")
_STATES = ("scheduled", "ready", "leased", "concluded", "dead", "cancelled")
_MADE = ("job", "queue", "schedule")
"""Where a store has a row that nobody may overwrite; keys and the audit log of a new server are replaced."""


class Restored(msgspec.Struct, frozen=True):
    """What a restored store has; `newest_at` is when the last job in it was enqueued or ended, in milliseconds, None without any."""

    jobs: dict[str, int]
    queues: int
    schedules: int
    keys: int
    newest_at: int | None


def backup(source: Path, target: Path, spare_bytes: int = 0, *, gently: bool = False) -> None:
    """Copy `source` to a new file `target`: one consistent snapshot, verified, fsynced, and only then renamed into place. On the store's own
    disk `spare_bytes` have to stay free. `gently`: the disk and the processor are left to others for half of the time.
    """
    if target.exists():
        raise FileExistsError(f"{target} exists already; a backup never overwrites.")
    if not target.absolute().parent.is_dir():
        raise UnfitPlace(f"The folder of {target} is not there.")
    refuse_stray_log(target)
    part = part_of(target)
    remove_part(part)
    try:
        _copy(source, part, spare_bytes, gently=gently)
        problems = problems_in(part, problems_of)  # a schedule that can't fire is copied as it is
        if problems:
            raise UnfitPlace(f"the copy is not sound: {problems[0]}")
        _install(part, target)
    finally:
        remove_part(part)


def restore(copy: Path, target: Path) -> Restored:
    """Put a backup at `target`, where there is no store with jobs and no server; raises `UnfitPlace`."""
    open_store(copy, older=True).close()  # before anything is made for it
    make_folder(target.parent)
    check_place(target.parent)
    if target.exists() and copy.samefile(target):
        raise UnfitPlace(f"{copy} is the store itself, not a backup of it.")
    lock = FileLock(target, new=not target.exists())
    part = part_of(target)
    try:
        _refuse_to_overwrite(target)
        remove_part(part)
        _copy(copy, part, older=True)
        restored = _prepared(copy, part)
        _give_to_owner(part, target.with_name(target.name + ".lock"))
        _remove_log(target)
        _install(part, target)
    except BaseException as error:
        remove_part(part)
        lock.withdraw()
        if isinstance(error, apsw.Error):
            raise UnfitPlace(f"{copy} could not be restored: {error}") from None
        raise
    lock.release()
    return restored


class Kept(NamedTuple):
    """A scheduled backup: when it was begun, of which store (the name of its file without its ending), and where it is."""

    at: datetime
    stem: str
    path: Path


def kept_name(store: Path, at: datetime) -> str:
    """What a scheduled backup of this store at this moment is called; such names sort by time."""
    return f"{store.stem}-{at.astimezone(UTC).strftime(_MOMENT)}.db"


def kept_backups(folder: Path, now: datetime) -> list[Kept]:
    """The scheduled backups in a folder, the oldest first. One of a moment after `now` was made while the clock was ahead, before it was set
    back: it is older than all others.
    """
    found = [
        one
        for path in folder.iterdir()
        if (one := _kept(path, path.name)) is not None and path.is_file() and not path.is_symlink()
    ]
    return sorted(found, key=lambda one: (one.at <= now, one.at))


def remove_parts(folder: Path, stem: str) -> None:
    """Remove what interrupted backups of this store have left."""
    for path in folder.iterdir():
        name, ending, log = path.name.rpartition(_PART)
        if ending and log in _PART_LOGS and (one := _kept(path, name)) is not None and one.stem == stem:
            path.unlink(missing_ok=True)


def _kept(path: Path, name: str) -> Kept | None:
    if (match := _KEPT.fullmatch(name)) is None:
        return None
    try:
        return Kept(datetime.strptime(match["moment"], _MOMENT).replace(tzinfo=UTC), match["stem"], path)
    except ValueError:  # a month that there is not
        return None


def newest_backup(folder: Path) -> Path:
    """The newest of the scheduled backups in a folder; raises `UnfitPlace` without any, if they are of several stores, and where the clock leaves
    open which one it is.
    """
    now = datetime.now(UTC)
    found = kept_backups(folder, now)
    if not found:
        raise UnfitPlace(f"There is no backup in {folder} with a name as `--backup-to` gives it; name the file.")
    stems = sorted({one.stem for one in found})
    if len(stems) > 1:
        raise UnfitPlace(f"{folder} has backups of several stores ({', '.join(stems)}); name the file.")
    if found[0].at > now:
        raise UnfitPlace(
            f"{found[0].path} is of a moment that is yet to come: a clock was ahead, or this machine's is behind, so that names don't tell which "
            "backup is the newest; name the file."
        )
    return found[-1].path


def part_of(target: Path) -> Path:
    """Where a file is made that is not whole yet."""
    return target.with_name(target.name + _PART)


def remove_part(part: Path) -> None:
    """Remove what an interrupted copy has left."""
    for log in _PART_LOGS:
        part.with_name(part.name + log).unlink(missing_ok=True)


def _copy(source: Path, part: Path, spare_bytes: int = 0, *, older: bool = False, gently: bool = False) -> None:
    connection = open_store(source, older=older)
    try:
        _demand_room(connection, source, part.absolute().parent, spare_bytes)
        make_private(part)
        connection.execute("PRAGMA query_only = OFF")  # it forbids this too; the connection itself can only read
        if gently:
            connection.set_progress_handler(_Pace().rest, _STEPS)
        with _flushed_steadily(part):
            connection.execute("VACUUM INTO ?", (str(part),))
    except apsw.Error as error:
        raise UnfitPlace(f"{source} could not be copied: {error}") from None
    finally:
        connection.close()


def _demand_room(connection: apsw.Connection, source: Path, folder: Path, spare_bytes: int) -> None:
    """Raise `UnfitPlace` before a copy fills a disk: on the store's own one new jobs would be refused."""
    needed = (connection.pragma("page_count") - connection.pragma("freelist_count")) * connection.pragma("page_size")
    if folder.stat().st_dev == source.stat().st_dev:
        needed += spare_bytes
    free = free_bytes(folder)
    if free < needed:
        raise UnfitPlace(f"{folder} has {free} bytes free, and the copy of {source} needs {needed}.")


class _Pace:
    """Sleeps for as long as was worked, again and again."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def rest(self) -> bool:
        """Called by SQLite every so many steps; False: go on."""
        time.sleep(time.monotonic() - self._since)
        self._since = time.monotonic()
        return False


@contextmanager
def _flushed_steadily(part: Path) -> Iterator[None]:
    """Flush what is written as it comes. If a disk gets a whole gigabyte at once, the commits of a server beside it wait half a second."""
    over = threading.Event()
    descriptor = os.open(part, os.O_RDONLY | os.O_CLOEXEC)

    def flush() -> None:
        while not over.wait(_FLUSH_S):
            with suppress(OSError):  # an error of the disk is found again by the last flush
                os.fdatasync(descriptor)

    flushing = threading.Thread(target=flush, daemon=True)
    flushing.start()
    try:
        yield
    finally:
        over.set()
        flushing.join()
        os.close(descriptor)


def _refuse_to_overwrite(target: Path) -> None:
    refuse_stray_log(target)
    if not target.exists():
        return
    connection = apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        check_owner(connection)
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        for table in _MADE:
            count = connection.execute(f"SELECT count(*) FROM {table}").get if table in there else 0  # noqa: S608  (names of our own)
            if count:
                raise UnfitPlace(
                    f"{target} has {count} {table}{'s' if count > 1 else ''}; a restore never overwrites. Move it away together with "
                    f"{target.name}-wal and {target.name}-shm, or restore to another place."
                )
    except apsw.Error as error:
        raise UnfitPlace(f"{target} is there, and can't be read ({error}); a restore never overwrites. Move it away.") from None
    finally:
        connection.close()


def _prepared(copy: Path, part: Path) -> Restored:
    """Bring the copy to this version's schema, verify it, and set its counters ahead of every number that may have been given since."""
    connection = open_writer(str(part))
    try:
        problems = problems_of(connection)
        if problems:
            more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
            raise UnfitPlace(f"{copy} is not sound: {problems[0].rstrip('.')}{more}. `holdfast check` names all of it.")
        for name in ("job", "fence"):
            connection.execute("UPDATE counter SET value = min(value + ?, ?) WHERE name = ?", (NUMBERS_AHEAD, ID_MAX - 1, name))
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        return _told(connection)
    finally:
        connection.close()


def _told(connection: apsw.Connection) -> Restored:
    sums: Any = connection.execute(
        "SELECT sum(scheduled), sum(ready), sum(leased), sum(concluded), sum(dead), sum(cancelled) FROM queue"
    ).fetchone()
    newest = connection.execute(
        "SELECT max(at) FROM (SELECT max(created_at) AS at FROM job UNION ALL SELECT max(ended_at) FROM ended)"
    ).get

    def count(table: str) -> int:
        return int(connection.execute(f"SELECT count(*) FROM {table}").get)  # noqa: S608  (names of our own)

    return Restored(
        {state: count or 0 for state, count in zip(_STATES, sums, strict=True)},
        count("queue"),
        count("schedule"),
        count("access_key"),
        newest,
    )


def _give_to_owner(*made: Path) -> None:
    """A restore by root makes files that the server's user has to open."""
    folder = made[0].parent.stat()
    if os.geteuid() == 0 and folder.st_uid != 0:
        for path in made:
            os.chown(path, folder.st_uid, folder.st_gid)


def _remove_log(target: Path) -> None:
    """An old log beside a new file would be played into it."""
    for name in (target.name + "-wal", target.name + "-shm"):
        with suppress(FileNotFoundError):
            target.with_name(name).unlink()
    sync_folder(target.absolute().parent)


def _install(part: Path, target: Path) -> None:
    with part.open("rb") as whole:
        os.fsync(whole.fileno())
    part.rename(target)
    sync_folder(target.absolute().parent)
