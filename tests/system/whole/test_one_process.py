"""`--fronts 0`: the store is in the process that answers. What breaks a disk is in `test_failing_disk.py`, traces in `test_traces.py`."""

import signal
import sqlite3
from contextlib import closing
from http.client import HTTPException

import pytest

from holdfast.stores.sqlite import maintenance
from tests.system.whole.calls import conclude, lease, push
from tests.system.whole.load import Load, everything_is_there
from tests.system.whole.machine import small_disk
from tests.system.whole.servers import Call, again_until_it_ends, until
from tests.system.whole.strace import Tracer

pytestmark = pytest.mark.fresh

ALONE = ("--fronts", "0")


@pytest.mark.parametrize("store", ["memory", None])
def test_one_process_does_it_all_and_leaves_a_closed_file(serve, home, store):
    options = ("--store", store) if store else ()
    server = serve(*ALONE, *options)
    assert server.pids() == [server.pid]
    with server.client() as client:
        for n in range(50):
            push(client, "q", n)
        jobs = lease(client, "q", max=50)
        assert [job["payload"] for job in jobs] == list(range(50))
        assert conclude(client, jobs[0]).json()["state"] == "concluded"
        assert client.get("/readyz").status_code == 200
        assert client.get("/v1/stats").json()["jobs"]["leased"] == 49
    poll = Call(server, "POST", "/v1/leases", {"queues": ["empty"], "wait_ms": 50_000})
    server.has_read_everything()
    server.send(signal.SIGTERM)
    assert poll.answer()[0] == 200, "who waits for a job is answered when it ends"
    assert server.ended() == 0
    server.gone()
    if not store:
        assert not (home / "holdfast-data/jobs.db-wal").exists()
        assert maintenance.check(home / "holdfast-data/jobs.db") == []


def test_under_load_it_drains_and_loses_nothing_and_a_server_with_a_keeper_goes_on_with_the_file(serve):
    server = serve(*ALONE)
    load = Load(server)
    load.wait_for(pushes=200)
    server.send(signal.SIGTERM)
    assert server.ended() == 0
    acknowledged = load.stop()
    with serve().client() as client:
        everything_is_there(client, acknowledged)


def test_killed_under_load_every_acknowledged_job_is_there(serve):
    server = serve(*ALONE)
    load = Load(server)
    load.wait_for(pushes=200)
    server.send(signal.SIGKILL)
    assert server.ended() == -signal.SIGKILL
    acknowledged = load.stop()
    with serve(*ALONE).client() as client:
        everything_is_there(client, acknowledged)


def test_a_signal_before_it_serves_leaves_nothing_running_and_no_traceback(serving):
    server = serving(*ALONE).launch()
    until((server.home / "holdfast-data/jobs.db").exists, "it opens its store")
    server.send(signal.SIGTERM)
    assert server.ended() == 0, "it is an orderly end, since nobody was served yet"
    server.gone()
    assert "Traceback" not in server.err.text


def test_a_second_signal_ends_it_while_its_keeper_opens_the_store(serving):
    server = serving().launch()
    keeper = server.wait_for_keeper()
    server.watch(keeper)
    server.send(signal.SIGSTOP, keeper)
    again_until_it_ends(server)
    assert server.ended() == 1
    assert "stopped at once by a second signal" in server.err.text
    server.send(signal.SIGCONT, keeper)
    server.gone()


def test_a_second_signal_ends_it_while_it_opens_its_store(serve, serving, home):
    first = serve()
    first.send(signal.SIGTERM)
    assert first.ended() == 0
    with closing(sqlite3.connect(home / "holdfast-data/jobs.db", isolation_level=None)) as other:
        lock = home / "holdfast-data/jobs.db.lock"
        before = lock.read_text()
        other.execute("BEGIN IMMEDIATE")  # which the server waits for
        server = serving(*ALONE).launch()
        lock = home / "holdfast-data/jobs.db.lock"
        until(lambda: lock.read_text() not in ("", before), "it opens its store")
        again_until_it_ends(server)
        assert server.ended() == 1
        assert "stopped at once by a second signal" in server.err.text
        server.gone()


def test_a_second_signal_ends_it_while_a_read_is_stuck(serve, tmp_path):
    server = serve(*ALONE, "--drain-s", "1")
    with server.client() as client:
        for _ in range(20):
            push(client, "q", "x" * 50_000)
        client.get("/v1/queues/q").raise_for_status()
    stuck = ("-e", "trace=pread64", "-e", f"inject=pread64:delay_enter={3_600 * 1_000_000}")
    tracer = Tracer(server.pid, tmp_path / "trace", *stuck, but_the_first=True)
    try:
        reading = Call(server, "GET", "/v1/jobs?queue=q&limit=50")
        until(lambda: "pread64" in (tmp_path / "trace").read_text(), "it reads")
        server.send(signal.SIGTERM)
        with pytest.raises((OSError, HTTPException)):
            reading.answer()

        def heard() -> bool:
            server.send(signal.SIGTERM)
            return "stopped at once by a second signal" in server.err.text

        until(heard, "it hears of the second one")
    finally:
        tracer.stop()  # which lets it go on with what it must not wait for
    assert server.ended() == 1


def test_a_file_that_can_not_be_opened_is_told_in_a_sentence(serve, serving, home):
    first = serve(*ALONE)
    second = serving(*ALONE).launch()
    assert second.ended() == 1
    assert f"holdfast: {home}/holdfast-data/jobs.db is in use by another server (process {first.pid})." in second.err.text
    other = serving(*ALONE, "--store", f"sqlite:///{home}/notes.txt")
    (home / "notes.txt").write_text("buy milk\n" * 100)
    assert other.launch().ended() == 1
    assert "can't be opened" in other.err.text
    assert "Traceback" not in other.err.text


def test_it_makes_backups(serve, tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    server = serve(*ALONE)
    with server.client() as client:
        push(client, "q", "kept")
    server.send(signal.SIGTERM)
    assert server.ended() == 0
    server = serve(*ALONE, "--backup-to", str(folder))
    until(lambda: list(folder.glob("*.db")), "a backup")
    server.send(signal.SIGTERM)
    assert server.ended() == 0
    (made,) = folder.glob("*.db")
    with serve(*ALONE, "--store", f"sqlite:///{made}", at=tmp_path / "elsewhere").client() as client:
        assert [job["payload"] for job in lease(client, "q")] == ["kept"]


def test_on_a_full_disk_jobs_are_refused_and_leases_can_be_ended(serve, tmp_path):
    with small_disk(tmp_path / "disk", 96 << 20, "ext4") as disk:
        server = serve(*ALONE, "--store", f"sqlite:///{disk}/jobs.db", "--disk-watermark-bytes", "0")
        with server.client() as client:
            push(client, "q", "first")
            (job,) = lease(client, "q")
            status = 201
            while status == 201:
                status = client.post(
                    "/v1/queues/q/jobs", content=b"x" * 900_000, headers={"Content-Type": "text/x"}
                ).status_code
            assert status == 507
            assert conclude(client, job).json()["state"] == "concluded"
        server.destroy()
