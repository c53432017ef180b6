"""Numbers of jobs and of leases grow for ever: after a stop without a gap, after a kill and after a transaction that was undone too."""

import asyncio
import shutil
from contextlib import asynccontextmanager

import pytest

from holdfast.clock import ManualClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.job.job import NewJob
from holdfast.job.queue import QueuePolicy
from holdfast.messages.commands import ConcludeLease, DeleteJob, Enqueue, LeaseJobs
from holdfast.stores.sqlite.store import SqliteStore


@asynccontextmanager
async def opened(path):
    store = SqliteStore(path, QueuePolicy())
    backend = LocalBackend(store, ManualClock())
    backend.start()
    yield store, backend
    await backend.stop()


async def run_and_delete(backend, count):
    """Enqueue, lease, conclude and delete `count` jobs; returns their ids and fences."""
    await backend.submit(Enqueue([NewJob("q", b"1")] * count))
    granted = [one.job for one in (await backend.submit(LeaseJobs(("q",), count, "w"))).jobs]
    await asyncio.gather(*[backend.submit(ConcludeLease(job.ref())) for job in granted])
    await asyncio.gather(*[backend.submit(DeleteJob(job.id)) for job in granted])
    return [job.id for job in granted], [job.lease.fence for job in granted]


def counters(store):
    return dict(store._writer.execute("SELECT name, value FROM counter WHERE name IN ('job', 'fence')"))


async def test_a_store_that_was_closed_goes_on_with_the_next_number(tmp_path):
    async with opened(tmp_path / "jobs.db") as (_, backend):
        assert await run_and_delete(backend, 3) == ([1, 2, 3], [1, 2, 3])
    async with opened(tmp_path / "jobs.db") as (store, backend):
        assert counters(store) == {"job": 3, "fence": 3}
        assert await run_and_delete(backend, 2) == ([4, 5], [4, 5])


@pytest.mark.parametrize("count", [1, 999, 1_000, 1_001, 2_500])
async def test_what_a_killed_process_leaves_has_no_number_twice_though_nothing_is_left_of_them(tmp_path, count):
    async with opened(tmp_path / "jobs.db") as (store, backend):
        jobs, fences = [], []
        for first in range(0, count, 500):
            more = await run_and_delete(backend, min(500, count - first))
            jobs, fences = jobs + more[0], fences + more[1]
        assert counters(store)["job"] >= jobs[-1]
        assert counters(store)["fence"] >= fences[-1]
        for name in ("jobs.db", "jobs.db-wal"):  # as a kill would leave them
            shutil.copy(tmp_path / name, tmp_path / f"left-{name}")
    async with opened(tmp_path / "left-jobs.db") as (_, backend):
        (job,), (fence,) = await run_and_delete(backend, 1)
    assert max(jobs) < job <= max(jobs) + 1_001
    assert max(fences) < fence <= max(fences) + 1_001


async def test_most_commits_do_not_write_the_counters(tmp_path):
    async with opened(tmp_path / "jobs.db") as (store, backend):
        await run_and_delete(backend, 1)
        before = counters(store)
        await run_and_delete(backend, 100)
        assert counters(store) == before


async def test_an_undone_transaction_takes_no_number_back_and_its_counters_are_written_again(tmp_path):
    async with opened(tmp_path / "jobs.db") as (store, backend):
        async with store.transaction() as tx:
            assert tx.take_job_ids(5_000) == 1
            await tx.write([])
            store._cache.keep_counters(store._writer)
            assert counters(store)["job"] >= 5_000
        assert counters(store) == {"job": 0, "fence": 0}
        assert await run_and_delete(backend, 1) == ([5_001], [1])
        assert counters(store)["job"] >= 5_001
