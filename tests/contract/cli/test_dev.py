"""`holdfast dev`: a server, its page in a browser, a demo on request; gone together."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from holdfast import Client
from holdfast.errors import HoldfastError
from tests.system.whole.servers import Output, until


class Dev:
    def __init__(self, folder: Path, *options: str, **variables: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "DISPLAY", "BROWSER"))}
        command = [sys.executable, "-m", "holdfast", "dev", *options]
        self.process = subprocess.Popen(
            command, cwd=folder, env=kept | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        self.said = Output(self.process.stdout)

    @property
    def url(self) -> str:
        return re.search(r"Holdfast at (http://[\w.:]+)", self.said.wait_for("Holdfast at"))[1]


@pytest.fixture
def dev(tmp_path):
    started = []

    def start(*options: str, **variables: str) -> Dev:
        started.append(Dev(tmp_path, *options, **variables))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()


def test_it_serves_until_it_is_told_to_end_and_keeps_its_jobs(dev, tmp_path):
    one = dev("--no-browser")
    with Client(one.url) as client:
        job = client.enqueue("q", 7)
        assert job.durability.level == "disk"
    one.process.send_signal(signal.SIGINT)
    assert one.process.wait(30) == 0, one.said.text
    assert (tmp_path / "holdfast-data" / "jobs.db").exists()
    two = dev("--no-browser", "--port", "0")
    assert "export HOLDFAST_URL=" in two.said.wait_for("export")
    with Client(two.url) as client:
        assert client.job(job.id).payload == 7
    two.process.send_signal(signal.SIGTERM)
    assert two.process.wait(30) == 0, two.said.text


def test_it_ends_its_server_also_when_it_is_told_while_that_starts(dev, tmp_path):
    one = dev("--no-browser", "--port", "0")
    until(lambda: psutil.Process(one.process.pid).children(), "it starts a server")
    (server,) = psutil.Process(one.process.pid).children()
    one.process.send_signal(signal.SIGTERM)
    assert one.process.wait(30) == 0, one.said.text
    assert not server.is_running()


def test_the_page_is_opened_where_there_is_a_browser(dev, tmp_path):
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.tmp\nmv {opened}.tmp {opened}\n')
    browser.chmod(0o755)
    one = dev("--store", "memory", "--port", "0", BROWSER=f"{browser} %s")
    until(opened.exists, "it is opened")
    assert opened.read_text() == f"{one.url}/web\n"


def test_a_demo_worker_runs_some_jobs(dev):
    one = dev("--store", "memory", "--port", "0", "--no-browser", "--demo")
    one.said.wait_for("A demo worker")
    with Client(one.url) as client:
        until(lambda: client.queue("demo").jobs.concluded > 5, "some are done")
        until(lambda: client.queue("demo").jobs.dead == 1, "one is dead")
        assert [each.name for each in client.schedules()] == ["tick"]
        assert [each.name for each in client.workers()] == ["demo"]
        one.process.send_signal(signal.SIGINT)
        assert one.process.wait(30) == 0, one.said.text
    assert "no server answers" not in one.said.text


def test_the_server_is_gone_with_it_and_it_with_the_server(dev):
    one = dev("--store", "memory", "--port", "0", "--no-browser")
    url = one.url
    one.process.kill()

    def answers() -> bool:
        with Client(url, deadline_s=0.5) as client:
            try:
                client.stats()
            except HoldfastError:
                return False
        return True

    until(lambda: not answers(), "the server is gone")
    two = dev("--store", "memory", "--port", "0", "--no-browser")
    assert two.url
    children = Path(f"/proc/{two.process.pid}/task/{two.process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    assert two.process.wait(30) == 1


def test_a_port_that_is_taken_is_not_that_of_another_server(dev):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        one = dev("--store", "memory", "--no-browser", "--port", str(taken.getsockname()[1]))
        assert one.process.wait(30) == 1
    assert "can't listen on 127.0.0.1" in one.said.text
    assert "the server did not start" in one.said.text
