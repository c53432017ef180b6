"""Ending an attempt: what is kept of it, what a stale worker is told, and the same call again."""

import pytest
from msgspec.structs import replace

from holdfast import limits
from holdfast.errors import LeaseLost
from holdfast.job.job import State
from holdfast.job.queue import QueueSettings, Tally
from holdfast.job.retry import RetryPolicy
from holdfast.messages.commands import (
    CancelJob,
    ConcludeLease,
    ExtendLease,
    FailLease,
    ReleaseLease,
    RetryJob,
    SetQueue,
    ShortenLease,
)

STEADY = RetryPolicy(base_ms=1_000, factor=2.0, max_ms=60_000, jitter=0.0)
VERBS = [
    ConcludeLease,
    lambda ref: FailLease(ref, "no"),
    ReleaseLease,
    lambda ref: ExtendLease(ref, 5),
    lambda ref: ShortenLease(ref, 5),
]
NAMES = ["conclude", "fail", "release", "extend", "shorten"]
verbs = pytest.mark.parametrize("verb", VERBS, ids=NAMES)


async def test_a_concluded_job_keeps_its_result_and_who_ended_it_when(client):
    await client.put()
    job = await client.take(worker="me")
    client.clock.advance(30)
    outcome = await client.do(ConcludeLease(job.ref(), b'{"ok": true}'))
    assert (outcome.id, outcome.state, outcome.then) == (job.id, State.CONCLUDED, [])
    detail = await client.detail(job.id)
    assert detail.result == b'{"ok": true}'
    assert (detail.job.ended_at, detail.job.leased_at, detail.job.ended_by.worker) == (client.now, client.now - 30, "me")
    assert await client.tally() == Tally(concluded=1, history_bytes=13)


async def test_a_job_concluded_without_result_has_none(client):
    await client.put()
    await client.do(ConcludeLease((await client.take()).ref()))
    assert (await client.detail(1)).result is None


@verbs
async def test_a_stale_worker_cannot_touch_a_job_whose_lease_expired(client, verb):
    await client.put()
    stale = await client.take(lease_ms=100)
    client.clock.advance(100)
    with pytest.raises(LeaseLost):  # before the tick has come
        await client.do(verb(stale.ref()))
    await client.pass_time(0)
    current = await client.take()
    with pytest.raises(LeaseLost):  # and when somebody else has the job
        await client.do(verb(stale.ref()))
    assert await client.job(1) == current
    assert (current.attempt, current.crashes) == (2, 1)


@verbs
async def test_a_token_that_was_never_given_out_ends_nothing(client, verb):
    await client.put()
    job = await client.take()
    ref = job.ref()
    for wrong in (
        replace(ref, job=2),
        replace(ref, attempt=2),
        replace(ref, fence=ref.fence + 1),
        replace(ref, secret=bytes(16)),
        replace(ref, job=limits.ID_MAX, fence=limits.ID_MAX),
    ):
        with pytest.raises(LeaseLost):
            await client.do(verb(wrong))
    assert await client.job(1) == job


@verbs
async def test_an_attempt_that_has_ended_can_not_be_ended_otherwise(client, verb):
    await client.put()
    job = await client.take()
    await client.do(ReleaseLease(job.ref(), delay_ms=50))
    before = await client.job(1)
    with pytest.raises(LeaseLost):
        await client.do(verb(job.ref()))
    assert await client.job(1) == before


# Repeating after a lost answer ---------------------------------------------------------------------------------------


async def test_the_same_conclude_again_gets_the_same_answer_and_does_nothing(client, new):
    await client.put()
    job = await client.take()
    first = await client.do(ConcludeLease(job.ref(), b"1", [new(), new("r", delay_ms=5)]))
    client.clock.advance(1_000)
    again = await client.do(ConcludeLease(job.ref(), b"1", [new(), new("r", delay_ms=5)]))
    assert again == first
    assert len(first.then) == 2
    assert [job.id for job in await client.walk()] == [2, 3, 1]
    assert (await client.detail(1)).result == b"1"


async def test_the_same_conclude_twice_in_one_transaction_ends_the_job_once(client, new):
    await client.put()
    job = await client.take()
    first, again = await client.together(*(ConcludeLease(job.ref(), b"1", [new()]) for _ in range(2)))
    assert first == again
    assert await client.tally() == Tally(ready=1, concluded=1, bytes=1, history_bytes=2)


async def test_a_conclude_by_another_secret_is_not_taken_for_a_repetition(client):
    await client.put()
    job = await client.take()
    await client.do(ConcludeLease(job.ref()))
    for wrong in (replace(job.ref(), secret=bytes(16)), replace(job.ref(), attempt=2), replace(job.ref(), fence=9)):
        with pytest.raises(LeaseLost):
            await client.do(ConcludeLease(wrong))


async def test_the_same_failure_again_is_known_and_counts_once(client):
    await client.put()
    job = await client.take()
    first = await client.do(FailLease(job.ref(), "no", delay_ms=50))
    again = await client.do(FailLease(job.ref(), "no", delay_ms=50))
    assert again == first
    assert ((await client.job(1)).failures, len((await client.detail(1)).errors)) == (1, 1)


