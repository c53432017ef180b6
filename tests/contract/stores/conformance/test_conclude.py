"""Ending an attempt: what is kept of it, what a stale worker is told, and the same call again."""

import pytest
from msgspec.structs import replace

from holdfast import limits
from holdfast.errors import LeaseLost
from holdfast.job.job import State
from holdfast.job.queue import QueueSettings, Tally
from holdfast.job.retry import RetryPolicy
from holdfast.messages.commands import CancelJob, ConcludeLease, ExtendLease, FailLease, ReleaseLease, RetryJob, SetQueue

STEADY = RetryPolicy(base_ms=1_000, factor=2.0, max_ms=60_000, jitter=0.0)
VERBS = [
    ConcludeLease,
    lambda ref: FailLease(ref, "no"),
    ReleaseLease,
    lambda ref: ExtendLease(ref, 5),
]
NAMES = ["conclude", "fail", "release", "extend"]
verbs = pytest.mark.parametrize("verb", VERBS, ids=NAMES)


async def test_a_concluded_job_keeps_its_result_and_who_ended_it_when(desk):
    await desk.put()
    job = await desk.take(worker="me")
    desk.clock.advance(30)
    outcome = await desk.do(ConcludeLease(job.ref(), b'{"ok": true}'))
    assert (outcome.id, outcome.state, outcome.then) == (job.id, State.CONCLUDED, [])
    detail = await desk.detail(job.id)
    assert detail.result == b'{"ok": true}'
    assert (detail.job.ended_at, detail.job.leased_at, detail.job.ended_by.worker) == (desk.now, desk.now - 30, "me")
    assert await desk.tally() == Tally(concluded=1)


async def test_a_job_concluded_without_result_has_none(desk):
    await desk.put()
    await desk.do(ConcludeLease((await desk.take()).ref()))
    assert (await desk.detail(1)).result is None


@verbs
async def test_a_stale_worker_cannot_touch_a_job_whose_lease_expired(desk, verb):
    await desk.put()
    stale = await desk.take(lease_ms=100)
    desk.clock.advance(100)
    with pytest.raises(LeaseLost):  # before the tick has come
        await desk.do(verb(stale.ref()))
    await desk.pass_time(0)
    current = await desk.take()
    with pytest.raises(LeaseLost):  # and when somebody else has the job
        await desk.do(verb(stale.ref()))
    assert await desk.job(1) == current
    assert (current.attempt, current.crashes) == (2, 1)


@verbs
async def test_a_token_that_was_never_given_out_ends_nothing(desk, verb):
    await desk.put()
    job = await desk.take()
    ref = job.ref()
    for wrong in (
        replace(ref, job=2),
        replace(ref, attempt=2),
        replace(ref, fence=ref.fence + 1),
        replace(ref, secret=bytes(16)),
        replace(ref, job=limits.ID_MAX, fence=limits.ID_MAX),
    ):
        with pytest.raises(LeaseLost):
            await desk.do(verb(wrong))
    assert await desk.job(1) == job


@verbs
async def test_an_attempt_that_has_ended_can_not_be_ended_otherwise(desk, verb):
    await desk.put()
    job = await desk.take()
    await desk.do(ReleaseLease(job.ref(), delay_ms=50))
    before = await desk.job(1)
    with pytest.raises(LeaseLost):
        await desk.do(verb(job.ref()))
    assert await desk.job(1) == before


# Repeating after a lost answer ---------------------------------------------------------------------------------------


async def test_the_same_conclude_again_gets_the_same_answer_and_does_nothing(desk, new):
    await desk.put()
    job = await desk.take()
    first = await desk.do(ConcludeLease(job.ref(), b"1", [new(), new("r", delay_ms=5)]))
    desk.clock.advance(1_000)
    again = await desk.do(ConcludeLease(job.ref(), b"1", [new(), new("r", delay_ms=5)]))
    assert again == first
    assert len(first.then) == 2
    assert [job.id for job in await desk.walk()] == [2, 3, 1]
    assert (await desk.detail(1)).result == b"1"


async def test_the_same_conclude_twice_in_one_transaction_ends_the_job_once(desk, new):
    await desk.put()
    job = await desk.take()
    first, again = await desk.together(*(ConcludeLease(job.ref(), b"1", [new()]) for _ in range(2)))
    assert first == again
    assert await desk.tally() == Tally(ready=1, concluded=1, bytes=1)


async def test_a_conclude_by_another_secret_is_not_taken_for_a_repetition(desk):
    await desk.put()
    job = await desk.take()
    await desk.do(ConcludeLease(job.ref()))
    for wrong in (replace(job.ref(), secret=bytes(16)), replace(job.ref(), attempt=2), replace(job.ref(), fence=9)):
        with pytest.raises(LeaseLost):
            await desk.do(ConcludeLease(wrong))


