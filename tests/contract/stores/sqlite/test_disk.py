"""The watermark and the reserve, on a disk small enough to fill."""

import os
import subprocess

import pytest
from structlog.testing import capture_logs

from holdfast.job.queue import QueuePolicy
from holdfast.stores.sqlite.files import Disk
from holdfast.stores.sqlite.store import SqliteStore

MIB = 1 << 20


@pytest.fixture
def small(tmp_path):
    """A memory file system of 16 MiB; where one can't be mounted the test says so, and fails under CI."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "holdfast-test", str(folder)], capture_output=True, check=False
    ).returncode == 0  # fmt: skip
    if not mounted:
        message = "needs to mount a tmpfs, as root"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_below_the_watermark_nothing_new_is_accepted_and_above_it_again(small):
    disk = Disk(small / "jobs.db", 4 * MIB)
    assert disk.accepting
    (small / "filler").write_bytes(bytes(9 * MIB))
    disk.look()
    assert not disk.accepting
    (small / "filler").unlink()
    disk.look()
    assert disk.accepting


def test_the_log_tells_once_that_the_watermark_is_reached_with_the_bound_and_once_that_there_is_room_again(small):
    with capture_logs() as lines:
        disk = Disk(small / "jobs.db", 4 * MIB)
        disk.look()
        assert lines == []
        (small / "filler").write_bytes(bytes(9 * MIB))
        disk.look()
        disk.look()
        (line,) = lines
        assert "new jobs are refused" in line["event"]
        assert (line["log_level"], line["disk_watermark_bytes"]) == ("warning", 4 * MIB)
        assert line["free_bytes"] == disk.free_bytes
        disk.look(reusable_bytes=4 * MIB)
        disk.look(reusable_bytes=4 * MIB)
    assert [line["log_level"] for line in lines] == ["warning", "info"]
    assert "new jobs are taken" in lines[-1]["event"]


def test_empty_pages_within_the_file_count_as_room(small):
    disk = Disk(small / "jobs.db", 4 * MIB)
    (small / "filler").write_bytes(bytes(9 * MIB))
    disk.look(reusable_bytes=4 * MIB)
    assert disk.accepting


def test_the_reserve_is_given_back_once_and_taken_again_when_there_is_room(small):
    disk = Disk(small / "jobs.db", 2 * MIB)
    reserve = small / "jobs.db.reserve"
    assert reserve.stat().st_size == 2 * MIB
    free = os.statvfs(small).f_bavail
    assert disk.spend_reserve() is True
    assert not disk.accepting
    assert os.statvfs(small).f_bavail > free
    assert disk.spend_reserve() is False
    disk.look()
    assert reserve.exists()
    assert disk.accepting


def test_without_a_watermark_there_is_no_reserve(small):
    Disk(small / "jobs.db", 0)
    assert list(small.iterdir()) == []


async def test_jobs_on_a_memory_file_system_are_said_to_be_in_memory(small, tmp_path):
    store = SqliteStore(small / "jobs.db", QueuePolicy())
    assert store.durability.level == "memory"
    await store.close()