async def test_the_same_failure_twice_in_one_transaction_counts_once(client):
    await client.put()
    job = await client.take()
    first, again = await client.together(*(FailLease(job.ref(), "no", delay_ms=50) for _ in range(2)))
    assert first == again
    assert (await client.job(1)).failures == 1


async def test_the_same_failure_again_is_known_also_while_the_next_attempt_is_at_work(client):
    await client.put()
    first = await client.take()
    await client.do(FailLease(first.ref(), "no", delay_ms=0))
    second = await client.take()
    extended, again = await client.together(ExtendLease(second.ref(), 500), FailLease(first.ref(), "no", delay_ms=0))
    assert (extended.ms_left, getattr(again, "state", again)) == (500, State.LEASED)
    failed, again = await client.together(FailLease(second.ref(), "no more", delay_ms=0), FailLease(first.ref(), "no"))
    assert (failed.state, getattr(again, "state", again)) == (State.READY, State.READY)
    assert (await client.job(1)).failures == 2


async def test_a_crash_is_not_taken_for_the_failure_that_comes_too_late(client):
    await client.put()
    job = await client.take(lease_ms=10)
    await client.pass_time(10)
    with pytest.raises(LeaseLost):
        await client.do(FailLease(job.ref(), "no"))


# Failing -------------------------------------------------------------------------------------------------------------


async def test_failures_wait_longer_each_time_and_are_told_with_their_reasons(client):
    await client.do(SetQueue("q", QueueSettings(retry=STEADY, max_attempts=3), whole=True))
    await client.put()
    waits = []
    for attempt in (1, 2):
        job = await client.take(worker=f"w{attempt}")
        outcome = await client.do(FailLease(job.ref(), f"reason {attempt}"))
        waits.append(outcome.ready_at - client.now)
        await client.pass_time(waits[-1])
    assert waits == [1_000, 2_000]
    last = await client.do(FailLease((await client.take()).ref(), "reason 3"))
    assert last.state is State.DEAD
    detail = await client.detail(1)
    assert (detail.job.reason, detail.job.failures, detail.job.crashes) == ("attempts_exhausted", 3, 0)
    assert [(error.attempt, error.worker, error.kind, error.reason) for error in detail.errors] == [
        (1, "w1", "failed", "reason 1"),
        (2, "w2", "failed", "reason 2"),
        (3, "w", "failed", "reason 3"),
    ]


async def test_a_jobs_own_retry_policy_stands_over_its_queues_and_an_asked_delay_over_both(client):
    await client.do(SetQueue("q", QueueSettings(retry=STEADY), whole=True))
    await client.put(retry=replace(STEADY, base_ms=7))
    assert (await client.do(FailLease((await client.take()).ref(), "no"))).ready_at == client.now + 7
    await client.pass_time(7)
    assert (await client.do(FailLease((await client.take()).ref(), "no", delay_ms=3))).ready_at == client.now + 3
    await client.pass_time(3)
    assert (await client.do(FailLease((await client.take()).ref(), "no", delay_ms=0))).state is State.READY


async def test_jitter_keeps_to_its_share_of_the_delay(client, new):
    jittery = replace(STEADY, jitter=0.5)
    await client.put_all([new(retry=jittery) for _ in range(40)])
    granted = await client.lease(limit=40)
    outcomes = await client.together(*(FailLease(one.job.ref(), "no") for one in granted))
    delays = {outcome.ready_at - client.now for outcome in outcomes}
    assert all(500 <= delay <= 1_500 for delay in delays)
    assert len(delays) > 1


async def test_a_crash_that_its_holder_reports_counts_as_one_whose_lease_ended_by_itself(client):
    await client.do(SetQueue("q", QueueSettings(max_crashes=3, max_attempts=9, lease_ms=100), whole=True))
    await client.put()
    states = []
    for attempt in range(3):
        job = await client.take()
        if attempt == 1:
            await client.pass_time(100)  # and now one that nobody reports
            continue
        crash = FailLease(job.ref(), f"killed {attempt}", crashed=True)
        first, again = await client.together(crash, crash)
        assert first == again
        later = await client.do(crash)
        assert later == first, "a repeated report is answered, and counts once"
        states.append((first.state, (await client.job(1)).crashes))
    assert states == [(State.READY, 1), (State.DEAD, 3)]
    detail = await client.detail(1)
    assert (detail.job.reason, detail.job.failures) == ("crashed", 0)
    assert [(error.kind, error.reason) for error in detail.errors] == [
        ("crashed", "killed 0"),
        ("crashed", "the lease expired: its worker crashed or lost contact"),
        ("crashed", "killed 2"),
    ]


