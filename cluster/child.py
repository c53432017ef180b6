"""A program that a cluster starts: its log, its end, and that it never outlives the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from cluster.processes import kill_tree


class Child:
    """A program in a session of its own, so that Ctrl-C reaches only the cluster, and not each of its parts too.

    The kernel sends it SIGTERM when the thread that started it ends: start it from the main thread.
    """

    def __init__(self, name: str, command: list[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        """The environment is added to our own."""
        self.name = name
        self._command = command
        self._log = log
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def ended(self) -> bool:
        """Whether it was started and has ended."""
        return self._process is not None and self._process.poll() is not None

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        return self._process.pid if self._process and self.alive else None

    def start(self) -> None:
        """Start it, without waiting."""
        assert not self.alive, f"{self.name} is running"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                _ending_with_us(self._command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self._environment,
                start_new_session=True,
            )

    def ask_to_end(self) -> None:
        """SIGTERM."""
        if self._process and self.alive:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float) -> None:
        """Wait for its end; if that takes too long, `kill -9`."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """`kill -9` of it and of all that it has started."""
        if self._process is None:
            return
        kill_tree(self._process.pid)
        self._process.wait()

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def _ending_with_us(command: list[str]) -> list[str]:
    """The command with the kernel's parent-death signal; a change of user clears it, so then it is set after that."""
    if command[0] == "setpriv":
        return ["setpriv", "--pdeathsig=TERM", *command[1:]]
    return ["setpriv", "--pdeathsig=TERM", *command]
