"""HTTP/1.1 byte by byte: pipelines, keep-alive, chunks, slow bodies, and requests that are no requests."""

import json
import re
import socket

import pytest

HOST = b"Host: localhost\r\n"


@pytest.fixture(scope="module")
def lane(serve):
    """A server and its client."""
    return serve()


@pytest.fixture
def wire(lane):
    """A connection."""
    with WebSocketConnection(lane[0]) as connection:
        yield connection


class WebSocketConnection:
    """One TCP connection: bytes out, answers in."""

    def __init__(self, server):
        self.socket = socket.create_connection((server.host, server.port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send(self, *parts):
        """Send each part as a segment of its own."""
        for part in parts:
            self.socket.sendall(part)

    def answer(self, head=False):
        """The next answer: status, headers, body."""
        status = int(re.fullmatch(rb"HTTP/1\.1 (\d{3}) .*\r\n", self.file.readline())[1])
        headers = {}
        while (line := self.file.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            headers[name.decode().lower()] = value.strip().decode()
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.file.readline(), 16):
                body += self.file.read(size)
                self.file.readline()
            self.file.readline()
            return status, headers, body
        return status, headers, b"" if head or status in (100, 204) else self.file.read(int(headers["content-length"]))

    def is_closed(self):
        """Wait for the other end to close, with nothing more to read."""
        return self.rest() == b""

    def rest(self):
        """Everything until the other end closes."""
        try:
            return self.file.read()
        except ConnectionResetError:
            return b""  # closed while bytes of ours were still on their way


def post(path, body=b"{}", *headers):
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"POST %s HTTP/1.1\r\n%s%sContent-Length: %d\r\n\r\n%s" % (path.encode(), HOST, lines, len(body), body)


def push(queue, payload):
    return post(f"/v1/queues/{queue}/jobs", json.dumps({"payload": payload}).encode(), b"Content-Type: application/json")


def payloads(api, queue):
    return [job["payload"] for job in api.lease(queue, max=1_000)]


# One connection, many requests


def test_a_connection_is_used_again_and_again(lane, wire, queue):
    for number in range(50):
        wire.send(push(queue, number))
        assert wire.answer()[0] == 201
        wire.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert wire.answer()[0] == 200
    assert payloads(lane[1], queue) == list(range(50))


def test_requests_in_a_pipeline_are_answered_in_their_order(lane, wire, queue):
    wire.send(b"".join(push(queue, number) for number in range(100)))
    ids = []
    for _ in range(100):
        status, _, body = wire.answer()
        assert status == 201
        ids.append(json.loads(body)["id"])
    assert ids == sorted(ids)
    assert payloads(lane[1], queue) == list(range(100))


def test_a_pipeline_of_all_kinds_is_answered_in_its_order(lane, wire, queue):
    get = b"GET /v1/queues/%s HTTP/1.1\r\n%s\r\n" % (queue.encode(), HOST)
    chunked = b"POST /v1/queues/%s/jobs HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" % (
        queue.encode(),
        HOST,
    )
    round_trip = [
        push(queue, 1),
        get,
        chunked,
        post("/v1/nowhere"),
        post("/v1/leases", b'{"queues":["%s"]}' % queue.encode()),
        get,
    ]
    wire.send(b"".join(round_trip * 5))
    for turn in range(5):
        answers = [wire.answer() for _ in round_trip]
        assert [status for status, _, _ in answers] == [201, 200, 201, 404, 200, 200]
        assert json.loads(answers[1][2])["jobs"]["ready"] == 1 + turn
        assert len(json.loads(answers[4][2])["jobs"]) == 1
        assert json.loads(answers[5][2])["jobs"]["leased"] == 1 + turn


def test_what_comes_behind_a_call_that_waits_is_answered_after_it(lane, wire, queue):
    waiting = post("/v1/leases", b'{"queues":["%s"],"wait_ms":20000}' % queue.encode())
    wire.send(waiting + push(f"{queue}-other", "behind") + b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
    lane[1].until_parked(1)
    lane[1].push(queue, "wake")
    assert [job["payload"] for job in json.loads(wire.answer()[2])["jobs"]] == ["wake"]
    assert [wire.answer()[0], wire.answer()[0]] == [201, 200]


def test_a_second_request_that_comes_while_the_first_is_answered_waits_its_turn(lane, wire, queue):
    wire.send(post("/v1/leases", b'{"queues":["%s"],"wait_ms":20000}' % queue.encode()))
    lane[1].until_parked(1)
    wire.send(push(f"{queue}-other", 1))
    wire.send(push(f"{queue}-other", 2))
    lane[1].push(queue)
    assert [wire.answer()[0] for _ in range(3)] == [200, 201, 201]
    assert payloads(lane[1], f"{queue}-other") == [1, 2]


def test_a_caller_that_wants_to_close_is_told_and_closed_upon(wire, queue):
    wire.send(post(f"/v1/queues/{queue}/jobs", b"{}", b"Connection: close"))
    status, headers, _ = wire.answer()
    assert (status, headers["connection"]) == (201, "close")
    assert wire.is_closed()


@pytest.mark.parametrize("extra", [b"", b"Connection: keep-alive\r\n", b"Proxy-Connection: keep-alive\r\n"])
def test_http_1_0_is_answered_and_closed(wire, queue, extra):
    wire.send(b"POST /v1/queues/%s/jobs HTTP/1.0\r\n%bContent-Length: 2\r\n\r\n{}" % (queue.encode(), extra))
    assert wire.answer()[0] == 201
    assert wire.is_closed()


def test_an_error_does_not_end_the_connection(wire, queue):
    for bad in (post(f"/v1/queues/{queue}/jobs", b"{"), post("/v1/leases/x/conclude"), post(f"/v1/queues/{queue}/jobs?x=1")):
        wire.send(bad)
        assert wire.answer()[0] in (400, 409)
        wire.send(push(queue, 1))
        assert wire.answer()[0] == 201


# Bodies


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
def test_a_request_may_come_in_pieces_of_any_size(lane, wire, queue, size):
    request = push(queue, {"a": "ü" * 20})
    wire.send(*(request[at : at + size] for at in range(0, len(request), size)))
    assert wire.answer()[0] == 201
    assert payloads(lane[1], queue) == [{"a": "ü" * 20}]


def test_a_body_may_follow_its_head_much_later(lane, wire, queue):
    request = push(queue, "slow")
    pieces = [request[at : at + 8] for at in range(0, len(request), 8)]
    with WebSocketConnection(lane[0]) as other:
        for piece in pieces[:-1]:
            wire.send(piece)
            other.send(push(queue, "quick"))
            assert other.answer()[0] == 201
    wire.send(pieces[-1])
    assert wire.answer()[0] == 201
    assert payloads(lane[1], queue) == ["quick"] * (len(pieces) - 1) + ["slow"]


@pytest.mark.parametrize("size", [1, 5, 4_096])
def test_a_body_in_chunks_is_put_together(lane, wire, queue, size):
    body = json.dumps({"payload": "é" * 2_000}, ensure_ascii=False).encode()
    chunks = [b"%x;note=1\r\n%s\r\n" % (len(part), part) for part in (body[at : at + size] for at in range(0, len(body), size))]
    head = b"POST /v1/queues/%s/jobs HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n" % (queue.encode(), HOST)
    wire.send(head, *chunks[:3], b"".join(chunks[3:]), b"0\r\n", b"Trailer: x\r\n\r\n")
    assert wire.answer()[0] == 201
    wire.send(push(queue, 2))
    assert wire.answer()[0] == 201
    assert payloads(lane[1], queue) == ["é" * 2_000, 2]


def test_a_large_body_arrives_whole(lane, wire, queue):
    for size in (262_144 - 20, 262_144 + 20, 1_000_000):
        wire.send(push(queue, "x" * size))
        assert wire.answer()[0] == 201
    assert [len(payload) for payload in payloads(lane[1], queue)] == [262_124, 262_164, 1_000_000]


@pytest.mark.parametrize("path", ["/v1/queues/{}/jobs", "/v1/publish", "/cqueue/push", "/web"])
@pytest.mark.parametrize(
    "codings", [[b"gzip"], [b"GZIP"], [b"gzip", b"identity"], [b"identity", b"gzip"], [b"gzip", b""], [b"identity, gzip"]]
)
def test_a_body_in_another_coding_is_refused_wherever_the_header_stands(lane, wire, queue, path, codings):
    wire.send(post(path.format(queue), b"{}", *(b"Content-Encoding: " + coding for coding in codings)))
    status, _, body = wire.answer()
    assert (status, json.loads(body)["code"]) == (415, "unsupported_media_type")
    wire.send(post(f"/v1/queues/{queue}/jobs", b"{}", b"Content-Encoding: identity"))
    assert wire.answer()[0] == 201
    assert len(payloads(lane[1], queue)) == 1


def test_a_caller_that_asks_first_is_told_to_go_on(wire, queue):
    head, _, body = post(f"/v1/queues/{queue}/jobs", b'{"payload":1}', b"Expect: 100-continue").partition(b"\r\n\r\n")
    wire.send(head + b"\r\n\r\n")
    assert wire.answer()[0] == 100
    wire.send(body)
    assert wire.answer()[0] == 201
    wire.send(push(queue, 2))
    assert wire.answer()[0] == 201


def test_a_caller_that_asks_first_with_too_much_is_refused_before_it_sends(wire, queue):
    wire.send(
        b"POST /v1/queues/%s/jobs HTTP/1.1\r\n%sExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
        % (queue.encode(), HOST)
    )
    assert wire.answer()[0] == 413


def test_a_caller_that_leaves_in_the_middle_of_a_body_puts_nothing(lane, queue):
    whole = push(queue, "half")
    with WebSocketConnection(lane[0]) as leaver:
        leaver.send(whole[:-3])
    with WebSocketConnection(lane[0]) as other:
        other.send(push(queue, "whole"))
        assert other.answer()[0] == 201
    assert payloads(lane[1], queue) == ["whole"]


# What is no request


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /v1/queues/smuggled/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/queues/smuggled/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /v1/queues/smuggled/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v1/queues/smuggled/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: +2\r\n\r\n{}",
        b"POST /v1/queues/smuggled/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}",
        b"POST /v1/queues/smuggled/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2, 2\r\n\r\n{}",
        b"POST /v1/queues/smuggled/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"POST /v1/queues/smuggled/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"POST /v1/queues/smuggled/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length : 2\r\n\r\n{}",
        b"POST /v1/queues/smuggled/jobs HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /v1/queues/smuggled/jobs HTTP/9.9\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
        b"BREW /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
        b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\r\n\r\n\x00\x00",
    ],
)
def test_what_can_not_be_read_in_one_way_only_is_refused_and_closed(lane, wire, request_bytes):
    wire.send(request_bytes)
    status, headers, body = wire.answer()
    assert (status, headers["content-type"], json.loads(body)["code"]) == (400, "application/problem+json", "invalid_request")
    assert headers["x-request-id"]
    assert wire.is_closed()
    assert lane[1].get("/v1/queues/smuggled").status_code == 404


def test_a_head_without_end_is_refused_and_closed(wire):
    wire.send(b"POST /v1/leases HTTP/1.1\r\n" + HOST)
    try:
        for _ in range(300):
            wire.send(b"X: " + b"x" * 1_000 + b"\r\n")
    except (BrokenPipeError, ConnectionResetError):
        pass  # closed upon while still sending: the refusal may be lost with the connection
    said = wire.rest()
    assert not said or (said.startswith(b"HTTP/1.1 431 ") and json.loads(said.partition(b"\r\n\r\n")[2])["field"] == "headers")


@pytest.mark.parametrize("pieces", [1, 20])
def test_a_head_over_the_bound_is_refused_though_it_ends(lane, wire, queue, pieces):
    extra = b"".join(b"X-%d: %b\r\n" % (n, b"x" * 1_000) for n in range(66))
    request = post(f"/v1/queues/{queue}/jobs", b"{}", extra.removesuffix(b"\r\n"))
    step = -(-len(request) // pieces)
    wire.send(*(request[at : at + step] for at in range(0, len(request), step)))
    status, _, body = wire.answer()
    assert (status, json.loads(body)["field"]) == (431, "headers")
    assert wire.is_closed()
    assert lane[1].get(f"/v1/queues/{queue}").status_code == 404, "nothing was enqueued"


def test_a_body_of_any_size_may_come_with_its_head(lane, wire, queue):
    wire.send(push(queue, "x" * 100_000))
    assert wire.answer()[0] == 201
    assert payloads(lane[1], queue) == ["x" * 100_000]


def test_a_long_head_that_ends_is_read(wire):
    wire.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 16_000 + b"\r\n\r\n")
    assert wire.answer()[0] == 200


def test_the_asterisk_and_the_absolute_form_are_answered(wire, queue):
    wire.send(b"POST http://localhost/v1/queues/%s/jobs HTTP/1.1\r\n%sContent-Length: 2\r\n\r\n{}" % (queue.encode(), HOST))
    assert wire.answer()[0] == 201
    wire.send(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n")
    assert wire.answer()[0] in (204, 400, 404)


def test_escapes_in_a_path_are_read_as_what_they_stand_for(lane, wire, queue):
    wire.send(post(f"/v1/queues/%{ord(queue[0]):02X}{queue[1:]}/jobs", b'{"payload":1}'))
    assert wire.answer()[0] == 201
    assert payloads(lane[1], queue) == [1]


def test_a_head_request_is_answered_without_a_body_and_the_connection_goes_on(wire, queue):
    wire.send(b"HEAD /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n" + push(queue, 1))
    status, headers, _ = wire.answer(head=True)
    assert (status, int(headers["content-length"]) > 10_000) == (200, True)
    assert wire.answer()[0] == 201


# A refusal that closes


LONG_HEAD = b"".join(b"X-%d: %b\r\n" % (n, b"x" * 1_000) for n in range(66)).removesuffix(b"\r\n")
UPGRADE = b"GET /v1/channel HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n%b\r\n\r\n"
BAD_CHUNK = b"POST /v1/publish HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"
REFUSED = {
    "a head that is too long": post("/v1/queues/refused/jobs", b"{}", LONG_HEAD),
    "what can't be read": b"\x00\x01 no request\r\n\r\n",
    "a body that can't be read": BAD_CHUNK,
    "a WebSocket": UPGRADE % b"X: y",
}


@pytest.mark.parametrize("refused", REFUSED)
def test_a_refusal_is_not_taken_for_the_answer_to_what_came_before(lane, wire, queue, refused):
    wire.send(push(queue, 1) + b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n" + push(queue, 2) + REFUSED[refused])
    answers = [wire.answer() for _ in range(3)]
    assert [status for status, _, _ in answers] == [201, 200, 201]
    assert answers[-1][1]["connection"] == "close"
    assert wire.is_closed()
    assert payloads(lane[1], queue) == [1, 2]


@pytest.mark.parametrize("refused", REFUSED)
def test_a_refusal_behind_a_call_that_waits_lets_it_wait(lane, wire, queue, refused):
    wire.send(post("/v1/leases", b'{"queues":["%s"],"wait_ms":20000}' % queue.encode()))
    lane[1].until_parked(1)
    wire.send(REFUSED[refused])
    lane[1].push(queue, "wake")
    status, headers, body = wire.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert [job["payload"] for job in json.loads(body)["jobs"]] == ["wake"]
    assert wire.is_closed()


@pytest.mark.parametrize("refused", REFUSED)
def test_a_caller_that_leaves_with_something_refused_behind_its_wait_is_noticed(lane, queue, refused):
    with WebSocketConnection(lane[0]) as leaver:
        leaver.send(post("/v1/leases", b'{"queues":["%s"],"wait_ms":20000}' % queue.encode()))
        lane[1].until_parked(1)
        leaver.send(REFUSED[refused])
    lane[1].until_parked(0)


@pytest.mark.parametrize("refused", REFUSED)
def test_nothing_that_comes_behind_a_refusal_is_done(lane, wire, queue, refused):
    wire.send(REFUSED[refused] + push(queue, 1), push(queue, 2))
    assert wire.answer()[0] >= 400
    wire.rest()
    assert lane[1].get(f"/v1/queues/{queue}").status_code == 404


def test_a_websocket_whose_head_is_too_long_is_refused_for_that(wire):
    wire.send(UPGRADE % LONG_HEAD)
    assert wire.answer()[0] == 431
    assert wire.is_closed()
