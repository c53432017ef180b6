"""A rolling upgrade: a newer version brings the database forward under the older one, and both serve it until the older one is gone."""

import asyncio
import os
import shutil
import signal
import threading
from pathlib import Path

import psycopg
import pytest

import holdfast
from cluster.postgres import server as postgres
from holdfast import __version__
from holdfast.errors import StoreUnavailable
from holdfast.job.queue import QueuePolicy
from holdfast.messages.queries import ListQueues
from holdfast.stores.postgres import migrate as migrations
from holdfast.stores.postgres import store as stores
from holdfast.stores.postgres.connect import GONE, WRITER, connect
from holdfast.stores.postgres.maintenance import check
from holdfast.stores.postgres.migrate import NEWEST, beside, migrate
from holdfast.stores.postgres.producers import tell_bounds
from holdfast.stores.postgres.store import PostgresStore
from holdfast.stores.steps import Step
from tests.system.whole.calls import conclude, lease, push
from tests.system.whole.conftest import home, serve, serving  # noqa: F401  (fixtures)
from tests.system.whole.servers import until

pytestmark = pytest.mark.long(25)

TABLES = ("queue", "job", "ready", "leased", "scheduled", "ended", "kept_answer", "worker")
NEXT = "\n".join([*(f"ALTER TABLE {table} ADD COLUMN colour text;" for table in TABLES), "CREATE TABLE for_the_older(n int);"])
OLDEST = NEWEST  # of a database that this version has made: no node of the release before has ever served it
STEPS = {
    f"{NEWEST + 1:03}_colour.pre.sql": NEXT,
    f"{NEWEST + 1:03}_colour.post.sql": "DROP TABLE for_the_older;",
    f"{NEWEST + 2:03}_more.pre.sql": "CREATE TABLE more(n int);",
}
"""What a next version, and the one after it, would do to the schema."""
RELEASED = '[[release]]\nversion = "77.{n}.0"\ncommit = "none"\ndate = 2026-12-01\nsqlite = 1\npostgresql = {postgresql}\n'

BOUNDS_OF_BEFORE = """
INSERT INTO enqueue_bounds(queue_name, queue_name_chars, queues, payload_bytes, json_depth, type_chars, content_type_chars, key_chars, request_id_chars,
  tags, tag_chars, priority, priority_max, delay_ms_max, attempts_max, lease_ms_max, group_limit_max, capacity_jobs, capacity_bytes, max_attempts, hold_ms)
VALUES ('[a-z]+$', 200, 1000, 1000, 64, 128, 256, 256, 200, 32, 128, 1024, 4294967295, 1000, 100, 1000, 100, 1000, 1000000, 25, 30000)
ON CONFLICT DO NOTHING
"""


LEFT = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name LIKE 'holdfast%'"


@pytest.fixture(scope="module")
def made_database(tmp_path_factory):
    with postgres(tmp_path_factory.mktemp("postgres")) as one:
        yield one


@pytest.fixture
def database(made_database):
    """Without a schema, which this version could not use, and without the nodes of a test before."""
    made_database.sql(LEFT)
    made_database.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")
    return made_database


@pytest.fixture
def version(tmp_path):
    """The environment of a release that comes so many after this version, each with one more step: this one's files, and those."""

    def made(more):
        folder = tmp_path / f"version{more}"
        shutil.copytree(Path(holdfast.__file__).parent, folder / "holdfast", copy_function=os.symlink)
        stores = folder / "holdfast/stores"
        for name in [name for name in STEPS if int(name[:3]) <= NEWEST + more]:
            (stores / "postgres/migrations" / name).write_text(STEPS[name])
        (stores / "releases.toml").unlink()
        (stores / "releases.toml").write_text("".join(RELEASED.format(n=n, postgresql=NEWEST + n) for n in range(more)))
        return {"PYTHONPATH": str(folder)}

    return made


class Work:
    """A caller at one node, from its making until it is ended: each job is put, taken and concluded, and nothing may fail."""

    def __init__(self, node, queue):
        self.jobs_done = 0
        self.failure = None
        self._node, self._queue = node, queue
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            with self._node.client() as client:
                while not self._over.is_set():
                    push(client, self._queue, self.jobs_done)
                    (job,) = lease(client, self._queue)
                    assert conclude(client, job).status_code == 200
                    self.jobs_done += 1
        except Exception as failure:  # noqa: BLE001  (it is told by the thread that waits)
            self.failure = failure

    def goes_on(self):
        """Wait for ten more jobs."""
        goal = self.jobs_done + 10
        until(lambda: self.jobs_done >= goal or self.failure is not None, f"{self._queue} goes on")
        assert self.failure is None, self.failure

    def end(self):
        self._over.set()
        self._thread.join()
        assert self.failure is None, self.failure


