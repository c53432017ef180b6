"""Clients that send garbage, read slowly, say half of something, or come in crowds: the server answers the others all the same."""

import os
import random
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.doors.beanstalk.talking import Client, serving, tube_port
from tests.whole.servers import until

PIECE = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"put 0 0 1 5\r\n",
            b"abcde\r\n",
            b"reserve-with-timeout 0\r\n",
            b"delete 1\r\n",
            b"stats\r\n",
            b"peek-ready\r\n",
            b"kick 3\r\n",
        ]
    ),
    st.sampled_from(
        [
            b"use fuzz\r\n",
            b"watch fuzz\r\n",
            b"release 1 1 1\r\n",
            b"\r\n",
            b"\0" * 300,
            b"put 0 0 1 9999999\r\n",
            b"bury 2 2\r\n",
        ]
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECE, max_size=30), st.booleans())
def test_garbage_is_answered_or_hung_up_on_and_nobody_else_notices(client, server, pieces, half):
    foe = Client(tube_port(server), "fuzz")
    foe.socket.settimeout(5)
    for piece in pieces:
        foe.send(piece)
    if half:
        foe.socket.shutdown(socket.SHUT_WR)
    else:
        foe.close()
    assert client.ask(b"kick-job 9007199254740990\r\n") == b"NOT_FOUND"
    if half:
        assert foe.is_over() or foe.rest  # it hangs up, whatever was still to be said
        foe.close()


def test_a_slow_reader_is_read_no_further_and_costs_no_memory(server, client):
    body = os.urandom(1 << 19)
    job = client.put(body)
    slow = Client(tube_port(server))
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
    slow.socket.settimeout(0.5)
    asked = 0
    try:
        while asked < 20_000:
            slow.send(b"peek %d\r\n" % job * 100)
            asked += 100
    except TimeoutError:
        pass
    assert client.ask(b"list-tube-used\r\n").startswith(b"USING")
    status = Path(f"/proc/{server.pid}/status").read_text()
    assert int(status.partition("VmRSS:")[2].split()[0]) < 400_000, "10 GB were asked for"
    slow.socket.settimeout(10)
    for _ in range(20):
        assert slow.line() == b"FOUND %d %d" % (job, len(body))
        assert slow.body(len(body)) == body
    slow.close()


def test_bodies_of_ten_megabytes(tmp_path):
    with serving(tmp_path / "home", "--max-payload-bytes", str(10 << 20), store="memory") as server:
        client = Client(tube_port(server))
        body = random.Random(1).randbytes(10 << 20)
        ids = [client.put(body) for _ in range(3)]
        client.send(b"put 0 0 60 %d\r\n" % (len(body) + 1) + body + b"x\r\n")
        assert client.line() == b"JOB_TOO_BIG"
        for job in ids:
            assert client.reserve() == (job, body)
            assert client.ask(b"delete %d\r\n" % job) == b"DELETED"
        client.close()


def test_half_a_put_leaves_nothing(client, server, tube):
    other = Client(tube_port(server))
    other.send(f"use {tube}\r\nput 0 0 60 10\r\nabc".encode())
    assert other.line() == f"USING {tube}".encode()
    other.close()
    assert client.ask(b"peek-ready\r\n") == b"NOT_FOUND"
    assert client.ask(b"reserve-with-timeout 0\r\n") == b"TIMED_OUT"


def test_one_that_waits_and_leaves_is_given_nothing(client, server, tube):
    other = Client(tube_port(server), tube).send(b"reserve\r\n")
    until(lambda: client.page(f"stats-tube {tube}\r\n".encode())["current-waiting"] == "1", "it waits")
    other.close()
    until(lambda: client.page(f"stats-tube {tube}\r\n".encode())["current-waiting"] == "0", "it has left")
    job = client.put()
    assert client.reserve()[0] == job
    assert client.page(b"stats-job %d\r\n" % job)["reserves"] == "1"


@pytest.mark.parametrize("path", ["/", "/" + "x" * 300])
def test_the_body_of_an_http_request_is_not_obeyed(client, server, tube, path):
    page = Client(tube_port(server))
    commands = f"use {tube}\r\nput 0 0 60 1\r\nx\r\n"
    page.send(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(commands)}\r\n\r\n{commands}".encode())
    page.is_over()
    assert b"INSERTED" not in page.rest
    assert client.ask(b"peek-ready\r\n") == b"NOT_FOUND"
    page.close()


def test_a_crowd_is_served_and_counted(server, tube):
    crowd = [Client(tube_port(server), tube) for _ in range(500)]
    for one in crowd:
        one.send(b"reserve-with-timeout 0\r\n")
    assert {one.line() for one in crowd} == {b"TIMED_OUT"}
    assert int(crowd[0].page(b"stats\r\n")["current-workers"]) >= 500
    for one in crowd:
        one.close()


def test_pipelined_commands_without_reading_are_all_answered(client):
    count = 5_000
    client.send(b"put 0 0 60 1\r\nx\r\n" * count)
    ids = [int(client.line().split()[1]) for _ in range(count)]
    assert ids == sorted(ids)
    client.send(b"".join(b"delete %d\r\n" % job for job in ids))
    assert {client.line() for _ in range(count)} == {b"DELETED"}
