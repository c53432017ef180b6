"""A job with a deadline: it ends as expired if no worker has it by then, whatever state it waits in and however late the tick is."""

import pytest
from msgspec.structs import replace

from holdfast.errors import InvalidRequest, LeaseLost, WrongState
from holdfast.job.job import NewJob, OnConflict, State
from holdfast.job.queue import QueueSettings
from holdfast.messages.beanstalk_commands import ReserveJob
from holdfast.messages.commands import (
    CancelJob,
    ConcludeLease,
    EditJob,
    Enqueue,
    FailLease,
    MoveJob,
    PromoteJob,
    RegisterWorker,
    ReleaseLease,
    RetryJob,
    SetQueue,
    TakeBackLease,
)
from holdfast.messages.queries import ExplainJob
from holdfast.messages.time_commands import EndOverdue, ExpireLeases, PromoteDue

EXPIRED = (State.CANCELLED, "expired")


@pytest.fixture
def tick(client):
    """Move the clock, and end what is past its deadline; returns how many jobs ended."""

    async def tick(ms=0, limit=10_000):
        client.clock.advance(ms)
        return (await client.do(EndOverdue(limit))).count

    return tick


@pytest.fixture
def ended(client):
    """How a job has ended."""

    async def ended(job_id):
        job = await client.job(job_id)
        return job.state, job.reason

    return ended


@pytest.fixture
def put(client, new):
    """Enqueue a job with a deadline."""

    async def put(expires_in_ms=100, queue="q", **options):
        return await client.put(queue, expires_in_ms=expires_in_ms, **options)

    return put


async def test_a_job_that_no_worker_has_by_its_deadline_ends_as_cancelled_with_the_reason_expired(client, tick, put, ended):
    receipt = await put()
    assert (await client.job(receipt.id)).extras.expires_at == client.now + 100
    assert (await tick(99), await client.state(receipt.id)) == (0, State.READY)
    assert (await tick(1), await ended(receipt.id)) == (1, EXPIRED)
    assert (await client.tally()).cancelled == 1
    assert (await client.job(receipt.id)).ended_at == client.now
    assert client.backend.totals.of("q")[0]["deadline_passed"] == 1
    assert client.backend.totals.of("q")[0]["cancelled"] == 0
    assert await tick(1_000) == 0


@pytest.mark.parametrize("state", ["scheduled", "ready", "held", "for one worker"])
async def test_it_ends_in_every_state_in_which_a_job_waits(client, tick, put, ended, state):
    at = client.now + 1_000
    if state == "scheduled":
        receipt = await client.put(delay_ms=500, expires_at=at)
    elif state == "for one worker":
        await client.do(RegisterWorker("a", "a", ("q",)))
        receipt = (await client.do(Enqueue([NewJob("q", b"1", expires_in_ms=1_000)], to_workers=True))).jobs[0]
    elif state == "held":
        await client.put(group_key="g")
        receipt = await client.put(group_key="g", expires_at=at)
        assert (await client.job(receipt.id)).held
    else:
        receipt = await client.put(expires_at=at)
    assert (await tick(999), await tick(1), await ended(receipt.id)) == (0, 1, EXPIRED)
    assert await client.store.next_due() is None


async def test_a_place_in_a_group_goes_to_the_next_when_its_job_expires(client, tick, put):
    await put(group_key="g")
    second = await client.put(group_key="g")
    assert (await client.job(second.id)).held
    await tick(100)
    assert (await client.take()).id == second.id


async def test_a_lease_never_gives_out_a_job_past_its_deadline_however_late_the_tick_is(client, put, ended):
    late = [(await put(priority=n)).id for n in (1, 2, 3)]
    good = await client.put(priority=9)
    client.clock.advance(100)
    assert [one.job.id for one in await client.lease(limit=3)] == [good.id]
    assert [await ended(job_id) for job_id in late] == [EXPIRED] * 3
    assert await client.lease() == []


async def test_jobs_behind_more_expired_ones_than_a_call_wants_are_found(client, put, new, ended):
    await client.put_all([new(expires_in_ms=100) for _ in range(1_000)])
    await client.put_all([new(expires_in_ms=100, priority=1) for _ in range(1_000)])
    good = await client.put(priority=2_000)
    client.clock.advance(100)
    assert (await client.take()).id == good.id
    assert (await client.tally()).cancelled == 2_000


