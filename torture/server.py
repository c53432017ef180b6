"""The server under test: its processes, how they start, and every way in which they can end.

Invariants
- All processes of one start share one session, so that they can be found and killed together, even if their parent has ended.
- Nothing is started while a process of the last start is alive: a test with two servers on one file would prove nothing.
- The server's output is in one log file over all starts, beside the history.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cluster.ports import free_port
from torture.client import ready

READY_WITHIN_S = 30.0
GONE_WITHIN_S = 15.0
LOOK_AGAIN_S = 0.02  # how often /proc and /readyz are polled: neither of them can be waited for


class ServerTrouble(Exception):
    """The server did what is wrong under any fault: it did not start, or it did not stop."""


@dataclass(slots=True)
class Server:
    """A server on `home`/jobs.db. `env` is added to its environment; a `wrapper` such as strace is put before its command."""

    home: Path
    log: Path
    env: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    port: int = 0
    _process: asyncio.subprocess.Process | None = None
    _starts: int = 0

    def command(self) -> list[str]:
        """The command line."""
        store = f"sqlite:///{self.home}/jobs.db"
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--store", store]
        return [sys.executable, "-m", "holdfast", "serve", *where, "--log-level", "warning", *self.options]

    async def start(self, wrapper: tuple[str, ...] = ()) -> bool:
        """Start and wait until it is ready; False if it ended before it was (under an injected fault it may)."""
        await self.gone()
        self.port = self.port or free_port()
        self._starts += 1
        with self.log.open("ab") as log:
            log.write(f"--- start {self._starts}\n".encode())
            log.flush()
            self._process = await asyncio.create_subprocess_exec(
                *wrapper, *self.command(), stdout=log, stderr=log, start_new_session=True, env={**os.environ, **self.env}
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while self.running and time.monotonic() < deadline:
            if await ready(self.port):
                return True
            await asyncio.sleep(LOOK_AGAIN_S)
        if self.running:
            raise ServerTrouble(f"not ready {READY_WITHIN_S:.0f} s after its start")
        return False

    @property
    def running(self) -> bool:
        """Whether the process that was started has not ended yet."""
        return self._process is not None and self._process.returncode is None

    def pids(self) -> list[int]:
        """Every live process of this start, even if its parent has ended."""
        return session_members(self._process.pid) if self._process else []

    @property
    def front(self) -> int:
        """The process that listens."""
        return self._named(lambda line: " -m holdfast serve " in line and not line.startswith("strace"))

    @property
    def fronts(self) -> list[int]:
        """All of those."""
        return [self.front, *(pid for pid in self.pids() if " -m holdfast.server " in command_line(pid))]

    @property
    def keeper(self) -> int:
        """The process that owns the store."""
        return self._named(lambda line: " -m holdfast.keeper" in line)

    def kill(self, *pids: int) -> None:
        """SIGKILL to the given processes, or to all of them."""
        self.signal(signal.SIGKILL, *pids)

    def signal(self, number: signal.Signals, *pids: int) -> None:
        """Send a signal to the given processes, or to all of them."""
        for pid in pids or self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def ended(self, within_s: float = GONE_WITHIN_S) -> int:
        """Wait until the started process has ended, and return its exit code."""
        assert self._process, "started before"
        try:
            return await asyncio.wait_for(self._process.wait(), within_s)
        except TimeoutError:
            raise ServerTrouble(f"still runs {within_s:.0f} s after it should have ended") from None

    def last_words(self) -> str:
        """The last line of its log."""
        return self.log.read_text(errors="replace").rstrip().rpartition("\n")[2]

    async def gone(self, within_s: float = GONE_WITHIN_S) -> None:
        """Wait until no process of the last start is left."""
        if not self._process:
            return
        deadline = time.monotonic() + within_s
        while left := self.pids():
            if time.monotonic() > deadline:
                lines = [f"{pid} {command_line(pid)}" for pid in left]
                self.kill()
                raise ServerTrouble(f"processes outlived the server by {within_s:.0f} s: {lines}")
            await asyncio.sleep(LOOK_AGAIN_S)
        await self._process.wait()

    async def kill_all(self) -> None:
        """Kill every process at once and wait until they have ended."""
        while self.pids():
            self.kill()
            await asyncio.sleep(LOOK_AGAIN_S)
        await self.gone()

    def _named(self, wanted: Callable[[str], bool]) -> int:
        for pid in self.pids():
            if wanted(command_line(pid)):
                return pid
        raise ServerTrouble("a process of the server does not exist")


def session_members(session: int) -> list[int]:
    """Live processes of a session; a zombie is not live."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, _, _, sid = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(sid) == session and state != "Z":
                    found.append(int(entry.name))
    return sorted(found)


def command_line(pid: int) -> str:
    """The command of a process, empty once it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""
