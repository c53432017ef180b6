"""Stores that are filled, then damaged, and what must hold in them all the same: what stands beside the damage is served as if nothing were, time passes,
and what was damaged can be removed by the ordinary verbs.
"""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from holdfast.errors import HoldfastError, InternalError
from holdfast.job.job import IdempotencyKey, State
from holdfast.job.queue import QueuePolicy, QueueSettings
from holdfast.job.schedule import ScheduleSpec
from holdfast.messages.audit import ListAudit, TrimAudit
from holdfast.messages.commands import (
    ConcludeLease,
    DeleteJob,
    DeleteSchedule,
    ExtendLease,
    FailLease,
    PurgeQueue,
    RegisterWorker,
    RemoveWorkers,
    RetryJob,
    SetInterest,
    SetQueue,
    SetSchedule,
)
from holdfast.messages.queries import (
    CountJobs,
    CountUrgent,
    ExplainJob,
    GetHealth,
    GetInterests,
    GetLoad,
    GetQueue,
    GetStats,
    ListJobs,
    ListQueues,
    ListSchedules,
    ListWorkers,
    OldestDead,
    OldestReady,
    RecentFailures,
)
from holdfast.messages.time_commands import BuryOrphans, ExpireLeases, FireSchedules, ForgetHistory, PromoteDue, ReapWorkers
from holdfast.stores.postgres.store import PostgresStore
from holdfast.stores.sqlite.store import SqliteStore
from tests.contract.stores.conformance.conftest import StoreClient, empty_database, new, postgres_server

SICK, WELL = "sick", "well"
DAY_MS = 86_400_000
NUMBERS = (-1, (1 << 31) - 1, (1 << 53) + 5, (1 << 63) - 1, -(1 << 63))
TEXTS = ("", "[", "{}", '"x"', "[5]", '{"lease_ms":"soon"}', '{"unique_key":"k', "no such state", "x" * 70_000)
BYTES = (b"", b"\x00", b"\xc1", b"\xff" * 40, b'[{"id":1,"queue":"q"}]', b"[")
FILTERS = ({"tag": "b"}, {"type": "t"}, {"text": "again"}, {"tag": "b", "type": "t", "text": "x"})
NO_TEXT = b"\xff\xfe\x80"  # in a column of text, which SQLite takes
ORDER = {
    "queue": "name = 'sick'",
    "kept_answer": "scope = 'sick'",
    "worker": "id = 'w-sick'",
    "schedule": "name = 'sick'",
    "audit": "queue = 'sick'",
    "audit_tally": "only_row",
    "counter": "name IN ('job', 'fence', 'interests')",
    "job_error": "job IN (SELECT id FROM job WHERE queue = (SELECT id FROM queue WHERE name = 'sick'))",
    "progress": "job IN (SELECT id FROM job WHERE queue = (SELECT id FROM queue WHERE name = 'sick'))",
}
MEMORY = Path("/dev/shm")
TABLES = (
    "queue", "job", "ready", "held", "group_place", "leased", "scheduled", "ended", "job_error", "progress", "unique_key", "kept_answer",
    "interest", "worker", "ready_for", "counter", "schedule", "audit", "audit_tally",
)  # fmt: skip
NEVER_NULL = ("counter.name", "queue.id")


def which(table: str) -> str:
    """The rows that belong to the queue that is damaged."""
    return ORDER.get(table, "queue = (SELECT id FROM queue WHERE name = 'sick')")


