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


async def away(client):
    """Nobody served for a while: the committer looks at the store as at a start."""
    if client.store.shared:
        async with client.store.transaction() as tx:
            await tx._db.execute("DELETE FROM beat")
            tx._note_written()
            await tx.commit()
    client.backend.committer._outages.seen = -1


async def test_who_holds_a_lease_that_ended_meanwhile_may_conclude_it(client):
    await client.put_all([NewJob("q", b"1")])
    (held,) = await client.lease(lease_ms=1_500)
    client.clock.advance(60_000)
    await away(client)
    assert (await client.do(ConcludeLease(held.job.ref()))).state == "concluded"


async def test_who_extends_first_goes_on_and_is_no_crash(client):
    await client.put_all([NewJob("q", b"1")])
    (held,) = await client.lease(lease_ms=1_500)
    for _ in range(7):  # more outages than crashes lead to quarantine
        client.clock.advance(60_000)
        await away(client)
        await client.do(ExpireLeases(10))
        await client.do(ExtendLease(held.job.ref(), 1_500))
    client.clock.advance(1_500)
    await client.do(ExpireLeases(10))
    job = await client.job(held.job.id)
    assert (job.state, job.crashes, job.attempt) == ("ready", 1, 1), "what ends afterwards ends as ever"


async def test_more_leases_than_one_bite_are_granted_once_each_though_time_goes_on_meanwhile(client, monkeypatch):
    await client.put_all([NewJob("q", b"1") for _ in range(10)])
    held = await client.lease(limit=10, lease_ms=1_500)
    client.clock.advance(60_000)
    await away(client)
    monkeypatch.setattr(outage, "_CHUNK", 3)
    chunks, real = [], client.backend.committer._outages._grant

    async def grant(*given):
        client.clock.advance(1)
        assert len(chunks) < 10, "it has no end"
        chunks.append(await real(*given))
        return chunks[-1]

    monkeypatch.setattr(client.backend.committer._outages, "_grant", grant)
    assert (await client.do(ExpireLeases(100))).count == 0
    assert chunks == [3, 3, 3, 1]
    assert len({(await client.job(one.job.id)).lease.until for one in held}) == 1, (
        "so that all of them are known for what they are"
    )


async def test_what_nobody_claims_goes_back_as_released(client):
    await client.put_all([NewJob("q", b"1", max_attempts=1)])
    (held,) = await client.lease(lease_ms=1_500)
    client.clock.advance(60_000)
    await away(client)
    await client.do(ExpireLeases(10))
    assert (await client.job(held.job.id)).state == "leased"
    client.clock.advance(LEASE_GRACE_MS)
    with pytest.raises(LeaseLost):
        await client.do(FailLease(held.job.ref(), "late"))
    await client.do(ExpireLeases(10))
    job = await client.job(held.job.id)
    assert (job.state, job.crashes, job.failures) == ("ready", 0, 0)
    assert [one.job.attempt for one in await client.lease()] == [2]


async def test_a_lease_that_lasts_longer_than_the_grace_is_left_as_it_is(client):
    await client.put_all([NewJob("q", b"1")])
    (held,) = await client.lease(lease_ms=600_000)
    await away(client)
    await client.do(ExpireLeases(10))
    assert (await client.job(held.job.id)).lease.until == held.job.lease.until


async def test_while_somebody_serves_a_lease_that_ends_is_a_crash(client):
    await client.put_all([NewJob("q", b"1")])
    (held,) = await client.lease(lease_ms=1_500)
    client.clock.advance(60_000)
    await client.do(ExpireLeases(10))
    assert (await client.job(held.job.id)).crashes == 1


async def test_after_a_clock_that_was_ahead_nothing_lies_further_ahead_than_it_may(client):
    await client.put_all([NewJob("q", b"1"), NewJob("q", b"2"), NewJob("q", b"3", run_at=client.now + 3 * YEARS)])
    held, failed = await client.lease(limit=2, lease_ms=LEASE_MS_MAX)
    began = client.now
    client.clock.advance(YEARS)
    await client.do(SetSchedule("every", ScheduleSpec(NewJob("q", b"1"), interval_ms=60_000), False))
    await client.do(SetSchedule("cron", ScheduleSpec(NewJob("q", b"1"), cron="* * * * *"), False))
    client.clock._now = began - YEARS  # it is set right, which only a restart can follow
    await away(client)
    await client.do(ExpireLeases(10))
    assert (await client.job(held.job.id)).lease.until == client.now + LEASE_MS_MAX
    assert (await client.job(failed.job.id)).lease.until == client.now + LEASE_MS_MAX
    page = await client.ask(ListSchedules(10))
    assert [0 < schedule.next_at - client.now <= 60_000 for schedule in page.schedules] == [True, True]
    assert [schedule.try_at == schedule.next_at for schedule in page.schedules] == [True, True]
    assert (await client.job(3)).ready_at == began + 3 * YEARS, "an instant that somebody asked for is kept"


async def test_a_delay_that_was_given_while_the_clock_was_ahead_is_cut_to_its_bound(client):
    await client.put_all([NewJob("q", b"1")])
    client.clock.advance(2 * YEARS)
    (held,) = await client.lease()
    await client.do(FailLease(held.job.ref(), "no", True, 5_000))
    client.clock._now -= 2 * YEARS
    await away(client)
    await client.do(ExpireLeases(10))
    assert (await client.job(held.job.id)).ready_at == client.now + DELAY_MS_MAX


async def ended_in_every_way(client):
    """Five jobs, of which one was put with a key."""
    key = IdempotencyKey("q", "once", b"d")
    await client.put_all([NewJob("q", b"1")], key)
    await client.put_all([NewJob("q", b"%d" % n) for n in range(2, 6)])
    one, two, three = await client.lease(limit=3)
    await client.do(ConcludeLease(one.job.ref()))
    await client.do(ConcludeLease(two.job.ref()))
    await client.do(FailLease(three.job.ref(), "no", retry=False))
    for job_id in (4, 5):
        await client.do(CancelJob(job_id))
    return key


async def test_after_a_clock_that_was_ahead_history_is_forgotten_in_its_time(client, monkeypatch):
    monkeypatch.setattr(outage, "_CHUNK", 1)
    client.clock.advance(YEARS)
    key = await ended_in_every_way(client)
    client.clock._now -= YEARS
    await away(client)
    await client.do(ExpireLeases(10))
    assert [(await client.job(job_id)).ended_at for job_id in range(1, 6)] == [client.now] * 5
    client.clock.advance(IDEMPOTENCY_MS - 1)
    assert (await client.do(Enqueue([NewJob("q", b"1")], key))).duplicate, "the key counts for its whole time"
    client.clock.advance(YEARS // 2)
    for _ in range(2):  # the jobs, and then the answer that told of one
        await client.do(ForgetHistory(100))
    assert [job.id for job in await client.walk()] == [3], "the dead one is kept until somebody decides"
    assert not (await client.do(Enqueue([NewJob("q", b"1")], key))).duplicate


@pytest.mark.parametrize("behind", [True, False])
async def test_history_that_is_ahead_by_less_than_a_day_or_of_a_clock_that_is_not_set_keeps_its_dates(client, behind):
    if not behind:
        client.clock.advance(HISTORY_AHEAD_MS)
    await ended_in_every_way(client)
    ended_at = client.now
    client.clock._now = CLOCK_SET_FROM - 1 if behind else ended_at - HISTORY_AHEAD_MS
    await away(client)
    await client.do(ExpireLeases(10))
    assert [(await client.job(job_id)).ended_at for job_id in range(1, 6)] == [ended_at] * 5
