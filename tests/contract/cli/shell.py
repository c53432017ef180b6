"""The command line as a shell runs it: against a real server, through pipes or on a terminal of its own."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

from tests import prefork

HOLDFAST = [sys.executable, "-m", "holdfast"]


def environment(url: str) -> dict[str, str]:
    path = ":".join(path for path in sys.path if path)
    return {"HOLDFAST_URL": url, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": path, "TERM": "xterm"}


def call(url: str, folder: Path, *args: Any, stdin: str = "", **more: str) -> "subprocess.CompletedProcess[str]":
    return prefork.run(
        [*HOLDFAST, *map(str, args)],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(url) | more,
        timeout=60,
        check=False,
    )


class Terminal:
    """A command on a terminal of 30 lines with 120 columns."""

    def __init__(self, url: str, *args: Any, stdin: Any = None) -> None:
        self._ours, theirs = pty.openpty()
        self._theirs = theirs
        self.resize(30, 120)
        self.process = prefork.start(
            [*HOLDFAST, *map(str, args)],
            stdin=theirs if stdin is None else stdin,
            stdout=theirs,
            stderr=theirs,
            env=environment(url),
            start_new_session=True,
        )
        self.before = termios.tcgetattr(theirs)
        self.said = ""

    def read_until(self, words: str, within_s: float = 30) -> str:
        """What it has shown since the last time, up to these words."""
        until = time.monotonic() + within_s
        while words not in self.said:
            ready, _, _ = select.select([self._ours], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"{words!r} was not shown, but {self.said!r}"
            self.said += os.read(self._ours, 65_536).decode(errors="replace")
        shown, _, self.said = self.said.partition(words)
        return shown

    def frame(self, lines: int, columns: int) -> list[str]:
        """The first page that is drawn to this size, as its lines."""
        until = time.monotonic() + 30
        while True:
            for drawn in self.said.split("\x1b[H")[1:]:
                page = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn).split("\r\n")
                if [len(line) for line in page] == [columns] * lines:
                    self.said = ""
                    return [line.rstrip() for line in page]
            ready, _, _ = select.select([self._ours], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"no page of {lines} lines with {columns} columns was shown, but {self.said!r}"
            self.said += os.read(self._ours, 65_536).decode(errors="replace")

    def resize(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def end(self) -> int:
        return self.process.wait(20)

    def settings(self) -> list[Any]:
        return termios.tcgetattr(self._theirs)

    def destroy(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)
