"""The budget of bytes: what is held never stays above it, who stands still goes first, and everything is given back."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import budget as module
from holdfast.budget import Budget, Turns
from holdfast.errors import Overloaded

KIB = 1 << 10
CAPACITY = 1_000 * KIB


def connection(budget, ended):
    """An account that notes when it is hung up on."""
    account = budget.account(lambda: ended.append(account))
    return account


def try_to(budget, step, size, kept):
    """Take or park; what was refused would not have fitted."""
    try:
        getattr(budget, step)(size)
    except Overloaded:
        assert budget.held + size > CAPACITY or budget.parked + size > CAPACITY // 4
    else:
        kept.append(size)


@given(
    st.lists(
        st.tuples(st.sampled_from(["hold", "take", "give", "park", "unpark"]), st.integers(0, 9), st.integers(0, 400 * KIB)),
        max_size=80,
    )
)
def test_whatever_happens_it_holds_what_is_accounted_for_and_no_more_than_it_may(steps):
    budget, ended = Budget(CAPACITY), []
    accounts = [connection(budget, ended) for _ in range(10)]
    taken, parked = [], []

    for step, which, size in steps:
        if step == "hold":
            accounts[which].hold(size)
        elif step in ("take", "park"):
            try_to(budget, step, size, taken if step == "take" else parked)
        elif kept := taken if step == "give" else parked:
            getattr(budget, step)(kept.pop())
        held = sum(account.held for account in accounts)
        assert budget.held == held + sum(taken) + sum(parked)
        assert budget.parked == sum(parked)
        assert budget.held <= CAPACITY
        assert budget.peak >= budget.held
    for account in accounts:
        account.hold(0)
    for size in taken:
        budget.give(size)
    for size in parked:
        budget.unpark(size)
    assert (budget.held, budget.parked) == (0, 0)


def test_the_large_one_that_has_not_moved_for_the_longest_is_hung_up_on():
    budget, ended = Budget(CAPACITY), []
    small, first, second, third = (connection(budget, ended) for _ in range(4))
    small.hold(10 * KIB)
    first.hold(300 * KIB)
    second.hold(300 * KIB)
    first.hold(310 * KIB)  # a drop is no progress
    third.hold(300 * KIB)
    assert not ended
    third.hold(400 * KIB)
    assert ended == [first]
    second.hold(380 * KIB)
    third.hold(700 * KIB)
    assert ended == [first, second], "one that moves is not hung up on while another stands still"
    assert small.held == 10 * KIB
    assert budget.hung_up == 2


def test_what_stands_still_makes_room_for_what_is_on_its_way():
    budget, ended = Budget(CAPACITY), []
    account = connection(budget, ended)
    account.hold(900 * KIB)
    budget.take(500 * KIB)
    assert ended == [account]
    with pytest.raises(Overloaded) as refused:
        budget.take(600 * KIB)
    assert "memory_budget" in refused.value.detail
    assert refused.value.fields["retry_after_ms"] > 0
    assert (budget.held, budget.refused) == (500 * KIB, 1)


def test_one_thing_alone_is_taken_however_large():
    budget = Budget(CAPACITY)
    budget.take(2 * CAPACITY)
    with pytest.raises(Overloaded):
        budget.take(1)
    budget.give(2 * CAPACITY)
    budget.take(1)


async def test_large_bodies_are_read_in_turn_as_they_came():
    budget, order = Budget(CAPACITY), []
    first_may_end = asyncio.Event()

    async def read(name, until=None):
        async with budget.large_body(400 * KIB, None):
            order.append(name)
            if until is not None:
                await until.wait()

    first = asyncio.create_task(read("first", first_may_end))
    await asyncio.sleep(0)
    others = [asyncio.create_task(read(name)) for name in ("second", "third")]
    await asyncio.sleep(0)
    assert order == ["first"]
    others[0].cancel()  # its caller has left
    await asyncio.sleep(0)
    first_may_end.set()
    await asyncio.gather(first, others[1])
    assert order == ["first", "third"]
    await read("fourth")


async def test_one_that_stands_still_loses_its_turn_when_another_waits(monkeypatch):
    monkeypatch.setattr(module, "STALLED_S", 0.05)
    monkeypatch.setattr(module, "_LOOK_S", 0.02)
    budget, ended = Budget(CAPACITY), []
    slow = connection(budget, ended)
    left = asyncio.Event()

    async def stand_still():
        async with budget.large_body(400 * KIB, slow):
            slow.hold(300 * KIB)
            await left.wait()

    standing = asyncio.create_task(stand_still())
    await asyncio.sleep(0)
    slow._end = left.set
    async with asyncio.timeout(10), budget.large_body(400 * KIB, None):
        assert slow.held == 0
    await standing


async def test_a_turn_that_does_not_come_is_refused_and_gives_its_place_back(monkeypatch):
    monkeypatch.setattr(module, "LARGE_BODY_TURN_S", 0.05)
    budget = Budget(CAPACITY)
    async with budget.large_body(CAPACITY // 2, None):
        with pytest.raises(Overloaded):
            async with budget.large_body(CAPACITY // 2, None):
                pass
    async with asyncio.timeout(10), budget.large_body(CAPACITY // 2, None):
        pass


async def test_bites_are_taken_in_turn_and_never_for_long():
    turns, taken = Turns(), []

    def chunks(name, many):
        def chunk():
            taken.append(name)
            if taken.count(name) < many:
                turns.later(chunk)

        return chunk

    turns.later(chunks("greedy", 5_000))
    turns.later(chunks("modest", 3))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert taken[:6] == ["greedy", "modest"] * 3
    while taken.count("greedy") < 5_000:  # noqa: ASYNC110  (turns of the loop are what is counted)
        await asyncio.sleep(0)  # others get a turn of the loop, however much is left


async def test_large_pieces_are_read_of_a_few_connections_in_each_turn_and_of_each_in_its_turn():
    turns, read_on = Turns(), []
    going = [turns.came(256 * KIB, lambda number=number: read_on.append(number)) for number in range(20)]
    assert going == [True] * 4 + [False] * 16
    turn = 0
    while len(read_on) < 16:
        await asyncio.sleep(0)
        turn += 1
        assert read_on == list(range(4, 4 + min(16, 4 * turn)))
    assert turn == 4
    await asyncio.sleep(0)
    assert turns.came(256 * KIB, read_on.clear)


def test_an_account_that_is_closed_holds_nothing_any_more():
    budget = Budget(CAPACITY)
    account = connection(budget, [])
    account.hold(KIB)
    account.close()
    account.hold(2 * KIB)
    assert (budget.held, account.held) == (0, 0)
