"""What real clients and odd callers send, byte by byte: offers of another protocol, trailers, hosts, codings, and callers that
close their half of the connection.
"""

import base64
import json
import shutil
import socket
import subprocess

import pytest

from holdfast.limits import HEAD_BYTES, PAYLOAD_BYTES_MAX
from tests.contract.doors.rest.streams import SMUGGLED, Caller

H2C = (
    b"Connection: Upgrade, HTTP2-Settings",
    b"Upgrade: h2c",
    b"HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA",
)
SIZES = pytest.mark.parametrize("size", [1, 7, 1 << 20])


@pytest.fixture(scope="module")
def lane(serve):
    """A server and its client."""
    return serve()


def said(lane, *pieces, half_closed=True, methods=()):
    """What is answered to these segments."""
    with Caller(lane[0]) as caller:
        caller.say(pieces)
        if half_closed:
            caller.end()
        return caller.answers(methods)


def statuses(answers):
    return [status for status, _, _ in answers]


def request(path, body, *lines, method=b"POST", version=b"1.1"):
    """A request with these lines, a body of known length, and a host unless there is one."""
    lines = lines if any(line.lower().startswith(b"host:") for line in lines) else (b"Host: localhost", *lines)
    head = b"".join(line + b"\r\n" for line in lines)
    return b"%b %b HTTP/%b\r\n%bContent-Length: %d\r\n\r\n%b" % (method, path.encode(), version, head, len(body), body)


def cut(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


# Offers of another protocol


def test_what_java_sends_by_default_is_an_ordinary_request(lane, queue):
    """Its bytes, head and body in segments of their own; a second request on the connection has no offer any more."""
    body = b'{"payload":"keep me"}'
    head = (
        b"POST /v1/queues/%b/jobs HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 21\r\nHost: 127.0.0.1:4653\r\n"
        % (queue.encode())
    )
    head += b"HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\nUpgrade: h2c\r\nUser-Agent: Java-http-client/17.0.15\r\n"
    head += b"Content-Type: application/json\r\n\r\n"
    again = head.replace(b"Connection: Upgrade, HTTP2-Settings\r\n", b"").replace(b"Upgrade: h2c\r\n", b"")
    assert statuses(said(lane, head, body, again, body)) == [201, 201]
    assert [job["payload"] for job in lane[1].lease(queue, max=10)] == ["keep me"] * 2


def test_what_curl_sends_is_an_ordinary_request(lane, queue):
    curl = shutil.which("curl")
    assert curl, "the image of the tests has curl"
    for payload in ("small", "x" * 300_000):
        command = [curl, "--silent", "--http2", "--max-time", "20", "--json", "@-", f"{lane[0].url}/v1/queues/{queue}/jobs"]
        done = subprocess.run(
            command, input=json.dumps({"payload": payload}).encode(), capture_output=True, check=True, timeout=30
        )
        assert json.loads(done.stdout)["state"] == "ready"
        assert lane[1].take(queue)["payload"] == payload


@SIZES
@pytest.mark.parametrize("then", [(), (b"Connection: close",)], ids=["keep-alive", "close"])
def test_a_call_with_an_offer_does_what_it_does_without_one(lane, queue, size, then):
    """Each verb with a body, and what would be lost with it."""
    api = lane[1]
    api.push(queue, "ready")
    held = api.take(queue)
    api.push(queue, "left alone")

    def call(path, body, method=b"POST"):
        sent = request(path, json.dumps(body).encode(), b"Content-Type: application/json", *H2C, *then, method=method)
        ((status, _, answer),) = said(lane, *cut(sent, size))
        assert status in (200, 201), answer
        return json.loads(answer)

    assert call(f"/v1/queues/{queue}/purge", {"states": ["dead"]})["purged"] == 0
    call(f"/v1/leases/{held['lease']['token']}/conclude", {"result": [1], "then": [{"queue": f"{queue}-then", "payload": 2}]})
    assert api.job(held["id"])["result"] == [1]
    assert api.take(f"{queue}-then")["payload"] == 2
    call(f"/v1/queues/{queue}", {"capacity_jobs": 77}, b"PUT")
    assert api.get(f"/v1/queues/{queue}").json()["settings"]["capacity_jobs"] == 77
    call("/v1/jobs", {"jobs": [{"queue": queue, "payload": "one of many"}]})
    assert [job["payload"] for job in call("/v1/leases", {"queues": [queue], "max": 9})["jobs"]] == [
        "left alone",
        "one of many",
    ]


@SIZES
def test_a_body_that_looks_like_requests_is_a_body(lane, queue, size):
    sent = request(f"/v1/queues/{queue}/jobs", SMUGGLED * 3, b"Content-Type: text/plain", *H2C)
    assert statuses(said(lane, *cut(sent, size))) == [201]
    assert base64.b64decode(lane[1].take(queue)["payload_base64"]) == SMUGGLED * 3
    assert lane[1].get("/v1/queues/smuggled").status_code == 404


def test_many_offers_in_one_segment_are_many_requests(lane, queue):
    sent = request(f"/v1/queues/{queue}/jobs", b"{}", b"Content-Type: application/json", *H2C)
    assert statuses(said(lane, sent * 500)) == [201] * 500
    assert lane[1].counts(queue) == {"ready": 500}


def test_an_offer_is_no_way_around_the_guard(lane, queue):
    foreign = request(f"/v1/queues/{queue}/jobs", b"{}", b"Origin: https://evil.example", *H2C)
    assert statuses(said(lane, foreign)) == [403]
    asked = request(f"/v1/queues/{queue}/jobs", b"{}", b"Host: evil.example", *H2C)
    assert statuses(said(lane, asked)) == [403]
    assert lane[1].get(f"/v1/queues/{queue}").status_code == 404


def test_a_head_with_an_offer_is_bounded_like_any(lane, queue):
    long = [b"X-%d: %b" % (n, b"x" * 1_000) for n in range(66)]
    assert statuses(said(lane, request(f"/v1/queues/{queue}/jobs", b"{}", *H2C, *long))) == [431]


# Trailers


def in_chunks(path, body, *trailers, lines=()):
    head = b"".join(line + b"\r\n" for line in (b"Host: localhost", b"Content-Type: application/json", *lines))
    end = b"".join(line + b"\r\n" for line in trailers)
    first = b"POST %b HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n" % (path.encode(), head)
    return first + b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, end)


