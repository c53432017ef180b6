"""What a channel refuses, and how: a message that is wrong is answered with a problem and harms no other; a broken connection is closed with a code."""

import json
import socket

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from holdfast import limits
from tests.contract.doors.websocket.channel import RawSocket, frame, handshake, open_channel, token

WRONG = [
    ("start", "queues", {"credits": 1}),
    ("start", "queues", {"queues": [], "credits": 1}),
    ("start", "queues[0]", {"queues": ["ü"], "credits": 1}),
    ("start", "credits", {"queues": ["q"]}),
    ("start", "credits", {"queues": ["q"], "credits": -1}),
    ("start", "credits", {"queues": ["q"], "credits": 1_001}),
    ("start", "lease_ms", {"queues": ["q"], "credits": 1, "lease_ms": 0}),
    ("start", "order", {"queues": ["q"], "credits": 1, "order": "chance"}),
    ("start", "on_break", {"queues": ["q"], "credits": 1, "on_break": "explode"}),
    ("got", "op", {"delivery": 1}),
    ("got", "delivery", {}),
    ("start", "worker", {"queues": ["q"], "credits": 1, "worker": "x" * 257}),
    ("start", "colour", {"queues": ["q"], "credits": 1, "colour": "red"}),
    ("credits", "op", {"credits": 1}),
    ("batch", "batch", {}),
    ("batch", "batch", {"conclude": [{"token": "1.1.1.00"}] * 1_001}),
    ("batch", "conclude[0].token", {"conclude": [{}]}),
    ("batch", "extend[1].lease_ms", {"extend": [{"token": "1.1.1.00"}, {"token": "1.1.1.00", "lease_ms": 0}]}),
    ("batch", "conclude[0].then[0].priority", {"conclude": [{"token": "1.1.1.00", "then": [{"queue": "q", "priority": -1}]}]}),
    ("enqueue", "body", {}),
    ("enqueue", "jobs", {"body": {"jobs": []}}),
    ("enqueue", "jobs[0].queue", {"body": {"jobs": [{"queue": "a b"}]}}),
    ("enqueue", "wait_ms", {"body": {"jobs": [{"queue": "q"}]}, "wait_ms": 55_001}),
    ("enqueue", "idempotency_key", {"body": {"jobs": [{"queue": "q"}]}, "idempotency_key": ""}),
    ("publish", "scope", {"body": {"data": 1, "scope": "some"}}),
    ("publish", "data", {"body": {}}),
    ("dance", "op", {}),
]


@pytest.mark.parametrize(("op", "field", "fields"), WRONG, ids=lambda part: str(part)[:40])
def test_a_wrong_message_is_refused_by_the_name_of_the_field(worker, op, field, fields):
    worker.refused(op, "invalid_request", field, **fields)
    worker.ask("ping", "pong")


def test_a_message_that_is_not_json_is_refused_and_the_channel_goes_on(worker):
    for text in ("{", "", "nonsense", '{"op":"ping"} {}', "[" * 5_000):
        worker.line.send(text)
        assert worker.receive("error")["code"] in ("malformed_json", "invalid_request")
    worker.line.send("[1]")
    assert worker.receive("error")["code"] == "invalid_request"
    worker.line.send('{"op":"ping","ref":7}')
    assert worker.receive("error")["field"] == "ref"
    worker.line.send(json.dumps({"op": "ping", "ref": "x" * 129}))
    assert worker.receive("error")["field"] == "ref"
    worker.ask("ping", "pong")


def test_a_channel_starts_once(worker, queue):
    worker.start(queue)
    worker.refused("start", "invalid_request", "op", queues=[queue], credits=1)


def test_a_refused_start_may_be_followed_by_a_good_one(api, worker, queue):
    worker.refused("start", "invalid_request", "credits", queues=[queue], credits=5_000)
    worker.start(queue)
    api.push(queue, 1)
    assert worker.job()["payload"] == 1


def test_refusals_of_the_store_have_the_codes_of_http(api, worker, queue):
    api.set(queue, capacity_jobs=1)
    api.push(queue, 1, unique_key="u")
    full = worker.refused("enqueue", "queue_full", body={"jobs": [{"queue": queue}]})
    assert (full["status"], full["queue"], full["capacity_jobs"]) == (429, queue, 1)
    worker.start(queue)
    job = worker.job()
    (refused,) = worker.conclude(job, then=[{"queue": queue}, {"queue": queue}])
    assert (refused["code"], refused["status"]) == ("queue_full", 429)
    worker.nothing_more()
    assert worker.conclude(job)[0]["state"] == "concluded"


