"""A store that is exported while batches run in it, at random: once everything of it is finished elsewhere, each closing job has come once."""

import io
import os
import random
from collections import Counter
from contextlib import asynccontextmanager, suppress

import pytest

from holdfast.cli.importing import Importer, items
from holdfast.errors import HoldfastError
from holdfast.job.closing import Closing
from holdfast.job.job import UNFINISHED, State
from holdfast.job.job_batch import ClosingJob
from holdfast.job.queue import QueueSettings
from holdfast.messages.commands import CancelJob, ConcludeLease, DeleteJob, Enqueue, FailLease, RetryJob, SetQueue
from holdfast.messages.job_batches import CloseJobBatch, ListJobBatches, MakeJobBatch, PutClosingJobs
from holdfast.messages.time_commands import ForgetHistory, PromoteDue
from holdfast.stores import exporting
from holdfast.stores.exporting import Progress, Wanted
from holdfast.stores.postgres import exporting as database
from holdfast.stores.sqlite import exporting as file
from tests.contract.stores.conformance.conftest import File, new

FIRST = int(os.environ.get("SEED0", "0"))
QUEUES = ("q", "end")


@asynccontextmanager
async def source(place):
    if isinstance(place, File):
        with file.source(place._path) as one:
            yield one
    else:
        async with database.source(place._url) as one:
            yield one


class Load:
    """Who uses the store meanwhile."""

    def __init__(self, client, seed, forgets):
        self.client, self.dice, self.forgets = client, random.Random(seed), forgets
        self.batches: list[int] = []

    def closing(self):
        on = self.dice.sample(list(Closing), self.dice.randrange(1, 4))
        outer = self.dice.choice([None, *self.batches[-3:]])
        return [ClosingJob(one, new("end", b'"closing"', **({} if outer is None else {"batch": outer}))) for one in on]

    async def step(self):
        dice, client = self.dice, self.client
        with suppress(HoldfastError):
            kind = dice.randrange(9)
            if kind <= 1:
                jobs = [new("q", max_attempts=1) for _ in range(dice.randrange(4))]
                command = MakeJobBatch(jobs, closed=dice.random() < 0.5, closing=self.closing())
                self.batches.append((await client.do(command)).id)
            elif kind == 2 and self.batches:
                await client.do(Enqueue([new("q", batch=dice.choice(self.batches), max_attempts=1)]))
            elif kind == 3 and self.batches:
                await client.do(CloseJobBatch(dice.choice(self.batches)))
            elif kind == 4:
                some = await client.walk()
                one = dice.choice(some).id if some else 1
                await client.do(dice.choice((CancelJob(one), DeleteJob(one), RetryJob(one))))
            else:
                for granted in await client.lease(*QUEUES, limit=dice.randrange(1, 5)):
                    ref = granted.job.ref()
                    await client.do(FailLease(ref, "no") if dice.random() < 0.15 else ConcludeLease(ref))
        if self.forgets and dice.random() < 0.2:
            client.clock.advance(10)
            await client.do(ForgetHistory(100))


async def finish(client):
    """Everything that is unfinished is concluded, and every batch closed."""
    for batch in (await client.ask(ListJobBatches(1_000))).batches:
        await client.do(CloseJobBatch(batch.id))
    for _ in range(200):
        client.clock.advance(600_000)
        await client.do(PromoteDue(100))
        for dead in await client.walk(state=State.DEAD):
            await client.do(RetryJob(dead.id))
        put = (await client.do(PutClosingJobs(100))).count
        granted = await client.lease(*QUEUES, limit=100)
        for one in granted:
            await client.do(ConcludeLease(one.job.ref()))
        if not granted and not put:
            return
    pytest.fail("it does not end")


@pytest.mark.parametrize("seed", range(FIRST, FIRST + int(os.environ.get("SEEDS", "6"))))
async def test_each_closing_job_comes_once_out_of_an_export_of_a_store_in_use(
    lasting_place, reopen, monkeypatch, tmp_path, seed
):
    monkeypatch.setattr(exporting, "EXPORT_PAGE_JOBS", 3)
    monkeypatch.setattr(exporting, "_PAGE", 4)
    client = await reopen(lasting_place)
    load = Load(client, seed, forgets=seed % 3 == 2)
    for queue in QUEUES if load.forgets else ():
        await client.do(SetQueue(queue, QueueSettings(retention_ms=5), whole=False))
    for _ in range(40):
        await load.step()
    written = b""
    async with source(lasting_place) as one:
        async for line in exporting.lines(one, Wanted(), Progress(0)):
            written += line
            if load.dice.random() < 0.6:
                await load.step()
    await client.close()
    ids = [line for line in written.splitlines() if line.startswith(b'{"job"')]
    (tmp_path / "elsewhere").mkdir()
    elsewhere = await reopen(File(tmp_path / "elsewhere"))
    for _ in range(2):  # the same file again changes nothing
        importer = Importer(elsewhere.store, elsewhere.now)
        for number, size, item in items(io.BytesIO(written)):
            await importer.take(number, size, item)
        await importer.end()
    assert importer.done.known == len(ids)
    before = await elsewhere.walk()
    await elsewhere.count_batches_again()
    await finish(elsewhere)
    jobs = await elsewhere.walk()
    came = Counter((job.extras.closes.batch, job.extras.closes.on) for job in jobs if job.extras.closes is not None)
    assert not [pair for pair, count in came.items() if count > 1], came
    for batch in (await elsewhere.ask(ListJobBatches(1_000))).batches:
        assert batch.finished, (batch, [job for job in jobs if job.extras.batch == batch.id])
        assert batch.finish is None or batch.finish > 0, batch
        assert batch.success is None or batch.success > 0 or batch.dead or batch.cancelled, batch
        assert batch.failure is None or batch.failure != 0 or not batch.dead, batch
        for on in Closing:
            mark = batch.mark(on) or 0
            if mark > 0 and not load.forgets and mark > max((job.id for job in before), default=0):
                assert came[batch.id, on] == 1, (batch, on)
    members = {job.extras.batch for job in jobs if job.extras.batch is not None and job.state in UNFINISHED}
    assert not members
    assert all(job.state is not State.LEASED for job in jobs)
    await elsewhere.count_again()
    await elsewhere.close()
