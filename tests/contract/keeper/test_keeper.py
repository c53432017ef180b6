"""The keeper's process: its first word, what it tells each front, and how it ends."""

import asyncio
import signal
import sqlite3

import pytest

from holdfast.job.job import NewJob
from holdfast.messages.answers import Enqueued
from holdfast.messages.commands import Enqueue
from holdfast.messages.events import Committed
from holdfast.messages.queries import GetHealth, GetJob, GetStats
from holdfast.messages.views import Durability
from holdfast.stores.sqlite import maintenance

WITHIN_S = 30


def put(queue: str = "q", payload: bytes = b"1") -> Enqueue:
    return Enqueue([NewJob(queue, payload)])


async def answer(future: asyncio.Future) -> object:
    return await asyncio.wait_for(future, WITHIN_S)


# The first word


async def test_it_says_how_jobs_are_kept(keeping):
    assert (await keeping()).links[0].durability == Durability("disk")
    assert (await keeping("memory")).links[0].durability == Durability("memory")


async def test_a_file_of_another_program_is_a_problem_in_its_first_word(start, store):
    store.parent.mkdir()
    with sqlite3.connect(store) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    other.close()
    keeper = start()
    await keeper.connect()
    assert keeper.links[0].problem == f"{store} is a SQLite file of another program."
    assert await keeper.ended() == 2


async def test_a_store_that_another_keeper_has_is_a_problem_in_its_first_word(keeping, start, store):
    first = await keeping()
    second = start()
    await second.connect()
    assert f"{store} is in use by another server (process {first.process.pid})" in second.links[0].problem
    assert await second.ended() == 2
    assert isinstance(await answer(first.links[0].submit(put())), Enqueued)


async def test_a_path_that_can_t_be_opened_is_a_problem_in_its_first_word(start, store):
    store.parent.write_text("not a folder")
    keeper = start()
    await keeper.connect()
    assert keeper.links[0].problem.startswith(f"{store} can't be opened: ")
    assert str(store.parent) in keeper.links[0].problem


async def test_a_keeper_that_dies_before_its_first_word_leaves_nobody_waiting(start):
    keeper = start()
    keeper.send(signal.SIGKILL)
    await keeper.connect()
    assert keeper.links[0].problem == "The keeper ended before it was ready."


# Its fronts


async def test_what_one_front_puts_is_news_to_every_front(keeping):
    keeper = await keeping(fronts=3)
    heard: list[asyncio.Future[Committed]] = [asyncio.get_running_loop().create_future() for _ in keeper.links]
    for link, future in zip(keeper.links, heard, strict=True):
        link.listen(future.set_result)
    assert isinstance(await answer(keeper.links[0].submit(put())), Enqueued)
    assert [(await answer(future)).ready for future in heard] == [{"q": 1}] * 3


async def test_job_events_are_sent_only_to_the_fronts_that_want_them(keeping):
    keeper = await keeping(fronts=2)
    wants, plain = keeper.links
    heard: dict[str, list[Committed]] = {"wants": [], "plain": []}
    wants.listen(heard["wants"].append)
    plain.listen(heard["plain"].append)
    wants.want_job_events(True)
    await answer(wants.submit(GetHealth()))
    await answer(wants.submit(put("one")))
    await answer(plain.submit(GetHealth()))
    wants.want_job_events(False)
    await answer(wants.submit(GetHealth()))
    await answer(wants.submit(put("two")))
    await answer(wants.submit(GetHealth()))
    assert [[event.queue for event in news.jobs] for news in heard["wants"]] == [["one"], []]
    assert [news.jobs for news in heard["plain"]][:1] == [[]]


async def test_a_front_that_dies_stops_the_job_events_that_it_wanted(keeping):
    keeper = await keeping(fronts=2)
    dies, stays = keeper.links
    dies.want_job_events(True)
    await answer(dies.submit(GetHealth()))
    await dies.close()
    assert isinstance(await answer(stays.submit(put())), Enqueued)


async def test_the_metrics_that_a_front_leaves_are_told_to_the_others(keeping):
    keeper = await keeping(fronts=2)
    zero, one = keeper.links
    zero.report(b"what zero did")
    await answer(zero.submit(GetHealth()))
    assert (await answer(one.submit(GetStats()))).reports == {0: b"what zero did"}


# Its end


async def test_it_goes_on_until_the_last_front_has_hung_up(keeping):
    keeper = await keeping(fronts=2)
    await keeper.links[0].close()
    assert isinstance(await answer(keeper.links[1].submit(put())), Enqueued)
    await keeper.links[1].close()
    assert await keeper.ended() == 0


async def test_what_it_was_given_before_the_line_broke_is_committed(keeping, store):
    keeper = await keeping()
    for n in range(100):
        keeper.links[0].submit(put(payload=b"%d" % n))
    await keeper.links[0].close()
    assert await keeper.ended() == 0
    assert not store.with_name("jobs.db-wal").exists(), "it is closed as it should be"
    assert maintenance.check(store) == []
    again = await keeping()
    assert (await answer(again.links[0].submit(GetStats()))).queues[0].info.tally.ready == 100
    assert (await answer(again.links[0].submit(GetJob(100)))).content.payload == b"99"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_the_whole_group_is_left_to_the_server(keeping, number):
    keeper = await keeping()
    keeper.send(number)
    assert isinstance(await answer(keeper.links[0].submit(put())), Enqueued)
    await keeper.links[0].close()
    assert await keeper.ended() == 0
