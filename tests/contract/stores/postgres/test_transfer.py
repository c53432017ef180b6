"""`holdfast move --replicas K`: what is said to be moved is on K standbys, and where there are too few nothing is."""

import asyncio
import subprocess
import sys

import pytest

from holdfast.job.job import NewJob
from holdfast.job.queue import QueuePolicy
from holdfast.stores.postgres.store import PostgresStore
from holdfast.stores.sqlite.store import SqliteStore
from tests.contract.stores.conformance.conftest import StoreClient

JOBS = 20
COPY_S = 4.0  # it takes about one


@pytest.fixture
def moving(group, tmp_path):
    """Begins to move a file with some jobs into the group's database."""

    async def fill() -> None:
        client = StoreClient(SqliteStore(tmp_path / "jobs.db", QueuePolicy()))
        await client.put_all([NewJob("q", b"1")] * JOBS)
        await client.close()

    asyncio.run(fill())
    started = []

    def begin(*options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "holdfast", "move", "--from", f"sqlite:///{tmp_path}/jobs.db", "--to", group.url]
        started.append(subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield begin
    for one in started:
        one.kill()
        one.communicate()


async def make_schema(url):
    store = PostgresStore(url, QueuePolicy())
    await store.tend()
    await store.close()


def jobs_in(group):
    if group.primary.value("SELECT to_regclass('holdfast.job') IS NULL", database="holdfast"):
        return 0
    return group.primary.value("SELECT count(*) FROM holdfast.job", database="holdfast")


def test_it_is_not_said_to_be_moved_before_the_standbys_have_it(group, moving, waiting):
    assert moving("--replicas", "1", "--dry-run").wait(30) == 0
    asyncio.run(make_schema(group.url))  # which is committed by itself, and waits for the standbys, too
    standbys = group.standbys
    for one in standbys:
        one.pause()
    move = moving("--replicas", "1")
    with pytest.raises(subprocess.TimeoutExpired):
        move.wait(COPY_S)
    for one in standbys:
        one.resume()
    assert "Moved." in move.communicate(timeout=30)[1]
    assert move.returncode == 0
    assert jobs_in(group) == JOBS


@pytest.mark.parametrize("option", [[], ["--dry-run"]], ids=["for real", "dry run"])
def test_with_too_few_standbys_nothing_is_moved_and_a_dry_run_says_so_too(group, moving, option):
    group.primary.configure(synchronous_standby_names="")
    move = moving("--replicas", "1", *option)
    assert "0 standbys are in sync and 1 is needed" in move.communicate(timeout=30)[1]
    assert move.returncode == 1
    assert jobs_in(group) == 0


def test_a_role_that_sees_no_standbys_can_still_move_without_a_proof(group, moving):
    group.primary.sql("REVOKE pg_monitor FROM holdfast")
    try:
        move = moving("--dry-run")
        assert move.wait(30) == 0
    finally:
        group.primary.sql("GRANT pg_monitor TO holdfast")
