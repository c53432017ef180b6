"""Schedules in the store: kept whole, found when they are due, and never half of anything."""

import pytest
from msgspec.structs import replace

from holdfast.job.job import Extras, NewJob
from holdfast.job.schedule import Missed, Schedule, ScheduleSpec
from holdfast.messages.queries import ListSchedules

NOW = 1_800_000_000_000
JOB = NewJob("q", b'{"a":1}', type="t", priority=3, extras=Extras(unique_key="u", tags=("red",)))
CRON = ScheduleSpec(JOB, cron="*/5 * * * *", timezone="Europe/Berlin", missed=Missed.ALL, overlap=False)


def schedule(name: str, at: int = 0, **changes) -> Schedule:
    spec = ScheduleSpec(NewJob("q", b"1"), interval_ms=60_000)
    return replace(Schedule(name, spec, False, NOW, NOW + at, NOW + at), **changes)


@pytest.fixture
def save(store):
    """Write schedules in one transaction."""

    async def write(*schedules):
        async with store.transaction() as tx:
            for one in schedules:
                await tx.save_schedule(one)
            await tx.commit()

    return write


async def due(tx, at, limit=10):
    return [one.name for one in await tx.schedules_due(NOW + at, limit)]


async def test_a_schedule_is_kept_whole(store, save):
    whole = schedule("nightly", spec=CRON, last_at=NOW - 5, last_jobs=(3, 4), last_error="full", fired=7, skipped=2)
    await save(whole)
    async with store.transaction() as tx:
        assert await tx.schedule("nightly") == whole
        assert await tx.schedule("other") is None
        assert await tx.schedules_due(NOW, 10) == [whole]
    assert (await store.read(ListSchedules(10), NOW)).schedules == [whole]


async def test_a_changed_schedule_takes_the_place_of_what_it_was(store, save):
    await save(schedule("s"))
    after = schedule("s", at=90, spec=CRON, fired=1)
    await save(after)
    async with store.transaction() as tx:
        assert (await tx.schedule("s"), await tx.schedule_count()) == (after, 1)
        assert await due(tx, 89) == []
        assert await due(tx, 90) == ["s"]


async def test_schedules_are_due_longest_first_in_bites_and_not_while_paused(store, save):
    await save(schedule("b", 20), schedule("a", 30), schedule("c", 10), schedule("p", 5, paused=True), schedule("z", 40))
    async with store.transaction() as tx:
        assert await due(tx, 9) == []
        assert await due(tx, 30) == ["c", "b", "a"]
        assert await due(tx, 30, limit=2) == ["c", "b"]
    await save(schedule("c", 50), schedule("p", 5))
    async with store.transaction() as tx:
        assert await due(tx, 30) == ["p", "b", "a"]


async def test_a_schedule_that_was_refused_is_due_when_it_is_to_be_tried_again(store, save):
    await save(schedule("s", 10, try_at=NOW + 500, last_error="The queue q is full."))
    async with store.transaction() as tx:
        assert await due(tx, 499) == []
        assert await due(tx, 500) == ["s"]


async def test_schedules_are_counted_paused_ones_too_and_those_of_this_transaction(store, save):
    await save(schedule("a"), schedule("b", paused=True))
    async with store.transaction() as tx:
        assert await tx.schedule_count() == 2
        await tx.save_schedule(schedule("c"))
        assert await tx.schedule_count() == 3
        assert (await tx.schedule("c")).name == "c"
        await tx.delete_schedule("a")
        assert await tx.schedule_count() == 2
        assert await due(tx, 0) == ["c"]


async def test_a_removed_schedule_is_gone_and_no_other(store, save):
    await save(schedule("a"), schedule("b"))
    async with store.transaction() as tx:
        await tx.delete_schedule("a")
        await tx.commit()
    async with store.transaction() as tx:
        assert await tx.schedule("a") is None
        assert await due(tx, 0) == ["b"]


async def test_a_fire_that_was_not_committed_leaves_the_schedule_where_it_was(store, save):
    await save(schedule("s"))
    async with store.transaction() as tx:
        (found,) = await tx.schedules_due(NOW, 10)
        await tx.save_schedule(replace(found, next_at=NOW + 60_000, try_at=NOW + 60_000, fired=1))
    async with store.transaction() as tx:
        assert await tx.schedules_due(NOW, 10) == [schedule("s")]


async def test_the_next_moment_is_that_of_the_first_schedule_that_is_not_paused(store, save):
    assert await store.next_due() is None
    await save(schedule("late", 70), schedule("soon", 30), schedule("paused", 10, paused=True))
    assert await store.next_due() == NOW + 30


async def test_schedules_are_listed_by_name_and_page_by_page(store, save):
    await save(*(schedule(name) for name in ("b", "B", "a", "_", "0")))
    names, after = [], ""
    while after is not None:
        page = await store.read(ListSchedules(2, after), NOW)
        names += [one.name for one in page.schedules]
        after = page.after
    assert names == sorted(["b", "B", "a", "_", "0"])


async def test_schedules_outlive_the_process(lasting_place, reopen):
    client = await reopen(lasting_place)
    async with client.store.transaction() as tx:
        await tx.save_schedule(schedule("s", spec=CRON))
        await tx.commit()
    await client.close()
    after = await reopen(lasting_place)
    async with after.store.transaction() as tx:
        assert await tx.schedule("s") == schedule("s", spec=CRON)
    await after.close()