def test_a_payload_that_is_too_large_is_refused_and_one_that_fits_is_taken(api, serve, queue):
    server, own = serve("--max-payload-bytes", "1000")
    with open_channel(server.url) as worker:
        big = worker.refused(
            "enqueue", "payload_too_large", "jobs[0].payload", body={"jobs": [{"queue": queue, "payload": "x" * 999}]}
        )
        assert (big["status"], big["limit_bytes"]) == (413, 1_000)
        worker.ask("enqueue", "enqueued", body={"jobs": [{"queue": queue, "payload": "x" * 998}]})
        bytes_taken = worker.start(queue)["message_bytes"]
        assert bytes_taken == 1_000 + limits.CHANNEL_BYTES_OVER_PAYLOAD
        job = worker.job()
        assert worker.batch(conclude=[{"token": token(job), "result": 1}])["conclude"][0]["state"] == "concluded"
        worker.line.send(" " * bytes_taken)
        assert worker.receive("error")["code"] == "malformed_json"
        worker.line.send(" " * (bytes_taken + 1))
        with pytest.raises(ConnectionClosed) as closed:
            worker.line.recv(20)
        assert closed.value.rcvd.code == 1009
    own.until("holdfast_channels", 0)


def test_fragments_are_put_together_and_count_together(server):
    bare = RawSocket(server.url)
    for part, opcode, fin in ((b'{"op":', 1, False), (b"", 0, False), (b'"ping","ref":', 0, False), (b'"joined"}', 0, True)):
        bare.socket.sendall(frame(part, opcode, fin))
    assert b'"ref":"joined"' in bare.socket.recv(1_000)
    bare.socket.sendall(frame(b"x" * (3 << 20), 1, False) + frame(b"x" * (3 << 20), 0, False))
    assert b"\x03\xf1" in bare.received(), "1009: too big"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(b"{}", opcode=2), 1003),
        (frame(b'{"op":"\xff"}'), 1007),
        (frame(b"{}", opcode=0), 1002),
        (frame(b"{}", opcode=5), 1002),
        (b"\x81\x02{}", 1002),
    ],
    ids=["binary", "not UTF-8", "a continuation of nothing", "an unknown opcode", "not masked"],
)
def test_what_is_no_text_message_closes_the_channel_with_a_code(api, server, sent, code):
    bare = RawSocket(server.url)
    bare.socket.sendall(sent)
    heard = bare.socket.recv(1_000)
    assert heard[0] == 0x88, heard
    assert int.from_bytes(heard[2:4], "big") == code
    bare.socket.close()


def refusal(url, path="/v1/channel", **options):
    with pytest.raises(InvalidStatus) as refused, open_channel(url, path, **options):
        pass
    response = refused.value.response
    problem = json.loads(response.body)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Request-Id"]
    assert response.status_code == problem["status"]
    return problem


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"Origin": "https://evil.example"}, "Origin"),
        ({"Origin": "null"}, "Origin"),
        ({"Sec-Fetch-Site": "cross-site"}, "Sec-Fetch-Site"),
        ({"Sec-Fetch-Site": "same-site"}, "Sec-Fetch-Site"),
    ],
    ids=str,
)
def test_a_web_page_elsewhere_can_open_no_channel(server, headers, field):
    problem = refusal(server.url, additional_headers=headers)
    assert (problem["status"], problem["code"], problem["field"]) == (403, "forbidden", field)


def test_a_page_of_the_server_itself_may_open_one(server):
    with open_channel(server.url, additional_headers={"Origin": server.url, "Sec-Fetch-Site": "same-origin"}) as worker:
        worker.ask("ping", "pong")


def test_a_foreign_host_name_is_refused(server):
    problem = answered(server, handshake("evil.example"))
    assert (problem["status"], problem["field"]) == (403, "Host")


def answered(server, head):
    bare = RawSocket.__new__(RawSocket)
    with socket.create_connection((server.host, server.port), 20) as bare.socket:
        bare.socket.sendall(head)
        said = bare.received()
    first, _, body = said.partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert int(first.split()[1]) == problem["status"], said
    return problem


def test_a_handshake_that_is_none_is_refused_with_what_is_missing(server):
    host = f"{server.host}:{server.port}"
    for headers in ({"Sec_WebSocket_Key": ""}, {"Sec_WebSocket_Version": "8"}, {"Sec_WebSocket_Key": "short"}):
        problem = answered(server, handshake(host, **headers))
        assert problem["code"] == "invalid_request"
        assert problem["status"] in (400, 426)
    post = answered(server, handshake(host).replace(b"GET", b"POST", 1))
    assert (post["status"], post["code"]) == (405, "method_not_allowed")


