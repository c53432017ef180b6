"""What is remembered of jobs between their attempts: waits with their beginning and end, releases, what was done by hand; within bounds."""

import pytest

from holdfast.committer import job_log
from holdfast.job.budget import Block, Charge
from holdfast.job.queue import QueueSettings
from holdfast.messages.commands import CancelJob, ConcludeLease, FailLease, PromoteJob, ReleaseLease, RetryJob


@pytest.fixture
def happened(engine):
    async def of(job_id):
        facts, _ = await engine.reading.why(job_id)
        return [(one.what, one.of, one.began_at, one.ended_at, one.attempt) for one in facts.between]

    return of


async def test_a_job_that_waited_for_its_group_tells_how_long(engine, new, clock, happened):
    first, second = [one.id for one in (await engine.enqueue([new(group_key="g"), new(group_key="g")])).jobs]
    began = clock.now()
    (held,) = (await engine.lease(("q",))).jobs
    assert await happened(second) == [("held", "g", began, None, 0)]
    clock.advance(4_000)
    await engine.end(ConcludeLease(held.job.ref()))
    assert await happened(second) == [("held", "g", began, began + 4_000, 0)]
    assert await happened(first) == []


async def test_a_job_that_waited_for_a_budget_or_for_the_end_of_a_block_tells_which(engine, new, clock, happened):
    await engine.budgets.set("api", 1, None, None)
    _, second = [one.id for one in (await engine.enqueue([new(budgets=(Charge("api"),)) for _ in range(2)])).jobs]
    began = clock.now()
    (held,) = (await engine.lease(("q",), worker="anna")).jobs
    clock.advance(1_000)
    await engine.end(ReleaseLease(held.job.ref(), block=Block("api", 60_000)))
    assert (await happened(second))[0][:2] == ("waits_for_budget", "api/")
    what = [one[:2] for one in await happened(held.job.id)]
    assert what == [("released", "anna"), ("blocked", "api/")]
    assert (await happened(held.job.id))[0][2:] == (began, began + 1_000, 1)


async def test_what_was_done_by_hand_is_told_and_what_workers_do_to_the_end_is_not(engine, new, clock, happened):
    await engine.set_queue("q", QueueSettings(max_attempts=1), True)
    job, later = (await engine.enqueue([new(), new(delay_ms=60_000)])).jobs
    (held,) = (await engine.lease(("q",))).jobs
    await engine.end(FailLease(held.job.ref(), "no"))
    await engine.change_job(RetryJob(job.id))
    await engine.change_job(PromoteJob(later.id))
    assert [one[0] for one in await happened(job.id)] == ["retried"]
    assert [one[0] for one in await happened(later.id)] == ["promoted"]
    await engine.change_job(CancelJob(later.id))
    assert [one[0] for one in await happened(later.id)] == ["promoted"]


async def test_a_job_that_is_handed_back_again_and_again_keeps_its_last_events(engine, new, happened, monkeypatch):
    monkeypatch.setattr(job_log, "JOB_EVENTS_LOGGED", 3)
    (job,) = (await engine.enqueue([new()])).jobs
    for _ in range(5):
        (held,) = (await engine.lease(("q",))).jobs
        await engine.end(ReleaseLease(held.job.ref()))
    assert [one[4] for one in await happened(job.id)] == [3, 4, 5]


async def test_only_the_jobs_to_which_something_happened_last_are_remembered(engine, new, happened, monkeypatch):
    monkeypatch.setattr(job_log, "JOBS_LOGGED", 2)
    jobs = [one.id for one in (await engine.enqueue([new() for _ in range(3)])).jobs]
    for one in (await engine.lease(("q",), 3)).jobs:
        await engine.end(ReleaseLease(one.job.ref()))
    assert [bool(await happened(job)) for job in jobs] == [False, True, True]
