"""One server for the stories of a file, and worker processes that end with their test."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.doors.servers import serving
from tests.contract.doors.web.conftest import Browser
from tests.system.browser.conftest import chromium, look
from tests.system.stories.scenes import Programs, a_worker_dies, many_jobs
from tests.system.whole.servers import Server

__all__ = ["chromium", "look"]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("stories"), "--size", "4000000", store="sqlite:///jobs.db") as one:
        yield one


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[Browser]:
    """Sets the scenes, and looks at what became of them."""
    one = Browser(server.url)
    yield one
    one.http.close()


@pytest.fixture(scope="module")
def bereaved(server: Server, api: Browser) -> str:
    """The queue of a worker that was killed before all else, for it is missed only after a minute."""
    programs = Programs(server.url)
    a_worker_dies(api, programs, "exports")
    programs.close()
    return "exports"


@pytest.fixture(scope="module")
def haystack(api: Browser) -> dict[str, Any]:
    """What one may know of one job of very many."""
    return many_jobs(api, "orders")


@pytest.fixture(autouse=True)
def _early(bereaved: str) -> None:
    """It dies before the first story, whichever that is."""


@pytest.fixture
def programs(server: Server) -> Iterator[Programs]:
    one = Programs(server.url)
    yield one
    one.close()


@pytest.fixture
def queue() -> str:
    return f"shop{next(_numbers)}"
