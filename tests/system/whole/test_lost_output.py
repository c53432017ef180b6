"""A log that can't be written, because its reader has gone or its disk is full: the server goes on, and ends as it is told to."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest

from cluster.ports import free_port
from holdfast.stores.sqlite import maintenance
from tests.system.whole.calls import conclude, lease, park, push, uploads
from tests.system.whole.machine import fill, small_disk
from tests.system.whole.servers import Server, until
from tests.system.whole.strace import Tracer
from tests.system.whole.test_shutdown import again_until_it_ends

pytestmark = [pytest.mark.long(40), pytest.mark.fresh]


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
    again_until_it_ends(server)
    assert server.ended() == 1
    server.gone()
    upload.cut()


def test_a_server_whose_first_lines_can_t_be_written_serves_all_the_same(home, full):
    port = free_port()
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


# Readers that stand still


def stuck_pipe() -> tuple[int, int]:
    """A pipe that is full, and whose reader lives and does not read."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x")
    os.set_blocking(writer, True)
    return reader, writer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stuck", ["stderr", "stdout", "both"])
@pytest.mark.parametrize("fronts", ["1", "2"])
def test_a_reader_that_stands_still_stops_nothing(home, fronts, stuck, number):
    reader, writer = stuck_pipe()
    port = free_port()
    home.mkdir()
    streams = {name: writer if stuck in (name, "both") else subprocess.DEVNULL for name in ("stdout", "stderr")}
    command = [sys.executable, "-m", "holdfast", "serve", "--port", str(port), "--log-level", "debug", "--fronts", fronts]
    process = subprocess.Popen(command, cwd=home, stdin=subprocess.DEVNULL, start_new_session=True, **streams)
    os.close(writer)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            until(lambda: answers(client), "it serves")
            for n in range(20):
                put = push(client, "q", n)
                (job,) = lease(client, "q")
                assert job["id"] == put["id"]
                assert conclude(client, job).status_code == 200
            client.delete("/v1/queues/q")
        process.send_signal(number)
        assert process.wait(30) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        os.close(reader)
    assert maintenance.check(home / "holdfast-data/jobs.db") == []


def answers(client: httpx.Client) -> bool:
    """Whether there is a server."""
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


LOUD = """
import sys, threading
import structlog
from holdfast import logs
logs.configure("info", "json")
log = structlog.get_logger()
for n in range(20_000):
    log.info("a line of some length, so that the pipe and what waits are full before long", n=n, more="x" * 100)
sys.stdout.write(f"{logs.ERR.dropped}\\n")
sys.stdout.flush()
sys.stdin.readline()
logs.ERR.settle(20)
"""


def test_lines_that_nobody_reads_are_dropped_and_counted_and_the_count_is_said_when_somebody_reads_again():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", LOUD], text=True, **pipes) as process:
        dropped = int(process.stdout.readline())
        assert 0 < dropped < 20_000
        process.stdin.write("\n")
        process.stdin.flush()
        lines = [json.loads(line) for line in process.stderr]
    assert process.returncode == 0
    told = [line["lines"] for line in lines if "dropped" in line["event"]]
    assert sum(told) == dropped
    assert len(lines) - len(told) == 20_000 - dropped
