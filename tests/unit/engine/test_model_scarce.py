"""Scarce budgets against a model, in long random stories: nothing starts that an account can't pay for, whatever can be paid for starts, the first that
came to an account goes first, and the numbers shown are those of the model.
"""

import asyncio
from contextlib import suppress
from math import floor

import pytest
import uvloop
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from holdfast.clock import ManualClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.job.budget import Block, Budget, Charge
from holdfast.job.job import Extras, NewJob
from holdfast.job.queue import QueuePolicy
from holdfast.limits import BUDGET_TOGETHER_MS
from holdfast.messages import commands as c
from holdfast.messages.budget_commands import BlockBudget, GetBudget, SetBudget
from holdfast.messages.frame import Refused
from holdfast.messages.time_commands import AdmitWaiting, ExpireLeases
from holdfast.stores.sqlite.store import SqliteStore
from tests.unit.engine.model_scarce import Scarce, Waiting
from tests.unit.engine.test_model import CHECKS

pytestmark = pytest.mark.long(30)

BUDGETS = {"rate": Budget("rate", 3, 100, 2), "slow": Budget("slow", 7, 1_000, 5), "held": Budget("held", 2, None, 2)}
QUEUES = ("a", "b")
LEASE_MS = 300
CHARGES = [Charge(name, key, cost) for name in BUDGETS for key in ("", "k") for cost in (1, 2)]
charges = st.lists(st.sampled_from(CHARGES), max_size=3, unique_by=lambda charge: charge.account).map(tuple)


