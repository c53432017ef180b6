"""Clients of beanstalkd that take more than their share: puts that are not whole, and replies that are not read."""

import contextlib
import re
import socket
import time

import pytest

from tests.contract.doors.beanstalk.script import Client, serving, tube_port

pytestmark = pytest.mark.fresh

MIB = 1 << 20
BUDGET = 34 * MIB
WITHIN_S = 30.0


@pytest.fixture(scope="module")
def greedy(tmp_path_factory):
    """A server with a small budget."""
    with serving(tmp_path_factory.mktemp("greedy"), "--memory-budget", str(8 * MIB)) as server:
        yield server


@pytest.fixture
def connect(greedy):
    opened = []

    def one():
        opened.append(socket.create_connection(("127.0.0.1", tube_port(greedy)), WITHIN_S))
        return opened[-1]

    yield one
    for sock in opened:
        sock.close()


def held(server):
    with server.client() as api:
        text = api.get("/metrics").text
    return float(re.search(r'^holdfast_memory_held_bytes{front="0"} (\S+)$', text, re.MULTILINE)[1])


def test_puts_that_are_not_whole_are_bounded_and_told_so(greedy, connect):
    first = connect()
    waiting = [first, *(connect() for _ in range(60))]
    for sock in waiting:
        sock.settimeout(2)
        with contextlib.suppress(OSError):
            sock.sendall(b"put 0 0 60 %d\r\n" % (MIB - 2) + b"x" * (MIB - 10))
    assert 0 < held(greedy) <= BUDGET
    first.settimeout(WITHIN_S)
    assert first.recv(100) == b"OUT_OF_MEMORY\r\n"
    assert first.recv(100) == b""
    client = Client(tube_port(greedy))
    client.send(b"put 0 0 60 2\r\nok\r\n")
    assert client.line().startswith(b"INSERTED")
    client.close()
    for sock in waiting:
        sock.close()
    deadline = time.monotonic() + WITHIN_S
    while held(greedy):
        assert time.monotonic() < deadline


def test_replies_that_are_not_read_are_bounded_and_the_rest_comes_when_they_are(greedy, connect):
    count = 60
    client = Client(tube_port(greedy))
    client.send(b"use large\r\n")
    assert client.line() == b"USING large"
    for _ in range(count):
        client.send(b"put 0 0 600 %d\r\n" % (MIB - 2) + b"x" * (MIB - 2) + b"\r\n")
        assert client.line().startswith(b"INSERTED")
    client.close()
    deaf = connect()
    deaf.sendall(b"watch large\r\nignore default\r\n" + b"reserve-with-timeout 0\r\n" * count)
    for _ in range(20):
        assert held(greedy) <= 4 * MIB
    deaf.settimeout(WITHIN_S)
    read, reserved = 0, 0
    with deaf.makefile("rb") as replies:
        assert [replies.readline() for _ in range(2)] == [b"WATCHING 2\r\n", b"WATCHING 1\r\n"]
        for _ in range(count):
            word, _, size = replies.readline().split()
            assert word == b"RESERVED"
            read += len(replies.read(int(size) + 2))
            reserved += 1
    assert (reserved, read) == (count, count * MIB)
