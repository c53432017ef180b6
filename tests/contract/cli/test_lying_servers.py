"""`holdfast verify` of a server that lies, by way of a proxy that does it for it: each kind is found out."""

import contextlib
import json
import re
import socket
from collections.abc import Callable

import pytest

from tests import prefork
from tests.contract.cli.shell import HOLDFAST, environment
from tests.contract.client.proxy import Proxy, message
from tests.system.whole.servers import Server

_NUMBER = 30  # of a job whose enqueue is not repeated
pytestmark = pytest.mark.long(60)

Pass = Callable[[bytes], bytes]
Lie = Callable[[bytes, Pass], bytes]
"""Makes an answer of a request, perhaps by way of the server."""


class Liar(Proxy):
    """Answers as `lie` says."""

    def __init__(self, port: int, lie: Lie) -> None:
        self._lie = lie
        super().__init__(port)

    def _serve(self, caller: socket.socket) -> None:
        with contextlib.suppress(OSError), caller, socket.create_connection(("127.0.0.1", self._port)) as server:

            def ask(request: bytes) -> bytes:
                server.sendall(request)
                return message(server)

            while request := message(caller):
                caller.sendall(self._lie(request, ask))


def with_body(text: bytes, body: bytes) -> bytes:
    """The same message with another body."""
    head = text.partition(b"\r\n\r\n")[0]
    return re.sub(rb"(?i)content-length: *\d+", b"Content-Length: %d" % len(body), head) + b"\r\n\r\n" + body


def body_of(text: bytes) -> bytes:
    return text.partition(b"\r\n\r\n")[2]


def is_enqueue(request: bytes) -> bool:
    return re.match(rb"POST /v1/queues/[^/ ]+/jobs[ ?]", request) is not None


def is_lease(request: bytes) -> bool:
    return re.match(rb"POST /v1/leases[ ?]", request) is not None


def is_conclude(request: bytes) -> bool:
    return re.match(rb"POST /v1/leases/[^/ ]+/conclude[ ?]", request) is not None


class Once:
    """True for the thing that is asked about as the n-th one."""

    def __init__(self, number: int) -> None:
        self._left = number

    def __call__(self) -> bool:
        self._left -= 1
        return self._left == 0


def dropped_enqueue() -> Lie:
    """Answers one enqueue as it answered another, and drops the job."""
    kept: list[bytes] = []

    def lie(request: bytes, ask: Pass) -> bytes:
        if not is_enqueue(request):
            return ask(request)
        if kept and json.loads(body_of(request))["payload"] == _NUMBER:
            said = json.loads(body_of(kept[0]))
            return with_body(kept[0], json.dumps(said | {"id": said["id"] + 10**9}).encode())
        kept.append(ask(request))
        return kept[-1]

    return lie


def leased_twice() -> Lie:
    """Gives the jobs of one answer to the next worker, too, under tokens that nobody honours."""
    now, kept = Once(10), []

    def lie(request: bytes, ask: Pass) -> bytes:
        if not is_lease(request):
            return ask(request)
        if kept:
            return kept.pop()
        answer = ask(request)
        if json.loads(body_of(answer))["jobs"] and now():
            said = json.loads(body_of(answer))
            for job in said["jobs"]:
                job["lease"]["token"] = "0" + job["lease"]["token"][1:]
            kept.append(with_body(answer, json.dumps(said).encode()))
        return answer

    return lie


def swapped_payloads() -> Lie:
    """Gives two jobs of an answer each other's payload."""
    now = Once(5)

    def lie(request: bytes, ask: Pass) -> bytes:
        answer = ask(request)
        if is_lease(request) and len(jobs := (said := json.loads(body_of(answer)))["jobs"]) > 1 and now():
            jobs[0]["payload"], jobs[1]["payload"] = jobs[1]["payload"], jobs[0]["payload"]
            return with_body(answer, json.dumps(said).encode())
        return answer

    return lie


def other_payload() -> Lie:
    """Gives one job a payload that nobody enqueued."""
    now = Once(10)

    def lie(request: bytes, ask: Pass) -> bytes:
        answer = ask(request)
        if is_lease(request) and (said := json.loads(body_of(answer)))["jobs"] and now():
            said["jobs"][0]["payload"] = ["not", "a", "number"]
            return with_body(answer, json.dumps(said).encode())
        return answer

    return lie


def other_results() -> Lie:
    """Keeps another result of every fifth job."""
    count = [0]

    def lie(request: bytes, ask: Pass) -> bytes:
        if is_conclude(request):
            count[0] += 1
            if count[0] % 5 == 0:
                return ask(with_body(request, b'{"result":{"other":1}}'))
        return ask(request)

    return lie


LIES = {
    dropped_enqueue: "was answered as stored, and is not there",
    leased_twice: "given out twice",
    swapped_payloads: "another's payload",
    other_payload: "has a payload that nobody enqueued",
    other_results: "was concluded with another result",
}


def broken(port: int, lie: Lie) -> list[str]:
    """What is said to be broken."""
    proxy = Liar(port, lie)
    command = [*HOLDFAST, "verify", "--for", "2s", "--settle", "10s", "--json"]
    try:
        done = prefork.run(command, env=environment(proxy.url), capture_output=True, text=True, timeout=100, check=False)
    finally:
        proxy.close()
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "is kept, for a look" in done.stderr
    found: list[str] = json.loads(done.stdout)["broken"]
    return found


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_is_found_out(shared, lie):
    found = broken(shared.port, lie())
    assert any(LIES[lie] in each for each in found), found


def test_what_a_store_in_memory_loses_without_a_restart_was_promised(tmp_path):
    server = Server(tmp_path / "home", "--log-level", "error", "--store", "memory").start()
    try:
        found = broken(server.port, dropped_enqueue())
        assert any(LIES[dropped_enqueue] in each for each in found), found
    finally:
        server.destroy()
