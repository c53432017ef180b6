"""A long read is done once for all who ask for it, and begins after each of them asked."""

import asyncio

import pytest

from holdfast.engine import shared_read
from holdfast.engine.shared_read import Shared
from holdfast.errors import Overloaded


class Reads:
    """Reads that end when they are told to."""

    def __init__(self):
        self.begun = []
        self.ends = asyncio.Event()
        self.shared = Shared(self._read)

    async def _read(self, asked):
        self.begun.append(asked)
        await self.ends.wait()
        return asked, len(self.begun)


async def test_who_asks_together_is_answered_by_one_read_and_who_comes_later_by_the_next(turns):
    reads = Reads()
    first = [asyncio.ensure_future(reads.shared.of("a")) for _ in range(3)]
    await turns()
    later = [asyncio.ensure_future(reads.shared.of("a")) for _ in range(3)]
    await turns()
    assert reads.begun == ["a"]
    reads.ends.set()
    assert await asyncio.gather(*first, *later) == [("a", 1)] * 3 + [("a", 2)] * 3


async def test_a_read_goes_on_for_the_others_when_one_of_them_leaves(turns):
    reads = Reads()
    leaving, staying = (asyncio.ensure_future(reads.shared.of("a")) for _ in range(2))
    await turns()
    leaving.cancel()
    reads.ends.set()
    assert await staying == ("a", 1)


async def test_a_failure_is_told_to_those_who_waited_for_it_and_to_nobody_else(turns):
    failing = [True]

    async def read(_):
        if failing:
            raise ValueError(failing.pop())
        return 1

    shared = Shared(read)
    told = await asyncio.gather(shared.of("a"), shared.of("a"), return_exceptions=True)
    assert [type(one) for one in told] == [ValueError, ValueError]
    assert await shared.of("a") == 1


async def test_a_turn_that_does_not_come_is_refused_and_so_are_too_many(turns, monkeypatch):
    monkeypatch.setattr(shared_read, "READ_WAIT_S", 0.05)
    monkeypatch.setattr(shared_read, "DEAR_READS_WAITING", 2)
    reads = Reads()
    running = asyncio.ensure_future(reads.shared.of("a"))
    await turns()
    waiting = [asyncio.ensure_future(reads.shared.of(name)) for name in "bc"]
    await turns()
    with pytest.raises(Overloaded):
        await reads.shared.of("d")
    assert [type(one) for one in await asyncio.gather(*waiting, return_exceptions=True)] == [Overloaded] * 2
    reads.ends.set()
    assert await running == ("a", 1)
    assert await reads.shared.of("b") == ("b", 2)
