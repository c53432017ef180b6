"""503 and 507: a server that drains, whose keeper hangs or dies, that has too much to do, or whose disk is full, says so and never lies."""

import json
import os
import re
import signal
import socket
import time

import pytest

from tests.contract.doors.rest.conftest import LOOK_S


class Sent:
    """A request of which so many bytes are held back. The rest has reached the server once it has answered another one, see `seen`."""

    def __init__(self, server, path, body, hold_back=0, method="POST"):
        request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        now, self._rest = request[: len(request) - hold_back], request[len(request) - hold_back :]
        self._socket = socket.create_connection((server.host, server.port), timeout=20)
        self._file = self._socket.makefile("rb")
        self._socket.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert self._read()[0] == 200  # so the server has accepted the connection
        self._socket.sendall(now)

    def answer(self):
        """Send what was held back, and give status, head and body of the answer."""
        with self._socket, self._file:
            self._socket.sendall(self._rest)
            return self._read()

    def _read(self):
        head = b"".join(iter(self._file.readline, b"\r\n")).decode().lower()
        size = int(re.search(r"content-length: (\d+)", head)[1])
        return int(head.split()[1]), head, json.loads(self._file.read(size))


def half(server, path, body):
    """A request that is under way for as long as we like: its last byte is missing."""
    return Sent(server, path, body, hold_back=1)


def seen(api):
    """Wait until the server has read all that was sent before: it reads from every connection in each turn of its loop."""
    for _ in range(3):
        assert api.get("/healthz").status_code == 200


