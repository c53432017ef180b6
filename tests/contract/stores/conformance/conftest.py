"""Every store, behind one `StoreClient`. Another store is another place in `PLACES` and passes the tests of this folder unchanged.

The client submits commands to the real committer, one or several in a transaction, on a manual clock and without ticks. After each test
every queue is counted again from its listing and compared with its tally.
"""

import asyncio
import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import psycopg
import pytest

from cluster.postgres import PostgresServer
from holdfast.clock import ManualClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.engine.submitter import error_of
from holdfast.job.budget import Account
from holdfast.job.job import UNFINISHED, Extras, IdempotencyKey, Job, NewJob, Receipt, State, is_next
from holdfast.job.job_batch import JobBatch
from holdfast.job.queue import QueuePolicy, Tally
from holdfast.messages.answers import Granted, GrantedJob
from holdfast.messages.commands import CancelJob, ConcludeLease, Enqueue, FailLease, LeaseJobs
from holdfast.messages.frame import Answer, Command, Query, Refused
from holdfast.messages.job_batches import GetJobBatch, ListJobBatches
from holdfast.messages.queries import GetJob, GetQueue, ListJobs, ListQueues
from holdfast.messages.time_commands import AdmitWaiting, ExpireLeases, PromoteDue
from holdfast.messages.views import JobDetail, JobPage, QueueInfo, QueuePage
from holdfast.stores.postgres.migrate import NEWEST
from holdfast.stores.postgres.store import PostgresStore
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.stores.store import Store

EXTRAS = set(Extras.__struct_fields__)


