"""A server as a reader has it: started with its defaults, in an empty folder."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import prefork
from tests.system.docs.examples import environment


@dataclass(frozen=True)
class Running:
    """A server's process, the folder it was started in, and where it answers."""

    process: subprocess.Popen[str]
    folder: Path
    url: str

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts servers that end with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> Running:
        command = [sys.executable, "-m", "holdfast", "serve", "--port", "0", "--log-level", "warning", *options]
        process = prefork.start(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"on (http://[\d.]+:\d+)", line)
        assert found, f"the server said {line!r}"
        return Running(process, tmp_path, found[1])

    yield start
    for process in started:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def running(serve: Callable[..., Running]) -> Running:
    """A server with its defaults."""
    return serve()
