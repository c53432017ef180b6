"""What the tests of both dialects have in common: servers that end, curl as a reader runs it, callers side by side."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.system.whole.servers import Server

ALL = ["scheduled", "ready", "concluded", "dead", "cancelled"]


def one_process(options: tuple[str, ...]) -> tuple[str, ...]:
    """These options of a server of a test's own, which starts in two thirds of the time; the servers that tests share have a keeper."""
    return options if "--fronts" in options else ("--fronts", "0", *options)


@contextmanager
def serving(home: Path, *options: str, store: str = "memory", **more: Any) -> Iterator[Server]:
    """A server that ends in good order with the block, and has raised nothing."""
    server = Server(home, "--store", store, "--log-level", "warning", *options, **more)
    try:
        server.start()
        yield server
        server.send(signal.SIGTERM)
        assert server.ended() == 0, server.err.text
        assert "Traceback" not in server.err.text, server.err.text
    finally:
        if hasattr(server, "process"):
            server.destroy()


def curl(command: str, url: str, usual: str) -> tuple[int, str]:
    """Run a curl command as it was written for the address `usual`; status and body of the answer."""
    script = command.replace(usual, url.removeprefix("http://")) + ' --silent --show-error --write-out "\\n%{http_code}"'
    done = subprocess.run(["bash", "-eu", "-c", script], capture_output=True, text=True, timeout=30, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def empty(client: httpx.Client, queue: str) -> None:
    """Leave nothing in a queue that is not leased, and no settings."""
    assert client.put(f"/v1/queues/{queue}", json={}).status_code == 200
    assert client.post(f"/v1/queues/{queue}/purge", json={"states": ALL}).status_code == 200


def side_by_side(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What so many threads gave that began together."""
    together = threading.Barrier(count)

    def begin(number: int) -> Any:
        together.wait(20)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def taking(server: Server, take: Callable[[httpx.Client], Any]) -> list[tuple[float, float, Any]]:
    """Take until nothing is there; for each thing when it was asked for, when it came, and what it was."""
    taken = []
    with server.client() as client:
        while True:
            begun = time.monotonic()
            thing = take(client)
            if thing is None:
                return taken
            taken.append((begun, time.monotonic(), thing))


def out_of_order(taken: list[tuple[float, float, Any]]) -> list[tuple[Any, Any]]:
    """Pairs where what came first was asked for, and came, wholly after what should have come later."""
    wrong, latest = [], None
    starts = sorted(taken, key=lambda one: one[0])
    ends = sorted(taken, key=lambda one: one[1])
    done = 0
    for begun, _, thing in starts:
        while done < len(ends) and ends[done][1] < begun:
            latest = ends[done][2] if latest is None else max(latest, ends[done][2])
            done += 1
        if latest is not None and thing < latest:
            wrong.append((latest, thing))
    return wrong
