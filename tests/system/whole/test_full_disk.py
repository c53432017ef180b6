"""A disk that runs full: new jobs are refused with 507, nothing is lost, and whoever holds a lease can still end it."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import httpx
import pytest

from holdfast import limits
from holdfast.stores.sqlite import maintenance
from tests.contract.stores.upgrade.test_older_stores import fixture
from tests.system.whole.calls import conclude, lease, push
from tests.system.whole.load import Load, everything_is_there
from tests.system.whole.machine import fill, free_bytes, small_disk
from tests.system.whole.servers import until

pytestmark = pytest.mark.long(25)

MIB = 1 << 20


def is_refused(answer: httpx.Response) -> None:
    """A new job was refused for want of room on the disk, and its caller is told when to come again."""
    assert (answer.status_code, answer.json()["code"]) == (507, "storage_full"), answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["retry_after_ms"] >= 1


def leases_can_be_ended(client: httpx.Client, jobs: list[dict]) -> None:
    """Every verb of a lease's holder works; `jobs` are four or more leased ones."""
    extended, failed, released, *rest = jobs
    assert conclude(client, extended, "extend", lease_ms=60_000, progress={"half": True}).status_code == 200
    assert conclude(client, extended).json()["state"] == "concluded"
    assert conclude(client, failed, "fail", reason="no room").status_code == 200
    assert conclude(client, released, "release").json()["state"] == "ready"
    for job in rest:
        assert conclude(client, job, result={"done": True}).json()["state"] == "concluded"


@pytest.fixture
def disk(tmp_path):
    """A small ext4 of its own."""
    with small_disk(tmp_path / "disk", 96 * MIB, "ext4") as disk:
        yield disk


@pytest.fixture
def serve_on(serve, disk):
    """Starts servers on it, which end before it is taken away."""
    started = []

    def on(watermark_bytes: int, *options: str):
        options = ("--store", f"sqlite:///{disk}/jobs.db", "--disk-watermark-bytes", str(watermark_bytes), *options)
        started.append(serve(*options))
        return started[-1]

    yield on
    for server in started:
        server.destroy()


def test_a_server_that_starts_on_a_disk_below_the_watermark_says_so(serve_on):
    server = serve_on(128 * MIB)
    until(lambda: "the disk is at its watermark" in server.err.text, "the log says why")
    with server.client() as client:
        is_refused(client.post("/v1/queues/q/jobs", json={"payload": 1}))


def test_at_the_watermark_pushes_are_refused_leases_can_be_ended_and_it_recovers(serve_on, disk):
    server = serve_on(16 * MIB)
    with server.client() as client:
        for n in range(20):
            push(client, "q", n)
        held = lease(client, "q", max=12)
        ballast = fill(disk, leave_bytes=12 * MIB)
        assert client.get("/readyz").json() == {"status": "not ready", "reasons": ["storage_full"]}
        assert client.get("/readyz").status_code == 503
        until(lambda: f'"disk_watermark_bytes": {16 * MIB}' in server.err.text, "the log says why")
        is_refused(client.post("/v1/queues/q/jobs", json={"payload": 1}))
        is_refused(client.post("/v1/jobs", json={"jobs": [{"queue": "q"}, {"queue": "r"}]}))
        leases_can_be_ended(client, held)
        assert len(lease(client, "q", max=3)) == 3, "what is there can be leased too"
        ballast.unlink()
        assert client.get("/readyz").status_code == 200
        push(client, "q", "again")


def test_a_follow_up_is_refused_at_the_watermark_and_its_conclude_with_it(serve_on, disk):
    with serve_on(16 * MIB).client() as client:
        push(client, "q", 1)
        (job,) = lease(client, "q")
        fill(disk, leave_bytes=12 * MIB)
        assert client.get("/readyz").status_code == 503
        is_refused(conclude(client, job, then=[{"queue": "next"}]))
        assert client.get(f"/v1/jobs/{job['id']}").json()["state"] == "leased", "both or neither"
        assert conclude(client, job).status_code == 200


def test_when_the_disk_is_full_to_the_brim_leases_can_still_be_ended_on_the_reserve(serve_on, disk):
    server = serve_on(40 * MIB)
    with server.client() as client:
        for n in range(40):
            push(client, "q", n)
        held = lease(client, "q", max=30)
        assert (disk / "jobs.db.reserve").stat().st_size == limits.DISK_RESERVE_BYTES
        ballast = fill(disk)
        assert free_bytes(disk) < 64 << 10
        fillers = [client.post("/v1/queues/q/jobs", json={"payload": "x" * 100_000}) for _ in range(60)]
        assert {answer.status_code for answer in fillers} <= {201, 507}
        leases_can_be_ended(client, held)
        assert not (disk / "jobs.db.reserve").exists(), "it was given back"
        is_refused(client.post("/v1/queues/q/jobs", json={"payload": 1}))
        ballast.unlink()
        assert client.get("/readyz").status_code == 200
        assert (disk / "jobs.db.reserve").stat().st_size == limits.DISK_RESERVE_BYTES, "it is taken again"
        push(client, "q", "again")
    assert "the disk is full" in server.err.text
    server.send(signal.SIGTERM)
    assert server.ended() == 0
    server.gone()
    assert maintenance.check(disk / "jobs.db") == []


