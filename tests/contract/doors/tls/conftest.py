"""A server over TLS, its authority, and one that nobody knows."""

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority, Pair
from tests.system.whole.servers import WITHIN_S, Server

LOOPBACK = ("localhost", "127.0.0.1")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="session")
def pair(authority: Authority) -> Pair:
    return authority.issue("server", *LOOPBACK)


@pytest.fixture(scope="session")
def identity(authority: Authority) -> Pair:
    return authority.issue("worker", "worker@example.org")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers that end with the test, and have raised nothing."""
    started: list[Server] = []

    def start(*options: str, **more: Any) -> Server:
        started.append(Server(tmp_path / f"home{len(started)}", "--store", "memory", *options, **more))
        return started[-1].start()

    yield start
    for server in started:
        text = server.err.text
        server.destroy()
        assert "Traceback" not in text, text


def tubes_of(server: Server) -> int:
    """The port of the beanstalkd protocol."""
    return int(server.out.wait_for("beanstalkd's protocol").split(",")[0].rpartition(":")[2])


def secured(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection over TLS, to be written to and read from."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)
    return context.wrap_socket(plain, server_hostname="localhost")


def read_to_end(sock: socket.socket) -> bytes:
    """What comes until the other side hangs up."""
    parts = []
    while part := sock.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def asked(port: int, context: ssl.SSLContext, request: bytes) -> bytes:
    """What comes back; with TLS 1.3 a client is through before the server has looked at its certificate."""
    with secured(port, context) as sock:
        sock.sendall(request)
        return sock.recv(65_536)
