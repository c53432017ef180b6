"""Through nginx and HAProxy: whatever works without them works with them, under a path prefix or not, and nothing is held back."""

import base64
import re
import socket
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from holdfast import limits
from tests.contract.doors.websocket.channel import open_channel
from tests.system.whole.calls import conclude, lease, metric, push
from tests.system.whole.machine import tool_path
from tests.system.whole.proxies import haproxy, nginx
from tests.system.whole.servers import Call, Server, until

OPTIONS = ("--max-payload-bytes", "100000")
PREFIXES = pytest.mark.parametrize("prefix", ["/kept", "/stripped", "/simple"])


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Two servers for all tests here: one as it comes, one that knows that it is shown under /kept."""
    home = tmp_path_factory.mktemp("behind-proxies")
    plain = Server(home / "plain", *OPTIONS).start()
    prefixed = Server(home / "prefixed", *OPTIONS, "--root-path", "/kept", "--allowed-hosts", "jobs.example").start()
    yield plain, prefixed
    plain.destroy()
    prefixed.destroy()


@pytest.fixture(scope="module", params=[nginx, haproxy], ids=["nginx", "haproxy"])
def url(
    request: pytest.FixtureRequest, servers: tuple[Server, Server], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Where the proxy is."""
    folder: Path = tmp_path_factory.mktemp("proxy") / "etc"
    with request.param(folder, servers[0].port, servers[1].port) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    """A client of the proxy, with one connection."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    """A queue of the test's own."""
    return f"q{zlib.crc32(request.node.nodeid.encode()):x}"


def test_a_job_s_whole_life_goes_through(client, queue):
    put = push(client, queue, {"ünï": ["code", 1.50]})
    (job,) = lease(client, queue)
    assert (job["id"], job["payload"]) == (put["id"], {"ünï": ["code", 1.50]})
    assert conclude(client, job, result="done").json()["state"] == "concluded"
    assert client.get(f"/v1/jobs/{put['id']}").json()["result"] == "done"


def test_refusals_come_through_as_they_are(client, queue):
    push(client, queue, 1)
    client.patch(f"/v1/queues/{queue}", json={"capacity_jobs": 1}).raise_for_status()
    full = client.post(f"/v1/queues/{queue}/jobs", json={"payload": 2})
    assert (full.status_code, full.json()["code"]) == (429, "queue_full")
    assert full.headers["Content-Type"] == "application/problem+json"
    assert int(full.headers["Retry-After"]) >= 1
    assert full.headers["Cache-Control"] == "no-store"
    lost = client.post("/v1/leases/1.1.1.00000000000000000000000000000000/conclude", json={})
    assert (lost.status_code, lost.json()["code"]) == (409, "lease_lost")


def test_many_requests_share_one_connection_to_the_server(client, servers, queue):
    def connections() -> int:
        """How many there are to the server, those counted that have just been closed."""
        remote = f":{servers[0].port:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(row[2].endswith(remote) for row in rows)

    push(client, queue, 0)
    before = connections()
    for n in range(20):
        push(client, queue, n)
    assert connections() <= before + 1


def test_a_long_poll_is_answered_as_soon_as_there_is_a_job(url, servers, queue):
    began = time.monotonic()
    poll = Call(url, "POST", "/v1/leases", {"queues": [queue], "wait_ms": 25_000})
    with servers[0].client() as direct:
        until(lambda: metric(direct.get("/metrics").text, "holdfast_waiters") == 1, "it is parked")
        put = push(direct, queue, "now")
    assert [job["id"] for job in poll.answer()[1]["jobs"]] == [put["id"]]
    assert time.monotonic() - began < 15, "nobody sat on the answer"


def test_a_long_poll_without_a_job_lasts_as_long_as_it_was_told_and_is_empty(client, queue):
    began = time.monotonic()
    assert lease(client, queue, wait_ms=3_000) == []
    assert 3 <= time.monotonic() - began < 10
    assert limits.WAIT_MS_MAX < 60_000, "the longest one ends before either proxy gives up"


@pytest.mark.parametrize("prefix", ["", "/simple"])
def test_events_are_passed_on_one_by_one(client, servers, queue, prefix):
    with client.stream("GET", f"{prefix}/v1/stream?queue={queue}") as stream, servers[0].client() as direct:
        lines = stream.iter_lines()
        assert next(lines) == ": holdfast"
        for n in range(3):
            put = push(direct, queue, n)
            data = next(line for line in lines if line.startswith("data: "))
            assert f'"id":{put["id"]}' in data


def test_the_caller_s_request_id_comes_back_and_a_missing_one_is_made(client, queue):
    for path, status in ((f"/v1/queues/{queue}/jobs", 201), ("/v1/nothing", 404)):
        given = client.post(path, json={}, headers={"X-Request-Id": "caller-7"})
        assert (given.status_code, given.headers["X-Request-Id"]) == (status, "caller-7")
    made = [client.get("/healthz").headers["X-Request-Id"] for _ in range(2)]
    assert len(set(made)) == 2


