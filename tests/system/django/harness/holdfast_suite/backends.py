"""Holdfast's backend in the roles of those that the tests were written for.

`PREFIX` in the environment begins the names of a test's queues, so that each test finds an empty server.
"""

import copy
import os
import threading
import time
from dataclasses import replace

from holdfast import Client
from holdfast.django import HoldfastBackend
from holdfast.django.compat import TASKS, TaskResult
from holdfast.django.worker import DjangoWorker

_ATTRIBUTES = (
    "enqueued_at", "status", "started_at", "finished_at", "last_attempted_at", "errors", "worker_ids", "_return_value",
)  # fmt: skip


class Suite(HoldfastBackend):
    """Enqueues at once, as these tests expect."""

    @property
    def given(self):
        return replace(self._given, enqueue="now", queue_prefix=os.environ.get("PREFIX", ""))

    @given.setter
    def given(self, given):
        self._given = given


class DummyBackend(Suite):
    """Remembers what was enqueued."""

    def __init__(self, alias, params):
        super().__init__(alias, params)
        self.results = []

    def enqueue(self, task, args, kwargs):
        result = super().enqueue(task, args, kwargs)
        self.results.append(copy.deepcopy(result))
        return result

    async def aenqueue(self, task, args, kwargs):
        result = await super().aenqueue(task, args, kwargs)
        self.results.append(copy.deepcopy(result))
        return result

    def clear(self):
        client = self.client(Client)
        for result in self.results:
            for receipt in client.receipts(result.id):
                if not receipt.gone:
                    client.delete(receipt.id)
        self.results.clear()


class ImmediateBackend(Suite):
    """Runs a worker whenever something was enqueued."""

    def enqueue(self, task, args, kwargs):
        result = super().enqueue(task, args, kwargs)
        self._run(result)
        return result

    def _run(self, result: TaskResult) -> None:
        worker = DjangoWorker(self, [result.task.queue_name])
        running = threading.Thread(target=worker.run, kwargs={"until_empty": True})  # with no context of the caller's
        running.start()
        running.join()
        done = self.get_result(result.id)
        for name in _ATTRIBUTES:
            object.__setattr__(result, name, getattr(done, name))

    async def aenqueue(self, task, args, kwargs):
        from asgiref.sync import sync_to_async  # noqa: PLC0415

        return await sync_to_async(self.enqueue, thread_sensitive=True)(task, args, kwargs)


def wait_for_workers(processes):
    """Until each of these has registered its worker or has ended, and no task waits for them."""
    client, until = TASKS["default"].client(Client), time.monotonic() + 60
    prefix = os.environ["PREFIX"]
    while time.monotonic() < until:
        alive = sum(process.poll() is None for process in processes)
        registered = sum(worker.queues[0].startswith(prefix) for worker in client.workers())
        waiting = sum(queue.jobs.ready for queue in client.queues() if queue.name.startswith(prefix))
        if registered >= alive and not (alive and waiting):
            return
        time.sleep(0.02)
    raise AssertionError("the workers did not start")
