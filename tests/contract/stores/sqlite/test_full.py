"""A disk that really fills up: pushes are refused, leases still end, nothing that was answered is lost, and the store never breaks of it."""

import os
import subprocess

import pytest

from holdfast.clock import ManualClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.job.job import NewJob, State
from holdfast.job.queue import QueuePolicy
from holdfast.messages.answers import Enqueued
from holdfast.messages.commands import ConcludeLease, Enqueue, LeaseJobs, PurgeQueue
from holdfast.messages.queries import GetHealth, GetQueue
from holdfast.stores.sqlite import maintenance
from holdfast.stores.sqlite.store import SqliteStore

MIB = 1 << 20


@pytest.fixture
def small(tmp_path):
    """A file system of 40 MiB in memory; where none can be mounted the test says so, and fails under CI."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=40m", "holdfast-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        message = "needs to mount a tmpfs, as root"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
async def start(small):
    """Run a store on it; checked after the test."""
    started = []

    def run(watermark):
        started.append(LocalBackend(SqliteStore(small / "jobs.db", QueuePolicy(), watermark), ManualClock()))
        started[-1].start()
        return started[-1]

    yield run
    for backend in started:
        await backend.stop()
    assert maintenance.check(small / "jobs.db") == []


def text(size: int) -> bytes:
    """A payload of so many bytes: a check reads it."""
    return b'"%b"' % (b"x" * (size - 2))


@pytest.mark.parametrize("size", [100, 5_000, 300_000])
async def test_on_a_full_disk_leases_end_on_the_reserve_and_pushes_come_back_after_a_purge(start, size):
    backend = start(8 * MIB)
    await backend.submit(Enqueue([NewJob("early", b"1")] * 3))
    jobs = (await backend.submit(LeaseJobs(("early",), 3, "w"))).jobs
    kept = await fill(backend, size)
    ends = [await backend.submit(ConcludeLease(one.job.ref(), b'"done"')) for one in jobs]
    assert [getattr(end, "state", end) for end in ends] == [State.CONCLUDED] * 3
    assert (await backend.submit(GetQueue("q"))).tally.ready == kept
    await empty(backend)
    await backend.submit(GetHealth())
    assert isinstance(await backend.submit(Enqueue([NewJob("q", b"1")])), Enqueued)
    assert not backend._runner.done(), "the store broke of a full disk"


@pytest.mark.parametrize("size", [100, 5_000, 300_000])
async def test_a_disk_that_is_full_to_the_brim_breaks_nothing_and_all_goes_on_when_it_grows(start, small, size):
    backend = start(0)
    kept = await fill(backend, size)
    refused = await backend.submit(Enqueue([NewJob("q", b"1" * size)]))
    assert refused.code == "storage_full"
    subprocess.run(["mount", "-o", "remount,size=80m", str(small)], check=True)  # noqa: ASYNC221
    await backend.submit(GetHealth())
    assert (await backend.submit(GetQueue("q"))).tally.ready == kept
    assert isinstance(await backend.submit(Enqueue([NewJob("q", b"1" * size)])), Enqueued)
    (granted,) = (await backend.submit(LeaseJobs(("q",), 1, "w"))).jobs
    assert (await backend.submit(ConcludeLease(granted.job.ref()))).state is State.CONCLUDED
    assert not backend._runner.done(), "the store broke of a full disk"


async def fill(backend, size: int) -> int:
    """Put jobs, fewer and fewer at a time, until not even one is taken; how many were."""
    kept, count = 0, max(1, min(1_000, MIB // size))
    while count:
        result = await backend.submit(Enqueue([NewJob("q", b"1" * size)] * count))
        if isinstance(result, Enqueued):
            kept += count
        else:
            assert result.code == "storage_full"
            await backend.submit(GetHealth())  # look at the disk again: what was too much may not be too much in small
            count //= 2
    return kept


async def empty(backend) -> None:
    """Purge in chunks that are small enough for what space there is."""
    limit = 100
    while (tally := (await backend.submit(GetQueue("q"))).tally).ready:
        result = await backend.submit(PurgeQueue("q", (State.READY,), 0, limit))
        if getattr(result, "code", None) == "storage_full":
            assert limit > 1, f"nothing can be removed from a full disk: {tally}"
            limit //= 2
