"""The system calls of processes while something is measured, counted by `strace -c`, which slows them: so never while time is measured."""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from bench.processes import is_running

TOOL = "strace"
ATTACHED_WITHIN_S = 10.0


@cache
def why_not() -> str:
    """Why this machine can't count them; empty if it can."""
    if shutil.which(TOOL) is None:
        return f"{TOOL} is not installed: apt-get install -y {TOOL}"
    with tempfile.TemporaryDirectory() as folder:
        quiet = subprocess.Popen(["sleep", "60"])
        try:
            Counting([quiet.pid], Path(folder)).counts()
        except RuntimeError as refused:
            return str(refused)
        finally:
            quiet.kill()
            quiet.wait()
    return ""


class Counting:
    """One strace for each process, from its making to `counts`."""

    def __init__(self, pids: Sequence[int], directory: Path) -> None:
        self._tracers = {pid: _Tracer(pid, directory) for pid in pids}
        for tracer in self._tracers.values():
            tracer.wait()

    def counts(self) -> dict[int, dict[str, int]]:
        """How often each process called what; ends the counting."""
        for tracer in self._tracers.values():
            tracer.end()
        return {pid: tracer.counted() for pid, tracer in self._tracers.items()}


class _Tracer:
    def __init__(self, pid: int, directory: Path) -> None:
        self._pid = pid
        self._table, self._said = (directory / f"strace-{pid}.{kind}" for kind in ("counts", "said"))
        command = [TOOL, "-c", "-f", "-U", "calls,name", "-o", str(self._table), "-p", str(pid)]
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=said)

    def wait(self) -> None:
        """Until it is attached."""
        deadline = time.perf_counter() + ATTACHED_WITHIN_S
        while " attached" not in self._said.read_text():
            if self._process.poll() is not None or time.perf_counter() > deadline:
                raise RuntimeError(f"{TOOL} did not attach to process {self._pid}: {self._said.read_text().strip()}")
            time.sleep(0.01)

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        self._process.wait()

    def counted(self) -> dict[str, int]:
        return parsed(self._table.read_text()) if is_running(self._pid) else {}


def parsed(table: str) -> dict[str, int]:
    """The counts by name in what strace writes with `-U calls,name`."""
    rows = [line.split() for line in table.splitlines()]
    return {name: int(calls) for calls, name in (row for row in rows if len(row) == 2) if calls.isdigit() and name != "total"}
