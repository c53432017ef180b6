"""One bad schedule stops neither the others nor the start: it is set aside with its reason, and mended or removed by the ordinary verbs."""

import apsw
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from holdfast.clock import SystemClock
from holdfast.committer import schedules
from holdfast.committer.local_backend import LocalBackend
from holdfast.engine.engine import Engine
from holdfast.errors import InvalidRequest
from holdfast.job import cron
from holdfast.job.job import NewJob
from holdfast.job.queue import QueuePolicy, QueueSettings
from holdfast.job.schedule import Missed, ScheduleSpec
from holdfast.limits import MISSED_FIRES, SCHEDULE_JOBS, SCHEDULE_RETRY_MAX_MS
from holdfast.messages.time_commands import FireSchedules
from holdfast.routing.interests import Interests
from holdfast.stores import formats
from holdfast.stores.sqlite import copies, maintenance
from holdfast.stores.sqlite.store import SqliteStore

MINUTE = 60_000
DAY = 24 * 60 * MINUTE


def spec(queue="q", **options) -> ScheduleSpec:
    return ScheduleSpec(NewJob(queue, b'{"a":1}'), **({"interval_ms": MINUTE} | options))


async def waiting(engine, queue="q") -> int:
    return (await engine.reading.queue(queue)).tally.ready


async def fire(backend, times=1):
    for _ in range(times):
        await backend.submit(FireSchedules(50))


def forget_zones(monkeypatch, *gone):
    """This machine has lost these zones, as after a move to one with other data of zones."""
    zone_info = cron.ZoneInfo

    def lost(name):
        if name in gone:
            raise LookupError(f"No time zone found with key {name}")
        return zone_info(name)

    monkeypatch.setattr(cron, "ZoneInfo", lost)
    cron._zone.cache_clear()


def spoil(store, name, state):
    store._writer.execute("UPDATE schedule SET state = ? WHERE name = ?", (state, name))


@pytest.fixture
async def store():
    return SqliteStore(None, QueuePolicy())


@pytest.fixture
async def backend(start, store):
    return start(store)


SPOILED = {
    "never again": {"cron": "0 0 31 2 *"},
    "no cron": {"cron": "a b c d e"},
    "neither": {"cron": None},
}
ROWS = {
    "not to be read": b"\xc1 is no JSON",
    "of another shape": b'["bad", {"no": "spec"}]',
    "of other names": b'{"no": "spec"}',
    "empty": b"",
}


async def spoiled(how, engine, store, monkeypatch):
    """A schedule `bad` that is due before its neighbours and can't fire, each time for another reason."""
    await engine.schedules.set("bad", spec(interval_ms=None, cron="* * * * *", timezone="Europe/Vienna"), False)
    kept = await engine.reading.schedule("bad")
    if how in SPOILED:
        spoil(store, "bad", formats.schedule_json(replace(kept, spec=replace(kept.spec, **SPOILED[how]))))
    elif how in ROWS:
        spoil(store, "bad", ROWS[how])
    elif how == "zone":
        forget_zones(monkeypatch, "Europe/Vienna")
    elif how == "matching":
        await engine.schedules.set("bad", spec(publish=True, queue="-"), False)
        monkeypatch.setattr(Interests, "queues_for", lambda *_: 1 / 0)
    else:
        put = schedules.enqueue.put

        async def broken(batch, jobs, ending=None):
            if jobs and jobs[0].type == "broken":
                raise RuntimeError("halfway")
            return await put(batch, jobs, ending)

        monkeypatch.setattr(schedules.enqueue, "put", broken)
        await engine.schedules.set("bad", ScheduleSpec(NewJob("q", b"1", type="broken"), interval_ms=MINUTE), False)


HOWS = ["zone", "matching", "a defect", *SPOILED, *ROWS]


@pytest.mark.parametrize("how", HOWS)
async def test_whatever_is_wrong_with_one_its_neighbours_fire_and_it_says_why(how, engine, backend, store, clock, monkeypatch):
    await spoiled(how, engine, store, monkeypatch)
    for number in range(3):
        await engine.schedules.set(f"good{number}", spec(), False)
    with capture_logs() as logs:
        for minute in range(1, 6):
            clock.advance(MINUTE)
            await backend.pass_time()
            assert await waiting(engine) == 3 * minute
    bad = await engine.reading.schedule("bad")
    assert bad.aside
    assert bad.last_error
    lines = [line for line in logs if line.get("schedule") == "bad" or line["log_level"] == "error"]
    assert 1 <= len(lines) <= 3, "told once, however often it was tried"


