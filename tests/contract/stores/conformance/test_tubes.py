"""What beanstalkd's verbs need: each put for itself, bury and kick in their order, a lease by id, a pause that ends."""

import pytest

from holdfast.errors import JobNotFound, LeaseLost, NotUnique, QueueFull, WrongState
from holdfast.job.job import BeanstalkCounters, NewJob, State
from holdfast.job.queue import QueueSettings
from holdfast.messages.answers import PutIds
from holdfast.messages.beanstalk_commands import BuryLease, EndPauses, KickJob, KickJobs, PauseFor, PutJobs, ReserveJob
from holdfast.messages.commands import (
    ConcludeLease,
    DeleteJob,
    FailLease,
    LeaseJobs,
    PauseQueue,
    ReleaseLease,
    RetryJob,
    SetQueue,
)
from holdfast.messages.queries import CountUrgent, GetTube, OldestDead


async def buried(client, count):
    """Jobs that were put in one order and buried in the other, a moment apart."""
    await client.put_all([NewJob("q", b"1") for _ in range(count)])
    jobs = [one.job for one in await client.lease(limit=count)]
    for job in reversed(jobs):
        client.clock.advance(10)
        await client.do(BuryLease(job.ref(), 9))
    return [job.id for job in reversed(jobs)]


async def test_each_job_of_a_put_is_refused_or_kept_for_itself(client, new):
    await client.do(SetQueue("small", QueueSettings(capacity_jobs=2), True))
    answer = await client.do(PutJobs([new("small"), new("q"), new("small"), new("small"), new("q")]))
    assert isinstance(answer, PutIds)
    assert [bool(job) for job in answer.ids] == [True, True, True, False, True]
    assert answer.refused == QueueFull.code
    kept = [job for job in answer.ids if job]
    assert kept == sorted(kept)
    assert ((await client.tally("small")).ready, (await client.tally("q")).ready) == (2, 2)


async def test_a_buried_job_is_dead_with_its_new_priority_and_no_try_is_spent(client):
    [job_id] = await buried(client, 1)
    job = await client.job(job_id)
    assert (job.state, job.reason, job.priority, job.failures, job.crashes) == (State.DEAD, "buried", 9, 0, 0)
    assert job.extras.beanstalk == BeanstalkCounters(buries=1)
    assert (await client.detail(job_id)).errors == []


async def test_only_the_holder_buries(client):
    await client.put()
    job = await client.take()
    await client.do(ReleaseLease(job.ref()))
    with pytest.raises(LeaseLost):
        await client.do(BuryLease(job.ref(), 0))


async def test_kick_takes_those_that_died_first(client):
    ids = await buried(client, 4)
    assert [detail.job.id for detail in (await client.ask(OldestDead("q"))).jobs] == ids[:1]
    assert (await client.do(KickJobs("q", True, 2))).count == 2
    assert [await client.state(job) for job in ids] == [State.READY, State.READY, State.DEAD, State.DEAD]
    assert (await client.job(ids[0])).extras.beanstalk == BeanstalkCounters(buries=1, kicks=1)
    assert (await client.do(KickJobs("q", True, 100))).count == 2
    assert (await client.do(KickJobs("q", True, 100))).count == 0
    assert (await client.ask(OldestDead("q"))).jobs == (await client.ask(OldestDead("nowhere"))).jobs == []


async def test_kick_takes_those_that_are_due_first(client, new):
    late, soon = (await client.do(PutJobs([new(delay_ms=9_000), new(delay_ms=5_000)]))).ids
    assert (await client.do(KickJobs("q", False, 1))).count == 1
    assert (await client.state(soon), await client.state(late)) == (State.READY, State.SCHEDULED)
    assert (await client.do(KickJobs("nowhere", False, 1))).count == 0


async def test_kick_stops_where_the_queue_is_full(client):
    await buried(client, 3)
    await client.do(SetQueue("q", QueueSettings(capacity_jobs=2), True))
    assert (await client.do(KickJobs("q", True, 10))).count == 2
    assert (await client.tally()).dead == 1


async def test_a_single_job_is_kicked_out_of_death_or_delay_only(client):
    [dead] = await buried(client, 1)
    await client.do(KickJob(dead))
    assert await client.state(dead) is State.READY
    with pytest.raises(WrongState):
        await client.do(KickJob(dead))
    with pytest.raises(JobNotFound):
        await client.do(KickJob(99_999))


async def test_a_kick_keeps_what_is_told_of_timeouts(client):
    await client.do(SetQueue("q", QueueSettings(max_crashes=1), True))
    job = await client.put()
    await client.take(lease_ms=10)
    await client.pass_time(10)
    assert await client.state(job.id) is State.DEAD
    await client.do(KickJob(job.id))
    kicked = await client.job(job.id)
    assert (kicked.crashes, kicked.extras.beanstalk) == (0, BeanstalkCounters(timeouts=1, kicks=1))


async def test_a_counted_release_is_kept_and_an_uncounted_one_is_not(client):
    await client.put()
    await client.do(ReleaseLease((await client.take()).ref()))
    await client.do(ReleaseLease((await client.take()).ref(), 3_000, 7, counted=True))
    [job] = await client.walk()
    assert (job.state, job.priority, job.extras.beanstalk) == (State.SCHEDULED, 7, BeanstalkCounters(delay_s=3, releases=1))


