"""Walks at random where budgets, batches, types, operations, deadlines and unique keys meet: over ends of the program without a word, clocks that are set,
and on PostgreSQL two nodes. What is counted is what is there, bounds are kept, and in the end each closing job has come once.
"""

import asyncio
import os
from collections import Counter
from contextlib import suppress

import pytest

from holdfast.errors import HoldfastError
from holdfast.job.closing import Closing
from holdfast.job.job import UNFINISHED, State
from holdfast.job.job_batch import ClosingJob
from holdfast.job.operation import Do, JobFilter
from holdfast.job.queue import QueuePolicy, QueueSettings
from holdfast.messages.answers import Granted
from holdfast.messages.budget_commands import SetBudget
from holdfast.messages.commands import RegisterWorker, RetryJob, SetQueue
from holdfast.messages.frame import Refused
from holdfast.messages.job_batches import CancelJobBatch, CloseJobBatch, ListJobBatches, MakeJobBatch
from holdfast.messages.operations import StartOperation
from tests.contract.stores.conformance.conftest import Postgres, StoreClient
from tests.contract.stores.conformance.test_budget_walk import FIRST, QUEUES, RATE, Walk

STATES = {
    Do.RETRY: (State.DEAD,),
    Do.CANCEL: (State.SCHEDULED, State.READY),
    Do.DELETE: (State.DEAD, State.CANCELLED),
    Do.PROMOTE: (State.SCHEDULED,),
    Do.MOVE: (State.SCHEDULED, State.READY, State.DEAD),
}


class FlowWalk(Walk):
    """The same with batches that are joined, closed and cancelled, operations, and several nodes."""

    def __init__(self, clients, new, seed):
        super().__init__(clients[0], new, seed)
        self.clients = clients
        self.batches: list[int] = []

    def job(self, queue=None):
        job = super().job(queue)
        if self.batches and self.dice.random() < 0.3:
            job.extras = type(job.extras)(**{**{n: getattr(job.extras, n) for n in job.extras.__struct_fields__}, "batch": self.dice.choice(self.batches[-4:])})  # fmt: skip
        return job

    def batch(self):
        dice = self.dice
        closing = [ClosingJob(on, self.job()) for on in dice.sample(list(Closing), dice.randrange(1, 4))]
        return MakeJobBatch(
            [self.new(dice.choice(QUEUES)) for _ in range(dice.randrange(3))], closed=dice.random() < 0.5, closing=closing
        )

    def about_batch(self):
        if not self.batches:
            return self.batch()
        number = self.dice.choice(self.batches)
        return self.dice.choice((CloseJobBatch(number), CancelJobBatch(number, tuple(self.ids[:5])), self.batch()))

    def operate(self):
        do = self.dice.choice(list(STATES))
        to = self.dice.choice(QUEUES) if do is Do.MOVE else ""
        queue = self.dice.choice([name for name in QUEUES if name != to])
        return StartOperation(do, JobFilter(queue), STATES[do], to, limit=self.dice.choice((None, 3)))

    async def step(self):
        kinds = (
            [self.put] * 3
            + [self.lease] * 4
            + [self.end] * 5
            + [self.about_one, self.about_queue, self.about_budget, self.time, self.about_batch, self.about_batch, self.operate]
        )
        jobs = await self.client.walk()
        self.ids = [job.id for job in jobs]
        was = {job.id: job for job in jobs if job.state is State.LEASED}
        commands = [self.dice.choice(kinds)() for _ in range(self.dice.choice((1, 2, 3, 6)))]
        results = await asyncio.gather(*[self.dice.choice(self.clients).backend.submit(one) for one in commands])
        for one, result in zip(commands, results, strict=True):
            assert not (isinstance(result, Refused) and result.code == "internal_error"), (one, result)
            if isinstance(one, MakeJobBatch) and not isinstance(result, Refused):
                self.batches.append(result.id)
            if isinstance(result, Granted) and len({job.job.id for job in result.jobs}) != len(result.jobs):
                pytest.fail("a job twice")
        if any(isinstance(one, StartOperation) for one in commands) or self.dice.random() < 0.1:
            while await self.client.backend.operations.work(anyhow=True):
                pass
        await self.client.count_accounts_again()
        await self.client.count_batches_again()
        leased = {job.id: job for job in await self.client.walk(state=State.LEASED)}
        self.held = leased
        self.check_held(was, leased)
        await self.check_unique()
        if self.dice.random() < 0.5:
            ms = self.dice.randrange(60)
            for client in self.clients:
                client.clock.advance(ms)

    async def check_unique(self):
        jobs = await self.client.walk()
        held = Counter((job.queue, job.extras.unique_key) for job in jobs if job.state in UNFINISHED and job.extras.unique_key)
        assert not [pair for pair, count in held.items() if count > 1], held

    async def finish(self):
        """All that is open is closed and worked off, and what is dead retried."""
        for client in self.clients:
            client.clock.advance(2_000_000)  # past every moment that was named before the clock was set back
        for batch in (await self.client.ask(ListJobBatches(1_000))).batches:
            await self.client.do(CloseJobBatch(batch.id))
        for _ in range(30):
            await self.drain()
            dead = [job.id for job in await self.client.walk(state=State.DEAD)]
            if not dead:
                break
            for number in dead:
                with suppress(HoldfastError):  # another has its unique key by now
                    await self.client.do(RetryJob(number))
        jobs = await self.client.walk()
        came = Counter((job.extras.closes.batch, job.extras.closes.on) for job in jobs if job.extras.closes is not None)
        for batch in (await self.client.ask(ListJobBatches(1_000))).batches:
            assert batch.pending == 0, batch
            for on in Closing:
                assert batch.mark(on) in (None, -2) or batch.mark(on) > 0, (on, batch)
        return came


async def opened(place, now):
    return StoreClient(place.open(QueuePolicy()), now)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + int(os.environ.get("SEEDS", "2"))))
async def test_what_meets_is_counted_and_comes_to_its_end(lasting_place, new, seed):
    several = 2 if isinstance(lasting_place, Postgres) else 1
    now = 1_800_000_000_000
    walk = FlowWalk([await opened(lasting_place, now) for _ in range(several)], new, seed)
    for command in (RATE, SetBudget("a", 3), SetBudget("c", 2)):
        await walk.client.do(command)
    await walk.client.do(RegisterWorker("own", "own", QUEUES))
    for queue in QUEUES:
        await walk.client.do(SetQueue(queue, QueueSettings(), whole=False))
    for _ in range(int(os.environ.get("STEPS", "60"))):
        await walk.step()
        if walk.dice.random() < 0.03:  # an end without a word, and another time when it begins again
            now = walk.client.now + walk.dice.choice((-500_000, -50, 0, 50, 100_000))
            for client in walk.clients:
                await client.close()
            walk.clients = [await opened(lasting_place, now) for _ in range(several)]
            walk.client = walk.clients[0]
    await walk.client.count_again()
    came = await walk.finish()
    assert not [pair for pair, count in came.items() if count > 1], came
    await walk.client.count_again()
    for client in walk.clients:
        await client.close()
