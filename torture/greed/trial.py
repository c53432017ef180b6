"""Greedy callers against one server: how much memory its processes take, and how long honest callers wait beside them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from torture.greed import honest
from torture.greed.attacks import Ports

MEMORY_BYTES = 600 << 20  # of all processes together, with default settings
PATIENCE_S = 0.25  # what 99 of 100 honest calls take at most
LOOK_S = 0.05
PARTS = 3  # processes that the greedy ones are divided into: one alone is slower than the server


@dataclass(slots=True)
class Found:
    """What a run of greed came to."""

    peak_bytes: int
    calls: int
    refused: int
    p99_s: float
    longest_s: float

    def __str__(self) -> str:
        return (
            f"peak {self.peak_bytes >> 20} MiB, {self.calls} honest calls, {self.refused} refused, "
            f"p99 {self.p99_s * 1000:.0f} ms, longest {self.longest_s * 1000:.0f} ms"
        )


def memory_of(pids: Iterable[int]) -> int:
    """Proportional memory of these processes together: what they share is counted once."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) << 10
    return total


async def attack(at: Ports, pids: Callable[[], Iterable[int]], counts: dict[str, int], seconds: float) -> Found:
    """Let these at the server for so long."""
    crowds = [await _started("crowd", at.http, at.tubes, *part) for part in _parts(counts) if part]
    callers = await _started("honest", at.http, seconds)
    watching = asyncio.ensure_future(_peak(pids, callers))
    try:
        told, _ = await callers.communicate()
    finally:
        for crowd in crowds:
            if crowd.returncode is None:
                crowd.kill()
            await crowd.wait()
    peak = await watching
    seen = msgspec.json.decode(told, type=honest.Seen)
    waits = sorted(seen.waits_s) or [float("inf")]
    return Found(peak, len(seen.waits_s), seen.refused, waits[min(len(waits) - 1, len(waits) * 99 // 100)], waits[-1])


def _parts(counts: dict[str, int]) -> list[list[str]]:
    names = sorted(counts)
    return [[f"{name}={counts[name]}" for name in names[part::PARTS]] for part in range(PARTS)]


async def _started(module: str, *arguments: object) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", f"torture.greed.{module}", *map(str, arguments)]
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)


async def _peak(pids: Callable[[], Iterable[int]], callers: asyncio.subprocess.Process) -> int:
    peak = 0
    while callers.returncode is None:
        peak = max(peak, await asyncio.to_thread(memory_of, list(pids())))
        await asyncio.sleep(LOOK_S)
    return peak
