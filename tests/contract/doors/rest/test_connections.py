"""How many connections there may be, in all and of one address, and how long one may take to say what it wants."""

import json
import re
import socket
import time

import pytest
from websockets.sync.client import connect as open_channel

WITHIN_S = 20.0
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Line:
    """A connection from an address of loopback."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), WITHIN_S, source_address=(source, 0))

    def ask(self, request: bytes = GET) -> bytes:
        self.socket.sendall(request)
        return self.socket.recv(65_536)

    def rest(self) -> bytes:
        parts = []
        while part := self.socket.recv(65_536):
            parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def lines():
    opened = []

    def open_line(*where) -> Line:
        opened.append(Line(*where))
        return opened[-1]

    yield open_line
    for line in opened:
        line.close()


def refusal(answer: bytes) -> dict:
    """The problem of an answer that says that there are too many."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 "), answer
    assert b"retry-after: 1" in head.lower()
    assert b"connection: close" in head
    return json.loads(body)


def test_one_more_than_there_may_be_is_refused_and_the_others_go_on(serve, lines):
    server, api = serve("--max-connections", "3", "--max-connections-per-address", "3")
    api.get("/healthz")  # it is one of them
    first, second = lines(server.port), lines(server.port)
    assert first.ask().startswith(b"HTTP/1.1 200 ")
    assert second.ask().startswith(b"HTTP/1.1 200 ")
    third = lines(server.port)
    problem = refusal(third.ask() + third.rest())
    assert (problem["code"], problem["status"]) == ("overloaded", 503)
    assert first.ask().startswith(b"HTTP/1.1 200 ")
    assert api.metric("holdfast_connections") == api.metric("holdfast_connections_max") == 3
    assert api.metric("holdfast_connections_refused_total", bound="total") == 1
    second.close()
    api.until("holdfast_connections", 2)
    assert lines(server.port).ask().startswith(b"HTTP/1.1 200 ")


def test_one_address_can_not_take_the_places_of_others(serve, lines):
    server, api = serve("--max-connections", "10", "--max-connections-per-address", "2")
    api.get("/healthz")
    assert lines(server.port).ask().startswith(b"HTTP/1.1 200 ")
    for _ in range(5):
        one_more = lines(server.port)
        refusal(one_more.ask() + one_more.rest())
    other = lines(server.port, "127.0.0.2")
    assert other.ask().startswith(b"HTTP/1.1 200 ")
    assert api.metric("holdfast_connections_refused_total", bound="address") == 5


def test_by_default_an_address_of_loopback_may_have_all_of_them(serve, lines):
    server, api = serve("--max-connections", "4")
    api.get("/healthz")
    for _ in range(3):
        assert lines(server.port).ask().startswith(b"HTTP/1.1 200 ")
    one_more = lines(server.port, "127.0.0.2")
    refusal(one_more.ask() + one_more.rest())
    assert api.metric("holdfast_connections_refused_total", bound="total") == 1


def test_a_refusal_reaches_one_that_sends_a_body_meanwhile(serve, lines):
    server, api = serve("--max-connections", "1", "--max-connections-per-address", "1")
    api.get("/healthz")
    line = lines(server.port)
    line.socket.sendall(b"POST /push HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 2_000_000)
    refusal(line.rest())


def test_a_channel_has_a_place_until_it_closes_and_so_has_a_client_of_beanstalkd(serve, lines):
    server, api = serve("--beanstalk", "127.0.0.1:0", "--max-connections", "4", "--max-connections-per-address", "4")
    tubes = int(server.process.stdout.readline().rpartition(":")[2])
    api.get("/healthz")
    with open_channel(api.url.replace("http", "ws") + "/v1/channel", proxy=None):
        reserving, other = lines(tubes), lines(tubes)
        assert reserving.ask(b"put 0 0 10 1\r\na\r\n").startswith(b"INSERTED ")
        assert other.ask(b"watch a\r\n") == b"WATCHING 2\r\n"
        assert api.metric("holdfast_connections") == 4
        assert lines(tubes).rest() == b"", "it is hung up on"
        assert api.metric("holdfast_beanstalk_turned_away_total") == 1
        one_more = lines(server.port)
        refusal(one_more.ask() + one_more.rest())
    reserving.close()
    api.until("holdfast_connections", 2)
    assert lines(server.port).ask().startswith(b"HTTP/1.1 200 ")


def test_one_that_leaves_in_the_middle_gives_its_place_back(serve, lines):
    server, api = serve("--max-connections", "40")
    api.get("/healthz")
    for beginning in (
        b"",
        b"GET",
        b"GET / HTTP/1.1\r\nHost",
        b"POST /push HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        b"\0\0\0",
    ):
        for _ in range(3):
            line = lines(server.port)
            line.socket.sendall(beginning)
            line.close()
    api.until("holdfast_connections", 1)


def test_more_headers_than_a_request_may_have_are_refused(server, lines):
    def head(count: int) -> bytes:
        return b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * (count - 1) + b"\r\n"

    assert lines(server.port).ask(head(200)).startswith(b"HTTP/1.1 200 ")
    line = lines(server.port)
    answer = line.ask(head(201)) + line.rest()
    assert answer.startswith(b"HTTP/1.1 431 ")
    problem = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (problem["detail"], problem["field"]) == ("A request has at most 200 headers.", "headers")


@pytest.mark.parametrize("path", [b"/v1/queues/q/jobs", b"/v1/jobs", b"/push"])
@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_a_body_that_does_not_arrive_in_time_is_refused(serve_slow, lines, path, framing):
    line = lines(serve_slow.port)
    began = time.monotonic()
    line.socket.sendall(
        b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%b\r\n\r\n" % (path, framing)
    )
    answer = line.rest()
    assert 0.9 < time.monotonic() - began < 10
    assert re.match(rb"HTTP/1.1 400 ", answer), answer
    assert b"The body did not arrive within 1 s." in answer


@pytest.fixture(scope="module")
def serve_slow(serve):
    return serve("--body-timeout-s", "1")[0]
