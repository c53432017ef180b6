"""The fast lane and the way of ASGI answer alike: one corpus of requests goes through both, and every answer is compared.

Two fresh servers number their jobs alike, so the answers must be the same to the byte, but for what differs from one run to the next:
moments, secrets, and how long a lease still has.
"""

import re

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
        found.append((answer.status_code, shown, masked))
    return found


@pytest.fixture(scope="module")
def both(serve):
    """The answers with the lane open and with it closed."""
    return answers(serve("--fast-lane")[1]), answers(serve("--no-fast-lane")[1])


@pytest.mark.parametrize("number", range(len(CORPUS)), ids=lambda number: f"{CORPUS[number][0]} {CORPUS[number][1][:40]!r}")
def test_a_request_is_answered_alike_in_the_lane_and_beside_it(both, number):
    in_lane, beside = both
    assert in_lane[number] == beside[number]


def test_the_corpus_has_answers_of_every_kind(both):
    statuses = {status for status, _, _ in both[0]}
    assert statuses == {200, 201, 400, 403, 404, 405, 409, 413, 415, 422}


HOT = [
    ("/v1/queues/a/jobs", b'{"payload":1}', JSON),
    ("/v1/queues/a/jobs", b"raw", TEXT),
    ("/v1/jobs", b'{"jobs":[{"queue":"a"},{"queue":"a"},{"queue":"a"},{"queue":"a"},{"queue":"a"}]}', JSON),
    ("/v1/leases", b'{"queues":["a"],"max":5}', JSON),
    ("/v1/leases/T1/extend", b"{}", JSON),
    ("/v1/leases/T1/conclude", b"{}", JSON),
    ("/v1/leases/T2/fail", b'{"reason":"why"}', JSON),
    ("/v1/leases/T3/release", b"{}", JSON),
    ("/v1/leases/batch", b'{"conclude":[{"token":"T4"}]}', JSON),
    ("/v1/leases", b'{"queues":["empty"],"wait_ms":20}', JSON),
]
BESIDE = [
    ("POST", "/v1/publish", b'{"data":1}', JSON),
    ("POST", "/v1/nowhere", b"{}", JSON),
    ("POST", "/v1/queues/a%2E/jobs", b"{}", JSON),
    ("POST", "/v1/queues/a/jobs", b"x" * 300_000, TEXT),
    ("GET", "/v1/queues", b"", {}),
]


def in_lane(api):
    """How many requests were answered in the fast lane so far."""
    return api.metric("holdfast_fast_lane_requests_total")


def play_hot(api):
    """Call every hot route once, and see that each is answered well."""
    tokens = []
    for path, body, headers in HOT:
        answer = api.http.post(filled(path, tokens), content=filled(body.decode(), tokens).encode(), headers=headers)
        assert answer.status_code in (200, 201), (path, answer.text)
        tokens += [token for token in TOKEN.findall(answer.text) if token not in tokens]


def test_every_call_of_a_hot_route_takes_the_lane_when_it_is_open(serve):
    _, api = serve()
    play_hot(api)
    assert in_lane(api) == len(HOT)
    assert api.metric("holdfast_http_requests_total", method="POST") == len(HOT), "each was counted once, like any other"


def test_a_call_of_several_at_once_takes_the_lane_too(serve, aside):
    _, api = serve()
    asked = [aside(api.push, "many") for _ in range(50)]
    assert len({future.result()["id"] for future in asked}) == 50
    assert in_lane(api) == 50


def test_no_call_takes_the_lane_when_it_is_closed(serve):
    _, api = serve("--no-fast-lane")
    play_hot(api)
    assert in_lane(api) == 0
    assert api.metric("holdfast_http_requests_total", method="POST") == len(HOT)


@pytest.mark.parametrize(("method", "path", "body", "headers"), BESIDE, ids=lambda value: str(value)[:30])
def test_what_is_not_an_ordinary_call_of_a_hot_route_goes_beside_the_lane(api, method, path, body, headers):
    before = in_lane(api)
    api.request(method, path, content=body, headers=headers)
    assert in_lane(api) == before
