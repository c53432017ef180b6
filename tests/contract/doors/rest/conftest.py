"""A real server for every test of this folder: `holdfast serve` as a process of its own, and a client that speaks its contract.

One server keeps its jobs in memory for the whole run, and every test has a queue of its own in it. What a test has to set up differently
gets a server of its own from `serve`. A server that logged a traceback fails the test that let go of it.
"""

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import prefork
from tests.contract.doors.servers import one_process

PATIENCE_S = 20.0
LOOK_S = 0.01  # between two looks: the server needs the processor, too


class Server:
    """One `holdfast serve` on a free port. Its first line of output names the URL."""

    def __init__(self, log: Path, *flags: str, store: str = "memory", fresh: bool = False) -> None:
        command = [sys.executable, "-m", "holdfast", "serve", "--port", "0", "--store", store, "--log-level", "warning", *flags]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        self._log = log
        with log.open("wb") as stderr:
            self.process = prefork.start(
                command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment, fresh=fresh
            )
        assert self.process.stdout is not None
        self.banner = [self.process.stdout.readline(), self.process.stdout.readline()]
        found = re.search(r" on (http://([^:/]+):(\d+))", self.banner[0])
        assert found, f"the first line names no URL: {self.banner} {self.log()}"
        self.url, self.host, self.port = found[1], found[2], int(found[3])

    def log(self) -> str:
        """What it wrote to its standard error."""
        return self._log.read_text()

    def keeper(self) -> int:
        """The process id of its keeper."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        keepers = [int(pid) for pid in children if b"holdfast.keeper" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(keepers) == 1, children
        return keepers[0]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and wait; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait until it has ended by itself; its exit code."""
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            assert self.process.stdout is not None
            self.process.stdout.close()


class Api:
    """The native HTTP API. The plain verbs give the response as it came; the named ones insist that it went well."""

    def __init__(self, url: str, **options: Any) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=PATIENCE_S, **options)
        self.get, self.put, self.patch, self.delete = self.http.get, self.http.put, self.http.patch, self.http.delete
        self.request = self.http.request

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """POST a value as JSON, or whatever the options say."""
        return self.http.post(path, **(options if body is None else {"json": body, **options}))

    def push(self, queue: str, payload: Any = None, **options: Any) -> dict[str, Any]:
        """One job into a queue."""
        response = self.post(f"/v1/queues/{queue}/jobs", {"payload": payload, **options})
        assert response.status_code == 201, response.text
        return response.json()

    def lease(self, *queues: str, **options: Any) -> list[dict[str, Any]]:
        """Jobs out of queues."""
        response = self.post("/v1/leases", {"queues": list(queues), **options})
        assert response.status_code == 200, response.text
        return response.json()["jobs"]

    def take(self, queue: str, **options: Any) -> dict[str, Any]:
        """The one job that is there."""
        (job,) = self.lease(queue, **options)
        return job

    def end(self, verb: str, held: Any, **body: Any) -> httpx.Response:
        """One lease verb, with a leased job or a token."""
        token = held if isinstance(held, str) else held["lease"]["token"]
        return self.post(f"/v1/leases/{token}/{verb}", body)

    def ended(self, verb: str, held: Any, **body: Any) -> dict[str, Any]:
        """One lease verb that must be done."""
        response = self.end(verb, held, **body)
        assert response.status_code == 200, response.text
        return response.json()

    def job(self, job_id: int, **params: Any) -> dict[str, Any]:
        """A job as it stands."""
        response = self.get(f"/v1/jobs/{job_id}", params=params)
        assert response.status_code == 200, response.text
        return response.json()

    def set(self, queue: str, **settings: Any) -> dict[str, Any]:
        """A queue with exactly these settings."""
        response = self.put(f"/v1/queues/{queue}", json=settings)
        assert response.status_code == 200, response.text
        return response.json()

    def counts(self, queue: str) -> dict[str, int]:
        """How many jobs of a queue are in each state, leaving out those with none."""
        return {state: count for state, count in self.get(f"/v1/queues/{queue}").json()["jobs"].items() if count}

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that have these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in self.get("/metrics").text.splitlines() if re.match(rf"{name}[ {{]", line)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(label in line for label in wanted))

    def until(self, name: str, value: float, **labels: str) -> None:
        """Wait for a metric to reach a value."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := self.metric(name, **labels)) != value:
            assert time.monotonic() < deadline, f"{name} is {found}, not {value}"
            time.sleep(LOOK_S)

    def until_parked(self, count: int) -> None:
        """Wait until so many calls wait in the server."""
        self.until("holdfast_waiters", count)

    @staticmethod
    def refused(response: httpx.Response, status: int, code: str, field: str | None = None, says: str = "") -> dict[str, Any]:
        """A refusal as RFC 9457 has it, with this status, code and field; `says` stands in its detail."""
        assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), response.text
        problem = response.json()
        assert problem["type"] == f"urn:holdfast:error:{code}"
        assert (problem["status"], problem["code"], problem.get("field")) == (status, code, field), response.text
        assert problem["title"]
        assert says in problem["detail"], problem["detail"]
        assert ("retry-after" in response.headers) is (status in (429, 503, 507))
        return problem


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """Start a server; whoever starts it ends it."""
    return lambda *flags, **options: Server(tmp_path_factory.mktemp("server") / "log", *flags, **options)


@pytest.fixture(scope="session")
def server(start):
    """The server that the tests of this folder share."""
    shared = start()
    yield shared
    assert shared.stop() == 0, shared.log()
    assert "Traceback" not in shared.log(), shared.log()


@pytest.fixture(scope="session")
def api(server):
    """A client of the shared server."""
    client = Api(server.url)
    yield client
    client.http.close()


@pytest.fixture
def nobody_registered(api):
    """Other tests of this server may have registered workers, which `why` speaks of."""
    for worker in api.get("/v1/workers").json()["workers"]:
        assert api.delete(f"/v1/workers/{worker['id']}").status_code == 204


@pytest.fixture(scope="session")
def connect():
    """Make one more client of a server, by its URL."""
    return Api


@pytest.fixture(scope="module")
def serve(start):
    """Start servers with flags of their own, each with its client; they end with the module, and cleanly."""
    started = []

    def run(*flags: str, clean: bool = True, **options: Any) -> tuple[Server, Api]:
        pair = start(*one_process(flags), **options), clean
        started.append(pair)
        return pair[0], Api(pair[0].url)

    yield run
    for one, clean in started:
        code = one.stop()
        assert not clean or code == 0, one.log()
        assert "Traceback" not in one.log(), one.log()


_numbers = itertools.count(1)


@pytest.fixture
def queue():
    """A name that no other test uses."""
    return f"q{next(_numbers)}"


@pytest.fixture
def queues():
    """More names that no other test uses."""
    return [f"q{next(_numbers)}" for _ in range(4)]


@pytest.fixture
def aside():
    """Call something in a thread of its own; gives a future."""
    with ThreadPoolExecutor(64) as pool:
        yield pool.submit