def test_without_a_reserve_a_full_disk_refuses_everything_and_loses_nothing(serve_on, disk):
    server = serve_on(0)
    with server.client() as client:
        ids = [push(client, "q", n)["id"] for n in range(10)]
        (job,) = lease(client, "q")
        ballast = fill(disk)
        answers = [client.post("/v1/queues/q/jobs", json={"payload": "x" * 100_000}) for _ in range(60)]
        assert {answer.status_code for answer in answers} <= {201, 507}
        is_refused(answers[-1])
        ids += [answer.json()["id"] for answer in answers if answer.status_code == 201]
        is_refused(conclude(client, job, result="x" * 100_000))
        assert client.get(f"/v1/jobs/{job['id']}").json()["state"] == "leased"
        ballast.unlink()
        assert conclude(client, job).status_code == 200
        assert client.get("/v1/queues/q").json()["jobs"]["ready"] == len(ids) - 1


def test_a_load_that_runs_into_a_full_disk_loses_nothing(serve_on, disk):
    server = serve_on(MIB)
    load = Load(server)
    load.wait_for(pushes=100)
    ballast = fill(disk)
    server.err.wait_for("the disk is full")
    with server.client() as client:
        is_refused(client.post("/v1/queues/q/jobs", json={"payload": "x" * 500_000}))
    acknowledged = load.stop()
    server.kill_all()
    server.gone()
    ballast.unlink()
    assert maintenance.check(disk / "jobs.db") == []
    with serve_on(MIB).client() as client:
        everything_is_there(client, acknowledged)


def test_a_server_starts_on_a_disk_that_is_at_its_watermark_and_lets_workers_finish(serve_on, disk):
    server = serve_on(16 * MIB)
    with server.client() as client:
        for n in range(8):
            push(client, "q", n)
        held = lease(client, "q", max=8, lease_ms=600_000)
    server.kill_all()
    server.gone()
    fill(disk, leave_bytes=MIB)
    with serve_on(16 * MIB).client() as client:
        is_refused(client.post("/v1/queues/q/jobs", json={"payload": 1}))
        leases_can_be_ended(client, held)


@pytest.mark.parametrize("last", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_starts_on_a_full_disk_and_lets_leases_be_ended(serve_on, disk, last):
    server = serve_on(40 * MIB)
    with server.client() as client:
        for n in range(12):
            push(client, "q", n)
        held = lease(client, "q", max=12, lease_ms=600_000)
    server.send(last)
    server.ended()
    server.gone()
    fill(disk)
    again = serve_on(40 * MIB)
    with again.client() as client:
        is_refused(client.post("/v1/queues/q/jobs", json={"payload": 1}))
        leases_can_be_ended(client, held)


def test_a_store_of_an_older_version_is_upgraded_only_where_there_is_room_for_it(disk):
    path = disk / "jobs.db"
    path.write_bytes(fixture("positional.db"))
    with closing(sqlite3.connect(path)) as older, older:
        older.execute(
            "INSERT INTO job WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 9000) "
            "SELECT i, queue, priority, max_attempts, size, created_at, type, extras, content_type, zeroblob(2000) "
            "FROM n, (SELECT * FROM job WHERE extras IS NOT NULL LIMIT 1)"
        )
        older.execute("INSERT INTO scheduled SELECT id, queue, 1, priority, 0, 0, 0 FROM job WHERE id >= 1000")
        older.execute("UPDATE queue SET scheduled = scheduled + 8001 WHERE id = (SELECT queue FROM job WHERE id = 1000)")
    before = path.read_bytes()
    ballast = fill(disk, leave_bytes=10 * MIB)

    def upgrade(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "holdfast", "upgrade", "--store", f"sqlite:///{path}", *options]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    said = upgrade("--check")
    assert (said.returncode, "IN THE WAY: The disk has " in said.stdout) == (1, True), said.stdout
    said = upgrade()
    assert (said.returncode, ", for which the disk needs " in said.stderr) == (1, True), said.stderr
    assert path.read_bytes() == before
    ballast.unlink()
    assert upgrade("--check").returncode == 0
    assert upgrade().returncode == 0
