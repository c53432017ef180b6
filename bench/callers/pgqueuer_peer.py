"""PgQueuer on asyncpg."""

import asyncio

import asyncpg
from pgqueuer import AsyncpgDriver, Job, PgQueuer, Queries

from bench.callers.marks import handled

BATCH = 100


class Producer:
    """`Queries.enqueue` of one job."""

    def __init__(self, address: str, queue: str, payload_bytes: int) -> None:
        self._address, self._queue, self._fill = address, queue, b"x" * payload_bytes

    async def opened(self) -> None:
        self._queries = Queries(AsyncpgDriver(await asyncpg.connect(self._address)))
        await self._queries.install()

    async def turn(self, n: int) -> None:
        await self._queries.enqueue(self._queue, self._payload(n))

    async def many(self, first: int, count: int) -> int:
        for at in range(first, first + count, 1_000):
            payloads = [self._payload(n) for n in range(at, min(at + 1_000, first + count))]
            await self._queries.enqueue([self._queue] * len(payloads), payloads, [0] * len(payloads))
        return count

    def _payload(self, n: int) -> bytes:
        return b"%d:%b" % (n, self._fill)


def work(address: str, queue: str) -> None:
    asyncio.run(_work(address, queue))


async def _work(address: str, queue: str) -> None:
    worker = PgQueuer(AsyncpgDriver(await asyncpg.connect(address)))

    @worker.entrypoint(queue)
    async def handle(job: Job) -> None:
        handled(int((job.payload or b"").partition(b":")[0]))

    await worker.run(batch_size=BATCH)
