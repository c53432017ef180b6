"""`holdfast.tasks.Tasks`: a typed task, enqueued and run as users do."""

from typing import Any

from bench.callers.marks import handled
from holdfast.tasks import Tasks

AT_ONCE = 32


def tasks(address: str, queue: str) -> tuple[Tasks, Any]:
    made = Tasks(address, queue=queue)

    @made.task(name="handle")
    async def handle(n: int, fill: str) -> None:
        handled(n)

    return made, handle


class Producer:
    """`Task.enqueue`."""

    def __init__(self, address: str, queue: str, payload_bytes: int) -> None:
        self._handle, self._fill = tasks(address, queue)[1], "x" * payload_bytes

    def turn(self, n: int) -> None:
        self._handle.enqueue(n, self._fill)

    def many(self, first: int, count: int) -> int:
        return len(self._handle.many(self._handle.job(n, self._fill) for n in range(first, first + count)))


def work(address: str, queue: str) -> None:
    tasks(address, queue)[0].worker(concurrency=AT_ONCE, prefetch=AT_ONCE).run()
