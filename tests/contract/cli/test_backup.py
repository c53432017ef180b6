"""`holdfast backup`: a copy of one moment, taken from under a load, from which a server can go on."""

import signal
import sqlite3
from pathlib import Path

from click.testing import CliRunner, Result

from holdfast.cli.entry import main
from holdfast.stores.sqlite import maintenance
from tests.system.whole.calls import lease, push
from tests.system.whole.load import Acknowledged, Load, everything_is_there


def backup(source: Path, target: Path) -> Result:
    return CliRunner().invoke(main, ["backup", str(source), str(target)])


def is_refused(said: Result, *words: str) -> None:
    """Exit 1, one line on standard error that has these words, no traceback."""
    assert said.exit_code == 1
    assert said.stderr.startswith("holdfast: ")
    assert said.stderr.count("\n") == 1, said.stderr
    assert isinstance(said.exception, SystemExit)
    for word in words:
        assert word in said.stderr


def test_a_copy_taken_under_load_has_every_job_acknowledged_before_it_began(serve, home, tmp_path):
    server = serve()
    load = Load(server)
    load.wait_for(pushes=200)
    acknowledged = load.acknowledged
    before = Acknowledged(dict(acknowledged.pushed), {}, set(acknowledged.concluded))
    copy = tmp_path / "copy" / "jobs.db"
    copy.parent.mkdir()
    said = backup(home / "holdfast-data/jobs.db", copy)
    assert (said.exit_code, said.stdout) == (0, "")
    assert f"copied to {copy}, fsynced and verified" in said.stderr
    load.wait_for(pushes=len(acknowledged.pushed) + 50)
    assert load.stop().unknown == [], "the server goes on meanwhile"
    assert [entry.name for entry in copy.parent.iterdir() if not entry.name.startswith("jobs.db-")] == ["jobs.db"]
    assert copy.stat().st_mode & 0o777 == 0o600
    assert maintenance.check(copy) == []
    with serve("--store", f"sqlite:///{copy}", at=tmp_path / "elsewhere").client() as client:
        everything_is_there(client, before)
        newest = max(before.pushed)
        assert push(client, "load", "after")["id"] > newest, "numbers go on growing"


def test_a_lease_of_before_the_backup_can_be_concluded_on_the_copy(serve, home, tmp_path):
    server = serve()
    with server.client() as client:
        push(client, "q", 1)
        (job,) = lease(client, "q", lease_ms=600_000)
    assert backup(home / "holdfast-data/jobs.db", tmp_path / "copy.db").exit_code == 0
    with serve("--store", f"sqlite:///{tmp_path}/copy.db", at=tmp_path / "elsewhere").client() as client:
        assert client.post(f"/v1/leases/{job['lease']['token']}/conclude", json={}).status_code == 200


def test_a_backup_never_overwrites(serve, home, tmp_path):
    serve()
    target = tmp_path / "precious.db"
    target.write_text("precious")
    is_refused(backup(home / "holdfast-data/jobs.db", target), str(target), "exists already")
    assert target.read_text() == "precious"


def test_a_backup_into_a_folder_that_is_not_there_is_refused(serve, home, tmp_path):
    serve()
    is_refused(backup(home / "holdfast-data/jobs.db", tmp_path / "missing/copy.db"), "missing/copy.db")


def test_a_file_of_another_program_is_not_copied(tmp_path):
    source = tmp_path / "other.db"
    with sqlite3.connect(source) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    other.close()
    is_refused(backup(source, tmp_path / "copy.db"), str(source), "not a store of Holdfast")
    assert list(tmp_path.iterdir()) == [source]


def test_a_damaged_store_is_not_copied(serve, home, tmp_path):
    server = serve()
    with server.client() as client:
        for n in range(300):
            push(client, "q", {"n": n, "fill": "x" * 500})
    server.send(signal.SIGTERM)
    server.gone()
    source = home / "holdfast-data/jobs.db"
    with sqlite3.connect(source) as other:
        other.execute("UPDATE queue SET ready = ready + 1")
    other.close()
    is_refused(backup(source, tmp_path / "copy.db"), "not sound")
    assert not (tmp_path / "copy.db").exists()
    assert not (tmp_path / "copy.db.part").exists()