@SIZES
@pytest.mark.parametrize("lines", [(), H2C], ids=["plain", "with an offer"])
def test_a_trailer_is_not_a_header(lane, queue, size, lines):
    """Neither one that the guard would have let pass, nor one that changes what the request does or where the connection ends."""
    path = f"/v1/queues/{queue}/jobs"
    evil = in_chunks(path, b"{}", b"Host: localhost").replace(b"Host: localhost", b"Host: evil.example", 1)
    trailers = [b"Idempotency-Key: same", b"Content-Type: text/plain", b"Content-Encoding: gzip", b"Connection: close", b"Upgrade: h2c",
                b"Origin: https://evil.example", b"Host: evil.example", b"X-Request-Id: no", b"Expect: 100-continue"]  # fmt: skip
    good = in_chunks(path, b'{"payload":1}', *trailers, lines=lines)
    answers = said(lane, *cut(evil + good + good, size))
    assert statuses(answers) == [403, 201, 201]
    assert all(headers["x-request-id"] != "no" for _, headers, _ in answers)
    assert [job["payload"] for job in lane[1].lease(queue, max=9)] == [1, 1]


@pytest.mark.parametrize("line", [b"Content-Length: 2", b"Transfer-Encoding: chunked", b"A : b", b" folded", b"A: \x00"])
def test_a_trailer_that_would_say_where_the_body_ends_is_refused(lane, queue, line):
    answers = said(lane, in_chunks(f"/v1/queues/{queue}/jobs", b"{}", line) + SMUGGLED)
    assert statuses(answers) == [400]
    assert lane[1].get(f"/v1/queues/{queue}").status_code == 404


