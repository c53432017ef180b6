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


async def buried(desk, count):
    """Jobs that were put in one order and buried in the other, a moment apart."""
    await desk.put_all([NewJob("q", b"1") for _ in range(count)])
    jobs = [one.job for one in await desk.lease(limit=count)]
    for job in reversed(jobs):
        desk.clock.advance(10)
        await desk.do(BuryLease(job.ref(), 9))
    return [job.id for job in reversed(jobs)]


async def test_each_job_of_a_put_is_refused_or_kept_for_itself(desk, new):
    await desk.do(SetQueue("small", QueueSettings(capacity_jobs=2), True))
    answer = await desk.do(PutJobs([new("small"), new("q"), new("small"), new("small"), new("q")]))
    assert isinstance(answer, PutIds)
    assert [bool(job) for job in answer.ids] == [True, True, True, False, True]
    assert answer.refused == QueueFull.code
    kept = [job for job in answer.ids if job]
    assert kept == sorted(kept)
    assert ((await desk.tally("small")).ready, (await desk.tally("q")).ready) == (2, 2)


async def test_a_buried_job_is_dead_with_its_new_priority_and_no_try_is_spent(desk):
    [job_id] = await buried(desk, 1)
    job = await desk.job(job_id)
    assert (job.state, job.reason, job.priority, job.failures, job.crashes) == (State.DEAD, "buried", 9, 0, 0)
    assert job.extras.hands == BeanstalkCounters(buries=1)
    assert (await desk.detail(job_id)).errors == []


async def test_only_the_holder_buries(desk):
    await desk.put()
    job = await desk.take()
    await desk.do(ReleaseLease(job.ref()))
    with pytest.raises(LeaseLost):
        await desk.do(BuryLease(job.ref(), 0))


async def test_kick_takes_those_that_died_first(desk):
    ids = await buried(desk, 4)
    assert [detail.job.id for detail in (await desk.ask(OldestDead("q"))).jobs] == ids[:1]
    assert (await desk.do(KickJobs("q", True, 2))).count == 2
    assert [await desk.state(job) for job in ids] == [State.READY, State.READY, State.DEAD, State.DEAD]
    assert (await desk.job(ids[0])).extras.hands == BeanstalkCounters(buries=1, kicks=1)
    assert (await desk.do(KickJobs("q", True, 100))).count == 2
    assert (await desk.do(KickJobs("q", True, 100))).count == 0
    assert (await desk.ask(OldestDead("q"))).jobs == (await desk.ask(OldestDead("nowhere"))).jobs == []


async def test_kick_takes_those_that_are_due_first(desk, new):
    late, soon = (await desk.do(PutJobs([new(delay_ms=9_000), new(delay_ms=5_000)]))).ids
    assert (await desk.do(KickJobs("q", False, 1))).count == 1
    assert (await desk.state(soon), await desk.state(late)) == (State.READY, State.SCHEDULED)
    assert (await desk.do(KickJobs("nowhere", False, 1))).count == 0


async def test_kick_stops_where_the_queue_is_full(desk):
    await buried(desk, 3)
    await desk.do(SetQueue("q", QueueSettings(capacity_jobs=2), True))
    assert (await desk.do(KickJobs("q", True, 10))).count == 2
    assert (await desk.tally()).dead == 1


async def test_a_single_job_is_kicked_out_of_death_or_delay_only(desk):
    [dead] = await buried(desk, 1)
    await desk.do(KickJob(dead))
    assert await desk.state(dead) is State.READY
    with pytest.raises(WrongState):
        await desk.do(KickJob(dead))
    with pytest.raises(JobNotFound):
        await desk.do(KickJob(99_999))


async def test_a_kick_keeps_what_is_told_of_timeouts(desk):
    await desk.do(SetQueue("q", QueueSettings(max_crashes=1), True))
    job = await desk.put()
    await desk.take(lease_ms=10)
    await desk.pass_time(10)
    assert await desk.state(job.id) is State.DEAD
    await desk.do(KickJob(job.id))
    kicked = await desk.job(job.id)
    assert (kicked.crashes, kicked.extras.hands) == (0, BeanstalkCounters(timeouts=1, kicks=1))


async def test_a_counted_release_is_kept_and_an_uncounted_one_is_not(desk):
    await desk.put()
    await desk.do(ReleaseLease((await desk.take()).ref()))
    await desk.do(ReleaseLease((await desk.take()).ref(), 3_000, 7, counted=True))
    [job] = await desk.walk()
    assert (job.state, job.priority, job.extras.hands) == (State.SCHEDULED, 7, BeanstalkCounters(delay_s=3, releases=1))


@pytest.mark.parametrize("state", ["ready", "scheduled", "dead"])
async def test_a_job_is_leased_by_its_id(desk, one_of_each, state):
    job_id = one_of_each[State(state)]
    await desk.do(PauseQueue("q", True))
    [granted] = (await desk.do(ReserveJob(job_id, "me"))).jobs
    assert (granted.job.id, granted.job.lease.worker, granted.content.payload) == (job_id, "me", b"12345")
    await desk.do(ReleaseLease(granted.job.ref()))
    assert await desk.state(job_id) is State.READY


