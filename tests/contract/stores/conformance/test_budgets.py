"""Budgets: never more than the limit held or the rate started, first in first out, and nobody forgotten in the line."""

import random

import msgspec
import pytest

from holdfast.errors import BudgetInUse, BudgetNotFound, InvalidRequest, LeaseLost
from holdfast.job.budget import Block, Charge
from holdfast.job.job import State
from holdfast.messages.budget_commands import BlockBudget, DeleteBudget, GetBudget, ListBudgets, SetBudget
from holdfast.messages.commands import (
    CancelJob,
    ConcludeLease,
    DeleteJob,
    EditJob,
    ExtendLease,
    FailLease,
    PromoteJob,
    PurgeQueue,
    ReleaseLease,
    RetryJob,
    TakeBackLease,
)
from holdfast.messages.queries import ExplainJob
from holdfast.messages.time_commands import AdmitWaiting


def names(*charges):
    return tuple(Charge(*charge) if isinstance(charge, tuple) else Charge(charge) for charge in charges)


@pytest.fixture
async def five(client):
    """A budget of which five units are held at once."""
    await client.do(SetBudget("five", 5))
    return names("five")


@pytest.fixture
async def rate(client):
    """One job each 100 ms, and up to two at once."""
    await client.do(SetBudget("rate", 10, 1_000, 2))
    return names("rate")


async def ids(client, *queues, limit=100, **options):
    return [granted.job.id for granted in await client.lease(*queues, limit=limit, **options)]


async def waiting(client, **filters):
    return [job.id for job in await client.walk(**filters) if job.waits is not None]


async def test_no_more_than_the_limit_is_held_and_the_oldest_comes_first(client, new, five):
    await client.put_all([new(budgets=five) for _ in range(12)])
    assert await waiting(client) == list(range(6, 13))
    running = await client.lease(limit=100)
    assert [one.job.id for one in running] == [1, 2, 3, 4, 5]
    assert await ids(client) == []
    await client.do(ConcludeLease(running[3].job.ref()))
    await client.do(FailLease(running[0].job.ref(), "no", retry=False))
    assert await ids(client) == [6, 7]
    assert await ids(client) == []


async def test_jobs_that_wait_cost_the_others_of_their_queue_nothing(client, new, five):
    await client.put_all([new(budgets=five) for _ in range(50)])
    await client.put_all([new() for _ in range(3)])
    assert await ids(client, limit=8) == [1, 2, 3, 4, 5, 51, 52, 53]


async def test_one_limit_over_several_queues(client, new, five):
    await client.put_all([new(f"q{number % 3}", budgets=five) for number in range(9)])
    first = [granted.job for name in ("q0", "q1", "q2") for granted in await client.lease(name, limit=10)]
    assert sorted(job.id for job in first) == [1, 2, 3, 4, 5]
    await client.do(ConcludeLease(first[0].ref()))
    await client.do(AdmitWaiting(10))
    assert await ids(client, "q0") == []
    assert await ids(client, "q2") == [6]


async def test_a_unit_comes_back_however_a_lease_ends(client, new):
    await client.do(SetBudget("one", 1))
    await client.put_all([new(budgets=names("one")) for _ in range(8)])

    async def take():
        (granted,) = await client.lease(limit=5)
        return granted.job

    await client.do(ConcludeLease((await take()).ref()))
    await client.do(FailLease((await take()).ref(), "no", delay_ms=10**6))
    await client.do(ReleaseLease((await take()).ref(), delay_ms=10**6))
    await client.do(TakeBackLease((job := await take()).id))
    assert await client.state(job.id) is State.READY
    again = await take()
    assert again.id == job.id
    await client.do(CancelJob(again.id))
    await client.do(ReleaseLease(again.ref()))
    await take()
    assert await client.pass_time(300_000) == (1, 0)
    assert (await take()).id == 5, "the one whose lease expired keeps its place"


async def test_a_rate_is_kept_exactly(client, new, rate):
    await client.put_all([new(budgets=rate) for _ in range(40)])
    starts = []
    for _ in range(300):
        found = await client.lease(limit=10)
        starts += [client.now] * len(found)
        for granted in found:
            await client.do(ConcludeLease(granted.job.ref()))
        await client.pass_time(7)
    assert len(starts) == 2 + 299 * 7 // 100
    for first in range(len(starts)):
        for last in range(first, len(starts)):
            assert last - first + 1 <= 2 + 10 * (starts[last] - starts[first]) / 1_000


