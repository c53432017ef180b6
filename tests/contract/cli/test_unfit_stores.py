"""What is no store, or one that can't be used: each command says so in a sentence with an exit code, and leaves everything as it was."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from holdfast.cli.entry import main
from holdfast.job.queue import QueuePolicy
from holdfast.stores.sqlite import connect
from holdfast.stores.sqlite.beside import transaction_beside
from holdfast.stores.sqlite.files import UnfitPlace
from holdfast.stores.sqlite.store import SqliteStore
from tests.system.whole.machine import need

COMMANDS = {
    "check": ("check", "{path}"),
    "check --store": ("check", "--store", "sqlite:///{path}"),
    "backup": ("backup", "{path}", "{folder}/copy.db"),
    "export": ("export", "--store", "sqlite:///{path}"),
    "upgrade": ("upgrade", "--store", "sqlite:///{path}"),
    "upgrade --check": ("upgrade", "--check", "--store", "sqlite:///{path}"),
    "key ls": ("key", "ls", "--store", "sqlite:///{path}"),
    "key create": ("key", "create", "--name", "a", "--can", "read", "--store", "sqlite:///{path}"),
    "import": ("import", "{export}", "--store", "sqlite:///{path}"),
    "restore": ("restore", "{path}", "--store", "sqlite:///{folder}/restored/jobs.db"),
    "move": ("move", "--from", "sqlite:///{path}", "--to", "sqlite:///{folder}/moved.db"),
}
EXPORT = '{"holdfast":1}\n'


def made(path):
    """A store with nothing in it."""
    asyncio.run(SqliteStore(path, QueuePolicy()).close())


def folder(path):
    path.mkdir()


def garbage(path):
    path.write_bytes(b"buy milk\n" * 1_000)


def of_another_program(path):
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs(x)")
    other.close()


def newer(path):
    made(path)
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 999")
    other.close()


def cut_short(path):
    made(path)
    with path.open("r+b") as file:
        file.truncate(5_000)


def log_alone(path):
    """The log of a store whose file was moved away, with what only it has."""
    made(path)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("PRAGMA wal_autocheckpoint = 0")
        other.execute("UPDATE counter SET value = value + 1")
        kept = path.with_name("kept")
        shutil.copy(path.with_name(path.name + "-wal"), kept)
    other.close()
    for entry in [entry for entry in path.parent.iterdir() if entry != kept]:
        entry.unlink()
    kept.rename(path.with_name(path.name + "-wal"))


UNFIT = {one.__name__: one for one in (folder, garbage, of_another_program, newer, cut_short, log_alone)}


def seen(place):
    """Names and contents; the lock has a name of its own, which says who looked last, and an index of the log has no content of its own."""
    return {
        entry.relative_to(place): entry.read_bytes() if entry.is_file() else None
        for entry in place.rglob("*")
        if not entry.name.endswith((".lock", "-shm"))
    }


def open_files(place):
    """What this process has open there."""
    found = set()
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing itself
            found.add(str(fd.readlink()))
    return {name for name in found if name.startswith(f"{place}/")}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("what", UNFIT)
def test_a_store_that_cant_be_used_is_told_in_a_sentence_and_left_alone(tmp_path, what, command):
    path, export = tmp_path / "place" / "jobs.db", tmp_path / "export"
    path.parent.mkdir()
    UNFIT[what](path)
    export.write_text(EXPORT)
    before = seen(path.parent)
    words = [word.format(path=path, folder=tmp_path, export=export) for word in COMMANDS[command]]
    said = CliRunner().invoke(main, words)
    assert isinstance(said.exception, SystemExit), said.exception
    assert said.exit_code in (1, 2)
    assert said.stdout == "" or command == "upgrade --check"
    assert "Traceback" not in said.stderr
    assert str(path) in " ".join(said.output.split())
    assert {name: content for name, content in seen(path.parent).items() if content != b""} == before
    assert not open_files(tmp_path)
    assert not (tmp_path / "copy.db").exists()
    assert not (tmp_path / "moved.db").exists()
    assert not (tmp_path / "restored").exists()


HOLD = """
import sqlite3, sys
store = sqlite3.connect(sys.argv[1], isolation_level=None)
store.execute("PRAGMA locking_mode = EXCLUSIVE")
store.execute("BEGIN EXCLUSIVE")
store.execute("UPDATE counter SET value = value")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path, monkeypatch):
    """A store that another program has for itself."""
    path = tmp_path / "jobs.db"
    made(path)
    for module in ("connect", "beside"):
        monkeypatch.setattr(f"holdfast.stores.sqlite.{module}._BUSY_MS", 50)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield path
    process.communicate()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_store_that_another_program_has_locked_is_told(held, tmp_path, command):
    export = tmp_path / "export"
    export.write_text(EXPORT)
    said = CliRunner().invoke(main, [word.format(path=held, folder=tmp_path, export=export) for word in COMMANDS[command]])
    assert isinstance(said.exception, SystemExit), said.exception
    assert said.exit_code == 1
    assert "database is locked" in " ".join(said.stderr.split())
    assert not open_files(tmp_path)


@pytest.mark.parametrize("mode", [0, 0o400], ids=["unreadable", "read only"])
@pytest.mark.parametrize("command", ["upgrade", "key create", "import"])
def test_a_store_that_may_not_be_written_is_told(tmp_path, command, mode):
    need("setpriv")
    path, export = tmp_path / "jobs.db", tmp_path / "export"
    made(path)
    export.write_text(EXPORT)
    path.chmod(mode)
    as_anybody = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    words = [word.format(path=path, folder=tmp_path, export=export) for word in COMMANDS[command]]
    said = subprocess.run(
        [*as_anybody, sys.executable, "-m", "holdfast", *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert said.returncode in (1, 2)
    assert "Traceback" not in said.stderr
    assert "Errno" not in said.stderr
    assert str(path) in said.stderr


@pytest.mark.parametrize("command", list(COMMANDS))
def test_a_folder_that_may_not_be_looked_into_is_told(tmp_path, command):
    need("setpriv")
    path, export = tmp_path / "place" / "jobs.db", tmp_path / "export"
    path.parent.mkdir()
    made(path)
    export.write_text(EXPORT)
    path.parent.chmod(0)
    as_anybody = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    words = [word.format(path=path, folder=tmp_path, export=export) for word in COMMANDS[command]]
    said = subprocess.run(
        [*as_anybody, sys.executable, "-m", "holdfast", *words], capture_output=True, text=True, check=False, timeout=60
    )
    path.parent.chmod(0o700)
    assert said.returncode in (1, 2)
    assert said.stderr.count("\n") == 1
    assert f"{path} can't be opened: Permission denied." in said.stderr


def test_a_server_does_not_start_over_the_log_of_a_store_that_is_not_there(tmp_path):
    """SQLite would remove it, and with it what was acknowledged."""
    path = tmp_path / "jobs.db"
    log_alone(path)
    log = path.with_name("jobs.db-wal")
    before = log.read_bytes()
    for _ in range(2):
        with pytest.raises(UnfitPlace, match=r"jobs\.db-wal is there without its store file"):
            SqliteStore(path, QueuePolicy())
        assert {entry.name for entry in tmp_path.iterdir()} == {"jobs.db-wal"}
        assert log.read_bytes() == before
    path.touch()  # as something has made it that opened it
    with pytest.raises(UnfitPlace, match=r"jobs\.db-wal is there without its store file"):
        SqliteStore(path, QueuePolicy())
    log.write_bytes(b"")  # what a reader leaves
    made(path)


def test_a_store_of_which_a_part_cant_be_opened_is_let_go_of(tmp_path, monkeypatch):
    path = tmp_path / "jobs.db"
    made(path)

    def fails(_):
        raise connect.apsw.CantOpenError("no descriptor is left")

    monkeypatch.setattr("holdfast.stores.sqlite.store.open_reader", fails)
    with pytest.raises(UnfitPlace, match="no descriptor is left"):
        SqliteStore(path, QueuePolicy())
    assert not open_files(tmp_path)
    with transaction_beside(path):
        pass
