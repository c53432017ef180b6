"""The client's end of the wire: responses are cut alike however the network splits or joins them."""

import pytest

from bench.peerwire import ReplyReader, beanstalk_body, redis_body, redis_command
from bench.wire import BrokenResponse, Connection, HttpReader, http_request

CREATED = b'HTTP/1.1 201 Created\r\nDate: now\r\nContent-Length: 8\r\nContent-Type: application/json\r\n\r\n{"id":1}'
NO_CONTENT = b"HTTP/1.1 204 No Content\r\ndate: now\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
REFUSED = b"HTTP/1.1 429 Too Many Requests\r\nCONTENT-LENGTH:  2\r\nRetry-After: 1\r\n\r\n{}"
STREAM = CREATED + NO_CONTENT + CONTINUE + EMPTY + REFUSED
ANSWERS = [(201, b'{"id":1}'), (204, b""), (200, b""), (429, b"{}")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100, len(STREAM)])
def test_responses_are_cut_alike_however_they_arrive(size):
    reader = HttpReader()
    parts = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert [answer for part in parts for answer in reader.feed(part)] == ANSWERS


def test_a_body_that_looks_like_a_head_is_still_a_body():
    body = b"HTTP/1.1 500 No\r\ncontent-length: 99\r\n\r\n"
    response = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    assert HttpReader().feed(response + EMPTY) == [(200, body), (200, b"")]


def test_a_response_is_not_given_out_before_its_last_byte():
    reader = HttpReader()
    assert reader.feed(CREATED[:-1]) == []
    assert reader.feed(CREATED[-1:]) == [(201, b'{"id":1}')]


@pytest.mark.parametrize("head", [b"Transfer-Encoding: chunked\r\n", b""])
def test_a_response_of_unknown_length_is_refused_instead_of_guessed(head):
    with pytest.raises(BrokenResponse):
        HttpReader().feed(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")


def test_a_request_states_the_length_of_its_body():
    assert http_request("POST", "/v1/leases", b"{}").endswith(b"\r\nContent-Length: 2\r\n\r\n{}")
    assert b"Content-Length" not in http_request("GET", "/readyz")


class Transport:
    """Notes what is written."""

    def __init__(self):
        self.written = []
        self.aborted = False

    def write(self, data):
        self.written.append(data)

    def abort(self):
        self.aborted = True


def connected():
    connection, transport = Connection(HttpReader()), Transport()
    connection.connection_made(transport)
    return connection, transport


def test_a_script_is_sent_each_answer_and_ends_by_itself():
    seen, ended = [], []

    def script():
        seen.append((yield b"first"))
        seen.append((yield b"second"))

    connection, transport = connected()
    connection.play(script(), ended.append)
    connection.data_received(CREATED)
    connection.data_received(NO_CONTENT + EMPTY)  # the last one has nobody left to want it
    assert transport.written == [b"first", b"second"]
    assert seen == ANSWERS[:2]
    assert ended == [""]


def test_a_script_with_nothing_to_send_waits_until_it_is_resumed():
    idle = []

    def script():
        yield None
        yield b"now"

    connection, transport = connected()
    connection.play(script(), lambda why: None, idle)
    assert (transport.written, idle) == ([], [connection])
    connection.resume()
    assert transport.written == [b"now"]


def test_a_lost_connection_ends_its_script_with_the_reason():
    ended = []

    def script():
        yield b"first"

    connection, _ = connected()
    connection.play(script(), ended.append)
    connection.connection_lost(None)
    assert ended == ["connection lost"]


def test_an_answer_that_a_script_cannot_read_ends_it_with_the_reason():
    ended = []

    def script():
        yield b"first"
        raise ValueError("not JSON")

    connection, transport = connected()
    connection.play(script(), ended.append)
    connection.data_received(EMPTY)
    assert ended == ["broken response: not JSON"]
    assert transport.aborted


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_replies_of_beanstalkd_are_gathered_by_the_batch(size):
    stream = b"INSERTED 1\r\nRESERVED 1 4\r\na\r\nb\r\nDELETED\r\nTIMED_OUT\r\n"
    reader = ReplyReader(beanstalk_body, batch=2)
    answers = [answer for at in range(0, len(stream), size) for answer in reader.feed(stream[at : at + size])]
    assert answers == [[(b"INSERTED 1", b""), (b"RESERVED 1 4", b"a\r\nb")], [(b"DELETED", b""), (b"TIMED_OUT", b"")]]


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_replies_of_redis_are_gathered_by_the_batch(size):
    stream = b":1\r\n$4\r\na\r\nb\r\n$-1\r\n$0\r\n\r\n"
    reader = ReplyReader(redis_body, batch=1)
    answers = [answer for at in range(0, len(stream), size) for answer in reader.feed(stream[at : at + size])]
    assert answers == [[(b":1", b"")], [(b"$4", b"a\r\nb")], [(b"$-1", b"")], [(b"$0", b"")]]


def test_a_redis_command_names_the_length_of_each_part():
    assert redis_command(b"LREM", b"working", b"1") == b"*3\r\n$4\r\nLREM\r\n$7\r\nworking\r\n$1\r\n1\r\n"
