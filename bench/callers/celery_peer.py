"""Celery on Redis or on Holdfast, without results. Its worker runs tasks in its own process (`--pool solo`), its fast way for handlers that do nothing."""

from celery import Celery, Task

from bench.callers.marks import handled


def tasks(address: str, queue: str) -> tuple[Celery, Task]:
    if address.startswith("http:"):
        import holdfast.celery  # noqa: F401, PLC0415  (which peers have not)

        address = address.replace("http:", "holdfast:")
    app = Celery("bench", broker=address)
    app.conf.update(task_ignore_result=True, task_default_queue=queue, worker_prefetch_multiplier=32, task_acks_late=False)

    @app.task(name="handle")
    def handle(n: int, _fill: str) -> None:
        handled(n)

    return app, handle


class Producer:
    """`Task.delay`."""

    def __init__(self, address: str, queue: str, payload_bytes: int) -> None:
        self._handle, self._fill = tasks(address, queue)[1], "x" * payload_bytes

    def turn(self, n: int) -> None:
        self._handle.delay(n, self._fill)


def work(address: str, queue: str) -> None:
    quiet = ["--loglevel=WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    tasks(address, queue)[0].worker_main(["worker", "--pool=solo", *quiet])