class InFile:
    """A store file. While it is served it is changed through the store's own connection: another one in this process would take its locks
    away.
    """

    def __init__(self, folder):
        self.folder = folder
        self._path = folder / "jobs.db"

    def open(self):
        return StoreClient(SqliteStore(self._path, QueuePolicy()))

    def columns(self) -> Iterator[tuple[str, str, str]]:
        with closing(sqlite3.connect(self._path)) as other:
            for table in TABLES:
                for _, name, kind, *_ in other.execute(f"PRAGMA table_info({table})").fetchall():
                    yield table, name, {"INTEGER": "number", "TEXT": "text", "BLOB": "bytes"}[kind]

    def damage(self, table: str, column: str, value: Any, client: StoreClient | None = None) -> bool:
        """Whether the schema took it."""
        cast = "CAST(? AS TEXT)" if value == NO_TEXT else "?"
        statement = f"UPDATE OR IGNORE {table} SET {column} = {cast} WHERE {which(table)}"
        try:
            if client is not None:
                client.store._writer.execute(statement, (value,))
                return client.store._writer.changes() > 0
            with closing(sqlite3.connect(self._path)) as other, other:
                return other.execute(statement, (value,)).rowcount > 0
        except (sqlite3.IntegrityError, apsw.ConstraintError, OverflowError):
            return False

    def remove(self, table: str) -> None:
        with closing(sqlite3.connect(self._path)) as other, other:
            other.execute(f"DELETE FROM {table} WHERE {which(table)}")


REMEMBER = """
DO $$ DECLARE one text; BEGIN
  DROP SCHEMA IF EXISTS filled CASCADE;
  CREATE SCHEMA filled;
  FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'holdfast' LOOP
    EXECUTE format('CREATE TABLE filled.%I AS TABLE holdfast.%I', one, one);
  END LOOP;
  CREATE TABLE filled.numbers AS SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'holdfast';
END $$
"""
RESTORE = """
DO $$ DECLARE one text; BEGIN
  FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'filled' AND tablename <> 'numbers' LOOP
    EXECUTE format('DELETE FROM holdfast.%I', one);
    EXECUTE format('INSERT INTO holdfast.%I OVERRIDING SYSTEM VALUE SELECT * FROM filled.%I', one, one);
  END LOOP;
  PERFORM setval(format('holdfast.%I', sequencename), last_value) FROM filled.numbers WHERE last_value IS NOT NULL;
END $$
"""


class InDatabase:
    """A database. What it was filled with once is remembered beside its tables."""

    def __init__(self, _):
        self._url = postgres_server().url()

    def empty(self) -> None:
        empty_database()

    def remember(self) -> None:
        postgres_server().sql(REMEMBER, database="holdfast")

    def restore(self) -> None:
        postgres_server().sql(RESTORE, database="holdfast")

    def open(self):
        return StoreClient(PostgresStore(self._url, QueuePolicy()))

    def columns(self) -> Iterator[tuple[str, str, str]]:
        with self._connected() as other:
            for table in TABLES:
                found = other.execute(
                    "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'holdfast' AND table_name = %s",
                    (table,),
                ).fetchall()
                for name, kind in found:
                    if kind in ("integer", "bigint", "text", "bytea"):
                        yield table, name, {"text": "text", "bytea": "bytes"}.get(kind, "number")

    def damage(self, table: str, column: str, value: Any, client: StoreClient | None = None) -> bool:
        import psycopg  # noqa: PLC0415

        if value == NO_TEXT:
            return False  # this store takes no such text
        try:
            with self._connected() as other:
                return other.execute(f"UPDATE {table} SET {column} = %s WHERE {which(table)}", (value,)).rowcount > 0
        except (psycopg.errors.DatabaseError, psycopg.DataError):
            return False

    def remove(self, table: str) -> None:
        with self._connected() as other:
            other.execute(f"DELETE FROM {table} WHERE {which(table)}")

    def _connected(self):
        connection = postgres_server().connect(database="holdfast")
        connection.execute("SET search_path = holdfast")
        return connection


PLACES = {"sqlite": InFile, "postgres": InDatabase}


@pytest.fixture
def folder(tmp_path) -> Iterator[Path]:
    """Where stores are: in memory where that can be had, for nothing here is about flushes, of which there are thousands."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else tmp_path) as made:
        yield Path(made)


@pytest.fixture(params=PLACES)
def place(request, folder):
    return PLACES[request.param](folder)


class Templates:
    """A store of each kind is filled once; every other one is a copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database_is_filled = False