async def test_a_reported_crash_may_be_delayed_or_be_the_last_and_uses_up_attempts(client):
    await client.put(max_attempts=2)
    outcome = await client.do(FailLease((await client.take()).ref(), "killed", delay_ms=70, crashed=True))
    assert (outcome.state, outcome.ready_at) == (State.SCHEDULED, client.now + 70)
    await client.pass_time(70)
    await client.do(FailLease((await client.take()).ref(), "killed", crashed=True))
    assert (await client.job(1)).reason == "attempts_exhausted"
    await client.put()
    await client.do(FailLease((await client.take()).ref(), "killed", retry=False, crashed=True))
    dead = await client.job(2)
    assert (dead.state, dead.reason, dead.crashes, dead.failures) == (State.DEAD, "failed", 1, 0)


async def test_crashes_are_counted_and_told_apart_from_failures_and_end_in_quarantine(client):
    await client.do(SetQueue("q", QueueSettings(max_crashes=2, lease_ms=100), whole=True))
    await client.put()
    await client.do(FailLease((await client.take()).ref(), "no", delay_ms=0))
    for _ in range(2):
        await client.take()
        await client.pass_time(100)
    detail = await client.detail(1)
    assert (detail.job.state, detail.job.reason) == (State.DEAD, "crashed")
    assert (detail.job.attempt, detail.job.failures, detail.job.crashes) == (3, 1, 2)
    assert [error.kind for error in detail.errors] == ["failed", "crashed", "crashed"]


async def test_of_many_errors_the_last_twenty_are_kept_also_over_retries_by_hand(client):
    await client.put(max_attempts=13)
    for attempt in range(1, 31):
        await client.do(FailLease((await client.take()).ref(), f"no {attempt}", delay_ms=0))
        if await client.state(1) is State.DEAD:
            await client.do(RetryJob(1))
    kept = (await client.detail(1)).errors
    assert len(kept) == limits.ERRORS_KEPT == 20
    assert [error.reason for error in kept] == [f"no {attempt}" for attempt in range(11, 31)]


async def test_a_released_attempt_is_neither_a_failure_nor_an_error(client):
    await client.put()
    await client.do(ReleaseLease((await client.take()).ref(), delay_ms=10))
    detail = await client.detail(1)
    assert (detail.job.state, detail.job.attempt, detail.job.failures, detail.errors) == (State.SCHEDULED, 1, 0, [])


async def test_a_lease_that_is_extended_in_time_does_not_expire(client):
    await client.put()
    job = await client.take(lease_ms=100)
    for _ in range(5):
        client.clock.advance(99)
        extended = await client.do(ExtendLease(job.ref(), 100))
        assert (extended.ms_left, extended.cancel_requested) == (100, False)
        assert await client.pass_time(0) == (0, 0)
    assert (await client.pass_time(100)) == (1, 0)


async def test_a_shortened_lease_ends_sooner_and_an_extension_brings_it_back(client):
    await client.put()
    job = await client.take(lease_ms=100)
    assert (await client.do(ShortenLease(job.ref(), 30))).ms_left == 50
    assert (await client.do(ExtendLease(job.ref(), 100))).ms_left == 100
    assert (await client.do(ShortenLease(job.ref(), 100))).ms_left == 100
    assert [one.ms_left for one in await client.together(*[ShortenLease(job.ref(), 10)] * 3)] == [50, 25, 12]
    assert (await client.pass_time(11)) == (0, 0)
    assert (await client.pass_time(1)) == (1, 0)


async def test_a_lease_that_is_released_only_as_it_was_granted_stays_with_a_holder_that_has_extended_it(client):
    await client.put()
    await client.put()
    used, unused = [one.job for one in await client.lease(limit=2, lease_ms=100)]
    await client.do(ExtendLease(used.ref(), 500))
    with pytest.raises(LeaseLost):
        await client.do(ReleaseLease(used.ref(), until=used.lease.until))
    assert (await client.do(ReleaseLease(unused.ref(), until=unused.lease.until))).state is State.READY
    assert await client.tally() == Tally(ready=1, leased=1, bytes=2)


@pytest.mark.parametrize(("of_job", "of_queue", "lasts"), [(20, 30, 20), (None, 30, 30), (None, None, 300_000)])
async def test_an_extension_without_a_length_lasts_as_the_job_or_its_queue_says(client, of_job, of_queue, lasts):
    if of_queue is not None:
        await client.do(SetQueue("q", QueueSettings(lease_ms=of_queue), whole=True))
    await client.put(lease_ms=of_job)
    job = await client.take(lease_ms=10)
    assert (await client.do(ExtendLease(job.ref()))).ms_left == lasts
    assert (await client.job(1)).lease.until == client.now + lasts


async def test_a_holder_is_told_that_its_job_is_to_be_cancelled_and_the_job_does_not_run_again(client):
    await client.put()
    job = await client.take()
    await client.do(CancelJob(1))
    assert (await client.do(ExtendLease(job.ref(), 100))).cancel_requested
    assert (await client.pass_time(100)) == (1, 0)
    detail = await client.detail(1)
    assert (detail.job.state, detail.job.crashes, detail.job.reason) == (State.CANCELLED, 1, "cancelled")
