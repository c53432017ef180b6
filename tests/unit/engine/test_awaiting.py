"""Callers that a commit grants something to: within the bounds of one transaction, to those who may have it, and nothing that nobody is told of."""

import asyncio

import pytest
from msgspec.structs import replace

from holdfast.auth.caller import CALLER, Caller
from holdfast.auth.keys import Ability
from holdfast.doors.websocket.job_feeder import JobFeeder, Wanted
from holdfast.errors import Forbidden, Unauthorized
from holdfast.job.job import State
from holdfast.job.queue import QueueSettings
from holdfast.limits import BATCH_BYTES, BATCH_JOBS, LEASE_JOBS, PAYLOAD_BYTES
from holdfast.messages.backend import FutureSink
from holdfast.messages.beanstalk_commands import EndPauses
from holdfast.messages.commands import Enqueue, LeaseJobs
from holdfast.messages.queries import GetJob

LONG = 50_000


@pytest.fixture
async def paused(engine, new):
    """Have so many jobs of a size in a paused queue."""

    async def fill(count, size=1):
        await engine.enqueue([new()])
        await engine.lease(("q",))
        await engine.pause("q", True)
        for start in range(0, count, LEASE_JOBS):
            payload = b"1" * size
            await engine.enqueue([new(payload=payload) for _ in range(min(LEASE_JOBS, count - start))])

    return fill


def taken(granted):
    return [one.job.id for one in granted.jobs]


async def soon(task):
    return await asyncio.wait_for(task, 5)


async def test_who_waits_for_more_bytes_than_one_commit_gives_is_given_the_rest_by_the_next(engine, polls, paused):
    count = BATCH_BYTES // PAYLOAD_BYTES + 4
    await paused(count, PAYLOAD_BYTES)
    waiting = [await polls() for _ in range(count)]
    await engine.pause("q", False)
    assert sorted([taken(await soon(one))[0] for one in waiting]) == list(range(2, count + 2))


async def test_a_commit_grants_no_more_jobs_than_a_transaction_may_change(engine, backend, polls, paused, monkeypatch):
    callers = BATCH_JOBS // LEASE_JOBS + 3
    await paused(callers * LEASE_JOBS)
    waiting = [await polls(limit=LEASE_JOBS) for _ in range(callers)]
    granted = []
    pick = backend.committer._awaiting.pick

    def picked(batch):
        found = pick(batch)
        granted.append(sum(one.command.limit for one in found))
        return found

    monkeypatch.setattr(backend.committer._awaiting, "pick", picked)
    await engine.pause("q", False)
    jobs = [job for one in waiting for job in taken(await soon(one))]
    assert len(set(jobs)) == len(jobs) == callers * LEASE_JOBS
    assert 0 < max(granted) <= BATCH_JOBS


async def test_a_copy_for_one_worker_reaches_it_past_others_who_wait_longer(engine, polls, new):
    worker = await engine.workers.register(("q",), "host")
    await engine.set_interest("q", "*")
    stranger = await polls()
    mine = await polls(worker=worker.id)
    await engine.publish(new("-", b"{}"), to_workers=True)
    assert len(taken(await soon(mine))) == 1
    assert not stranger.done()


async def paused_for(engine):
    await engine.pause_for("q", 1_000, False)


async def shut(engine):
    await engine.pause("q", True)


async def bounded(engine):
    await engine.set_queue("q", QueueSettings(max_running=1), False)


async def resumed(engine, backend, clock):
    await engine.pause("q", False)


async def ended(engine, backend, clock):
    clock.advance(1_000)
    await backend.submit(EndPauses())


async def widened(engine, backend, clock):
    await engine.set_queue("q", QueueSettings(max_running=2), False)


@pytest.mark.parametrize(("closed", "opened"), [(shut, resumed), (paused_for, ended), (bounded, widened)])
async def test_a_copy_for_one_worker_reaches_it_when_its_queue_gives_again_past_others_who_wait_longer(
    engine, backend, clock, polls, new, turns, closed, opened
):
    worker = await engine.workers.register(("q",), "host")
    await engine.set_interest("q", "*")
    await engine.enqueue([new()])
    await engine.lease(("q",))
    await closed(engine)
    await engine.publish(new("-", b"{}"), to_workers=True)
    strangers = [await polls(), await polls()]
    mine = await polls(worker=worker.id)
    await opened(engine, backend, clock)
    assert len(taken(await soon(mine))) == 1
    await turns()
    assert not any(stranger.done() for stranger in strangers)


