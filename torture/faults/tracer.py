"""strace: kills a process or fails a call at exactly the N-th system call of a kind, and records the order of calls.

`--seccomp-bpf` lets every other system call run at full speed, but strace 6.1 sends no signal with it, so the faults that kill
do not use it. strace counts for each thread separately; the traced calls are made by one thread of the keeper.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SYNCS = "fdatasync,fsync"
WRITES = "pwrite64"
LINE = re.compile(r"^(?P<pid>\d+)\s+(?P<at>\d+\.\d+) (?P<call>\w+)\((?P<fd>-?\d+)<(?P<path>[^>]*)>(?P<rest>.*)$")
RESUMED = re.compile(r"^(?P<pid>\d+)\s+(?P<at>\d+\.\d+) <\.\.\. (?P<call>\w+) resumed>(?P<rest>.*)$")
RESULT = re.compile(r"= (?P<result>-?\d+).*?(?:<(?P<took>[\d.]+)>)?$")


@cache
def unavailable() -> str | None:
    """Why strace can't be used here; None if it can. It is tried on a real process, because containers often forbid tracing."""
    strace = shutil.which("strace")
    if not strace:
        return "strace is not installed"
    tried = subprocess.run(
        [strace, "-f", "--seccomp-bpf", "-e", "trace=fsync", "true"], capture_output=True, text=True, check=False
    )
    return None if tried.returncode == 0 else f"strace does not work here: {tried.stderr.strip()[:200]}"


def inject(calls: str, what: str, when: int, trace: Path) -> list[str]:
    """The command prefix for a server whose `when`-th call of `calls` gets the fault `what`."""
    watched = ["-e", f"trace={calls}", "-e", f"inject={calls}:{what}:when={when}"]
    fast = [] if what.startswith("signal=") else ["--seccomp-bpf"]
    return ["strace", "-f", *fast, "-q", "-y", "-ttt", "-T", "-s", "0", "-o", str(trace), *watched]


@dataclass(frozen=True, slots=True)
class SystemCall:
    """One traced call on an open file; wall clock seconds."""

    name: str
    path: str
    begun: float
    ended: float
    result: int


def read(trace: Path) -> list[SystemCall]:
    """The completed calls of a trace, in the order in which they ended."""
    calls: list[SystemCall] = []
    unfinished: dict[str, re.Match[str]] = {}
    with trace.open(errors="replace") as lines:
        for line in map(str.rstrip, lines):
            if begun := LINE.match(line):
                if begun["rest"].endswith("<unfinished ...>"):
                    unfinished[begun["pid"]] = begun
                else:
                    calls += _ended(begun, float(begun["at"]), begun["rest"])
            elif (resumed := RESUMED.match(line)) and (begun := unfinished.pop(resumed["pid"], None)):
                calls += _ended(begun, float(begun["at"]), resumed["rest"])
    return calls


def _ended(begun: re.Match[str], at: float, rest: str) -> list[SystemCall]:
    result = RESULT.search(rest)
    if not result:
        return []
    return [SystemCall(begun["call"], begun["path"], at, at + float(result["took"] or 0), int(result["result"]))]


class Attached:
    """strace on one running process (and its threads), for as long as the block lasts."""

    def __init__(self, pid: int, trace: Path, *watched: str) -> None:
        self.command = ["strace", "-f", "-y", "-ttt", "-T", "-s", "0", "-o", str(trace), *watched, "-p", str(pid)]
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Attached:
        self._process = await asyncio.create_subprocess_exec(*self.command, stderr=asyncio.subprocess.PIPE)
        assert self._process.stderr, "asked for above"
        said = await asyncio.wait_for(self._process.stderr.readline(), 10)
        if b"attached" not in said:
            raise RuntimeError(f"strace did not attach: {said!r}")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process, "entered before"
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.communicate()
