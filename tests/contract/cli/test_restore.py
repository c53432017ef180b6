"""`holdfast restore`: from a backup a server goes on; nothing that is there is overwritten, whatever happens."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from holdfast.cli.entry import main
from holdfast.limits import NUMBERS_AHEAD
from holdfast.stores.sqlite import maintenance
from tests.contract.cli.test_access_keys import run as command
from tests.contract.cli.test_backup import backup, is_refused
from tests.system.whole.calls import conclude, lease, push
from tests.system.whole.machine import need
from tests.system.whole.servers import Server


def restore(copy: Path, target: Path) -> Result:
    return CliRunner().invoke(main, ["restore", str(copy), "--store", f"sqlite:///{target}"])


def stop(server: Server) -> None:
    server.send(signal.SIGTERM)
    server.gone()


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


@pytest.fixture
def copied(serve, home, tmp_path):
    """A backup of a server with a job that runs, one that is done and one that waits; what happened since is not in it."""
    server = serve()
    store = home / "holdfast-data/jobs.db"
    with server.client() as client:
        push(client, "q", "runs")
        push(client, "q", "is done later")
        push(client, "q", "waits")
        client.post("/v1/queues/q/jobs", json={"payload": "keyed"}, headers={"Idempotency-Key": "before"})
        schedule = {"interval_ms": 3_600_000, "queue": "tick", "payload": 1}
        assert client.put("/v1/schedules/hourly", json=schedule).status_code in (200, 201)
        runs, done = lease(client, "q", max=2, lease_ms=600_000)
        copy = tmp_path / "copy.db"
        assert backup(store, copy).exit_code == 0
        assert conclude(client, done).status_code == 200
        late = push(client, "q", "after the backup")
        client.post("/v1/queues/q/jobs", json={"payload": "keyed"}, headers={"Idempotency-Key": "after"})
    stop(server)
    return copy, store, runs, done, late


def test_a_server_goes_on_from_the_backup_and_numbers_given_since_are_not_given_again(copied, serve, tmp_path):
    copy, _, runs, done, late = copied
    target = tmp_path / "new/machine/jobs.db"
    said = restore(copy, target)
    assert (said.exit_code, said.stdout) == (0, ""), said.output
    assert f"{copy} is restored to {target}, fsynced and verified" in said.stderr
    assert "It has 4 jobs (2 ready, 2 leased) in 1 queue, 1 schedule and 0 access keys" in said.stderr
    assert "Jobs enqueued since are lost, jobs concluded since run again" in said.stderr
    assert names(target.parent) == {"jobs.db", "jobs.db.lock"}
    assert target.stat().st_mode & 0o777 == 0o600
    assert maintenance.check(target) == []
    with serve("--store", f"sqlite:///{target}", at=tmp_path / "elsewhere").client() as client:
        assert conclude(client, runs).status_code == 200, "a worker that has survived ends its lease"
        assert client.get(f"/v1/jobs/{done['id']}").json()["state"] == "leased", "it was concluded since: it will run again"
        assert client.get(f"/v1/jobs/{late['id']}").status_code == 404
        again = client.post("/v1/queues/q/jobs", json={"payload": "keyed"}, headers={"Idempotency-Key": "before"}).json()
        assert again["id"] < late["id"], "an idempotency key of before the backup gets its answer"
        new = push(client, "q", "new")
        assert new["id"] > NUMBERS_AHEAD
        (newly, *_) = lease(client, "q", max=1)
        assert int(newly["lease"]["token"].split(".")[2]) > NUMBERS_AHEAD


def test_jobs_that_ran_at_the_backup_come_back_without_a_crash(serve, home, tmp_path):
    server = serve()
    with server.client() as client:
        push(client, "q", "runs")
        (job,) = lease(client, "q", lease_ms=2_000)
        assert backup(home / "holdfast-data/jobs.db", tmp_path / "copy.db").exit_code == 0
        conclude(client, job)
    stop(server)
    assert restore(tmp_path / "copy.db", tmp_path / "new/jobs.db").exit_code == 0
    with serve("--store", f"sqlite:///{tmp_path}/new/jobs.db", at=tmp_path / "elsewhere").client() as client:
        (again,) = client.post("/v1/leases", json={"queues": ["q"], "wait_ms": 20_000}).json()["jobs"]
        assert (again["id"], again["crashes"], again["failures"]) == (job["id"], 0, 0)


def test_a_key_that_was_revoked_since_is_named_as_valid_again(home, tmp_path):
    store = tmp_path / "jobs.db"
    place = ("--store", f"sqlite:///{store}")
    command("key", "create", *place, "--name", "leaver", "--can", "consume")
    assert backup(store, tmp_path / "copy.db").exit_code == 0
    command("key", "revoke", *place, "leaver", "--yes")
    said = restore(tmp_path / "copy.db", tmp_path / "new.db")
    assert "1 access key." in said.stderr
    assert "Access keys that were revoked since are valid again" in said.stderr


def test_a_store_with_jobs_is_never_overwritten(copied):
    copy, store, *_ = copied
    before = store.read_bytes()
    is_refused(restore(copy, store), f"{store} has 6 jobs", "never overwrites", "jobs.db-wal")
    assert store.with_name("jobs.db.lock").exists(), "it was there before"
    store.with_name("jobs.db.lock").unlink()
    is_refused(restore(copy, store), f"{store} has 6 jobs")
    assert not store.with_name("jobs.db.lock").exists(), "none is left beside a file that is refused"
    assert store.read_bytes() == before
    is_refused(restore(store, store), "is the store itself")


def test_a_store_that_a_server_uses_is_refused_also_an_empty_one(copied, serve, home, tmp_path):
    serve(at=tmp_path / "empty")
    target = tmp_path / "empty/holdfast-data/jobs.db"
    is_refused(restore(copied[0], target), "in use by another server")


def test_the_empty_store_of_a_new_server_is_replaced_its_log_included(copied, serve, tmp_path):
    server = serve(at=tmp_path / "empty")
    server.kill_all()
    server.gone()
    target = tmp_path / "empty/holdfast-data/jobs.db"
    assert target.with_name("jobs.db-wal").exists()
    assert restore(copied[0], target).exit_code == 0
    assert not target.with_name("jobs.db-wal").exists()
    assert maintenance.check(target) == []
    with serve(at=tmp_path / "empty").client() as client:
        assert len(client.get("/v1/jobs", params={"queue": "q"}).json()["jobs"]) == 4


@pytest.mark.parametrize("way", ["restore", "backup", "move"])
def test_the_log_of_a_store_that_was_moved_away_alone_is_not_played_into_another_one(copied, tmp_path, way):
    copy = copied[0]
    target = tmp_path / "there.db"
    target.with_name("there.db-wal").write_bytes(b"acknowledged jobs")
    if way == "restore":
        said = restore(copy, target)
    elif way == "backup":
        said = backup(copy, target)
    else:
        said = CliRunner().invoke(main, ["move", "--from", f"sqlite:///{copy}", "--to", f"sqlite:///{target}"])
    is_refused(said, "there.db-wal is there without its store file", "move it away")
    assert target.with_name("there.db-wal").read_bytes() == b"acknowledged jobs"
    assert not target.exists()


def test_a_backup_that_is_not_sound_is_refused_and_nothing_is_there(copied, tmp_path):
    copy = copied[0]
    with sqlite3.connect(copy) as other:
        other.execute("UPDATE queue SET ready = ready + 1")
    other.close()
    is_refused(restore(copy, tmp_path / "new.db"), "is not sound: tallies agree", "`holdfast check`")
    cut = tmp_path / "cut.db"
    cut.write_bytes(copy.read_bytes()[: -64 << 10])
    is_refused(restore(cut, tmp_path / "new.db"), "cut.db")
    other_program = tmp_path / "other.db"
    with sqlite3.connect(other_program) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    other.close()
    is_refused(restore(other_program, tmp_path / "new.db"), "not a store of Holdfast")
    is_refused(restore(copied[1], other_program), "of another program")
    (tmp_path / "noise.db").write_bytes(b"no database" * 1_000)
    is_refused(restore(copied[1], tmp_path / "noise.db"), "noise.db is there, and can't be read", "Move it away")
    assert not names(tmp_path) & {"new.db", "new.db.part"}


def test_a_backup_on_a_medium_that_can_only_be_read(copied, tmp_path):
    medium = tmp_path / "medium"
    medium.mkdir()
    shutil.copy(copied[0], medium / "copy.db")
    medium.chmod(0o500)
    try:
        assert restore(medium / "copy.db", tmp_path / "new.db").exit_code == 0
        assert names(medium) == {"copy.db"}
    finally:
        medium.chmod(0o700)


def test_a_restore_into_a_database_says_how_that_is_done(copied):
    said = CliRunner().invoke(main, ["restore", str(copied[0]), "--store", "postgresql://a@b/c"])
    assert said.exit_code == 2
    assert all(word in said.stderr for word in ("base backup", "pg_restore", "holdfast move --from sqlite:///BACKUP"))
    is_refused_as_place = CliRunner().invoke(main, ["restore", str(copied[0]), "--store", "memory"])
    assert is_refused_as_place.exit_code == 2


def test_a_folder_of_scheduled_backups_stands_for_the_newest_in_it(copied, tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    is_refused(restore(folder, tmp_path / "new.db"), "There is no backup in")
    (folder / "jobs-2025-11-29T10-00-00Z.db").write_text("older")
    shutil.copy(copied[0], folder / "jobs-2025-11-30T09-00-00Z.db")
    (folder / "jobs-2025-11-30T10-00-00Z.db.part").write_text("not whole")
    said = restore(folder, tmp_path / "new.db")
    assert said.exit_code == 0
    assert "jobs-2025-11-30T09-00-00Z.db is restored" in said.stderr
    (folder / "other-2025-11-30T09-00-00Z.db").write_text("of another store")
    is_refused(restore(folder, tmp_path / "newer.db"), "several stores (jobs, other)")


def test_a_backup_of_the_future_leaves_open_which_one_is_the_newest(copied, tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    for name in ("jobs-2025-11-30T09-00-00Z.db", "jobs-9025-11-30T09-00-00Z.db"):
        shutil.copy(copied[0], folder / name)
    is_refused(
        restore(folder, tmp_path / "new.db"), "jobs-9025-11-30T09-00-00Z.db is of a moment that is yet to come", "name the file"
    )
    assert restore(folder / "jobs-9025-11-30T09-00-00Z.db", tmp_path / "new.db").exit_code == 0


@pytest.mark.parametrize("what", ["pipe", "folder"])
def test_what_is_no_file_is_neither_waited_for_nor_replaced(copied, tmp_path, what):
    there = tmp_path / "there"
    os.mkfifo(there) if what == "pipe" else there.mkdir()
    kind = there.stat().st_mode
    says = f"{there} is a {'pipe, a socket or a device' if what == 'pipe' else 'directory'}"
    is_refused(restore(copied[0], there), says)
    for words in (["export", "--store"], ["import", os.devnull, "--store"]):
        is_refused(CliRunner().invoke(main, [*words, f"sqlite:///{there}"]), says)
    if what == "pipe":
        is_refused(restore(there, tmp_path / "new.db"), says)
        is_refused(CliRunner().invoke(main, ["check", str(there)]), says)
        is_refused(CliRunner().invoke(main, ["backup", str(there), str(tmp_path / "b.db")]), says)
    assert there.stat().st_mode == kind
    assert not (tmp_path / "there.lock").exists()


def test_a_backup_of_an_older_schema_is_brought_to_this_one(tmp_path):
    older = tmp_path / "older.db"
    connection = sqlite3.connect(older)
    for number, script in [
        one for one in __import__("holdfast.stores.sqlite.connect", fromlist=["migrations"]).migrations() if one[0] <= 6
    ]:
        connection.executescript(f"{script}; PRAGMA application_id = {0x486F6C64}; PRAGMA user_version = {number}")
    connection.close()
    is_refused(backup(older, tmp_path / "copy.db"), "has schema 6")
    assert restore(older, tmp_path / "new.db").exit_code == 0
    assert maintenance.check(tmp_path / "new.db") == []


def test_a_restore_that_is_killed_leaves_nothing_that_a_server_would_take_for_a_store(copied, serve, tmp_path):
    copy = copied[0]
    with sqlite3.connect(copy) as other:
        other.execute("CREATE TABLE ballast (bytes BLOB)")
        other.executemany("INSERT INTO ballast VALUES (zeroblob(1000000))", [()] * 100)
    other.close()
    target = tmp_path / "new/jobs.db"
    part = target.with_name("jobs.db.part")

    def written() -> int:
        try:
            return part.stat().st_size
        except FileNotFoundError:
            return 0

    for after_bytes in (1, 20 << 20, 60 << 20):
        part.unlink(missing_ok=True)
        killed = subprocess.Popen(
            [sys.executable, "-m", "holdfast", "restore", str(copy), "--store", f"sqlite:///{target}"],
            stderr=subprocess.DEVNULL,
        )
        while killed.poll() is None and written() < after_bytes:
            time.sleep(0.001)
        killed.kill()
        assert killed.wait() == -signal.SIGKILL
        assert not target.exists()
        assert part.exists()
    assert restore(copy, target).exit_code == 0
    assert names(target.parent) == {"jobs.db", "jobs.db.lock"}
    with serve("--store", f"sqlite:///{target}", at=tmp_path / "elsewhere").client() as client:
        assert len(client.get("/v1/jobs", params={"queue": "q"}).json()["jobs"]) == 4


@pytest.mark.parametrize("way", ["backup", "restore"])
def test_a_disk_that_gets_full_leaves_nothing_half_done(copied, tmp_path, way):
    copy, target = copied[0], tmp_path / "new.db"
    words = [str(copy), str(target)] if way == "backup" else [str(copy), "--store", f"sqlite:///{target}"]
    command = [sys.executable, "-m", "holdfast", way, *words]
    full = f'ulimit -f {copy.stat().st_size // 2 // 512}; exec "$@"'  # in blocks of 512 bytes: half of the copy
    said = subprocess.run(["sh", "-c", full, "sh", *command], capture_output=True, text=True, check=False, timeout=60)
    assert said.returncode == 1
    assert said.stderr.startswith("holdfast: "), said.stderr
    assert said.stderr.count("\n") == 1
    assert not names(tmp_path) & {"new.db", "new.db.part", "new.db.part-journal", "new.db.part-wal"}


def test_what_root_restores_belongs_to_who_owns_the_folder(copied, tmp_path):
    need(root=True)
    folder = tmp_path / "of-the-server"
    folder.mkdir()
    os.chown(folder, 12_345, 12_345)
    assert restore(copied[0], folder / "jobs.db").exit_code == 0
    assert {(entry.stat().st_uid, entry.stat().st_gid) for entry in folder.iterdir()} == {(12_345, 12_345)}
