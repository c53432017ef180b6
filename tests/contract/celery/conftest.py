"""Connections of kombu to the server."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import kombu
import pytest

import holdfast.celery  # noqa: F401  (it makes the scheme known)
from tests.system.whole.servers import Server


@pytest.fixture(scope="module")
def broker(server: Server) -> str:
    return f"holdfast://{urlsplit(server.url).netloc}"


@pytest.fixture
def connection(broker: str) -> Iterator[kombu.Connection]:
    with kombu.Connection(broker) as connection:
        yield connection
