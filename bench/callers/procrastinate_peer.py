"""Procrastinate on psycopg, both sides in an event loop."""

import asyncio

import procrastinate

from bench.callers.marks import handled

AT_ONCE = 32


def app_of(address: str, queue: str) -> tuple[procrastinate.App, procrastinate.tasks.Task]:
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=address))

    @app.task(queue=queue, name="handle")
    async def handle(n: int, fill: str) -> None:
        handled(n)

    return app, handle


class Producer:
    """`defer_async` of one job."""

    def __init__(self, address: str, queue: str, payload_bytes: int) -> None:
        self._address, self._queue, self._fill = address, queue, "x" * payload_bytes

    async def opened(self) -> None:
        app, self._handle = app_of(self._address, self._queue)
        await app.open_async()
        await app.schema_manager.apply_schema_async()

    async def turn(self, n: int) -> None:
        await self._handle.defer_async(n=n, fill=self._fill)

    async def many(self, first: int, count: int) -> int:
        for at in range(first, first + count, 1_000):
            some = [{"n": n, "fill": self._fill} for n in range(at, min(at + 1_000, first + count))]
            await self._handle.batch_defer_async(*some)
        return count


def work(address: str, queue: str) -> None:
    asyncio.run(_work(address, queue))


async def _work(address: str, queue: str) -> None:
    app, _ = app_of(address, queue)
    async with app.open_async():
        await app.run_worker_async(queues=[queue], concurrency=AT_ONCE, delete_jobs="always")
