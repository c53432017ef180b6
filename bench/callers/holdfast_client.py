"""`holdfast.Client` as producer, `holdfast.Worker` as worker, both as users run them."""

from bench.callers.marks import handled
from holdfast import Client, NewJob, Worker
from holdfast.client.worker.held_job import HeldJob

AT_ONCE = 32


class Blocking:
    """`Client.enqueue`, which sends an idempotency key of its own."""

    def __init__(self, address: str, queue: str, payload_bytes: int) -> None:
        self._client, self._queue, self._fill = Client(address), queue, "x" * payload_bytes

    def turn(self, n: int) -> None:
        self._client.enqueue(self._queue, {"n": n, "fill": self._fill})

    def many(self, first: int, count: int) -> int:
        jobs = (NewJob(queue=self._queue, payload={"n": n, "fill": self._fill}) for n in range(first, first + count))
        return len(self._client.enqueue_many(jobs))


def work(address: str, queue: str) -> None:
    worker = Worker(queue, url=address, concurrency=AT_ONCE, prefetch=AT_ONCE)

    @worker.handler()
    async def handle(job: HeldJob) -> None:
        handled(job.payload["n"])

    worker.run()
