"""What the store demands of its file: a safe SQLite, settings that are read back, a lock, and a place that keeps what is written."""

import subprocess
import sys

import apsw
import pytest

from holdfast import __version__
from holdfast.job.queue import QueuePolicy
from holdfast.stores.sqlite import connect, files, maintenance
from holdfast.stores.sqlite.connect import APPLICATION_ID, check_version, migrations, open_reader, open_writer
from holdfast.stores.sqlite.files import UnfitPlace, check_place, file_system
from holdfast.stores.sqlite.store import SqliteStore

LOCAL = "22 1 259:1 / / rw,relatime - ext4 /dev/vda rw\n"
REMOTE = LOCAL + "40 22 0:50 / /mnt/share\\040one rw,relatime - nfs4 server:/export rw\n"


@pytest.mark.parametrize("number", [3_007_000, 3_040_001, 3_051_002, 3_052_000, 3_050_006, 3_044_005])
def test_a_sqlite_that_can_lose_commits_is_refused_with_what_to_install(number):
    with pytest.raises(UnfitPlace, match="apsw"):
        check_version(number)


@pytest.mark.parametrize("number", [3_051_003, 3_053_000, 3_054_001, 3_050_007, 3_044_006])
def test_a_sqlite_with_the_fix_is_taken(number):
    check_version(number)


async def test_the_writer_s_settings_are_what_was_asked_for(tmp_path):
    connection = open_writer(str(tmp_path / "jobs.db"))
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2
    assert connection.pragma("application_id") == APPLICATION_ID
    assert connection.pragma("user_version") == migrations()[-1][0]
    connection.close()


def test_the_log_is_brought_into_the_file_while_it_is_written(tmp_path):
    connection = open_writer(str(tmp_path / "jobs.db"))
    connection.execute("CREATE TABLE filler(x BLOB) STRICT")
    for _ in range(40):
        connection.execute("INSERT INTO filler VALUES (zeroblob(1000000))")
    assert (tmp_path / "jobs.db-wal").stat().st_size < 8 << 20
    assert (tmp_path / "jobs.db").stat().st_size > 32 << 20
    connection.close()


def test_a_setting_that_sqlite_does_not_keep_to_stops_the_start(tmp_path):
    connection = apsw.Connection(str(tmp_path / "x.db"))
    with pytest.raises(UnfitPlace, match="journal_mode"):
        connect._demand(connection, "journal_mode", "wal", "DELETE")


async def test_a_reader_can_not_write(tmp_path):
    store = SqliteStore(tmp_path / "jobs.db", QueuePolicy())
    reader = open_reader(tmp_path / "jobs.db")
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("DELETE FROM job")
    reader.close()
    await store.close()


async def test_two_stores_never_share_a_file_not_even_from_two_processes(tmp_path):
    store = SqliteStore(tmp_path / "jobs.db", QueuePolicy())
    with pytest.raises(UnfitPlace, match="in use by another server"):
        SqliteStore(tmp_path / "jobs.db", QueuePolicy())
    code = (
        "import pathlib, sys; from holdfast.job.queue import QueuePolicy; from holdfast.stores.sqlite.store import SqliteStore;"
        "SqliteStore(pathlib.Path(sys.argv[1]), QueuePolicy())"
    )
    other = subprocess.run(  # noqa: ASYNC221  (nothing else runs on this loop)
        [sys.executable, "-c", code, str(tmp_path / "jobs.db")], capture_output=True, text=True, timeout=30, check=False
    )
    assert other.returncode == 1
    assert "in use by another server" in other.stderr
    await store.close()
    await SqliteStore(tmp_path / "jobs.db", QueuePolicy()).close()


async def test_folders_that_are_made_are_flushed_into_those_they_stand_in(tmp_path, monkeypatch):
    flushed = []
    real = files.sync_folder
    monkeypatch.setattr(files, "sync_folder", lambda folder: (flushed.append(folder), real(folder)))
    await SqliteStore(tmp_path / "a/b/jobs.db", QueuePolicy()).close()
    assert flushed[:2] == [tmp_path, tmp_path / "a"], "outermost first: else the inner one's name may outlive its place"


def test_a_file_of_another_program_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "other.db"
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE theirs(x); INSERT INTO theirs VALUES (1)")
    other.close()
    with pytest.raises(UnfitPlace, match="another program"):
        SqliteStore(path, QueuePolicy())
    assert apsw.Connection(str(path)).execute("SELECT x FROM theirs").get == 1


