"""Clients that send garbage, read slowly, say half of something, or come in crowds: the server answers the others all the same."""

import os
import random
import shutil
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import sync_playwright

from tests.contract.doors.beanstalk.script import Client, serving, tube_port
from tests.missing import missing
from tests.system.whole.servers import until

pytestmark = pytest.mark.fresh

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
    try:
        for piece in pieces:
            foe.send(piece)
        if half:
            foe.socket.shutdown(socket.SHUT_WR)
    except TimeoutError:  # an OSError as well
        raise
    except OSError:  # it has been hung up on
        assert foe.is_over() or foe.rest
        half = False
    if not half:
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


def test_one_that_leaves_while_it_reserves_counts_as_a_worker_no_longer(client, server, tube):
    before = client.page(b"stats\r\n")
    jobs = [client.put() for _ in range(40)]
    for job in jobs:
        other = Client(tube_port(server))
        other.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.send(b"reserve-job %d\r\n" % job)
        other.close()
    until(lambda: client.page(b"stats\r\n")["current-connections"] == before["current-connections"], "all have left")
    until(lambda: client.page(f"stats-tube {tube}\r\n".encode())["current-jobs-reserved"] == "0", "nothing is held")
    assert client.page(b"stats\r\n")["current-workers"] == before["current-workers"]


def commands(tube: str) -> str:
    """What a page would have obeyed."""
    return f"\r\nuse {tube}\r\nput 0 0 60 1\r\nx\r\n"


LONG = "x" * 5_000
HOST = "Host: 127.0.0.1:11300\r\n"
HEADS = {
    f"{method} {name}": f"{method} {target}{version}\r\n{headers}"
    for method in ("GET", "POST", "PUT", "DELETE", "PRI", "PROPFIND", "M-SEARCH")
    for name, target, version, headers in [
        ("/", "/", " HTTP/1.1", HOST),
        ("of HTTP/1.0 without a host", "/", " HTTP/1.0", "Accept: */*\r\n"),
        ("of HTTP/2", "*", " HTTP/2.0", ""),
        ("of a long path and a short host", "/" + LONG, " HTTP/1.1", HOST),
        ("of a long path and a long host", "/" + LONG, " HTTP/1.1", f"Host: {LONG}.localhost:11300\r\n"),
        ("of a long path and long headers alone", "/" + LONG, " HTTP/1.1", f"host: {LONG}\r\nuser-agent: {LONG}\r\n"),
        ("of a path that is as long as a line may be", "/" + "x" * (224 - 2 - 10 - len(method)), " HTTP/1.1", ""),
        ("of a path that is one longer", "/" + "x" * (224 - 1 - 10 - len(method)), " HTTP/1.1", ""),
        ("of an address", "http://127.0.0.1:11300/" + LONG, " HTTP/1.1", ""),
        ("without a version", "/" + LONG, "", ""),
        ("ended by bare line feeds", "/", " HTTP/1.1\nHost: x\n", "\n"),
    ]
}
OTHERS = {
    "a header alone": "User-Agent: Mozilla/5.0\r\n",
    "a long header alone": f"Cookie: {LONG}\r\n",
    "a method in small letters": "post / HTTP/1.1\r\n",
    "a long line that ends as a request does": f"post /{LONG} HTTP/1.1\r\n",
    "an empty line first": "\r\nPOST / HTTP/1.1\r\n",
    "RTSP": "OPTIONS rtsp://127.0.0.1/ RTSP/1.0\r\n",
    "SIP": f"REGISTER sip:{LONG} SIP/2.0\r\n",
    "SMTP": "EHLO localhost\r\n",
    "SMTP, long": f"HELO {LONG}\r\n",
    "mail": "MAIL FROM:<a@b>\r\n",
    "FTP": "USER anonymous\r\n",
    "FTP, a long password": f"PASS {LONG}\r\n",
    "IRC": "NICK x\r\n",
    "TLS 1.2": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "r" * 32,
    "TLS, all of it a ticket": "\x16\x03\x03\xff\xff",
    "TLS, as SSL 2 began": "\x80\x2e\x01\x00\x02",
    "an alert of TLS": "\x15\x03\x01\x00\x02",
    "STUN": "\x00\x01\x00\x08\x21\x12\xa4\x42",
    "TURN": "\x00\x03\x00\x40\x21\x12\xa4\x42",
    "a frame of a WebSocket": "\x82\x85\x01\x02\x03\x04",
    "a dump of UTF-16": "\xff\xfe",
}


