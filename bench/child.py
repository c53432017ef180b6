"""A server process that the harness started: on a free loopback port, with its output saved, ended by its own process id."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench.processes import is_running, tree

READY_WITHIN_S = 30.0
STOPPED_WITHIN_S = 15.0
TAIL = 2_000  # characters of a server's output shown when it fails


def accepts(port: int) -> bool:
    """Whether a loopback port accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class StartFailed(Exception):
    """The server did not start; the message ends with its output."""


class Started:
    """One server process and its descendants."""

    def __init__(
        self,
        name: str,
        command: list[str],
        directory: Path,
        ready: Callable[[], bool],
        environment: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self._said = directory / f"{name.replace(' ', '-')}.out"
        began = time.perf_counter()
        with self._said.open("wb") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=directory, env=environment
            )
        while not ready():
            if self._process.poll() is not None or time.perf_counter() - began > READY_WITHIN_S:
                self.stop()
                raise StartFailed(f"{name} did not become ready. It said:\n{self.said()}")
            time.sleep(0.01)
        self.ready_after_s = time.perf_counter() - began

    @property
    def pid(self) -> int:
        return self._process.pid

    def said(self) -> str:
        """The end of what the server wrote."""
        return self._said.read_text(errors="replace")[-TAIL:]

    def kill(self) -> None:
        """`kill -9` of all its processes at once; returns when they have ended."""
        family = tree(self.pid)
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        self._process.wait()
        while any(is_running(pid) for pid in family):
            time.sleep(0.01)

    def stop(self) -> list[int]:
        """Ask the server to end; returns those of its processes that did not, and had to be killed."""
        family = tree(self.pid)
        self._process.terminate()
        deadline = time.perf_counter() + STOPPED_WITHIN_S
        while (left := [pid for pid in family if is_running(pid)]) and time.perf_counter() < deadline:
            self._process.poll()  # takes away the zombie, so that it no longer counts as running
            time.sleep(0.01)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        self._process.wait()
        return left
