"""Schedules on a clock that is moved by hand: each fire makes exactly one job, whatever restarts, fills up or overlaps."""

import asyncio
from pathlib import Path

import pytest

from holdfast.clock import SystemClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.engine.engine import Engine
from holdfast.errors import InvalidRequest, ScheduleNotFound
from holdfast.job.job import Extras, NewJob
from holdfast.job.queue import QueuePolicy, QueueSettings
from holdfast.job.schedule import Missed, ScheduleSpec
from holdfast.messages.commands import ConcludeLease, RunSchedule, SetInterest
from holdfast.messages.queries import ListJobs
from holdfast.messages.time_commands import FireSchedules
from holdfast.stores.sqlite.store import SqliteStore

MINUTE = 60_000


def spec(**options) -> ScheduleSpec:
    return ScheduleSpec(NewJob(options.pop("queue", "q"), b'{"a":1}'), **{"interval_ms": MINUTE, **options})


async def fire(backend) -> None:
    await backend.submit(FireSchedules(50))


async def waiting(engine, queue="q") -> int:
    return (await engine.reading.queue(queue)).tally.ready


async def test_each_fire_puts_exactly_one_job_however_often_it_is_looked_at(engine, backend, clock):
    await engine.schedules.set("s", spec(), False)
    for minute in range(1, 4):
        clock.advance(MINUTE)
        for _ in range(3):
            await fire(backend)
        assert await waiting(engine) == minute
    schedule = await engine.reading.schedule("s")
    assert (schedule.fired, schedule.last_at, len(schedule.last_jobs)) == (3, clock.now(), 1)
    assert schedule.next_at == clock.now() + MINUTE


async def test_a_job_names_the_schedule_that_made_it_unless_it_has_that_name_already(engine, backend, clock):
    own = NewJob("own", b"1", extras=Extras(meta=(("schedule", "mine"),)))
    await engine.schedules.set("s", spec(), False)
    await engine.schedules.set("t", ScheduleSpec(own, interval_ms=MINUTE), False)
    await engine.schedules.run("s")
    clock.advance(MINUTE)
    await fire(backend)
    metas = [one.job.extras.meta for one in (await engine.reading.jobs(ListJobs(10))).jobs]
    assert sorted(metas) == [(("schedule", "mine"),), (("schedule", "s"),), (("schedule", "s"),)]


async def test_the_ticker_fires_a_schedule_without_being_asked(start):
    backend = start(ticking=True, clock=SystemClock())
    engine = Engine(backend)
    await engine.schedules.set("s", spec(interval_ms=1_000), False)
    assert len((await engine.lease(("q",), wait_ms=5_000)).jobs) == 1


async def test_a_restart_neither_repeats_nor_loses_a_fire(start, clock, tmp_path: Path):
    first = LocalBackend(SqliteStore(tmp_path / "jobs.db", QueuePolicy()), clock)
    first.start()
    await Engine(first).schedules.set("s", spec(), False)
    clock.advance(MINUTE)
    await fire(first)
    await first.stop()
    second = start(SqliteStore(tmp_path / "jobs.db", QueuePolicy()))
    engine = Engine(second)
    await fire(second)
    assert await waiting(engine) == 1
    clock.advance(MINUTE)
    await fire(second)
    assert await waiting(engine) == 2


@pytest.mark.parametrize(("missed", "jobs"), [(Missed.SKIP, 1), (Missed.ONE, 1), (Missed.ALL, 5)])
async def test_missed_fires_are_made_up_for_as_the_schedule_says(engine, backend, clock, missed, jobs):
    await engine.schedules.set("s", spec(interval_ms=2 * MINUTE, missed=missed), False)
    clock.advance(10 * MINUTE)
    await fire(backend)
    assert await waiting(engine) == jobs


async def test_a_fire_into_a_full_queue_stays_due_until_there_is_room(engine, backend, clock):
    await engine.set_queue("q", QueueSettings(capacity_jobs=0), whole=True)
    await engine.schedules.set("s", spec(), False)
    clock.advance(MINUTE)
    await fire(backend)
    assert "full" in (await engine.reading.schedule("s")).last_error
    await engine.set_queue("q", QueueSettings(), whole=True)
    clock.advance(1_000)
    await fire(backend)
    schedule = await engine.reading.schedule("s")
    assert (await waiting(engine), schedule.last_error, schedule.fired) == (1, None, 1)