class StoreClient:
    """Submits commands and queries to a store without a server; a refusal is raised as its error."""

    def __init__(self, store: Store, now: int = 1_800_000_000_000) -> None:
        self.store = store
        self.clock = ManualClock(now)
        self.backend = LocalBackend(store, self.clock)
        self._running = asyncio.create_task(self.backend.committer.run())

    @property
    def now(self) -> int:
        return self.clock.now()

    async def together(self, *commands: Command) -> list[Answer]:
        """All of them in one transaction."""
        batches = self.backend.totals.batches
        futures = [self.backend.submit(command) for command in commands]
        results = [await future for future in futures]
        assert self.backend.totals.batches == batches + 1, "they were not committed together"
        return results

    async def do(self, command: Command) -> Any:
        return _or_raise(await self.backend.submit(command))

    async def ask(self, query: Query) -> Any:
        return _or_raise(await self.backend.submit(query))

    async def put(self, queue: str = "q", payload: bytes = b"1", **options: Any) -> Receipt:
        return (await self.put_all([new(queue, payload, **options)]))[0]

    async def put_all(self, jobs: list[NewJob], key: IdempotencyKey | None = None) -> list[Receipt]:
        return (await self.do(Enqueue(jobs, key))).jobs

    async def lease(self, *queues: str, limit: int = 1, worker: str = "w", **options: Any) -> list[GrantedJob]:
        granted: Granted = await self.do(LeaseJobs(queues or ("q",), limit, worker, **options))
        return granted.jobs

    async def take(self, *queues: str, **options: Any) -> Job:
        """Lease exactly one job."""
        (granted,) = await self.lease(*queues, **options)
        return granted.job

    async def pass_time(self, ms: int) -> tuple[int, int]:
        """Move the clock, and do what falls due: how many leases ended, how many scheduled jobs became ready."""
        self.clock.advance(ms)
        counts = (await self.do(ExpireLeases(10_000))).count, (await self.do(PromoteDue(10_000))).count
        await self.do(AdmitWaiting(10_000))
        return counts

    async def detail(self, job_id: int) -> JobDetail:
        return await self.ask(GetJob(job_id))

    async def job(self, job_id: int) -> Job:
        return (await self.detail(job_id)).job

    async def state(self, job_id: int) -> State:
        return (await self.job(job_id)).state

    async def tally(self, queue: str = "q") -> Tally:
        return (await self.queue(queue)).tally

    async def queue(self, queue: str = "q") -> QueueInfo:
        return await self.ask(GetQueue(queue))

    async def walk(self, limit: int = 1_000, **filters: Any) -> list[Job]:
        """Every job of a listing, page by page."""
        found: list[Job] = []
        cursor = None
        while True:
            page: JobPage = await self.ask(ListJobs(limit, cursor=cursor, **filters))
            assert len(page.jobs) <= limit
            found += [detail.job for detail in page.jobs]
            if page.cursor is None:
                return found
            assert page.cursor != cursor, "a walk must move on"
            cursor = page.cursor

    async def count_again(self) -> None:
        """Each queue's tally is what its jobs add up to."""
        page: QueuePage = await self.ask(ListQueues(1_000))
        for info in page.queues:
            counted = Tally()
            for job in await self.walk(queue=info.name):
                counted.move(None, job.state, job.size, job.result_size)
            assert info.tally == counted, f"{info.name} counts {info.tally} and has {counted}"
        await self.count_batches_again()
        await self.count_accounts_again()

    async def batch(self, number: int) -> JobBatch:
        return (await self.ask(GetJobBatch(number))).batch

    async def count_batches_again(self) -> None:
        """Each batch counts what its members are, unless some of these were removed, or are still to come from another batch."""
        batches = (await self.ask(ListJobBatches(1_000))).batches
        nested = any(batch.level > 1 for batch in batches)
        for batch in batches:
            states = [job.state for job in await self.walk(batch=batch.id)]
            unfinished = sum(state in UNFINISHED for state in states)
            assert batch.dead == states.count(State.DEAD), batch
            assert batch.pending == unfinished or (nested and batch.pending > unfinished), batch
            assert batch.concluded >= states.count(State.CONCLUDED), batch
            assert batch.cancelled >= states.count(State.CANCELLED), batch

    async def count_accounts_again(self) -> dict[str, Account]:
        """Each account of a budget counts the jobs that name it."""
        counted: dict[str, Account] = {}
        for job in await self.walk():
            for charge in job.extras.budgets if job.state in UNFINISHED else ():
                account = counted.setdefault(charge.account, Account(charge.account))
                account.jobs += 1
                if job.state is State.LEASED:
                    account.running += charge.cost
                elif is_next(job):
                    account.come_next(job.queue, charge.cost, 0)
                elif job.waits == charge.account:
                    account.waiting += 1
        async with self.store.transaction() as tx:
            kept = {one: msgspec.structs.replace(found) for one, found in (await tx.accounts(sorted(counted))).items()}
        for one, account in counted.items():
            names = ("jobs", "waiting", "next_jobs", "next_units", "running")
            for name in names:
                assert getattr(kept[one], name) == getattr(account, name), f"{one} counts {kept[one]} and has {account}"
            again = msgspec.structs.replace(kept[one])
            again.count_passed()
            assert again == kept[one], f"{one} counts {kept[one]} and passes over {again}"
            counts = [{queue: (of.jobs, of.units) for queue, of in some.by_queue.items()} for some in (kept[one], account)]
            assert counts[0] == counts[1], f"{one} counts {kept[one]} and has {account}"
        return kept

    async def close(self) -> None:
        await self.backend.committer.settled()
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self.store.close()


def _or_raise(result: Answer) -> Answer:
    if isinstance(result, Refused):
        raise error_of(result)
    return result


def new(queue: str = "q", payload: bytes = b"1", **options: Any) -> NewJob:
    """A job to be put; what belongs into its extras is sorted there."""
    extras = Extras(**{name: options.pop(name) for name in EXTRAS & set(options)})
    return NewJob(queue, payload, extras=extras, **options)


class Memory:
    """SQLite without a file."""

    def __init__(self, folder: Path) -> None:
        pass

    def open(self, defaults: QueuePolicy) -> Store:
        return SqliteStore(None, defaults)


@cache
def empty_file() -> Path:
    """One in which nothing is yet, made once as any other: each of these tests has a copy."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

    async def made() -> None:
        await SqliteStore(folder / "jobs.db", QueuePolicy()).close()

    making = Thread(target=lambda: asyncio.run(made()))  # the caller may be in a loop
    making.start()
    making.join()
    return folder / "jobs.db"


class File:
    """SQLite in a file, which can be closed and opened again."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "jobs.db"
        shutil.copyfile(empty_file(), self._path)

    def open(self, defaults: QueuePolicy) -> Store:
        return SqliteStore(self._path, defaults)


