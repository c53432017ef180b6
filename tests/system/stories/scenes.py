"""What has happened before each story begins: real jobs on a real server, and real worker processes."""

import http.server
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.contract.doors.web.conftest import Browser
from tests.system.whole.servers import until

HOLDERS = 200
REDRIVEN = 100_000 if os.environ.get("EVERY_CASE") else 2_000
MANY = 1_000_000 if os.environ.get("EVERY_CASE") else 100_000
PER_S = 400
BULK = 1_000


class Programs:
    """Worker processes; none outlives its test."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._running: list[subprocess.Popen[bytes]] = []
        self._ended = threading.Event()
        self._supervisors: list[threading.Thread] = []

    def start(self, queue: str, release: str = "1.0", **more: str) -> "subprocess.Popen[bytes]":
        """A worker of this release, as soon as it runs."""
        path = ":".join(path for path in sys.path if path)
        given = {"HOLDFAST_URL": self._url, "PYTHONPATH": path, "PATH": "/usr/bin:/bin"} | more
        command = [sys.executable, "-m", "tests.system.stories.app", queue, release]
        process = subprocess.Popen(command, env=given, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._running.append(process)
        return process

    def supervise(self, queue: str, **more: str) -> None:
        """A worker that is started again whenever it dies, as by systemd."""

        def run() -> None:
            while not self._ended.is_set():
                self.start(queue, **more).wait()

        self._supervisors.append(threading.Thread(target=run))
        self._supervisors[-1].start()

    def deploy(self, queue: str, release: str, **more: str) -> None:
        """This release in place of what runs."""
        for process in self._running:
            process.send_signal(signal.SIGTERM)
        for process in self._running:
            process.wait(20)
        self.start(queue, release, **more)

    def close(self) -> None:
        """End them all."""
        self._ended.set()
        for process in list(self._running):
            process.kill()
        for one in self._supervisors:
            one.join(20)
        for process in self._running:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait(20)


def counted(api: Browser, queue: str, **wanted: int) -> Callable[[], bool]:
    """Whether a queue has so many jobs in these states."""
    return lambda: {state: api.counts(queue).get(state, 0) for state in wanted} == wanted


def a_deploy_broke_one_type(api: Browser, programs: Programs, queue: str) -> None:
    """40 invoices are dead, and a mail; the other mails were sent."""
    api.http.put(f"/v1/queues/{queue}", json={"max_attempts": 2, "retry": {"base_ms": 10, "factor": 1}}).raise_for_status()
    programs.start(queue, "1.1")
    api.put(queue, 4711, count=40, type="invoice")
    api.put(queue, "ada@example.org", count=20, type="mail")
    api.put(queue, "no address", type="mail")
    until(counted(api, queue, dead=41, concluded=20), "the jobs have ended")


def exporter(programs: Programs, queue: str, count: int) -> "subprocess.Popen[bytes]":
    """A worker that works on so many jobs: what was only sent to it would come back at once when it dies."""
    folder = Path(tempfile.mkdtemp())
    program = programs.start(queue, EXPORTS=str(folder))
    until(lambda: len(list(folder.iterdir())) == count, "the worker works on them all")
    shutil.rmtree(folder)
    return program


def a_worker_dies(api: Browser, programs: Programs, queue: str) -> None:
    """A worker that holds 200 jobs for an hour is killed."""
    api.http.put(f"/v1/queues/{queue}", json={"lease_ms": 3_600_000}).raise_for_status()
    api.put(queue, count=HOLDERS, type="export")
    program = exporter(programs, queue, HOLDERS)
    program.kill()
    program.wait()


def is_silent(api: Browser, queue: str) -> bool:
    """Whether the worker of this queue is missed."""
    return any(one["silent"] for one in api.http.get("/v1/workers").json()["workers"] if queue in one["queues"])


def a_tenant_floods(api: Browser, programs: Programs, queue: str) -> None:
    """One tenant fills nine tenths of a fair queue, and another one waits beside it."""
    api.http.put(f"/v1/queues/{queue}", json={"fair": True, "capacity_jobs": 1_000}).raise_for_status()
    api.put(queue, count=880, type="slow", fair_key="tenant-1")
    api.put(queue, count=60, type="slow", fair_key="tenant-2")
    programs.start(queue, SLOTS="1")
    until(lambda: api.counts(queue).get("concluded", 0) > 0, "it works")


@contextmanager
def a_bank() -> Iterator[tuple[str, set[str]]]:
    """Somebody else's API, over HTTP: its address, and the accounts for which it answers 429."""
    limited: set[str] = set()

    class Bank(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(429 if self.path.strip("/") in limited else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bank)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", limited
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def an_api_answers_429(api: Browser, programs: Programs, queue: str, budget: str, bank: str, limited: set[str]) -> None:
    """The bank has had enough of tenant 7; tenant 8 is charged as ever."""
    retry = {"base_ms": 300, "factor": 1, "max_ms": 300}
    api.http.put(f"/v1/queues/{queue}", json={"max_attempts": 1_000, "retry": retry}).raise_for_status()
    api.http.put(f"/v1/budgets/{budget}", json={"limit": 5}).raise_for_status()
    limited.add("tenant-7")
    for tenant in ("tenant-7", "tenant-8"):
        api.put(queue, tenant, count=12, type="charge", budgets=[{"name": budget, "key": tenant}])
    programs.start(queue, BANK=bank)
    until(lambda: api.http.get(f"/v1/failures?queue={queue}").json()["groups"] != [], "it fails")
    until(lambda: api.counts(queue).get("concluded", 0) == 12, "the other tenant is served")


def a_queue_is_full(api: Browser, programs: Programs, queue: str) -> None:
    """Thumbnails and mails fill a queue that has one slow worker: producers are refused."""
    api.http.put(f"/v1/queues/{queue}", json={"capacity_jobs": 400}).raise_for_status()
    api.put(queue, count=320, type="slow")
    api.put(queue, "ada@example.org", count=79, type="mail")
    programs.start(queue, SLOTS="1", SLOW_S="600")
    until(counted(api, queue, leased=1), "it works")
    while api.http.post(f"/v1/queues/{queue}/jobs", json={"type": "slow"}).status_code != 429:
        pass


def a_poison_job(api: Browser, programs: Programs, queue: str) -> int:
    """A job has killed its worker until it was set aside as dead; the mails beside it are sent."""
    api.http.put(f"/v1/queues/{queue}", json={"lease_ms": 700, "max_crashes": 2}).raise_for_status()
    (job,) = api.put(queue, type="poison")
    programs.supervise(queue, SLOTS="1")
    until(counted(api, queue, dead=1), "it is set aside", 60)
    api.put(queue, "ada@example.org", count=5, type="mail")
    until(counted(api, queue, concluded=5), "the others are done")
    return job


def a_job_does_not_run(api: Browser, programs: Programs, queue: str) -> int:
    """Somebody paused a type last week, and has forgotten it."""
    programs.start(queue)
    (first,) = api.put(queue, "ada@example.org", type="mail")
    until(lambda: api.job(first)["state"] == "concluded", "the worker works")
    api.http.put(f"/v1/queues/{queue}/types/invoice", json={"paused": True}).raise_for_status()
    (job,) = api.put(queue, 4711, type="invoice")
    return job


def dead_jobs(api: Browser, queue: str, count: int) -> None:
    """So many, with one error."""
    api.put(queue, count=count, type="mail")
    while held := api.lease(queue, BULK):
        failed = [{"token": job["lease"]["token"], "reason": "SMTP error 421", "retry": False} for job in held]
        api.http.post("/v1/leases/batch", json={"fail": failed}).raise_for_status()


def many_jobs(api: Browser, queue: str) -> dict[str, Any]:
    """One job of one customer among very many: by what one may know of it."""
    jobs = [
        {"queue": queue, "type": "order", "payload": {"order": number, "city": "Graz"}, "meta": {"customer": f"c-{number}"}}
        for number in range(BULK)
    ]
    for _ in range(MANY // BULK // 2):
        api.http.post("/v1/jobs", json={"jobs": jobs}).raise_for_status()
    one = {"type": "order", "payload": {"order": "A-4711", "city": "Linz"}, "meta": {"customer": "c-ada"}, "priority": 1}
    found = api.http.post(f"/v1/queues/{queue}/jobs", json=one).raise_for_status().json()["id"]
    (held,) = api.lease(queue, worker="shipper-3")
    assert held["id"] == found
    api.end("conclude", held, result={"shipped": True})
    for _ in range(MANY // BULK // 2):
        api.http.post("/v1/jobs", json={"jobs": jobs}).raise_for_status()
    return {"id": found, "text": "A-4711", "meta": "customer=c-ada", "worker": "shipper-3", "time": "1h"}