async def test_without_overlap_a_fire_is_left_out_while_the_job_before_is_not_finished(engine, backend, clock):
    await engine.schedules.set("s", spec(overlap=False), False)
    clock.advance(MINUTE)
    await fire(backend)
    job = (await engine.lease(("q",), lease_ms=10 * MINUTE)).jobs[0].job
    clock.advance(MINUTE)
    await fire(backend)
    assert await waiting(engine) == 0
    assert (await engine.reading.schedule("s")).skipped == 1
    await engine.end(ConcludeLease(job.ref()))
    clock.advance(MINUTE)
    await fire(backend)
    assert await waiting(engine) == 1


async def test_a_paused_schedule_does_not_fire_and_a_resumed_one_goes_on(engine, backend, clock):
    await engine.schedules.set("s", spec(missed=Missed.SKIP), True)
    clock.advance(5 * MINUTE + 30_000)
    await fire(backend)
    with pytest.raises(Exception, match="no queue"):
        await engine.reading.queue("q")
    await engine.schedules.pause("s", False)
    await fire(backend)
    assert await waiting(engine) == 1


async def test_a_published_schedule_reaches_the_queues_that_are_interested_when_it_fires(engine, backend, clock):
    await engine.schedules.set("s", spec(publish=True, queue="-"), False)
    await engine.set_interest("x", {"a": "1"})
    await engine.set_interest("y", {"a": "2"})
    clock.advance(MINUTE)
    await fire(backend)
    assert (await waiting(engine, "x"), await waiting(engine, "y")) == (1, 0)


async def test_each_fire_goes_by_the_interests_of_its_moment(engine, backend, clock):
    await engine.schedules.set("s", spec(publish=True, queue="-"), False)
    seen = []
    for match in ({"a": "1"}, {"a": "2"}, "*", None):
        await engine.set_interest("x", match)
        clock.advance(MINUTE)
        await fire(backend)
        clock.advance(MINUTE)
        await fire(backend)
        seen.append(await waiting(engine, "x"))
    assert seen == [2, 2, 4, 4]


async def test_a_run_goes_by_interests_that_were_changed_beside_it(engine, backend):
    await engine.schedules.set("s", spec(publish=True, queue="-"), False)
    await engine.set_interest("x", "*")
    changed, run = await asyncio.gather(backend.submit(SetInterest("y", "*")), backend.submit(RunSchedule("s")))
    assert (changed.count, [receipt.queue for receipt in run.jobs]) == (1, ["x", "y"])
    assert [receipt.queue for receipt in (await engine.schedules.run("s")).jobs] == ["x", "y"]


async def test_nothing_is_kept_of_the_event_of_a_schedule_that_is_deleted(engine, backend):
    for name in ("kept", "gone"):
        await engine.schedules.set(name, spec(publish=True, queue="-"), False)
        await engine.schedules.run(name)
    assert set(backend._routes._known) == {"kept", "gone"}
    await engine.schedules.delete("gone")
    assert set(backend._routes._known) == {"kept"}


async def test_run_now_puts_a_job_beside_the_fires(engine, clock):
    await engine.schedules.set("s", spec(), False)
    put = await engine.schedules.run("s")
    assert len(put.jobs) == 1
    assert (await engine.reading.schedule("s")).next_at == clock.now() + MINUTE


async def test_a_schedule_can_be_changed_listed_and_removed(engine):
    for name in ("b", "a", "c"):
        await engine.schedules.set(name, spec(), False)
    changed = await engine.schedules.set("a", spec(interval_ms=2 * MINUTE), False)
    assert changed.spec.interval_ms == 2 * MINUTE
    page = await engine.reading.schedules(2, "")
    assert ([schedule.name for schedule in page.schedules], page.after) == (["a", "b"], "b")
    await engine.schedules.delete("a")
    with pytest.raises(ScheduleNotFound):
        await engine.schedules.delete("a")
    with pytest.raises(InvalidRequest):
        await engine.schedules.set("no spaces", spec(), False)
