"""That something was committed is told once, however much it was, and nobody who looks again misses it."""

import asyncio

import pytest

from holdfast.engine import change_signal
from holdfast.engine.change_signal import ChangeSignal
from holdfast.errors import Overloaded


async def test_news_that_came_before_the_waiting_is_not_missed():
    one = ChangeSignal()
    seen = await one.wait(-1, 0)
    one.beat()
    assert await asyncio.wait_for(one.wait(seen, 60), 5) == seen + 1


async def test_everybody_who_waits_is_woken_by_one_beat():
    one = ChangeSignal()
    waiting = [asyncio.create_task(one.wait(0, 60)) for _ in range(3)]
    await asyncio.sleep(0)
    one.beat()
    assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [1, 1, 1]


async def test_without_news_the_waiting_ends_by_itself():
    assert await ChangeSignal().wait(0, 0.01) == 0


async def test_a_server_that_drains_sends_everyone_home():
    one = ChangeSignal()
    waiting = asyncio.create_task(one.wait(0, 60))
    await asyncio.sleep(0)
    one.end()
    await asyncio.wait_for(waiting, 5)
    assert one.ended


def test_no_more_may_listen_than_the_bound(monkeypatch):
    monkeypatch.setattr(change_signal, "STREAMS", 2)
    one = ChangeSignal()
    one.join()
    one.join()
    with pytest.raises(Overloaded):
        one.join()
    one.leave()
    one.join()
