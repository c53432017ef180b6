"""Fair shares: who has had the least is next, within a key first in, first out, and nobody is forgotten."""

import asyncio
import random

import pytest

import holdfast.committer.fair
import holdfast.committer.prefetch
import holdfast.committer.shares
import holdfast.stores.sqlite.fair
from holdfast.errors import InvalidRequest
from holdfast.job.budget import Charge
from holdfast.job.fair import CLEARING, FAIR
from holdfast.job.job import State
from holdfast.job.queue import QueueSettings
from holdfast.limits import FAIR_UNIT, PRIORITY_DEFAULT
from holdfast.messages.answers import Counted
from holdfast.messages.budget_commands import SetBudget
from holdfast.messages.commands import (
    CancelJob,
    ConcludeLease,
    DeleteQueue,
    EditJob,
    Enqueue,
    FailLease,
    LeaseJobs,
    MoveJob,
    PauseType,
    PurgeQueue,
    ReleaseLease,
    RetryJob,
    SetQueue,
)
from holdfast.messages.fair_commands import SetFairWeight
from holdfast.messages.frame import Refused
from holdfast.messages.time_commands import FillTypes, ForgetShares, SortShares


class Shares:
    """What `job/fair.py` says, written down once more as simply as possible: nothing is forgotten, nothing is counted anew, all is looked at each time."""

    def __init__(self) -> None:
        self.waiting: dict[int, tuple[int, str, int, str]] = {}  # by id: priority, key, cost, type
        self.turns: dict[tuple[int, str], int] = {}
        self.lasts: dict[tuple[int, str], int] = {}
        self.now: dict[int, int] = {}
        self.weights: dict[str, int] = {}

    def line(self, priority: int, key: str) -> list[int]:
        return sorted(job for job, one in self.waiting.items() if one[:2] == (priority, key))

    def enter(self, job: int, key: str = "", priority: int = PRIORITY_DEFAULT, cost: int = 1, kind: str = "") -> None:
        at = priority, key
        if not self.line(*at):
            self.turns[at] = max(self.turns.get(at, 0), self.now.get(priority, 0))
            self.lasts[at] = job
        self.waiting[job] = (priority, key, cost, kind)

    def leave(self, job: int) -> None:
        priority = self.waiting.pop(job)[0]
        if not any(one[0] == priority for one in self.waiting.values()):
            self.now[priority] = max(
                [self.now.get(priority, 0), *(turn for at, turn in self.turns.items() if at[0] == priority)]
            )

    def start(self, job: int) -> None:
        priority, key, cost, _ = self.waiting[job]
        at = priority, key
        self.now[priority] = max(self.now.get(priority, 0), self.turns[at])
        self.turns[at] = self.now[priority] + max(1, cost * FAIR_UNIT // self.weights.get(key, 1))
        self.lasts[at] = job + 1
        self.leave(job)

    def next(self, types=None) -> int | None:
        """The job that is next, of these types."""
        fitting = {job: one for job, one in self.waiting.items() if types is None or one[3] in types}
        lines = {one[:2] for one in fitting.values()}
        if not lines:
            return None
        at = min(lines, key=lambda at: (at[0], self.turns[at], self.lasts[at], at[1]))
        return min(job for job, one in fitting.items() if one[:2] == at)

    def lease(self, limit: int, types=None) -> list[int]:
        given = []
        while len(given) < limit and (job := self.next(types)) is not None:
            self.start(job)
            given.append(job)
        return given


@pytest.fixture
async def fair(client):
    """A queue that is fair."""
    await client.do(SetQueue("q", QueueSettings(fair=True), whole=True))
    return client


def ids(granted) -> list[int]:
    return [one.job.id for one in granted]


async def put(client, new, keys, **options) -> list[int]:
    return [one.id for one in await client.put_all([new(fair_key=key or None, **options) for key in keys])]


async def sort(client, queue="q") -> int:
    """Until the queue is sorted, or cleared; in how many steps."""
    steps = 0
    while (await client.do(SortShares(queue, 0))).count:
        steps += 1
    return steps


async def sharing(client, queue="q"):
    async with client.store.transaction() as tx:
        return (await tx.queue(queue)).sharing


async def lines(client, queue="q") -> dict[str, tuple[int, int]]:
    """Of each line what waits, and its weight."""
    async with client.store.transaction() as tx:
        found = await tx.queue(queue)
        return {
            line.key: (line.waiting, line.weight)
            for clock in await tx.clocks_in_use(found, -1, 100)
            for line in await tx.next_lines(clock, None, 1_000)
        }


async def test_a_queue_that_is_not_fair_is_first_in_first_out(client, new):
    await put(client, new, "aaaab")
    assert ids(await client.lease(limit=10)) == [1, 2, 3, 4, 5]


async def test_keys_take_turns_and_each_is_first_in_first_out(fair, new):
    await put(fair, new, "aaaaabb")
    assert ids(await fair.lease(limit=10)) == [1, 6, 2, 7, 3, 4, 5]


async def test_no_key_is_a_key_too(fair, new):
    await put(fair, new, ["", "", "", "a"])
    assert ids(await fair.lease(limit=10)) == [1, 4, 2, 3]


async def test_one_lease_at_a_time_gives_the_same_as_one_for_all(fair, new):
    await put(fair, new, "aaaabbc")
    assert [(await fair.take()).id for _ in range(7)] == [1, 5, 7, 2, 6, 3, 4]


async def test_who_comes_late_does_not_get_what_he_did_not_want_before(fair, new):
    await put(fair, new, "a" * 10)
    await fair.lease(limit=5)
    await put(fair, new, "b" * 10)
    assert ids(await fair.lease(limit=6)) == [11, 6, 12, 7, 13, 8]


async def test_who_comes_one_by_one_is_not_ahead_of_those_who_wait(fair, new):
    await put(fair, new, "a" * 10)
    given = []
    for _ in range(3):
        await put(fair, new, "b")
        given += [(await fair.take()).id, (await fair.take()).id]
    assert given == [1, 11, 2, 12, 3, 13]


async def test_a_weight_is_a_larger_share_and_counts_from_the_next_start_on(fair, new):
    await put(fair, new, "a" * 9 + "b" * 9)
    assert (await fair.do(SetFairWeight("q", "b", 2))).count == 1
    given = ids(await fair.lease(limit=9))
    assert (sum(job <= 9 for job in given), sum(job > 9 for job in given)) == (3, 6)
    assert await lines(fair) == {"a": (6, 1), "b": (3, 2)}
    await fair.do(SetFairWeight("q", "b"))
    assert await lines(fair) == {"a": (6, 1), "b": (3, 1)}
    assert (await fair.do(SetFairWeight("q", "b"))).count == 0


async def test_a_job_that_costs_more_counts_for_more(fair, new):
    await put(fair, new, "aaa", fair_cost=3)
    await put(fair, new, "b" * 6)
    assert ids(await fair.lease(limit=9)) == [1, 4, 5, 6, 2, 7, 8, 9, 3]


async def test_a_lower_priority_comes_first_whoever_has_it(fair, new):
    await put(fair, new, "aab")
    await put(fair, new, "aab", priority=1)
    assert ids(await fair.lease(limit=10)) == [4, 6, 5, 1, 3, 2]


async def test_of_many_priorities_few_are_looked_at(fair, new, monkeypatch):
    monkeypatch.setattr(holdfast.stores.sqlite.fair, "CLOCKS_KEPT", 3)
    jobs = {}
    for number in range(30):
        priority = number * 7 % 30
        jobs[priority] = (await put(fair, new, "aab", priority=priority))[0]
    async with fair.store.transaction() as tx:
        if hasattr(tx, "_cache") and hasattr(tx._cache, "clocks"):
            assert sum(len(known or ()) for known in tx._cache.clocks.values()) <= 3
    given = ids(await fair.lease(limit=31)) + [(await fair.take()).id for _ in range(59)]
    assert given == [job for _, first in sorted(jobs.items()) for job in (first, first + 2, first + 1)]
    await fair.do(ForgetShares(100))
    await put(fair, new, "ab")
    assert await lines(fair) == {"a": (1, 1), "b": (1, 1)}


async def test_a_retry_stays_in_its_key_and_counts_as_a_start(fair, new):
    await put(fair, new, "aaabbb")
    first = await fair.take()
    await fair.do(FailLease(first.ref(), "no", delay_ms=0))
    assert ids(await fair.lease(limit=10)) == [4, 1, 5, 2, 6, 3]


async def test_small_tenants_start_within_a_round_however_much_a_large_one_has(fair, new):
    for _ in range(10):
        await put(fair, new, ["big"] * 1_000)
    await fair.lease(limit=500)
    small = [f"tenant-{number}" for number in range(100)]
    await put(fair, new, [key for key in small for _ in range(10)])
    given = (await fair.lease(limit=1_111)) + await fair.lease(limit=1)
    for key in small:
        places = [place for place, one in enumerate(given) if one.job.extras.fair_key == key]
        assert len(places) == 10
        assert all(place <= 101 * (turn + 1) for turn, place in enumerate(places))


async def test_groups_budgets_and_jobs_for_later_have_their_turn_once_they_may_start(fair, new):
    await fair.do(SetBudget("one", 1))
    await put(fair, new, "aa", budgets=(Charge("one"),))
    await put(fair, new, "bb", group_key="g")
    await put(fair, new, "c", delay_ms=100)
    assert await lines(fair) == {"a": (1, 1), "b": (1, 1)}
    first = await fair.lease(limit=10)
    assert ids(first) == [1, 3]
    await fair.pass_time(100)
    for one in first:
        await fair.do(ConcludeLease(one.job.ref()))
    await fair.pass_time(0)
    assert sorted(ids(await fair.lease(limit=10))) == [2, 4, 5]
    assert await lines(fair) == {}


async def test_a_job_that_cannot_pay_does_not_use_up_the_turn_of_its_key(fair, new):
    await fair.do(SetBudget("two", 2))
    await put(fair, new, "aa", budgets=(Charge("two"),))
    await put(fair, new, "aabbb")
    await fair.do(SetBudget("two", 1))
    assert ids(await fair.lease(limit=4)) == [1, 5, 6]
    assert ids(await fair.lease(limit=2)) == [3, 4]


async def test_calls_that_name_types_take_turns_of_the_keys_that_have_them(fair, new):
    await put(fair, new, "aaa", type="x")
    await put(fair, new, "abbbc", type="y")
    assert ids(await fair.lease(limit=3, types=("y",))) == [4, 5, 8]
    together = await fair.together(LeaseJobs(("q",), 2, "w", types=("x",)), LeaseJobs(("q",), 2, "w"))
    assert [ids(one.jobs) for one in together] == [[1, 2], [6, 7]]
    await fair.do(PauseType("q", "x", True))
    assert ids(await fair.lease(limit=3)) == []


async def test_a_queue_is_made_fair_and_plain_again_while_jobs_wait(client, new, monkeypatch):
    monkeypatch.setattr(holdfast.committer.fair, "FAIR_CHUNK", 3)
    await put(client, new, "aaaaaab")
    await client.do(SetQueue("q", QueueSettings(fair=True), whole=False))
    assert (await sharing(client)).upto is not None
    assert ids(await client.lease()) == [1]  # first in, first out until all are sorted
    await put(client, new, "c")
    await client.do(SortShares("q", 0))
    await client.do(CancelJob(2))
    assert await sort(client) == 2
    assert await sharing(client) == FAIR
    assert await lines(client) == {"a": (4, 1), "b": (1, 1), "c": (1, 1)}
    assert ids(await client.lease(limit=3)) == [3, 7, 8]
    await put(client, new, "defgh")
    await client.do(SetQueue("q", QueueSettings(fair=False), whole=False))
    assert await sharing(client) == CLEARING
    assert ids(await client.lease()) == [4]
    await client.do(SetQueue("q", QueueSettings(fair=True), whole=False))  # it is cleared first
    await sort(client)
    assert await lines(client) == {key: (2 if key == "a" else 1, 1) for key in "adefgh"}
    await client.do(SetQueue("q", QueueSettings(), whole=True))
    await sort(client)
    assert (await sharing(client), await lines(client)) == (None, {})
    assert ids(await client.lease(limit=10)) == [5, 6, 9, 10, 11, 12, 13]


async def test_a_job_moves_with_its_key_and_an_edit_of_its_priority_moves_its_line(fair, new):
    await put(fair, new, "ab")
    await fair.do(SetQueue("r", QueueSettings(fair=True), whole=True))
    await fair.do(MoveJob(1, "r"))
    assert (await lines(fair), await lines(fair, "r")) == ({"b": (1, 1)}, {"a": (1, 1)})
    await put(fair, new, "c")
    await fair.do(EditJob(4, priority=3))
    assert ids(await fair.lease(limit=2)) == [4, 2]
    assert (await fair.take("r")).extras.fair_key == "a"


async def test_keys_are_forgotten_once_they_have_had_no_more_than_others(fair, new):
    await put(fair, new, "aaabbbc")
    await fair.lease(limit=3)
    assert (await fair.do(ForgetShares(100))).count == 0  # c has had its turn of this round
    await fair.lease(limit=3)
    assert (await fair.do(ForgetShares(100))).count >= 1
    await fair.lease(limit=10)
    await fair.do(ForgetShares(100))
    async with fair.store.transaction() as tx:
        found = await tx.queue("q")
        (line,) = (await tx.fair_lines([(found.id, PRIORITY_DEFAULT, "c")])).values()
        assert (line.turn, (await tx.fair_clocks([(found.id, PRIORITY_DEFAULT)]))[found.id, PRIORITY_DEFAULT].now) == (0, 0)


async def test_keys_that_come_and_go_while_the_clock_stands_still_are_remembered_up_to_a_bound(fair, new, monkeypatch):
    monkeypatch.setattr(holdfast.committer.fair, "FAIR_KEYS", 3)
    monkeypatch.setattr(holdfast.committer.prefetch, "FAIR_KEYS", 3)
    await put(fair, new, "z", type="x")  # which nobody takes
    for key in "abcdefgh":
        await put(fair, new, key, type="y")
        await fair.lease(types=("y",))
    assert [(await fair.do(ForgetShares(2, surplus=True))).count for _ in range(4)] == [2, 2, 1, 0]
    async with fair.store.transaction() as tx:
        number = (await tx.queue("q")).id
        found = await tx.fair_lines([(number, PRIORITY_DEFAULT, key) for key in "abcdefgh"])
    assert sum(line.turn > 0 for line in found.values()) == 3
    assert ids(await fair.lease()) == [1]


async def test_jobs_of_keys_with_unlike_costs_are_read_in_few_steps(fair, new, monkeypatch):
    steps, ordered, model = [], holdfast.committer.fair._ordered, Shares()
    monkeypatch.setattr(holdfast.committer.fair, "_ordered", lambda *given: steps.append(1) or ordered(*given))
    for letter, cost, each in (("h", 100, 3), ("l", 1, 6)):
        keys = [f"{letter}{number}" for number in range(40) for _ in range(each)]
        for job, key in zip(await put(fair, new, keys, fair_cost=cost), keys, strict=True):
            model.enter(job, key, cost=cost)
    assert ids(await fair.lease(limit=160)) == model.lease(160)
    assert len(steps) <= 5


async def test_virtual_time_is_counted_anew_before_it_is_too_large(fair, new, monkeypatch):
    monkeypatch.setattr(holdfast.committer.shares, "FAIR_TIME_MAX", 3 * FAIR_UNIT)
    model = Shares()
    for number, key in enumerate("aaaaaaaaaabbbbbbbbbbc" * 3, 1):
        model.enter(number, key)
    await put(fair, new, "aaaaaaaaaabbbbbbbbbbc" * 3)
    for limit in (1, 4, 1, 9, 3, 7, 30):
        assert ids(await fair.lease(limit=limit)) == model.lease(limit)


async def test_more_keys_than_the_limit_are_refused(fair, new, monkeypatch):
    monkeypatch.setattr(holdfast.committer.fair, "FAIR_KEYS", 2)
    await put(fair, new, "ab")
    with pytest.raises(InvalidRequest, match="fair keys") as refused:
        await put(fair, new, "ac")
    assert refused.value.fields["field"] == "fair_key"
    await put(fair, new, "ba")
    await put(fair, new, "c", priority=3)


async def test_keys_that_come_in_one_transaction_are_counted_once_each(fair, new, monkeypatch):
    monkeypatch.setattr(holdfast.committer.fair, "FAIR_KEYS", 3)
    await put(fair, new, "a")
    other = [Enqueue([new("other", fair_key=key)]) for key in "xyz"]
    results = await fair.together(
        *other, *[Enqueue([new(fair_key=key) for key in keys]) for keys in ("ab", "bb", "bc", "cd", "ca")]
    )
    assert [isinstance(result, Refused) for result in results[3:]] == [False, False, False, True, False]
    await fair.do(Enqueue([new("other", fair_key="w")]))
    assert sorted({job.extras.fair_key for job in await fair.walk(queue="q")}) == ["a", "b", "c"]


async def test_jobs_that_come_back_are_no_new_ones(fair, new, monkeypatch):
    monkeypatch.setattr(holdfast.committer.fair, "FAIR_KEYS", 1)
    await put(fair, new, "a")
    await fair.do(FailLease((await fair.take()).ref(), "no", retry=False))
    await put(fair, new, "b")
    await fair.do(RetryJob(1))
    assert sorted(ids(await fair.lease(limit=9))) == [1, 2]


async def test_a_queue_that_is_deleted_leaves_nothing(fair, new):
    await put(fair, new, "ab")
    await fair.do(SetFairWeight("q", "a", 5))
    await fair.do(PurgeQueue("q", (State.READY,), 100, 10))
    await fair.do(DeleteQueue("q"))
    await fair.do(SetQueue("q", QueueSettings(fair=True), whole=True))
    await put(fair, new, "aabb")
    assert await lines(fair) == {"a": (2, 1), "b": (2, 1)}


async def test_jobs_that_no_line_counts_are_found(fair, new):
    await put(fair, new, "ab")
    async with fair.store.transaction() as tx:
        await tx.clear_shares(await tx.queue("q"), 100)
        await tx.commit()
    assert ids(await fair.lease()) == [1]
    await sort(fair)
    assert await lines(fair) == {"b": (1, 1)}


async def test_a_queue_that_can_t_be_sorted_just_now_keeps_no_other_from_it(client, monkeypatch):
    client.backend.committer.by_type.sharing |= {f"queue-{number}" for number in range(5)}
    tried = set()

    def submit(command):
        if isinstance(command, SortShares):
            tried.add(command.queue)
        done = asyncio.get_running_loop().create_future()
        done.set_result(Counted(0))
        return done

    monkeypatch.setattr(client.backend, "_commit", submit)
    for _ in range(200):
        await client.backend._pass_time()
    assert len(tried) == 5


class Walk:
    """A queue and the rules side by side."""

    def __init__(self, client, new, chance: random.Random) -> None:
        self.client, self.new, self.chance = client, new, chance
        self.model = Shares()
        self.facts: dict[int, tuple[str, int, int, str]] = {}
        self.held = {}

    async def put(self) -> None:
        chance = self.chance
        facts = [
            (
                chance.choice(("", "a", "b", "b", "b", "c", "d")),
                chance.choice((5, 5, 5, 9)),
                chance.choice((1, 1, 1, 1, 4)),
                chance.choice("xxy"),
            )
            for _ in range(chance.randrange(1, 9))
        ]
        receipts = await self.client.put_all(
            [
                self.new(fair_key=key or None, priority=priority, fair_cost=cost, type=kind)
                for key, priority, cost, kind in facts
            ]
        )
        for receipt, fact in zip(receipts, facts, strict=True):
            self.facts[receipt.id] = fact
            self.model.enter(receipt.id, *fact)

    async def lease(self) -> None:
        types, limit = self.chance.choice((None, None, ("y",), ("x", "z"))), self.chance.choice((1, 1, 2, 7))
        got = await self.client.lease(limit=limit, types=types)
        assert ids(got) == self.model.lease(limit, types)
        self.held.update({one.job.id: one.job for one in got})

    async def end(self) -> None:
        if not self.held:
            return
        job = self.held.pop(self.chance.choice(sorted(self.held)))
        how = self.chance.choice((ConcludeLease(job.ref()), FailLease(job.ref(), "no", delay_ms=0), ReleaseLease(job.ref())))
        await self.client.do(how)
        if not isinstance(how, ConcludeLease):
            self.model.enter(job.id, *self.facts[job.id])

    async def cancel(self) -> None:
        if self.model.waiting:
            job = self.chance.choice(sorted(self.model.waiting))
            await self.client.do(CancelJob(job))
            self.model.leave(job)

    async def weigh(self) -> None:
        key, weight = self.chance.choice(("", "a", "b")), self.chance.choice((1, 2, 5, 1_000))
        await self.client.do(SetFairWeight("q", key, weight))
        self.model.weights[key] = weight

    async def pass_time(self) -> None:
        await self.client.do(ForgetShares(100))
        await self.client.do(FillTypes("q", 100))


@pytest.mark.parametrize("seed", range(4))
async def test_every_lease_is_what_the_rules_say_over_restarts(lasting_place, reopen, new, seed, monkeypatch):
    monkeypatch.setattr(holdfast.stores.sqlite.fair, "WHOLE", 2 if seed % 2 else 4_000)
    chance = random.Random(seed)
    walk = Walk(await reopen(lasting_place), new, chance)
    await walk.client.do(SetQueue("q", QueueSettings(fair=True, max_attempts=100), whole=True))
    for _ in range(120):
        deed = chance.choice(
            (
                walk.put,
                walk.put,
                walk.lease,
                walk.lease,
                walk.lease,
                walk.lease,
                walk.end,
                walk.cancel,
                walk.weigh,
                walk.pass_time,
            )
        )
        await deed()
        if chance.random() < 0.03:
            walk.client = await reopen(lasting_place, walk.client)
    assert ids(await walk.client.lease(limit=2_000)) == walk.model.lease(2_000)
    await walk.client.close()