async def test_what_is_not_used_is_saved_up_to_the_burst(client, new, rate):
    await client.put_all([new(budgets=rate) for _ in range(9)])
    assert await ids(client) == [1, 2]
    await client.pass_time(3_600_000)
    assert len(await ids(client)) == 2


async def test_a_start_is_spent_whatever_becomes_of_it_but_a_release_before_any_extension_costs_nothing(client, new, rate):
    await client.put_all([new(budgets=rate) for _ in range(4)])
    first, second = [granted.job for granted in await client.lease(limit=10)]
    await client.do(ReleaseLease(first.ref()))
    assert await ids(client) == [1]
    await client.do(ExtendLease(second.ref(), 400_000))
    await client.do(ReleaseLease(second.ref()))
    assert await ids(client) == []
    await client.pass_time(100)
    assert await ids(client) == [2]


async def test_a_release_in_the_same_transaction_as_the_extension_is_one_after_it(client, new, rate):
    await client.put_all([new(budgets=rate) for _ in range(3)])
    first, _ = [granted.job for granted in await client.lease(limit=10)]
    await client.together(ExtendLease(first.ref(), 400_000), ReleaseLease(first.ref()))
    assert await ids(client) == []


async def test_a_job_pays_all_of_its_budgets_or_none(client, new, five, rate):
    both = names("five", "rate")
    await client.put_all([new(budgets=both) for _ in range(6)])
    assert await ids(client) == [1, 2], "two by the rate"
    await client.put_all([new(budgets=five) for _ in range(9)])
    assert await ids(client) == [7, 8, 9], "three are left of the five"
    info = await client.ask(GetBudget("five", 0))
    assert (info.left, info.running) == (0, 5)
    await client.pass_time(1_000)
    assert await ids(client) == [], "the rate could, and the five are held"
    await client.count_again()


async def test_costs_and_keys(client, new):
    await client.do(SetBudget("api", 10))
    for key, cost in (("a", 4), ("a", 4), ("a", 4), ("b", 10), ("", 7), ("a", 2)):
        await client.put(budgets=names(("api", key, cost)))
    assert await ids(client) == [1, 2, 4, 5], "the last waits behind the third, which costs more than is left"
    info = await client.ask(GetBudget("api", 10))
    assert [(one.key, one.left, one.running, one.waiting) for one in info.some] == [
        ("", 3, 7, 0),
        ("a", 2, 8, 2),
        ("b", 0, 10, 0),
    ]
    assert (info.accounts, info.jobs, info.running, info.waiting) == (3, 6, 25, 2)
    assert [one.key for one in (await client.ask(GetBudget("api", 1, "a"))).some] == ["b"]
    assert (await client.ask(GetBudget("api", 0, key="b"))).some[0].running == 10


async def test_who_comes_later_does_not_overtake(client, new, five):
    await client.put_all([new(budgets=names(("five", "", 3))) for _ in range(2)])
    await client.put(budgets=five)
    assert await ids(client) == [1]
    assert await waiting(client) == [2, 3]


async def test_what_can_not_be_is_refused(client, new, five, rate):
    with pytest.raises(InvalidRequest) as refused:
        await client.put(budgets=names("five", "other"))
    assert refused.value.fields["field"] == "budgets[1].name"
    with pytest.raises(InvalidRequest, match="limit of the budget five, which is 5") as refused:
        await client.put(budgets=names(("five", "", 6)))
    assert refused.value.fields["field"] == "budgets[0].cost"
    with pytest.raises(InvalidRequest, match="burst of the budget rate, which is 2"):
        await client.put(budgets=names(("rate", "", 3)))
    assert await client.walk() == []


async def test_a_worker_blocks_an_account_and_keeps_its_place(client, new):
    await client.do(SetBudget("api", 10))
    await client.put_all([new(budgets=names(("api", "t7"))) for _ in range(3)])
    await client.put(budgets=names(("api", "t8")))
    first = (await client.lease())[0].job
    await client.do(ReleaseLease(first.ref(), block=Block("api", 30_000)))
    assert await ids(client) == [4], "of another key"
    job = await client.job(1)
    assert (job.attempt, job.failures, job.crashes) == (1, 0, 0)
    await client.pass_time(29_999)
    assert await ids(client) == []
    await client.pass_time(1)
    assert await ids(client) == [1, 2, 3]


