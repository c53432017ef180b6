"""The hot routes answer what they always answered: one corpus of requests, and every answer to it as it is stored.

A fresh server numbers its jobs alike, so the answers must be the same to the byte, but for what differs from one run to the next: moments,
secrets, and how long a lease still has. `corpus.json` holds those of the release before HTTP had one way in, and changes only where an answer
is meant to change.
"""

import json
import re
from pathlib import Path

import pytest

JSON = {"content-type": "application/json"}
TEXT = {"content-type": "text/plain"}
DEEP = "[" * 65 + "]" * 65

# (path, body, headers); T1, T2 … stand for the tokens of the leases granted so far, in their order.
CORPUS = [
    ("/v1/queues/a/jobs", b"", {}),
    ("/v1/queues/a/jobs", b"{}", {}),
    ("/v1/queues/a/jobs", b'{"payload": {"b" : 1e400, "a":"\\u00e9"}, "priority": 3}', JSON),
    ("/v1/queues/a/jobs", '{"payload":"é"}'.encode(), {"content-type": "application/json; charset=utf-8"}),
    ("/v1/queues/a/jobs", b"\x00\xff raw", {"content-type": "application/octet-stream"}),
    ("/v1/queues/a/jobs?type=t&tags=x,y&priority=9", b"raw", TEXT),
    ("/v1/queues/a/jobs?wait_ms=10", b"{}", JSON),
    ("/v1/queues/a/jobs?wait_ms=10", b"", TEXT),
    ("/v1/queues/a/jobs?x=1", b"{}", JSON),
    ("/v1/queues/a/jobs?x", b"{}", JSON),
    ("/v1/queues/a/jobs?wait_ms=1&wait_ms=2", b"{}", JSON),
    ("/v1/queues/a/jobs?", b"{}", JSON),
    ("/v1/queues/a/jobs?wait_ms=%31", b"{}", JSON),
    ("/v1/queues/%61/jobs", b"{}", JSON),
    ("/v1/queues/a b/jobs".replace(" ", "%20"), b"{}", JSON),
    ("/v1/queues//jobs", b"{}", JSON),
    ("/v1/queues/a/jobs/", b"{}", JSON),
    ("/v1/queues/a/jobs", b"{", JSON),
    ("/v1/queues/a/jobs", b"[]", JSON),
    ("/v1/queues/a/jobs", b'{"payload":"\xff"}', JSON),
    ("/v1/queues/a/jobs", b'{"payload":%s}' % DEEP.encode(), JSON),
    ("/v1/queues/a/jobs", b'{"priority":-1}', JSON),
    ("/v1/queues/a/jobs", b'{"nobody":1}', JSON),
    ("/v1/queues/a/jobs", b'{"payload":"' + b"x" * (1 << 20) + b'"}', JSON),
    ("/v1/queues/a/jobs", b'{"payload":"' + b"x" * 300_000 + b'"}', JSON),
    ("/v1/queues/a/jobs", b"{}", {"idempotency-key": "k"}),
    ("/v1/queues/a/jobs", b"{}", {"idempotency-key": "k"}),
    ("/v1/queues/a/jobs", b'{"type":"x"}', {"idempotency-key": "k"}),
    ("/v1/queues/a/jobs", b"{}", {"idempotency-key": "x" * 129}),
    ("/v1/queues/a/jobs", b"{}", {"x-request-id": "mine"}),
    ("/v1/queues/a/jobs", b"{}", {"x-request-id": "x" * 129}),
    ("/v1/queues/a/jobs", b"{}", {"sec-fetch-site": "cross-site"}),
    ("/v1/queues/a/jobs", b"{}", {"origin": "https://evil.example"}),
    ("/v1/queues/a/jobs", b"{}", {"host": "evil.example"}),
    ("/v1/queues/a/jobs", b"{}", {"connection": "close"}),
    ("/v1/queues/u/jobs", b'{"unique_key":"k"}', JSON),
    ("/v1/queues/u/jobs", b'{"unique_key":"k"}', JSON),
    ("/v1/jobs", b'{"jobs":[{"queue":"b","payload":1},{"queue":"c","delay_ms":9999999}]}', JSON),
    ("/v1/jobs", b'{"jobs":[]}', JSON),
    ("/v1/jobs", b'{"jobs":[{"queue":"b"},{"queue":"?"}]}', JSON),
    ("/v1/jobs?y=1", b'{"jobs":[]}', JSON),
    ("/v1/leases", b'{"queues":["a"],"max":3,"worker":"w"}', JSON),
    ("/v1/leases", b'{"queues":["b","a"],"max":2,"order":"priority","request_id":"r"}', JSON),
    ("/v1/leases", b'{"queues":["b","a"],"max":2,"order":"priority","request_id":"r"}', JSON),
    ("/v1/leases", b'{"queues":["empty"]}', JSON),
    ("/v1/leases", b'{"queues":["empty"],"wait_ms":20}', JSON),
    ("/v1/leases", b'{"queues":[]}', JSON),
    ("/v1/leases", b'{"queues":["a"],"order":"x"}', JSON),
    ("/v1/leases", b'{"queues":["a"]}', TEXT),
    ("/v1/leases?max=1", b'{"queues":["a"]}', JSON),
    ("/v1/leases/T1/extend", b'{"lease_ms":60000,"progress":[1]}', JSON),
    ("/v1/leases/T1/extend", b"", {}),
    ("/v1/leases/T1/conclude", b'{"result":{"x": 1},"then":[{"queue":"next"}]}', JSON),
    ("/v1/leases/T1/conclude", b'{"result":{"x": 1},"then":[{"queue":"next"}]}', JSON),
    ("/v1/leases/T1/extend", b"{}", JSON),
    ("/v1/leases/T2/fail", b'{"reason":"why","delay_ms":100000}', JSON),
    ("/v1/leases/T2/fail", b'{"reason":"why","delay_ms":100000}', JSON),
    ("/v1/leases/T3/release", b'{"priority":7}', JSON),
    ("/v1/leases/T3/release", b"{}", JSON),
    ("/v1/leases/T4/conclude", b"{", JSON),
    ("/v1/leases/T4/conclude", b"{}", TEXT),
    ("/v1/leases/T4/conclude", b"", TEXT),
    ("/v1/leases/never/conclude", b"{}", JSON),
    ("/v1/leases/1.1.1.00/fail?z=1", b"{}", JSON),
    ("/v1/leases/T5/eat", b"{}", JSON),
    ("/v1/leases/batch", b'{"conclude":[{"token":"T5"},{"token":"never"}],"release":[{"token":"T1"}]}', JSON),
    ("/v1/leases/batch", b"{}", JSON),
    ("/v1/leases/batch", b'{"fail":[{"token":"T5","delay_ms":-1}]}', JSON),
    ("/v1/leases//conclude", b"{}", JSON),
    ("/v1//leases", b'{"queues":["a"]}', JSON),
    ("/v1/nowhere", b"{}", JSON),
]
MOMENT = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SECRET = re.compile(rb"\.[0-9a-f]{32}\b")
LEFT = re.compile(rb'"ms_left":\d+')
TOKEN = re.compile(r'"token":"([^"]+)"')


