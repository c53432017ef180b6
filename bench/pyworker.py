"""The Python worker: how fast it takes, runs and concludes jobs whose handlers do nothing, and its CPU cost.

It runs as a user runs it: on Python's own event loop, `concurrency` and `prefetch` equal to the number of callers. Its client
side is included: `client_cpu_ns` is of its process, with the threads that run handlers and extend leases.
"""

import asyncio
from typing import Any

from bench.connections import Meter
from bench.orders import Order, Outcome
from bench.scripts import Calls, Tally
from holdfast import AsyncClient, NewJob, Worker

COROUTINES = "python worker"
THREADS = "python worker, threads"


async def work_off(order: Order, _calls: Calls, _held: Any) -> Outcome:
    """Enqueue `count` jobs, then have a worker run them; only that is measured."""
    url = f"http://127.0.0.1:{order.port}"
    fill = "x" * order.payload_bytes
    async with AsyncClient(url) as client:
        await client.enqueue_many(NewJob(queue=order.queue, payload={"n": n, "fill": fill}) for n in range(order.count))
    worker = Worker(order.queue, url=url, concurrency=order.callers, prefetch=order.callers)
    worker.handler()(_nothing_in_thread if order.phase == THREADS else _nothing)
    tally = Tally()
    meter = Meter(order.watch)
    ended = await asyncio.to_thread(lambda: asyncio.run(worker.drain()))
    tally.done = tally.concluded = ended["concluded"]
    if ended["concluded"] != order.count:
        tally.failures[f"ended otherwise: {dict(ended)}"] += 1
    return meter.outcome(tally)


async def _nothing(_job: Any) -> None:
    pass


def _nothing_in_thread(_job: Any) -> None:
    pass
