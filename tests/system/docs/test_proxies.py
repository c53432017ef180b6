"""The snippets for proxies and for systemd do what the pages say."""

import base64
import json
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.system.docs.conftest import Running
from tests.system.docs.examples import environment
from tests.system.docs.pages import blocks, read
from tests.system.docs.proxies import GUIDE, Proxy, haproxy, nginx
from tests.system.docs.test_guides import compared, started_with

pytestmark = pytest.mark.long(25)

PEOPLE = {"Authorization": "Basic " + base64.b64encode(b"anna:change-me").decode()}
TOKEN = "change-this-too"
PROXIES = pytest.mark.parametrize("proxy", [nginx, haproxy], ids=["nginx", "HAProxy"])
Serve = Callable[..., Running]

WORK = """
from holdfast import Client, Worker

worker = Worker("thumbs", live=True)


@worker.handler()
def double(job):
    worker.stop()
    return job.payload * 2


with Client() as client:
    job = client.enqueue("thumbs", 21)
    worker.run()
    print(client.result(job.id, timeout_s=20))
"""


def call(proxy: Proxy, path: str, body: object = None, **headers: str) -> Any:
    named = {"Host": "jobs.example", "Content-Type": "application/json", **PEOPLE, **headers}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"https://127.0.0.1:{proxy.port}{path}", data, named)
    with urllib.request.urlopen(request, timeout=80, context=trusting(proxy)) as answer:
        return answer.readline() if answer.headers["Content-Type"].startswith("text/event-stream") else json.load(answer)


def trusting(proxy: Proxy) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(proxy.authority))


def lives_through(proxy: Proxy, prefix: str = "") -> None:
    """A job's life, a wait, a large body, a stream, the live channel, and who is kept out."""
    put = call(proxy, f"{prefix}/v1/queues/mail/jobs", {"payload": "x" * ((1 << 20) - 2)})
    (job,) = call(proxy, f"{prefix}/v1/leases", {"queues": ["mail"], "wait_ms": 1000})["jobs"]
    assert job["id"] == put["id"]
    assert call(proxy, f"{prefix}/v1/leases/{job['lease']['token']}/conclude", {"result": 1})["state"] == "concluded"
    began = time.monotonic()
    assert call(proxy, f"{prefix}/v1/leases", {"queues": ["none"], "wait_ms": 1500})["jobs"] == []
    assert time.monotonic() - began > 1.4
    events_come_at_once(proxy, prefix)
    line = socket.create_connection(("127.0.0.1", proxy.port))
    address = f"wss://jobs.example{prefix}/v1/channel"
    with connect(address, sock=line, ssl=trusting(proxy), additional_headers=PEOPLE) as live:
        live.send('{"op":"start","queues":["mail"],"credits":1}')
        assert [json.loads(live.recv(20))["op"] for _ in range(2)] == ["started", "jobs"]
    assert call(proxy, f"{prefix}/v1/leases", {"queues": ["none"]}, Origin="https://jobs.example") == {"jobs": []}
    assert refused(proxy, f"{prefix}/v1/leases", Origin="https://elsewhere.example") == 403
    assert refused(proxy, f"{prefix}/v1/queues", Authorization="") == 401
    assert refused(proxy, f"{prefix}/v1/queues", Authorization="Bearer guessed") == 401


def events_come_at_once(proxy: Proxy, prefix: str) -> None:
    named = {"Host": "jobs.example", **PEOPLE}
    stream = urllib.request.Request(f"https://127.0.0.1:{proxy.port}{prefix}/v1/stream", headers=named)
    with urllib.request.urlopen(stream, timeout=10, context=trusting(proxy)) as events:
        assert events.readline() == b": holdfast\n"
        call(proxy, f"{prefix}/v1/queues/mail/jobs", {})
        assert b"event: job" in events.readline() + events.readline()


def refused(proxy: Proxy, path: str, **headers: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as error:
        call(proxy, path, None if path.endswith("queues") else {"queues": ["none"]}, **headers)
    return error.value.code


@PROXIES
def test_all_that_holdfast_speaks_gets_through_the_proxy_of_the_guide(proxy: Callable[..., Any], serve: Serve):
    with proxy(serve(*started_with(blocks(read(GUIDE))))) as running:
        lives_through(running)


def test_all_that_holdfast_speaks_gets_through_nginx_under_a_prefix(serve: Serve):
    with nginx(serve("--allowed-hosts", "jobs.example", "--root-path", "/queue"), "/queue/") as running:
        lives_through(running, "/queue")


@PROXIES
def test_the_guide_about_proxies_prints_what_it_shows(proxy: Callable[..., Any], serve: Serve):
    page = blocks(read(GUIDE))
    running = serve(*started_with(page))
    with proxy(running) as there:
        (running.folder / ".curlrc").write_text(
            f'connect-to = "jobs.example:443:127.0.0.1:{there.port}"\ncacert = "{there.authority}"\n'
        )
        assert not compared(GUIDE, page, running, CURL_HOME=str(running.folder))


@PROXIES
def test_a_python_worker_gets_through_with_a_token_and_an_authority_of_ones_own(proxy: Callable[..., Any], serve: Serve):
    running = serve("--allowed-hosts", "jobs.example")
    with proxy(running) as there:
        known = {
            "HOLDFAST_URL": f"https://127.0.0.1:{there.port}",
            "HOLDFAST_TOKEN": TOKEN,
            "SSL_CERT_FILE": str(there.authority),
        }
        done = subprocess.run(
            [sys.executable, "-c", WORK],
            env=environment() | known,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr
