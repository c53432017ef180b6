"""A name that turns into bytes that are no text, under a server that runs: what bears it gets another name and can be removed, and its neighbours
go on as if nothing were.
"""

import pytest

from holdfast.job.job import IdempotencyKey, NewJob
from holdfast.job.queue import QueuePolicy, QueueSettings
from holdfast.job.schedule import ScheduleSpec
from holdfast.messages.commands import (
    DeleteQueue,
    DeleteSchedule,
    PauseSchedule,
    PurgeQueue,
    RegisterWorker,
    RemoveWorkers,
    SetInterest,
    SetQueue,
    SetSchedule,
)
from holdfast.messages.queries import GetHealth, GetInterests, GetQueue, ListQueues, ListSchedules, ListWorkers
from holdfast.messages.time_commands import BuryOrphans, FireSchedules, ForgetHistory, ReapWorkers
from holdfast.stores.sqlite import maintenance, store
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.stores.unreadable import FOUND
from tests.contract.stores.conformance.conftest import Desk, new

DAY_MS = 86_400_000


@pytest.fixture
async def desk(tmp_path):
    desk = Desk(SqliteStore(tmp_path / "jobs.db", QueuePolicy()))
    yield desk
    await desk.close()
    assert maintenance.check(tmp_path / "jobs.db") == []


def damage(desk, table, column, name):
    """Through the store's own connection, because another one in this process would take its locks away."""
    writer = desk.store._writer
    writer.execute(f"UPDATE {table} SET {column} = CAST(x'fffe80' AS TEXT) WHERE {column} = ?", (name,))
    assert writer.changes() == 1


async def every(desk, *names):
    for name in names:
        await desk.do(SetSchedule(name, ScheduleSpec(NewJob(name, b"1"), interval_ms=60_000), False))


async def schedules(desk):
    return [schedule.name for schedule in (await desk.ask(ListSchedules(10))).schedules]


async def test_a_schedule_that_is_due_fires_on_under_another_name_beside_the_others(desk):
    told = FOUND.counts.get("schedule", 0)
    await every(desk, "a", "sick", "z")
    damage(desk, "schedule", "name", "sick")
    for fires in (1, 2):
        desk.clock.advance(60_000)
        await desk.do(FireSchedules(10))
        assert [(await desk.tally(name)).ready for name in ("a", "sick", "z")] == [fires] * 3
    first, recovered, last = await schedules(desk)
    assert (first, recovered[:10], last) == ("a", "recovered-", "z")
    assert FOUND.counts["schedule"] == told + 1
    assert any(recovered in sentence for sentence in (await desk.ask(GetHealth())).set_aside)
    await desk.do(DeleteSchedule(recovered))
    assert await schedules(desk) == ["a", "z"]


@pytest.mark.parametrize("paused", [False, True])
async def test_a_schedule_that_is_only_looked_at_gets_another_name_within_a_tick(desk, paused):
    await every(desk, "a", "sick")
    await desk.do(PauseSchedule("sick", paused))
    damage(desk, "schedule", "name", "sick")
    assert (await schedules(desk))[0] == "a"
    await desk.store.tend()
    _, recovered = await schedules(desk)
    assert recovered.startswith("recovered-")
    await desk.do(DeleteSchedule(recovered))
    assert await schedules(desk) == ["a"]


async def test_names_are_looked_at_when_a_read_met_one_and_no_more_often_than_once_a_minute(desk, monkeypatch):
    await every(desk, "a", "b")
    for name in ("a", "b"):
        damage(desk, "schedule", "name", name)
        await schedules(desk)
        await desk.store.tend()
    assert sorted(name[:9] for name in await schedules(desk)) == ["recovered", "\ufffd" * 3]
    monkeypatch.setattr(store, "NAMES_LOOK_S", 0.0)
    await desk.store.tend()
    assert {name[:9] for name in await schedules(desk)} == {"recovered"}


async def test_a_queue_that_is_in_use_keeps_its_name(desk):
    await desk.put("q", unique_key="once")
    await desk.do(SetInterest("q", "*"))
    damage(desk, "queue", "name", "q")
    await desk.do(ForgetHistory(10))
    (granted,) = await desk.lease("q")
    assert granted.job.queue == "q"
    assert [info.name for info in (await desk.ask(ListQueues(10))).queues] == ["q"]
    assert (await desk.ask(GetInterests())).interests == {"q": "*"}
    await desk.count_again()


