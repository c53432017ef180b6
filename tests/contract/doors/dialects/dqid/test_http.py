"""The door as HTTP: who is kept out, what never claims, one connection for everything, and whether the door is there at all."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys

import pytest

FOREIGN = {
    "an Origin": {"origin": "https://elsewhere.example"},
    "no Origin to speak of": {"origin": "null"},
    "a mark of the browser": {"sec-fetch-site": "cross-site"},
    "a neighbour": {"sec-fetch-site": "same-site"},
    "a foreign Host": {"host": "elsewhere.example"},
}
foreign = pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)


@foreign
@pytest.mark.parametrize("path", ["/get", "/get/", "//get", "/%67et", "/get%2f", "/get?again=1"])
def test_a_page_of_another_site_can_take_nothing(client, server, headers, path):
    assert client.post("/push", json={"msg": "it"}).status_code == 200
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)  # sends a path as it is
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)["code"]) == (403, "forbidden")
    connection.close()
    assert client.get("/stats").json() == {"queueSize": 1}


@foreign
def test_a_page_of_another_site_can_push_nothing(client, headers):
    assert client.post("/push", data={"msg": "it"}, headers=headers).status_code == 403
    assert client.get("/stats").json() == {"queueSize": 0}


@pytest.mark.parametrize("mark", ["same-origin", "none"])
def test_a_page_of_its_own_and_the_address_bar_may_take(client, server, mark):
    assert client.post("/push", json={"msg": "it"}).status_code == 200
    headers = {"sec-fetch-site": mark} | ({"origin": server.url} if mark == "same-origin" else {})
    assert client.get("/get", headers=headers).json() == "it"


def test_no_answer_may_be_stored(client):
    client.post("/push", json={"msg": "it"})
    answers = [
        client.get("/get"),
        client.get("/get"),
        client.get("/stats"),
        client.post("/push", json={}),
        client.post("/push", json={"msg": ""}),
    ]
    assert [answer.status_code for answer in answers] == [200, 204, 200, 400, 200]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert all(answer.headers["x-request-id"] for answer in answers)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "PUT", "DELETE"])
def test_only_a_get_takes(client, method):
    client.post("/push", json={"msg": "it"})
    assert client.request(method, "/get").status_code == (204 if method == "OPTIONS" else 405)
    assert client.get("/stats").json() == {"queueSize": 1}


def test_a_wrong_method_says_which_is_right(client):
    answer = client.get("/push")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


def test_head_of_the_stats_is_their_head(client):
    whole, head = client.get("/stats"), client.head("/stats")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))


def test_one_connection_serves_for_everything(client, server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    asked = [
        ("GET", "/get", None),
        ("POST", "/push", '{"msg": "it"}'),
        ("POST", "/push", "{"),
        ("HEAD", "/stats", None),
        ("HEAD", "/get", None),
    ]
    statuses = []
    connection.connect()
    line = connection.sock
    for method, path, body in [*asked, *asked[:2], ("GET", "/get", None), ("GET", "/get", None), ("GET", "/get", None)]:
        connection.request(method, path, body)
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
        assert connection.sock is line, f"closed after {method} {path}"
    assert statuses == [204, 200, 400, 200, 405, 200, 200, 200, 204, 204]
    connection.close()


def test_requests_sent_ahead_are_answered_in_their_order(client, server):
    push = "POST /push HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\n{}"
    get = "GET /get HTTP/1.1\r\nHost: localhost\r\n{}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        line.sendall("".join([push.format(1), push.format(2), get, get, get]).format("", "", "Connection: close\r\n").encode())
        said = b"".join(iter(lambda: line.recv(65_536), b"")).decode()
    assert re.findall(r"HTTP/1.1 (\d+)", said) == ["200", "200", "200", "200", "204"]
    assert re.findall(r'^"(\d)"', said, re.MULTILINE) == ["1", "2"]


def test_a_push_is_refused_while_the_disk_is_at_its_watermark_and_a_get_is_not(serve):
    store = "sqlite:///jobs.db"
    first = serve(store=store)
    with first.client() as client:
        assert client.post("/push", json={"msg": "it"}).status_code == 200
    first.send(signal.SIGTERM)
    first.gone()
    with serve("--disk-watermark-bytes", str(1 << 50), store=store).client() as client:
        answer = client.post("/push", json={"msg": "more"})
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
        assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/get").json() == "it"


def statuses(server) -> dict[str, int]:
    with server.client() as client:
        return {
            "push": client.post("/push", json={"msg": "it"}).status_code,
            "get": client.get("/get").status_code,
            "size": client.get("/stats").status_code,
            "enqueue": client.put("/jobs/enqueue", json={"Type": "it"}).status_code,
            "dequeue": client.post("/jobs/dequeue").status_code,
            "stats": client.get("/jobs/stats").status_code,
            "native": client.get("/v1/stats").status_code,
        }


DQID, CQUEUE = ("push", "get", "size"), ("enqueue", "dequeue", "stats")


@pytest.mark.parametrize(
    ("options", "spoken"),
    [
        ((), (*DQID, *CQUEUE)),
        (("--dialects", "none"), ()),
        (("--dialects", "dqid"), DQID),
        (("--dialects", "cqueue"), CQUEUE),
        (("--dialects", "dqid,cqueue,dqid"), (*DQID, *CQUEUE)),
    ],
    ids=lambda value: "-".join(value) or "-",
)
def test_a_dialect_that_is_switched_off_is_not_there(serve, options, spoken):
    found = statuses(serve(*options))
    assert {name for name, status in found.items() if status == 200} == {*spoken, "native"}
    assert {status for name, status in found.items() if name not in (*spoken, "native")} <= {404}


def test_a_dialect_that_nobody_speaks_stops_the_start():
    command = [sys.executable, "-m", "holdfast", "serve", "--dialects", "dqid,klingon"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, "klingon" in run.stderr) == (2, True)


def test_both_dialects_answer_under_a_path_prefix(serve):
    with serve("--root-path", "/queue").client() as client:
        for prefix in ("", "/queue"):  # whether the proxy takes it off or leaves it on
            assert client.post(f"{prefix}/push", json={"msg": "it"}).status_code == 200
            assert client.get(f"{prefix}/get", headers={"sec-fetch-site": "cross-site"}).status_code == 403
            assert client.get(f"{prefix}/get").json() == "it"
            job = client.put(f"{prefix}/jobs/enqueue", json={"Type": "it"}).json()["ID"]
            assert client.get(f"{prefix}/jobs/{job}").json()["Status"] == "QUEUED"


def test_several_fronts_share_the_queues_of_the_dialects(serve):
    server = serve("--fronts", "2")
    with server.client() as client:
        for number in range(20):
            assert client.post("/push", json={"msg": str(number)}, headers={"connection": "close"}).status_code == 200
        assert [client.get("/get", headers={"connection": "close"}).json() for _ in range(20)] == [str(n) for n in range(20)]


def test_the_dialects_leave_the_servers_own_paths_alone(client):
    for path in ("/v1/stats", "/v1/jobs", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/"):
        assert client.get(path).status_code in (200, 302), path
