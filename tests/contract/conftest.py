"""A server for the tests of a file, and a client that goes straight to it. A folder whose tests need another one has its own."""

from collections.abc import Iterator

import pytest

from holdfast import Client
from tests.contract.client.clients import PATIENCE_S
from tests.system.whole.servers import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"), "--log-level", "warning").start()
    yield server
    text = server.err.text
    server.destroy()
    assert "Traceback" not in text, text


@pytest.fixture
def witness(server: Server) -> Iterator[Client]:
    with Client(server.url, deadline_s=PATIENCE_S) as client:
        yield client
