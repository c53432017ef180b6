"""One server on a file for the tests of this folder, clients of both kinds, and a proxy in between that cuts answers."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast import Client
from tests.contract.client.clients import LOOPS, PATIENCE_S, Clients
from tests.contract.client.proxy import Proxy
from tests.system.whole.servers import Server


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that most tests share; each has queues of its own."""
    server = Server(tmp_path_factory.mktemp("client"), "--log-level", "warning").start()
    yield server
    text = server.err.text
    server.destroy()
    assert "Traceback" not in text, text


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers that end with the test."""
    started: list[Server] = []

    def start(*options: str, home: str = "home") -> Server:
        server = Server(tmp_path / home, *options)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.destroy()


@pytest.fixture(params=["sync", *LOOPS])
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    """Makes clients: `Client`s, and in further runs of the test `AsyncClient`s on each kind of event loop."""
    made = Clients(request.param)
    yield made
    made.close()


@pytest.fixture
def client(clients: Clients, shared: Server) -> Any:
    """A client of the shared server."""
    return clients(shared.url)


@pytest.fixture
def witness(shared: Server) -> Iterator[Client]:
    """A client that goes straight to the shared server."""
    with Client(shared.url, deadline_s=PATIENCE_S) as client:
        yield client


@pytest.fixture
def proxy(shared: Server) -> Iterator[Proxy]:
    """A proxy in front of the shared server."""
    proxy = Proxy(shared.port)
    yield proxy
    proxy.close()


_numbers = itertools.count(1)


@pytest.fixture
def queue() -> str:
    """A name that no other test uses."""
    return f"q{next(_numbers)}"
