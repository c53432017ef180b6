"""Honest callers during an attack, in a process of their own: `python -m torture.greed.honest PORT SECONDS`. Prints their
measurements.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress

import msgspec

from torture.greed.wire import Pair, answer, connected, request

CALLERS = 4
PAUSE_S = 0.02


class Seen(msgspec.Struct):
    """How long each call took, by verb, and how many failed."""

    waits_s: dict[str, list[float]] = {}
    refused: int = 0


async def call(port: int, queue: str, seen: Seen) -> None:
    """Enqueue, lease and conclude small jobs of its own, and read the queue, repeatedly."""
    payload = b'{"payload":"' + b"h" * 900 + b'"}'
    taking = request("POST", "/v1/leases", b'{"queues":["%b"],"lease_ms":5000}' % queue.encode())
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            async with connected(port) as pair:
                while True:
                    await _timed(pair, seen, "push", request("POST", f"/v1/queues/{queue}/jobs", payload))
                    _, told = await _timed(pair, seen, "lease", taking)
                    for token in told.split(b'"token":"')[1:]:
                        held = token.partition(b'"')[0].decode()
                        await _timed(pair, seen, "conclude", request("POST", f"/v1/leases/{held}/conclude", b"{}"))
                    await _timed(pair, seen, "look", request("GET", f"/v1/queues/{queue}"))
                    await asyncio.sleep(PAUSE_S)
        seen.refused += 1


async def _timed(pair: Pair, seen: Seen, verb: str, sent: bytes) -> tuple[int, bytes]:
    began = time.perf_counter()
    pair[1].write(sent)
    try:
        status, body = await answer(pair[0])
    finally:  # including a call in progress at the end
        seen.waits_s.setdefault(verb, []).append(time.perf_counter() - began)
    seen.refused += status >= 400
    return status, body


async def run(port: int, seconds: float) -> Seen:
    """Run all of them for this time. A call in progress at the end counts with its time so far."""
    seen = Seen({})
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*[call(port, f"honest-{n}", seen) for n in range(CALLERS)])
    return seen


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(run(int(sys.argv[1]), float(sys.argv[2])))))