@pytest.mark.parametrize("cut", [1 << 20, 700, 97])
@pytest.mark.parametrize("head", [*HEADS.values(), *OTHERS.values()], ids=[*HEADS, *OTHERS])
def test_what_speaks_another_protocol_is_hung_up_on_before_it_can_say_a_command(server, client, tube, head, cut):
    page = Client(tube_port(server))
    data = (head + commands(tube) * 3).encode("latin-1")
    try:
        for start in range(0, len(data), cut):
            page.send(data[start : start + cut])
        page.is_over()
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert b"INSERTED" not in page.rest
    assert b"USING" not in page.rest
    assert client.ask(b"peek-ready\r\n") == b"NOT_FOUND"
    page.close()


def test_what_only_resembles_another_protocol_is_answered_as_beanstalkd_does(client):
    for line in (
        "get x",
        "Put 0 0 60 1",
        "PUT 0 0 60 1",
        "STATS",
        "QUIT",
        "x" * 222,
        "hello world",
        "use",
        "{",
        "<html>",
        "#1",
    ):
        assert client.ask(line.encode() + b"\r\n") == b"UNKNOWN_COMMAND", line
    assert client.ask(b"y" * 9_000 + b"\r\n") == b"BAD_FORMAT"
    job = client.put(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03\x01")
    assert client.ask(b"delete %d\r\n" % job) == b"DELETED"


ATTACK = """async ([port, host, path, body]) => {
  const at = name => `${name}://${host}:${port}/${path}`
  const quietly = doing => Promise.race([Promise.resolve().then(doing).catch(() => {}), new Promise(r => setTimeout(r, 3000))])
  await quietly(() => fetch(at('http'), {method: 'POST', mode: 'no-cors', body}))
  await quietly(() => fetch(at('http'), {method: 'POST', mode: 'no-cors', body: new Blob([body])}))
  await quietly(() => navigator.sendBeacon(at('http'), body))
  await quietly(() => new Promise(done => {
    const request = new XMLHttpRequest(); request.onloadend = done
    request.open('POST', at('http')); request.setRequestHeader('Content-Type', 'text/plain'); request.send(body)
  }))
  await quietly(() => new Promise(done => {
    const form = document.createElement('form'), field = document.createElement('input'), frame = document.createElement('iframe')
    frame.name = 'away'; frame.onload = done; document.body.append(frame)
    form.method = 'POST'; form.enctype = 'text/plain'; form.action = at('http'); form.target = 'away'
    field.type = 'hidden'; field.name = body; field.value = body; form.append(field); document.body.append(form); form.submit()
  }))
  await quietly(() => fetch(at('https'), {method: 'POST', mode: 'no-cors', body}))
  await quietly(() => new Promise(done => { const ws = new WebSocket(at('ws')); ws.onopen = () => ws.send(body); ws.onclose = done }))
}"""


@pytest.mark.parametrize("path", ["", "x" * 400], ids=["short path", "long path"])
@pytest.mark.parametrize(
    "host", ["127.0.0.1", ".".join(["h" * 60] * 3 + ["h" * 50, "localhost"])], ids=["short host", "long host"]
)
def test_a_page_in_chromium_puts_no_job(server, client, tube, host, path):
    program = shutil.which("chromium")
    if program is None:
        missing("chromium", "apt install chromium")
    before = client.page(b"stats\r\n")
    with sync_playwright() as playwright, server.client() as http:
        browser = playwright.chromium.launch(executable_path=program, args=["--headless", "--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(f"{http.base_url}/healthz")
        page.evaluate("() => { document.body.textContent = '' }")
        page.evaluate(ATTACK, [tube_port(server), host, path, commands(tube) * 3])
        browser.close()
    after = client.page(b"stats\r\n")
    assert int(after["total-connections"]) >= int(before["total-connections"]) + 5, "the browser came to this port"
    assert after["cmd-put"] == before["cmd-put"]
    assert client.ask(b"peek-ready\r\n") == b"NOT_FOUND"


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
