"""The server under attack: its processes, their memory, metrics and log."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cluster.ports import free_port
from fuzz import honest
from fuzz.request import PREFIX
from torture.server import Server
from torture.wire import Broken, NeverSent, Wire

SETTLE_S = 60.0  # until all that is in progress has ended, bodies and leases included
# Metrics that must be zero when no client is connected.
IDLE = ("holdfast_waiters", "holdfast_in_flight_commands", "holdfast_event_streams", "holdfast_memory_held_bytes", "holdfast_memory_parked_bytes",
        "holdfast_beanstalk_connected", "holdfast_channels", "holdfast_channel_jobs")  # fmt: skip
_BAD_LINE = re.compile(
    r'Traceback|"level":\s?"(?:error|critical)"|\[(?:error|critical) *\]|never (?:awaited|retrieved)|Exception ignored|Fatal'
)


def made(home: Path) -> Path:
    """Create a folder; returns it."""
    home.mkdir(parents=True, exist_ok=True)
    return home


def _defect(line: str) -> str:
    """The event and the exception, without parts that differ each time."""
    try:
        told = json.loads(line)
        raised = str(told.get("exception", "")).strip().rpartition("\n")[2]
        return f"{told['event'].strip()}: {raised}"[:200]
    except (ValueError, KeyError, AttributeError):
        return line.strip()[:200]


@dataclass(slots=True)
class Attacked(Server):
    """A server with all doors, under a path prefix. `store` is a URL; "" means a file in `home`."""

    store: str = ""
    fronts: int = 1
    tubes: int = 0

    def command(self) -> list[str]:
        """The command line."""
        self.tubes = self.tubes or free_port()
        command = Server.command(self)
        if self.store:
            command[command.index("--store") + 1] = self.store
        fronts = ["--fronts", str(self.fronts)] if self.fronts > 1 else []
        return [*command, "--beanstalk", f"127.0.0.1:{self.tubes}", "--root-path", PREFIX, *fronts]

    def memory(self) -> dict[int, int]:
        """Bytes of each process, without mapped files, which it shares with other processes."""
        found = {}
        for pid in self.pids():
            with suppress(OSError):
                found[pid] = int(re.search(r"Anonymous:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text())[1]) << 10  # type: ignore[index]
        return found

    def memory_bytes(self) -> int:
        """The sum over all processes."""
        return sum(self.memory().values())

    def descriptors(self) -> int:
        """Open files of all processes."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.pids())

    def bad_lines(self, behind: int = 0) -> list[str]:
        """The lines of the log that report a defect, from an offset in bytes on."""
        text = self.log.read_bytes()[behind:].decode(errors="replace")
        return [_defect(line) for line in text.splitlines() if _BAD_LINE.search(line)]

    async def busy(self) -> dict[str, float]:
        """The metrics of `IDLE` that are not zero, except for the command of this call itself."""
        wire = Wire(self.port, 30.0)
        page = (await wire.request("GET", "/metrics")).body.decode()
        wire.close()
        found = re.findall(r"(?m)^(\w+)(?:\{[^}]*\})? (\S+)$", page)
        held = dict.fromkeys(IDLE, 0.0)
        for name, value in found:
            if name in held:
                held[name] += float(value)
        return {name: value for name, value in held.items() if value}

    async def idle(self) -> dict[str, float]:
        """Wait until nothing is in progress; returns what still is after the bound."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_S
        while (left := await self.busy()) and loop.time() < deadline:  # noqa: ASYNC110  (it can only be polled)
            await asyncio.sleep(0.25)
        return left

    async def clear(self) -> None:
        """Delete what the cases have created, so that only the server's own memory is measured."""
        wire = Wire(self.port, 60.0)
        for kind, many in (("schedules", "schedules"), ("interests", "interests"), ("workers", "workers")):
            for one in json.loads((await wire.request("GET", f"/v1/{kind}")).body)[many]:
                name = one.get("id") or one.get("name") or one.get("queue")
                await wire.request("DELETE", f"/v1/{kind}/{quote(str(name), safe='')}")
        names = [queue["name"] for queue in json.loads((await wire.request("GET", "/v1/queues?limit=1000")).body)["queues"]]
        for name in names:
            if name not in (*honest.QUEUES, honest.TUBE):
                states = b'{"states":["scheduled","ready","dead","concluded","cancelled"]}'
                await wire.request("POST", f"/v1/queues/{quote(name, safe='')}/purge", states)
                await wire.request("DELETE", f"/v1/queues/{quote(name, safe='')}")
        wire.close()

    async def answers(self) -> bool:
        """Whether it answers."""
        wire = Wire(self.port, 15.0)
        try:
            return (await wire.request("GET", "/healthz")).status == 200
        except (Broken, NeverSent):
            return False
        finally:
            wire.close()
