"""The whole cluster, started as a new user does: the primary is killed under load, and a fresh node replaces it.

Runs by itself: make test PYTEST_ARGS='-m cluster'
"""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from cluster import place, trial
from cluster.processes import wait_until
from cluster.services import SEARCHED, holdfast_knows_postgresql

WELL = ["leader", "quorum_standby", "quorum_standby"]
ROOT = Path(__file__).resolve().parents[3]
REST_S = 0.03  # between two commits, and between two jobs: what is asked for is that none is lost, not how many there are
LOOK_S = 2  # between two looks at the status
NOTICED_S = 25  # until each Patroni has noticed that etcd is down; longer than the leader key is valid
WRITES_AGAIN_S = 60  # 20 s until the leader key expires, and a busy machine

pytestmark = [pytest.mark.long(200), pytest.mark.cluster, pytest.mark.timeout(360)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a running cluster, which each test leaves as it was, and which is stopped at the end."""
    if shutil.which("haproxy", path=SEARCHED) is None:
        pytest.skip("haproxy is not installed")
    tmp_path = tmp_path_factory.mktemp("cluster")
    said = tmp_path / "said.txt"
    with said.open("w") as output:
        command = [sys.executable, "-m", "cluster", "--folder", str(tmp_path / "c"), "up", "--port", "0"]
        up = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    try:
        wait_until(lambda: "All of it runs" in said.read_text() or up.poll() is not None, 100, "it does not start", 0.1)
        assert up.poll() is None, said.read_text()
        yield tmp_path / "c"
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0, said.read_text()
    left = [
        process.info["cmdline"] for process in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(process.info["cmdline"])
    ]
    assert left == []


def cluster(folder, *words):
    command = [sys.executable, "-m", "cluster", "--folder", str(folder), *words]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=150)


def status(folder):
    return json.loads(cluster(folder, "status", "--json").stdout)


def roles(folder):
    return sorted(node["role"] for node in status(folder)["postgresql"].values())


def counting(writing):
    """How many standbys count for a commit, by the primary's own report."""
    with writing.connect() as connection:
        query = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'quorum'"
        return connection.execute(query).fetchone()[0]


class Writing:
    """Commits numbers through HAProxy, one after the other, and records those that were acknowledged."""

    def __init__(self, where):
        self._url = f"postgresql://holdfast:{where.passwords['holdfast']}@{where.address('primary')}/holdfast"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answered = []
        self.pause_s = 0.0

    def __enter__(self):
        with self.connect() as connection:
            connection.execute("CREATE TABLE kept (number int)")
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def connect(self):
        return psycopg.connect(self._url, autocommit=True, connect_timeout=2, keepalives_idle=2, tcp_user_timeout=3000)

    def _run(self):
        number, last = 0, time.monotonic()
        while not self._stop.is_set():
            try:
                with self.connect() as connection:
                    while not self._stop.is_set():
                        number += 1
                        connection.execute("INSERT INTO kept VALUES (%s)", (number,))
                        self.answered.append(number)
                        self.pause_s, last = max(self.pause_s, time.monotonic() - last), time.monotonic()
                        self._stop.wait(REST_S)
            except psycopg.Error:
                self._stop.wait(0.1)

    def found(self):
        with self.connect() as connection:
            return {number for (number,) in connection.execute("SELECT number FROM kept")}


def test_no_acknowledged_job_is_lost_with_the_primary_and_a_fresh_node_replaces_it(folder):
    where = place.read(folder)
    assert roles(folder) == WELL
    assert "No node is lost." in cluster(folder, "replace").stderr
    assert "There is no node n9" in cluster(folder, "kill", "n9").stderr

    with Writing(where) as writing:
        pushing = trial.Pushing(where.proxy_url, folder / trial.ACKNOWLEDGED, callers=2, rest_s=REST_S)
        with pushing if holdfast_knows_postgresql() else threading.Lock():
            wait_until(lambda: len(writing.answered) > 100, 30, "nothing is written")
            killed = cluster(folder, "kill")
            assert killed.returncode == 0, killed.stdout + killed.stderr
            before = len(writing.answered)
            wait_until(lambda: len(writing.answered) > before + 100, WRITES_AGAIN_S, "nothing is written again")
            replaced = cluster(folder, "replace")
            assert replaced.returncode == 0, replaced.stdout + replaced.stderr
            assert counting(writing) == 2
            after = len(writing.answered)
            wait_until(lambda: len(writing.answered) > after + 100, 30, "nothing is written after the replacement")
            standby = next(name for name, node in status(folder)["postgresql"].items() if node["role"] != "leader")
            assert cluster(folder, "kill", standby).returncode == 0
            assert cluster(folder, "replace", standby).returncode == 0
            assert counting(writing) == 2  # without the lost one, which Patroni still reports

    assert set(writing.answered) <= writing.found()
    assert writing.pause_s < WRITES_AGAIN_S
    assert roles(folder) == WELL
    if holdfast_knows_postgresql():
        assert pushing.acknowledged > 100
        counted = cluster(folder, "count")
        assert counted.returncode == 0, counted.stdout + counted.stderr


def etcd_of(folder):
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder) in str(process.info["cmdline"]) and "etcd" in str(process.info["cmdline"][:1])
    ]


def test_the_status_includes_postgresql_even_while_etcd_is_down(folder):
    members = etcd_of(folder)
    assert len(members) == 3
    for member in members:
        member.suspend()
    try:
        wait_until(lambda: "etcd: 0 of 3 healthy" in cluster(folder, "status").stdout, 30, "etcd is still there")
        until = time.monotonic() + NOTICED_S
        while time.monotonic() < until:
            seen = status(folder)["postgresql"].values()
            assert [node["role"] for node in seen].count("leader") == 1, seen
            assert {node["role"] for node in seen} <= {"leader", "replica", "quorum_standby"}
            assert {node["state"] for node in seen} <= {"running", "streaming"}, seen
            assert [node["synchronous"] for node in seen].count(True) == 2
            time.sleep(LOOK_S)
    finally:
        for member in members:
            member.resume()
    wait_until(lambda: roles(folder) == WELL and "etcd: 3 of 3" in cluster(folder, "status").stdout, 60, "it is not well again")