async def test_the_same_failure_again_is_known_and_counts_once(desk):
    await desk.put()
    job = await desk.take()
    first = await desk.do(FailLease(job.ref(), "no", delay_ms=50))
    again = await desk.do(FailLease(job.ref(), "no", delay_ms=50))
    assert again == first
    assert ((await desk.job(1)).failures, len((await desk.detail(1)).errors)) == (1, 1)


async def test_the_same_failure_twice_in_one_transaction_counts_once(desk):
    await desk.put()
    job = await desk.take()
    first, again = await desk.together(*(FailLease(job.ref(), "no", delay_ms=50) for _ in range(2)))
    assert first == again
    assert (await desk.job(1)).failures == 1


async def test_the_same_failure_again_is_known_also_while_the_next_attempt_is_at_work(desk):
    await desk.put()
    first = await desk.take()
    await desk.do(FailLease(first.ref(), "no", delay_ms=0))
    second = await desk.take()
    extended, again = await desk.together(ExtendLease(second.ref(), 500), FailLease(first.ref(), "no", delay_ms=0))
    assert (extended.ms_left, getattr(again, "state", again)) == (500, State.LEASED)
    failed, again = await desk.together(FailLease(second.ref(), "no more", delay_ms=0), FailLease(first.ref(), "no"))
    assert (failed.state, getattr(again, "state", again)) == (State.READY, State.READY)
    assert (await desk.job(1)).failures == 2


async def test_a_crash_is_not_taken_for_the_failure_that_comes_too_late(desk):
    await desk.put()
    job = await desk.take(lease_ms=10)
    await desk.pass_time(10)
    with pytest.raises(LeaseLost):
        await desk.do(FailLease(job.ref(), "no"))


# Failing -------------------------------------------------------------------------------------------------------------


async def test_failures_wait_longer_each_time_and_are_told_with_their_reasons(desk):
    await desk.do(SetQueue("q", QueueSettings(retry=STEADY, max_attempts=3), whole=True))
    await desk.put()
    waits = []
    for attempt in (1, 2):
        job = await desk.take(worker=f"w{attempt}")
        outcome = await desk.do(FailLease(job.ref(), f"reason {attempt}"))
        waits.append(outcome.ready_at - desk.now)
        await desk.pass_time(waits[-1])
    assert waits == [1_000, 2_000]
    last = await desk.do(FailLease((await desk.take()).ref(), "reason 3"))
    assert last.state is State.DEAD
    detail = await desk.detail(1)
    assert (detail.job.reason, detail.job.failures, detail.job.crashes) == ("attempts_exhausted", 3, 0)
    assert [(error.attempt, error.worker, error.kind, error.reason) for error in detail.errors] == [
        (1, "w1", "failed", "reason 1"),
        (2, "w2", "failed", "reason 2"),
        (3, "w", "failed", "reason 3"),
    ]


async def test_a_jobs_own_retry_policy_stands_over_its_queues_and_an_asked_delay_over_both(desk):
    await desk.do(SetQueue("q", QueueSettings(retry=STEADY), whole=True))
    await desk.put(retry=replace(STEADY, base_ms=7))
    assert (await desk.do(FailLease((await desk.take()).ref(), "no"))).ready_at == desk.now + 7
    await desk.pass_time(7)
    assert (await desk.do(FailLease((await desk.take()).ref(), "no", delay_ms=3))).ready_at == desk.now + 3
    await desk.pass_time(3)
    assert (await desk.do(FailLease((await desk.take()).ref(), "no", delay_ms=0))).state is State.READY


async def test_jitter_keeps_to_its_share_of_the_delay(desk, new):
    jittery = replace(STEADY, jitter=0.5)
    await desk.put_all([new(retry=jittery) for _ in range(40)])
    granted = await desk.lease(limit=40)
    outcomes = await desk.together(*(FailLease(one.job.ref(), "no") for one in granted))
    delays = {outcome.ready_at - desk.now for outcome in outcomes}
    assert all(500 <= delay <= 1_500 for delay in delays)
    assert len(delays) > 1


