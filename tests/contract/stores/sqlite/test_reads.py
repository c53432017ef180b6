"""Reads on their own connections: they see what is committed, hold nobody up, look at a bounded number of rows, and give up in time."""

import asyncio
import time

import apsw
import pytest

from holdfast.clock import ManualClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.errors import Overloaded
from holdfast.job.job import NewJob
from holdfast.job.queue import QueuePolicy
from holdfast.limits import DEAR_READS_WAITING
from holdfast.messages.commands import Enqueue
from holdfast.messages.key_commands import ListKeys
from holdfast.messages.queries import ExplainJob, GetJob, GetQueue, ListJobs, ListQueues
from holdfast.stores.sqlite.connect import open_reader
from holdfast.stores.sqlite.reader import SqliteReader
from holdfast.stores.sqlite.store import SqliteStore

NOW = 1_800_000_000_000


@pytest.fixture
async def backend(tmp_path):
    made = LocalBackend(SqliteStore(tmp_path / "jobs.db", QueuePolicy()), ManualClock())
    made.start()
    yield made
    await made.stop()


async def walk(backend, limit, **filters):
    pages, cursor = [], None
    while True:
        page = await backend.submit(ListJobs(limit, cursor=cursor, **filters))
        pages.append([detail.job.id for detail in page.jobs])
        if (cursor := page.cursor) is None:
            return pages


async def test_a_read_is_answered_while_a_transaction_is_open_and_does_not_see_into_it(tmp_path):
    store = SqliteStore(tmp_path / "jobs.db", QueuePolicy())
    async with store.transaction() as tx:
        queue = await tx.create_queue("q", NOW)
        await tx.commit()
    async with store.transaction() as tx:
        queue = await tx.queue("q")
        queue.paused = True
        await tx.save_queues([queue])
        seen = await asyncio.wait_for(store.read(GetQueue("q"), NOW), 5)
        assert not seen.paused
        await tx.commit()
    assert (await store.read(GetQueue("q"), NOW)).paused
    await store.close()


async def test_many_reads_at_once_are_all_answered(backend):
    await backend.submit(Enqueue([NewJob("q", b"1")]))
    answers = await asyncio.wait_for(asyncio.gather(*(backend.submit(GetQueue("q")) for _ in range(150))), 30)
    assert {answer.tally.ready for answer in answers} == {1}


async def test_more_dear_reads_than_may_wait_are_refused_and_cheap_ones_are_not(backend):
    await backend.submit(Enqueue([NewJob("q", b"1")]))
    dear = [backend.submit(ListJobs(10, text="1")) for _ in range(DEAR_READS_WAITING + 51)]
    cheap = [backend.submit(GetQueue("q")) for _ in range(1_000)]
    answers = await asyncio.wait_for(asyncio.gather(*dear), 30)
    codes = [getattr(answer, "code", "answered") for answer in answers]
    assert codes.count("answered") == DEAR_READS_WAITING + 1
    assert codes.count("overloaded") == 50
    assert {answer.tally.ready for answer in await asyncio.gather(*cheap)} == {1}


async def test_cheap_reads_pass_dear_ones(backend, slow_search):
    dear = [backend.submit(ListJobs(10, text=f"nothing {n}")) for n in range(10)]
    await asyncio.sleep(0)
    for query in (GetQueue("q"), GetJob(1), ListJobs(50), ListQueues(10, ""), ExplainJob(1)):
        await backend.submit(query)
    assert not any(read.done() for read in dear[1:]), "they were answered behind the dear ones"
    await asyncio.gather(*dear)


async def test_a_look_at_the_keys_waits_for_no_other_read(backend, slow_search):
    """Else the holder of a revoked key could keep it in force by many reads."""
    dear = [backend.submit(ListJobs(10, text=f"nothing {n}")) for n in range(10)]
    cheap = [backend.submit(ListJobs(50)) for _ in range(200)]
    await asyncio.sleep(0)
    assert (await backend.submit(ListKeys(-1))).keys == []
    assert sum(read.done() for read in [*dear, *cheap]) < 100
    for read in [*dear, *cheap]:
        backend.leave(read)
    await asyncio.gather(*dear, *cheap)