@pytest.mark.parametrize("empty", [True, False])
async def test_a_queue_that_nobody_remembers_gets_another_name_and_can_be_removed(desk, empty):
    await desk.do(SetQueue("q", QueueSettings(), whole=True))
    await desk.put("well")
    if not empty:
        await desk.put("q")
    damage(desk, "queue", "name", "q")
    desk.store._cache.forget()
    await desk.do(ForgetHistory(10))
    await desk.put("q")
    names = [info.name for info in (await desk.ask(ListQueues(10))).queues]
    assert [name.partition("-")[0] for name in names] == ["q", "recovered", "well"]
    assert (await desk.tally(names[1])).ready == (0 if empty else 1)
    await desk.do(PurgeQueue(names[1], ("ready",), 0, 10))
    await desk.do(DeleteQueue(names[1]))
    await desk.count_again()
    assert [(await desk.ask(GetQueue(name))).tally.ready for name in ("q", "well")] == [1, 1]


@pytest.mark.parametrize("reaped", [True, False])
async def test_a_worker_gets_another_id_and_is_removed_by_its_silence_or_by_hand(desk, reaped):
    for worker in ("sick", "well"):
        await desk.do(RegisterWorker(worker, worker, ("q",)))
    await desk.put("q", worker="sick")
    damage(desk, "worker", "id", "sick")
    await desk.ask(ListWorkers())
    await desk.store.tend()
    workers = (await desk.ask(ListWorkers())).workers
    recovered = next(info.worker.id for info in workers if info.worker.name == "sick")
    assert recovered.startswith("recovered-")
    if reaped:
        for _ in range(2):  # the first sees them for the first time
            await desk.do(ReapWorkers(DAY_MS // 2))
            desk.clock.advance(DAY_MS)
        await desk.do(ReapWorkers(DAY_MS // 2))
    else:
        await desk.do(RemoveWorkers(recovered))
        await desk.do(RemoveWorkers("well"))
    assert (await desk.ask(ListWorkers())).workers == []
    assert (await desk.do(BuryOrphans(10))).count == 1
    await desk.do(RegisterWorker("sick", "sick", ("q",)))


@pytest.mark.parametrize("column", ["scope", "key"])
async def test_a_kept_answer_is_forgotten_in_its_time_with_those_before_and_behind_it(desk, column):
    for key in ("a", "sick", "z"):
        (put,) = await desk.put_all([new()], IdempotencyKey(key, key, b"d"))
        await desk.lease()
        desk.store._writer.execute("DELETE FROM job WHERE id = ?", (put.id,))
        desk.store._writer.execute("DELETE FROM leased WHERE job = ?", (put.id,))
    damage(desk, "kept_answer", column, "sick")
    desk.clock.advance(2 * DAY_MS)
    for _ in range(3):
        await desk.do(ForgetHistory(1))
    assert desk.store._writer.execute("SELECT count(*) FROM kept_answer").get == 0
    desk.store._writer.execute("UPDATE queue SET leased = 0, bytes = 0")
    desk.store._cache.forget()


async def test_a_walk_over_names_that_are_no_text_comes_to_its_end(desk):
    await every(desk, "a", "b", "c", "d")
    writer = desk.store._writer
    for number, name in enumerate(["b", "c", "d"]):
        writer.execute(f"UPDATE schedule SET name = CAST(x'ff{number:02x}' AS TEXT) WHERE name = ?", (name,))
        await desk.do(SetQueue(name, QueueSettings(), whole=True))
        writer.execute(f"UPDATE queue SET name = CAST(x'ff{number:02x}' AS TEXT) WHERE name = ?", (name,))
    for kind in (ListSchedules, ListQueues):
        after, pages = "", 0
        while after is not None and pages < 10:
            after, pages = (await desk.ask(kind(1, after))).after, pages + 1
        assert pages < 10
    await desk.store.tend()
    assert len(await schedules(desk)) == 4
