"""What one answer brings is bounded in bytes: pages of listings and grants of leases, whatever their payloads are; nothing is lost or passed over for it."""

import pytest

from holdfast.errors import HoldfastError
from holdfast.job.job import NewJob
from holdfast.job.schedule import Schedule, ScheduleSpec
from holdfast.limits import BATCH_BYTES, FAN_OUT_BYTES, GRANT_BYTES, PAGE_BYTES
from holdfast.messages.answers import Granted
from holdfast.messages.commands import Enqueue, LeaseJobs, RegisterWorker
from holdfast.messages.queries import ListJobs, ListSchedules

MIB = 1 << 20


def size_of(jobs):
    return sum(len(job.content.payload) for job in jobs)


async def put_large(client, count, queue="q", size=3 * MIB, **options):
    return [await client.put(queue, bytes([number % 256]) * size, **options) for number in range(count)]


@pytest.mark.parametrize("queue", ["q", None])
async def test_a_page_ends_before_it_is_too_large_and_the_walk_finds_every_job_once(client, queue):
    put = [
        *await put_large(client, 9),
        *await put_large(client, 3, delay_ms=10_000),
        *await put_large(client, 2, "other"),
        await client.put(),
    ]
    await client.lease(limit=2)
    found, cursor = [], None
    while True:
        page = await client.ask(ListJobs(1_000, queue=queue, cursor=cursor))
        assert page.jobs, "a page has at least one job"
        assert size_of(page.jobs) <= PAGE_BYTES
        found += [detail.job.id for detail in page.jobs]
        if page.cursor is None:
            break
        cursor = page.cursor
    assert sorted(found) == sorted(receipt.id for receipt in put if queue in (None, receipt.queue))
    assert len(found) == len(set(found))


async def test_a_page_of_jobs_that_are_larger_than_it_may_be_has_one(client):
    await put_large(client, 3, size=PAGE_BYTES + 1)
    page = await client.ask(ListJobs(10, queue="q"))
    assert (len(page.jobs), page.cursor is not None) == (1, True)
    assert len(await client.walk(queue="q", limit=10)) == 3


async def test_a_listing_without_payloads_is_as_long_as_asked_for(client):
    await put_large(client, 9)
    page = await client.ask(ListJobs(1_000, queue="q", payload_up_to=10))
    assert (len(page.jobs), page.cursor) == (9, None)


async def test_a_page_of_schedules_ends_too(client):
    async with client.store.transaction() as tx:
        for number in range(8):
            spec = ScheduleSpec(NewJob("q", b'"%b"' % (b"x" * 3 * MIB)), interval_ms=60_000)
            await tx.save_schedule(Schedule(f"s{number}", spec, False, client.now, client.now, client.now))
        await tx.commit()
    names, after = [], ""
    while after is not None:
        page = await client.store.read(ListSchedules(100, after), client.now)
        assert page.schedules
        assert sum(len(one.spec.job.payload) for one in page.schedules) <= PAGE_BYTES * 4 // 3 + 4 * MIB
        names += [one.name for one in page.schedules]
        after = page.after
    assert names == [f"s{number}" for number in range(8)]


async def test_a_grant_ends_before_it_is_too_large_and_says_so(client):
    put = await put_large(client, 9)
    first = await client.do(LeaseJobs(("q",), 1_000, "w"))
    assert first.cut
    assert 0 < size_of(first.jobs) <= GRANT_BYTES
    second = await client.do(LeaseJobs(("q",), 1_000, "w"))
    assert not second.cut
    assert [job.job.id for job in [*first.jobs, *second.jobs]] == [receipt.id for receipt in put]
    assert [job.content.payload[:1] for job in [*first.jobs, *second.jobs]] == [bytes([number]) for number in range(9)]


@pytest.mark.parametrize("most", [1, MIB, 7 * MIB])
async def test_a_grant_has_at_least_one_job_and_no_more_bytes_than_were_asked_for(client, most):
    await put_large(client, 4)
    granted = await client.do(LeaseJobs(("q",), 10, "w", most_bytes=most))
    assert len(granted.jobs) == max(1, most // (3 * MIB))
    assert granted.cut


async def test_one_that_fits_does_not_pass_one_that_does_not(client):
    """The order of a line holds: a grant ends where the next job would be too much, also when a small one stands behind it."""
    await put_large(client, 2, size=9 * MIB)
    await client.put()
    granted = await client.do(LeaseJobs(("q",), 10, "w"))
    assert [job.job.id for job in granted.jobs] == [1]


@pytest.mark.parametrize("by_priority", [False, True])
async def test_grants_of_one_transaction_are_bounded_together_and_nobody_is_told_that_there_is_nothing(client, by_priority):
    names = ("a", "b", "c")
    for name in names:
        await put_large(client, 8, name)
    commands = [LeaseJobs(names, 3, f"w{number}", by_priority=by_priority) for number in range(6)]
    futures = [client.backend.submit(command) for command in commands]
    granted = [await future for future in futures]
    assert all(isinstance(one, Granted) and (len(one.jobs) == 3 or (one.jobs and one.cut)) for one in granted)
    ids = [job.job.id for one in granted for job in one.jobs]
    assert len(set(ids)) == len(ids) > BATCH_BYTES // (3 * MIB), "they did not fit into one transaction"
    assert 6 * 3 * 3 * MIB > BATCH_BYTES
    for one in granted:
        for job in one.jobs:
            assert len(job.content.payload) == 3 * MIB


async def test_the_same_request_again_gets_the_same_jobs_whole(client):
    await put_large(client, 6, size=5 * MIB)
    command = LeaseJobs(("q",), 10, "w", request="again")
    first = await client.do(command)
    futures = [client.backend.submit(command) for _ in range(5)]
    for future in futures:
        again = await future
        assert [job.job.id for job in again.jobs] == [job.job.id for job in first.jobs]
        assert size_of(again.jobs) == size_of(first.jobs)


async def test_a_worker_s_own_line_is_cut_too(client, new):
    await client.do(RegisterWorker("w", "host", ("q",)))
    for number in range(7):
        await client.do(Enqueue([new("q", bytes([number]) * 3 * MIB)], to_workers=True))
    granted = await client.do(LeaseJobs(("q",), 100, "w"))
    assert size_of(granted.jobs) <= GRANT_BYTES
    assert granted.cut
    rest = await client.do(LeaseJobs(("q",), 100, "w"))
    assert len(granted.jobs) + len(rest.jobs) == 7
    assert all(len(job.content.payload) == 3 * MIB for job in [*granted.jobs, *rest.jobs])


async def test_copies_for_all_workers_are_bounded_in_bytes(client, new):
    for number in range(5):
        await client.do(RegisterWorker(f"w{number}", "host", ("q",)))
    with pytest.raises(HoldfastError) as refused:
        await client.do(Enqueue([new("q", b"x" * (8 * MIB))], to_workers=True))
    assert str(FAN_OUT_BYTES) in refused.value.detail
    assert await client.walk() == []
