"""A log that can't be written, because its reader has gone or its disk is full: the server goes on, and ends as it is told to."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from holdfast.stores.sqlite import maintenance
from tests.whole.calls import conclude, lease, park, push, uploads
from tests.whole.machine import fill, small_disk
from tests.whole.servers import Server, until
from tests.whole.tracing import Tracer


@pytest.fixture
def full() -> Iterator[int]:
    """A file on a full disk."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


def without_reader(serve, *options: str) -> Server:
    """A server whose log nobody reads any more."""
    reader, writer = os.pipe()
    server = serve(*options, stderr=writer)
    os.close(writer)
    os.close(reader)
    return server


@pytest.mark.parametrize("fronts", ["1", "2"])
def test_a_server_whose_log_nobody_reads_is_stopped_by_a_signal(serve, home, fronts):
    server = without_reader(serve, "--fronts", fronts)
    polls = park(server, "empty", count=4)
    server.send(signal.SIGTERM)
    assert [poll.answer() for poll in polls] == [(200, {"jobs": []})] * 4
    assert server.ended() == 0
    server.gone()
    assert maintenance.check(home / "holdfast-data/jobs.db") == []


def test_a_second_signal_ends_it_at_once_even_so(serve):
    server = without_reader(serve)
    (poll,) = park(server, "empty")
    (upload,) = uploads(server, count=1)
    server.send(signal.SIGTERM)
    assert poll.answer() == (200, {"jobs": []}), "it drains"
    assert server.process.poll() is None, "it waits for the open request"
    server.send(signal.SIGTERM)
    assert server.ended() == 1
    server.gone()
    upload.cut()


def test_a_server_whose_first_lines_can_t_be_written_serves_all_the_same(home, full):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home.mkdir()
    command = [sys.executable, "-m", "holdfast", "serve", "--port", str(port)]
    with subprocess.Popen(command, cwd=home, stdin=subprocess.DEVNULL, stdout=full, stderr=full) as server:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                until(lambda: server.poll() is not None or is_ready(client), "it is ready")
                push(client, "q", 1)
            server.terminate()
            assert server.wait(30) == 0
        finally:
            server.kill()


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.ConnectError:
        return False


def test_a_log_on_the_full_disk_of_the_store_stops_neither_workers_nor_the_server(serve, tmp_path, full):
    with small_disk(tmp_path / "disk", 96 << 20, "ext4") as disk:
        server = serve("--store", f"sqlite:///{disk}/jobs.db", "--disk-watermark-bytes", str(40 << 20), stderr=full)
        with server.client() as client:
            for n in range(20):
                push(client, "q", n)
            held = lease(client, "q", max=20)
            fill(disk)
            answers = [client.post("/v1/queues/q/jobs", json={"payload": "x" * 50_000}) for _ in range(20)]
            assert answers[-1].json()["code"] == "storage_full"
            assert {conclude(client, job).status_code for job in held} == {200}
        server.send(signal.SIGTERM)
        assert server.ended() == 0
        server.gone()
        assert maintenance.check(disk / "jobs.db") == []


def test_a_store_that_fails_still_ends_the_server_and_tells_the_callers(serve, tmp_path, full):
    server = serve(stderr=full)
    tracer = Tracer(server.keeper, tmp_path / "trace", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=1")
    with server.client() as client:
        assert client.post("/v1/queues/q/jobs", json={"payload": 1}).json()["code"] == "outcome_unknown"
    assert server.ended() == 1
    tracer.stop()
    server.gone()
