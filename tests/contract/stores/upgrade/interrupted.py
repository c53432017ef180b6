"""Opens the store file that an earlier version wrote again and again, each time with less luck: see `test_interrupted_steps.py`.

    python -m tests.contract.stores.upgrade.interrupted FILE FOLDER kill|full

`kill`: FOLDER/N/jobs.db is what the file has become when the process was killed at its Nth write, flush or cut. `full`: when no file might grow beyond
N pages. Printed are, for each, N and what was raised (nothing, where it was killed), and, last, how many there were until it opened.
"""

import asyncio
import itertools
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import apsw

from holdfast.job.queue import QueuePolicy
from holdfast.logs import configure
from holdfast.stores.sqlite import connect
from holdfast.stores.sqlite.store import SqliteStore

PAGE = 4_096


class KillingFiles(apsw.VFS):
    """The files of the operating system, and the end of the process at the Nth change to any of them."""

    def __init__(self, last: int) -> None:
        super().__init__("killing", "unix", makedefault=True)
        self._left = last

    def count(self) -> None:
        """One more change is about to be made."""
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "KillingFile":  # noqa: N802
        return KillingFile(self, name, flags)


class KillingFile(apsw.VFSFile):
    """One of them."""

    def __init__(self, files: KillingFiles, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._files = files

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._files.count()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._files.count()
        super().xSync(flags)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._files.count()
        super().xTruncate(size)


async def open_once(path: Path) -> None:
    await SqliteStore(path, QueuePolicy()).close()


def full(pages: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (pages * PAGE, resource.RLIM_INFINITY))


def in_child(prepare: Callable[[], object], path: Path) -> bool:
    """Whether it opened."""
    child = os.fork()
    if child == 0:
        kept = prepare()
        try:
            asyncio.run(open_once(path))
        except Exception as error:  # noqa: BLE001  (whatever it is, it is told)
            os.write(1, f"{path.parent.name} {type(error).__name__}: {error}\n".encode())
            os._exit(1)
        os._exit(0 if kept is not None else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main(source: Path, folder: Path, how: str) -> None:
    configure("error", "text")
    connect._CACHE_KIB = 16  # so that a step writes before its commit, too
    first = 1 if how == "kill" else 2
    for number in itertools.count(first):
        path = folder / str(number) / "jobs.db"
        path.parent.mkdir(parents=True)
        shutil.copy(source, path)
        prepare = (lambda n=number: KillingFiles(n)) if how == "kill" else (lambda n=number: (full(n), True))
        if in_child(prepare, path):
            os.write(1, f"{number - first}\n".encode())
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
