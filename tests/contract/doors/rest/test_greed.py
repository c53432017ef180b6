"""Callers that take more than their share: what they can have a server hold is bounded at every place, and honest callers go on beside them."""

import contextlib
import re
import socket
import time
from pathlib import Path

import httpx
import pytest

from holdfast import limits
from tests.contract.doors.rest.conftest import LOOK_S

pytestmark = pytest.mark.fresh

MIB = 1 << 20
BUDGET = 2 * (limits.PAYLOAD_BYTES + limits.BODY_BYTES_OVER_PAYLOAD)  # the least that this payload allows
WITHIN_S = 30.0


@pytest.fixture(scope="module")
def greedy(tmp_path_factory):
    """A server with a small budget."""
    from tests.contract.doors.rest.conftest import Server  # noqa: PLC0415  (it is the folder's own)

    server = Server(tmp_path_factory.mktemp("greedy") / "log", "--memory-budget", str(8 * MIB), "--size", "1000")
    yield server
    server.stop()
    assert "Traceback" not in server.log(), server.log()


@pytest.fixture
def api(greedy):
    anew = httpx.Limits(max_keepalive_connections=0)  # one that is kept may be closed, as idle, at the moment of its next use
    with httpx.Client(base_url=greedy.url, timeout=WITHIN_S, limits=anew) as client:
        yield client


@pytest.fixture
def connect(greedy):
    """Opens connections, and cuts them at the end."""
    opened = []

    def one():
        opened.append(socket.create_connection((greedy.host, greedy.port), WITHIN_S))
        return opened[-1]

    yield one
    for sock in opened:
        sock.close()


def metric(api, name):
    """One number of the budget."""
    return float(re.search(rf'^holdfast_memory_{name}{{front="0"}} (\S+)$', api.get("/metrics").text, re.MULTILINE)[1])


def settled(api, what=lambda held: held == 0):
    """Wait until the server holds nothing any more."""
    deadline = time.monotonic() + WITHIN_S
    while not what(held := metric(api, "held_bytes")):
        assert time.monotonic() < deadline, f"it still holds {held}"
        time.sleep(LOOK_S)


