"""The lock's ends: whatever happens to its holder, the next server can have the file, and never sooner."""

import os
import signal
import subprocess
import sys

import apsw
import pytest

from holdfast.job.queue import QueuePolicy
from holdfast.stores.sqlite.files import UnfitPlace
from holdfast.stores.sqlite.store import SqliteStore

HOLD = """
import pathlib, sys, time
from holdfast.job.queue import QueuePolicy
from holdfast.stores.sqlite.store import SqliteStore
store = SqliteStore(pathlib.Path(sys.argv[1]), QueuePolicy())
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has the store open."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "jobs.db")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait(10)
    process.stdout.close()


async def test_a_file_that_another_process_has_is_refused_with_the_number_of_that_process(holder, tmp_path):
    with pytest.raises(UnfitPlace, match=f"process {holder.pid}"):
        SqliteStore(tmp_path / "jobs.db", QueuePolicy())


@pytest.mark.parametrize("link", [os.symlink, os.link])
async def test_a_file_that_another_process_has_is_refused_under_its_other_names_too(holder, tmp_path, link):
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / "other.db"
    link(tmp_path / "jobs.db", other)
    with pytest.raises(UnfitPlace, match="by another name"):
        SqliteStore(other, QueuePolicy())
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait(10)
    await SqliteStore(other, QueuePolicy()).close()


async def test_a_server_that_was_killed_leaves_no_lock_behind(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait(10)
    await SqliteStore(tmp_path / "jobs.db", QueuePolicy()).close()


def set_schema(path, version):
    """Change the schema's number; what it was."""
    connection = apsw.Connection(str(path))
    before = connection.pragma("user_version")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    return before


async def test_a_file_that_was_refused_can_be_opened_by_the_same_process_once_it_is_fit(tmp_path):
    path = tmp_path / "jobs.db"
    await SqliteStore(path, QueuePolicy()).close()
    fit = set_schema(path, 999)
    with pytest.raises(UnfitPlace, match="schema 999"):
        SqliteStore(path, QueuePolicy())
    set_schema(path, fit)
    await SqliteStore(path, QueuePolicy()).close()


@pytest.mark.parametrize("content", [b"this is not a database at all, but it is long enough to look at" * 100, None])
async def test_a_file_that_is_not_ours_is_left_as_it_was_byte_for_byte(tmp_path, content):
    path = tmp_path / "theirs.db"
    if content is None:
        theirs = apsw.Connection(str(path))
        theirs.execute("CREATE TABLE theirs(x); INSERT INTO theirs VALUES (1)")
        theirs.close()
    else:
        path.write_bytes(content)
    path.chmod(0o644)
    before = path.read_bytes(), path.stat().st_mode
    with pytest.raises((UnfitPlace, apsw.NotADBError)):
        SqliteStore(path, QueuePolicy(), watermark_bytes=1 << 20)
    assert (path.read_bytes(), path.stat().st_mode) == before
    assert {entry.name for entry in tmp_path.iterdir()} == {"theirs.db"}, "no lock stays beside it"


async def test_a_store_on_a_local_disk_says_so(tmp_path):
    store = SqliteStore(tmp_path / "new folder" / "jobs.db", QueuePolicy())
    if store.durability.level != "disk":
        pytest.skip(f"the temporary folder {tmp_path} is not on a disk")
    assert store.durability.replicas == 0
    await store.close()