async def test_a_job_that_is_failed_and_reserved_in_one_batch_is_leased_anew(desk):
    first = await desk.put()
    held = await desk.take()
    _, granted = await desk.together(FailLease(held.ref(), "no", delay_ms=60_000), ReserveJob(first.id, "me"))
    (again,) = granted.jobs
    assert (again.job.attempt, again.job.failures, again.job.lease.worker) == (2, 1, "me")
    assert await desk.state(first.id) is State.LEASED
    assert (await desk.do(ConcludeLease(again.job.ref()))).state is State.CONCLUDED
    assert [error.reason for error in (await desk.detail(first.id)).errors] == ["no"]
    await desk.count_again()


@pytest.mark.parametrize("state", ["leased", "concluded", "cancelled"])
async def test_other_jobs_are_not(desk, one_of_each, state):
    with pytest.raises(WrongState):
        await desk.do(ReserveJob(one_of_each[State(state)], "me"))


async def test_a_lease_by_id_keeps_the_bound_on_running_jobs_and_unique_keys(desk, new):
    await desk.do(SetQueue("q", QueueSettings(max_running=1), True))
    first, second = [one.id for one in await desk.put_all([new(), new()])]
    await desk.do(ReserveJob(first, "me"))
    with pytest.raises(WrongState):
        await desk.do(ReserveJob(second, "me"))
    await desk.put("u", unique_key="k")
    await desk.do(BuryLease((await desk.take("u")).ref(), 0))
    await desk.put("u", unique_key="k")
    dead = (await desk.ask(OldestDead("u"))).jobs[0].job.id
    with pytest.raises(NotUnique):
        await desk.do(ReserveJob(dead, "me"))
    assert (await desk.do(KickJobs("u", True, 10))).count == 0


async def test_a_delete_can_leave_history_alone(desk, one_of_each):
    for state in (State.CONCLUDED, State.CANCELLED):
        with pytest.raises(JobNotFound):
            await desk.do(DeleteJob(one_of_each[state], unless_history=True))
        assert await desk.state(one_of_each[state]) is state
    await desk.do(DeleteJob(one_of_each[State.DEAD], unless_history=True))


async def test_a_pause_ends_when_its_time_is_up(desk):
    await desk.do(PauseFor("q", 1_000))
    await desk.put()
    assert (await desk.queue()).paused
    assert await desk.lease() == []
    desk.clock.advance(999)
    assert await desk.lease() == []
    desk.clock.advance(1)
    await desk.do(EndPauses())
    told = await desk.queue()
    assert (told.paused, told.paused_until) == (False, 0)
    assert len(await desk.lease()) == 1


async def test_a_pause_that_is_over_holds_up_nobody_even_before_it_is_ended(desk):
    await desk.do(PauseFor("q", 1_000))
    await desk.put()
    desk.clock.advance(1_000)
    assert len(await desk.lease()) == 1


async def test_a_pause_with_an_end_is_replaced_by_one_without_and_by_none(desk):
    await desk.do(PauseFor("q", 1_000))
    await desk.do(PauseQueue("q", True))
    await desk.put()
    desk.clock.advance(5_000)
    assert await desk.lease() == []
    await desk.do(PauseFor("q", 0))
    assert len(await desk.lease()) == 1


async def test_a_pause_and_its_end_outlive_the_store(lasting_place, reopen):
    desk = await reopen(lasting_place)
    until = desk.now + 60_000
    await desk.do(PauseFor("q", 60_000))
    await desk.put()
    desk = await reopen(lasting_place, desk)
    told = await desk.queue()
    assert (told.paused, told.paused_until) == (True, until)
    assert await desk.lease() == []
    desk.clock.advance(60_000)
    assert len(await desk.lease()) == 1
    await desk.close()


async def test_urgent_jobs_and_totals_are_counted(desk, new):
    await desk.do(PutJobs([new(priority=0), new(priority=1_023), new(priority=1_024), new(priority=5, delay_ms=9)]))
    assert (await desk.ask(CountUrgent(["q", "nowhere"]))).counts.get("q") == 2
    facts = await desk.ask(GetTube("q"))
    assert (facts.urgent, facts.info.tally.ready, facts.totals["enqueued"], facts.now) == (2, 3, 4, desk.now)


async def test_in_one_commit_a_put_comes_before_a_reserve_and_a_release_before_both(desk, new):
    await desk.put()
    held = await desk.take()
    release, put, lease = await desk.together(
        ReleaseLease(held.ref(), 0, 5), PutJobs([new(priority=1)]), LeaseJobs(("q",), 2, "w")
    )
    assert [granted.job.id for granted in lease.jobs] == [put.ids[0], release.id]


async def test_a_retry_at_another_door_brings_back_a_buried_job(desk):
    [job_id] = await buried(desk, 1)
    await desk.do(RetryJob(job_id))
    assert (await desk.job(job_id)).extras.hands == BeanstalkCounters(buries=1)