def until(true):
    """Wait for something to become true."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(LOOK_S)


def is_listening(server):
    try:
        socket.create_connection((server.host, server.port), timeout=1).close()
    except OSError:
        return False
    return True


# Draining


def test_a_server_that_drains_takes_nothing_new_lets_leases_end_and_sends_home_who_waits(serve, connect, queue, aside):
    server, api = serve()
    for _ in range(4):
        api.push(queue)
    tokens = [job["lease"]["token"] for job in api.lease(queue, max=4)]
    full = f"{queue}-full"
    api.set(full, capacity_jobs=0)
    polls = [aside(connect(server.url).lease, f"{queue}-none", wait_ms=50_000) for _ in range(2)]
    room = aside(connect(server.url).post, f"/v1/queues/{full}/jobs", {}, params={"wait_ms": 50_000})
    waiting = aside(connect(server.url).job, int(tokens[3].split(".")[0]), wait_ms=50_000)
    api.until_parked(4)
    refused = {path: half(server, path, body) for path, body in {
        f"/v1/queues/{queue}/jobs": b"{}",
        "/v1/jobs": b'{"jobs":[{"queue":"q"}]}',
        "/v1/leases": b'{"queues":["q"]}',
        f"/v1/leases/{tokens[3]}/conclude": b'{"then":[{"queue":"q"}]}',
    }.items()}  # fmt: skip
    done = {
        verb: half(server, f"/v1/leases/{token}/{verb}", b"{}")
        for verb, token in zip(("conclude", "fail", "extend"), tokens, strict=False)
    }
    batch = half(server, "/v1/leases/batch", json.dumps({"release": [{"token": tokens[3]}]}).encode())
    seen(api)
    server.process.send_signal(signal.SIGTERM)
    assert [poll.result(10) for poll in polls] == [[], []]
    api.refused(room.result(10), 429, "queue_full")
    assert waiting.result(10)["state"] == "leased"
    for path, request in refused.items():
        status, head, problem = request.answer()
        assert (status, problem["code"], problem["status"]) == (503, "draining", 503), path
        assert "retry-after: 1" in head
    for verb, request in done.items():
        status, _, answer = request.answer()
        assert status == 200
        if verb == "extend":
            assert answer["draining"] is True
    assert batch.answer()[2]["release"][0]["state"] == "ready"
    assert server.ended() == 0
    assert not is_listening(server)


def test_a_second_signal_ends_at_once(serve, queue):
    server, api = serve(clean=False)
    request = half(server, f"/v1/queues/{queue}/jobs", b"{}")
    seen(api)
    server.process.send_signal(signal.SIGTERM)
    until(lambda: not is_listening(server))
    assert server.process.poll() is None
    until(lambda: server.process.send_signal(signal.SIGTERM) or server.process.poll() is not None)
    assert server.ended() == 1
    del request


# The keeper hangs


@pytest.fixture
def hung(serve):
    """Stop and continue the keeper of a server, as a machine that stalls would."""
    server, api = serve("--fronts", "1")
    keeper = server.keeper()
    yield server, api, lambda: os.kill(keeper, signal.SIGSTOP), lambda: os.kill(keeper, signal.SIGCONT)
    os.kill(keeper, signal.SIGCONT)


def test_while_the_keeper_hangs_the_server_is_alive_but_not_ready_and_then_goes_on(hung, queue, aside):
    _, api, stall, go_on = hung
    stall()
    pushing = aside(api.push, queue)
    answer = api.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "not ready", "reasons": ["store_unavailable"]})
    assert api.get("/healthz").status_code == 200
    assert not pushing.done()
    go_on()
    assert pushing.result(10)["state"] == "ready"
    assert api.get("/readyz").status_code == 200


def test_what_would_pile_up_before_a_keeper_that_hangs_is_refused_and_certainly_not_done(hung, queue):
    """Twenty thousand commands may be on their way. A batch that would pass the bound is refused whole."""
    server, api, stall, go_on = hung
    api.post("/v1/jobs", {"jobs": [{"queue": queue}] * 1_000})
    held = [{"token": job["lease"]["token"]} for job in api.lease(queue, max=1_000)]
    stale = json.dumps({"extend": [{"token": "1.1.9007199254740991.00"}] * 975}).encode()
    stall()
    filling = [Sent(server, "/v1/leases/batch", stale) for _ in range(20)]
    seen(api)
    problem = api.refused(api.post("/v1/leases/batch", {"conclude": held}), 503, "overloaded")
    assert problem["retry_after_ms"] == 1_000
    at_the_bound = Sent(server, "/v1/leases/batch", json.dumps({"release": held[:500]}).encode())
    seen(api)
    for path, body in (
        (f"/v1/queues/{queue}/jobs", {}),
        ("/v1/leases", {"queues": [queue]}),
        ("/v1/leases/batch", {"fail": held[:1]}),
    ):
        api.refused(api.post(path, body), 503, "overloaded")
    go_on()
    assert [len(request.answer()[2]["extend"]) for request in filling] == [975] * 20
    assert [one["state"] for one in at_the_bound.answer()[2]["release"]] == ["ready"] * 500
    assert api.counts(queue) == {"ready": 500, "leased": 500}


# The keeper dies


def test_when_the_keeper_dies_what_was_on_its_way_has_an_unknown_outcome_and_the_server_ends(serve, queue):
    server, api = serve("--fronts", "1", clean=False)
    api.push(queue)
    keeper = server.keeper()
    os.kill(keeper, signal.SIGSTOP)
    on_their_way = [
        Sent(server, f"/v1/queues/{queue}/jobs", b"{}"),
        Sent(server, "/v1/leases", json.dumps({"queues": [queue], "wait_ms": 10_000}).encode()),
    ]
    reading = Sent(server, "/v1/jobs", b"", method="GET")
    unfinished = half(server, f"/v1/queues/{queue}/jobs", b"{}")
    seen(api)
    os.kill(keeper, signal.SIGKILL)
    for request in on_their_way:
        status, head, problem = request.answer()
        assert (status, problem["code"], problem["retry_after_ms"]) == (503, "outcome_unknown", 1_000)
        assert "retry-after: 1" in head
    assert reading.answer()[2]["code"] == "store_unavailable"
    status, _, problem = unfinished.answer()
    assert (status, problem["code"]) == (503, "draining")
    assert server.ended() == 1
    assert "The keeper died" in server.log()


# The disk is full


def test_at_the_watermark_new_jobs_are_refused_and_leases_can_still_be_ended(serve, queue, tmp_path):
    store = f"sqlite:///{tmp_path / 'jobs.db'}"
    before, api = serve(store=store)
    for _ in range(3):
        api.push(queue)
    first, second, third = api.lease(queue, max=3)
    assert before.stop() == 0
    _, api = serve("--disk-watermark-bytes", str(1 << 50), store=store)
    answer = api.get("/readyz")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["storage_full"])
    assert api.get("/v1/stats").json()["store"]["accepting"] is False
    assert api.metric("holdfast_store_accepting") == 0
    response = api.post(f"/v1/queues/{queue}/jobs", {})
    problem = api.refused(response, 507, "storage_full", says="watermark")
    assert int(response.headers["retry-after"]) * 1_000 == problem["retry_after_ms"]
    api.refused(api.post("/v1/jobs", {"jobs": [{"queue": queue}]}), 507, "storage_full")
    api.refused(api.end("conclude", first, then=[{"queue": queue}]), 507, "storage_full")
    assert api.ended("conclude", first)["state"] == "concluded"
    assert api.ended("fail", second)["state"] == "scheduled"
    assert api.ended("release", third)["state"] == "ready"
    assert api.take(queue)["id"] == third["id"]
    assert api.get("/healthz").status_code == 200