async def test_a_lease_ends_no_more_jobs_than_a_transaction_may_change(client, new):
    for _ in range(6):
        await client.put_all([new(expires_in_ms=100) for _ in range(1_000)])
    good = await client.put(priority=2_000)
    client.clock.advance(100)
    assert await client.lease() == []
    assert (await client.tally()).cancelled < 6_000
    assert (await client.take()).id == good.id


async def test_a_job_of_a_worker_alone_is_not_given_out_past_its_deadline(client, ended):
    await client.do(RegisterWorker("a", "a", ("q",)))
    receipt = (await client.do(Enqueue([NewJob("q", b"1", expires_in_ms=100)], to_workers=True))).jobs[0]
    client.clock.advance(100)
    assert await client.lease("q", worker="a", registered=True) == []
    assert await ended(receipt.id) == EXPIRED


async def test_a_running_attempt_goes_on_past_the_deadline_and_may_conclude(client, tick, put):
    receipt = await put()
    job = await client.take()
    assert (await tick(1_000), await client.store.next_due()) == (0, job.lease.until)
    assert (await client.do(ConcludeLease(job.ref()))).state is State.CONCLUDED
    assert (await client.state(receipt.id)) is State.CONCLUDED


async def test_a_retry_keeps_the_deadline(client, tick, put, ended):
    receipt = await put(1_000)
    job = await client.take()
    outcome = await client.do(FailLease(job.ref(), "no", delay_ms=5_000))
    assert outcome.state is State.SCHEDULED
    assert (await tick(999), await tick(1), await ended(receipt.id)) == (0, 1, EXPIRED)
    assert len((await client.detail(receipt.id)).errors) == 1


@pytest.mark.parametrize("how", ["fail", "release", "expire", "take back"])
async def test_what_comes_back_from_a_worker_after_the_deadline_ends_at_once(client, put, ended, how):
    receipt = await put(100)
    job = await client.take(lease_ms=200)
    client.clock.advance(200 if how == "expire" else 100)
    if how == "fail":
        assert (await client.do(FailLease(job.ref(), "no"))).state is State.CANCELLED
    elif how == "release":
        assert (await client.do(ReleaseLease(job.ref()))).state is State.CANCELLED
    elif how == "expire":
        await client.do(ExpireLeases(10))
    else:
        await client.do(TakeBackLease(receipt.id))
    assert await ended(receipt.id) == EXPIRED
    assert client.backend.totals.of("q")[0]["deadline_passed"] == 1
    with pytest.raises(LeaseLost):
        await client.do(ConcludeLease(job.ref()))


async def test_an_attempt_that_was_the_last_is_dead_and_not_expired(client, put, ended):
    receipt = await put(100, max_attempts=1)
    job = await client.take()
    client.clock.advance(100)
    await client.do(FailLease(job.ref(), "no"))
    assert await ended(receipt.id) == (State.DEAD, "attempts_exhausted")


async def test_an_operator_may_retry_an_expired_job_and_it_does_not_end_at_once_again(client, tick, put):
    receipt = await put(unique_key="u")
    await tick(100)
    changed = await client.do(RetryJob(receipt.id))
    assert (changed.job.state, changed.job.extras.expires_at, changed.job.reason) == (State.READY, None, None)
    assert await tick(10_000) == 0
    assert (await client.take()).id == receipt.id


async def test_a_retry_may_name_a_new_deadline(client, tick, put, ended):
    receipt = await put()
    await tick(100)
    assert (await client.do(RetryJob(receipt.id, expires_in_ms=50))).job.extras.expires_at == client.now + 50
    assert (await tick(50), await ended(receipt.id)) == (1, EXPIRED)
    await client.do(RetryJob(receipt.id, expires_at=client.now + 70))
    assert (await tick(69), await tick(1)) == (0, 1)
    with pytest.raises(InvalidRequest, match="expires_at"):
        await client.do(RetryJob(receipt.id, expires_at=client.now))


async def test_a_dead_job_that_is_retried_keeps_a_deadline_to_come_and_loses_one_that_has_passed(client, tick, put):
    receipt = await put(1_000)
    job = await client.take()
    await client.do(FailLease(job.ref(), "no", retry=False))
    assert await tick(10) == 0
    assert (await client.do(RetryJob(receipt.id))).job.extras.expires_at == client.now + 990
    job = await client.take()
    await client.do(FailLease(job.ref(), "no", retry=False))
    await tick(1_000)
    assert (await client.do(RetryJob(receipt.id))).job.extras.expires_at is None