WS = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13")
HANDSHAKES = [
    (426, "GET / HTTP/1.1", ()),
    (426, "GET / HTTP/1.1", ("Upgrade: h2c", *WS[1:])),
    (426, "GET / HTTP/1.1", (WS[0], *WS[2:])),
    (426, "GET / HTTP/1.1", WS[1:]),
    (426, "GET / HTTP/1.1", (*WS[:3], "Sec-WebSocket-Version: 8")),
    (426, "GET / HTTP/1.1", (*WS[:3], "Sec-WebSocket-Version: 13, 8")),
    (426, "GET / HTTP/1.1", (*WS, "Content-Length: 2")),
    (426, "GET / HTTP/1.0", WS),
    (400, "GET / HTTP/1.1", WS[:3]),
    (400, "GET / HTTP/1.1", (*WS[:2], WS[3])),
    (400, "GET / HTTP/1.1", (*WS, "Host: localhost")),
    (403, "GET http://evil.example/ HTTP/1.1", WS),
    (405, "POST / HTTP/1.1", WS),
    (405, "POST / HTTP/1.1", (*WS, "Content-Length: 2")),
    (101, "GET / HTTP/1.1", WS),
    (101, "GET / HTTP/1.1", ("Upgrade: h2c, WebSocket", *WS[1:])),
    (101, "GET / HTTP/1.1", (WS[0], "Connection: keep-alive", *WS[1:])),
    (101, "GET http://localhost/ HTTP/1.1", WS),
]


@pytest.mark.parametrize(("status", "first", "headers"), HANDSHAKES, ids=str)
def test_a_handshake_is_answered_as_the_page_has_it(server, status, first, headers):
    lines = [first.replace("/ ", "/v1/channel "), "Host: localhost", *headers, "", ""]
    with socket.create_connection((server.host, server.port), 20) as line:
        line.sendall("\r\n".join(lines).encode() + b"{}" * ("Content-Length: 2" in headers))
        head = b""
        while b"\r\n\r\n" not in head:
            head += line.recv(1)
        assert int(head.split()[1]) == status
        if status == 426:
            assert b"\r\nupgrade: websocket\r\n" in head
            assert b"\r\nsec-websocket-version: 13\r\n" in head


@pytest.mark.parametrize("much", [False, True])
@pytest.mark.parametrize("size", [1, 170, 1 << 20])
def test_what_comes_behind_the_handshake_is_not_lost(server, size, much):
    messages = frame(b'{"op":"ping"}') * 3 + frame(b"x" * 70_000) * much + frame(b'{"op":"ping","ref":"last"}')
    stream = handshake(f"{server.host}:{server.port}") + messages
    size = max(size, len(stream) // 500)
    with socket.create_connection((server.host, server.port), 20) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(stream), size):
            line.sendall(stream[at : at + size])
        heard = b""
        while b'"ref":"last"' not in heard:
            part = line.recv(4_000)
            assert part, heard
            heard += part
    assert heard.startswith(b"HTTP/1.1 101 ")
    assert heard.count(b'"pong"') == 4


def test_only_the_channel_can_be_upgraded_to(server):
    for path in ("/v1/leases", "/", "/v1/channel/more", "/docs"):
        assert refusal(server.url, path)["code"] == "not_found"


def test_plain_http_is_told_to_upgrade(api):
    answer = api.get("/v1/channel")
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
    assert answer.json()["field"] == "Upgrade"


def test_an_ordinary_request_may_come_before_the_upgrade_on_its_connection(server):
    with socket.create_connection((server.host, server.port), 20) as line:
        host = f"{server.host}:{server.port}"
        line.sendall(f"POST /v1/leases HTTP/1.1\r\nHost: {host}\r\nContent-Length: 16\r\n\r\n".encode() + b'{"queues":["q"]}')
        assert b'"jobs":[]' in line.recv(4_000)
        line.sendall(handshake(host))
        assert b" 101 " in line.recv(4_000)
        line.sendall(frame(b'{"op":"ping"}'))
        assert b"pong" in line.recv(4_000)


def test_an_upgrade_behind_a_request_that_waits_is_closed_upon_after_its_answer(api, server, queue):
    with socket.create_connection((server.host, server.port), 20) as line:
        host = f"{server.host}:{server.port}"
        body = json.dumps({"queues": [queue], "wait_ms": 20_000}).encode()
        line.sendall(f"POST /v1/leases HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        api.until("holdfast_waiters", 1)
        line.sendall(handshake(host))
        api.push(queue, "wake")
        said = b"".join(iter(lambda: line.recv(4_000), b""))
        assert said.startswith(b"HTTP/1.1 200 ")
        assert said.count(b"HTTP/1.1 ") == 1
        assert b"wake" in said


def test_the_request_id_comes_back(server):
    with open_channel(server.url, additional_headers={"X-Request-Id": "mine-7"}) as worker:
        assert worker.line.response.headers["X-Request-Id"] == "mine-7"


def test_compression_is_not_taken_up(server):
    with connect(server.url.replace("http", "ws") + "/v1/channel", proxy=None) as line:
        assert "Sec-WebSocket-Extensions" not in line.response.headers