@pytest.fixture
async def caller(engine):
    """Somebody with a key for all queues, who calls in this test."""
    key, _ = await engine.keys.create("ci", tuple(Ability))
    engine.keyring.take(1, [key])
    CALLER.set(found := engine.keyring.caller_of(key.id))
    assert isinstance(found, Caller)
    return found


def loses_the_queue(caller):
    caller.become(replace(caller.key, queues=("other",), abilities=(Ability.CONSUME,)))


def loses_the_ability(caller):
    caller.become(replace(caller.key, abilities=(Ability.READ,)))


def is_revoked(caller):
    caller.end("This access key was revoked.")


@pytest.mark.parametrize("change", [loses_the_queue, loses_the_ability, is_revoked])
@pytest.mark.parametrize("request_id", [None, "once"])
async def test_what_was_granted_to_a_key_that_may_not_have_it_any_more_is_ready_again_at_once(
    engine, backend, caller, polls, new, turns, change, request_id, monkeypatch
):
    """Also where a repeated request would get it: this key's does not."""
    poll = await polls(request=request_id)
    pick = backend.committer._awaiting.pick

    def picked(batch):
        monkeypatch.undo()
        found = pick(batch)
        change(caller)  # while the commit is under way that grants it
        return found

    monkeypatch.setattr(backend.committer._awaiting, "pick", picked)
    await soon(engine.ask_as_server(Enqueue([new()])))
    with pytest.raises((Forbidden, Unauthorized)):
        await soon(poll)
    await turns()
    job = (await backend.submit(GetJob(1))).job
    assert (job.state, job.attempt, job.crashes) == (State.READY, 1, 0)


class Unread:
    """A channel whose worker does not read what it is given."""

    def __init__(self):
        self.credits, self.unread = 5, False

    def room(self):
        return 0 if self.unread else self.credits

    def give(self, granted):
        self.credits -= len(granted.jobs)
        self.unread = True


async def test_a_channel_that_reads_nothing_does_not_wait_for_more_and_waits_once_when_it_reads_again(
    engine, backend, new, turns
):
    channel = Unread()
    feeder = JobFeeder(engine, channel, Wanted(("q",), "", None, False))
    feeder.nudge()
    await turns()
    for _ in range(3):
        await engine.enqueue([new()])
        await turns()
        assert (engine.arrivals.parked, len(backend.committer._awaiting)) == (0, 0)
        channel.unread = False
        feeder.nudge()
        await turns()
        assert (engine.arrivals.parked, len(backend.committer._awaiting)) == (1, 1)
    feeder.leave()
    await turns()
    assert (engine.arrivals.parked, len(backend.committer._awaiting)) == (0, 0)


class Silent(FutureSink):
    """A front that is not heard: so many who wait by it may be granted something."""

    def __init__(self, most):
        self.most = most

    def may_be_granted(self):
        return self.most

    def granted(self):
        self.most -= 1


async def test_a_commit_grants_few_to_a_front_that_is_not_heard_and_the_rest_to_others_who_wait(backend, engine, new):
    await engine.set_queue("q", QueueSettings(), False)
    silent, heard = Silent(2), FutureSink()
    loop = asyncio.get_running_loop()
    first, then = [loop.create_future() for _ in range(5)], [loop.create_future() for _ in range(3)]
    for one in first:
        backend.committer.await_jobs(LeaseJobs(("q",), 1, ""), silent, one)
    for one in then:
        backend.committer.await_jobs(LeaseJobs(("q",), 1, ""), heard, one)
    await engine.enqueue([new() for _ in range(5)])
    await engine.enqueue([new()])
    assert [one.done() for one in first] == [True, True, False, False, False]
    assert [one.done() for one in then] == [True, True, True]
    silent.most = 1  # it is heard
    await engine.enqueue([new()])
    assert [one.done() for one in first] == [True, True, True, False, False]


async def test_a_commit_looks_at_a_bounded_number_of_those_who_may_not_be_granted_anything(backend, engine, new, monkeypatch):
    await engine.set_queue("q", QueueSettings(), False)
    silent, loop = Silent(0), asyncio.get_running_loop()
    for _ in range(3_000):
        backend.committer.await_jobs(LeaseJobs(("q",), 1, ""), silent, loop.create_future())
    looked_at = []
    monkeypatch.setattr(silent, "may_be_granted", lambda: looked_at.append(1) or 0)
    await engine.enqueue([new()])
    assert len(looked_at) == 1_000