@pytest.fixture(scope="module")
def templates(tmp_path_factory) -> Templates:
    made = Templates(tmp_path_factory.mktemp("filled"))
    asyncio.run(fill(InFile(made.folder)))
    return made


async def filled_store(place, templates: Templates) -> None:
    """Two queues; the one that will be damaged has a row in every table."""
    if isinstance(place, InFile):
        shutil.copytree(templates.folder, place.folder, dirs_exist_ok=True)
    elif templates.database_is_filled:
        place.restore()
    else:
        place.empty()
        await fill(place)
        place.remember()
        templates.database_is_filled = True


async def fill(place) -> None:
    client = place.open()
    for name in (SICK, WELL):
        await client.do(SetQueue(name, QueueSettings(max_attempts=3), whole=True))
        await client.do(SetInterest(name, {"kind": f"^{name}$"}))
        await client.do(SetSchedule(name, ScheduleSpec(new(name), interval_ms=1_000), False))
    await client.do(RegisterWorker("w-sick", "w", (SICK,)))
    for n in range(4):
        await client.put(SICK, unique_key=f"u{n}", tags=("a",))
    concluded, dead, leased = [granted.job for granted in await client.lease(SICK, limit=3)]
    await client.do(ConcludeLease(concluded.ref(), b'{"ok":1}', [new(SICK)]))
    await client.do(FailLease(dead.ref(), "no", retry=False))
    await client.do(ExtendLease(leased.ref(), 1_000, b'{"half":true}'))
    for _ in range(3):
        await client.put(SICK, group_key="g")
    await client.put(SICK, worker="w-sick")
    await client.put(SICK, delay_ms=1_500)
    await client.put_all([new(SICK)], IdempotencyKey(SICK, "once", b"digest"))
    await client.put(WELL, unique_key="mine")
    await client.close()


async def the_neighbour_is_served(client: StoreClient, filters: Iterable[dict[str, str]] = FILTERS) -> None:
    """Every verb on the queue beside it, and every look at all of them, through these filters too."""
    put = await client.put(WELL, tags=("b",))
    jobs = [granted.job for granted in await client.lease(WELL, limit=100)]
    assert {job.queue for job in jobs} == {WELL}
    assert put.id in {job.id for job in jobs}
    for job in jobs:
        if job.id != put.id:
            assert (await client.do(ConcludeLease(job.ref(), b"1"))).state is State.CONCLUDED
    (mine,) = [job for job in jobs if job.id == put.id]
    await client.do(FailLease(mine.ref(), "again", retry=False))
    await client.do(RetryJob(mine.id))
    (again,) = await client.lease(WELL)
    await client.do(ExtendLease(again.job.ref(), 5_000))
    await client.do(ConcludeLease(again.job.ref()))
    await client.put_all([new(WELL)], IdempotencyKey(WELL, f"k{put.id}", b"d"))
    await client.put(WELL, delay_ms=10)
    looks = [ListQueues(100), GetStats(), GetHealth(), GetInterests(), ListWorkers(), ListJobs(100), ListJobs(100, queue=WELL)]
    looks += [
        ListSchedules(100),
        CountJobs(),
        GetQueue(WELL),
        ListJobs(100, queue=WELL, tag="b"),
        RecentFailures(100),
        ExplainJob(put.id),
    ]
    looks += [ListJobs(100, queue=SICK), ListJobs(100, queue=SICK, state=State.DEAD)]
    for each in filters:
        looks += [ListJobs(100, **each), CountJobs(**each), ListJobs(100, queue=WELL, **each)]
        looks += [ListJobs(100, queue=SICK, **each), CountJobs(SICK, **each)]
    looks += [RecentFailures(100, WELL), OldestDead(WELL), CountUrgent([WELL, SICK]), OldestReady([WELL, SICK])]
    looks += [
        RecentFailures(100, SICK),
        OldestDead(SICK),
        ListAudit(100),
        ListAudit(100, after=0),
        GetLoad(WELL),
        GetLoad(SICK),
    ]
    for look in looks:
        if SICK in (getattr(look, "queue", None), getattr(look, "name", None)):
            await allowed(client.ask(look))
        else:
            await client.ask(look)


