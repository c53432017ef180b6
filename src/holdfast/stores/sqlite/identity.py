"""Whether the files that are written to are still the ones at the store's path.

An open file continues to exist when its name is removed or reused: commits then succeed, and are lost with the process. So the
names are looked up again after every commit, before it is answered, and with every tick; after a commit only if the kernel has
not been watching them, or has reported a change.
"""

import errno
import os
from pathlib import Path

from holdfast.stores.sqlite.files import file_system
from holdfast.stores.sqlite.notices import Notices
from holdfast.stores.store import StoreBroken

Identity = tuple[int, int]
_DEAD = frozenset((errno.EIO, errno.ENXIO, errno.ENODEV, errno.EUCLEAN, errno.ESTALE, errno.ENOTCONN, errno.ESHUTDOWN))


class FileIdentity:
    """Device and inode of a store's files, as they were when it was opened."""

    def __init__(self, path: Path) -> None:
        self._lock = f"{path.absolute()}.lock"
        store, real = str(path.absolute()), os.path.realpath(path)  # SQLite keeps the WAL beside the target of a link
        self._notices = Notices(os.path.dirname(store), file_system(path.parent) if store == real else "")  # noqa: PTH120
        self._committed = [(name, _identity(name)) for name in (store, f"{real}-wal")]
        self._files = [
            *self._committed,
            (f"{real}-shm", _identity(f"{real}-shm")),
        ]  # the index of the log, which all readers share

    def confirm(self) -> None:
        """Raise `StoreBroken` where what was just committed is not at the store's path."""
        if not self._notices.waiting(0):
            return
        self._notices.take()
        for name, known in self._committed:
            try:
                found = os.stat(name)  # noqa: PTH116  (once for each commit: a Path costs three times as much)
            except OSError as error:
                raise _lost(name, error.strerror or str(error)) from None
            if (found.st_dev, found.st_ino) != known:
                raise _lost(name, "another file is there")

    def close(self) -> None:
        """It is watched no more."""
        self._notices.close()

    def look(self) -> None:
        """The same for all of its files, and whether they can still be written to; done every second."""
        for name, known in self._files:
            try:
                found = _identity(name)
            except OSError as error:
                raise _lost(name, error.strerror or str(error)) from None
            if found != known:
                raise _lost(name, "another file is there")
        self._look_whether_writable()

    def _look_whether_writable(self) -> None:
        """A file system that has found itself damaged, or whose disk has died, takes no writes any more. Its flags don't always say so; an open for
        writing does, also while a store that is full, or that nobody uses, writes nothing that could fail.

        This opens the lock file: closing the store's own descriptor would drop the locks that SQLite has on it.
        """
        try:
            os.close(os.open(self._lock, os.O_WRONLY | os.O_CLOEXEC))
        except OSError as error:
            if error.errno == errno.EROFS:
                raise StoreBroken(f"the file system of {self._lock} has become read-only") from None
            if error.errno in _DEAD:
                raise StoreBroken(f"the disk of {self._lock} has failed: {error.strerror}") from None


def _identity(name: str) -> Identity:
    found = os.stat(name)  # noqa: PTH116
    return found.st_dev, found.st_ino


def _lost(name: str, why: str) -> StoreBroken:
    return StoreBroken(f"the store's file {name} was removed, moved or exchanged while it was in use ({why})")