async def of_this_version(database):
    """Why a node of this version can't connect; None where it can."""
    connection = await connect(database.url(), WRITER)
    try:
        await migrate(connection)
    except StoreUnavailable as refused:
        return refused.detail
    finally:
        connection.terminate()


def schema(database):
    ((found,),) = database.sql("SELECT (version, min_compatible)::text FROM holdfast.schema_version", database="holdfast")
    return found


async def brought_forward(url, known):
    connection = await connect(url, WRITER)
    while True:
        try:
            await migrate(connection, known)
            break
        except migrations.OlderNodes:  # the connection that was just ended is still known to the server
            await asyncio.sleep(0.05)
    if known < 4:  # a node of that time told one bound less
        await connection.execute(BOUNDS_OF_BEFORE)
    elif known < NEWEST:
        told = BOUNDS_OF_BEFORE.replace("hold_ms)", "hold_ms, ready_floors)").replace("30000)", "30000, 16)")
        await connection.execute(told)
    else:
        await tell_bounds(connection, QueuePolicy(), 1_000)
    await connection.close()


def test_an_application_goes_on_calling_enqueue_while_the_schema_goes_forward(database):
    database.sql("CREATE ROLE shop LOGIN")
    with psycopg.connect(database.url("shop"), autocommit=True) as shop:
        for known in range(2, NEWEST + 1):
            asyncio.run(brought_forward(database.url(), known))
            if known == 2:
                database.sql("SELECT holdfast.let_enqueue('shop')", database="holdfast")
            for n in range(3):  # by the session that called it before the step, too
                assert shop.execute("SELECT holdfast.enqueue('mail', '1'::jsonb)").fetchone() == ((known - 2) * 3 + n + 1,)
    assert database.value("SELECT ready FROM holdfast.queue", database="holdfast") == (NEWEST - 1) * 3
    assert asyncio.run(check(database.url())) == []


def test_a_version_and_the_next_serve_together_while_the_schema_goes_forward_under_load(
    serve,  # noqa: F811
    serving,  # noqa: F811
    database,
    version,
    tmp_path,
):
    old = serve("--store", database.url(), at=tmp_path / "old")
    assert schema(database) == f"({NEWEST},{NEWEST})"
    works = [Work(old, "first")]
    works[0].goes_on()
    new = serve("--store", database.url(), at=tmp_path / "new", env=version(1))
    assert schema(database) == f"({NEWEST + 1},{NEWEST})"
    assert database.value("SELECT to_regclass('holdfast.for_the_older') IS NOT NULL", database="holdfast")
    works.append(Work(new, "second"))
    for work in works:
        work.goes_on()
    with old.client() as one, new.client() as other:
        for here, there in ((one, other), (other, one)):
            pushed = push(here, "across", 1)
            (job,) = lease(there, "across")
            assert job["id"] == pushed["id"]
            assert conclude(here, job).status_code == 200
    assert asyncio.run(of_this_version(database)) is None  # one of the older ones that connects again still may

    newest = serving("--store", database.url(), at=tmp_path / "newest", env=version(2)).launch()
    newest.out.wait_for(
        f"Older nodes are connected to the database (1 of Holdfast 77.0.0), and can't serve beside what Holdfast {__version__} does"
    )
    for work in works:  # nothing was taken away from the node that serves
        work.goes_on()
    assert schema(database) == f"({NEWEST + 1},{NEWEST})"
    works[0].end()
    old.send(signal.SIGTERM)
    old.gone()
    with newest.client() as client:
        until(lambda: client.get("/readyz").status_code == 200, "the newest serves")
        push(client, "after", 1)
    assert schema(database) == f"({NEWEST + 2},{NEWEST + 1})"
    assert database.value("SELECT to_regclass('holdfast.for_the_older') IS NULL", database="holdfast")
    works[1].goes_on()
    works[1].end()
    said = asyncio.run(of_this_version(database))
    assert said.startswith(
        f"The database has schema {NEWEST + 2}, which Holdfast {__version__} made. It serves nodes that know schema {NEWEST + 1} on"
    )
    assert f"knows up to {NEWEST}. Use the newer Holdfast. To go back, " in said