async def test_a_read_whose_caller_has_left_is_not_begun_and_one_under_way_is_stopped(backend, slow_search):
    reads = [backend.submit(ListJobs(10, text=f"nothing {n}")) for n in range(20)]
    await asyncio.sleep(0.05)
    for read in reads:
        backend.leave(read)
    assert {answer.code for answer in await asyncio.gather(*reads)} == {"overloaded"}
    started = time.monotonic()
    found = await asyncio.wait_for(backend.submit(ListJobs(10, text="y")), 30)
    assert found.jobs == []
    assert time.monotonic() - started < 5 * slow_search, "it waited for reads that nobody waited for"


async def test_a_read_whose_turn_does_not_come_is_told_so(backend, slow_search, monkeypatch):
    monkeypatch.setattr("holdfast.stores.read_queue.READ_WAIT_S", slow_search / 4)
    first, second = [backend.submit(ListJobs(10, text=f"nothing {n}")) for n in range(2)]
    assert (await second).code == "overloaded"
    assert (await first).jobs == []
    assert (await backend.submit(ListJobs(10, text="nothing else"))).jobs == [], "the line goes on"


@pytest.fixture
async def slow_search(backend):
    """About how many seconds a search for a text takes."""
    for _ in range(8):
        await backend.submit(Enqueue([NewJob("q", b"x" * 800_000) for _ in range(20)]))
    started = time.monotonic()
    await backend.submit(ListJobs(10, text="nothing"))
    return time.monotonic() - started


async def test_a_reader_that_tries_to_write_checkpoint_or_migrate_changes_nothing(backend, tmp_path):
    await backend.submit(Enqueue([NewJob("q", b"1")]))
    reader = open_reader(tmp_path / "jobs.db")
    for statement in ("UPDATE queue SET ready = 9", "DROP TABLE job", "PRAGMA user_version = 999", "CREATE TABLE mine(x)"):
        with pytest.raises(apsw.ReadOnlyError):
            reader.execute(statement)
    assert reader.pragma("query_only") == 1
    assert reader.pragma("wal_autocheckpoint") == 0
    reader.close()
    assert (await backend.submit(GetQueue("q"))).tally.ready == 1


@pytest.mark.parametrize("scanned", [1, 7, 50])
async def test_a_filtered_page_looks_at_a_bounded_number_of_rows_and_the_walk_still_finds_all(backend, monkeypatch, scanned):
    monkeypatch.setattr("holdfast.stores.listings.LIST_SCANNED", scanned)
    for start in range(0, 60, 20):
        jobs = [NewJob("q", b"1", type="rare" if n % 20 == 7 else "often") for n in range(start, start + 20)]
        await backend.submit(Enqueue(jobs))
    for filters in ({"type": "rare"}, {"type": "rare", "queue": "q"}):
        pages = await walk(backend, 10, **filters)
        assert [job_id for page in pages for job_id in page] == [8, 28, 48]
        assert len(pages) >= 60 // scanned, "it looked at more rows in one page than it may"


async def test_a_read_that_takes_too_long_is_given_up_and_the_reader_still_works(backend, monkeypatch):
    await backend.submit(Enqueue([NewJob("q", b"x" * 1_000) for _ in range(1_000)]))
    monkeypatch.setattr("holdfast.stores.sqlite.reader._READ_S", -1.0)
    monkeypatch.setattr("holdfast.stores.sqlite.reader._STEPS", 10)
    reader = SqliteReader(open_reader(backend._store._path), QueuePolicy())
    with pytest.raises(Overloaded) as refusal:
        reader.answer(ListJobs(10, text="nothing has this"), NOW)
    assert refusal.value.fields["retry_after_ms"] > 0
    monkeypatch.setattr("holdfast.stores.sqlite.reader._READ_S", 5.0)
    assert len(reader.answer(ListJobs(10), NOW).jobs) == 10
    reader.close()