async def test_the_longest_block_wins_and_a_failure_may_block_too(client, new):
    await client.do(SetBudget("api", 10))
    await client.put_all([new(budgets=names("api")) for _ in range(4)])
    first, second, _ = [granted.job for granted in await client.lease(limit=3)]
    await client.do(FailLease(first.ref(), "429", delay_ms=0, block=Block("api", 10_000)))
    await client.do(ReleaseLease(second.ref(), block=Block("api", 1_000)))
    await client.pass_time(9_999)
    assert await ids(client) == []
    await client.pass_time(1)
    assert await ids(client) == [1, 2, 4]


async def test_a_worker_blocks_only_what_its_job_names(client, new, five):
    await client.do(SetBudget("api", 10))
    await client.put(budgets=five)
    await client.put()
    named, plain = [granted.job for granted in await client.lease(limit=2)]
    for job, block, field in (
        (named, Block("api", 1), "block.budget"),
        (named, Block("five", 1, "k"), "block.key"),
        (plain, Block("five", 1), "block.budget"),
    ):
        for command in (ReleaseLease(job.ref(), block=block), FailLease(job.ref(), "no", block=block)):
            with pytest.raises(InvalidRequest) as refused:
                await client.do(command)
            assert refused.value.fields["field"] == field
    assert await client.state(named.id) is State.LEASED


async def test_a_failure_that_comes_too_late_blocks_nothing(client, new, five):
    await client.put_all([new(budgets=five) for _ in range(2)])
    late = await client.take()
    client.clock.advance(300_001)
    for command in (
        FailLease(late.ref(), "429", block=Block("five", 60_000)),
        ReleaseLease(late.ref(), block=Block("five", 60_000)),
    ):
        with pytest.raises(LeaseLost):
            await client.do(command)
    await client.pass_time(0)
    assert await ids(client) == [1, 2]


async def test_block_and_unblock_by_hand(client, new, five):
    await client.put_all([new(budgets=five) for _ in range(3)])
    await client.put(budgets=names(("five", "k")))
    await client.do(BlockBudget("five", for_ms=60_000))
    assert await ids(client) == []
    assert (await client.ask(GetBudget("five", 0))).budget.blocked_until == client.now + 60_000
    await client.do(BlockBudget("five"))
    await client.do(BlockBudget("five", "k", 60_000))
    await client.pass_time(0)
    assert await ids(client) == [1, 2, 3]
    await client.do(BlockBudget("five", "k"))
    await client.pass_time(0)
    assert await ids(client) == [4]
    with pytest.raises(BudgetNotFound):
        await client.do(BlockBudget("other", for_ms=1))


async def test_a_change_is_in_force_at_once(client, new, five):
    await client.put_all([new(budgets=five) for _ in range(20)])
    await client.do(SetBudget("five", 8))
    await client.pass_time(0)
    assert len(await ids(client)) == 8
    await client.do(SetBudget("five", 2))
    assert await ids(client) == []
    for job in (await client.walk(state=State.LEASED))[:7]:
        await client.do(ConcludeLease(job.ref()))
    assert len(await ids(client)) == 1
    await client.do(SetBudget("five", 1_000, 1_000))
    await client.pass_time(0)
    assert len(await ids(client)) == 11


async def test_many_that_could_have_started_are_put_aside_in_bounded_transactions(client, new, monkeypatch):
    await client.do(SetBudget("many", 100))
    await client.put_all([new(budgets=names(("many", str(number % 3)))) for number in range(150)])
    plain = (await client.put()).id
    await client.do(BlockBudget("many", for_ms=60_000))
    monkeypatch.setattr("holdfast.committer.lease.BATCH_JOBS", 40)
    monkeypatch.setattr("holdfast.committer.lease._PASSED_AT_ONCE", 20)
    aside = []
    while not (found := await ids(client, limit=1)):
        aside.append(len(await waiting(client)))
    assert found == [plain]
    assert aside == [41, 82, 123]


async def test_one_made_smaller_has_those_wait_that_could_have_started(client, new, five):
    await client.put_all([new(budgets=five) for _ in range(5)])
    await client.do(SetBudget("five", 2))
    assert await ids(client) == [1, 2]
    assert await ids(client) == []
    assert await waiting(client) == [3, 4, 5]


async def test_a_job_that_costs_more_than_is_left_of_the_budget_takes_all_of_it(client, new, five):
    await client.put(budgets=names(("five", "", 5)))
    await client.put(budgets=five)
    await client.do(SetBudget("five", 2))
    (only,) = await client.lease(limit=5)
    assert only.job.id == 1
    await client.do(ConcludeLease(only.job.ref()))
    assert await ids(client) == [2]


async def test_a_budget_that_is_named_is_deleted_by_force_only_and_what_waits_is_free(client, new, five):
    await client.put_all([new(budgets=five) for _ in range(9)])
    first = (await client.lease())[0].job
    with pytest.raises(BudgetInUse) as refused:
        await client.do(DeleteBudget("five"))
    assert refused.value.fields["jobs"] == 9
    assert (await client.do(DeleteBudget("five", force=True))).count == 9
    await client.pass_time(0)
    assert len(await ids(client)) == 8
    await client.do(ConcludeLease(first.ref()))
    with pytest.raises(InvalidRequest):
        await client.put(budgets=five)
    assert (await client.ask(ListBudgets())).budgets == []
    await client.do(SetBudget("five", 5))
    assert (await client.ask(GetBudget("five", 0))).running == 8


async def test_a_budget_that_nothing_names_is_deleted_and_an_account_in_use_no_more_is_forgotten(client, new, rate):
    await client.put(budgets=names(("rate", "k")))
    job = await client.take()
    await client.do(ConcludeLease(job.ref()))
    assert (await client.ask(GetBudget("rate", 5))).accounts == 1, "it owes a unit"
    await client.pass_time(20_000)
    assert (await client.ask(GetBudget("rate", 5))).accounts == 0
    await client.do(DeleteBudget("rate"))
    with pytest.raises(BudgetNotFound):
        await client.ask(GetBudget("rate", 1))
    with pytest.raises(BudgetNotFound):
        await client.do(DeleteBudget("rate"))


async def test_the_group_comes_first_and_then_the_budget(client, new):
    await client.do(SetBudget("one", 1))
    await client.put_all([new(group_key="g", budgets=names("one")) for _ in range(2)])
    await client.put(budgets=names("one"))
    first = (await client.lease(limit=5))[0].job
    await client.do(ConcludeLease(first.ref()))
    assert await ids(client) == [2], "the older one, which got its place in the group"
    assert await waiting(client) == [3]


async def test_what_happens_to_a_job_that_waits(client, new, five):
    await client.put_all([new(budgets=five) for _ in range(5)])
    await ids(client)
    await client.put_all([new(budgets=five, payload=b"123") for _ in range(6)])
    await client.do(EditJob(6, priority=1))
    assert (await client.job(6)).waits == "five/"
    await client.do(EditJob(7, delay_ms=5_000))
    assert await client.state(7) is State.SCHEDULED
    await client.do(CancelJob(8))
    await client.do(DeleteJob(9))
    assert await waiting(client) == [6, 10, 11]
    await client.do(PromoteJob(7))
    assert await waiting(client) == [6, 7, 10, 11]
    await client.count_again()
    assert (await client.do(PurgeQueue("q", (State.READY,), 10, 100))).count == 3
    assert await waiting(client) == [11]


async def test_a_retried_job_pays_again(client, new):
    await client.do(SetBudget("one", 1))
    await client.put_all([new(budgets=names("one")) for _ in range(2)])
    first = (await client.lease())[0].job
    await client.do(FailLease(first.ref(), "no", retry=False))
    await client.do(RetryJob(first.id))
    assert await waiting(client) == [1], "the second got the unit"
    assert await ids(client) == [2]


async def test_why_names_the_account(client, new, rate):
    await client.put_all([new(budgets=names(("rate", "k"))) for _ in range(4)])
    await ids(client)
    facts = await client.ask(ExplainJob(4))
    (wait,) = facts.waits
    assert (wait.account.key, wait.account.left, wait.account.earliest, wait.ahead) == ("k", 0, client.now + 100, 1)
    assert facts.job.waits == "rate/k"


async def test_held_units_and_a_spent_rate_outlive_the_process(lasting_place, reopen, new):
    client = await reopen(lasting_place)
    await client.do(SetBudget("five", 5))
    await client.do(SetBudget("rate", 10, 1_000, 2))
    await client.put_all([new(budgets=names("five")) for _ in range(8)])
    await client.put_all([new("r", budgets=names("rate")) for _ in range(4)])
    held = await client.lease(limit=4)
    assert len(await ids(client, "r")) == 2
    client = await reopen(lasting_place, client)
    assert len(await ids(client)) == 1
    assert await ids(client, "r") == []
    await client.do(ConcludeLease(held[0].job.ref()))
    assert len(await ids(client)) == 1
    await client.pass_time(100)
    assert len(await ids(client, "r")) == 1
    await client.count_again()
    await client.close()


async def test_a_clock_that_was_ahead_leaves_no_account_that_waits_for_it(client, new, rate):
    """What is owed stays owed, from the moment to which the clock was set back."""
    await client.put_all([new(budgets=rate) for _ in range(4)])
    assert len(await ids(client)) == 2
    await client.do(BlockBudget("rate", "k", 60_000))
    day = 86_400_000
    async with client.store.transaction() as tx:
        (account,) = (await tx.accounts(["rate/"])).values()
        await tx.budgets(["rate"])
        ahead = msgspec.structs.replace(account, owed_at=client.now + 40 * day, wake_at=client.now + 40 * day)
        await tx.save_accounts([ahead], [])
        await tx.commit()
    async with client.store.transaction() as tx:
        await tx.clamp_times(client.now, client.now + day, client.now + day)
        await tx.commit()
    assert await ids(client) == []
    await client.pass_time(100)
    assert len(await ids(client)) == 1
    await client.pass_time(99)
    assert await ids(client) == []


class Walk:
    """Steps at random, over three budgets."""

    def __init__(self, client, new, seed):
        self.client, self.new, self.dice = client, new, random.Random(seed)
        self.held = {}

    async def put(self):
        dice, some = self.dice, []
        for _ in range(dice.randrange(1, 6)):
            named = dice.sample("abc", dice.randrange(0, 4))
            charges = [Charge(name, dice.choice(("", "k")), dice.randrange(1, 3)) for name in named]
            options = {"group_key": dice.choice("gh")} if dice.random() < 0.2 else {}
            delay = dice.choice((None, None, 30))
            some.append(self.new(dice.choice("qr"), budgets=tuple(charges), delay_ms=delay, **options))
        await self.client.put_all(some)

    async def lease(self):
        queues = self.dice.sample("qr", 2)
        self.held |= {one.job.id: one.job for one in await self.client.lease(*queues, limit=self.dice.randrange(1, 5))}

    async def end(self):
        if not self.held:
            return
        dice, job = self.dice, self.held.pop(self.dice.choice(sorted(self.held)))
        block = Block(job.extras.budgets[0].name, 40) if job.extras.budgets and dice.random() < 0.2 else None
        delay = dice.choice((0, 25))
        ways = (
            ConcludeLease(job.ref()),
            ReleaseLease(job.ref(), delay_ms=delay, block=block),
            FailLease(job.ref(), "no", delay_ms=delay, block=block),
        )
        await self.client.do(dice.choice(ways))

    async def change(self):
        await self.client.do(SetBudget("a", self.dice.randrange(2, 6)))
        await self.client.do(SetBudget("c", 2, self.dice.choice((None, 500))))

    async def wait(self):
        await self.client.pass_time(self.dice.randrange(60))


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_forgotten_whatever_happens(client, new, seed):
    await client.do(SetBudget("a", 3))
    await client.do(SetBudget("b", 20, 1_000, 4))
    await client.do(SetBudget("c", 2))
    walk = Walk(client, new, seed)
    steps = [walk.put] * 3 + [walk.lease] * 3 + [walk.end] * 3 + [walk.change, walk.wait]
    for _ in range(200):
        await walk.dice.choice(steps)()
        await client.count_accounts_again()
    for job in walk.held.values():
        await client.do(ConcludeLease(job.ref()))
    for _ in range(400):
        await client.pass_time(100)
        for granted in await client.lease("q", "r", limit=50):
            await client.do(ConcludeLease(granted.job.ref()))
        if not (await client.tally("q")).unfinished + (await client.tally("r")).unfinished:
            return
    pytest.fail(f"jobs are left: {await client.walk(state=State.READY)}")
