"""The database's disk is full: nothing new is taken, what can still end ends, nothing that was refused has happened, and it goes on by itself."""

import asyncio
import os
import subprocess
import time

import pytest

from cluster.postgres import server
from cluster.processes import give
from holdfast.job.job import NewJob, State
from holdfast.messages.answers import Enqueued, Outcome
from holdfast.messages.commands import ConcludeLease, Enqueue, ExtendLease, LeaseJobs, PurgeQueue
from holdfast.messages.frame import Refused
from holdfast.stores.postgres.maintenance import check
from holdfast.stores.postgres.store import FULL_S


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A server with a tablespace on a file system of 6 MiB in memory."""
    folder = tmp_path_factory.mktemp("small")
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "holdfast-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        message = "needs to mount a tmpfs, as root"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    try:
        with server(tmp_path_factory.mktemp("postgres")) as one:
            place = folder / "tables"
            place.mkdir()
            give(place)
            one.sql(f"CREATE TABLESPACE small LOCATION '{place}'")
            one.resize = lambda mib: subprocess.run(["mount", "-o", f"remount,size={mib}m", str(folder)], check=True)
            yield one
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
async def filled(database, node):
    """A node whose jobs, and with `also` more tables, are on the full disk; and leases that were given before."""

    async def fill(*also):
        database.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")
        database.resize(6)  # what the test before put there is gone
        one = node(0, database.url())
        await one.backend.submit(Enqueue([NewJob("early", b"1")] * 8))
        jobs = (await one.backend.submit(LeaseJobs(("early",), 8, "w", lease_ms=600_000))).jobs
        for table in ("job", *also):
            database.sql(f"ALTER TABLE holdfast.{table} SET TABLESPACE small", database="holdfast")
        for table in also:  # no page of them has room for another row, and none can be added
            database.sql(f"ALTER TABLE holdfast.{table} SET (fillfactor = 100, autovacuum_enabled = off)", database="holdfast")
        for size in (100_000, 10_000, 1_000, 10):
            one.store._full_until = 0.0
            while isinstance(
                await one.backend.submit(Enqueue([NewJob("q", os.urandom(size), content_type="application/octet-stream")])),
                Enqueued,
            ):
                pass
        return one, [granted.job for granted in jobs]

    return fill


@pytest.fixture
def group(database):
    """What the fixture `node` asks for."""
    return database


async def test_new_jobs_are_refused_and_leases_end(filled, database):
    one, jobs = await filled()
    health = one.store.health()
    assert (health.accepting, health.reason) == (False, "storage_full")
    together = [one.backend.submit(ConcludeLease(job.ref(), b'"done"')) for job in jobs[:4]]
    together += [
        one.backend.submit(Enqueue([NewJob("q", os.urandom(20_000), content_type="application/octet-stream")]))
        for _ in range(4)
    ]
    results = await asyncio.gather(*together)
    assert [result.state for result in results[:4]] == [State.CONCLUDED] * 4
    assert {result.code for result in results[4:]} == {"storage_full"}
    one.store._full_until = 0.0  # the next batch finds out anew, with both in it
    together = [
        one.backend.submit(Enqueue([NewJob("q", os.urandom(20_000), content_type="application/octet-stream")]))
        for _ in range(4)
    ]
    together += [one.backend.submit(ConcludeLease(job.ref())) for job in jobs[4:]]
    results = await asyncio.gather(*together)
    assert {result.code for result in results[:4]} == {"storage_full"}
    assert all(isinstance(result, Outcome) for result in results[4:])
    assert await check(database.url()) == []


async def test_what_finds_no_room_is_refused_changes_nothing_and_can_be_done_later(filled, database):
    one, jobs = await filled("ended")
    ends = [await one.backend.submit(ConcludeLease(job.ref(), b'"' + b"x" * 5_000 + b'"')) for job in jobs[:4]]
    assert {getattr(end, "code", "") for end in ends} == {"storage_full"}
    assert not isinstance(await one.backend.submit(ExtendLease(jobs[-1].ref(), 600_000)), Refused)
    assert await check(database.url()) == []
    assert (await one.backend.submit(PurgeQueue("q", (State.READY,), 0, 3))).count == 3
    database.resize(12)
    began = time.monotonic()
    async with asyncio.timeout(FULL_S + 10):
        while isinstance(await one.backend.submit(Enqueue([NewJob("q", b"1")])), Refused):  # noqa: ASYNC110  (only asking tells)
            await asyncio.sleep(0.1)
    assert time.monotonic() - began <= FULL_S + 3
    for job in jobs:
        assert not isinstance(await one.backend.submit(ConcludeLease(job.ref(), b'"' + b"x" * 5_000 + b'"')), Refused)
    assert await check(database.url()) == []