@pytest.mark.parametrize("endless", [b"X: y\r\n", b"X: " + b"x" * 1_000, b"1;" + b"x" * 1_000, b"0" * 1_000], ids=str)
def test_what_is_none_of_the_body_is_bounded_like_a_head(lane, queue, endless):
    """Many trailers, one without an end, one extension of a chunk without an end, a length without an end."""
    start = in_chunks(f"/v1/queues/{queue}/jobs", b"{}")[: -len(b"\r\n" if endless.startswith(b"X") else b"0\r\n\r\n")]
    parts = [endless] * (1 + 4 * HEAD_BYTES // len(endless))
    for pieces in ([start, *cut(b"".join(parts), 4_096)], [start + b"".join(parts)]):
        answers = said(lane, *pieces, half_closed=False)
        assert statuses(answers) in ([431], [400]), "refused, not held without end"
    assert lane[1].get(f"/v1/queues/{queue}").status_code == 404


def test_trailers_within_the_bound_are_taken(lane, queue):
    trailers = [b"X-%d: %b" % (n, b"x" * 1_000) for n in range(60)]
    assert statuses(said(lane, in_chunks(f"/v1/queues/{queue}/jobs", b'{"payload":1}', *trailers))) == [201]
    assert lane[1].take(queue)["payload"] == 1


def test_a_request_that_was_answered_early_is_not_answered_twice(lane):
    """404 needs no body; one that then can't be read ends the connection without a word."""
    with Caller(lane[0]) as caller:
        caller.say([b"POST /v1/nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"])
        assert caller.file.readline().startswith(b"HTTP/1.1 404 ")
        caller.say([b"zz\r\n"])
        assert b"HTTP/1.1 " not in caller.file.read()


@pytest.mark.parametrize(
    "path", ["/", "/web", "/v1/jobs", "/v1/nowhere", "/v1/queues/{}/jobs", "/v1/publish", "/push", "/web/queues"]
)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_body_that_breaks_off_is_answered_once(lane, queue, method, path):
    """The refusal is the last word: what the route says afterwards is not written behind it, nor told of in the log."""
    sent = b"%b %b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" % (
        method,
        path.format(queue).encode(),
    )
    assert statuses(said(lane, sent)) == [400]
    assert "Traceback" not in lane[0].log()


@pytest.mark.parametrize(
    ("status", "first", "line"),
    [
        (400, b"HEAD http://localhost:99999/healthz HTTP/1.1", b""),
        (505, b"HEAD /healthz HTTP/2.0", b""),
        (501, b"HEAD /healthz HTTP/1.1", b"Transfer-Encoding: gzip, chunked\r\n"),
        (400, b"HEAD /healthz HTTP/1.1", b"Transfer-Encoding: chunked\r\nX: y\r\n\r\nzz\r\n"),
    ],
    ids=str,
)
def test_a_head_that_is_refused_is_refused_without_a_body(lane, status, first, line):
    with Caller(lane[0]) as caller:
        caller.say([b"%b\r\nHost: localhost\r\n%b\r\n" % (first, line)])
        head, _, body = caller.file.read().partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert body == b""


# Hosts


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost", "localhost:1", "localhost:", "localhost.", "localhost.:4653", "a.localhost", "a.localhost.", "127.0.0.1",
     "127.255.255.254:65535", "[::1]", "[::1]:80", "[::1]:", "[0:0:0:0:0:0:0:1]", " localhost  "],
)  # fmt: skip
def test_a_name_of_this_machine_is_taken_in_every_form(lane, queue, host):
    line = b"Host: %b" % host.encode()
    assert statuses(said(lane, request(f"/v1/queues/{queue}/jobs", b"{}", line))) == [201]
    assert statuses(said(lane, request("/v1/jobs", b"", line, method=b"GET"))) == [200]


@pytest.mark.parametrize(
    "host",
    ["evil.example", "[::1].evil.example", "localhost:evil", "localhost:1:1", "localhost:-1", "localhost:123456", "localhost..", "localhost.evil.example",
     "127.0.0.1.evil.example", "[::1", "::1", "[::1]evil", "[::1]:evil", "[::1]@evil.example", "[localhost]", "[127.0.0.1]", "[::2]",
     "evil@localhost", "localhost@evil.example", "localhost/evil.example", "localhost#evil", "localhost?evil", "localhost\\evil.example",
     "localhost,evil.example", "localhost evil.example", ".localhost.evil", "."],
)  # fmt: skip
def test_what_only_looks_like_a_name_of_this_machine_is_refused(lane, queue, host):
    line = b"Host: %b" % host.encode()
    assert statuses(said(lane, request(f"/v1/queues/{queue}/jobs", b"{}", line))) == [403]
    assert statuses(said(lane, request("/v1/jobs", b"", line, method=b"GET"))) == [403]
    assert lane[1].get(f"/v1/queues/{queue}").status_code == 404


@pytest.mark.parametrize("path", ["/v1/queues/{}/jobs", "/v1/publish", "/healthz"])
@pytest.mark.parametrize(
    "hosts",
    [
        [b"Host: localhost", b"Host: localhost"],
        [b"Host: localhost", b"Host: evil.example"],
        [b"Host: evil.example", b"host: localhost"],
        [b"Host:"],
    ],
    ids=str,
)
def test_a_request_names_one_host(lane, queue, path, hosts):
    method = b"GET" if path == "/healthz" else b"POST"
    ((status, _, body),) = said(lane, request(path.format(queue), b"{}", *hosts, method=method))
    assert (status, json.loads(body)["field"]) == (400, "Host")
    ((status, _, body),) = said(lane, request(path.format(queue), b"{}", method=method).replace(b"Host: localhost\r\n", b""))
    assert (status, json.loads(body)["field"]) == (400, "Host")


