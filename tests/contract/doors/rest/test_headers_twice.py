"""A header with one value that comes twice is refused by its name, at every door of HTTP; lines of a header that is a list are one list."""

import contextlib
import http.client
import json
from typing import Any

import pytest

from holdfast.http.app import _ONCE

SINGLE = [shown for _, shown in _ONCE]
PAGE = ("GET", "/web", b"")
PLACES = [
    ("POST", "/v1/queues/{queue}/jobs", b'{"payload":1}'),
    ("POST", "/v1/queues/{queue}/pause", b""),
    ("GET", "/v1/queues", b""),
    PAGE,
    ("POST", "/jobs/enqueue", b'{"Type":"t"}'),
    ("POST", "/push", b"{}"),
    ("PUT", "/task", b"{}"),
    ("GET", "/v1/channel", b""),
]


class Answer:
    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status_code, self.headers = answer.status, answer.headers
        self.text = answer.read().decode()

    def json(self) -> Any:
        return json.loads(self.text)


def answer_to(api, queue, place, lines):
    """What a request with exactly these lines is answered; `Host`, `Content-Type` and the length beside them, where they are not among them."""
    method, path, body = place
    names = {name.lower() for name, _ in lines}
    usual = [("Host", "localhost"), ("Content-Type", "application/json"), ("Content-Length", f"{len(body)}")]
    connection = http.client.HTTPConnection(api.url.removeprefix("http://"), timeout=20)
    with contextlib.closing(connection):
        connection.putrequest(method, path.format(queue=queue), skip_host=True, skip_accept_encoding=True)
        for name, value in [one for one in usual if one[0].lower() not in names] + lines:
            connection.putheader(name, value)
        connection.endheaders(body)
        return Answer(connection.getresponse())


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[1])
def test_a_header_with_one_value_is_refused_where_it_comes_twice(api, queue, place, name):
    for values in (("same", "same"), ("one", "two")):
        answer = answer_to(api, queue, place, [(name, values[0]), (name.lower(), values[1])])
        assert answer.status_code == 400, answer.text
        assert answer.json()["detail"] == f"The header {name} is given twice."
        assert answer.json()["field"] == name
    assert api.get(f"/v1/queues/{queue}").status_code == 404, "nothing was done"


def test_two_lengths_are_refused(api, queue):
    answer = answer_to(api, queue, PLACES[0], [("Content-Length", "13"), ("Content-Length", "13")])
    assert answer.status_code == 400


@pytest.mark.parametrize("run", ["run=a&run=b", "run=a&target=b&target=c", "run=a&queue=b&queue=b"])
def test_a_part_of_a_run_is_refused_where_it_stands_twice(api, queue, run):
    answer = answer_to(api, queue, PLACES[1], [("Holdfast-Run", run)])
    assert (answer.status_code, answer.json()["field"]) == (400, "Holdfast-Run")
    assert "each once" in answer.json()["detail"]


def test_lines_of_a_list_are_one_list(api):
    accepts = [("Accept", "application/x-ndjson"), ("Accept", "text/plain")]
    for lines in (accepts, accepts[::-1]):
        assert answer_to(api, "", ("GET", "/v1/audit", b""), lines).headers["content-type"].startswith("application/x-ndjson")
    cookie = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")]
    assert "Secure" in answer_to(api, "", PAGE, cookie).headers["set-cookie"]
    assert "Secure" not in answer_to(api, "", PAGE, cookie[::-1]).headers["set-cookie"]


def test_two_lines_of_cookies_are_all_read(api):
    given = api.get("/web").headers["set-cookie"].partition(";")[0]
    for lines in ([("Cookie", given), ("Cookie", "other=1")], [("Cookie", "other=1"), ("Cookie", given)]):
        assert "set-cookie" not in answer_to(api, "", PAGE, lines).headers


def test_a_consumer_of_cqueue_has_one_name(api):
    both = {"QUEUE_CONSUMER": "one", "QUEUE-CONSUMER": "two"}
    answer = api.post("/jobs/dequeue", headers=both)
    assert (answer.status_code, "QUEUE_CONSUMER" in answer.json()["error"]) == (400, True)
    assert api.post("/jobs/dequeue", headers=both | {"QUEUE-CONSUMER": "one"}).status_code in (200, 204)
