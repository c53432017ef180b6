"""Whatever comes in whatever order: no ready job stays while somebody waits who may have it, and what is leased was told to somebody.

Long polls and feeds of channels wait side by side, over a real store. News, other takers, callers who leave, quiet workers, pauses, refusals, grants
that are cut by bytes and the drain come at any moment of what is under way.
"""

import asyncio

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast import limits
from holdfast.clock import ManualClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.doors.websocket import job_feeder
from holdfast.doors.websocket.job_feeder import JobFeeder, Wanted
from holdfast.engine.engine import Engine
from holdfast.engine.waiters import Patience
from holdfast.errors import HoldfastError
from holdfast.job.job import NewJob
from holdfast.job.queue import QueuePolicy
from holdfast.messages.commands import ConcludeLease, Enqueue, LeaseJobs, PauseQueue, QuietWorker, ReleaseLease
from holdfast.messages.queries import GetQueue
from holdfast.stores.sqlite.store import SqliteStore
from tests.every_case import EVERY_CASE

QUEUES = ("a", "b")
NAMES = st.sampled_from([("a",), ("b",), ("a", "b"), ("b", "a")])
WHICH = st.integers(0, 9)
DEEDS = st.one_of(
    st.tuples(st.just("poll"), NAMES, st.integers(1, 3), st.booleans()),
    st.tuples(st.just("feed"), NAMES, st.integers(0, 3), st.booleans()),
    st.tuples(st.just("put"), st.lists(st.sampled_from(QUEUES), min_size=1, max_size=4)),
    st.tuples(st.just("take"), NAMES, st.integers(1, 2)),
    st.tuples(st.just("cancel"), WHICH),
    st.tuples(st.just("leave"), WHICH),
    st.tuples(st.just("credits"), WHICH, st.integers(0, 3)),
    st.tuples(st.just("end"), WHICH, st.booleans()),
    st.tuples(st.just("pause"), st.sampled_from(QUEUES), st.booleans()),
    st.tuples(st.just("quiet")),
    st.tuples(st.just("busy"), st.booleans()),
    st.tuples(st.just("pass_over"), st.booleans()),
)
STEPS = st.one_of(DEEDS, st.tuples(st.just("with_the_news"), DEEDS))


class Channel:
    """A worker with credits, as the feeder sees it."""

    def __init__(self, scene, queues, room, worker):
        self.scene, self.queues, self.credits, self.worker = scene, queues, room, worker
        self.held = []
        self.feeder = JobFeeder(scene.engine, self, Wanted(queues, worker, None, False))
        self.feeder.nudge()

    def room(self):
        return self.credits - len(self.held)

    def give(self, granted):
        assert not self.feeder.left, "given to one who has left"
        assert len(granted.jobs) <= self.room()
        self.held += [one.job.ref() for one in granted.jobs]

    def drain(self):
        self.credits = 0

    def close(self):
        self.feeder.leave()
        self.scene.engine.give_back(self.held)
        self.held = []


class Poll:
    """A long poll whose caller may vanish, be found gone by its door, or be told."""

    def __init__(self, scene, queues, limit, worker):
        self.scene, self.queues, self.worker = scene, queues, worker
        self.held, self.patience = [], Patience()
        self.task = asyncio.create_task(self.wait(limit))

    async def wait(self, limit):
        engine = self.scene.engine
        try:
            granted = await engine.lease(self.queues, limit, self.worker, wait_ms=50_000, patience=self.patience)
        except HoldfastError:
            return
        if self.patience.over:
            engine.give_back(granted.returnable())
        else:
            self.held = [one.job.ref() for one in granted.jobs]


class Scene:
    """The engine, and all who want something of it."""

    def __init__(self):
        self.backend = LocalBackend(SqliteStore(None, QueuePolicy()), ManualClock())
        self.backend._runner = asyncio.create_task(self.backend.committer.run())
        self.engine = Engine(self.backend)
        self.polls, self.channels, self.takers = [], [], []
        self.busy = False
        self.pick = self.backend.committer._awaiting.pick
        self.at_news = []
        self.backend.listen(self.news)  # behind the engine: whoever it wakes has not looked yet

    def news(self, committed):
        doing, self.at_news = self.at_news, []
        for deed in doing if committed.ready else ():
            self.do(deed)

    def with_the_news(self, deed):
        self.at_news.append(deed)

    async def begin(self):
        self.quiet = (await self.engine.workers.register(QUEUES, "host")).id
        self.is_quiet = False

    def worker(self, registered):
        return self.quiet if registered else "w"

    def do(self, deed):
        verb, *given = deed
        getattr(self, {"quiet": "quiet_worker", "busy": "busy_for_now"}.get(verb, verb))(*given)

    def poll(self, queues, limit, registered):
        self.polls.append(Poll(self, queues, limit, self.worker(registered)))

    def feed(self, queues, room, registered):
        self.channels.append(Channel(self, queues, room, self.worker(registered)))

    def put(self, queues):
        self.backend.submit(Enqueue([NewJob(queue, b"12345678") for queue in queues]))

    def take(self, queues, limit):
        self.takers.append(self.backend.submit(LeaseJobs(queues, limit, "taker", None)))

    def cancel(self, which):
        if self.polls:
            self.polls[which % len(self.polls)].task.cancel()

    def leave(self, which):
        everybody = self.polls + self.channels
        if everybody:
            one = everybody[which % len(everybody)]
            one.patience.end() if isinstance(one, Poll) else one.close()

    def credits(self, which, number):
        if self.channels:
            channel = self.channels[which % len(self.channels)]
            channel.credits = number
            channel.feeder.nudge()

    def end(self, which, concludes):
        holders = [one for one in self.polls + self.channels if one.held]
        if holders:
            one = holders[which % len(holders)]
            ref = one.held.pop()
            self.backend.submit(ConcludeLease(ref) if concludes else ReleaseLease(ref))
            if isinstance(one, Channel):
                one.feeder.nudge()

    def pause(self, queue, paused):
        self.backend.submit(PauseQueue(queue, paused))

    def quiet_worker(self):
        self.is_quiet = True
        self.backend.submit(QuietWorker(self.quiet))

    def busy_for_now(self, busy):
        if busy != self.busy:
            self.busy = busy
            self.engine.in_flight += limits.IN_FLIGHT_COMMANDS if busy else -limits.IN_FLIGHT_COMMANDS

    def pass_over(self, passed_over):
        """Whether commits grant nothing to those who wait, so that they have to look after the news; other nodes' commits never do."""
        self.backend.committer._awaiting.pick = (lambda _: []) if passed_over else self.pick

    async def settle(self):
        """Until nothing is under way; whoever asks again and again in vain never gets there."""
        for _ in range(100):
            self.busy_for_now(False)
            batches = self.backend.totals.batches
            for _ in range(30):
                await asyncio.sleep(0)
            if batches == self.backend.totals.batches and not self.engine.in_flight:
                return
        raise AssertionError("somebody goes in circles")

    async def check(self):
        taken = [one for taker in self.takers if hasattr(answer := taker.result(), "jobs") for one in answer.jobs]
        told = len(taken) + sum(len(one.held) for one in self.polls + self.channels)
        leased = 0
        for queue in QUEUES:
            info = await self.backend.submit(GetQueue(queue))
            if not hasattr(info, "tally"):
                continue  # nothing was put into it
            leased += info.tally.leased
            waiting = [one for one in self.polls if not one.task.done() and not one.patience.over]
            waiting += [one for one in self.channels if one.room() > 0 and not one.feeder.left]
            able = [one for one in waiting if queue in one.queues and not (self.is_quiet and one.worker == self.quiet)]
            assert info.paused or not info.tally.ready or not able, (
                f"{info.tally.ready} jobs wait in {queue}, and so do {len(able)} workers"
            )
        assert leased == told, "a lease is held by nobody who knows"

    async def over(self):
        self.at_news.clear()
        self.engine.drain()
        await self.settle()
        assert all(poll.task.done() for poll in self.polls)
        assert self.engine.arrivals._lines == {}
        for channel in self.channels:
            channel.close()
        await self.settle()
        assert (self.engine.arrivals.parked, self.engine.in_flight) == (0, 0)
        assert not self.backend.committer._awaiting
        await self.check()
        await self.backend.stop()


async def play(rounds):
    scene = Scene()
    await scene.begin()
    for steps in rounds:
        for deed, turns in steps:
            scene.do(deed)
            for _ in range(turns):
                await asyncio.sleep(0)
        await scene.settle()
        await scene.check()  # before other news mends what was lost
    await scene.over()


@pytest.fixture(scope="module", autouse=True)
def quickly():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_feeder, "_PAUSE_MS", 0)
        patch.setattr(job_feeder, "CHANNEL_GRANT_BYTES", 20)  # two of these jobs
        yield


MOMENTS = st.integers(0, 7)
ROUNDS = st.lists(st.lists(st.tuples(STEPS, MOMENTS), min_size=2, max_size=8), min_size=3, max_size=10)


BOTH_WAIT = [(("feed", ("a",), 1, False), 7), (("poll", ("a",), 1, False), 7)]  # the channel is the first to be woken
PUT = (("put", ["a"]), 7)


@settings(max_examples=400 if EVERY_CASE else 150, deadline=None)
@given(ROUNDS)
@example([BOTH_WAIT, [(("with_the_news", ("credits", 0, 0)), 0), PUT]])
@example([BOTH_WAIT, [(("with_the_news", ("leave", 1)), 0), PUT]])
@example([[(("put", ["a", "a"]), 7)], [(("feed", ("a",), 3, False), 2), (("credits", 0, 0), 7)]])
@example(
    [
        [(("poll", ("a", "b"), 1, False), 7), (("poll", ("b",), 1, False), 7)],
        [(("with_the_news", ("put", ["a"])), 0), (("put", ["b"]), 7)],
    ]
)
def test_no_ready_job_stays_while_somebody_waits_who_may_have_it(rounds):
    asyncio.run(play(rounds))
