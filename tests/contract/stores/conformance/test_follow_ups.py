"""Follow-up jobs: put with the conclude or not at all, never twice, in the room and under the key of the job that they follow."""

import pytest

from holdfast.errors import JobNotFound, LeaseLost, NotUnique, PayloadTooLarge, QueueFull
from holdfast.job.job import State, UniqueWhile
from holdfast.job.queue import QueueSettings, Tally
from holdfast.messages.commands import ConcludeLease, DeleteJob, Enqueue, SetQueue


async def test_follow_up_jobs_are_put_with_the_conclude_or_not_at_all(client, new):
    await client.do(SetQueue("r", QueueSettings(capacity_jobs=1), whole=True))
    await client.put()
    job = await client.take()
    with pytest.raises(QueueFull):
        await client.do(ConcludeLease(job.ref(), b"1", [new("s"), new("r"), new("r")]))
    assert await client.job(1) == job
    assert len(await client.walk()) == 1
    outcome = await client.do(ConcludeLease(job.ref(), b"1", [new("s"), new("r")]))
    assert [(receipt.queue, receipt.state) for receipt in outcome.then] == [("s", State.READY), ("r", State.READY)]
    assert [await client.state(receipt.id) for receipt in outcome.then] == [State.READY] * 2


async def test_a_follow_up_takes_the_room_of_the_job_that_it_follows(client, new):
    await client.do(SetQueue("q", QueueSettings(capacity_jobs=1, capacity_bytes=4), whole=True))
    await client.put(payload=b"1234")
    job = await client.take()
    with pytest.raises(QueueFull):
        await client.do(ConcludeLease(job.ref(), None, [new(payload=b""), new(payload=b"")]))
    with pytest.raises(PayloadTooLarge):
        await client.do(ConcludeLease(job.ref(), None, [new(payload=b"12345")]))
    await client.do(ConcludeLease(job.ref(), None, [new(payload=b"4321")]))
    assert await client.tally() == Tally(ready=1, concluded=1, bytes=4, history_bytes=4)


async def test_a_follow_up_takes_the_unique_key_of_the_job_that_it_follows_and_keeps_it(client, new):
    await client.put(unique_key="u")
    job = await client.take()
    outcome = await client.do(ConcludeLease(job.ref(), None, [new(unique_key="u")]))
    with pytest.raises(NotUnique) as refusal:
        await client.put(unique_key="u")
    assert refusal.value.fields["job_id"] == outcome.then[0].id


@pytest.mark.parametrize("held", list(UniqueWhile))
async def test_a_follow_up_job_that_is_not_unique_refuses_the_conclude(client, new, held):
    await client.put("r", unique_key="u", unique_while=held)
    await client.put()
    job = await client.take()
    refused, other = await client.together(ConcludeLease(job.ref(), None, [new("r", unique_key="u")]), Enqueue([new()]))
    assert refused.code == "not_unique"
    assert other.jobs[0].id
    assert await client.job(job.id) == job


async def test_a_chain_of_follow_ups_never_forks_however_often_its_answers_are_lost(client, new):
    await client.put("c", payload=b"0")
    for step in range(1, 6):
        job = await client.take("c")
        calls = [ConcludeLease(job.ref(), None, [new("c", payload=b"%d" % step)]) for _ in range(3)]
        await client.together(*calls[:2])
        await client.do(calls[2])
    assert await client.tally("c") == Tally(ready=1, concluded=5, bytes=1, history_bytes=5)


async def test_a_deleted_jobs_conclude_is_not_repeated(client):
    await client.put()
    job = await client.take()
    await client.do(ConcludeLease(job.ref()))
    await client.do(DeleteJob(1))
    with pytest.raises(LeaseLost):
        await client.do(ConcludeLease(job.ref()))
    with pytest.raises(JobNotFound):
        await client.job(1)


async def test_follow_ups_without_meta_get_that_of_the_job_that_they_follow(client, new):
    await client.put(meta=(("trace", "1"),))
    held = await client.take()
    outcome = await client.do(ConcludeLease(held.ref(), None, [new("s"), new("s", meta=(("own", "2"),))]))
    inherited, own = [(await client.job(receipt.id)).extras for receipt in outcome.then]
    assert (inherited.meta, own.meta) == ((("trace", "1"),), (("own", "2"),))
    assert (inherited.follows, own.follows) == (1, 1)
