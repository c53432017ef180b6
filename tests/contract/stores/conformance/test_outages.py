"""Leases that ended while nobody served: their holders come first, and nobody is to blame. At a start, what lies too far ahead is drawn in."""

import pytest

from holdfast.committer import outage
from holdfast.errors import LeaseLost
from holdfast.job.job import IdempotencyKey, NewJob
from holdfast.job.schedule import ScheduleSpec
from holdfast.limits import CLOCK_SET_FROM, DELAY_MS_MAX, HISTORY_AHEAD_MS, IDEMPOTENCY_MS, LEASE_GRACE_MS, LEASE_MS_MAX
from holdfast.messages.commands import CancelJob, ConcludeLease, Enqueue, ExtendLease, FailLease, SetSchedule
from holdfast.messages.queries import ListSchedules
from holdfast.messages.time_commands import ExpireLeases, ForgetHistory

YEARS = 10 * 366 * 86_400_000


async def away(desk):
    """Nobody served for a while: the committer looks at the store as at a start."""
    if desk.store.shared:
        async with desk.store.transaction() as tx:
            await tx._db.execute("DELETE FROM beat")
            tx._note_written()
            await tx.commit()
    desk.backend.committer._outages.seen = -1


async def test_who_holds_a_lease_that_ended_meanwhile_may_conclude_it(desk):
    await desk.put_all([NewJob("q", b"1")])
    (held,) = await desk.lease(lease_ms=1_500)
    desk.clock.advance(60_000)
    await away(desk)
    assert (await desk.do(ConcludeLease(held.job.ref()))).state == "concluded"


async def test_who_extends_first_goes_on_and_is_no_crash(desk):
    await desk.put_all([NewJob("q", b"1")])
    (held,) = await desk.lease(lease_ms=1_500)
    for _ in range(7):  # more outages than crashes lead to quarantine
        desk.clock.advance(60_000)
        await away(desk)
        await desk.do(ExpireLeases(10))
        await desk.do(ExtendLease(held.job.ref(), 1_500))
    desk.clock.advance(1_500)
    await desk.do(ExpireLeases(10))
    job = await desk.job(held.job.id)
    assert (job.state, job.crashes, job.attempt) == ("ready", 1, 1), "what ends afterwards ends as ever"


async def test_more_leases_than_one_bite_are_granted_once_each_though_time_goes_on_meanwhile(desk, monkeypatch):
    await desk.put_all([NewJob("q", b"1") for _ in range(10)])
    held = await desk.lease(limit=10, lease_ms=1_500)
    desk.clock.advance(60_000)
    await away(desk)
    monkeypatch.setattr(outage, "_BITE", 3)
    chunks, real = [], desk.backend.committer._outages._grant

    async def grant(*given):
        desk.clock.advance(1)
        assert len(chunks) < 10, "it has no end"
        chunks.append(await real(*given))
        return chunks[-1]

    monkeypatch.setattr(desk.backend.committer._outages, "_grant", grant)
    assert (await desk.do(ExpireLeases(100))).count == 0
    assert chunks == [3, 3, 3, 1]
    assert len({(await desk.job(one.job.id)).lease.until for one in held}) == 1, (
        "so that all of them are known for what they are"
    )


async def test_what_nobody_claims_goes_back_as_released(desk):
    await desk.put_all([NewJob("q", b"1", max_attempts=1)])
    (held,) = await desk.lease(lease_ms=1_500)
    desk.clock.advance(60_000)
    await away(desk)
    await desk.do(ExpireLeases(10))
    assert (await desk.job(held.job.id)).state == "leased"
    desk.clock.advance(LEASE_GRACE_MS)
    with pytest.raises(LeaseLost):
        await desk.do(FailLease(held.job.ref(), "late"))
    await desk.do(ExpireLeases(10))
    job = await desk.job(held.job.id)
    assert (job.state, job.crashes, job.failures) == ("ready", 0, 0)
    assert [one.job.attempt for one in await desk.lease()] == [2]


async def test_a_lease_that_lasts_longer_than_the_grace_is_left_as_it_is(desk):
    await desk.put_all([NewJob("q", b"1")])
    (held,) = await desk.lease(lease_ms=600_000)
    await away(desk)
    await desk.do(ExpireLeases(10))
    assert (await desk.job(held.job.id)).lease.until == held.job.lease.until


