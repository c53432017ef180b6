"""The verdict of correct answers, and of answers that are each wrong in one way."""

import json

import pytest

from fuzz.case import Case
from fuzz.play import Heard
from fuzz.verdict import wrong
from fuzz.websocket import frame

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
OPEN = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


def said(door: str, data: bytes, *answers: str, over: bool = True) -> str | None:
    return wrong(Case(door, "", [("send", b"x")], answers=list(answers) or None), Heard(data, over))


def problem(status: int, code: str) -> bytes:
    body = json.dumps({"code": code}).encode()
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


def message(**fields) -> bytes:
    return frame(json.dumps(fields).encode(), mask=None)


@pytest.mark.parametrize(
    ("door", "data", "answers"),
    [
        ("http", OK, ["GET"]),
        ("http", OK + OK, ["GET", "POST"]),
        ("http", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n" + OK, ["HEAD", "GET"]),
        ("http", problem(400, "invalid_request").replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"), ["POST", "GET"]),
        ("http", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + OK, ["GET", "GET"]),
        ("http", problem(503, "overloaded"), ["GET"]),
        ("http", problem(507, "storage_full"), []),
        ("http", b"HTTP/1.1 503 X\r\n\r\n" + problem(400, "invalid_request"), []),  # of a HEAD, and then of another
        ("page", b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n&lt;script>alert", []),
        ("page", b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<p>HTTP/1.1 200 OK\r\n\r\n<script>alert", []),
        ("websocket", OPEN + message(op="error", status=503, code="overloaded") + b"\x88\x02\x03\xe8", []),
        ("beanstalkd", b"INSERTED 1\r\nRESERVED 1 3\r\na\r\n\r\nDELETED\r\n", ["put", "reserve-with-timeout", "delete"]),
    ],
)  # fmt: skip
def test_a_correct_answer_passes(door, data, answers):
    assert said(door, data, *answers) is None


@pytest.mark.parametrize(
    ("door", "data", "answers", "says"),
    [
        ("http", problem(500, "internal_error"), [], "answered 500"),
        ("http", problem(502, ""), [], "answered 502"),
        ("http", problem(503, "store_unavailable"), [], "answered 503"),
        ("http", OK, ["GET", "GET"], "1 answers to 2"),
        ("http", OK + OK, ["GET"], "more answers"),
        ("http", OK[:-1], ["GET"], "breaks off"),
        ("http", OK.replace(b"{}", b"{]"), ["GET"], "not JSON"),
        ("http", b"oops", [], "not HTTP"),
        ("http", OK.replace(b"\r\n\r\n", b"\r\nX-Evil: 1\r\n\r\n"), [], "header from the request"),
        ("page", b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<script>alert", [], "markup"),
        ("dialects", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", ["GET"], "does not end"),
        ("websocket", OPEN + b"\x88\x02\x03\xf3", [], "closed with 1011"),
        ("websocket", OPEN + message(op="error", status=500, code="internal_error"), [], "answered 500"),
        ("websocket", OPEN + frame(b"{", mask=None), [], "not JSON"),
        ("websocket", OPEN + frame(b"{}"), [], "masked"),
        ("websocket", OPEN + frame(b"{}", mask=None)[:-1], [], "half a frame"),
        ("beanstalkd", b"INTERNAL_ERROR\r\n", [], "no reply"),
        ("beanstalkd", b"OK 3\r\nabcd\r\n", [], "another length"),
        ("beanstalkd", b"INSERTED 1\r\n", ["put", "delete"], "1 replies to 2"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_reported(door, data, answers, says):
    assert says in said(door, data, *answers)


def test_a_connection_that_is_neither_answered_nor_closed_is_reported():
    assert "nor closed" in said("http", OK, over=False)