@pytest.mark.parametrize("how", [how for how in HOWS if how != "a defect"])
async def test_it_is_mended_by_setting_it_anew_and_goes_by_being_removed(how, engine, backend, store, clock, monkeypatch):
    await spoiled(how, engine, store, monkeypatch)
    clock.advance(MINUTE)
    await backend.pass_time()
    page = await engine.reading.schedules(10, "")
    assert [(schedule.name, schedule.aside) for schedule in page.schedules] == [("bad", True)]
    monkeypatch.undo()
    await engine.schedules.set("bad", spec(), False)
    mended = await engine.reading.schedule("bad")
    assert (mended.aside, mended.last_error) == (False, None)
    clock.advance(MINUTE)
    await backend.pass_time()
    assert await waiting(engine) >= 1
    await spoiled(how, engine, store, monkeypatch)
    await engine.schedules.delete("bad")
    assert (await engine.reading.schedules(10, "")).schedules == []


async def test_a_row_that_cannot_be_read_is_not_written_over_by_pause_or_run(engine, backend, store):
    await engine.schedules.set("bad", spec(), False)
    spoil(store, "bad", b"?")
    for verb in (engine.schedules.pause("bad", True), engine.schedules.run("bad")):
        with pytest.raises(InvalidRequest, match="can't be read"):
            await verb
    assert store._writer.execute("SELECT state FROM schedule").get == b"?"


async def test_a_schedule_that_was_set_aside_goes_on_by_itself_when_its_reason_is_gone(engine, backend, clock, monkeypatch):
    await engine.schedules.set("s", spec(interval_ms=None, cron="* * * * *", timezone="Asia/Tokyo"), False)
    forget_zones(monkeypatch, "Asia/Tokyo")
    pauses = []
    for _ in range(10):
        clock.advance(SCHEDULE_RETRY_MAX_MS)
        await backend.pass_time()
        pauses.append((await engine.reading.schedule("s")).try_at - clock.now())
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1] == SCHEDULE_RETRY_MAX_MS
    monkeypatch.undo()
    cron._zone.cache_clear()
    clock.advance(SCHEDULE_RETRY_MAX_MS)
    await backend.pass_time()
    schedule = await engine.reading.schedule("s")
    assert (schedule.aside, schedule.last_error) == (False, None)
    assert schedule.fired >= 1
    assert schedule.next_at > clock.now()


async def test_a_server_over_a_store_with_bad_schedules_starts_and_counts_them(start, clock, tmp_path):
    first = LocalBackend(SqliteStore(tmp_path / "jobs.db", QueuePolicy()), clock)
    first.start()
    for name in ("a", "b", "good"):
        await Engine(first).schedules.set(name, spec(), False)
    await first.stop()
    writer = apsw.Connection(str(tmp_path / "jobs.db"))
    writer.execute("UPDATE schedule SET state = x'c1' WHERE name < 'good'")
    writer.close()
    assert sum("schedules can fire: " in problem for problem in maintenance.check(tmp_path / "jobs.db")) == 2
    copies.backup(tmp_path / "jobs.db", tmp_path / "copy.db")
    second = start(SqliteStore(tmp_path / "jobs.db", QueuePolicy()))
    engine = Engine(second)
    clock.advance(MINUTE)
    await second.pass_time()
    await second._look()
    assert await waiting(engine) == 1
    assert (await engine.reading.stats_of_store()).schedules_aside == 2