async def test_while_somebody_serves_a_lease_that_ends_is_a_crash(desk):
    await desk.put_all([NewJob("q", b"1")])
    (held,) = await desk.lease(lease_ms=1_500)
    desk.clock.advance(60_000)
    await desk.do(ExpireLeases(10))
    assert (await desk.job(held.job.id)).crashes == 1


async def test_after_a_clock_that_was_ahead_nothing_lies_further_ahead_than_it_may(desk):
    await desk.put_all([NewJob("q", b"1"), NewJob("q", b"2"), NewJob("q", b"3", run_at=desk.now + 3 * YEARS)])
    held, failed = await desk.lease(limit=2, lease_ms=LEASE_MS_MAX)
    began = desk.now
    desk.clock.advance(YEARS)
    await desk.do(SetSchedule("every", ScheduleSpec(NewJob("q", b"1"), interval_ms=60_000), False))
    await desk.do(SetSchedule("cron", ScheduleSpec(NewJob("q", b"1"), cron="* * * * *"), False))
    desk.clock._now = began - YEARS  # it is set right, which only a restart can follow
    await away(desk)
    await desk.do(ExpireLeases(10))
    assert (await desk.job(held.job.id)).lease.until == desk.now + LEASE_MS_MAX
    assert (await desk.job(failed.job.id)).lease.until == desk.now + LEASE_MS_MAX
    page = await desk.ask(ListSchedules(10))
    assert [0 < schedule.next_at - desk.now <= 60_000 for schedule in page.schedules] == [True, True]
    assert [schedule.try_at == schedule.next_at for schedule in page.schedules] == [True, True]
    assert (await desk.job(3)).ready_at == began + 3 * YEARS, "an instant that somebody asked for is kept"


async def test_a_delay_that_was_given_while_the_clock_was_ahead_is_cut_to_its_bound(desk):
    await desk.put_all([NewJob("q", b"1")])
    desk.clock.advance(2 * YEARS)
    (held,) = await desk.lease()
    await desk.do(FailLease(held.job.ref(), "no", True, 5_000))
    desk.clock._now -= 2 * YEARS
    await away(desk)
    await desk.do(ExpireLeases(10))
    assert (await desk.job(held.job.id)).ready_at == desk.now + DELAY_MS_MAX


async def ended_in_every_way(desk):
    """Five jobs, of which one was put with a key."""
    key = IdempotencyKey("q", "once", b"d")
    await desk.put_all([NewJob("q", b"1")], key)
    await desk.put_all([NewJob("q", b"%d" % n) for n in range(2, 6)])
    one, two, three = await desk.lease(limit=3)
    await desk.do(ConcludeLease(one.job.ref()))
    await desk.do(ConcludeLease(two.job.ref()))
    await desk.do(FailLease(three.job.ref(), "no", retry=False))
    for job_id in (4, 5):
        await desk.do(CancelJob(job_id))
    return key


async def test_after_a_clock_that_was_ahead_history_is_forgotten_in_its_time(desk, monkeypatch):
    monkeypatch.setattr(outage, "_BITE", 1)
    desk.clock.advance(YEARS)
    key = await ended_in_every_way(desk)
    desk.clock._now -= YEARS
    await away(desk)
    await desk.do(ExpireLeases(10))
    assert [(await desk.job(job_id)).ended_at for job_id in range(1, 6)] == [desk.now] * 5
    desk.clock.advance(IDEMPOTENCY_MS - 1)
    assert (await desk.do(Enqueue([NewJob("q", b"1")], key))).duplicate, "the key counts for its whole time"
    desk.clock.advance(YEARS // 2)
    for _ in range(2):  # the jobs, and then the answer that told of one
        await desk.do(ForgetHistory(100))
    assert [job.id for job in await desk.walk()] == [3], "the dead one is kept until somebody decides"
    assert not (await desk.do(Enqueue([NewJob("q", b"1")], key))).duplicate


@pytest.mark.parametrize("behind", [True, False])
async def test_history_that_is_ahead_by_less_than_a_day_or_of_a_clock_that_is_not_set_keeps_its_dates(desk, behind):
    if not behind:
        desk.clock.advance(HISTORY_AHEAD_MS)
    await ended_in_every_way(desk)
    ended_at = desk.now
    desk.clock._now = CLOCK_SET_FROM - 1 if behind else ended_at - HISTORY_AHEAD_MS
    await away(desk)
    await desk.do(ExpireLeases(10))
    assert [(await desk.job(job_id)).ended_at for job_id in range(1, 6)] == [ended_at] * 5
