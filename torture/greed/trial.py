"""Greedy callers against one server: how much memory its processes take, and how long honest callers wait beside them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from torture.greed.attacks import Attack, Ports, again_and_again
from torture.greed.wire import Pair, answer, connected, request

MEMORY_BYTES = 600 << 20  # all processes together, with default settings
PATIENCE_S = 0.25  # the 99th percentile of what honest callers wait
HONEST = 4
PAUSE_S = 0.02
LOOK_S = 0.05


@dataclass(slots=True)
class Seen:
    """What a run of greed came to."""

    peak_bytes: int = 0
    waits_s: list[float] = field(default_factory=list)
    refused: int = 0

    def p99_s(self) -> float:
        """What 99 of 100 honest calls waited at most."""
        ordered = sorted(self.waits_s)
        return ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] if ordered else float("inf")

    def __str__(self) -> str:
        return (
            f"peak {self.peak_bytes >> 20} MiB, {len(self.waits_s)} honest calls, p99 {self.p99_s() * 1000:.0f} ms, "
            f"longest {max(self.waits_s, default=0) * 1000:.0f} ms, refused {self.refused}"
        )


def memory_of(pids: Iterable[int]) -> int:
    """Proportional memory of these processes together: what is shared is counted once."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) << 10
    return total


async def attack(at: Ports, pids: Iterable[int], attacks: dict[Attack, int], seconds: float) -> Seen:
    """Let these at the server for so long."""
    seen = Seen()
    pids = list(pids)
    greedy = [asyncio.ensure_future(again_and_again(one, at)) for one, many in attacks.items() for _ in range(many)]
    watching = asyncio.ensure_future(_watch(pids, seen))
    honest = [asyncio.ensure_future(_honest(at, f"honest-{n}", seen)) for n in range(HONEST)]
    try:
        await asyncio.sleep(seconds)  # the attack is the fault
    finally:
        await _end([*honest, *greedy, watching])
    return seen


async def _end(tasks: list[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(pids: list[int], seen: Seen) -> None:
    while True:
        seen.peak_bytes = max(seen.peak_bytes, await asyncio.to_thread(memory_of, pids))
        await asyncio.sleep(LOOK_S)


async def _honest(at: Ports, queue: str, seen: Seen) -> None:
    """Push, take and conclude small jobs of its own; a refusal that says when to come back counts as one, and as a wait."""
    payload = b'{"payload":"' + b"h" * 900 + b'"}'
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            async with connected(at.http) as pair:
                while True:
                    await _timed(pair, seen, request("POST", f"/v1/queues/{queue}/jobs", payload))
                    _, told = await _timed(pair, seen, request("POST", "/v1/leases", b'{"queues":["%b"]}' % queue.encode()))
                    for token in told.split(b'"token":"')[1:]:
                        held = token.partition(b'"')[0].decode()
                        await _timed(pair, seen, request("POST", f"/v1/leases/{held}/conclude", b"{}"))
                    await _timed(pair, seen, request("GET", f"/v1/queues/{queue}"))
                    await asyncio.sleep(PAUSE_S)
        seen.refused += 1


async def _timed(pair: Pair, seen: Seen, sent: bytes) -> tuple[int, bytes]:
    began = time.perf_counter()
    pair[1].write(sent)
    status, body = await answer(pair[0])
    seen.waits_s.append(time.perf_counter() - began)
    seen.refused += status >= 500
    return status, body
