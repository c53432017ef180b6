"""How long each screen takes to its first byte, with many jobs in one queue and many queues: `python -m tests.system.browser.times --jobs 1000000`.

Starts a server with its defaults on the disk of the temporary folder, fills a queue through the API, lets some jobs run, fail and end, and asks
for each screen in turn. The first request of each screen, which compiles its template, stands apart. With what the processes of the server compute for each request, which
says something on a busy machine, too. Prints a table for bench/results/screens.md, and ends with 1 if the median of a screen is more than `--within` ms.
"""

import argparse
import http.client
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.processes import cpu_ns
from tests.contract.doors.servers import serving
from tests.contract.doors.web.conftest import Browser

BULK = 1_000
LARGE = 5 << 20  # bytes of one payload


def fill(api: Browser, count: int, queues: int) -> dict[str, Any]:
    """Most jobs ready, some scheduled, running, dead and concluded; every third of the other queues has a few."""
    for number in range(queues - 2):
        api.http.put(f"/v1/queues/tenant-{number}", json={}).raise_for_status()
        if number % 3 == 0:
            api.put(f"tenant-{number}", {"n": number}, count=1 + number % 40, type="welcome")
    api.put("many", {"to": "ada@example.org"}, count=count - count // 20, type="mail", tags=["vip"])
    api.put("many", {"to": "later@example.org"}, count=count // 20, type="mail", delay_ms=86_400_000)
    for number in range(max(1, count // 50_000)):
        for verb, more in (
            ("conclude", {}),
            ("fail", {"reason": f"connection to 10.0.0.{number}:5432 refused", "retry": False}),
        ):
            held = api.lease("many", BULK, "worker")
            entries = [{"token": job["lease"]["token"], **more} for job in held]
            api.http.post("/v1/leases/batch", json={verb: entries}).raise_for_status()
    running = api.lease("many", 200, "worker")[0]["id"]
    dead = api.http.get("/v1/jobs?state=dead&limit=1").json()["jobs"][0]["id"]
    deep = api.http.get("/v1/jobs?queue=many&state=ready&limit=1000").json()
    (large,) = api.put("large", "x" * LARGE, type="film")
    return {"dead": dead, "running": running, "large": large, "cursor": deep["next_cursor"]}


def screens(numbers: dict[str, Any]) -> dict[str, str]:
    """What is measured, as it is called in the table."""
    return {
        "overview": "",
        "overview, by a part of the name": "?q=tenant-199",
        "queue": "/queues/many",
        "jobs, all": "/jobs",
        "jobs of the queue": "/jobs?queue=many",
        "jobs of the queue, a later page": f"/jobs?queue=many&state=ready&limit=200&cursor={numbers['cursor']}",
        "jobs by type": "/jobs?queue=many&type=mail",
        "jobs by a tag that none has": "/jobs?queue=many&tag=none",
        "jobs by text that none has": "/jobs?queue=many&text=nowhere",
        "jobs by a worker": "/jobs?worker=worker",
        "jobs by a worker that none has": "/jobs?worker=nobody",
        "jobs of the queue by a worker that none has": "/jobs?queue=many&worker=nobody",
        "jobs of an hour that none has": "/jobs?queue=many&before=1h",
        "dead jobs by their error": "/jobs?queue=many&state=dead&text=refused",
        "job": f"/jobs/{numbers['dead']}",
        "job that runs": f"/jobs/{numbers['running']}",
        "payload of a job": f"/jobs/{numbers['dead']}/payload",
        "job with a payload of 5 MiB": f"/jobs/{numbers['large']}",
        "its payload, cut": f"/jobs/{numbers['large']}/payload",
        "its payload, as a download": f"/jobs/{numbers['large']}/payload?download=yes",
        "jobs of its queue": "/jobs?queue=large",
        "failures": "/failures",
        "workers": "/workers",
        "interests": "/interests",
        "schedules": "/schedules",
        "enqueue": "/enqueue",
        "audit": "/audit",
        "store": "/store",
        "preview: retry all dead": "/bulk?way=retry&all=1&queue=many&state=dead",
        "preview: delete all ready": "/bulk?way=delete&all=1&queue=many&state=ready",
        "plots, the hour": "/history?queue=many&span=hour",
    }


def first_byte(url: str, path: str) -> float:
    """Seconds from the request to the status line of its answer."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    connection.connect()
    started = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    seconds = time.perf_counter() - started
    assert answer.status == 200, (path, answer.status, answer.read()[:500])
    answer.read()
    connection.close()
    return seconds


def main() -> None:
    """Fill, measure, print."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--jobs", type=int, default=1_000_000)
    given.add_argument("--queues", type=int, default=2_000)
    given.add_argument("--rounds", type=int, default=15)
    given.add_argument("--within", type=float, default=50, help="ms")
    options = given.parse_args()
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as folder,
        serving(
            Path(folder) / "home",
            *("--size", str(2 * options.jobs), "--max-payload-bytes", str(2 * LARGE)),
            store="sqlite:///jobs.db",
        ) as server,
    ):
        api = Browser(server.url)
        started = time.perf_counter()
        numbers = fill(api, options.jobs, options.queues)
        sys.stderr.write(f"filled in {time.perf_counter() - started:.0f} s\n")
        lines = ["| screen | median | slowest of the rest | first | CPU |", "|---|---|---|---|---|"]
        slow = []
        for name, path in screens(numbers).items():
            first = first_byte(server.url, f"/web{path}")
            before = sum(map(cpu_ns, server.pids()))
            rest = [first_byte(server.url, f"/web{path}") for _ in range(options.rounds - 1)]
            cpu_ms = (sum(map(cpu_ns, server.pids())) - before) / len(rest) / 1_000_000
            if 1_000 * statistics.median(rest) > options.within:
                slow.append(name)
            took = [f"{1_000 * one:.1f} ms" for one in (statistics.median(rest), max(rest), first)]
            lines.append(f"| {name} | {' | '.join(took)} | {cpu_ms:.1f} ms |")
        sys.stdout.write("\n".join(lines) + "\n")
        api.http.close()
    if slow:
        sys.exit(f"more than {options.within:g} ms: {', '.join(slow)}")


if __name__ == "__main__":
    main()