def test_a_body_over_the_limit_is_refused_and_the_connection_goes_on(client, queue):
    big = client.post(f"/v1/queues/{queue}/jobs", content=b"x" * 100_001, headers={"Content-Type": "text/plain"})
    assert (big.status_code, big.json()["code"], big.json()["limit_bytes"]) == (413, "payload_too_large", 100_000)
    fits = client.post(f"/v1/queues/{queue}/jobs", content=b"x" * 100_000, headers={"Content-Type": "text/plain"})
    assert fits.status_code == 201


@pytest.mark.parametrize("prefix", ["", "/stripped"])
@pytest.mark.parametrize("chunked", [False, True], ids=["of known length", "in chunks"])
@pytest.mark.parametrize("one_segment", [True, False])
def test_an_offer_of_another_protocol_loses_no_body_and_hides_no_request(url, client, queue, prefix, chunked, one_segment):
    """As Java's client makes it by default; the body looks like a request."""
    host = url.removeprefix("http://")
    body = f"POST /v1/queues/{queue}-smuggled/jobs HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    head = (
        f"POST {prefix}/v1/queues/{queue}/jobs HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        f"HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\nContent-Type: text/plain\r\n{framing}\r\n\r\n"
    ).encode()
    sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    with socket.create_connection((host.partition(":")[0], int(host.partition(":")[2])), 20) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in [head + sent] if one_segment else [head, sent]:
            line.sendall(piece)
        assert line.recv(4_000).startswith(b"HTTP/1.1 201 ")
    (job,) = lease(client, queue)
    assert base64.b64decode(job["payload_base64"]) == body
    assert client.get(f"/v1/queues/{queue}-smuggled").status_code == 404


@pytest.mark.parametrize("prefix", ["", "/stripped"])
def test_what_curl_offers_is_put(url, client, queue, prefix):
    command = [tool_path("curl"), "--silent", "--http2", "--max-time", "20", "--json", '{"payload":"kept"}']
    subprocess.run([*command, f"{url}{prefix}/v1/queues/{queue}/jobs"], check=True, capture_output=True, timeout=30)
    assert [job["payload"] for job in lease(client, queue)] == ["kept"]


def test_a_body_of_unknown_length_is_taken(client, queue):
    chunks = (b"part %d;" % n for n in range(1_000))
    answer = client.post(f"/v1/queues/{queue}/jobs", content=chunks, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 201
    (job,) = lease(client, queue)
    assert job["payload_base64"]


@PREFIXES
def test_under_a_path_prefix_everything_is_where_it_is_said_to_be(client, queue, prefix):
    put = client.post(f"{prefix}/v1/queues/{queue}/jobs", json={"payload": 1})
    assert put.status_code == 201
    taken = client.post(f"{prefix}/v1/leases", json={"queues": [queue]}).json()["jobs"]
    assert [job["id"] for job in taken] == [put.json()["id"]]
    assert client.get(f"{prefix}/readyz").status_code == 200
    assert client.get(f"{prefix}/v1/queues/{queue}").json()["jobs"]["leased"] == 1


def test_links_lead_back_under_the_prefix_that_the_server_was_told(client, queue):
    put = client.post(f"/kept/v1/queues/{queue}/jobs", json={"payload": 1})
    assert put.headers["Location"] == f"/kept/v1/jobs/{put.json()['id']}"
    assert client.get(put.headers["Location"]).json()["id"] == put.json()["id"]
    page = client.get("/kept/", follow_redirects=True)
    assert page.status_code == 200
    links = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert links
    for link in links:
        address = page.url.join(link)
        assert address.path.startswith("/kept/")
        assert client.get(address).status_code == 200, link
    assert client.get("/kept/openapi.json").status_code == 200


def test_a_host_name_that_the_server_was_not_told_of_is_refused_with_what_to_do(client, queue):
    foreign = {"Host": "jobs.example"}
    refused = client.post(f"/v1/queues/{queue}/jobs", json={}, headers=foreign)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "--allowed-hosts" in refused.json()["detail"]
    assert client.post(f"/kept/v1/queues/{queue}/jobs", json={}, headers=foreign).status_code == 201


@pytest.mark.parametrize("prefix", ["", "/kept", "/stripped"])
def test_a_live_channel_goes_through_and_what_it_held_comes_back_when_it_closes(client, url, queue, prefix):
    with open_channel(url, f"{prefix}/v1/channel") as worker:
        worker.start(queue, credits=2)
        put = client.post(f"{prefix}/v1/queues/{queue}/jobs", json={"payload": 1}).json()
        job = worker.job()
        assert job["id"] == put["id"]
        assert worker.conclude(job) == [{"id": job["id"], "state": "concluded"}]
        client.post(f"{prefix}/v1/queues/{queue}/jobs", json={"payload": 2}).raise_for_status()
        held = worker.job()
    taken = client.post(f"{prefix}/v1/leases", json={"queues": [queue], "wait_ms": 20_000}).json()["jobs"]
    assert [(job["id"], job["crashes"]) for job in taken] == [(held["id"], 0)]
    assert taken[0]["attempt"] >= 2  # a look that was on its way may have had it for a moment


def test_a_refused_channel_is_refused_through_the_proxy_with_the_server_s_own_words(url):
    with pytest.raises(InvalidStatus) as refused, open_channel(url, additional_headers={"Origin": "https://evil.example"}):
        pass
    assert refused.value.response.status_code == 403
    assert b'"code":"forbidden"' in refused.value.response.body
