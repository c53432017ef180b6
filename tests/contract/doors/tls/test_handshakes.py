"""Who may shake hands, and what those are told who may not."""

import json
import re
import socket
import ssl
import time

import httpx
import pytest

from holdfast import limits
from tests.contract.doors.tls.conftest import read_to_end, secured, tubes_of
from tests.system.whole.servers import WITHIN_S, until

GET = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def failures(client: httpx.Client, door: str = "http") -> dict[str, float]:
    """Handshakes that failed, by reason."""
    found = re.findall(
        rf'holdfast_tls_handshakes_failed_total{{door="{door}",front="0",reason="([^"]*)"}} (\S+)', client.get("/metrics").text
    )
    return {reason: float(count) for reason, count in found}


@pytest.fixture
def server(serve, pair):
    return serve(*pair.flags, "--beanstalk", "127.0.0.1:0")


@pytest.fixture
def client(server, authority):
    with server.client(verify=authority.trusting()) as client:
        yield client


def test_the_first_line_and_the_banner_of_beanstalkd_say_that_it_is_tls(server):
    assert server.first_lines[0].startswith("Holdfast ")
    assert " on https://127.0.0.1:" in server.first_lines[0]
    assert server.out.wait_for("beanstalkd's protocol").endswith(", over TLS")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_jobs_are_put_and_taken_over_tls(server, authority, version):
    context = authority.trusting()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    with secured(server.port, context) as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"
    with server.client(verify=context) as client:
        assert client.post("/v1/queues/q/jobs", json={"payload": "x" * 300_000}).status_code == 201
        (job,) = client.post("/v1/leases", json={"queues": ["q"]}).json()["jobs"]
        assert len(job["payload"]) == 300_000
        assert client.post(f"/v1/leases/{job['lease']['token']}/conclude", json={}).status_code == 200


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
def test_tls_1_1_is_refused_with_an_alert(server, authority, client):
    context = authority.trusting()
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
        secured(server.port, context)
    until(lambda: failures(client) == {"unsupported protocol": 1.0}, "it is counted")


def test_a_weak_cipher_is_refused(server, authority):
    context = authority.trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES256-SHA:AES128-SHA")  # no forward secrecy
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake failure"):
        secured(server.port, context)


