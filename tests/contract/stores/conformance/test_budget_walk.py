"""Walks at random over every verb that a job with budgets can meet, several in one transaction: accounts are counted again, bounds are kept, nothing is left."""

import os
import random
from contextlib import suppress

import pytest

from holdfast.errors import HoldfastError
from holdfast.job.budget import Block, Charge
from holdfast.job.closing import Closing
from holdfast.job.job import OnConflict, State
from holdfast.job.job_batch import ClosingJob
from holdfast.job.queue import QueueSettings
from holdfast.limits import BUDGET_UNCLAIMED_MS
from holdfast.messages.answers import Granted
from holdfast.messages.beanstalk_commands import BuryLease, KickJob, KickJobs, ReserveJob
from holdfast.messages.budget_commands import BlockBudget, DeleteBudget, SetBudget
from holdfast.messages.commands import (
    CancelJob,
    ConcludeLease,
    DeleteJob,
    EditJob,
    Enqueue,
    ExtendLease,
    FailLease,
    LeaseJobs,
    MoveJob,
    PauseQueue,
    PauseType,
    PromoteJob,
    PurgeQueue,
    RegisterWorker,
    ReleaseLease,
    RetryJob,
    SetQueue,
    SettleJob,
    TakeBackLease,
)
from holdfast.messages.frame import Refused
from holdfast.messages.job_batches import MakeJobBatch, PutClosingJobs
from holdfast.messages.time_commands import AdmitWaiting, EndOverdue, ExpireLeases, PromoteDue

FIRST = int(os.environ.get("SEED0", "0"))
QUEUES = ("q", "r", "s")
TYPES = ("", "mail")
RATE = SetBudget("rate", 20, 1_000, 4)  # never changed: its bound holds over every window


