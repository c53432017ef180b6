"""Requests of several callers on one connection, as a proxy sends them: each is answered as its own key says, and is told apart in the audit log."""

import json
import socket

import httpx
import pytest

from holdfast.testing.local import LocalServer
from tests.contract.doors.websocket.channel import PATIENCE_S


class House:
    def __init__(self, server: LocalServer) -> None:
        self.url = server.url
        self.api = httpx.Client(base_url=server.url, timeout=PATIENCE_S)
        self.root = self.secret("root", ["admin"], ["*"])
        self.api.headers["authorization"] = f"Bearer {self.root}"
        while self.api.get("/v1/keys").status_code != 200:
            pass
        self.mine = self.known(self.secret("mine", ["read", "produce", "consume"], ["r.*"]))
        self.theirs = self.known(self.secret("theirs", ["read", "produce", "consume"], ["s.*"]))

    def secret(self, name, abilities, queues) -> str:
        return self.api.post("/v1/keys", json={"name": name, "abilities": abilities, "queues": queues}).json()["secret"]

    def known(self, secret: str) -> str:
        while httpx.get(f"{self.url}/v1/queues", headers={"authorization": f"Bearer {secret}"}).status_code == 401:
            pass
        return secret

    def pipelined(self, *requests: bytes) -> list[tuple[int, bytes]]:
        """Send all of them at once; the status and the body of each answer."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), PATIENCE_S) as line:
            line.sendall(b"".join(requests))
            file, answers = line.makefile("rb"), []
            for _ in requests:
                status, length = int(file.readline().split()[1]), 0
                while (header := file.readline()) != b"\r\n":
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                answers.append((status, file.read(length)))
        return answers


@pytest.fixture(scope="module")
def house():
    with LocalServer() as server:
        yield House(server)


def request(method: str, path: str, secret: str = "", body=None, *more: str) -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(data)}", *more]
    if body is not None:
        lines.append("Content-Type: application/json")
    if secret:
        lines.append(f"Authorization: Bearer {secret}")
    return "\r\n".join([*lines, "", ""]).encode() + data


def test_each_request_of_a_connection_is_its_own_keys(house):
    """Also behind a long poll, while which the heads of those behind it are read already."""
    poll = {"queues": ["r.none"], "wait_ms": 300}
    answers = house.pipelined(
        request("POST", "/v1/leases", house.mine, poll),
        request("POST", "/v1/queues/s.a/jobs", house.theirs, {"payload": 1}),
        request("POST", "/v1/queues/s.a/jobs", house.mine, {"payload": 1}),
        request("GET", "/v1/queues", house.mine),
        request("GET", "/v1/queues"),
        request("POST", "/v1/leases", "", poll),
        request("GET", "/v1/queues/s.a", house.theirs),
    )
    assert [status for status, _ in answers] == [200, 201, 403, 200, 401, 401, 200]
    assert b"s.a" not in answers[3][1]


def test_two_keys_for_one_request_are_refused(house):
    """Whoever looks at the other one, such as a proxy, would take it for somebody else's."""
    for path in ("/v1/queues", "/web", "/healthz"):
        ((status, body),) = house.pipelined(request("GET", path, house.mine, None, f"Authorization: Bearer {house.root}"))
        assert (status, json.loads(body)["field"]) == (400, "Authorization")


def test_what_a_request_is_a_part_of_does_not_pass_to_the_one_behind_it(house):
    jobs = [house.api.post("/v1/queues/r.a/jobs", json={"payload": 1}).json()["id"] for _ in range(2)]
    answers = house.pipelined(
        request("POST", f"/v1/jobs/{jobs[0]}/cancel", house.root, None, "Holdfast-Run: run=first"),
        request("POST", f"/v1/jobs/{jobs[1]}/cancel", house.root),
    )
    assert [status for status, _ in answers] == [200, 200]
    found = house.api.get("/v1/audit", params={"action": "job.cancel"}).json()["entries"]
    assert [entry["target"] for entry in found if entry.get("run")] == [str(jobs[0])], found
