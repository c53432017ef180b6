"""One server for the folder, whose queue `jobs` is empty for every test; others where a test needs its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.contract.doors.servers import empty, one_process, serving
from tests.system.whole.servers import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that these tests share."""
    with serving(tmp_path_factory.mktemp("cqueue")) as shared:
        yield shared


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of the shared server, whose queue is empty."""
    with server.client() as client:
        empty(client, "jobs")
        for job in client.get("/v1/jobs", params={"queue": "jobs", "state": "leased", "limit": 1_000}).json()["jobs"]:
            ended = client.post(f"/jobs/{job['id']}/conclude", headers={"QUEUE_CONSUMER": job["worker"]})
            assert ended.status_code in (200, 409), "it is concluded, or its lease has ended meanwhile"
        empty(client, "jobs")
        yield client


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers with options of their own, all in one folder."""
    with ExitStack() as stack:
        yield lambda *options, **more: stack.enter_context(serving(tmp_path / "home", *one_process(options), **more))