def test_http_1_0_needs_no_host(lane):
    assert statuses(said(lane, b"GET /healthz HTTP/1.0\r\n\r\n")) == [200]


def test_the_host_of_the_target_counts_before_the_header(lane, queue):
    path = f"/v1/queues/{queue}/jobs"
    for target, host, status in [
        (f"http://localhost{path}", b"Host: evil.example", 201),
        (f"http://evil.example{path}", b"Host: localhost", 403),
        (f"https://evil.example:1{path}?", b"Host: localhost", 403),
        (f"HTTP://LOCALHOST:99{path}", b"Host: localhost", 201),
        (f"ftp://evil.example{path}", b"Host: localhost", 403),
        (f"http://localhost@evil.example{path}", b"Host: localhost", 403),
    ]:
        assert statuses(said(lane, request(target, b"{}", host, *H2C))) == [status]
        assert statuses(said(lane, request(target, b"{}", host))) == [status]
    assert lane[1].counts(queue) == {"ready": 4}


# Codings and versions


@pytest.mark.parametrize(
    ("status", "version", "lines"),
    [
        (501, b"1.1", (b"Transfer-Encoding: gzip, chunked",)),
        (501, b"1.1", (b"Transfer-Encoding: identity, chunked",)),
        (501, b"1.1", (b"Transfer-Encoding: deflate", b"Transfer-Encoding: chunked")),
        (400, b"1.1", (b"Transfer-Encoding: chunked, chunked",)),
        (400, b"1.1", (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")),
        (400, b"1.1", (b"Transfer-Encoding: chunked, gzip",)),
        (400, b"1.1", (b"Transfer-Encoding: gzip",)),
        (400, b"1.1", (b"Transfer-Encoding: identity",)),
        (400, b"1.1", (b"Transfer-Encoding: chunked", b"Content-Length: 12")),
        (400, b"1.0", (b"Transfer-Encoding: chunked",)),
        (505, b"2.0", (b"Content-Length: 0",)),
        (505, b"0.9", (b"Content-Length: 0",)),
    ],
    ids=str,
)
@pytest.mark.parametrize("offer", [(), H2C], ids=["plain", "with an offer"])
def test_a_body_in_no_coding_of_ours_is_refused_and_nothing_behind_it_is_done(lane, queue, status, version, lines, offer):
    head = b"".join(line + b"\r\n" for line in (b"Host: localhost", *lines, *offer))
    sent = b"POST /v1/queues/%b/jobs HTTP/%b\r\n%b\r\n2\r\n{}\r\n0\r\n\r\n" % (queue.encode(), version, head)
    answers = said(lane, sent + SMUGGLED)
    assert statuses(answers) == [status]
    assert answers[0][1]["connection"] == "close"
    assert json.loads(answers[0][2])["code"] == "invalid_request"
    assert lane[1].get(f"/v1/queues/{queue}").status_code == 404
    assert lane[1].get("/v1/queues/smuggled").status_code == 404


def test_http_1_0_is_not_told_to_go_on(lane, queue):
    with Caller(lane[0]) as caller:
        caller.say([request(f"/v1/queues/{queue}/jobs", b"{}", b"Expect: 100-continue", version=b"1.0")])
        assert caller.file.readline().startswith(b"HTTP/1.1 201 ")


# Half-closed


@SIZES
def test_a_half_closed_caller_is_answered(lane, queue, size):
    put = request(f"/v1/queues/{queue}/jobs", b'{"payload":1}', b"Content-Type: application/json")
    listing = request("/v1/queues", b"", method=b"GET")
    lease = request("/v1/leases", json.dumps({"queues": [queue], "max": 5}).encode())
    page = request("/web", b"", method=b"GET")
    answers = said(lane, *cut(put + listing + put + page + lease, size))
    assert statuses(answers) == [201, 200, 201, 200, 200]
    assert [job["payload"] for job in json.loads(answers[-1][2])["jobs"]] == [1, 1]
    assert statuses(said(lane, *cut(put, size))) == [201]
    assert statuses(said(lane, *cut(page, size))) == [200]


def test_a_large_answer_reaches_a_half_closed_caller_whole(lane, queue):
    lane[1].post("/v1/jobs", {"jobs": [{"queue": queue, "payload": "x" * 900_000}] * 5})
    ((status, _, body),) = said(lane, request("/v1/leases", json.dumps({"queues": [queue], "max": 5}).encode()))
    assert (status, len(json.loads(body)["jobs"])) == (200, 5)


@pytest.mark.parametrize(
    "behind", [b"", b"POST /v1/queues/", request("/v1/queues/smuggled/jobs", b"{}")[:-1]], ids=["", "a head", "a body"]
)
def test_what_is_whole_is_answered_and_what_is_not_is_not_done(lane, queue, behind):
    put = request(f"/v1/queues/{queue}/jobs", b"{}")
    assert statuses(said(lane, put + put + behind)) == [201, 201]
    assert statuses(said(lane, put, request("/v1/queues", b"", method=b"GET"), behind)) == [201, 200]
    assert statuses(said(lane, behind)) == []
    assert lane[1].get("/v1/queues/smuggled").status_code == 404


def test_a_half_closed_caller_is_not_waited_for(lane, queue):
    """It looks like one that has left: it is told that there is nothing, and is given nothing that comes later."""
    server, api = lane
    poll = request("/v1/leases", json.dumps({"queues": [queue], "wait_ms": 50_000}).encode())
    with Caller(server) as caller:
        caller.say([poll])
        api.until_parked(1)
        caller.end()
        ((status, headers, body),) = caller.answers(())
    assert (status, headers["connection"], json.loads(body)["jobs"]) == (200, "close", [])
    assert statuses(said(lane, poll, request(f"/v1/queues/{queue}/jobs", b"{}"), poll)) == [200, 201, 200]
    api.until_parked(0)
    assert api.take(queue)["failures"] == 0


def test_a_put_that_would_wait_is_done_or_refused_for_a_half_closed_caller(lane, queue):
    server, api = lane
    api.set(queue, capacity_jobs=1)
    put = request(f"/v1/queues/{queue}/jobs?wait_ms=50000", b"{}")
    assert statuses(said(lane, put)) == [201]
    assert statuses(said(lane, put)) == [429]
    with Caller(server) as caller:
        caller.say([put])
        api.until_parked(1)
        caller.end()
        assert statuses(caller.answers(())) == [429]
    assert api.counts(queue) == {"ready": 1}


@pytest.mark.parametrize("before", [b"", request("/healthz", b"", method=b"GET")], ids=["", "behind another"])
def test_an_event_stream_ends_in_order_with_its_caller_s_half(lane, before):
    stream = b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answers = said(lane, before + stream)
    assert set(statuses(answers)) == {200}
    with Caller(lane[0]) as caller:
        caller.say([before, stream])
        if before:
            assert caller.answer(b"GET")[0] == 200
        assert caller.file.readline().startswith(b"HTTP/1.1 200 ")
        caller.end()
        assert caller.file.read().endswith(b"0\r\n\r\n")
    assert "without completing" not in lane[0].log()


def test_an_answer_is_not_taken_back_by_what_comes_behind_the_last_request(lane, queue):
    """Closing at once, with something unread, would reset the connection."""
    last = request(f"/v1/queues/{queue}/jobs", b"{}", b"Connection: close")
    much = SMUGGLED * 5_000
    for _ in range(20):
        assert statuses(said(lane, last + much, half_closed=False)) == [201]
        assert statuses(said(lane, last, much[:100], much, half_closed=False)) == [201]
    assert lane[1].get("/v1/queues/smuggled").status_code == 404


def test_a_channel_is_not_opened_behind_an_answer_that_is_not_read(serve, queue):
    server, api = serve("--max-payload-bytes", str(PAYLOAD_BYTES_MAX))
    job = api.push(queue, "x" * (40 << 20))  # more than what the kernel holds of a connection
    read = b"GET /v1/jobs/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % job["id"]
    handshake = (
        b"GET /v1/channel HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with Caller(server) as caller:
        caller.say([read])
        assert caller.socket.recv(1, socket.MSG_PEEK)  # the answer has begun, and stands in the way of all that follows
        caller.say([handshake])
        caller.until_taken()
        assert statuses(caller.answers(())) == [200, 400]


def test_nothing_is_connected_to(lane):
    ((status, _, body),) = said(lane, b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n" + SMUGGLED)
    assert status == 400
    assert "no proxy" in json.loads(body)["detail"]
    assert lane[1].get("/v1/queues/smuggled").status_code == 404
