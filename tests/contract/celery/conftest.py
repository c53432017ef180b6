"""A server for this folder's tests, and connections of kombu to it."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import kombu
import pytest

import holdfast.celery  # noqa: F401  (it makes the scheme known)
from holdfast import Client
from tests.contract.client.clients import PATIENCE_S
from tests.system.whole.servers import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("celery"), "--log-level", "warning").start()
    yield server
    text = server.err.text
    server.destroy()
    assert "Traceback" not in text, text


@pytest.fixture(scope="module")
def broker(server: Server) -> str:
    return f"holdfast://{urlsplit(server.url).netloc}"


@pytest.fixture
def witness(server: Server) -> Iterator[Client]:
    with Client(server.url, deadline_s=PATIENCE_S) as client:
        yield client


@pytest.fixture
def connection(broker: str) -> Iterator[kombu.Connection]:
    with kombu.Connection(broker) as connection:
        yield connection
