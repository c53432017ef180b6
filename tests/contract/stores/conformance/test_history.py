"""History: concluded and cancelled jobs go when their queue's retention is over; everything else stays until somebody decides."""

import pytest

from holdfast.errors import JobNotFound
from holdfast.job.job import State
from holdfast.job.queue import QueueSettings, Tally
from holdfast.limits import PURGE_BYTES
from holdfast.messages.commands import CancelJob, ConcludeLease, DeleteJob, FailLease, PurgeQueue, RetryJob, SetQueue, SettleJob
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


async def test_a_history_has_at_most_so_many_bytes_of_payloads_and_results_and_the_oldest_go_first(client):
    await client.do(SetQueue("q", QueueSettings(retention_bytes=100), whole=True))
    ended = []
    for size in (30, 30, 30, 60):
        await client.put(payload=b"1" * 20)
        job = await client.take()
        await client.do(ConcludeLease(job.ref(), b"1" * (size - 20)))
        ended.append(job.id)
        client.clock.advance(1)
    assert (await client.tally()).history_bytes == 150
    assert await forget(client) == 2
    assert {job.id for job in await client.walk()} == {ended[2], ended[3]}
    assert await client.tally() == Tally(concluded=2, history_bytes=90)
    assert await forget(client) == 0


@pytest.mark.parametrize("bound", [{"retention_bytes": 3}, {"retention_jobs": 3}])
async def test_a_bound_of_a_history_counts_what_is_done_and_what_is_cancelled_and_spares_the_dead(client, bound):
    await client.do(SetQueue("q", QueueSettings(**bound), whole=True))
    ended = []
    for way in ("concluded", "dead", "cancelled", "concluded", "dead", "cancelled", "concluded"):
        ended.append(await end(client, way))
        client.clock.advance(1)
    await client.put()
    assert await forget(client) == 2
    assert {job.id for job in await client.walk()} == {ended[1], ended[3], ended[4], ended[5], ended[6], ended[6] + 1}
    assert await client.tally() == Tally(ready=1, concluded=2, dead=2, cancelled=1, bytes=1, history_bytes=3)


@pytest.mark.parametrize("bound", [{"retention_bytes": 0}, {"retention_jobs": 0}])
async def test_a_history_that_may_hold_nothing_is_emptied_in_bounded_parts(client, bound):
    await client.do(SetQueue("q", QueueSettings(retention_ms=None, **bound), whole=True))
    for _ in range(7):
        await end(client, "concluded")
    assert [await forget(client, 3) for _ in range(4)] == [3, 3, 1, 0]
    assert await client.tally() == Tally()


async def test_one_queue_s_full_history_leaves_the_others_alone_and_time_still_counts(client):
    await client.do(SetQueue("full", QueueSettings(retention_jobs=1), whole=True))
    await client.do(SetQueue("aged", QueueSettings(retention_ms=10), whole=True))
    for queue in ("full", "full", "aged", "rest"):
        await end(client, "concluded", queue)
    assert await forget(client) == 1
    client.clock.advance(11)
    assert await forget(client) == 1
    assert sorted(job.queue for job in await client.walk()) == ["full", "rest"]


async def test_what_a_settled_job_was_told_counts_only_while_the_job_is_history(client):
    settled, buried = (await client.put()).id, (await client.put()).id
    await client.do(SettleJob(settled, True, "by hand", b"12345"))
    await client.do(SettleJob(buried, False, "never", b"12345"))
    assert await client.tally() == Tally(concluded=1, dead=1, history_bytes=6)
    await client.do(RetryJob(buried))
    await client.do(CancelJob(buried))
    assert await client.tally() == Tally(concluded=1, cancelled=1, history_bytes=7)
    await client.do(DeleteJob(settled))
    assert await client.tally() == Tally(cancelled=1, history_bytes=1)


async def test_a_purge_frees_results_in_bounded_parts_too(client):
    for _ in range(5):
        await client.put(payload=b"")
        await client.do(ConcludeLease((await client.take()).ref(), b"1" * (PURGE_BYTES // 4)))
    first = await client.do(PurgeQueue("q", (State.CONCLUDED,), 0, 100))
    assert (first.count, first.more) == (4, True)
    assert await client.tally() == Tally(concluded=1, history_bytes=PURGE_BYTES // 4)
