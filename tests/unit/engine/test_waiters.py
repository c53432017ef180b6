"""Long polls on their own: nobody misses news, nobody is woken in vain, and whoever leaves passes on what was meant for somebody."""

import asyncio

import pytest

from holdfast import limits
from holdfast.engine.waiters import Waiters
from holdfast.errors import Overloaded


@pytest.fixture
def waiters():
    return Waiters()


async def parked(waiters, names, mark, seconds=30, request=None):
    """Wait as a caller does; when it is cancelled, it leaves."""
    told = asyncio.get_running_loop().create_future()
    waiter = waiters.enter(names, mark, seconds, lambda name: told.done() or told.set_result(name), request)
    try:
        return await told
    except asyncio.CancelledError:
        waiters.leave(waiter)
        raise


@pytest.fixture
async def park(waiters, turns):
    """Begin to wait; the task's result is the queue that woke it. All are parked, in the order of the calls, when this returns."""
    tasks = []

    async def one(*names, seconds=30, request=None, mark=None):
        names = names or ("q",)
        before = waiters.parked
        task = asyncio.create_task(parked(waiters, names, waiters.mark(names) if mark is None else mark, seconds, request))
        tasks.append(task)
        await turns(3)
        assert task.done() or waiters.parked >= before
        return task

    yield one
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert waiters.parked == 0, "somebody is still counted as parked"
    assert waiters._lines == {}
    assert waiters._by_request == {}


async def done(*tasks, turns):
    await turns(5)
    return [task.result() if task.done() else "waits" for task in tasks]


async def test_news_that_came_between_the_look_and_the_parking_is_not_missed(waiters, park):
    mark = waiters.mark(("q",))
    waiters.notify("q", 1)
    assert await asyncio.wait_for(await park(mark=mark), 1) == "q"


async def test_news_from_before_the_look_wakes_nobody(waiters, park, turns):
    waiters.notify("q", 5)
    assert await done(await park(), turns=turns) == ["waits"]


async def test_news_of_another_queue_wakes_nobody(waiters, park, turns):
    task = await park("a", "b")
    waiters.notify("c", 5)
    assert await done(task, turns=turns) == ["waits"]
    waiters.notify("b", 1)
    assert await done(task, turns=turns) == ["b"]


async def test_as_many_are_woken_as_can_be_served_the_longest_waiting_first(waiters, park, turns):
    tasks = [await park() for _ in range(5)]
    waiters.notify("q", 2)
    assert await done(*tasks, turns=turns) == ["q", "q", "waits", "waits", "waits"]
    waiters.notify("q", 1)
    assert await done(*tasks, turns=turns) == ["q", "q", "q", "waits", "waits"]
    waiters.notify("q", 9)
    assert await done(*tasks, turns=turns) == ["q"] * 5


async def test_one_who_waits_for_several_queues_is_woken_once_and_takes_one_turn(waiters, park, turns):
    both, other = await park("a", "b"), await park("b")
    waiters.notify("a", 1)
    waiters.notify("b", 1)
    assert await done(both, other, turns=turns) == ["a", "b"]


async def test_one_who_has_left_before_it_was_woken_takes_nobodys_turn(waiters, park, turns):
    leaves, stays = await park(), await park()
    leaves.cancel()
    waiters.notify("q", 1)
    assert leaves.cancelling()
    assert await done(stays, turns=turns) == ["q"]


async def test_one_who_leaves_after_it_was_woken_passes_its_turn_on(waiters, park, turns):
    leaves, stays = await park(), await park()
    waiters.notify("q", 1)
    leaves.cancel()
    assert await done(stays, turns=turns) == ["q"]
    with pytest.raises(asyncio.CancelledError):
        await leaves


async def test_one_whose_time_is_up_at_the_moment_of_the_news_takes_nobodys_turn(waiters, park, turns):
    """The timer and the news come in one turn of the loop, before the one whose time is up has run."""
    late, stays = await park(), await park()
    (waiter, _) = waiters._lines["q"]
    waiter.wake(None)
    waiters.notify("q", 1)
    assert await done(late, stays, turns=turns) == [None, "q"]


async def test_the_time_that_a_caller_gives_is_the_time_that_it_waits(park):
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await asyncio.wait_for(await park(seconds=0.05), 5) is None
    assert loop.time() - started >= 0.05


@pytest.mark.parametrize("seconds", [0, -1])
async def test_a_caller_without_time_does_not_wait(park, seconds):
    assert await asyncio.wait_for(await park(seconds=seconds), 1) is None


async def test_a_newer_call_with_the_same_request_takes_the_place_of_the_older_one(waiters, park, turns):
    older = await park(request="r")
    newer = await park(request="r")
    assert await done(older, newer, turns=turns) == [None, "waits"]
    waiters.notify("q", 1)
    assert await done(newer, turns=turns) == ["q"]


async def test_a_call_that_was_replaced_takes_nobodys_turn(waiters, park, turns):
    older, other = await park(request="r"), await park()
    newer = asyncio.create_task(parked(waiters, ("q",), waiters.mark(("q",)), 30, "r"))
    await asyncio.sleep(0)
    waiters.notify("q", 1)
    assert await done(older, other, turns=turns) == [None, "q"]
    newer.cancel()
    await asyncio.gather(newer, return_exceptions=True)


async def test_another_request_takes_nobodys_place(park, turns):
    tasks = [await park(request="r"), await park(request="s"), await park()]
    assert await done(*tasks, turns=turns) == ["waits"] * 3


async def test_draining_sends_everyone_home_and_nobody_waits_afterwards(waiters, park, turns):
    tasks = [await park("a"), await park("a", "b"), await park("c", request="r")]
    waiters.drain()
    assert await done(*tasks, turns=turns) == [None] * 3
    assert await asyncio.wait_for(await park(), 1) is None


async def test_one_more_than_the_bound_is_refused_and_the_others_go_on_waiting(waiters, park, turns, monkeypatch):
    monkeypatch.setattr("holdfast.engine.waiters.PARKED_POLLS", 2)
    tasks = [await park(), await park()]
    with pytest.raises(Overloaded) as refusal:
        await parked(waiters, ("q",), waiters.mark(("q",)))
    assert refusal.value.fields["retry_after_ms"] > 0
    assert limits.PARKED_POLLS == 50_000
    waiters.notify("q", 2)
    assert await done(*tasks, turns=turns) == ["q", "q"]


async def test_callers_that_wait_for_more_queues_together_than_the_bound_are_refused_until_others_leave(
    waiters, park, turns, monkeypatch
):
    monkeypatch.setattr("holdfast.engine.waiters.PARKED_NAMES", 5)
    tasks = [await park("a", "b", "c"), await park("d", "e")]
    with pytest.raises(Overloaded):
        await parked(waiters, ("f",), waiters.mark(("f",)))
    waiters.notify("d", 1)
    assert (await done(tasks[1], turns=turns)) == ["d"]
    tasks[1] = await park("f", "g")
    waiters.drain()
    assert await done(*tasks, turns=turns) == [None] * 2
    assert waiters._names == 0