async def test_a_cancelled_job_is_no_expired_one(client, put):
    receipt = await put()
    await client.do(CancelJob(receipt.id))
    with pytest.raises(WrongState, match="dead or expired"):
        await client.do(RetryJob(receipt.id))


async def test_the_time_to_live_counts_from_when_the_job_is_due(client, new):
    now = client.now
    delayed = await client.put(delay_ms=5_000, expires_in_ms=100)
    timed = await client.put(run_at=now + 7_000, expires_in_ms=100)
    assert (await client.job(delayed.id)).extras.expires_at == now + 5_100
    assert (await client.job(timed.id)).extras.expires_at == now + 7_100


async def test_a_deadline_before_the_job_is_due_is_refused_and_changes_nothing(client, new):
    now = client.now
    for options in (
        {"expires_at": now},
        {"delay_ms": 100, "expires_at": now + 100},
        {"run_at": now + 9, "expires_at": now + 9},
    ):
        with pytest.raises(InvalidRequest, match="expires_at") as refused:
            await client.do(Enqueue([new("fresh"), new("fresh", **options)]))
        assert refused.value.fields["field"] == "expires_at"
    assert await client.walk() == []


async def test_a_follow_up_that_is_too_late_does_not_refuse_the_conclude_and_expires(client, tick, new, ended):
    await client.put()
    job = await client.take()
    outcome = await client.do(ConcludeLease(job.ref(), None, [new("q", expires_at=client.now - 5), new("q", expires_in_ms=9)]))
    assert outcome.state is State.CONCLUDED
    late, timely = outcome.then
    assert (await tick(1), await ended(late.id), await client.state(timely.id)) == (1, EXPIRED, State.READY)
    assert await tick(8) == 1


async def test_a_queue_gives_its_jobs_the_time_to_live_that_they_do_not_name(client, tick):
    await client.do(SetQueue("q", QueueSettings(expires_in_ms=100), whole=False))
    by_queue = await client.put()
    own = await client.put(expires_in_ms=500)
    at = await client.put(expires_at=client.now + 700)
    later = await client.put(delay_ms=1_000)
    expiries = [(await client.job(one.id)).extras.expires_at - client.now for one in (by_queue, own, at, later)]
    assert expiries == [100, 500, 700, 1_100]
    assert (await client.queue()).policy.expires_in_ms == 100
    await client.do(SetQueue("q", QueueSettings(expires_in_ms=None), whole=False))
    assert (await client.job((await client.put()).id)).extras.expires_at is None
    assert await tick(100) == 1


async def test_a_deadline_is_edited_and_taken_away(client, tick, put, ended):
    receipt = await put()
    assert (await client.do(EditJob(receipt.id, expires_in_ms=300))).job.extras.expires_at == client.now + 300
    assert (await tick(299)) == 0
    assert (await client.do(EditJob(receipt.id, expires_at=client.now + 1_000))).job.extras.expires_at == client.now + 1_000
    assert (await client.do(EditJob(receipt.id, priority=3))).job.extras.expires_at == client.now + 1_000
    await client.do(EditJob(receipt.id, expires_at=0))
    assert ((await client.job(receipt.id)).extras.expires_at, await tick(10_000)) == (None, 0)
    assert await client.store.next_due() is None
    await client.do(EditJob(receipt.id, expires_in_ms=5))
    assert (await tick(5), await ended(receipt.id)) == (1, EXPIRED)


async def test_a_job_is_not_edited_to_be_due_after_its_deadline(client, put):
    receipt = await put(1_000)
    with pytest.raises(InvalidRequest) as refused:
        await client.do(EditJob(receipt.id, delay_ms=1_000))
    assert refused.value.fields["field"] == "delay_ms"
    with pytest.raises(InvalidRequest) as refused:
        await client.do(EditJob(receipt.id, run_at=client.now + 5_000, expires_at=client.now + 5_000))
    assert refused.value.fields["field"] == "expires_at"
    changed = await client.do(EditJob(receipt.id, run_at=client.now + 5_000, expires_in_ms=100))
    assert changed.job.extras.expires_at == client.now + 5_100


