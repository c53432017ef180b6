"""History: concluded and cancelled jobs go when their queue's retention is over; everything else stays until somebody decides."""

import pytest

from holdfast.errors import JobNotFound
from holdfast.job.job import State
from holdfast.job.queue import QueueSettings, Tally
from holdfast.messages.commands import CancelJob, ConcludeLease, DeleteJob, FailLease, SetQueue
from holdfast.messages.time_commands import ForgetHistory

DAY = 86_400_000


async def end(client, way: str, queue: str = "q") -> int:
    job_id = (await client.put(queue)).id
    if way == "cancelled":
        await client.do(CancelJob(job_id))
    else:
        ref = (await client.take(queue)).ref()
        await client.do(ConcludeLease(ref) if way == "concluded" else FailLease(ref, "no", retry=False))
    return job_id


async def forget(client, limit: int = 100) -> int:
    return (await client.do(ForgetHistory(limit))).count


@pytest.mark.parametrize("way", ["concluded", "cancelled"])
async def test_a_finished_job_is_kept_for_its_queues_retention_and_not_longer(client, way):
    await client.do(SetQueue("q", QueueSettings(retention_ms=1_000), whole=True))
    job_id = await end(client, way)
    client.clock.advance(1_000)
    assert await forget(client) == 0
    client.clock.advance(1)
    assert await forget(client) == 1
    with pytest.raises(JobNotFound):
        await client.job(job_id)
    assert await client.tally() == Tally()


async def test_a_finished_job_is_kept_for_a_day_unless_its_queue_says_otherwise(client):
    await end(client, "concluded")
    client.clock.advance(DAY)
    assert await forget(client) == 0
    client.clock.advance(1)
    assert await forget(client) == 1


async def test_a_queue_without_an_end_to_its_retention_keeps_everything(client):
    await client.do(SetQueue("q", QueueSettings(retention_ms=None), whole=True))
    await end(client, "concluded")
    client.clock.advance(4_000 * DAY)
    assert await forget(client) == 0


async def test_nothing_that_waits_runs_or_died_is_ever_forgotten(client):
    await client.do(SetQueue("q", QueueSettings(retention_ms=0, lease_ms=2_592_000_000), whole=True))
    await end(client, "dead")
    await client.put()
    await client.take()
    await client.put()
    await client.put(delay_ms=100 * DAY)
    client.clock.advance(20 * DAY)
    assert await forget(client) == 0
    states = [State.LEASED, State.READY, State.SCHEDULED, State.DEAD]
    assert [job.state for job in await client.walk()] == states


async def test_history_is_forgotten_in_bites_the_oldest_first_over_all_queues(client):
    kept = []
    for index in range(12):
        kept.append(await end(client, ("concluded", "cancelled")[index % 2], f"q{index % 3}"))
        client.clock.advance(10)
    client.clock.advance(DAY)
    counts = []
    while count := await forget(client, 5):
        counts.append(count)
    assert counts == [5, 5, 2]
    assert await client.walk() == []


async def test_within_a_queue_the_oldest_history_goes_first(client):
    """Concluded and cancelled jobs are one history: the order is by when they ended, not by how."""
    for index in range(6):
        await end(client, ("concluded", "cancelled")[index % 2])
        client.clock.advance(10)
    client.clock.advance(DAY)
    left = []
    while await forget(client, 2):
        left.append(sorted(job.id for job in await client.walk()))
    assert left == [[3, 4, 5, 6], [5, 6], []]


async def test_a_deleted_job_leaves_at_once(client):
    job_id = await end(client, "concluded")
    await client.do(DeleteJob(job_id))
    assert await client.walk() == []
    assert await client.tally() == Tally()


async def test_retention_is_that_of_the_queue_as_it_is_now(client):
    await end(client, "concluded")
    client.clock.advance(5_000)
    await client.do(SetQueue("q", QueueSettings(retention_ms=4_999), whole=True))
    assert await forget(client) == 1
