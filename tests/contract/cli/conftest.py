"""Servers for the commands that look at a store in use, and for those that talk to one."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast import Client
from tests.contract.cli.shell import Terminal, call
from tests.contract.client.clients import PATIENCE_S
from tests.system.whole.conftest import home, serve, serving
from tests.system.whole.servers import Server

__all__ = ["home", "serve", "serving"]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that most tests share; each has queues of its own."""
    server = Server(tmp_path_factory.mktemp("cli"), "--log-level", "warning").start()
    yield server
    server.destroy()


@pytest.fixture
def witness(shared: Server) -> Iterator[Client]:
    with Client(shared.url, deadline_s=PATIENCE_S) as client:
        yield client


@pytest.fixture
def holdfast(shared: Server, tmp_path: Path) -> Callable[..., Any]:
    """Runs a command to its end."""
    return lambda *args, **more: call(shared.url, tmp_path, *args, **more)


@pytest.fixture
def terminal(shared: Server) -> Iterator[Callable[..., Terminal]]:
    """Starts commands on terminals."""
    started: list[Terminal] = []

    def start(*args: Any, **more: Any) -> Terminal:
        started.append(Terminal(shared.url, *args, **more))
        return started[-1]

    yield start
    for each in started:
        each.destroy()


_numbers = itertools.count(1)


@pytest.fixture
def queue() -> str:
    """A name that no other test uses."""
    return f"q{next(_numbers)}"
