"""Greedy callers against one server: how much memory its processes use, and how long honest callers wait meanwhile."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from torture.greed import honest
from torture.greed.attacks import Ports

MEMORY_BYTES = 600 << 20  # of all processes together, with default settings
PATIENCE_MS = 250  # what 99 of 100 honest calls take at most
LOOK_S = 0.05
PARTS = 3  # processes for the greedy callers: one alone is slower than the server


@dataclass(slots=True)
class Found:
    """The result of a run."""

    peak_bytes: int
    refused: int
    waits_s: dict[str, list[float]]  # by verb

    @property
    def all_waits_s(self) -> list[float]:
        """Of all verbs."""
        return [wait for waits in self.waits_s.values() for wait in waits]

    def p99_ms(self) -> float:
        """What 99 of 100 honest calls took at most."""
        return quantile_ms(self.all_waits_s, 99)

    def __str__(self) -> str:
        verbs = {**self.waits_s, "all": self.all_waits_s}
        told = [
            f"{verb} {len(waits)}: p50 {quantile_ms(waits, 50):.0f} p99 {quantile_ms(waits, 99):.0f} longest {max(waits) * 1000:.0f} ms"
            for verb, waits in verbs.items()
            if waits
        ]
        return f"peak {self.peak_bytes >> 20} MiB; {self.refused} refused; {'; '.join(told)}"


def quantile_ms(waits_s: Sequence[float], percent: int) -> float:
    """The percentile; without any call, infinity."""
    ordered = sorted(waits_s) or [float("inf")]
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1000


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
    """Run these against the server for this time."""
    crowds = [await _started("crowd", at.http, at.tubes, *part, leads_session=True) for part in _parts(counts) if part]
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
    return Found(peak, seen.refused, seen.waits_s)


def _parts(counts: dict[str, int]) -> list[list[str]]:
    names = sorted(counts)
    return [[f"{name}={counts[name]}" for name in names[part::PARTS]] for part in range(PARTS)]


async def _started(module: str, *arguments: object, leads_session: bool = False) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", f"torture.greed.{module}", *map(str, arguments)]
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, start_new_session=leads_session)


async def _peak(pids: Callable[[], Iterable[int]], callers: asyncio.subprocess.Process) -> int:
    peak = 0
    while callers.returncode is None:
        peak = max(peak, await asyncio.to_thread(memory_of, list(pids())))
        await asyncio.sleep(LOOK_S)
    return peak