class Postgres:
    """A database of its own on one PostgreSQL server, which lives as long as the tests do."""

    def __init__(self, folder: Path) -> None:
        self._url = empty_database()

    def open(self, defaults: QueuePolicy) -> Store:
        return PostgresStore(self._url, defaults)


@cache
def postgres_server() -> PostgresServer:
    """Started once, when it is first wanted, and ended with the tests. It does not flush: these tests kill nothing. Nor does it count
    tables while a test before has left them empty: see `uncounted.py`; a store without ticks has nobody who would mend that.
    """
    folder = Path(tempfile.mkdtemp(prefix="holdfast-tests-"))
    settings = {"fsync": "off", "full_page_writes": "off", "max_connections": "200", "autovacuum": "off"}
    server = PostgresServer(folder, settings=settings)
    server.create()
    server.start()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.close)
    return server


EMPTY = """
DO $$ DECLARE one text; BEGIN
  IF to_regclass('holdfast.job') IS NULL THEN RETURN; END IF;
  IF (SELECT min_compatible FROM holdfast.schema_version) <> NEWEST THEN DROP SCHEMA holdfast CASCADE; RETURN; END IF;  -- of an upgrade that is not finished
  FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'holdfast' AND tablename NOT IN ('counter', 'audit_tally', 'schema_version') LOOP
    EXECUTE 'DELETE FROM holdfast.' || one;
  END LOOP;
  UPDATE holdfast.counter SET value = 0;
  UPDATE holdfast.audit_tally SET last = 0, kept = 0, bytes = 0, removed = 0;
  PERFORM setval('holdfast.job_id', 1, false), setval('holdfast.fence', 1, false);
END $$
""".replace("NEWEST", f"{NEWEST}").encode()


@cache
def emptier() -> psycopg.Connection[Any]:
    """A connection that knows how its database is emptied."""
    return postgres_server().connect(database="holdfast")


def empty_database() -> str:
    """The URL of a database in which nothing is: as it is made when it is first used, and emptied afterwards."""
    try:
        emptier().execute(EMPTY)
    except psycopg.OperationalError:  # a test has ended all connections
        emptier.cache_clear()
        emptier().execute(EMPTY)
    return postgres_server().url()


PLACES = {"sqlite-memory": Memory, "sqlite-file": File, "postgres": Postgres}
LASTING = {"sqlite-file": File, "postgres": Postgres}


@pytest.fixture(name="new")
def new_fixture():
    return new


@pytest.fixture(params=PLACES)
def place(request, tmp_path):
    return PLACES[request.param](tmp_path)


@pytest.fixture(params=LASTING)
def lasting_place(request, tmp_path):
    """A place whose jobs are still there when the store is opened again."""
    return LASTING[request.param](tmp_path)


@pytest.fixture
async def store(place):
    opened = place.open(QueuePolicy())
    yield opened
    await opened.close()


@pytest.fixture
async def client(place):
    opened = StoreClient(place.open(QueuePolicy()))
    yield opened
    await opened.count_again()
    await opened.close()


@pytest.fixture
def reopen():
    """Close a client and open another at the same place, at the same moment."""

    async def again(place: Any, before: StoreClient | None = None, defaults: QueuePolicy | None = None) -> StoreClient:
        if before is not None:
            await before.count_again()
            await before.close()
        after = StoreClient(place.open(defaults or QueuePolicy()))
        if before is not None:
            after.clock.advance(before.now - after.now)
        return after

    return again


@pytest.fixture
async def one_of_each(client):
    """One job in each state: by state, its id."""
    await client.put_all([new(payload=b"12345") for _ in range(5)])
    concluded, dead, leased = [one.job for one in await client.lease(limit=3)]
    await client.do(ConcludeLease(concluded.ref()))
    await client.do(FailLease(dead.ref(), "no", retry=False))
    await client.do(CancelJob(4))
    scheduled = await client.put(payload=b"12345", delay_ms=9_000)
    return {
        State.CONCLUDED: concluded.id,
        State.DEAD: dead.id,
        State.LEASED: leased.id,
        State.CANCELLED: 4,
        State.READY: 5,
        State.SCHEDULED: scheduled.id,
    }
