"""Scheduled backups (`--backup-to`): made beside a server that goes on, by one process, verified; the oldest go; a failure is told and tried again."""

import os
import re
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.keeper.backups import Backups
from holdfast.keeper.settings import BackupPlan
from holdfast.stores.sqlite import maintenance
from holdfast.stores.sqlite.files import UnfitPlace
from tests.contract.doors.web.alerts import exported, rules, unknown_names
from tests.system.whole.calls import push
from tests.system.whole.load import Acknowledged, Load, everything_is_there
from tests.system.whole.servers import Server, until

NAME = re.compile(r"jobs-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ\.db")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "backups"
    made.mkdir()
    return made


def backups(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if NAME.fullmatch(entry.name))


def metric(server: Server, name: str) -> float:
    with server.client() as client:
        (found,) = re.findall(rf"^holdfast_backup_{name} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found)


def warnings(server: Server) -> list[str]:
    with server.client() as client:
        answer = client.get("/readyz")
        assert answer.status_code == 200, "a backup that fails stops nobody"
        return answer.json().get("warnings", [])


def old_name(ago: timedelta, stem: str = "jobs") -> str:
    return f"{stem}-{datetime.now(UTC) - ago:%Y-%m-%dT%H-%M-%SZ}.db"


def test_a_backup_is_made_at_once_under_load_and_a_server_goes_on_from_it(serve, folder, tmp_path):
    options = ("--backup-to", str(folder), "--backup-every", "1h", "--fronts", "2")
    server = serve()
    load = Load(server)
    load.wait_for(pushes=200)
    assert load.stop().unknown == []
    server.kill_all()
    server.gone()
    before = Acknowledged(dict(load.acknowledged.pushed), {}, set(load.acknowledged.concluded))
    server = serve(*options)
    load = Load(server)
    until(lambda: len(backups(folder)) == 1, "a backup")
    assert load.stop().unknown == []
    (made,) = backups(folder)
    until(lambda: metric(server, "kept") == 1, "its numbers")
    assert {entry.name for entry in folder.iterdir()} == {made, "jobs.backups.lock"}
    assert (folder / made).stat().st_mode & 0o777 == 0o600
    assert maintenance.check(folder / made) == []
    assert metric(server, "interval_seconds") == 3600
    assert metric(server, "size_bytes") == (folder / made).stat().st_size
    assert metric(server, "duration_seconds") > 0
    assert metric(server, "failures_total") == 0
    assert abs(metric(server, "last_success_timestamp_seconds") - time.time()) < 60
    assert warnings(server) == []
    with server.client() as client:
        series = exported(client.get("/metrics").text)
    (rule,) = rules("holdfast-backups.rules.yml")
    assert list(unknown_names(rule["expr"], str(rule["annotations"]), series)) == []
    with serve("--store", f"sqlite:///{folder / made}", at=tmp_path / "elsewhere").client() as client:
        everything_is_there(client, before)


def test_the_oldest_go_and_what_is_not_a_backup_of_this_store_stays(serve, folder):
    older = [old_name(timedelta(hours=hours)) for hours in (4, 3, 2)]
    others = ["precious.db", old_name(timedelta(days=9), "other"), "jobs-2026-13-40T00-00-00Z.db"]
    for name in (*older, *others):
        (folder / name).write_text("kept")
    (folder / f"{old_name(timedelta(hours=1))}.part").write_text("cut off")
    serve("--backup-to", str(folder), "--backup-keep", "2")
    until(lambda: older[1] not in backups(folder), "the oldest are removed")
    own = [name for name in backups(folder) if name not in others]
    assert (len(own), own[0]) == (2, older[2])
    assert set(others) <= {entry.name for entry in folder.iterdir()}
    assert not list(folder.glob("*.part"))


def test_a_restart_makes_none_more_than_are_due(serve, folder):
    recent = old_name(timedelta(minutes=1))
    (folder / recent).write_text("made by the server before")
    server = serve("--backup-to", str(folder), "--backup-every", "1h")
    until(lambda: metric(server, "last_success_timestamp_seconds") > 0, "the folder is looked at")
    with server.client() as client:
        push(client, "q", 1)
    assert backups(folder) == [recent]
    server.send(signal.SIGTERM)
    assert server.ended() == 0
    assert backups(folder) == [recent]


def test_a_folder_that_is_not_there_is_told_and_nothing_is_made_in_its_place(serve, tmp_path):
    folder = tmp_path / "not/mounted"
    server = serve("--backup-to", str(folder), "--log-level", "info")
    server.err.wait_for("a backup failed")
    until(lambda: warnings(server) == ["backup_failed"], "the warning")
    assert metric(server, "failures_total") == 1
    assert metric(server, "last_success_timestamp_seconds") == 0
    assert not folder.exists()
    with server.client() as client:
        assert push(client, "q", 1)["id"] == 1
        assert "The backup that was due" in client.get("/web/store").text


def test_a_disk_without_room_is_not_filled(serve, folder):
    server = serve("--backup-to", str(folder), "--disk-watermark-bytes", str(1 << 49))
    assert "bytes free" in server.err.wait_for("a backup failed")
    assert backups(folder) == []
    assert not list(folder.glob("*.part"))


def test_two_servers_do_not_remove_each_others_backups(serve, folder, tmp_path):
    first = serve("--backup-to", str(folder), at=tmp_path / "a")
    until(lambda: len(backups(folder)) == 1, "a backup")
    second = serve("--backup-to", str(folder), "--backup-keep", "1", at=tmp_path / "b")
    assert "another server puts the backups of its jobs" in second.err.wait_for("a backup failed")
    assert len(backups(folder)) == 1
    assert warnings(first) == []


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.parametrize("whom", ["keeper", "stopped", "all", "stop"])
def test_what_ends_in_the_middle_of_a_backup_leaves_no_backup_and_no_process(serve, home, folder, whom):
    server = serve()
    with server.client() as client:
        for _ in range(40):
            client.post("/v1/jobs", json={"jobs": [{"queue": "q", "payload": "x" * 900_000}] * 5})
    server.send(signal.SIGTERM)
    server.gone()
    server = serve("--backup-to", str(folder))
    until(lambda: any(part.stat().st_size for part in folder.glob("*.part")), "a backup that is under way")
    for pid in server.pids():
        server.watch(pid)
    if whom == "stopped":
        (copying,) = (int(pid) for pid in children_of(server.keeper))
        server.send(signal.SIGSTOP, copying)
    if whom in ("keeper", "stopped"):
        server.send(signal.SIGKILL, server.keeper)
        assert server.ended() == 1
    elif whom == "all":
        server.kill_all()
    else:
        server.send(signal.SIGTERM)
        assert server.ended() == 0
    if whom == "stopped":
        os.kill(copying, signal.SIGCONT)  # the server has ended without it
    server.gone()
    assert backups(folder) == []
    if whom == "stop":
        assert not list(folder.glob("*.part"))
    server = serve("--backup-to", str(folder))
    until(lambda: len(backups(folder)) == 1, "the next one")
    assert not list(folder.glob("*.part"))
    assert maintenance.check(folder / backups(folder)[0]) == []


@pytest.mark.parametrize(
    ("store", "says"),
    [("postgresql://a@127.0.0.1:1/b", "base backups and the archived log"), ("memory", "needs a store in a file")],
)
def test_a_store_without_a_file_is_refused_at_the_start(serving, folder, store, says):
    server = serving("--store", store, "--backup-to", str(folder)).launch()
    assert server.ended() == 2
    assert says in server.err.text


def test_backups_of_a_clock_that_was_ahead_go_first_and_the_new_one_stays(serve, folder):
    ahead = [old_name(-timedelta(days=days)) for days in (300, 400)]
    for name in (old_name(timedelta(hours=1)), *ahead):
        (folder / name).write_text("kept")
    server = serve("--backup-to", str(folder), "--backup-every", "1h", "--backup-keep", "1")
    until(lambda: len(backups(folder)) == 1, "the others are removed")
    assert maintenance.check(folder / backups(folder)[0]) == []
    assert abs(metric(server, "last_success_timestamp_seconds") - time.time()) < 60, "a silent end of backups has to be seen"
    assert warnings(server) == []


def test_what_only_looks_like_a_backup_of_this_store_is_neither_removed_nor_counted(serve, folder, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("kept")
    link, directory, digits = (old_name(timedelta(hours=hours)) for hours in (9, 8, 7))
    (folder / link).symlink_to(precious)
    (folder / directory).mkdir()
    digits = "".join(chr(0xFF10 + int(sign)) if sign.isdigit() else sign for sign in digits)
    others = [
        digits,
        f"{old_name(timedelta(0), 'jobs-of-b')}.part",
        "jobs-mine.db.part",
        old_name(timedelta(hours=5), "jobs-of-b"),
    ]
    for name in others:
        (folder / name).write_text("kept")
    server = serve("--backup-to", str(folder), "--backup-keep", "1")
    until(lambda: metric(server, "kept") == 1, "a backup")
    assert {link, directory, *others} <= {entry.name for entry in folder.iterdir()}
    assert (precious.read_text(), warnings(server)) == ("kept", [])


def test_a_folder_that_takes_the_place_of_another_is_locked_as_well(folder, tmp_path):
    first, second = (Backups(tmp_path / name / "jobs.db", BackupPlan(str(folder), 60_000, 1, 0)) for name in "ab")
    first._have_folder_to_oneself()
    folder.rename(tmp_path / "moved")
    folder.mkdir()
    first._have_folder_to_oneself()
    with pytest.raises(UnfitPlace, match="another server puts the backups"):
        second._have_folder_to_oneself()