@pytest.mark.parametrize("state", ["ready", "scheduled", "dead"])
async def test_a_job_is_leased_by_its_id(client, one_of_each, state):
    job_id = one_of_each[State(state)]
    await client.do(PauseQueue("q", True))
    [granted] = (await client.do(ReserveJob(job_id, "me"))).jobs
    assert (granted.job.id, granted.job.lease.worker, granted.content.payload) == (job_id, "me", b"12345")
    await client.do(ReleaseLease(granted.job.ref()))
    assert await client.state(job_id) is State.READY


async def test_a_job_that_is_failed_and_reserved_in_one_batch_is_leased_anew(client):
    first = await client.put()
    held = await client.take()
    _, granted = await client.together(FailLease(held.ref(), "no", delay_ms=60_000), ReserveJob(first.id, "me"))
    (again,) = granted.jobs
    assert (again.job.attempt, again.job.failures, again.job.lease.worker) == (2, 1, "me")
    assert await client.state(first.id) is State.LEASED
    assert (await client.do(ConcludeLease(again.job.ref()))).state is State.CONCLUDED
    assert [error.reason for error in (await client.detail(first.id)).errors] == ["no"]
    await client.count_again()


@pytest.mark.parametrize("state", ["leased", "concluded", "cancelled"])
async def test_other_jobs_are_not(client, one_of_each, state):
    with pytest.raises(WrongState):
        await client.do(ReserveJob(one_of_each[State(state)], "me"))


async def test_a_lease_by_id_keeps_the_bound_on_running_jobs_and_unique_keys(client, new):
    await client.do(SetQueue("q", QueueSettings(max_running=1), True))
    first, second = [one.id for one in await client.put_all([new(), new()])]
    await client.do(ReserveJob(first, "me"))
    with pytest.raises(WrongState):
        await client.do(ReserveJob(second, "me"))
    await client.put("u", unique_key="k")
    await client.do(BuryLease((await client.take("u")).ref(), 0))
    await client.put("u", unique_key="k")
    dead = (await client.ask(OldestDead("u"))).jobs[0].job.id
    with pytest.raises(NotUnique):
        await client.do(ReserveJob(dead, "me"))
    assert (await client.do(KickJobs("u", True, 10))).count == 0


async def test_a_delete_can_leave_history_alone(client, one_of_each):
    for state in (State.CONCLUDED, State.CANCELLED):
        with pytest.raises(JobNotFound):
            await client.do(DeleteJob(one_of_each[state], unless_history=True))
        assert await client.state(one_of_each[state]) is state
    await client.do(DeleteJob(one_of_each[State.DEAD], unless_history=True))


async def test_a_pause_ends_when_its_time_is_up(client):
    await client.do(PauseFor("q", 1_000))
    await client.put()
    assert (await client.queue()).paused
    assert await client.lease() == []
    client.clock.advance(999)
    assert await client.lease() == []
    client.clock.advance(1)
    await client.do(EndPauses())
    told = await client.queue()
    assert (told.paused, told.paused_until) == (False, 0)
    assert len(await client.lease()) == 1


async def test_a_pause_that_is_over_holds_up_nobody_even_before_it_is_ended(client):
    await client.do(PauseFor("q", 1_000))
    await client.put()
    client.clock.advance(1_000)
    assert len(await client.lease()) == 1


async def test_a_pause_with_an_end_is_replaced_by_one_without_and_by_none(client):
    await client.do(PauseFor("q", 1_000))
    await client.do(PauseQueue("q", True))
    await client.put()
    client.clock.advance(5_000)
    assert await client.lease() == []
    await client.do(PauseFor("q", 0))
    assert len(await client.lease()) == 1


async def test_a_pause_and_its_end_outlive_the_store(lasting_place, reopen):
    client = await reopen(lasting_place)
    until = client.now + 60_000
    await client.do(PauseFor("q", 60_000))
    await client.put()
    client = await reopen(lasting_place, client)
    told = await client.queue()
    assert (told.paused, told.paused_until) == (True, until)
    assert await client.lease() == []
    client.clock.advance(60_000)
    assert len(await client.lease()) == 1
    await client.close()


async def test_urgent_jobs_and_totals_are_counted(client, new):
    await client.do(PutJobs([new(priority=0), new(priority=1_023), new(priority=1_024), new(priority=5, delay_ms=9)]))
    assert (await client.ask(CountUrgent(["q", "nowhere"]))).counts.get("q") == 2
    facts = await client.ask(GetTube("q"))
    assert (facts.urgent, facts.info.tally.ready, facts.totals["enqueued"], facts.now) == (2, 3, 4, client.now)


async def test_in_one_commit_a_put_comes_before_a_reserve_and_a_release_before_both(client, new):
    await client.put()
    held = await client.take()
    release, put, lease = await client.together(
        ReleaseLease(held.ref(), 0, 5), PutJobs([new(priority=1)]), LeaseJobs(("q",), 2, "w")
    )
    assert [granted.job.id for granted in lease.jobs] == [put.ids[0], release.id]


async def test_a_retry_at_another_door_brings_back_a_buried_job(client):
    [job_id] = await buried(client, 1)
    await client.do(RetryJob(job_id))
    assert (await client.job(job_id)).extras.beanstalk == BeanstalkCounters(buries=1)
