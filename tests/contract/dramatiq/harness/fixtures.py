"""The fixtures of Dramatiq's own tests, with Holdfast's broker in place of each of Dramatiq's, and results kept by it."""

import gc
import itertools
import os
import sys
from types import ModuleType
from unittest.mock import MagicMock

import dramatiq
import pytest
from dramatiq import Middleware, Worker
from dramatiq.rate_limits.backends import StubBackend
from msgspec import Raw

from holdfast.client.kept_results import data_of
from holdfast.dramatiq import HoldfastBroker
from holdfast.dramatiq.results import Results

# Brokers that are not installed: of these, only the names are imported; the tests of what is theirs alone are left out.
for name in ("pika", "pika.exceptions", "redis", "dramatiq.brokers.rabbitmq", "dramatiq.brokers.redis"):
    module = ModuleType(name)
    module.__getattr__ = lambda name: MagicMock(name=name)
    sys.modules[name] = module

_numbers = itertools.count()


class DeadLetters(Middleware):
    """Notes what has failed for good, with its exception; without, where a test looks whether that is still held."""

    def __init__(self):
        self.by_queue = {}

    def after_nack(self, broker, message):
        exception = message._exception if gc.isenabled() else None
        self.by_queue.setdefault(message.queue_name, []).append((message, exception))


class Queue:
    """A queue of the server, as the queues of Dramatiq's broker for tests."""

    def __init__(self, client, name):
        self._client, self._name = client, name

    def put(self, data):
        self._client.enqueue(self._name, Raw(data))

    def get(self, timeout):
        (job,) = self._client.lease(self._name, wait_ms=round(timeout * 1_000))
        return data_of(job)

    def qsize(self):
        return self._client.queue(self._name).jobs.ready


class Broker(HoldfastBroker):
    """Holdfast's, with what Dramatiq's brokers have for tests: waiting raises what an actor has raised, and messages are counted."""

    def __init__(self):
        self.dead = DeadLetters()
        super().__init__(os.environ["HOLDFAST_URL"], prefix=f"{os.getpid()}.{next(_numbers)}.")
        self.add_middleware(self.dead)

    @property
    def dead_letters(self):
        return [message for failed in self.dead.by_queue.values() for message, _ in failed]

    def declare_queue(self, queue_name):
        super().declare_queue(queue_name)
        self.queues[queue_name] = Queue(self.client, self.prefix + queue_name)

    def join(self, queue_name, *, timeout=None, fail_fast=True, min_successes=None):
        super().join(queue_name, timeout=timeout)
        failed = self.dead.by_queue.get(queue_name, [])
        if fail_fast and min_successes is None and failed:
            raise failed[0][1] or Exception("it has failed")

    def flush_all(self):
        super().flush_all()
        self.dead.by_queue.clear()

    def get_queue_message_counts(self, queue_name):
        jobs = self.client.queue(self.prefix + queue_name).jobs
        return jobs.ready + jobs.leased, jobs.scheduled, jobs.dead


class Patient(Broker):
    """Brokers of servers do not raise what an actor has raised."""

    def join(self, queue_name, *, timeout=None, min_successes=None):
        super().join(queue_name, timeout=timeout, fail_fast=False)


def _broker(kind):
    broker = kind()
    broker.emit_after("process_boot")
    dramatiq.set_broker(broker)
    yield broker
    broker.flush_all()
    broker.close()


def _worker(broker):
    worker = Worker(broker, worker_timeout=100, worker_threads=8)
    worker.start()
    yield worker
    worker.stop()


@pytest.fixture
def stub_broker():
    yield from _broker(Broker)


@pytest.fixture
def rabbitmq_broker():
    yield from _broker(Patient)


@pytest.fixture
def redis_broker():
    yield from _broker(Patient)


@pytest.fixture
def stub_worker(stub_broker):
    yield from _worker(stub_broker)


@pytest.fixture
def rabbitmq_worker(rabbitmq_broker):
    yield from _worker(rabbitmq_broker)


@pytest.fixture
def redis_worker(redis_broker):
    yield from _worker(redis_broker)


@pytest.fixture
def result_backend(stub_broker):
    return Results(stub_broker.client)


@pytest.fixture
def redis_result_backend(result_backend):
    return result_backend


@pytest.fixture
def rate_limiter_backend():
    return StubBackend()
