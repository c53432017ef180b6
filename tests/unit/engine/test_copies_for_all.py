"""An event for all: a copy for every worker on every interested queue, which only that worker gets, and what becomes of it when the worker goes."""

import pytest

from holdfast.errors import QueueFull
from holdfast.job.job import State
from holdfast.job.queue import QueueSettings
from holdfast.messages.commands import ConcludeLease, FailLease, RetryJob
from holdfast.messages.queries import ListJobs
from holdfast.messages.time_commands import BuryOrphans


async def everyone(engine, *queues):
    """Two workers on the given queues and one elsewhere, and an interest of each queue in everything."""
    for queue in queues:
        await engine.set_interest(queue, "*")
    return [
        await engine.workers.register(queues, "one"),
        await engine.workers.register(queues, "two"),
        await engine.workers.register(("elsewhere",), "three"),
    ]


async def ids(engine, queues, worker, limit=10):
    return [job.job.id for job in (await engine.lease(queues, limit, worker.id)).jobs]


async def test_every_worker_of_an_interested_queue_gets_its_own_copy_and_nobody_else_s(engine, new):
    one, two, three = await everyone(engine, "q")
    published = await engine.publish(new("-", b"{}"), to_workers=True)
    assert len(published.jobs) == 2
    assert await ids(engine, ("q",), three) == []
    first, second = await ids(engine, ("q",), one), await ids(engine, ("q",), two)
    assert sorted(first + second) == [receipt.id for receipt in published.jobs]
    assert len(first) == len(second) == 1
    assert await ids(engine, ("q",), one) == []


async def test_a_free_name_never_gets_a_copy_for_one_worker(engine, new):
    await everyone(engine, "q")
    await engine.publish(new("-", b"{}"), to_workers=True)
    assert (await engine.lease(("q",), 10, "somebody")).jobs == []


async def test_a_quiet_worker_is_not_counted_among_all(engine, new):
    one, _, _ = await everyone(engine, "q")
    await engine.workers.quiet(one.id)
    assert len((await engine.publish(new("-", b"{}"), to_workers=True)).jobs) == 1


async def test_own_copies_and_common_jobs_come_in_one_order(engine, new):
    one, _, _ = await everyone(engine, "q")
    before = (await engine.enqueue([new("q")])).jobs[0].id
    mine = (await engine.publish(new("-", b"{}"), to_workers=True)).jobs[0].id
    after = (await engine.enqueue([new("q")])).jobs[0].id
    urgent = (await engine.enqueue([new("q", priority=1)])).jobs[0].id
    assert await ids(engine, ("q",), one) == [urgent, before, mine, after]


async def test_a_failed_copy_comes_back_to_its_worker_alone(engine, new):
    one, two, _ = await everyone(engine, "q")
    await engine.publish(new("-", b"{}"), to_workers=True)
    held = (await engine.lease(("q",), 1, one.id)).jobs[0]
    await engine.end(FailLease(held.job.ref(), "no", True, 0))
    await ids(engine, ("q",), two)
    assert await ids(engine, ("q",), two) == []
    assert await ids(engine, ("q",), one) == [held.job.id]


async def test_a_copy_whose_worker_goes_away_is_dead_for_that_reason_and_can_be_retried_by_anyone(engine, backend, new):
    one, two, _ = await everyone(engine, "q")
    await engine.publish(new("-", b"{}"), to_workers=True)
    assert (await backend.submit(BuryOrphans(10))).count == 0
    await engine.workers.remove(one.id)
    assert (await backend.submit(BuryOrphans(10))).count == 1
    dead = (await engine.reading.jobs(ListJobs(10, state=State.DEAD))).jobs
    assert [detail.job.reason for detail in dead] == ["worker_gone"]
    await engine.change_job(RetryJob(dead[0].job.id))
    granted = (await engine.lease(("q",), 1, "somebody")).jobs[0]
    assert granted.job.id == dead[0].job.id
    await engine.end(ConcludeLease(granted.job.ref()))
    assert len(await ids(engine, ("q",), two)) == 1


async def test_copies_count_against_the_bound_of_their_queue_all_or_none(engine, new):
    await everyone(engine, "q")
    await engine.set_queue("q", QueueSettings(capacity_jobs=1), whole=True)
    with pytest.raises(QueueFull):
        await engine.publish(new("-", b"{}"), to_workers=True)
    assert (await engine.reading.queue("q")).tally.ready == 0


async def test_a_unique_key_holds_for_each_worker_apart(engine, new):
    await everyone(engine, "q")
    assert len((await engine.publish(new("-", b"{}", unique_key="k"), to_workers=True)).jobs) == 2


async def test_copies_are_listed_counted_and_explained(engine, new):
    one, _, _ = await everyone(engine, "q")
    await engine.publish(new("-", b"{}"), to_workers=True)
    page = (await engine.reading.jobs(ListJobs(10, queue="q", state=State.READY))).jobs
    assert len(page) == (await engine.reading.queue("q")).tally.ready == 2
    mine = next(detail.job for detail in page if detail.job.extras.worker == one.id)
    assert (await engine.reading.why(mine.id))[1][0][0] == "one_worker"
    assert {info.worker.id: info.waiting for info in (await engine.reading.workers()).workers}[one.id] == 1
    assert await engine.purge("q", (State.READY,)) == 2
