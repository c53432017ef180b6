"""Tasks with a queue of their own, and workers that run beside a test."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from holdfast.tasks import Tasks
from tests.contract.client.clients import LOOPS, PATIENCE_S, Loop
from tests.contract.client.worker.workers import running
from tests.system.whole.servers import Server

_numbers = itertools.count(1)


@pytest.fixture
def tasks(server: Server) -> Tasks:
    """Tasks of a queue that no other test uses."""
    return Tasks(server.url, queue=f"q{next(_numbers)}", deadline=PATIENCE_S)


@pytest.fixture
def working() -> Callable[..., AbstractContextManager[Any]]:
    """A worker for all tasks, within a block."""
    return lambda tasks, **options: running(tasks.worker(**options))


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    """Each kind of event loop, in a thread."""
    loop = Loop(LOOPS[request.param])
    yield loop
    loop.close()
