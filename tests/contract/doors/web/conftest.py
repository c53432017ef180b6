"""A server for the folder, and a browser without a screen: it keeps cookies, reads forms and sends them as they stand."""

import itertools
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.doors.servers import one_process, serving
from tests.system.whole.servers import Server

_numbers = itertools.count(1)


class Markup(HTMLParser):
    """Every tag with its attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


class Browser:
    """Asks for screens and sends their forms."""

    def __init__(self, url: str, root: str = "") -> None:
        self.root = root
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=30)

    def get(self, path: str, status: int = 200) -> str:
        answer = self.http.get(f"{self.root}/web{path}")
        assert answer.status_code == status, answer.text[:2_000]
        return answer.text

    def text(self, path: str) -> str:
        return Markup(self.get(path)).text

    def token(self, html: str | None = None) -> str:
        found = re.search(r'name="form_token" value="([0-9a-f]{64})"', html or self.get("/enqueue"))
        assert found
        return found[1]

    def send(self, path: str, status: int = 303, **fields: Any) -> httpx.Response:
        """A form of ours with these fields."""
        given = {"form_token": self.token(), **fields}
        answer = self.http.post(f"{self.root}/web{path}", data=given)
        assert answer.status_code == status, answer.text[:2_000]
        return answer

    def done(self, path: str, **fields: Any) -> str:
        """Send a form, and what the screen says that it leads to."""
        where = self.send(path, **fields).headers["location"]
        answer = self.http.get(where)
        assert answer.status_code == 200, answer.text[:2_000]
        return Markup(answer.text).text

    def hidden(self, html: str) -> dict[str, str]:
        """The hidden fields of the form that works on many jobs."""
        form = re.search(r"<form[^>]*data-bulk-start.*?</form>", html, re.DOTALL)
        assert form, html[:2_000]
        return {
            name: unescape(value) for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form[0])
        }

    def operate(self, fields: dict[str, str], **more: Any) -> str:
        """Confirm a preview, wait for the end of the operation, and give its screen in words."""
        where = self.send("/bulk", **fields, **more).headers["location"]
        number = re.search(r"/operations/(\d+)", where)
        assert number, where
        deadline = time.monotonic() + 20
        while self.http.get(f"{self.root}/v1/operations/{number[1]}").json()["state"] == "running":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return self.text(f"/operations/{number[1]}")

    # The API, to set the scene

    def put(self, queue: str, payload: Any = None, count: int = 1, **options: Any) -> list[int]:
        ids: list[int] = []
        while len(ids) < count:
            jobs = [{"queue": queue, "payload": payload, **options}] * min(1_000, count - len(ids))
            answer = self.http.post(f"{self.root}/v1/jobs", json={"jobs": jobs})
            assert answer.status_code == 201, answer.text
            ids += [job["id"] for job in answer.json()["jobs"]]
        return ids

    def lease(self, queue: str, count: int = 1, worker: str = "w") -> list[dict[str, Any]]:
        return self.http.post(f"{self.root}/v1/leases", json={"queues": [queue], "max": count, "worker": worker}).json()["jobs"]

    def end(self, verb: str, job: dict[str, Any], **body: Any) -> None:
        answer = self.http.post(f"{self.root}/v1/leases/{job['lease']['token']}/{verb}", json=body)
        assert answer.status_code == 200, answer.text

    def die(self, queue: str, reason: str = "broken", count: int = 1, **options: Any) -> list[int]:
        """Dead jobs."""
        ids = self.put(queue, count=count, **options)
        for job in self.lease(queue, count):
            self.end("fail", job, reason=reason, retry=False)
        return ids

    def job(self, job_id: int) -> dict[str, Any]:
        return self.http.get(f"{self.root}/v1/jobs/{job_id}").json()

    def counts(self, queue: str) -> dict[str, int]:
        jobs = self.http.get(f"{self.root}/v1/queues/{queue}").json()["jobs"]
        return {state: count for state, count in jobs.items() if count}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("web")) as shared:
        yield shared


@pytest.fixture(scope="session")
def two_fronts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two processes that answer, for the tests of what they share."""
    with serving(tmp_path_factory.mktemp("fronts"), "--fronts", "2") as shared:
        yield shared


@pytest.fixture
def browser(server: Server) -> Iterator[Browser]:
    one = Browser(server.url)
    yield one
    one.http.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    with ExitStack() as stack:
        yield lambda *options, **more: stack.enter_context(serving(tmp_path / "home", *one_process(options), **more))


@pytest.fixture
def queue() -> str:
    return f"q{next(_numbers)}"


@pytest.fixture
def other() -> str:
    return f"q{next(_numbers)}"


@pytest.fixture
def markup():
    return Markup


@pytest.fixture
def open_browser():
    return Browser