class Walk:
    """What it holds, and when it has started what of the rate, by account."""

    def __init__(self, client, new, seed):
        self.client, self.new, self.dice = client, new, random.Random(seed)
        self.held, self.extended = {}, set()
        self.starts: dict[str, list[list[int]]] = {}

    # ------------------------------------------------------------------------------------------------- one command of each kind

    def job(self, queue=None):
        dice = self.dice
        named = dice.sample(["rate", "a", "c"], dice.randrange(0, 4))
        options = {"budgets": tuple(Charge(name, dice.choice(("", "k")), dice.randrange(1, 3)) for name in named)}
        if dice.random() < 0.2:
            options["group_key"] = dice.choice("gh")
        if dice.random() < 0.2:
            options["unique_key"] = dice.choice("uv")
            options["on_conflict"] = dice.choice(list(OnConflict))
        if dice.random() < 0.1:
            options["expires_in_ms"] = dice.randrange(1, 200)
        if dice.random() < 0.05:
            options["worker"] = "own"
        delay = dice.choice((None, None, 30))
        return self.new(queue or dice.choice(QUEUES), type=dice.choice(TYPES), delay_ms=delay, max_attempts=3, **options)

    def put(self):
        return Enqueue([self.job() for _ in range(self.dice.randrange(1, 6))])

    def batch(self):
        closing = [ClosingJob(on, self.job()) for on in self.dice.sample(list(Closing), 1)]
        for one in closing:
            one.job.on_conflict = OnConflict.REFUSE
        return MakeJobBatch([self.job() for _ in range(2)], closed=True, closing=closing)

    def lease(self):
        dice = self.dice
        return LeaseJobs(
            tuple(dice.sample(QUEUES, 3)), dice.randrange(1, 5), dice.choice(("w", "own")), types=dice.choice((None, ("mail",)))
        )

    def end(self):
        if not self.held:
            return self.lease()
        dice, job = self.dice, self.held[self.dice.choice(sorted(self.held))]
        block = Block(dice.choice(job.extras.budgets).name, 40) if job.extras.budgets and dice.random() < 0.2 else None
        delay, ref = dice.choice((0, 25)), job.ref()
        then = [self.job(job.queue)] if dice.random() < 0.2 else []
        ways = (
            ConcludeLease(ref, then=then),
            ReleaseLease(ref, delay_ms=delay, block=block),
            ReleaseLease(ref, delay_ms=delay, block=block),
            FailLease(ref, "no", delay_ms=delay, block=block, retry=dice.random() < 0.8),
            BuryLease(ref, 3),
            ExtendLease(ref, 400),
            TakeBackLease(job.id),
        )
        return dice.choice(ways)

    def about_one(self):
        dice, some = self.dice, self.dice.choice(self.ids or [1])
        ways = (
            CancelJob(some),
            DeleteJob(some),
            EditJob(some, priority=dice.randrange(3), delay_ms=dice.choice((None, 0, 20))),
            PromoteJob(some),
            RetryJob(some),
            MoveJob(some, dice.choice(QUEUES)),
            SettleJob(some, dice.random() < 0.5, "so"),
            KickJob(some),
            ReserveJob(some, "w"),
        )
        return dice.choice(ways)

    def about_queue(self):
        dice, queue = self.dice, self.dice.choice(QUEUES)
        settings = QueueSettings(budgets=dice.choice(((), (Charge("rate"),), (Charge("a", "k"), Charge("c")))))
        ways = (
            SetQueue(queue, settings, whole=False),
            PauseQueue(queue, dice.random() < 0.3),
            PauseType(queue, "mail", dice.random() < 0.3),
            PurgeQueue(queue, (dice.choice((State.READY, State.SCHEDULED)),), 0, 2),
            KickJobs(queue, dice.random() < 0.5, 3),
        )
        return dice.choice(ways)

    def about_budget(self):
        dice, name = self.dice, self.dice.choice(("a", "c", "rate"))
        ways = (
            SetBudget("a", dice.randrange(2, 6)),
            SetBudget("c", 2, dice.choice((None, 500)), dice.choice((None, 2, 3))),
            SetBudget("c", 3),
            BlockBudget(name, dice.choice((None, "", "k")), 30),
            BlockBudget(name, dice.choice((None, "", "k"))),
            DeleteBudget("c", force=dice.random() < 0.5),
        )
        return dice.choice(ways)

    def time(self):
        return self.dice.choice((ExpireLeases, PromoteDue, EndOverdue, AdmitWaiting, PutClosingJobs))(50)

    # ---------------------------------------------------------------------------------------------------------------- a step

    async def step(self):
        kinds = (
            [self.put] * 3
            + [self.lease] * 4
            + [self.end] * 4
            + [self.about_one] * 3
            + [self.about_queue, self.about_budget, self.time, self.batch]
        )
        self.ids = [job.id for job in await self.client.walk()]
        was = {job.id: job for job in await self.client.walk() if job.state is State.LEASED}
        commands = [self.dice.choice(kinds)() for _ in range(self.dice.choice((1, 1, 2, 3, 5)))]
        results = [await future for future in [self.client.backend.submit(one) for one in commands]]
        given_back: set[int] = set()
        for one, result in zip(commands, results, strict=True):
            assert not (isinstance(result, Refused) and result.code == "internal_error"), (one, result)
            if isinstance(result, Granted):
                for granted in result.jobs:
                    self.start(granted.job)
            if isinstance(one, ExtendLease) and not isinstance(result, Refused):
                self.extended.add(one.ref.fence)
            if isinstance(one, ReleaseLease) and not isinstance(result, Refused) and one.ref.fence not in self.extended:
                given_back.add(one.ref.fence)
        for account in self.starts.values():
            account[:] = [start for start in account if start[2] not in given_back]
        await self.client.count_accounts_again()
        await self.check_groups(commands, results)
        leased = {job.id: job for job in await self.client.walk(state=State.LEASED)}
        self.held = leased
        self.check_held(was, leased)
        if self.dice.random() < 0.5:
            self.client.clock.advance(self.dice.choice((0, 11, 59, BUDGET_UNCLAIMED_MS)))

    async def check_groups(self, commands=None, results=None):
        """Nobody waits for a group of which nobody has a place."""
        having, held = set(), set()
        for job in await self.client.walk():
            if job.extras.group_key is not None:
                (held if job.held else having if job.holds_group_slot else set()).add((job.queue, job.extras.group_key))
        assert held <= having, (held - having, commands, results)

    def start(self, job):
        for charge in job.extras.budgets:
            if charge.name == "rate":
                self.starts.setdefault(charge.account, []).append([job.lease.leased_at, min(charge.cost, 4), job.lease.fence])

    def check_held(self, was, leased):
        """No more are held than before, or than the most that there ever may be: each limit is 5 at most, and each cost may be 3."""
        for one in ("a/", "a/k"):

            def sum_of(jobs, one=one):
                return sum(charge.cost for job in jobs for charge in job.extras.budgets if charge.account == one)

            assert sum_of(leased.values()) <= max(5, sum_of(was.values())), one

    def check_rate(self):
        for one, starts in self.starts.items():
            for first in range(len(starts)):
                total = 0
                for last in range(first, len(starts)):
                    total += starts[last][1]
                    assert total <= 4 + 20 * (starts[last][0] - starts[first][0]) / 1_000, (one, starts[first : last + 1])

    async def drain(self):
        client = self.client
        for queue in QUEUES:
            await client.do(SetQueue(queue, QueueSettings(budgets=()), whole=False))
            await client.do(PauseQueue(queue, False))
            await client.do(PauseType(queue, "mail", False))
        await client.do(SetBudget("c", 2))
        for job in await client.walk(state=State.LEASED):
            await client.do(TakeBackLease(job.id))
        for _ in range(1_500):
            client.clock.advance(100)
            for tick in (ExpireLeases, PromoteDue, EndOverdue, AdmitWaiting, PutClosingJobs):
                await client.do(tick(500))
            for granted in await client.lease(*QUEUES, limit=50, worker="own"):
                with suppress(HoldfastError):
                    await client.do(ConcludeLease(granted.job.ref()))
            unfinished = sum([(await client.tally(queue)).unfinished for queue in QUEUES])
            if not unfinished and not (await client.do(PutClosingJobs(500))).count:  # one may have waited for a unique key
                return
        left = [
            (
                job.id,
                job.queue,
                job.state.value,
                job.held,
                job.waits,
                job.extras.worker,
                job.extras.group_key,
                [(c.account, c.cost) for c in job.extras.budgets],
            )
            for job in await client.walk()
            if job.ended_at is None
        ]
        async with client.store.transaction() as tx:
            accounts = await tx.accounts(sorted({c[0] for one in left for c in one[-1]}))
        pytest.fail(f"jobs are left: {left}\n{client.now} {accounts}")


@pytest.mark.parametrize("seed", range(FIRST, FIRST + int(os.environ.get("SEEDS", "2"))))
async def test_nothing_is_forgotten_whatever_comes_together(client, new, seed):
    for command in (RATE, SetBudget("a", 3), SetBudget("c", 2)):
        await client.do(command)
    await client.do(RegisterWorker("own", "own", QUEUES))
    for queue in QUEUES:
        await client.do(SetQueue(queue, QueueSettings(), whole=False))
    walk = Walk(client, new, seed)
    for _ in range(int(os.environ.get("STEPS", "150"))):
        await walk.step()
    walk.check_rate()
    await client.count_again()
    await walk.drain()
    await client.count_again()
