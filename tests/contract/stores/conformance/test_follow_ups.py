"""Follow-up jobs: put with the conclude or not at all, never twice, in the room and under the key of the job that they follow."""

import pytest

from holdfast.errors import JobNotFound, LeaseLost, NotUnique, PayloadTooLarge, QueueFull
from holdfast.job.job import State, UniqueWhile
from holdfast.job.queue import QueueSettings, Tally
from holdfast.messages.commands import ConcludeLease, DeleteJob, Enqueue, SetQueue


async def test_follow_up_jobs_are_put_with_the_conclude_or_not_at_all(desk, new):
    await desk.do(SetQueue("r", QueueSettings(capacity_jobs=1), whole=True))
    await desk.put()
    job = await desk.take()
    with pytest.raises(QueueFull):
        await desk.do(ConcludeLease(job.ref(), b"1", [new("s"), new("r"), new("r")]))
    assert await desk.job(1) == job
    assert len(await desk.walk()) == 1
    outcome = await desk.do(ConcludeLease(job.ref(), b"1", [new("s"), new("r")]))
    assert [(receipt.queue, receipt.state) for receipt in outcome.then] == [("s", State.READY), ("r", State.READY)]
    assert [await desk.state(receipt.id) for receipt in outcome.then] == [State.READY] * 2


async def test_a_follow_up_takes_the_room_of_the_job_that_it_follows(desk, new):
    await desk.do(SetQueue("q", QueueSettings(capacity_jobs=1, capacity_bytes=4), whole=True))
    await desk.put(payload=b"1234")
    job = await desk.take()
    with pytest.raises(QueueFull):
        await desk.do(ConcludeLease(job.ref(), None, [new(payload=b""), new(payload=b"")]))
    with pytest.raises(PayloadTooLarge):
        await desk.do(ConcludeLease(job.ref(), None, [new(payload=b"12345")]))
    await desk.do(ConcludeLease(job.ref(), None, [new(payload=b"4321")]))
    assert await desk.tally() == Tally(ready=1, concluded=1, bytes=4)


async def test_a_follow_up_takes_the_unique_key_of_the_job_that_it_follows_and_keeps_it(desk, new):
    await desk.put(unique_key="u")
    job = await desk.take()
    outcome = await desk.do(ConcludeLease(job.ref(), None, [new(unique_key="u")]))
    with pytest.raises(NotUnique) as refusal:
        await desk.put(unique_key="u")
    assert refusal.value.fields["job_id"] == outcome.then[0].id


@pytest.mark.parametrize("held", list(UniqueWhile))
async def test_a_follow_up_job_that_is_not_unique_refuses_the_conclude(desk, new, held):
    await desk.put("r", unique_key="u", unique_while=held)
    await desk.put()
    job = await desk.take()
    refused, other = await desk.together(ConcludeLease(job.ref(), None, [new("r", unique_key="u")]), Enqueue([new()]))
    assert refused.code == "not_unique"
    assert other.jobs[0].id
    assert await desk.job(job.id) == job


async def test_a_chain_of_follow_ups_never_forks_however_often_its_answers_are_lost(desk, new):
    await desk.put("c", payload=b"0")
    for step in range(1, 6):
        job = await desk.take("c")
        calls = [ConcludeLease(job.ref(), None, [new("c", payload=b"%d" % step)]) for _ in range(3)]
        await desk.together(*calls[:2])
        await desk.do(calls[2])
    assert await desk.tally("c") == Tally(ready=1, concluded=5, bytes=1)


async def test_a_deleted_jobs_conclude_is_not_repeated(desk):
    await desk.put()
    job = await desk.take()
    await desk.do(ConcludeLease(job.ref()))
    await desk.do(DeleteJob(1))
    with pytest.raises(LeaseLost):
        await desk.do(ConcludeLease(job.ref()))
    with pytest.raises(JobNotFound):
        await desk.job(1)
