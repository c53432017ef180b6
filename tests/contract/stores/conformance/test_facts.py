"""What else can be asked: the facts behind "why is it not running", the oldest ready job, pages of queues, and the numbers of all of it."""

import pytest

from holdfast.errors import JobNotFound, QueueNotFound
from holdfast.job.job import State
from holdfast.job.queue import QueueSettings
from holdfast.messages.commands import ConcludeLease, PauseQueue, PromoteJob, ReleaseLease, SetQueue
from holdfast.messages.queries import ExplainJob, GetHealth, GetQueue, GetStats, ListQueues, OldestReady


async def test_a_ready_job_is_told_how_many_of_its_queue_come_before_it(client, new):
    await client.put_all([new(priority=5), new(priority=1), new(priority=5), new(priority=9), new("other", priority=0)])
    ahead = [(await client.ask(ExplainJob(job_id))).ahead for job_id in range(1, 6)]
    assert ahead == [1, 0, 2, 3, 0]
    await client.take()
    assert (await client.ask(ExplainJob(4))).ahead == 2


async def test_the_place_in_the_line_is_counted_up_to_a_bound(client, new):
    for _ in range(11):
        await client.put_all([new() for _ in range(1_000)])
    assert (await client.ask(ExplainJob(9_999))).ahead == 9_998
    assert (await client.ask(ExplainJob(10_001))).ahead == 10_000
    assert (await client.ask(ExplainJob(11_000))).ahead == 10_000


async def test_a_job_of_a_group_is_told_who_holds_it_and_no_place_in_the_line(client, new):
    await client.put_all([new(group_key="g", group_limit=2) for _ in range(4)])
    await client.put_all([new(group_key="h")])
    facts = await client.ask(ExplainJob(4))
    assert (facts.job.held, facts.group_holders, facts.ahead) == (True, [1, 2], 0)
    holder = await client.ask(ExplainJob(1))
    assert (holder.job.held, holder.group_holders) == (False, [1, 2])


async def test_the_facts_show_job_and_queue_as_they_are_now(client):
    await client.put(delay_ms=500)
    await client.do(PauseQueue("q", True))
    facts = await client.ask(ExplainJob(1))
    assert (facts.job, facts.queue, facts.now) == (await client.job(1), await client.queue(), client.now)
    assert facts.queue.paused
    with pytest.raises(JobNotFound):
        await client.ask(ExplainJob(2))


async def test_the_oldest_ready_job_is_the_one_ready_for_longest_whatever_its_priority(client):
    start = client.now
    await client.put("a", priority=9)
    await client.put("b")
    await client.pass_time(100)
    await client.put("a", priority=1)
    await client.put("c", delay_ms=5)
    ages = await client.ask(OldestReady(["a", "b", "c", "none"]))
    assert ages.ready_at == {"a": start, "b": start}
    await client.do(PromoteJob(4))
    await client.lease("b")
    assert (await client.ask(OldestReady(["a", "b", "c"]))).ready_at == {"a": start, "c": start + 100}


async def test_the_oldest_ready_job_is_found_among_any_number_of_priorities(client):
    """A store may keep account of where lines begin for some priorities only."""
    start = client.now
    for priority in range(40, 0, -1):
        await client.put("many", priority=priority)
        client.clock.advance(1)
    assert (await client.ask(OldestReady(["many"]))).ready_at == {"many": start}
    await client.lease("many", limit=39)
    assert (await client.ask(OldestReady(["many"]))).ready_at == {"many": start}
    await client.lease("many", limit=39)
    assert (await client.ask(OldestReady(["many"]))).ready_at == {}


async def test_a_job_that_comes_back_is_as_old_as_its_return(client):
    await client.put()
    job = await client.take()
    client.clock.advance(100)
    await client.do(ReleaseLease(job.ref()))
    assert (await client.ask(OldestReady(["q"]))).ready_at == {"q": client.now}


async def test_queues_are_paged_by_name_without_loss(client):
    names = [f"queue-{n:03}" for n in range(25)]
    for name in reversed(names):
        await client.put(name)
    for limit in (1, 5, 24, 25, 26):
        found, after = [], ""
        while after is not None:
            page = await client.ask(ListQueues(limit, after))
            assert len(page.queues) <= limit
            found += [info.name for info in page.queues]
            after = page.after
        assert found == names
    assert (await client.ask(ListQueues(5))).queues[0] == await client.ask(GetQueue(names[0]))


async def test_a_queue_that_is_not_there_is_said_not_to_be(client):
    with pytest.raises(QueueNotFound) as refusal:
        await client.ask(GetQueue("none"))
    assert refusal.value.fields == {"queue": "none"}


async def test_statistics_show_each_queue_with_its_counts_its_age_and_what_was_done(client):
    await client.put("a")
    await client.do(ConcludeLease((await client.take("a")).ref()))
    await client.put("a")
    await client.do(SetQueue("b", QueueSettings(capacity_jobs=4), whole=True))
    await client.pass_time(250)
    stats = await client.ask(GetStats())
    first, second = stats.queues
    assert (first.info, second.info) == (await client.queue("a"), await client.queue("b"))
    assert (first.oldest_ready_ms, second.oldest_ready_ms) == (250, None)
    assert (first.totals["enqueued"], first.totals["leased"], first.totals["concluded"]) == (2, 1, 1)
    assert set(second.totals.values()) == {0}
    assert stats.now == client.now
    assert stats.store.commits >= 5


async def test_a_healthy_store_says_that_it_accepts_and_how_large_it_is(client):
    await client.put(payload=b"x" * 100_000)
    health = await client.ask(GetHealth())
    assert health.accepting
    assert health.file_bytes + health.wal_bytes > 100_000
    assert await client.state(1) is State.READY