async def test_a_crash_that_its_holder_reports_counts_as_one_whose_lease_ended_by_itself(desk):
    await desk.do(SetQueue("q", QueueSettings(max_crashes=3, max_attempts=9, lease_ms=100), whole=True))
    await desk.put()
    states = []
    for attempt in range(3):
        job = await desk.take()
        if attempt == 1:
            await desk.pass_time(100)  # and now one that nobody reports
            continue
        crash = FailLease(job.ref(), f"killed {attempt}", crashed=True)
        first, again = await desk.together(crash, crash)
        assert first == again
        later = await desk.do(crash)
        assert later == first, "a repeated report is answered, and counts once"
        states.append((first.state, (await desk.job(1)).crashes))
    assert states == [(State.READY, 1), (State.DEAD, 3)]
    detail = await desk.detail(1)
    assert (detail.job.reason, detail.job.failures) == ("crashed", 0)
    assert [(error.kind, error.reason) for error in detail.errors] == [
        ("crashed", "killed 0"),
        ("crashed", "the lease expired: its worker crashed or lost contact"),
        ("crashed", "killed 2"),
    ]


async def test_a_reported_crash_may_be_delayed_or_be_the_last_and_uses_up_attempts(desk):
    await desk.put(max_attempts=2)
    outcome = await desk.do(FailLease((await desk.take()).ref(), "killed", delay_ms=70, crashed=True))
    assert (outcome.state, outcome.ready_at) == (State.SCHEDULED, desk.now + 70)
    await desk.pass_time(70)
    await desk.do(FailLease((await desk.take()).ref(), "killed", crashed=True))
    assert (await desk.job(1)).reason == "attempts_exhausted"
    await desk.put()
    await desk.do(FailLease((await desk.take()).ref(), "killed", retry=False, crashed=True))
    dead = await desk.job(2)
    assert (dead.state, dead.reason, dead.crashes, dead.failures) == (State.DEAD, "failed", 1, 0)


async def test_crashes_are_counted_and_told_apart_from_failures_and_end_in_quarantine(desk):
    await desk.do(SetQueue("q", QueueSettings(max_crashes=2, lease_ms=100), whole=True))
    await desk.put()
    await desk.do(FailLease((await desk.take()).ref(), "no", delay_ms=0))
    for _ in range(2):
        await desk.take()
        await desk.pass_time(100)
    detail = await desk.detail(1)
    assert (detail.job.state, detail.job.reason) == (State.DEAD, "crashed")
    assert (detail.job.attempt, detail.job.failures, detail.job.crashes) == (3, 1, 2)
    assert [error.kind for error in detail.errors] == ["failed", "crashed", "crashed"]


async def test_of_many_errors_the_last_twenty_are_kept_also_over_retries_by_hand(desk):
    await desk.put(max_attempts=13)
    for attempt in range(1, 31):
        await desk.do(FailLease((await desk.take()).ref(), f"no {attempt}", delay_ms=0))
        if await desk.state(1) is State.DEAD:
            await desk.do(RetryJob(1))
    kept = (await desk.detail(1)).errors
    assert len(kept) == limits.ERRORS_KEPT == 20
    assert [error.reason for error in kept] == [f"no {attempt}" for attempt in range(11, 31)]


async def test_a_released_attempt_is_neither_a_failure_nor_an_error(desk):
    await desk.put()
    await desk.do(ReleaseLease((await desk.take()).ref(), delay_ms=10))
    detail = await desk.detail(1)
    assert (detail.job.state, detail.job.attempt, detail.job.failures, detail.errors) == (State.SCHEDULED, 1, 0, [])


async def test_a_lease_that_is_extended_in_time_does_not_expire(desk):
    await desk.put()
    job = await desk.take(lease_ms=100)
    for _ in range(5):
        desk.clock.advance(99)
        extended = await desk.do(ExtendLease(job.ref(), 100))
        assert (extended.ms_left, extended.cancel_requested) == (100, False)
        assert await desk.pass_time(0) == (0, 0)
    assert (await desk.pass_time(100)) == (1, 0)


@pytest.mark.parametrize(("of_job", "of_queue", "lasts"), [(20, 30, 20), (None, 30, 30), (None, None, 300_000)])
async def test_an_extension_without_a_length_lasts_as_the_job_or_its_queue_says(desk, of_job, of_queue, lasts):
    if of_queue is not None:
        await desk.do(SetQueue("q", QueueSettings(lease_ms=of_queue), whole=True))
    await desk.put(lease_ms=of_job)
    job = await desk.take(lease_ms=10)
    assert (await desk.do(ExtendLease(job.ref()))).ms_left == lasts
    assert (await desk.job(1)).lease.until == desk.now + lasts


async def test_a_holder_is_told_that_its_job_is_to_be_cancelled_and_the_job_does_not_run_again(desk):
    await desk.put()
    job = await desk.take()
    await desk.do(CancelJob(1))
    assert (await desk.do(ExtendLease(job.ref(), 100))).cancel_requested
    assert (await desk.pass_time(100)) == (1, 0)
    detail = await desk.detail(1)
    assert (detail.job.state, detail.job.crashes, detail.job.reason) == (State.CANCELLED, 1, "cancelled")