def rss(greedy):
    """The memory of the front."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{greedy.process.pid}/status").read_text())[1]) << 10


def head(method, path, *lines):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def send_what_is_taken(sock, data):
    """Send without waiting for room; what the server does not read stays here."""
    sock.settimeout(0.5)
    with contextlib.suppress(OSError):  # it reads no further, or has hung up
        sock.sendall(data)


LARGE = 16 * MIB
UNFINISHED = {
    "a head": head("GET", "/healthz", "X: " + "x" * 60_000)[:-4],
    "a body that is small": head("POST", "/v1/queues/q/jobs", "Content-Length: 250001") + b"x" * 250_000,
    "a bulk": head("POST", "/v1/jobs", f"Content-Length: {LARGE}") + b"x" * (LARGE - 1),
    "a bulk in chunks": head("POST", "/v1/jobs", "Transfer-Encoding: chunked") + b"100000\r\n" + b"x" * MIB + b"\r\n",
    "a form": head("POST", "/web/queues", f"Content-Length: {LARGE}", "Content-Type: application/x-www-form-urlencoded")
    + b"x" * (LARGE - 1),
    "an event": head("POST", "/v1/publish", f"Content-Length: {MIB}") + b"x" * (MIB - 1),
    "a body for nothing": head("POST", "/v1/nothing", f"Content-Length: {LARGE}") + b"x" * (LARGE - 1),
    "requests behind one that waits": head("POST", "/v1/leases", "Content-Length: 36")
    + b'{"queues":["nobody"],"wait_ms":9000}'
    + head("GET", "/healthz") * 20_000,
}


@pytest.mark.parametrize("name", UNFINISHED)
def test_what_is_not_whole_is_bounded_and_honest_callers_go_on(greedy, api, connect, name):
    before = rss(greedy)
    count = max(3, min(400, 3 * BUDGET // len(UNFINISHED[name])))
    for number in range(count):
        send_what_is_taken(connect(), UNFINISHED[name])
        if number % 20 == 0:
            assert api.post("/v1/queues/honest/jobs", json={"payload": number}).status_code == 201
    assert metric(api, "held_bytes") <= BUDGET
    assert api.post(
        "/v1/jobs", json={"jobs": [{"queue": "honest", "payload": "x" * (MIB - 100)} for _ in range(2)]}
    ).status_code in (
        201,
        503,
    )
    assert rss(greedy) - before < 4 * BUDGET
    assert metric(api, "held_peak_bytes") <= BUDGET + LARGE


def test_all_is_given_back_when_they_leave(api, connect):
    for data in UNFINISHED.values():
        sock = connect()
        send_what_is_taken(sock, data)
        sock.close()
    settled(api)


def test_a_large_body_whose_turn_does_not_come_is_refused_with_when_to_come_again(api, connect):
    stalled = [connect() for _ in range(12)]
    for sock in stalled:
        send_what_is_taken(sock, UNFINISHED["a bulk"])
    told = b""
    for sock in stalled:
        sock.settimeout(WITHIN_S)
        told = sock.recv(4096)
        if b"503" in told:
            break
    assert b" 503 " in told.partition(b"\r\n")[0]
    assert b"retry-after:" in told.lower()
    assert b'"overloaded"' in told
    for sock in stalled:
        sock.close()
    settled(api)


def test_answers_that_nobody_reads_are_bounded(greedy, api, connect):
    for _ in range(20):
        api.post("/v1/queues/large/jobs", json={"payload": "x" * (MIB - 100)}).raise_for_status()
    before = rss(greedy)
    for _ in range(8):
        connect().sendall(head("GET", "/v1/jobs?queue=large&limit=20") * 3)
    for _ in range(30):
        assert api.get("/v1/queues/large").status_code == 200
        assert metric(api, "held_bytes") <= BUDGET
    assert rss(greedy) - before < 5 * BUDGET


def test_pushes_that_wait_for_room_are_bounded_and_forgotten_when_their_callers_leave(api, connect):
    api.put("/v1/queues/full", json={"capacity_jobs": 1}).raise_for_status()
    api.post("/v1/queues/full/jobs", json={"payload": 1}).raise_for_status()
    body = b'{"payload":"' + b"x" * (MIB - 100) + b'"}'
    push = head("POST", "/v1/queues/full/jobs?wait_ms=50000", f"Content-Length: {len(body)}") + body
    waiting = [connect() for _ in range(20)]
    for sock in waiting:
        sock.sendall(push)
    refused = []
    for sock in waiting:
        sock.settimeout(1)
        try:
            refused.append(sock.recv(4096))
        except TimeoutError:
            continue
    assert 0 < metric(api, "parked_bytes") <= BUDGET / 4
    assert refused
    assert all(b" 503 " in told.partition(b"\r\n")[0] and b'"overloaded"' in told for told in refused)
    for sock in waiting:
        sock.close()
    settled(api)
    assert metric(api, "parked_bytes") == 0
    (job,) = api.post("/v1/leases", json={"queues": ["full"]}).json()["jobs"]
    api.post(f"/v1/leases/{job['lease']['token']}/conclude", json={}).raise_for_status()
    assert api.get("/v1/queues/full").json()["jobs"]["ready"] == 0, "what waited for callers who left is not put"


def test_an_event_for_too_many_bytes_is_refused_by_its_bound(api):
    for number in range(40):
        api.put(f"/v1/interests/wide-{number}", json={"match": {"wide": "yes"}}).raise_for_status()
    told = api.post("/v1/publish", json={"data": {"wide": "yes", "fill": "x" * (MIB - 100)}})
    assert told.status_code == 400
    assert str(limits.FAN_OUT_BYTES) in told.json()["detail"]
    assert api.post("/v1/publish", json={"data": {"wide": "yes"}}).status_code == 201


def test_a_flood_of_small_requests_leaves_turns_for_others(api, connect):
    flood = connect()
    flood.settimeout(0.01)
    waits = []
    many = head("GET", "/v1/queues/honest") * 2_000
    for _ in range(20):
        try:
            flood.send(many)
            flood.recv(1 << 20)
        except OSError:  # it is not read as fast as it sends
            pass
        began = time.monotonic()
        assert api.post("/v1/queues/honest/jobs", json={"payload": 1}).status_code == 201
        waits.append(time.monotonic() - began)
    assert sorted(waits)[len(waits) // 2] < 0.25