async def test_a_file_of_a_newer_holdfast_is_refused(tmp_path):
    await SqliteStore(tmp_path / "jobs.db", QueuePolicy()).close()
    connection = apsw.Connection(str(tmp_path / "jobs.db"))
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(UnfitPlace, match="schema 999"):
        SqliteStore(tmp_path / "jobs.db", QueuePolicy())


def test_a_migration_that_fails_leaves_the_schema_before_all_steps_that_were_due(tmp_path, monkeypatch):
    good = migrations()
    connection = apsw.Connection(str(tmp_path / "jobs.db"))
    connect.migrate(connection)
    failing = [
        (900, "CREATE TABLE whole(x INTEGER) STRICT"),
        (901, "CREATE TABLE half(x INTEGER) STRICT; SELECT no_such_thing"),
    ]
    monkeypatch.setattr(connect, "migrations", lambda: [*good, *failing])
    with pytest.raises(apsw.SQLError):
        connect.migrate(connection)
    connection.close()
    after = apsw.Connection(str(tmp_path / "jobs.db"))
    assert after.pragma("user_version") == good[-1][0]
    assert after.execute("SELECT count(*) FROM sqlite_schema WHERE name IN ('whole', 'half')").get == 0


def test_a_file_of_a_newer_version_is_refused_with_its_name_and_the_way_back(tmp_path, monkeypatch):
    good = migrations()
    with monkeypatch.context() as newer:
        newer.setattr(connect, "migrations", lambda: [*good, (good[-1][0] + 1, "CREATE TABLE more(x INTEGER) STRICT")])
        newer.setattr(connect, "__version__", "77.1.0")
        connection = apsw.Connection(str(tmp_path / "jobs.db"))
        connect.migrate(connection)
        connection.close()
    for opening in (lambda: SqliteStore(tmp_path / "jobs.db", QueuePolicy()), lambda: maintenance.check(tmp_path / "jobs.db")):
        with pytest.raises(UnfitPlace) as refused:
            opening()
        assert (
            f"has schema {good[-1][0] + 1}, which Holdfast 77.1.0 made. This is Holdfast {__version__}, which knows up to {good[-1][0]}. "
            in str(refused.value)
        )
        assert "`holdfast export`" in str(refused.value)


async def test_every_older_schema_is_brought_to_the_newest(tmp_path, monkeypatch):
    scripts = migrations()
    for count in range(1, len(scripts)):
        path = tmp_path / f"{count}.db"
        monkeypatch.setattr(connect, "migrations", lambda count=count: scripts[:count])
        older = apsw.Connection(str(path))
        connect.migrate(older)
        older.close()
        monkeypatch.setattr(connect, "migrations", lambda: scripts)
        store = SqliteStore(path, QueuePolicy())
        assert store._writer.pragma("user_version") == scripts[-1][0]
        await store.close()


async def test_the_file_is_for_its_owner_alone(tmp_path):
    store = SqliteStore(tmp_path / "jobs.db", QueuePolicy())
    assert {path.name: path.stat().st_mode & 0o077 for path in tmp_path.iterdir() if path.name.startswith("jobs.db")} == {
        path.name: 0 for path in tmp_path.iterdir() if path.name.startswith("jobs.db")
    }
    await store.close()


def test_a_network_file_system_is_refused_by_name(tmp_path):
    check_place(tmp_path, LOCAL)
    with pytest.raises(UnfitPlace, match="nfs4"):
        check_place(type(tmp_path)("/mnt/share one/jobs"), REMOTE)


@pytest.mark.parametrize("kind", ["cifs", "smb3", "9p", "vboxsf", "fuse.sshfs", "fuse.gcsfuse", "fuse.rclone", "fuse.juicefs"])
def test_so_is_whatever_else_keeps_its_files_elsewhere(tmp_path, kind):
    with pytest.raises(UnfitPlace, match=f"network file system \\({kind}\\)"):
        check_place(type(tmp_path)("/mnt/share one/jobs"), REMOTE.replace("nfs4", kind))


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "fuseblk", "fuse.fuse-overlayfs"])
def test_a_local_file_system_is_taken(tmp_path, kind):
    check_place(type(tmp_path)("/mnt/share one/jobs"), REMOTE.replace("nfs4", kind))


def test_the_innermost_mount_counts(tmp_path):
    assert file_system(type(tmp_path)("/mnt/share one/jobs"), REMOTE) == "nfs4"
    assert file_system(type(tmp_path)("/mnt/share one and more"), REMOTE) == "ext4"