def filled(text, tokens):
    """A text with T1, T2 … replaced by the tokens that they stand for."""
    for number, token in enumerate(tokens, 1):
        text = text.replace(f"T{number}/", f"{token}/").replace(f'"T{number}"', f'"{token}"')
    return text


def answers(api):
    """Every answer to the corpus: status, headers and body, with what differs from run to run taken out."""
    tokens, found = [], []
    for path, body, headers in CORPUS:
        sent = filled(body.decode("latin-1"), tokens).encode("latin-1")
        answer = api.http.post(filled(path, tokens), content=sent, headers=headers)
        tokens += [token for token in TOKEN.findall(answer.text) if token not in tokens]
        shown = {name: value for name, value in answer.headers.items() if name not in ("date", "content-length")}
        shown["x-request-id"] = re.sub(r"^[0-9a-f]{12}-[0-9a-f]+$", "made", shown["x-request-id"])
        masked = LEFT.sub(b'"ms_left":0', SECRET.sub(b".SECRET", MOMENT.sub(b"MOMENT", answer.content)))
        found.append([answer.status_code, shown, masked.decode("latin-1")])
    return found


STORED = json.loads(Path(__file__).with_name("corpus.json").read_text())


@pytest.fixture(scope="module")
def answered(serve):
    """The answers of a fresh server."""
    return answers(serve()[1])


@pytest.mark.parametrize("number", range(len(CORPUS)), ids=lambda number: f"{CORPUS[number][0]} {CORPUS[number][1][:40]!r}")
def test_a_request_is_answered_as_it_always_was(answered, number):
    assert answered[number] == STORED[number]


def test_the_corpus_has_answers_of_every_kind():
    assert {status for status, _, _ in STORED} == {200, 201, 400, 403, 404, 405, 409, 413, 415, 422}


def test_each_request_is_counted_once_under_its_route(serve):
    _, api = serve()
    for _ in range(5):
        api.push("a")
    api.get("/v1/queues/a")
    api.post("/v1/nowhere")
    counted = [("POST", "/v1/queues/{queue}/jobs", 5), ("GET", "/v1/queues/{queue}", 1), ("POST", "unknown", 1)]
    for method, route, count in counted:
        assert api.metric("holdfast_http_requests_total", method=method, route=route) == count


def test_calls_of_several_at_once_are_answered_each_with_its_own(serve, aside):
    _, api = serve()
    asked = [aside(api.push, "many") for _ in range(50)]
    assert len({future.result()["id"] for future in asked}) == 50
