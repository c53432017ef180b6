"""taskiq's own tests with Holdfast's broker, and results kept by it, in place of taskiq's broker in memory."""

import asyncio
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import pytest
import taskiq
from taskiq import AsyncBroker
from taskiq.events import TaskiqEvents
from taskiq.exceptions import UnknownTaskError
from taskiq.receiver import Receiver
from taskiq.utils import maybe_awaitable

from holdfast.taskiq import HoldfastBroker

_numbers = itertools.count()
_made = []


class Broker(HoldfastBroker):
    """Its worker runs in the same event loop, from the first message on."""

    def __init__(
        self,
        sync_tasks_pool_size=4,
        max_stored_results=100,
        cast_types=True,
        max_async_tasks=30,
        max_async_tasks_jitter=0,
        propagate_exceptions=True,
        await_inplace=False,
    ):
        super().__init__(os.environ["HOLDFAST_URL"], queue=f"t{os.getpid()}.{next(_numbers)}", results=True)
        self.receiver = Receiver(
            self,
            executor=ThreadPoolExecutor(sync_tasks_pool_size),
            validate_params=cast_types,
            max_async_tasks=max_async_tasks,
            max_async_tasks_jitter=max_async_tasks_jitter,
            propagate_exceptions=propagate_exceptions,
            run_startup=False,
        )
        self._await_inplace = await_inplace
        self._running_tasks = set()
        self._finish = asyncio.Event()
        self._working = None
        _made.append(self)

    async def kick(self, message):
        if self.find_task(message.task_name) is None:
            raise UnknownTaskError(task_name=message.task_name)
        await super().kick(message)
        if self._working is None:
            self._working = asyncio.create_task(self.receiver.listen(self._finish))
        if self._await_inplace:
            await self.wait_all()

    async def wait_all(self):
        while (jobs := (await self.client.queue(self.queue)).jobs).ready + jobs.leased:  # noqa: ASYNC110  (it can only be asked about)
            await asyncio.sleep(0.02)

    async def startup(self):
        self.is_worker_process = False
        await super().startup()
        for handler in self.event_handlers[TaskiqEvents.WORKER_STARTUP]:
            await maybe_awaitable(handler(self.state))

    async def shutdown(self):
        if self._working is not None:
            self._finish.set()
            await asyncio.wait([self._working], timeout=5)
            self._working.cancel()
            self._working = None
        await super().shutdown()
        for handler in self.event_handlers[TaskiqEvents.WORKER_SHUTDOWN]:
            await maybe_awaitable(handler(self.state))


taskiq.InMemoryBroker = Broker  # before a module of tests imports it


@pytest.fixture(autouse=True)
async def no_broker_is_left():
    yield
    AsyncBroker.global_task_registry = {}
    for broker in _made:
        broker.event_handlers.clear()
        broker.middlewares.clear()
        await broker.shutdown()
    _made.clear()
    AsyncBroker.is_worker_process = AsyncBroker.is_scheduler_process = False


@pytest.fixture
def mock_sleep():
    """Sleeping takes a ten-thousandth of its time."""
    sleep = asyncio.sleep
    with patch("asyncio.sleep", lambda delay: sleep(delay / 10_000)):
        yield
