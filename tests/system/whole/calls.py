"""The calls that many tests make, which must be answered as they should."""

import signal
from collections.abc import Iterator
from typing import Any

import httpx

from tests.system.whole.servers import Call, Line, Server, until


def each_front_alone(server: Server) -> Iterator[int]:
    """The pid of each front, front 0 first: while all others stand still, it is the one that takes whoever connects."""
    fronts = [server.pid, *server.other_fronts]
    for front in fronts:
        others = [pid for pid in fronts if pid != front]
        for other in others:
            server.send(signal.SIGSTOP, other)
        yield front
        for other in others:
            server.send(signal.SIGCONT, other)


def lines_to_each(server: Server, count: int = 1) -> list[list[Line]]:
    """So many connections to each front, front 0 first."""
    found = []
    for _ in each_front_alone(server):
        found.append([Line(server) for _ in range(count)])
        assert len({line.front for line in found[-1]}) == 1  # which connects them
    assert len({lines[0].front for lines in found}) == len(found)
    return found


class Upload:
    """A push whose body is not whole yet: an open request that keeps a server from ending."""

    def __init__(self, line: Line, path: str = "/v1/queues/q/jobs", body: bytes = b'{"payload": "slow"}') -> None:
        self._line = line
        self._rest = body[1:]
        line.connection.putrequest("POST", path)
        line.connection.putheader("Content-Type", "application/json")
        line.connection.putheader("Content-Length", str(len(body)))
        line.connection.endheaders(body[:1])

    def finish(self) -> tuple[int, object]:
        """Send the rest; status and body of the answer."""
        self._line.connection.send(self._rest)
        return self._line.answer()

    def cut(self) -> None:
        """Leave."""
        self._line.connection.close()


def uploads(server: Server, count: int = 2, **what: Any) -> list[Upload]:
    """So many for each front, which has begun to read them."""
    begun = []
    for *lines, witness in lines_to_each(server, count + 1):
        begun += [Upload(line, **what) for line in lines]
        for _ in range(3):  # its event loop takes things in their order, so what was sent before has been read by then
            assert witness.front
        witness.connection.close()
    return begun


def park(server: Server, queue: str, count: int = 1, wait_ms: int = 50_000) -> list[Call]:
    """Long polls that the server says are parked."""
    polls = [Call(server, "POST", "/v1/leases", {"queues": [queue], "wait_ms": wait_ms}) for _ in range(count)]
    with server.client() as client:
        until(lambda: metric(client.get("/metrics").text, "holdfast_waiters") >= count, "the polls are parked")
    return polls


def metric(page: str, name: str, **labels: str) -> float:
    """The sum of a metric over all lines of the page with these labels."""
    found = 0.0
    for line in page.splitlines():
        if line.split("{")[0].split(" ")[0] == name and all(f'{label}="{value}"' in line for label, value in labels.items()):
            found += float(line.rpartition(" ")[2])
    return found


def push(client: httpx.Client, queue: str, payload: Any, **more: Any) -> dict[str, Any]:
    """Put a job that must be taken; what was answered."""
    answer = client.post(f"/v1/queues/{queue}/jobs", json={"payload": payload, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def lease(client: httpx.Client, queue: str, **more: Any) -> list[dict[str, Any]]:
    """Take what is there; the jobs."""
    answer = client.post("/v1/leases", json={"queues": [queue], **more})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["jobs"])


def conclude(client: httpx.Client, job: dict[str, Any], verb: str = "conclude", **more: Any) -> httpx.Response:
    """End the lease of a job as `lease` gave it."""
    return client.post(f"/v1/leases/{job['lease']['token']}/{verb}", json=more)
