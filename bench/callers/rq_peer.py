"""RQ. Its worker is the one that does not fork for every job, which is its fast way."""

from redis import Redis
from rq import Queue, SimpleWorker

from bench.callers.marks import handled


def handle(n: int, _fill: str) -> None:
    handled(n)


class Producer:
    """`Queue.enqueue`."""

    def __init__(self, address: str, queue: str, payload_bytes: int) -> None:
        self._queue, self._fill = Queue(queue, connection=Redis.from_url(address)), "x" * payload_bytes

    def turn(self, n: int) -> None:
        self._queue.enqueue(handle, n, self._fill, result_ttl=0)


def work(address: str, queue: str) -> None:
    connection = Redis.from_url(address)
    SimpleWorker([Queue(queue, connection=connection)], connection=connection).work(logging_level="WARNING")