def test_a_step_that_waits_for_a_table_holds_nobody_up(serve, serving, database, version, tmp_path):  # noqa: F811
    old = serve("--store", database.url(), at=tmp_path / "old")
    work = Work(old, "first")
    work.goes_on()
    with database.connect(database="holdfast") as dump:
        dump.execute("SET application_name = 'dump'; BEGIN; SELECT FROM holdfast.job")
        new = serving("--store", database.url(), at=tmp_path / "new", env=version(1)).launch()
        new.out.wait_for(f"waits for tables that others use: process {dump.info.backend_pid} (dump)")
        for _ in range(3):  # nobody is refused, though the step has tried again meanwhile
            work.goes_on()
        assert schema(database) == f"({NEWEST},{NEWEST})"
    with new.client() as client:
        until(lambda: client.get("/readyz").status_code == 200, "the newer one serves")
    assert schema(database) == f"({NEWEST + 1},{NEWEST})"
    work.goes_on()
    work.end()


def test_a_node_with_nothing_to_bring_forward_waits_for_nobody_who_does(database):
    asyncio.run(brought_forward(database.url(), NEWEST))
    with database.connect(database="holdfast") as stuck:
        stuck.execute("SELECT pg_advisory_lock(%s)", (migrations._LOCK,))
        assert asyncio.run(of_this_version(database)) is None


def test_a_version_that_wrote_by_place_is_refused_after_the_step_that_it_cant_read(database):
    asyncio.run(brought_forward(database.url(), 3))
    asyncio.run(brought_forward(database.url(), 4))
    with pytest.raises(StoreUnavailable, match=r"serves nodes that know schema 4 on; this is Holdfast .*, which knows up to 3"):
        asyncio.run(brought_forward(database.url(), 3))


async def test_a_server_that_stops_once_it_has_taken_the_connection_is_given_up_in_time(database, monkeypatch):
    monkeypatch.setattr(migrations, "ASK_S", 0.5)
    connection = await connect(database.url(), WRITER, unwavering=True)
    database.pause()
    try:
        async with asyncio.timeout(5):
            with pytest.raises(GONE):
                await migrate(connection)
    finally:
        database.resume()
        connection.terminate()


@pytest.fixture
def slow_step(database, monkeypatch):
    """The first step of the schema takes so many seconds."""
    steps = migrations.steps

    def slow(seconds):
        def one(kind):
            found = steps(kind)
            if kind == "pre":
                found[1] = Step(1, f"SELECT pg_sleep({seconds}); {found[1].script}")
            return found

        monkeypatch.setattr(migrations, "steps", one)

    yield slow
    database.sql(LEFT)


def sleeping(database):
    return database.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")


@pytest.mark.parametrize("stopped", [False, True], ids=["a step that hangs", "a server that stopped in it"])
async def test_in_a_step_that_does_not_end_nobody_waits_for_ever(database, slow_step, monkeypatch, stopped):
    slow_step(600)
    monkeypatch.setattr(stores, "_CONNECTED_S", 0.5)
    store = PostgresStore(database.url(), QueuePolicy())
    try:
        async with asyncio.timeout(8):
            await store.tend()
            assert sleeping(database) == 1
            if stopped:
                database.pause()
            assert store.health().reason == "store_unavailable"
            with pytest.raises(StoreUnavailable, match="not got ready yet"):
                await store.read(ListQueues(10), 0)
            with pytest.raises(StoreUnavailable, match="not got ready yet"):
                async with store.transaction():
                    pass
            await store.tend()
            await store.close()
    finally:
        database.resume()


async def test_who_gives_up_waiting_for_a_step_does_not_stop_it(database, slow_step, monkeypatch):
    slow_step(1.5)
    monkeypatch.setattr(stores, "_CONNECTED_S", 0.2)
    store = PostgresStore(database.url(), QueuePolicy())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await store.tend()
    async with asyncio.timeout(8):
        while store.health().reason:
            await store.tend()
    assert schema(database) == f"({NEWEST},{NEWEST})"
    await store.close()


async def test_a_step_that_is_given_up_is_found_done_later(database, slow_step, monkeypatch):
    slow_step(1.5)
    monkeypatch.setattr(migrations, "STEP_S", 0.5)
    store = PostgresStore(database.url(), QueuePolicy())
    await store.tend()
    assert store.health().reason == "store_unavailable"
    monkeypatch.setattr(migrations, "STEP_S", 5.0)
    async with asyncio.timeout(8):
        while store.health().reason:
            await asyncio.sleep(0.05)
            await store.tend()
    assert schema(database) == f"({NEWEST},{beside()})"
    await store.close()


async def test_a_batch_that_does_not_end_does_not_keep_a_store_from_closing(database):
    store = PostgresStore(database.url(), QueuePolicy())
    store._batch_s = 0.5
    await store.tend()
    assert store.health().accepting
    begun = asyncio.Event()

    async def batch():
        async with store.transaction():
            begun.set()
            await asyncio.Event().wait()

    stuck = asyncio.create_task(batch())
    await begun.wait()
    async with asyncio.timeout(5):
        await store.close()
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck
