"""HTTP as the clients speak it, against servers that answer in every way that HTTP allows, and in some that it does not."""

import contextlib
import itertools
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.client.http1 import HEAD_BYTES, LINE_BYTES, Response, request_bytes
from holdfast.client.origin import origin_of
from holdfast.client.refusals import Unreachable
from holdfast.client.retry import Call, Lost
from holdfast.client.tokens import header_line
from holdfast.client.types import Conclude, Extend, Fail, Lease, Release
from holdfast.errors import OutcomeUnknown
from tests.contract.client.clients import LOOPS

BODY = b'{"queues":[],"next_cursor":null}'
HEAD = b"HTTP/1.1 200 OK\r\nX-Request-Id: r\r\n"
SIZED = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (BODY[:5], len(BODY) - 5, BODY[5:])
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n"
WHOLE = {
    "sized": SIZED,
    "chunked": CHUNKED,
    "after others": CONTINUED.replace(b"Content-Length: 9\r\n", b"") + SIZED,
    "of 1.0": SIZED.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "the last one": SIZED.replace(b"X-Request-Id", b"Connection: close\r\nX-Request-Id"),
    "until it closes": HEAD + b"\r\n" + BODY,
}
BROKEN = {
    "nothing": b"",
    "half a head": HEAD,
    "half a body": SIZED[:-1],
    "half a chunk": CHUNKED[:-9],
    "no end of the chunks": CHUNKED[:-5],
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "two lengths": SIZED.replace(b"X-Request-Id: r", b"Content-Length: 1"),
    "a head without end": HEAD + b"X: %b\r\n" % (b"x" * 1_000) * (HEAD_BYTES // 1_000 + 1),
}


def read(pieces: list[bytes]) -> Response:
    response = Response()
    for piece in pieces:
        response.feed(piece)
    if not response.is_whole:
        response.end()
    return response


@pytest.mark.parametrize("name", WHOLE)
@given(cuts=st.lists(st.integers(0, 400)), status=st.sampled_from([200, 409]))
def test_an_answer_is_the_same_however_it_comes_in_pieces(name, cuts, status):
    text, places = WHOLE[name].replace(b"200", b"%d" % status), [0, *sorted(cuts), len(WHOLE[name])]
    response = read([piece for a, b in itertools.pairwise(places) if (piece := text[a:b])])
    answer = response.answer()
    assert (answer.status, answer.body, answer.request_id) == (status, BODY, "r" if status == 409 else "")
    assert response.keeps == (name in ("sized", "chunked", "after others"))


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_is_none_is_lost(name):
    with pytest.raises(Lost):
        read([BROKEN[name]] if BROKEN[name] else [])


@given(
    cuts=st.lists(st.integers(0, 800)), order=st.permutations([n for n in WHOLE if n in ("sized", "chunked", "after others")])
)
def test_one_reader_reads_one_answer_after_the_other(cuts, order):
    response = Response()
    for name in order:
        response.expect()
        text = WHOLE[name]
        places = [0, *sorted(cuts), len(text)]
        for piece in [piece for a, b in itertools.pairwise(places) if (piece := text[a:b])]:
            assert not response.is_whole
            response.feed(piece)
        assert response.is_whole
        assert response.keeps
        assert response.answer().body == BODY


@pytest.mark.parametrize("behind", [b"H", b"HTTP/1.1 200 OK\r\n", SIZED])
def test_a_connection_with_more_than_one_answer_is_not_used_again(behind):
    response = read([SIZED + behind])
    assert not response.keeps
    assert response.answer().body == BODY


def test_a_line_without_end_is_given_up():
    response = Response()
    response.feed(HEAD + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % (LINE_BYTES + 1))
    response.feed(b"x" * LINE_BYTES)
    assert response.take_lines() == []
    response.feed(b"x")
    with pytest.raises(Lost, match="a line"):
        response.take_lines()


@given(bad=st.sampled_from("\r\n\0\x7f\u20ac\ud800"), rest=st.text(max_size=5))
def test_no_header_carries_another_or_what_has_no_bytes(bad, rest):
    value = f"a{bad}X-Evil: 1{rest}"
    with pytest.raises(ValueError, match="X-Key"):
        header_line("X-Key", value)


@pytest.mark.parametrize("options", [{"idempotency_key": "a\r\nX-Evil: 1"}, {"content_type": "text/plain\r\nX-Evil: 1"}])
def test_no_option_of_a_call_becomes_a_header_of_its_own(clients, options):
    with pytest.raises(ValueError, match="no header can have"):
        clients("http://127.0.0.1:1").enqueue("q", "x", **options)


@pytest.mark.parametrize(
    ("url", "host", "line"),
    [
        ("http://h", b"h", b"GET /x HTTP/1.1"),
        ("http://h:80/under/it", b"h", b"GET /under/it/x HTTP/1.1"),
        ("http://h:81", b"h:81", b"GET /x HTTP/1.1"),
        ("http://[::1]:4653", b"[::1]:4653", b"GET /x HTTP/1.1"),
        ("https://h:443", b"h", b"GET /x HTTP/1.1"),
        ("http://[fe80::1%25lo]:1", b"[fe80::1]:1", b"GET /x HTTP/1.1"),
        ("http://h/gr ün/%41", b"h", b"GET /gr%20%C3%BCn/%41/x HTTP/1.1"),
        ("http://grün.example", b"xn--grn-ioa.example", b"GET /x HTTP/1.1"),
    ],
)
def test_a_request_names_the_host_and_what_is_before_the_path(url, host, line):
    lines = request_bytes(origin_of(url), Call("GET", "/x"), "").split(b"\r\n")
    assert lines[0] == line
    assert lines[1] == b"Host: " + host


def test_the_token_of_a_lease_is_in_no_representation():
    lease = Lease(token="secret", worker="w", ms_left=7)
    shown = [Conclude(token="secret"), Fail(token="secret"), Release(token="secret"), Extend(token="secret"), lease]
    assert "secret" not in f"{shown} {lease} {[each.__rich_repr__() for each in shown]}"
    assert repr(lease) == "Lease(token='(hidden)', worker='w', ms_left=7)"


def test_a_token_is_in_no_repr():
    lines = header_line("Authorization", "Bearer secret")
    assert "secret" not in repr(lines)
    assert "secret" not in repr(request_bytes(origin_of("http://h"), Call("GET", "/"), lines))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://", "name a host"),
        ("ftp://h", "must begin with http"),
        ("http://.example", "is not the URL"),
        (f"http://{'a' * 64}.example", "is not the URL"),
        ("http://h:99999", "is not the URL"),
        ("http://h:0", "from 1 to 65535"),
        ("http://h:x", "is not the URL"),
        ("http://[::1", "is not the URL"),
        ("http://ann:s3cret@h", "given as token"),
    ],
)
def test_a_url_that_can_not_be_asked_is_refused_when_the_client_is_made(clients, url, says):
    with pytest.raises(ValueError, match=says) as caught:
        clients(url)
    assert "s3cret" not in str(caught.value)


class Tries:
    """Remembers the tries that came to nothing."""

    def __init__(self) -> None:
        self.failed_ones: list[str] = []

    def answered(self) -> None:
        pass

    def failed(self, error: Exception, why: str) -> None:
        self.failed_ones.append(why)


class Scripted:
    """A server that gives each connection the answers it is told, in turn, and closes after them where it says so."""

    def __init__(self, *connections: list[bytes], closes: bool = True, reads: bool = True) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.asked: list[bytes] = []
        self.closed = threading.Semaphore(0)
        self._made: list[socket.socket] = []
        self._closes, self._reads = closes, reads
        threading.Thread(target=self._serve, args=(connections,), daemon=True).start()

    def _serve(self, connections: tuple[list[bytes], ...]) -> None:
        with contextlib.suppress(OSError):  # the test is over, or the client has gone
            for answers in connections:
                connection, _ = self.listener.accept()
                self._made.append(connection)
                self._answer(connection, answers)

    def _answer(self, connection: socket.socket, answers: list[bytes]) -> None:
        for answer in answers:
            if self._reads:
                self.asked.append(connection.recv(65_536))
            connection.sendall(answer)
        if self._closes:
            connection.close()
            self.closed.release()

    def close(self) -> None:
        self.listener.close()
        for connection in self._made:
            connection.close()


@pytest.fixture
def scripted():
    made: list[Scripted] = []

    def script(*connections: list[bytes], **more: bool) -> Scripted:
        made.append(Scripted(*connections, **more))
        return made[-1]

    yield script
    for one in made:
        one.close()


def test_one_connection_serves_one_call_after_the_other(clients, scripted):
    server = scripted([SIZED, CHUNKED, SIZED], closes=False)
    client = clients(server.url, deadline_s=5)
    for _ in range(3):
        assert list(client.queues()) == []
    assert len(server.asked) == 3


def test_a_connection_that_was_closed_while_nobody_used_it_costs_no_try(clients, scripted):
    server = scripted([SIZED], [SIZED])
    client = clients(server.url, deadline_s=5, attempt_s=5)
    client.nodes.watch = tries = Tries()
    assert list(client.queues()) == []
    server.closed.acquire()
    assert list(client.queues()) == []
    assert len(server.asked) == 2
    assert tries.failed_ones == []


def test_what_comes_behind_an_answer_is_no_answer_to_the_next_call(clients, scripted):
    server = scripted([SIZED + SIZED.replace(BODY, BODY.replace(b"null", b"5   "))], [SIZED], closes=False)
    client = clients(server.url, deadline_s=5)
    assert list(client.queues()) == []
    assert list(client.queues()) == []


def test_a_server_that_refuses_a_large_body_before_it_has_come_is_heard(clients, scripted):
    problem = b'{"type":"urn:holdfast:error:payload_too_large","title":"t","status":413,"detail":"too large","code":"payload_too_large"}'
    refusal = b"HTTP/1.1 413 No\r\nContent-Type: application/problem+json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
    server = scripted([refusal % (len(problem), problem)], closes=False)
    with pytest.raises(Exception, match="too large") as caught:
        clients(server.url, deadline_s=5).enqueue("q", "x" * 1_000_000)
    assert caught.value.code == "payload_too_large"


@pytest.mark.parametrize("name", [name for name in BROKEN if name != "nothing"])
def test_a_call_whose_answer_is_broken_may_have_been_done(clients, scripted, name):
    server = scripted(*[[BROKEN[name]]] * 50)
    client = clients(server.url, deadline_s=0.5, attempt_s=0.2)
    with pytest.raises(OutcomeUnknown):
        client.enqueue("q", 1)


def test_nobody_is_waited_for_longer_than_a_try_may_take(clients, scripted):
    server = scripted(*[[]] * 50, closes=False, reads=False)
    with pytest.raises(Unreachable, match="no answer in time"):
        list(clients(server.url, deadline_s=0.3, attempt_s=0.1).queues())


@pytest.fixture
def silent():
    """The address of a listener that takes nobody any more: who connects hears nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as waiting:
        for _ in range(2):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()


@pytest.mark.parametrize("clients", list(LOOPS), indirect=True)
def test_the_next_address_of_a_host_is_tried_soon(clients, scripted, silent, monkeypatch):
    server = scripted([SIZED])
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in (silent, server.listener.getsockname())]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    client = clients("http://two-addresses.example", deadline_s=10, attempt_s=10)
    client.nodes.watch = tries = Tries()
    assert list(client.queues()) == []
    assert tries.failed_ones == []
