"""The engine's end of the keeper's socket: what is answered when the keeper dies, and what a caller who leaves still counts for."""

import asyncio
import contextlib
import signal

import pytest

from holdfast import limits
from holdfast.engine.engine import Engine
from holdfast.errors import Overloaded
from holdfast.job.job import NewJob
from holdfast.job.queue import QueueSettings
from holdfast.messages.answers import Enqueued
from holdfast.messages.commands import Enqueue, LeaseJobs
from holdfast.messages.frame import Refused
from holdfast.messages.queries import GetHealth, GetJob, GetStats
from holdfast.messages.views import Stats

WITHIN_S = 30


def put(payload: bytes = b"1") -> Enqueue:
    return Enqueue([NewJob("q", payload)])


async def answer(future: asyncio.Future) -> object:
    return await asyncio.wait_for(future, WITHIN_S)


def codes(results: list[object]) -> list[str]:
    assert all(isinstance(result, Refused) for result in results), results
    return [result.code for result in results]


async def test_when_the_keeper_dies_commands_are_unknown_and_questions_unanswered(keeping):
    keeper = await keeping()
    (link,) = keeper.links
    keeper.send(signal.SIGSTOP)
    commands = [link.submit(request) for request in (put(), put(), LeaseJobs(("q",), 1, ""))]
    questions = [link.submit(request) for request in (GetJob(1), GetStats())]
    keeper.send(signal.SIGKILL)
    assert codes([await answer(future) for future in commands]) == ["outcome_unknown"] * 3
    assert codes([await answer(future) for future in questions]) == ["store_unavailable"] * 2
    assert keeper.lost == [0], "the server is told once"


async def test_after_the_keeper_has_died_everything_is_refused_at_once_and_certainly_not_done(keeping):
    keeper = await keeping()
    (link,) = keeper.links
    keeper.send(signal.SIGKILL)
    await asyncio.wait_for(keeper.was_lost.wait(), WITHIN_S)
    late = [link.submit(request) for request in (put(), GetJob(1))]
    assert all(future.done() for future in late)
    assert codes([future.result() for future in late]) == ["store_unavailable"] * 2


async def test_a_command_that_the_keeper_committed_before_it_died_keeps_its_answer(keeping):
    keeper = await keeping()
    (link,) = keeper.links
    first = link.submit(put())
    assert isinstance(await answer(first), Enqueued)
    second = link.submit(put())
    keeper.send(signal.SIGKILL)
    await answer(second)
    assert isinstance(first.result(), Enqueued)


async def test_a_request_that_can_not_be_sent_is_refused_and_its_neighbours_are_answered(keeping):
    (link,) = (await keeping()).links
    first, broken, last = link.submit(put()), link.submit(GetJob(1 << 70)), link.submit(put())
    assert codes([await answer(broken)]) == ["internal_error"]
    assert isinstance(await answer(first), Enqueued)
    assert isinstance(await answer(last), Enqueued)


async def test_hanging_up_in_order_is_no_loss(keeping):
    keeper = await keeping()
    (link,) = keeper.links
    assert isinstance(await answer(link.submit(put())), Enqueued)
    await link.close()
    assert await keeper.ended() == 0
    assert keeper.lost == []


async def test_what_is_asked_in_one_turn_is_answered_each_to_its_own_asker(keeping):
    keeper = await keeping()
    (link,) = keeper.links
    futures = [link.submit(put(b"%d" % n)) for n in range(500)]
    ids = [(await answer(future)).jobs[0].id for future in futures]
    assert ids == sorted(set(ids))
    for job_id, n in ((ids[0], 0), (ids[499], 499)):
        assert (await answer(link.submit(GetJob(job_id)))).content.payload == b"%d" % n


async def test_an_asker_who_left_does_not_disturb_the_others(keeping):
    keeper = await keeping()
    (link,) = keeper.links
    left, stays = link.submit(put()), link.submit(put())
    left.cancel()
    assert isinstance(await answer(stays), Enqueued)
    stats = await answer(link.submit(GetStats()))
    assert isinstance(stats, Stats)
    assert stats.queues[0].info.tally.ready == 2, "leaving undoes nothing"


async def test_no_more_questions_wait_than_the_bound_and_those_that_do_are_answered(keeping):
    keeper = await keeping()
    (link,) = keeper.links
    engine = Engine(link)
    reading = engine.reading
    await engine.set_queue("q", QueueSettings(), True)
    keeper.send(signal.SIGSTOP)
    asked = [asyncio.create_task(reading.queue("q")) for _ in range(limits.IN_FLIGHT_QUERIES)]
    await asyncio.sleep(0)
    asked.pop().cancel()  # to leave makes no room: the keeper has it still
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await reading.queue("q")
    keeper.send(signal.SIGCONT)
    assert len(await asyncio.wait_for(asyncio.gather(*asked), WITHIN_S)) == limits.IN_FLIGHT_QUERIES - 1
    assert (await reading.stats_of_store()).accepting


async def test_a_poll_whose_caller_left_counts_until_the_keeper_has_answered_it(keeping):
    keeper = await keeping()
    (link,) = keeper.links
    engine = Engine(link)
    keeper.send(signal.SIGSTOP)
    for _ in range(10):
        poll = asyncio.create_task(engine.lease(("q",), wait_ms=1_000))
        await asyncio.sleep(0)
        poll.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await poll
    assert engine.in_flight == 10, "or callers who come and go could pile up commands without end"
    keeper.send(signal.SIGCONT)
    await answer(link.submit(GetHealth()))
    assert engine.in_flight == 0
