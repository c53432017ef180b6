"""taskiq on Redis: a list, which acknowledges nothing, or a stream, which does. Or on Holdfast."""

import asyncio
from typing import Any

from taskiq import AsyncBroker
from taskiq.api import run_receiver_task

from bench.callers.marks import handled

STREAM = "#stream"  # at the end of an address
AT_ONCE = 32


def tasks(address: str, queue: str) -> tuple[AsyncBroker, Any]:
    broker = _broker(address, queue)

    @broker.task(task_name="handle")
    async def handle(n: int, fill: str) -> None:
        handled(n)

    return broker, handle


def _broker(address: str, queue: str) -> AsyncBroker:
    if address.startswith("http:"):
        from holdfast.taskiq import HoldfastBroker  # noqa: PLC0415  (which peers have not)

        return HoldfastBroker(address, queue=queue, prefetch=AT_ONCE)
    from taskiq_redis import ListQueueBroker, RedisStreamBroker  # noqa: PLC0415

    url = address.removesuffix(STREAM)
    if address.endswith(STREAM):
        return RedisStreamBroker(url, queue_name=queue, consumer_id="0")
    return ListQueueBroker(url, queue_name=queue)


class Producer:
    """`kiq` of one task."""

    def __init__(self, address: str, queue: str, payload_bytes: int) -> None:
        (self._broker, self._handle), self._fill = tasks(address, queue), "x" * payload_bytes

    async def opened(self) -> None:
        await self._broker.startup()

    async def turn(self, n: int) -> None:
        await self._handle.kiq(n, self._fill)


def work(address: str, queue: str) -> None:
    asyncio.run(_work(address, queue))


async def _work(address: str, queue: str) -> None:
    await run_receiver_task(tasks(address, queue)[0], run_startup=True, validate_params=False)
