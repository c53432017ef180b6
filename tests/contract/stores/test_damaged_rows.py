"""Every column of every table is damaged in turn, in a real store, while nobody serves it and while it is served: what stands beside it is served as if nothing were, time passes, and what
was damaged can be removed by the ordinary verbs. Which values a column is given depends on what it holds; what must hold does not.
"""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from holdfast.errors import HoldfastError, InternalError
from holdfast.job.job import IdempotencyKey, NewJob, State
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
from holdfast.stores.sqlite import maintenance
from holdfast.stores.sqlite.store import SqliteStore
from tests.contract.stores.conformance.conftest import StoreClient, empty_database, new, postgres_server
from tests.every_case import EVERY_CASE

pytestmark = pytest.mark.long(180)

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


class InDatabase:
    def __init__(self, _):
        self._url = empty_database()

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


@pytest.fixture(scope="module")
def templates(tmp_path_factory) -> Path:
    """The folder of a store file that is filled once and then copied."""
    folder = tmp_path_factory.mktemp("filled")
    asyncio.run(fill(InFile(folder)))
    return folder


async def filled_store(place, templates: Path) -> None:
    """Two queues; the one that will be damaged has a row in every table."""
    if isinstance(place, InFile):
        shutil.copytree(templates, place.folder, dirs_exist_ok=True)
    else:
        await fill(place)


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


async def the_neighbour_is_served(client: StoreClient) -> None:
    """Every verb on the queue beside it, and every look at all of them."""
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
    for filters in FILTERS:
        looks += [ListJobs(100, **filters), CountJobs(**filters), ListJobs(100, queue=WELL, **filters)]
        looks += [ListJobs(100, queue=SICK, **filters), CountJobs(SICK, **filters)]
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
        await the_neighbour_is_served(client)
    finally:
        await client.close()


TURNS = range(max(len(NUMBERS), len(TEXTS) + 1, len(BYTES)))
WARM = (0, 3, 9)  # while it is served: what is remembered differs, and not what decodes a column


def _cases() -> Iterator[Any]:
    """Each table with the values that it is damaged with, at rest and while it is served; in a database fewer: what decodes a column is the same.

    Every value in every column takes an hour; without `EVERY_CASE` each value is tried in a tenth of the tables.
    """
    for number, table in enumerate(TABLES):
        rest = [turn for turn in TURNS if EVERY_CASE or (turn + number) % 10 == 0]
        warm = WARM if EVERY_CASE else (WARM[number % len(WARM)],)
        bases = (False, True) if EVERY_CASE else (number % 2 == 0,)
        for store, turn, served in (
            *(("sqlite", turn, False) for turn in rest),
            *(("sqlite", turn, True) for turn in warm),
            *(("postgres", 3, served) for served in bases),
        ):
            yield pytest.param(table, store, turn, served, id=f"{table}-{store}-{turn}-{served}")


@pytest.mark.parametrize(("table", "place", "turn", "served"), list(_cases()), indirect=["place"])
async def test_no_value_in_any_column_keeps_its_neighbours_from_being_served(place, table, turn, served, request, templates):
    await filled_store(place, templates)
    tried = 0
    columns = [(column, kind) for of, column, kind in place.columns() if of == table]
    for column, kind in columns:
        several = values(kind)
        if turn >= len(several) or (table, column) == ("counter", "name"):
            continue
        if tried:
            place = type(place)(place_folder(request, tried))
            await filled_store(place, templates)
        tried += 1
        client = place.open() if served else None
        if client is not None:
            await the_neighbour_is_served(client)  # what is remembered is remembered
        if not place.damage(table, column, several[turn], client):
            if client is not None:
                await client.close()
            continue
        try:
            await everything_holds(client or place.open())
        except BaseException as error:
            error.add_note(f"{table}.{column} = {several[turn]!r:.80}")
            raise


def place_folder(request, number):
    folder = request.getfixturevalue("folder") / str(number)
    folder.mkdir()
    return folder


@pytest.mark.parametrize("table", [table for table in TABLES if table != "queue"])
async def test_rows_that_are_missing_from_any_table_keep_nobody_from_being_served(place, table, templates):
    await filled_store(place, templates)
    place.remove(table)
    await everything_holds(place.open())


BEYOND = (
    ("job", "extras", f'{{"lease_ms":{10**30}}}'),
    ("job", "extras", '{"retry":{"factor":1e308}}'),
    ("queue", "settings", f'{{"retry":{{"max_ms":{10**400}}}}}'),
    ("kept_answer", "receipts", f'[{{"id":{10**30},"queue":"sick","priority":1,"max_attempts":1,"created_at":1}}]'.encode()),
    (
        "schedule",
        "state",
        b'{"job":{"queue":"sick","payload":"MQ=="},"created_at":1,"next_at":1,"interval_ms":1000,"overlap":false,"last_jobs":[1%030d]}'
        % 0,
    ),
)
"""Columns of JSON that are well formed, with a number that no store could take."""


@pytest.mark.parametrize(("table", "column", "value"), BEYOND)
async def test_a_number_beyond_all_bounds_keeps_nobody_from_being_served(place, table, column, value, templates):
    await filled_store(place, templates)
    assert place.damage(table, column, value)
    await everything_holds(place.open())


async def test_a_queue_that_is_missing_under_its_jobs_is_there_again_and_gives_nothing_out(place, templates):
    await filled_store(place, templates)
    place.remove("queue")
    client = place.open()
    await the_neighbour_is_served(client)
    await time_passes(client)
    await the_neighbour_is_served(client)
    await client.close()


async def test_a_schedule_whose_name_is_no_text_goes_on_under_another_and_holds_up_nobody(tmp_path):
    place = InFile(tmp_path)
    client = place.open()
    spec = ScheduleSpec(NewJob("q", b"1"), interval_ms=3_600_000)
    await client.do(SetSchedule("good", spec, False))
    await client.do(SetSchedule("sick", spec, False))
    await client.close()
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as other, other:
        other.execute("UPDATE schedule SET name = CAST(x'ff' AS TEXT) WHERE name = 'sick'")
    client = place.open()
    await client.put()
    await client.do(FireSchedules(10))
    names = [schedule.name for schedule in (await client.ask(ListSchedules(10))).schedules]
    assert [name.partition("-")[0] for name in names] == ["good", "recovered"]
    await client.do(DeleteSchedule(names[1]))
    await client.close()
    assert maintenance.check(tmp_path / "jobs.db") == []
