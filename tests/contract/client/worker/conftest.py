"""Workers that end with their test."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from holdfast import Client, Worker
from tests.contract.client.worker.workers import Program
from tests.system.whole.servers import Server


@pytest.fixture
def worker(shared: Server, queue: str) -> Callable[..., Worker]:
    """Makes workers on the test's queue."""
    return lambda **options: Worker(queue, **{"url": shared.url, "poll_ms": 5_000, **options})


@pytest.fixture
def program(shared: Server, queue: str) -> Iterator[Callable[..., Program]]:
    """Starts workers as programs on the test's queue."""
    started: list[Program] = []

    def start(url: str = shared.url, **options: Any) -> Program:
        started.append(Program(url, queue, **options))
        return started[-1]

    yield start
    for each in started:
        each.destroy()


@pytest.fixture
def put(witness: Client, queue: str) -> Callable[..., int]:
    """Puts a job, by type and payload; its id."""
    return lambda type="", payload=None, **options: witness.enqueue(queue, payload, type=type, **options).id


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[..., list[logging.LogRecord]]:
    """The records of the worker's log, by a part of their text and by level."""
    caplog.set_level(logging.DEBUG, "holdfast.worker")
    return lambda text="", level=logging.DEBUG: [
        each
        for each in caplog.records
        if each.name == "holdfast.worker" and text in each.getMessage() and each.levelno >= level
    ]