def test_plain_http_is_told_that_the_port_speaks_tls_and_the_log_stays_empty(server, client):
    before = len(server.err.lines)
    for _ in range(50):
        answer = httpx.get(f"http://127.0.0.1:{server.port}/v1/queues", trust_env=False)
        assert (answer.status_code, answer.text) == (400, "This port speaks TLS: the URL begins with https://.\n")
    with socket.create_connection(("127.0.0.1", server.port), WITHIN_S) as sock:
        sock.sendall(b"PUT /task HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
        sock.shutdown(socket.SHUT_WR)
        assert read_to_end(sock).startswith(b"HTTP/1.1 400 ")
    assert failures(client) == {"not tls": 51.0}
    assert server.err.lines[before:] == []


def test_a_plain_client_of_beanstalkd_is_told(server, client):
    with socket.create_connection(("127.0.0.1", tubes_of(server)), WITHIN_S) as sock:
        sock.sendall(b"stats\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert read_to_end(sock) == b"TLS_REQUIRED\r\n"
    assert failures(client, "beanstalkd") == {"not tls": 1.0}


def test_rubbish_instead_of_a_handshake_ends_the_connection_and_nothing_else(server, client):
    with socket.create_connection(("127.0.0.1", server.port), WITHIN_S) as sock:
        sock.sendall(b"\x16" + b"\xff" * 5_000)
        sock.shutdown(socket.SHUT_WR)
        read_to_end(sock)
    assert client.get("/readyz").status_code == 200


def test_a_client_of_beanstalkd_speaks_over_tls_and_what_it_holds_returns_when_it_leaves(server, authority, client):
    with secured(tubes_of(server), authority.trusting()) as sock:
        sock.sendall(b"use mail\r\nput 0 0 60 5\r\nhello\r\nwatch mail\r\nreserve\r\n")
        reader = sock.makefile("rb")
        said = [reader.readline() for _ in range(5)]
        assert said[0] == b"USING mail\r\n"
        assert said[1].startswith(b"INSERTED ")
        assert said[3].startswith(b"RESERVED ")
        assert said[4] == b"hello\r\n"
        assert client.get("/v1/queues/mail").json()["jobs"]["leased"] == 1
        reader.close()
    until(lambda: client.get("/v1/queues/mail").json()["jobs"]["ready"] == 1, "it is handed back")


def test_without_tls_for_beanstalkd_only_http_has_it(serve, pair, authority):
    server = serve(*pair.flags, "--beanstalk", "127.0.0.1:0", "--no-beanstalk-tls")
    with socket.create_connection(("127.0.0.1", tubes_of(server)), WITHIN_S) as sock:
        sock.sendall(b"put 0 0 10 1\r\na\r\n")
        assert sock.recv(100).startswith(b"INSERTED ")
    with server.client(verify=authority.trusting()) as client:
        assert client.get("/v1/queues/default").json()["jobs"]["ready"] == 1


def test_a_client_that_says_goodbye_in_the_middle_is_gone_and_nothing_is_logged(server, authority, client):
    """TLS has no half-closed connections: who closes is not answered, and a poll that waits for it ends."""
    before = len(server.err.lines)
    body = json.dumps({"queues": ["empty"], "wait_ms": 50_000}).encode()
    sock = secured(server.port, authority.trusting())
    sock.sendall(b"POST /v1/leases HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    waiting = 'holdfast_waiters{front="0"} 1.0'
    until(lambda: waiting in client.get("/metrics").text, "the poll waits")
    sock.unwrap().close()
    until(lambda: waiting not in client.get("/metrics").text, "it waits no longer")
    with secured(tubes_of(server), authority.trusting()) as tubes:
        tubes.sendall(b"reserve\r\n")
        tubes.unwrap().close()
    assert server.err.lines[before:] == []


def test_a_refusal_arrives_though_more_was_sent_than_is_read(server, authority):
    with secured(server.port, authority.trusting()) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 1_000_000)
        answer = read_to_end(sock)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert answer.endswith(b"}")


def test_a_long_answer_arrives_whole_for_a_slow_reader(server, authority, client):
    for _ in range(8):
        client.post("/v1/queues/long/jobs", json={"payload": "x" * 900_000})
    with secured(server.port, authority.trusting()) as sock:
        sock.sendall(b"GET /v1/jobs?queue=long HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        parts = []
        while part := sock.recv(50_000):
            parts.append(part)
        head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert int(re.search(rb"content-length: (\d+)", head)[1]) == len(body) > 7_000_000


@pytest.fixture
def slow(server, authority):
    """A connection over TLS of a client that takes little from the kernel before it reads."""
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        plain.settimeout(WITHIN_S)
        plain.connect(("127.0.0.1", server.port))
        with authority.trusting().wrap_socket(plain, server_hostname="localhost") as sock:
            yield sock


def test_what_is_not_read_over_tls_counts_as_held(slow, client):
    for _ in range(8):
        client.post("/v1/queues/unread/jobs", json={"payload": "x" * 900_000})
    held = re.compile(r'^holdfast_memory_held_bytes{front="0"} (\S+)$', re.MULTILINE)
    slow.sendall(b"GET /v1/jobs?queue=unread HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until(lambda: float(held.search(client.get("/metrics").text)[1]) > 1_000_000, "it is held")
    slow.close()
    until(lambda: float(held.search(client.get("/metrics").text)[1]) == 0, "it is let go of")


def test_a_last_answer_is_kept_for_a_reader_that_takes_longer_than_a_close(slow, client):
    for _ in range(8):
        client.post("/v1/queues/last/jobs", json={"payload": "x" * 900_000})
    slow.sendall(b"GET /v1/jobs?queue=last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = slow.recv(50_000)
    time.sleep(limits.LINGER_S + 2)  # nothing tells when a server has given up
    answer += read_to_end(slow)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(re.search(rb"content-length: (\d+)", head)[1]) == len(body) > 7_000_000


@pytest.mark.parametrize("given", [b"", b"\x16\x03\x01"], ids=["nothing", "a beginning"])
def test_a_handshake_that_does_not_end_is_cut_off(server, client, given):
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), 2 * limits.HANDSHAKE_S) as sock:
        sock.sendall(given)
        assert read_to_end(sock) == b""
    assert limits.HANDSHAKE_S - 1 < time.monotonic() - began < limits.HANDSHAKE_S + 5
    assert failures(client) == {"timeout": 1.0}


def test_handshakes_that_are_under_way_have_a_bound_and_hinder_nobody_who_is_in(server, authority, client):
    assert client.get("/readyz").status_code == 200
    stuck = [socket.create_connection(("127.0.0.1", server.port), WITHIN_S) for _ in range(limits.HANDSHAKES_PER_ADDRESS)]
    try:
        with socket.create_connection(("127.0.0.1", server.port), WITHIN_S) as one_more:
            assert read_to_end(one_more) == b""
        assert client.get("/readyz").status_code == 200
        assert failures(client) == {"too many": 1.0}
    finally:
        for sock in stuck:
            sock.close()
    until(lambda: failures(client).get("hung up") == limits.HANDSHAKES_PER_ADDRESS, "all are counted")
    with secured(server.port, authority.trusting()) as sock:
        sock.sendall(GET)
        assert read_to_end(sock).startswith(b"HTTP/1.1 200 ")
