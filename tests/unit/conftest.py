"""An engine over a real SQLite store in memory, on a clock that moves when it is told to.

`engine` runs the committer and no ticks, so that time passes only by command; `backend` is what it talks to. `start` builds others: over
another store, or with the ticks.
"""

import asyncio

import pytest

from holdfast.clock import ManualClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.engine.engine import Engine
from holdfast.job.job import Extras, NewJob
from holdfast.job.queue import QueuePolicy
from holdfast.stores.sqlite.store import SqliteStore

EXTRAS = set(Extras.__struct_fields__)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def new():
    """A job to be put; what belongs into its extras is sorted there."""

    def job(queue="q", payload=b"1", **options):
        extras = Extras(**{name: options.pop(name) for name in EXTRAS & set(options)})
        return NewJob(queue, payload, extras=extras, **options)

    return job


@pytest.fixture
async def start(clock):
    """Run a backing over a store, by default a new one in memory; everything is ended after the test."""
    started = []

    def run(store=None, ticking=False, clock=clock):
        backend = LocalBackend(store or SqliteStore(None, QueuePolicy()), clock)
        if ticking:
            backend.start()
        else:
            backend._runner = asyncio.create_task(backend.committer.run())
        started.append(backend)
        return backend

    yield run
    for backend in started:
        await asyncio.wait_for(backend.stop(), 10)


@pytest.fixture
async def backend(start):
    return start()


@pytest.fixture
async def engine(backend):
    return Engine(backend)


@pytest.fixture
def turns():
    """Let everything run that can run without time passing."""

    async def pass_(count=50):
        for _ in range(count):
            await asyncio.sleep(0)

    return pass_


@pytest.fixture
def together(backend):
    """Hand commands in so that they are decided in one transaction."""

    async def submit(*commands):
        commits = backend.totals.commits
        futures = [backend.submit(command) for command in commands]
        results = [await future for future in futures]
        assert backend.totals.commits == commits + 1, "they were not committed together"
        return results

    return submit


@pytest.fixture
async def polls(engine, turns):
    """Begin a long poll and let it park; cancelled after the test if it still waits."""
    tasks = []

    async def begin(*queues, **options):
        tasks.append(asyncio.create_task(engine.lease(queues or ("q",), wait_ms=50_000, **options)))
        await turns()
        return tasks[-1]

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
