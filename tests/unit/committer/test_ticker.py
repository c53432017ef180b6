"""Periodic work: done when it is due and not before, in bounded chunks to the end, and going on after it stumbled."""

import asyncio

import pytest
from structlog.testing import capture_logs

from holdfast.clock import SystemClock
from holdfast.committer.ticker import Tick, Ticker
from holdfast.engine.engine import Engine
from holdfast.errors import JobNotFound
from holdfast.job.job import State
from holdfast.job.queue import QueueSettings
from holdfast.messages.commands import ConcludeLease, Enqueue, LeaseJobs, SetQueue

SOON = 10


@pytest.fixture
async def run():
    """Run one tick; the ticker is stopped after the test."""
    tickers = []

    def start(*ticks):
        ticker = Ticker(list(ticks))
        ticker.start()
        tickers.append(ticker)
        return ticker

    yield start
    for ticker in tickers:
        await ticker.stop()
        assert all(task.done() for task in ticker._tasks)


class Work:
    """Counts its chunks; `more` says after which of them there is more to do."""

    def __init__(self, *more, stumbles=0):
        self.chunks = 0
        self._more = list(more)
        self._stumbles = stumbles
        self._done = asyncio.Condition()

    async def __call__(self):
        async with self._done:
            self.chunks += 1
            self._done.notify_all()
        if self._stumbles:
            self._stumbles -= 1
            raise LookupError("a defect")
        return self._more.pop(0) if self._more else False

    async def reaches(self, chunks):
        async with asyncio.timeout(SOON), self._done:
            await self._done.wait_for(lambda: self.chunks >= chunks)


async def test_a_tick_comes_again_and_again(run):
    work = Work()
    run(Tick("t", 0.005, work))
    await work.reaches(3)


async def test_what_is_left_is_done_at_once_bite_after_bite(run):
    left = [0.0]

    async def due():
        return left.pop() if left else 100.0

    work = Work(True, True, True, False)
    run(Tick("t", 100, work, due))
    await work.reaches(4)


async def test_a_tick_that_stumbles_goes_on(run):
    work = Work(stumbles=2)
    run(Tick("t", 0.005, work))
    await work.reaches(4)


async def test_one_tick_that_stumbles_does_not_stop_another(run):
    bad, good = Work(stumbles=10_000), Work()
    run(Tick("bad", 0.005, bad), Tick("good", 0.005, good))
    await bad.reaches(2)
    await good.reaches(good.chunks + 2)


async def test_a_tick_with_a_due_moment_waits_for_it_and_looks_again_every_period(run):
    left, asked = [0.01, 0.01, 0.0], []

    async def due():
        asked.append(left.pop(0) if left else 100.0)
        return asked[-1]

    work = Work()
    run(Tick("t", 30, work, due))
    await work.reaches(1)
    assert asked[:3] == [0.01, 0.01, 0.0]


async def test_a_nudge_makes_a_tick_look_at_its_moment_anew(run, turns):
    left = [100.0]

    async def due():
        return left[-1]

    async def work():
        left.append(100.0)
        done.set()
        return False

    done = asyncio.Event()
    ticker = run(Tick("t", 50, work, due))
    await turns()
    assert not done.is_set()
    left.append(0.0)
    ticker.nudge()
    await asyncio.wait_for(done.wait(), SOON)


async def test_a_nudge_while_a_tick_is_asked_for_its_moment_is_not_lost_though_others_wait_for_nudges_too(run):
    asked, answer = asyncio.Event(), asyncio.Event()
    moments = [0.0, 100.0]

    async def slow():
        asked.set()
        await answer.wait()
        return moments.pop() if moments else 100.0

    async def idle():
        return 100.0

    work = Work()
    ticker = run(Tick("slow", 100, work, slow), Tick("idle", 100, Work(), idle))
    await asked.wait()
    ticker.nudge()
    for _ in range(5):  # the other one looks, and waits again
        await asyncio.sleep(0)
    answer.set()
    await work.reaches(1)


