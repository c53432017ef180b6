"""Huey on SQLite with a flush each, or on Redis. Its worker is the consumer with one thread."""

from functools import cache
from typing import Any

from huey import Huey, RedisHuey, SqliteHuey
from huey.consumer import Consumer

from bench.callers.marks import handled


@cache
def tasks(address: str) -> tuple[Huey, Any]:
    if address.startswith("redis:"):
        huey = RedisHuey("bench", url=address, results=False)
    else:
        huey = SqliteHuey("bench", filename=address, fsync=True, results=False)

    @huey.task()
    def handle(n: int, _fill: str) -> None:
        handled(n)

    return huey, handle


class Producer:
    """Calling a task."""

    def __init__(self, address: str, queue: str, payload_bytes: int) -> None:
        self._handle, self._fill = tasks(address)[1], "x" * payload_bytes

    def turn(self, n: int) -> None:
        self._handle(n, self._fill)


def work(address: str, queue: str) -> None:
    Consumer(tasks(address)[0], workers=1, worker_type="thread", periodic=False).run()
