"""Channels that take more than their share: unfinished messages, floods of small ones, and workers that do not read."""

import base64
import contextlib
import os
import re
import socket
import struct
import time

import httpx
import pytest

from tests.contract.doors.rest.conftest import LOOK_S, Server

pytestmark = pytest.mark.fresh

MIB = 1 << 20
BUDGET = 34 * MIB  # the least that the usual payload allows
WITHIN_S = 30.0


@pytest.fixture(scope="module")
def greedy(tmp_path_factory):
    """A server with a small budget."""
    server = Server(tmp_path_factory.mktemp("greedy") / "log", "--memory-budget", str(8 * MIB))
    yield server
    server.stop()
    assert "Traceback" not in server.log(), server.log()


@pytest.fixture
def api(greedy):
    with httpx.Client(base_url=greedy.url, timeout=WITHIN_S) as client:
        yield client


@pytest.fixture
def shaken(greedy):
    """Opens channels as bare sockets, and cuts them at the end."""
    opened = []

    def one():
        sock = socket.create_connection((greedy.host, greedy.port), WITHIN_S)
        opened.append(sock)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "Host: localhost",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
        ]
        sock.sendall("\r\n".join(["GET /v1/channel HTTP/1.1", *lines, "", ""]).encode())
        assert b" 101 " in sock.recv(4096)
        return sock

    yield one
    for sock in opened:
        sock.close()


def frame(payload, opcode=1, fin=True, declared=None):
    size = len(payload) if declared is None else declared
    head = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    else:
        head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


def held(api):
    return float(re.search(r'^holdfast_memory_held_bytes{front="0"} (\S+)$', api.get("/metrics").text, re.MULTILINE)[1])


UNFINISHED = {
    "a frame": frame(b"x" * (4 * MIB), declared=5 * MIB - 1),
    "a message in fragments": frame(b"x" * MIB, fin=False) + frame(b"x" * MIB, opcode=0, fin=False) * 3,
}


@pytest.mark.parametrize("name", UNFINISHED)
def test_messages_that_are_not_whole_are_bounded(api, shaken, name):
    for _ in range(20):
        sock = shaken()
        sock.settimeout(2)
        with contextlib.suppress(OSError):
            sock.sendall(UNFINISHED[name])
        assert api.post("/v1/queues/honest/jobs", json={"payload": 1}).status_code == 201
    assert 0 < held(api) <= BUDGET


def test_one_that_is_hung_up_on_is_told_to_come_again(api, shaken):
    first = shaken()
    first.sendall(UNFINISHED["a frame"])
    others = [shaken() for _ in range(10)]
    for sock in others:
        sock.settimeout(2)
        with contextlib.suppress(OSError):
            sock.sendall(UNFINISHED["a frame"])
    first.settimeout(WITHIN_S)
    told = first.recv(4096)
    assert told[0] == 0x88
    assert int.from_bytes(told[2:4], "big") == 1013
    for sock in (first, *others):
        sock.close()
    deadline = time.monotonic() + WITHIN_S
    while held(api):
        assert time.monotonic() < deadline
        time.sleep(LOOK_S)


def test_a_flood_of_tiny_messages_leaves_turns_for_others(api, shaken):
    floods = [shaken() for _ in range(4)]
    many = frame(b"{}") * 30_000
    waits = []
    for _ in range(10):
        for sock in floods:
            sock.settimeout(0.01)
            with contextlib.suppress(OSError):
                sock.send(many)
                sock.recv(1 << 20)
        began = time.monotonic()
        assert api.post("/v1/queues/honest/jobs", json={"payload": 1}).status_code == 201
        waits.append(time.monotonic() - began)
    assert sorted(waits)[len(waits) // 2] < 0.25


def test_a_worker_that_does_not_read_is_given_little(api, shaken):
    for _ in range(40):
        api.post("/v1/queues/large/jobs", json={"payload": "x" * (MIB - 100)}).raise_for_status()
    deaf = shaken()
    deaf.sendall(frame(b'{"op":"start","queues":["large"],"credits":100}'))
    deadline = time.monotonic() + WITHIN_S
    while api.get("/v1/queues/large").json()["jobs"]["leased"] < 2:
        assert time.monotonic() < deadline
        time.sleep(LOOK_S)
    for _ in range(20):
        assert api.get("/v1/queues/large").json()["jobs"]["leased"] < 20, "what the network holds, and a little more"
    deaf.settimeout(WITHIN_S)
    read = 0
    while read < 39 * MIB:
        read += len(deaf.recv(1 << 20))
    deaf.close()
    assert api.get("/v1/queues/large").json()["jobs"]["dead"] == 0


def test_a_push_that_waits_for_room_is_forgotten_with_its_channel(api, shaken):
    api.put("/v1/queues/full", json={"capacity_jobs": 1}).raise_for_status()
    api.post("/v1/queues/full/jobs", json={"payload": 1}).raise_for_status()
    body = b'{"jobs":[{"queue":"full","payload":"' + b"x" * 500_000 + b'"}]}'
    sock = shaken()
    sock.sendall(frame(b'{"op":"enqueue","wait_ms":50000,"body":' + body + b"}"))
    deadline = time.monotonic() + WITHIN_S
    while held(api) < 500_000:
        assert time.monotonic() < deadline
        time.sleep(LOOK_S)
    sock.close()
    while held(api):
        assert time.monotonic() < deadline
        time.sleep(LOOK_S)


@pytest.mark.parametrize("size", [0, 1, 6, 500])
def test_one_that_leaves_before_all_that_it_sent_is_looked_at_holds_nothing(api, shaken, size):
    for _ in range(5):
        sock = shaken()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.sendall(frame(b'{"op":"ping"}') * 2_000 + frame(b"x" * 1_000)[:size])
        sock.close()
    deadline = time.monotonic() + WITHIN_S
    while 'holdfast_channels{front="0"} 0.0' not in api.get("/metrics").text or held(api):
        assert time.monotonic() < deadline, held(api)
        time.sleep(LOOK_S)
