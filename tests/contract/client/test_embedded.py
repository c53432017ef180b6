"""A server as a child of a program, which is gone with it, however that ends."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast
from cluster.postgres import server as postgres
from holdfast.errors import QueueFull
from holdfast.tasks import Tasks
from tests.contract.client.test_installed_alone import without_the_server
from tests.system.whole.servers import Server, until

pytestmark = pytest.mark.fresh

PROGRAM = """
import os, sys, time
import holdfast
server = holdfast.embedded("jobs.db").start()
server.client().enqueue("q", "kept")
print(server.url, server._process.pid, flush=True)
time.sleep(60)
"""


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_it_serves_within_a_block_and_the_file_is_served_for_real_afterwards(tmp_path, monkeypatch):
    monkeypatch.setenv("HOLDFAST_URL", "http://before.example")
    monkeypatch.setenv("HOLDFAST_SIZE", "0")  # of somebody else's server
    with holdfast.embedded(tmp_path / "jobs.db") as server:
        assert os.environ["HOLDFAST_URL"] == server.url
        job = holdfast.Client().enqueue("q", {"a": 1})
        assert (server.client().job(job.id).payload, job.durability.level) == ({"a": 1}, "disk")
        pid = server._process.pid
    assert is_gone(pid)
    assert os.environ["HOLDFAST_URL"] == "http://before.example"
    real = Server(tmp_path, "--store", f"sqlite:///{tmp_path}/jobs.db").start()
    with holdfast.Client(real.url) as client:
        assert client.job(job.id).payload == {"a": 1}
    real.destroy()


def test_in_a_coroutine_in_memory_with_settings(monkeypatch):
    monkeypatch.delenv("HOLDFAST_URL", raising=False)

    tasks = Tasks()

    async def main():
        async with holdfast.embedded(size=1, web=False) as server, server.aclient() as client:
            assert (await client.enqueue("q")).durability.level == "memory"
            with pytest.raises(QueueFull):
                await client.enqueue("q")
            handle = await tasks.task(queue="t")(double).aenqueue(4)
            await tasks.worker().drain()
            assert await handle.aresult(5) == 8
        async with holdfast.embedded(set_url=False) as server:
            assert "HOLDFAST_URL" not in os.environ

    asyncio.run(main())
    assert "HOLDFAST_URL" not in os.environ


def double(n: int) -> int:
    return 2 * n


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_is_gone_with_a_program_that_is_killed(tmp_path, number):
    program = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    url, pid = program.stdout.readline().split()
    program.send_signal(number)
    program.wait(20)
    until(lambda: is_gone(int(pid)), "the server is gone")
    with holdfast.embedded(tmp_path / "jobs.db") as server:
        assert [job.payload for job in server.client().jobs(queue="q")] == ["kept"]
        assert server.url != url
    program.stdout.close()


def test_jobs_may_be_in_a_database(tmp_path):
    with postgres(tmp_path) as database, holdfast.embedded(store=database.url()) as server, server.client() as client:
        assert client.enqueue("q").durability.level == "disk"


def test_one_that_can_not_start_says_so(tmp_path, capfd):
    with holdfast.embedded(tmp_path / "jobs.db"), pytest.raises(RuntimeError, match=r"did not start \(exit code 1\)"):
        holdfast.embedded(tmp_path / "jobs.db").start()
    assert "another" in capfd.readouterr().err
    with pytest.raises(RuntimeError, match=r"did not start \(exit code 2\)"):
        holdfast.embedded(sise=1).start()
    with pytest.raises(RuntimeError, match=r"/no/such/holdfast serve .* can't be started: No such file"):
        holdfast.embedded(command="/no/such/holdfast").start()


def test_a_command_that_closes_its_output_and_goes_on_is_ended_with_what_it_has_started(tmp_path):
    script = f"exec >&-; sleep 600 & echo $! > {tmp_path}/pid; wait"
    server = holdfast.embedded(command=["sh", "-c", script])
    with pytest.raises(RuntimeError, match="closed its standard output and said no address"):
        server.start()
    until(lambda: is_gone(int((tmp_path / "pid").read_text())), "what it has started is gone")
    server.stop()
    assert server.url == ""


def test_the_server_may_be_of_another_environment():
    command = str(Path(sys.executable).with_name("holdfast"))
    done = without_the_server(
        f"import holdfast\nwith holdfast.embedded(command={command!r}) as server: print(holdfast.Client().enqueue('q').state)"
    )
    assert (done.returncode, done.stdout) == (0, "ready\n"), done.stderr


def test_it_may_be_stopped_twice_and_started_anew():
    server = holdfast.embedded()
    for _ in range(2):
        server.start()
        server.stop()
        server.stop()
    assert server.wait() == 0