@pytest.mark.parametrize("way", [OnConflict.REPLACE, OnConflict.DEBOUNCE])
async def test_a_job_that_is_replaced_has_the_deadline_of_the_new_one(client, tick, put, new, ended, way):
    receipt = await put(1_000, unique_key="u", delay_ms=500)
    client.clock.advance(100)
    job = replace(new(payload=b"2", unique_key="u", expires_in_ms=200, delay_ms=500), on_conflict=way)
    await client.do(Enqueue([job]))
    due = client.now + (400 if way is OnConflict.REPLACE else 500)
    assert (await client.job(receipt.id)).extras.expires_at == due + 200
    await client.do(Enqueue([replace(new(payload=b"3", unique_key="u", delay_ms=500), on_conflict=way)]))
    assert (await client.job(receipt.id)).extras.expires_at is None
    assert await tick(10_000) == 0


async def test_a_unique_key_is_free_as_soon_as_the_deadline_has_passed(client, put, ended):
    first = await put(unique_key="u")
    client.clock.advance(100)
    second = await put(unique_key="u")
    assert (second.id != first.id, await ended(first.id)) == (True, EXPIRED)
    client.clock.advance(100)
    third = await put(unique_key="u", priority=3)
    assert await ended(second.id) == EXPIRED
    assert (await client.take()).id == third.id


async def test_a_job_that_is_moved_takes_its_deadline_along(client, tick, put, ended):
    receipt = await put(1_000)
    moved = (await client.do(MoveJob(receipt.id, "other"))).jobs[0]
    assert (await client.job(moved.id)).extras.expires_at == client.now + 1_000
    assert (await tick(1_000), await ended(moved.id)) == (1, EXPIRED)
    again = (await client.do(MoveJob(moved.id, "third"))).jobs[0]
    assert (await client.job(again.id)).extras.expires_at is None


async def test_a_job_whose_next_attempt_is_due_after_its_deadline_is_moved_and_expires_there(client, tick, put, ended):
    receipt = await put()
    job = await client.take()
    await client.do(FailLease(job.ref(), "no", retry=True, delay_ms=5_000))
    moved = (await client.do(MoveJob(receipt.id, "other"))).jobs[0]
    assert (await client.state(moved.id)) is State.SCHEDULED
    assert (await tick(1_000), await ended(moved.id)) == (1, EXPIRED)


async def test_a_job_past_its_deadline_is_not_reserved_by_its_id(client, put):
    receipt = await put()
    client.clock.advance(100)
    with pytest.raises(WrongState, match="expired"):
        await client.do(ReserveJob(receipt.id, "w"))


async def test_many_deadlines_pass_in_bounded_chunks_the_earliest_first(client, tick, new):
    await client.put_all([new(expires_in_ms=1_000 - n) for n in range(100)])
    client.clock.advance(2_000)
    assert await tick(limit=40) == 40
    left = sorted(job.extras.expires_at for job in await client.walk(state=State.READY))
    assert (len(left), left[0]) == (60, client.now - 2_000 + 901 + 40)
    assert (await tick(limit=40), await tick(limit=40), await tick(limit=40)) == (40, 20, 0)


async def test_a_job_that_becomes_due_and_expires_in_one_tick_expires(client, put, ended):
    receipt = await client.put(delay_ms=50, expires_in_ms=50)
    client.clock.advance(200)
    await client.together(PromoteDue(10), EndOverdue(10))
    assert await ended(receipt.id) == EXPIRED


async def test_a_promoted_job_keeps_its_deadline(client, tick, put):
    receipt = await put(100, delay_ms=500)
    assert (await client.do(PromoteJob(receipt.id))).job.extras.expires_at == client.now + 600
    assert (await tick(599), await tick(1)) == (0, 1)


async def test_the_next_deadline_is_known_to_the_ticker(client, put):
    await put(700)
    await put(300)
    assert await client.store.next_due() == client.now + 300
    await client.take()
    assert await client.store.next_due() == client.now + 300
    await client.take()
    assert await client.store.next_due() > client.now + 1_000


async def test_why_tells_when_a_job_expires(client, put):
    receipt = await put()
    facts = await client.ask(ExplainJob(receipt.id))
    assert facts.job.deadline == client.now + 100


async def test_deadlines_outlive_a_restart_and_pass_while_nothing_runs(lasting_place, reopen):
    client = await reopen(lasting_place)
    await client.put(expires_in_ms=100)
    kept = await client.put(expires_in_ms=100_000)
    client = await reopen(lasting_place, client)
    client.clock.advance(50_000)
    assert (await client.take()).id == kept.id
    assert (await client.job(1)).reason == "expired"
    assert await client.store.next_due() > client.now + 50_000
    await client.count_again()
    await client.close()
