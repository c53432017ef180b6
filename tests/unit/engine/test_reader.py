"""Why a job is not running: each reason with its facts, together where several hold, from real jobs that really do not run."""

import asyncio

import pytest

from holdfast.errors import JobNotFound
from holdfast.job.queue import QueueSettings
from holdfast.messages.commands import CancelJob, ConcludeLease, FailLease, ReleaseLease
from holdfast.messages.queries import GetJob


@pytest.fixture
def why(engine):
    """The codes of the reasons, and all of their sentences."""

    async def asked(job_id=1):
        _, reasons = await engine.reading.why(job_id)
        return [code for code, _ in reasons], " ".join(sentence for _, sentence in reasons)

    return asked


@pytest.fixture
async def take(engine):
    async def one(**options):
        return (await engine.lease(("q",), **options)).jobs[0].job

    return one


async def test_the_next_of_its_queue_waits_for_a_worker_only(engine, new, why):
    await engine.enqueue([new()])
    assert (await why())[0] == ["next"]


async def test_a_job_in_line_is_told_how_many_come_before_it(engine, new, why):
    await engine.enqueue([new(), new(priority=1), new(priority=9)])
    codes, text = await why(1)
    assert codes == ["in_line"]
    assert text.startswith("2 jobs")
    assert (await why(3))[0] == ["in_line"]
    assert (await why(2))[0] == ["next"]


async def test_a_long_line_is_counted_to_a_bound(engine, new, why):
    for _ in range(11):
        await engine.enqueue([new() for _ in range(1_000)])
    codes, text = await why(10_500)
    assert codes == ["in_line"]
    assert "10000 or more" in text


async def test_a_scheduled_job_is_told_when_it_is_ready(engine, new, why, clock):
    await engine.enqueue([new(delay_ms=5_000)])
    clock.advance(1_000)
    codes, text = await why()
    assert codes == ["scheduled"]
    assert "ready in 4000 ms" in text
    assert "failed" not in text


async def test_a_job_that_waits_for_its_next_try_is_told_that_it_failed(engine, new, why, take):
    await engine.enqueue([new()])
    await engine.end(FailLease((await take()).ref(), "no", delay_ms=700))
    codes, text = await why()
    assert codes == ["scheduled"]
    assert "after a failed attempt" in text
    assert "700 ms" in text


async def test_a_released_job_that_waits_is_not_said_to_have_failed(engine, new, why, take):
    await engine.enqueue([new()])
    await engine.end(ReleaseLease((await take()).ref(), delay_ms=700))
    assert "failed" not in (await why())[1]


async def test_a_paused_queue_is_named_first_and_stands_beside_other_reasons(engine, new, why):
    await engine.enqueue([new(), new(), new(delay_ms=50), new("r")])
    await engine.pause("q", True)
    assert (await why(1))[0] == ["queue_paused"]
    assert (await why(2))[0] == ["queue_paused", "in_line"]
    assert (await why(3))[0] == ["queue_paused", "scheduled"]
    assert (await why(4))[0] == ["next"]


async def test_a_queue_that_runs_all_it_may_says_how_many(engine, new, why, take):
    await engine.set_queue("q", QueueSettings(max_running=1), True)
    await engine.enqueue([new(), new()])
    job = await take()
    codes, text = await why(2)
    assert codes == ["max_running"]
    assert "at most 1 job at once, and 1 is running" in text
    await engine.end(ConcludeLease(job.ref()))
    assert (await why(2))[0] == ["next"]


async def test_a_job_held_by_its_group_is_told_by_whom(engine, new, why, take):
    await engine.enqueue([new(group_key="g", group_limit=2) for _ in range(3)])
    await take()
    codes, text = await why(3)
    assert codes == ["group_held"]
    assert "'g' is held by job 1, 2" in text


async def test_a_running_job_is_told_with_its_holder_and_the_time_left(engine, new, why, take, clock):
    await engine.enqueue([new(), new()])
    await take(worker="me", lease_ms=500)
    await take()
    clock.advance(100)
    codes, text = await why(1)
    assert codes == ["running"]
    assert "attempt 1 is leased by me; the lease expires in 0.4 s" in text
    assert "an unnamed worker" in (await why(2))[1]
    clock.advance(9_000)
    assert "expires in 0.0 s" in (await why(1))[1]


@pytest.mark.parametrize(
    ("way", "code", "because"),
    [
        ("conclude", "concluded", "Concluded."),
        ("cancel", "cancelled", "Cancelled."),
        ("fail", "dead", "Dead: failed permanently."),
    ],
)
async def test_an_ended_job_is_told_how_it_ended(engine, new, why, take, way, code, because):
    await engine.enqueue([new()])
    if way == "cancel":
        await engine.change_job(CancelJob(1))
    else:
        ref = (await take()).ref()
        await engine.end(ConcludeLease(ref) if way == "conclude" else FailLease(ref, "no", retry=False))
    codes, text = await why()
    assert codes == [code]
    assert because in text


async def test_when_no_registered_worker_takes_from_the_queue_that_is_said(engine, new, why):
    await engine.enqueue([new()])
    await engine.workers.register(("other",), "host")
    assert (await why())[0] == ["no_worker"]
    await engine.workers.register(("q",), "host")
    assert (await why())[0] == ["next"]


async def test_a_job_that_is_not_there_has_no_reasons(why):
    with pytest.raises(JobNotFound):
        await why(1)


@pytest.mark.parametrize("number", [0, -1, 1 << 53, 1 << 70])
async def test_a_number_that_no_job_can_have_is_not_found_before_the_store_is_asked(engine, number):
    for ask in (engine.reading.job, engine.reading.glance, engine.reading.why):
        with pytest.raises(JobNotFound):
            await ask(number)


async def test_all_who_wait_for_one_job_are_told_by_one_read(engine, backend, new, turns, monkeypatch):
    (receipt,) = (await engine.enqueue([new()])).jobs
    asked = []
    submit = backend.submit
    monkeypatch.setattr(backend, "submit", lambda request: asked.append(request) or submit(request))
    waiting = [asyncio.create_task(engine.reading.job(receipt.id, 10_000)) for _ in range(3_000)]
    await turns()
    assert len([request for request in asked if isinstance(request, GetJob)]) == 1, "they asked in one turn of the loop"
    await engine.change_job(CancelJob(receipt.id))
    found = await asyncio.wait_for(asyncio.gather(*waiting), 10)
    assert {detail.job.state.value for detail in found} == {"cancelled"}
    assert len([request for request in asked if isinstance(request, GetJob)]) == 2


async def test_who_begins_to_wait_after_an_end_is_not_told_what_was_read_before_it(engine, new):
    (receipt,) = (await engine.enqueue([new()])).jobs
    early = asyncio.create_task(engine.reading.job(receipt.id, 10_000))
    await asyncio.sleep(0)
    await engine.change_job(CancelJob(receipt.id))
    late = await asyncio.wait_for(engine.reading.job(receipt.id, 10_000), 5)
    assert late.job.state.value == (await asyncio.wait_for(early, 5)).job.state.value == "cancelled"