async def test_a_tick_that_raises_each_time_is_told_once_and_tried_after_pauses_that_grow(run):
    work = Work(stumbles=10**9)
    began = asyncio.get_running_loop().time()
    with capture_logs() as logs:
        run(Tick("t", 0.01, work))
        await work.reaches(6)
    assert len(logs) == 1
    assert asyncio.get_running_loop().time() - began > 0.01 * (1 + 2 + 4 + 8 + 16)


async def test_a_fault_that_changes_is_told_again(run):
    faults = [LookupError("one"), LookupError("one"), LookupError("two"), KeyError("two")]
    done = asyncio.Event()

    async def work():
        if faults:
            raise faults.pop(0)
        done.set()
        return False

    with capture_logs() as logs:
        run(Tick("t", 0.001, work))
        await asyncio.wait_for(done.wait(), SOON)
    assert len(logs) == 3


async def test_what_is_due_and_cannot_be_done_is_not_tried_at_full_speed(run):
    work = Work()

    async def due():
        return -1.0

    run(Tick("t", 1, work, due))
    await work.reaches(1)
    await asyncio.sleep(0.2)
    assert work.chunks < 20


# Over a store, on the machine's clock ---------------------------------------------------------------------------------


@pytest.fixture
async def ticking(start, monkeypatch):
    """A backing whose ticks come so rarely by themselves that only what is due can have brought them."""
    monkeypatch.setattr("holdfast.committer.local_backend._HOUSEKEEPING_S", 100.0)
    return start(ticking=True, clock=SystemClock())


async def lease(engine, *queues):
    return (await asyncio.wait_for(engine.lease(queues or ("q",), wait_ms=50_000), SOON)).jobs[0].job


async def test_a_scheduled_job_is_given_out_at_its_moment_without_anybody_asking(ticking, new):
    engine = Engine(ticking)
    await ticking.submit(Enqueue([new(delay_ms=120)]))
    job = await lease(engine)
    assert job.leased_at >= job.created_at + 120


async def test_a_lease_that_ends_gives_its_job_to_the_next_who_waits(ticking, new):
    engine = Engine(ticking)
    await ticking.submit(Enqueue([new()]))
    first = (await engine.lease(("q",), lease_ms=120)).jobs[0].job
    job = await lease(engine)
    assert (job.attempt, job.crashes) == (2, 1)
    assert job.leased_at >= first.leased_at + 120


async def test_an_earlier_moment_that_comes_up_meanwhile_is_kept(ticking, new):
    engine = Engine(ticking)
    await ticking.submit(Enqueue([new("late", delay_ms=60_000)]))
    await ticking.submit(Enqueue([new(delay_ms=100)]))
    assert (await lease(engine, "late", "q")).queue == "q"


async def test_more_jobs_than_one_bite_come_due_together(ticking, new):
    engine = Engine(ticking)
    for _ in range(3):
        await ticking.submit(Enqueue([new(delay_ms=300) for _ in range(1_000)]))
    found = 0
    async with asyncio.timeout(SOON):
        while found < 3_000:
            found += len((await engine.lease(("q",), 1_000, wait_ms=50_000)).jobs)
    assert found == 3_000


async def test_history_past_its_retention_is_forgotten_without_anybody_asking(start, new):
    ticking = start(ticking=True, clock=SystemClock())
    engine = Engine(ticking)
    await ticking.submit(SetQueue("q", QueueSettings(retention_ms=1), whole=True))
    await ticking.submit(Enqueue([new(), new()]))
    granted = await ticking.submit(LeaseJobs(("q",), 1, "w"))
    stream = engine.hub.subscribe("q")
    await engine.end(ConcludeLease(granted.jobs[0].job.ref()))
    async with asyncio.timeout(SOON):
        verbs = []
        while "forgotten" not in verbs:
            verbs += [event.verb for event in await stream.next(5)]
    engine.hub.unsubscribe(stream)
    with pytest.raises(JobNotFound):
        await engine.reading.job(1)
    assert (await engine.reading.job(2)).job.state is State.READY


async def test_it_stops_also_where_work_takes_the_cancellation_for_something_else(run):
    begun = asyncio.Event()

    async def connecting():
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return False  # as a driver that was just connected
        return False

    ticker = run(Tick("t", 0.005, connecting))
    await begun.wait()
    async with asyncio.timeout(SOON):
        await ticker.stop()
