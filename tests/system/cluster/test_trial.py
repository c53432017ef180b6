"""The callers that enqueue during a crash, and the count afterwards."""

import subprocess
import sys
import urllib.request
from contextlib import contextmanager

import pytest

from cluster.ports import free_port
from cluster.processes import wait_until
from cluster.trial import QUEUE, Pushing, count


def answers(url):
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=1):
            return True
    except OSError:
        return False


@contextmanager
def serving(folder, port):
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "holdfast", "serve", "--port", str(port), "--store", f"sqlite:///{folder}/jobs.db"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(url), 30, "Holdfast does not answer")
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def pushed(tmp_path):
    """A server that was killed while jobs were enqueued, and started again; its URL, and the file of acknowledged jobs."""
    port = free_port()
    url, path = f"http://127.0.0.1:{port}", tmp_path / "acknowledged.txt"
    with Pushing(url, path, callers=2) as pushing:
        with serving(tmp_path, port) as first:
            wait_until(lambda: pushing.acknowledged > 50, 30, "nothing is acknowledged")
            first.kill()
        with serving(tmp_path, port):
            before = pushing.acknowledged
            wait_until(lambda: pushing.acknowledged > before + 50, 30, "nothing is acknowledged after the restart")
            assert pushing.again > 0
            pushing.__exit__(None, None, None)
            yield url, path


def test_every_acknowledged_job_is_found_once_and_a_missing_one_is_reported(pushed):
    url, path = pushed
    found = count(url, path)
    assert found.acknowledged == len(path.read_text().splitlines()) > 100
    assert (found.missing, found.twice) == (0, 0)
    assert found.jobs >= found.acknowledged  # one more may have been stored without an answer when the server was killed

    with path.open("a") as file:
        file.write("999999 never-pushed\n")
    assert count(url, path).missing == 1

    key = path.read_text().split()[1]
    again = urllib.request.Request(
        f"{url}/v1/queues/{QUEUE}/jobs", f'{{"payload": "{key}"}}'.encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(again).close()
    assert count(url, path).twice == 1
