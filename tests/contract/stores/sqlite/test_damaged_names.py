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
from tests.contract.stores.conformance.conftest import StoreClient, new

DAY_MS = 86_400_000


@pytest.fixture
async def client(tmp_path):
    client = StoreClient(SqliteStore(tmp_path / "jobs.db", QueuePolicy()))
    yield client
    await client.close()
    assert maintenance.check(tmp_path / "jobs.db") == []


def damage(client, table, column, name):
    """Through the store's own connection, because another one in this process would take its locks away."""
    writer = client.store._writer
    writer.execute(f"UPDATE {table} SET {column} = CAST(x'fffe80' AS TEXT) WHERE {column} = ?", (name,))
    assert writer.changes() == 1


async def every(client, *names):
    for name in names:
        await client.do(SetSchedule(name, ScheduleSpec(NewJob(name, b"1"), interval_ms=60_000), False))


async def schedules(client):
    return [schedule.name for schedule in (await client.ask(ListSchedules(10))).schedules]


async def test_a_schedule_that_is_due_fires_on_under_another_name_beside_the_others(client):
    told = FOUND.counts.get("schedule", 0)
    await every(client, "a", "sick", "z")
    damage(client, "schedule", "name", "sick")
    for fires in (1, 2):
        client.clock.advance(60_000)
        await client.do(FireSchedules(10))
        assert [(await client.tally(name)).ready for name in ("a", "sick", "z")] == [fires] * 3
    first, recovered, last = await schedules(client)
    assert (first, recovered[:10], last) == ("a", "recovered-", "z")
    assert FOUND.counts["schedule"] == told + 1
    assert any(recovered in sentence for sentence in (await client.ask(GetHealth())).set_aside)
    await client.do(DeleteSchedule(recovered))
    assert await schedules(client) == ["a", "z"]


@pytest.mark.parametrize("paused", [False, True])
async def test_a_schedule_that_is_only_looked_at_gets_another_name_within_a_tick(client, paused):
    await every(client, "a", "sick")
    await client.do(PauseSchedule("sick", paused))
    damage(client, "schedule", "name", "sick")
    assert (await schedules(client))[0] == "a"
    await client.store.tend()
    _, recovered = await schedules(client)
    assert recovered.startswith("recovered-")
    await client.do(DeleteSchedule(recovered))
    assert await schedules(client) == ["a"]


async def test_names_are_looked_at_when_a_read_met_one_and_no_more_often_than_once_a_minute(client, monkeypatch):
    await every(client, "a", "b")
    for name in ("a", "b"):
        damage(client, "schedule", "name", name)
        await schedules(client)
        await client.store.tend()
    assert sorted(name[:9] for name in await schedules(client)) == ["recovered", "\ufffd" * 3]
    monkeypatch.setattr(store, "NAMES_LOOK_S", 0.0)
    await client.store.tend()
    assert {name[:9] for name in await schedules(client)} == {"recovered"}


async def test_a_queue_that_is_in_use_keeps_its_name(client):
    await client.put("q", unique_key="once")
    await client.do(SetInterest("q", "*"))
    damage(client, "queue", "name", "q")
    await client.do(ForgetHistory(10))
    (granted,) = await client.lease("q")
    assert granted.job.queue == "q"
    assert [info.name for info in (await client.ask(ListQueues(10))).queues] == ["q"]
    assert (await client.ask(GetInterests())).interests == {"q": "*"}
    await client.count_again()


@pytest.mark.parametrize("empty", [True, False])
async def test_a_queue_that_nobody_remembers_gets_another_name_and_can_be_removed(client, empty):
    await client.do(SetQueue("q", QueueSettings(), whole=True))
    await client.put("well")
    if not empty:
        await client.put("q")
    damage(client, "queue", "name", "q")
    client.store._cache.forget()
    await client.do(ForgetHistory(10))
    await client.put("q")
    names = [info.name for info in (await client.ask(ListQueues(10))).queues]
    assert [name.partition("-")[0] for name in names] == ["q", "recovered", "well"]
    assert (await client.tally(names[1])).ready == (0 if empty else 1)
    await client.do(PurgeQueue(names[1], ("ready",), 0, 10))
    await client.do(DeleteQueue(names[1]))
    await client.count_again()
    assert [(await client.ask(GetQueue(name))).tally.ready for name in ("q", "well")] == [1, 1]


@pytest.mark.parametrize("reaped", [True, False])
async def test_a_worker_gets_another_id_and_is_removed_by_its_silence_or_by_hand(client, reaped):
    for worker in ("sick", "well"):
        await client.do(RegisterWorker(worker, worker, ("q",)))
    await client.put("q", worker="sick")
    damage(client, "worker", "id", "sick")
    await client.ask(ListWorkers())
    await client.store.tend()
    workers = (await client.ask(ListWorkers())).workers
    recovered = next(info.worker.id for info in workers if info.worker.name == "sick")
    assert recovered.startswith("recovered-")
    if reaped:
        for _ in range(2):  # the first sees them for the first time
            await client.do(ReapWorkers(DAY_MS // 2))
            client.clock.advance(DAY_MS)
        await client.do(ReapWorkers(DAY_MS // 2))
    else:
        await client.do(RemoveWorkers(recovered))
        await client.do(RemoveWorkers("well"))
    assert (await client.ask(ListWorkers())).workers == []
    assert (await client.do(BuryOrphans(10))).count == 1
    await client.do(RegisterWorker("sick", "sick", ("q",)))


@pytest.mark.parametrize("column", ["scope", "key"])
async def test_a_kept_answer_is_forgotten_in_its_time_with_those_before_and_behind_it(client, column):
    for key in ("a", "sick", "z"):
        (put,) = await client.put_all([new()], IdempotencyKey(key, key, b"d"))
        await client.lease()
        client.store._writer.execute("DELETE FROM job WHERE id = ?", (put.id,))
        client.store._writer.execute("DELETE FROM leased WHERE job = ?", (put.id,))
    damage(client, "kept_answer", column, "sick")
    client.clock.advance(2 * DAY_MS)
    for _ in range(3):
        await client.do(ForgetHistory(1))
    assert client.store._writer.execute("SELECT count(*) FROM kept_answer").get == 0
    client.store._writer.execute("UPDATE queue SET leased = 0, bytes = 0")
    client.store._cache.forget()


async def test_a_walk_over_names_that_are_no_text_comes_to_its_end(client):
    await every(client, "a", "b", "c", "d")
    writer = client.store._writer
    for number, name in enumerate(["b", "c", "d"]):
        writer.execute(f"UPDATE schedule SET name = CAST(x'ff{number:02x}' AS TEXT) WHERE name = ?", (name,))
        await client.do(SetQueue(name, QueueSettings(), whole=True))
        writer.execute(f"UPDATE queue SET name = CAST(x'ff{number:02x}' AS TEXT) WHERE name = ?", (name,))
    for kind in (ListSchedules, ListQueues):
        after, pages = "", 0
        while after is not None and pages < 10:
            after, pages = (await client.ask(kind(1, after))).after, pages + 1
        assert pages < 10
    await client.store.tend()
    assert len(await schedules(client)) == 4
