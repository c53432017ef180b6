"""`--reload`: notices that a file of the program has changed. For development: it looks at the times of all files that were imported, twice a second."""

import contextlib
import os
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Iterable

_LOOK_S = 0.5
_INSTALLED = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class Watch:
    """The files of the program, but for what is installed, since this was made: before they are imported. `more`: further ones, such as one that
    can't be imported.
    """

    def __init__(self) -> None:
        self.more: list[str] = []
        self._begun = time.time_ns()
        self._ended = threading.Event()

    def changed(self) -> str | None:
        """A file that has changed."""
        return next((path for path in [*_imported(), *self.more] if _changed_at(path) > self._begun), None)

    def wait(self) -> str | None:
        """The first file that changes; None if it has ended before."""
        while not self._ended.wait(_LOOK_S):
            if (path := self.changed()) is not None:
                return path
        return None

    def end(self) -> None:
        """Have `wait` return."""
        self._ended.set()

    def start(self, changed: Callable[[str], None]) -> None:
        """Watch in a thread."""

        def run() -> None:
            if (path := self.wait()) is not None:
                changed(path)

        threading.Thread(target=run, name="holdfast-reload", daemon=True).start()


def files_of(error: BaseException) -> list[str]:
    """The files that an error is about: those of its traceback, and where the syntax is wrong."""
    found = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        found.append(error.filename)
    return [path for path in found if not path.startswith(("<", *_INSTALLED))]


def _imported() -> Iterable[str]:
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and not path.startswith(_INSTALLED):
            yield path


def _changed_at(path: str) -> int:
    with contextlib.suppress(OSError):
        return os.stat(path).st_mtime_ns  # noqa: PTH116  (of each file, twice a second)
    return 0