# Catching up ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missed", list(Missed))
@pytest.mark.parametrize("away", [365 * DAY, 56 * 365 * DAY])
async def test_a_schedule_that_was_paused_for_years_catches_up_without_counting_minutes(engine, backend, clock, missed, away):
    await engine.schedules.set("s", spec(interval_ms=None, cron="* * * * *", timezone="Europe/Vienna", missed=missed), True)
    first = (await engine.reading.schedule("s")).next_at
    clock.advance(away)
    await engine.schedules.pause("s", False)
    await backend.pass_time()
    schedule = await engine.reading.schedule("s")
    due = (clock.now() - first) // MINUTE + 1
    assert schedule.fired + schedule.skipped == due, "the count is exact"
    assert schedule.fired <= MISSED_FIRES
    assert schedule.next_at == clock.now() // MINUTE * MINUTE + MINUTE
    if missed is Missed.ALL:
        assert (schedule.fired, schedule.last_at) == (MISSED_FIRES, clock.now() // MINUTE * MINUTE)


async def test_many_schedules_catch_up_in_bites_and_none_is_left_behind(engine, backend, clock):
    for number in range(60):
        await engine.schedules.set(f"s{number}", spec(missed=Missed.ALL), False)
    clock.advance(7 * DAY)
    put = [0]
    while put[-1] < 60 * MISSED_FIRES:
        await fire(backend)
        put.append(await waiting(engine))
        assert put[-1] - put[-2] <= SCHEDULE_JOBS + MISSED_FIRES
        assert put[-1] > put[-2], "it goes on"
    await backend.pass_time()
    assert await waiting(engine) == 60 * MISSED_FIRES
    for schedule in (await engine.reading.schedules(100, "")).schedules:
        assert (schedule.fired, schedule.skipped) == (MISSED_FIRES, 7 * 24 * 60 - MISSED_FIRES)
        assert schedule.next_at > clock.now()
        assert schedule.owed_at is None


async def test_one_whose_event_reaches_many_queues_goes_on_where_it_stopped(engine, backend, clock, monkeypatch):
    monkeypatch.setattr("holdfast.committer.schedules.SCHEDULE_JOBS", 10)
    for number in range(4):
        await engine.set_interest(f"x{number}", "*")
    await engine.schedules.set("s", spec(publish=True, queue="-", missed=Missed.ALL), False)
    clock.advance(20 * MINUTE)
    await fire(backend)
    schedule = await engine.reading.schedule("s")
    assert (await waiting(engine, "x0"), schedule.owed_at is None) == (3, False)
    assert schedule.next_at > clock.now()
    await backend.pass_time()
    assert [await waiting(engine, f"x{number}") for number in range(4)] == [20] * 4
    assert (await engine.reading.schedule("s")).skipped == 0


async def test_after_a_refused_fire_the_next_lies_ahead_and_the_refused_one_stays_due(engine, backend, clock):
    await engine.set_queue("q", QueueSettings(capacity_jobs=0), whole=True)
    await engine.schedules.set("s", spec(interval_ms=None, cron="* * * * *", missed=Missed.ALL), False)
    for _ in range(5):
        clock.advance(MINUTE)
        await backend.pass_time()
        schedule = await engine.reading.schedule("s")
        assert schedule.next_at > clock.now()
        assert "full" in schedule.last_error
    await engine.set_queue("q", QueueSettings(), whole=True)
    clock.advance(SCHEDULE_RETRY_MAX_MS)
    await backend.pass_time()
    schedule = await engine.reading.schedule("s")
    assert (await waiting(engine), schedule.fired, schedule.skipped, schedule.last_error) == (6, 6, 0, None)


@pytest.mark.parametrize("refuse", [False, True])
async def test_in_the_repeated_hour_an_appointment_is_kept_once_whatever_happens(start, clock, tmp_path, refuse):
    began = 1_792_888_200_000  # 2026-10-25T00:30Z: 02:30 in Vienna for the first time
    clock._now = began - 10 * MINUTE
    path = tmp_path / "jobs.db"
    backend = LocalBackend(SqliteStore(path, QueuePolicy()), clock)
    backend.start()
    await Engine(backend).schedules.set("night", spec(interval_ms=None, cron="30 2 * * *", timezone="Europe/Vienna"), False)
    if refuse:
        await Engine(backend).set_queue("q", QueueSettings(capacity_jobs=0), whole=True)
    for _ in range(12):
        clock.advance(20 * MINUTE)
        await backend.pass_time()
        schedule = await Engine(backend).reading.schedule("night")
        assert schedule.next_at > clock.now()
        await backend.stop()
        backend = LocalBackend(SqliteStore(path, QueuePolicy()), clock)
        backend.start()
    engine = Engine(backend)
    await engine.set_queue("q", QueueSettings(), whole=True)
    clock.advance(MINUTE)
    await backend.pass_time()
    schedule = await engine.reading.schedule("night")
    assert (await waiting(engine), schedule.fired, schedule.next_at) == (1, 1, began + DAY + 60 * MINUTE)
    await backend.stop()


async def test_a_tick_with_a_bad_schedule_does_not_run_in_circles(start):
    store = SqliteStore(None, QueuePolicy())
    backend = start(store, ticking=True, clock=SystemClock())
    engine = Engine(backend)
    await engine.schedules.set("bad", spec(), False)
    spoil(store, "bad", b"?")
    store._writer.execute("UPDATE schedule SET try_at = 0")
    await engine.schedules.set("good", spec(interval_ms=1_000), False)
    commits = backend.totals.commits
    assert len((await engine.lease(("q",), wait_ms=5_000)).jobs) == 1
    assert backend.totals.commits - commits < 50
