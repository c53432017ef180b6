"""Dramatiq on Redis or on Holdfast. Its worker is one process with eight threads, as its command line starts them."""

import signal
import threading

import dramatiq
from dramatiq.worker import Worker

from bench.callers.marks import handled


def tasks(address: str, queue: str) -> tuple[dramatiq.Broker, dramatiq.Actor]:
    if address.startswith("http:"):
        from holdfast.dramatiq import HoldfastBroker as Broker  # noqa: PLC0415  (which peers have not)
    else:
        from dramatiq.brokers.redis import RedisBroker as Broker  # noqa: PLC0415
    broker = Broker(url=address)
    dramatiq.set_broker(broker)

    @dramatiq.actor(queue_name=queue)
    def handle(n: int, fill: str) -> None:
        handled(n)

    return broker, handle


class Producer:
    """`Actor.send`."""

    def __init__(self, address: str, queue: str, payload_bytes: int) -> None:
        self._handle, self._fill = tasks(address, queue)[1], "x" * payload_bytes

    def turn(self, n: int) -> None:
        self._handle.send(n, self._fill)


def work(address: str, queue: str) -> None:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    worker = Worker(tasks(address, queue)[0])
    worker.start()
    ended.wait()
    worker.stop()