class Story(RuleBasedStateMachine):
    """One story, told to the committer and to the model."""

    @initialize()
    def begin(self):
        self.loop = uvloop.new_event_loop()
        self.clock = ManualClock()
        self.store = SqliteStore(None, QueuePolicy())
        self.backend = LocalBackend(self.store, self.clock)
        self.running = self.loop.create_task(self.backend.committer.run())
        self.model = Scarce(dict(BUDGETS))
        for one in BUDGETS.values():
            self.ask(SetBudget(one.name, one.limit, one.per_ms, one.burst))
        self.refs = {}
        self.until = {}

    def ask(self, *commands):
        async def all_of_them():
            return await asyncio.gather(*[asyncio.ensure_future(self.backend.submit(command)) for command in commands])

        self.model.now = self.clock.now()
        return self.loop.run_until_complete(all_of_them())

    def lease(self, queues, limit):
        """What was given, which the model must allow, in this order."""
        (granted,) = self.ask(c.LeaseJobs(queues, limit, "w", LEASE_MS))
        jobs = [self.model.jobs[one.job.id] for one in granted.jobs]
        fresh = [job for job in jobs if job.fresh]
        for one, job in zip(granted.jobs, jobs, strict=True):
            self.model.start(job)
            self.refs[job.id], self.until[job.id] = one.job.ref(), self.clock.now() + LEASE_MS
        assert self.model.overtaken(fresh) is None
        return jobs

    def admit(self):
        """All that time brings, as the ticks do it."""
        while self.ask(AdmitWaiting(1_000))[0].count:
            pass

    def ends(self, job, *, gone, gives_back=False):
        self.model.stop(job, gives_back)
        del self.refs[job.id], self.until[job.id]
        if gone:
            del self.model.jobs[job.id]

    # Steps

    @rule(queue=st.sampled_from(QUEUES), what=st.lists(st.tuples(charges, st.sampled_from([1, 2])), min_size=1, max_size=4))
    def jobs_come(self, queue, what):
        jobs = [NewJob(queue, b"", priority=priority, extras=Extras(budgets=paid)) for paid, priority in what]
        (answer,) = self.ask(c.Enqueue(jobs))
        too_much = any(one.cost > self.model.budgets[one.name].need(one.cost) for paid, _ in what for one in paid)
        assert isinstance(answer, Refused) is too_much
        if too_much:
            return
        for receipt, (paid, priority) in zip(answer.jobs, what, strict=True):
            self.model.jobs[receipt.id] = Waiting(receipt.id, queue, priority, paid)

    @rule(queues=st.sampled_from([QUEUES, QUEUES[::-1], ("a",), ("b",)]), limit=st.integers(1, 5))
    def somebody_asks(self, queues, limit):
        self.lease(queues, limit)

    @precondition(lambda self: self.refs)
    @rule(data=st.data(), verb=st.sampled_from(["conclude", "fail", "die", "release", "extend"]), blocks=st.booleans())
    def a_worker_says(self, data, verb, blocks):
        job = self.model.jobs[data.draw(st.sampled_from(sorted(self.refs)))]
        ref = self.refs[job.id]
        if self.until[job.id] <= self.clock.now():
            return  # it has expired, and says nothing any more
        block = None
        if blocks and job.charges and verb in ("fail", "release"):
            charge = data.draw(st.sampled_from(job.charges))
            block = Block(charge.name, data.draw(st.sampled_from([1, 40, 400])), charge.key)
            self.model.now = self.clock.now()
            self.model.block(charge.account, block.for_ms)
        if verb == "extend":
            self.ask(c.ExtendLease(ref, LEASE_MS))
            until = self.clock.now() + LEASE_MS
            job.extended |= (
                until != self.until[job.id]
            )  # within the millisecond of its start it changes nothing, and is not kept
            self.until[job.id] = until
            return
        self.ask(
            {
                "conclude": c.ConcludeLease(ref),
                "fail": c.FailLease(ref, "no", True, 0, block=block),
                "die": c.FailLease(ref, "no", False, 0),
                "release": c.ReleaseLease(ref, 0, block=block),
            }[verb]
        )
        self.ends(job, gone=verb in ("conclude", "die"), gives_back=verb == "release" and not job.extended)

    @rule(ms=st.sampled_from([1, 7, 33, 34, 100, LEASE_MS, 2_000]))
    def time_goes_on(self, ms):
        self.clock.advance(ms)
        self.ask(ExpireLeases(1_000))
        for number in [number for number, until in self.until.items() if until <= self.clock.now()]:
            self.ends(self.model.jobs[number], gone=False)
        self.admit()

    @rule(
        name=st.sampled_from(sorted(BUDGETS)), key=st.sampled_from([None, "", "k"]), for_ms=st.sampled_from([None, 1, 50, 500])
    )
    def an_operator_blocks(self, name, key, for_ms):
        self.ask(BlockBudget(name, key, for_ms))
        if for_ms is not None and key is not None:
            self.model.block(f"{name}/{key}", for_ms)
        elif for_ms is not None:
            self.model.blocked[name] = max(self.model.blocked.get(name, 0), self.clock.now() + for_ms)
        elif key is not None:
            self.model.account(f"{name}/{key}").blocked_until = 0
        else:
            self.model.blocked.pop(name, None)
            for account, one in self.model.accounts.items():
                one.blocked_until = 0 if account.partition("/")[0] == name else one.blocked_until

    @rule(limit=st.sampled_from([1, 2, 3]))
    def more_or_fewer_may_be_held(self, limit):
        self.ask(SetBudget("held", limit))
        self.model.budgets["held"] = replace(self.model.budgets["held"], limit=limit, burst=limit)

    @rule()
    def whatever_can_be_paid_for_starts(self):
        self.clock.advance(BUDGET_TOGETHER_MS)  # so long jobs may wait for each other
        self.ask(ExpireLeases(1_000))
        for number in [number for number, until in self.until.items() if until <= self.clock.now()]:
            self.ends(self.model.jobs[number], gone=False)
        self.admit()
        while self.lease(QUEUES, 100):
            self.admit()
        for job in self.model.jobs.values():
            assert job.leased or self.model.keeps_waiting(job), f"{job} waits, and nothing keeps it"

    # What always holds

    @invariant()
    def the_numbers_are_those_of_the_model(self):
        for name, budget in self.model.budgets.items():
            (shown,) = self.ask(GetBudget(name, 100))
            accounts = {one.key: one for one in shown.some}
            for key in ("", "k"):
                account = f"{name}/{key}"
                costs = {job.id: one for job in self.model.jobs.values() for one in job.charges if one.account == account}
                left = max(0, floor(self.model.left(account)))
                if key in accounts:
                    assert (accounts[key].left, accounts[key].jobs) == (left, len(costs)), account
                    running = sum(one.cost for number, one in costs.items() if number in self.refs)
                    assert accounts[key].running == running, account
                else:
                    assert not costs
                    assert left == (budget.limit if budget.per_ms is None else budget.burst)
        for check, text in CHECKS.items():
            assert list(self.store._writer.execute(text)) == [], check

    def teardown(self):
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            self.loop.run_until_complete(self.running)
        self.loop.run_until_complete(self.store.close())
        self.loop.close()


@pytest.mark.timeout(900)  # a story that goes wrong takes minutes to be shortened, and that is worth waiting for
class TestStory(Story.TestCase):
    """What pytest collects."""


TestStory.settings = settings(max_examples=40, stateful_step_count=40)
