"""strace on a running process: to see its system calls in their order, and to have one of them fail."""

import re
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.system.whole.machine import need, tool_path
from tests.system.whole.servers import Output


class Syscall(NamedTuple):
    """One finished call: its name, what its first descriptor is, its arguments as text, and what it gave."""

    name: str
    target: str
    arguments: str
    result: str


_LINE = re.compile(r"^\d+\s+(\w+)\(\d+<([^>]*)>(.*)\)\s+= (.*)$")
_UNFINISHED = re.compile(r"^(\d+)\s+(.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+)\s+<\.\.\. \w+ resumed>(.*)$")


class Tracer:
    """strace, attached to all threads of a process, or to all but its first; `stop` lets go of it."""

    def __init__(self, pid: int, log: Path, *options: str, but_the_first: bool = False) -> None:
        need("strace", root=True)
        self._log = log
        traced = ["-f", "-p", str(pid)]
        if but_the_first:
            traced = [f"--attach={thread.name}" for thread in Path(f"/proc/{pid}/task").iterdir() if thread.name != str(pid)]
        command = [tool_path("strace"), "-y", "-s", "0", "-o", str(log), *options, *traced]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert self._process.stderr is not None
        Output(self._process.stderr).wait_for(" attached")

    def stop(self) -> None:
        """Let go, if the process has not ended before."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)

    def calls(self) -> list[Syscall]:
        """What was traced, in the order in which the calls ended."""
        begun: dict[str, str] = {}
        found = []
        for written in self._log.read_text().splitlines():
            line = written
            if unfinished := _UNFINISHED.match(line):
                begun[unfinished[1]] = unfinished[2]
                continue
            if resumed := _RESUMED.match(line):
                line = f"{resumed[1]} {begun.pop(resumed[1])}{resumed[2]}"
            if whole := _LINE.match(line):
                found.append(Syscall(*whole.groups()))
        return found
