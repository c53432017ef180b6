"""A new certificate, while everybody goes on."""

import asyncio
import json
import os
import re
import signal
import socket
import ssl

import pytest
import yaml
from websockets.sync.client import connect

from holdfast.tls import Certificate, CertificateFiles
from tests.certificates import serial_of
from tests.contract.doors.tls.conftest import LOOPBACK, asked, secured, tubes_of
from tests.system.docs.pages import read
from tests.system.whole.servers import Server, until

WITHOUT_RIGHTS_TO_ALL_FILES = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.getuid() == 0 else ()


@pytest.fixture
def pair(authority, tmp_path):
    """One of this test's own, to be replaced."""
    mine = type(authority)(tmp_path / "certificates")
    return mine, mine.issue("server", *LOOPBACK, days=100)


def metric(client, name: str) -> float:
    return float(re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)[1])


def reloads(client, outcome: str) -> float:
    return metric(client, f'holdfast_tls_reloads_total{{front="0",outcome="{outcome}"}}')


def expires(client) -> float:
    return metric(client, 'holdfast_tls_certificate_expiration_timestamp_seconds{front="0"}')


@pytest.mark.parametrize("how", ["signal", "change"])
def test_a_new_certificate_is_shown_to_who_comes_and_nobody_is_hung_up_on(serve, pair, how):
    authority, files = pair
    server = serve(*files.flags, "--beanstalk", "127.0.0.1:0")
    context = authority.trusting()
    old = serial_of(server.port, authority)
    body = json.dumps({"queues": ["polled"], "wait_ms": 50_000}).encode()
    with (
        server.client(verify=context) as client,
        secured(server.port, context) as poll,
        secured(tubes_of(server), context) as tubes,
        connect(
            server.url.replace("https", "wss") + "/v1/channel", ssl=context, proxy=None, server_hostname="localhost"
        ) as line,
    ):
        before = expires(client)
        poll.sendall(b"POST /v1/leases HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        tubes.sendall(b"watch tube\r\nreserve\r\n")
        line.send(json.dumps({"op": "start", "ref": "1", "queues": ["channel"], "credits": 1}))
        assert json.loads(line.recv(10))["ref"] == "1"
        until(lambda: metric(client, 'holdfast_waiters{front="0"}') >= 2, "they wait")

        authority.issue("server", *LOOPBACK, days=200, into=files)
        if how == "signal":
            server.send(signal.SIGHUP)
        until(lambda: serial_of(server.port, authority) != old, "the new one is shown")
        assert reloads(client, "loaded") >= 1
        assert round((expires(client) - before) / 86_400) == 100
        server.err.wait_for("the TLS certificate was reloaded")
        assert serial_of(tubes_of(server), authority) != old

        for queue in ("polled", "tube", "channel"):
            assert client.post(f"/v1/queues/{queue}/jobs", json={"payload": 1}).status_code == 201
        assert b'"queue":"polled"' in poll.recv(65_536)
        reader = tubes.makefile("rb")
        assert [reader.readline()[:8] for _ in range(2)] == [b"WATCHING", b"RESERVED"]
        assert json.loads(line.recv(10))["jobs"][0]["queue"] == "channel"
        reader.close()


@pytest.mark.parametrize("broken", ["key", "rubbish", "gone", "expired"])
def test_a_broken_one_leaves_the_old_one_in_force_and_is_told_once(serve, pair, broken):
    authority, files = pair
    server = serve(*files.flags)
    old = serial_of(server.port, authority)
    with server.client(verify=authority.trusting()) as client:
        if broken == "key":
            files.key.write_bytes(authority.issue("other", *LOOPBACK).key.read_bytes())
        elif broken == "rubbish":
            files.cert.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        elif broken == "expired":
            authority.issue("server", *LOOPBACK, days=-1, into=files)
        else:
            files.key.unlink()
        server.send(signal.SIGHUP)
        line = server.err.wait_for("the TLS certificate was not reloaded, and the old one stays in force")
        assert str(files.cert) in line or str(files.key) in line
        assert reloads(client, "failed") == 1
        assert serial_of(server.port, authority) == old

        authority.issue("server", *LOOPBACK, into=files)
        until(lambda: reloads(client, "loaded") == 1, "it is seen without a signal")
        assert serial_of(server.port, authority) != old
        assert server.err.text.count("was not reloaded") == 1


def test_one_that_can_be_read_or_is_valid_only_later_is_taken_then(serve, pair):
    """Neither changes what is in the files: who renews writes them first, and lets the server read them afterwards."""
    authority, files = pair
    server = serve(*files.flags, wrapper=WITHOUT_RIGHTS_TO_ALL_FILES)
    old = serial_of(server.port, authority)
    with server.client(verify=authority.trusting()) as client:
        files.key.chmod(0)
        server.err.wait_for(f"{files.key} can't be read: Permission denied.")
        authority.issue("server", *LOOPBACK, days=399.9999, into=files)
        assert files.key.stat().st_mode & 0o777 == 0
        files.key.chmod(0o600)
        until(lambda: serial_of(server.port, authority) != old, "it is taken once it may be read")

        old = serial_of(server.port, authority)
        authority.issue("server", *LOOPBACK, days=400 + 9 / 86_400, into=files)  # it begins 400 days before its end
        server.err.wait_for("is not valid yet")
        assert serial_of(server.port, authority) == old
        until(lambda: serial_of(server.port, authority) != old, "it is taken once it is valid")
        assert reloads(client, "failed") == server.err.text.count("was not reloaded") <= 3  # each state is told once


async def test_a_storm_of_signals_is_a_load_or_two(pair):
    _, files = pair
    certificate = Certificate(CertificateFiles(str(files.cert), str(files.key)))
    await asyncio.gather(*(certificate.reload() for _ in range(200)))
    assert 1 <= certificate.reloads["loaded"] <= 2
    await certificate.reload()
    assert 2 <= certificate.reloads["loaded"] <= 3


def test_every_front_loads_it(serve, pair):
    authority, files = pair
    server = serve(*files.flags, "--fronts", "2")
    authority.issue("server", *LOOPBACK, into=files)
    server.send(signal.SIGHUP)
    server.err.wait_for("the TLS certificate was reloaded", 2)


def test_an_authority_of_clients_is_replaced_and_who_has_the_old_one_stays_out(serve, pair, stranger, tmp_path):
    authority, files = pair
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(authority.file.read_bytes())
    server = serve(*files.flags, "--tls-client-ca", str(trusted))
    context = authority.trusting(authority.issue("worker", "worker@example.org"))
    with server.client(verify=context) as client:
        assert client.get("/readyz").status_code == 200
        trusted.write_bytes(stranger.file.read_bytes())
        server.send(signal.SIGHUP)
        server.err.wait_for("the TLS certificate was reloaded")
        assert client.get("/readyz").status_code == 200  # this connection began before
        with pytest.raises(ssl.SSLError, match=r"(?i)alert unknown ca"):
            asked(server.port, context, b"GET / HTTP/1.1\r\n\r\n")
    welcome = authority.trusting(stranger.issue("known", "worker@example.org"))
    with server.client(verify=welcome) as client:
        assert client.get("/readyz").status_code == 200


def test_its_end_is_told_two_weeks_before(serve, pair):
    authority, files = pair
    server = serve(*authority.issue("server", *LOOPBACK, days=13, into=files).flags)
    with server.client(verify=authority.trusting()) as client:
        said = client.get("/readyz")
        assert (said.status_code, said.json()["warnings"]) == (200, ["tls_certificate_expires"])
        server.err.wait_for("the TLS certificate is near its end")
        authority.issue("server", *LOOPBACK, days=30, into=files)
        server.send(signal.SIGHUP)
        until(lambda: "warnings" not in client.get("/readyz").json(), "it is renewed")


def test_sighup_in_the_first_moment_ends_nothing(tmp_path, pair):
    server = Server(tmp_path / "early", "--store", "memory", *pair[1].flags).launch()
    try:
        server.wait_for_keeper()
        server.send(signal.SIGHUP)
        server.out.wait_for("are kept")
        with socket.create_connection(("127.0.0.1", server.port), 10):
            pass
    finally:
        server.destroy()


def test_the_alert_rules_ask_for_what_is_told(serve, pair):
    authority, files = pair
    server = serve(*files.flags)
    (group,) = yaml.safe_load(read("deploy/prometheus/holdfast-tls.rules.yml"))["groups"]
    with server.client(verify=authority.trusting()) as client:
        text = client.get("/metrics").text
    for rule in group["rules"]:
        for name in re.findall(r"holdfast_\w+", rule["expr"]):
            assert f"\n{name}{{" in text, name
        for label, value in re.findall(r'(\w+)="(\w+)"', rule["expr"]):
            assert f'{label}="{value}"' in text


def test_the_page_tells_its_end(serve, pair):
    authority, files = pair
    server = serve(*authority.issue("server", *LOOPBACK, days=3, into=files).flags)
    with server.client(verify=authority.trusting()) as client:
        assert "from then on no client that verifies it connects" in client.get("/web").text
