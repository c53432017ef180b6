"""`holdfast check`: a sound store, one in use, and every kind of file that is none."""

import shutil
import signal
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from holdfast.cli.entry import main
from tests.system.whole.calls import conclude, lease, push
from tests.system.whole.load import Load
from tests.system.whole.servers import Server


def check(path: Path) -> Result:
    return CliRunner().invoke(main, ["check", str(path)])


def is_refused(said: Result, *words: str) -> None:
    """Exit 1, one line on standard error that has these words, no traceback."""
    assert said.exit_code == 1
    lines = said.stderr.splitlines()
    assert len(lines) == 1, said.stderr
    assert lines[0].startswith("holdfast: ")
    assert isinstance(said.exception, SystemExit)
    for word in words:
        assert word in lines[0]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with jobs in every state, closed, that no test changes."""
    server = Server(tmp_path_factory.mktemp("closed")).start()
    with server.client() as client:
        for n in range(300):
            push(client, "q", {"n": n, "fill": "x" * 500})
        push(client, "q", "later", delay_ms=3_600_000)
        first, second, third, *_ = lease(client, "q", max=10)
        conclude(client, first, result={"done": True})
        conclude(client, second, "fail", reason="no", retry=False)
        conclude(client, third, "extend", progress={"half": True})
        assert client.post(f"/v1/jobs/{300}/cancel").status_code == 200
    server.send(signal.SIGTERM)
    assert server.ended() == 0
    server.destroy()
    return server.home / "holdfast-data/jobs.db"


@pytest.fixture
def store(closed: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copy(closed, tmp_path / "jobs.db"))


def change(store: Path, statement: str) -> None:
    with sqlite3.connect(store) as other:
        other.execute(statement)
    other.close()


def test_a_sound_store_is_said_to_be_sound_and_is_not_changed(store):
    before = store.read_bytes()
    said = check(store)
    assert (said.exit_code, said.stdout, said.stderr) == (0, "", f"{store} is sound.\n")
    assert store.read_bytes() == before


def test_a_store_in_use_can_be_checked_and_the_server_does_not_mind(serve, home):
    server = serve()
    load = Load(server)
    load.wait_for(pushes=100)
    for _ in range(3):
        said = check(home / "holdfast-data/jobs.db")
        assert said.exit_code == 0, said.output
    load.wait_for(pushes=len(load.acknowledged.pushed) + 50)
    assert load.stop().unknown == []


def test_a_store_whose_server_was_killed_is_sound(serve, home):
    server = serve()
    load = Load(server)
    load.wait_for(pushes=100)
    server.kill_all()
    load.stop()
    server.gone()
    assert check(home / "holdfast-data/jobs.db").exit_code == 0


@pytest.mark.parametrize("where", [100, 4_096, 0.3, 0.5, 0.9])
def test_bytes_that_were_overwritten_are_found(store, where):
    """Near the start, and in the middle of the jobs."""
    content = bytearray(store.read_bytes())
    at = where if isinstance(where, int) else int(len(content) * where) // 4_096 * 4_096
    content[at : at + 200] = b"\xa5" * 200
    store.write_bytes(content)
    said = check(store)
    assert said.exit_code == 1
    assert str(store) in said.stderr
    assert isinstance(said.exception, SystemExit)
    assert "sound" not in said.stderr


def test_a_store_that_was_cut_short_is_found(store):
    content = store.read_bytes()
    store.write_bytes(content[: len(content) // 2])
    said = check(store)
    assert said.exit_code == 1
    assert isinstance(said.exception, SystemExit)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE queue SET ready = ready + 1", "tallies agree"),
        ("UPDATE queue SET bytes = bytes - 1", "tallies agree"),
        ("DELETE FROM job WHERE id = 50", "every state has its job"),
        ("DELETE FROM ready WHERE job = 50", "every job in one state"),
        ("UPDATE counter SET value = 7 WHERE name = 'job'", "counters are ahead"),
    ],
)
def test_rows_that_contradict_one_another_are_told_one_by_one(store, statement, told):
    change(store, statement)
    said = check(store)
    assert said.exit_code == 1
    assert any(line.startswith(f"{told}: ") for line in said.stdout.splitlines()), said.stdout
    assert f"{store} has " in said.stderr


def test_a_file_of_another_program_is_said_to_be_no_store_and_not_changed(tmp_path):
    path = tmp_path / "other.db"
    change(path, "CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    is_refused(check(path), str(path), "not a store of Holdfast")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_no_database_is_told(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("buy milk\n" * 100)
    is_refused(check(path), str(path))


def test_a_store_of_a_newer_version_is_told(store):
    change(store, "PRAGMA user_version = 999")
    is_refused(check(store), "schema 999")