async def time_passes(client: StoreClient) -> None:
    """Every tick, and twice: nothing is left that is due at once again and again."""
    client.clock.advance(2_000)
    await client.store.tend()
    fired = (await client.ask(ListSchedules(1, name=WELL))).schedules[0].fired
    for _ in range(2):
        for command in (ExpireLeases(100), PromoteDue(100), FireSchedules(100), BuryOrphans(100), ReapWorkers(10 * DAY_MS)):
            await client.do(command)
        await client.do(ForgetHistory(100))
        await client.do(TrimAudit(DAY_MS, 100))
    assert (await client.ask(ListSchedules(1, name=WELL))).schedules[0].fired > fired
    assert (await client.do(ExpireLeases(100))).count == 0
    assert (await client.do(PromoteDue(100))).count == 0


async def what_was_damaged_can_be_removed(client: StoreClient) -> None:
    """By the verbs that everybody uses; a refusal says no and is no defect."""
    for _ in range(20):
        granted = await allowed(client.lease(SICK, limit=100))
        if not granted:
            break
        for one in granted:
            await allowed(client.do(ConcludeLease(one.job.ref())))
    await allowed(client.put_all([new(SICK)], IdempotencyKey(SICK, "once", b"digest")))
    await allowed(client.do(SetQueue(SICK, QueueSettings(), whole=True)))
    await allowed(client.do(SetInterest(SICK, "*")))
    await allowed(client.do(RemoveWorkers("w-sick")))
    await what_is_listed_can_be_removed(client)
    for job_id in {*range(1, 14), *(job.id for job in await client.walk() if job.queue == SICK)}:
        try:
            job = (await client.detail(job_id)).job
        except InternalError:
            raise
        except HoldfastError:
            continue
        if job.queue == SICK and job.state is not State.LEASED:
            await allowed(client.do(DeleteJob(job_id)))
    await allowed(client.do(PurgeQueue(SICK, ("ready", "scheduled", "dead", "concluded", "cancelled"), 0, 1_000)))
    left = [job for job in await client.walk() if job.queue == SICK and job.state is not State.LEASED]
    assert left == []


async def what_is_listed_can_be_removed(client: StoreClient) -> None:
    """By the name that it is listed under."""
    for schedule in (await client.ask(ListSchedules(10))).schedules:
        if schedule.name != WELL:
            await client.do(DeleteSchedule(schedule.name))
    for info in (await client.ask(ListWorkers())).workers:
        await client.do(RemoveWorkers(info.worker.id))
    assert [schedule.name for schedule in (await client.ask(ListSchedules(10))).schedules] == [WELL]
    assert (await client.ask(ListWorkers())).workers == []


async def allowed(doing: Any) -> Any:
    """Its result, or None where it was refused; a defect is raised."""
    try:
        return await doing
    except InternalError:
        raise
    except HoldfastError:
        return None


def values(kind: str) -> tuple[Any, ...]:
    return {"number": NUMBERS, "text": (*TEXTS, NO_TEXT), "bytes": BYTES}[kind]


async def everything_holds(client: StoreClient) -> None:
    try:
        await the_neighbour_is_served(client)
        await time_passes(client)
        await the_neighbour_is_served(client)
        await what_was_damaged_can_be_removed(client)
        await the_neighbour_is_served(client, ())  # nothing of what was damaged is left that a filter could find
    finally:
        await client.close()
