"""One server for the folder, on which nothing is left for the next test; others where a test needs its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.contract.doors.dialects.couchqueue.caller import Caller, clean
from tests.contract.doors.servers import one_process, serving
from tests.system.whole.servers import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that these tests share."""
    with serving(tmp_path_factory.mktemp("couchqueue")) as shared:
        yield shared


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of the shared server, which is empty."""
    with server.client() as client:
        yield client
        clean(Caller(client))


@pytest.fixture
def caller(client: httpx.Client) -> Caller:
    """A caller of the shared server."""
    return Caller(client)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers with options of their own, all in one folder."""
    with ExitStack() as stack:
        yield lambda *options, **more: stack.enter_context(serving(tmp_path / "home", *one_process(options), **more))
