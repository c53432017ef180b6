"""What is in a job comes out as it went in: JSON byte for byte, anything else as raw bytes; and what is too large or is no JSON is refused."""

import base64

import pytest

JSON = {"content-type": "application/json"}
MIB = 1 << 20

DOCUMENTS = [
    b"null",
    b'""',
    b"0",
    b"-0.0",
    b"1E400",
    b"123456789012345678901234567890123456789",
    b"0.10000000000000000000000000000000001",
    b'{ "b" :1,\n\t"a": [ 1 ,2 ] , "a":2 }',
    b'"\\u00e9\\ud83d\\ude00\\/\\b\\u0000"',
    '"é😀\u2028\ufeff"'.encode(),
    b'{"":{"":[]}}',
    b'"' + b"x" * 60_000 + b'"',
    ('"' + "é" * 30_000 + '"').encode(),
]


def after(name, answer):
    """The bytes of the last field in an answer that are the value of this one."""
    head, _, rest = answer.content.partition(b'"' + name + b'":')
    assert head
    return rest


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document[:24].decode(errors="replace"))
def test_json_is_kept_byte_for_byte(api, queue, document):
    response = api.post(f"/v1/queues/{queue}/jobs", content=b'{"payload": ' + document + b"}", headers=JSON)
    assert response.status_code == 201, response.text
    for answer in (
        api.post("/v1/leases", {"queues": [queue]}),
        api.get(response.headers["location"]),
        api.get("/v1/jobs", params={"queue": queue}),
    ):
        assert after(b"payload", answer).startswith(document + b',"payload_bytes":%d' % len(document)), answer.text[:500]


@pytest.mark.parametrize("document", DOCUMENTS[:10], ids=lambda document: document[:24].decode(errors="replace"))
def test_results_and_progress_are_kept_byte_for_byte_too(api, queue, document):
    api.push(queue)
    token = api.take(queue)["lease"]["token"]
    for verb, body in (("extend", b'{"progress":' + document + b"}"), ("conclude", b'{"result":' + document + b"}")):
        response = api.post(f"/v1/leases/{token}/{verb}", content=body, headers=JSON)
        assert response.status_code == 200, response.text
    (job,) = api.get("/v1/jobs", params={"queue": queue}).json()["jobs"]
    shown = api.get(f"/v1/jobs/{job['id']}")
    assert after(b"progress", shown).startswith(document + b",")
    assert after(b"result", shown).startswith(document + b",")


def nested(levels):
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize("deep", [b'{"a":' * 32 + nested(32) + b"}" * 32, b'{"]":"[[","a":' + nested(63) + b"}", nested(64)])
def test_json_may_be_nested_64_levels_deep(api, queue, deep):
    assert api.post(f"/v1/queues/{queue}/jobs", content=b'{"payload":' + deep + b"}", headers=JSON).status_code == 201


@pytest.mark.parametrize("deep", [nested(65), b'{"a":' * 65 + b"1" + b"}" * 65, b"[1," + nested(64) + b"]", nested(500)])
def test_json_that_is_nested_deeper_is_refused(api, queue, deep):
    response = api.post(f"/v1/queues/{queue}/jobs", content=b'{"payload":' + deep + b"}", headers=JSON)
    api.refused(response, 400, "invalid_request", field="payload", says="deeper than 64 levels")


def test_the_bound_on_nesting_holds_for_results_progress_and_edits_too(api, queue):
    job = api.push(queue)
    deep = nested(65)
    path = f"/v1/jobs/{job['id']}"
    response = api.patch(path, content=b'{"payload":' + deep + b"}", headers=JSON)
    api.refused(response, 400, "invalid_request", field="payload", says="deeper than 64 levels")
    token = api.take(queue)["lease"]["token"]
    for verb, field in (("conclude", "result"), ("extend", "progress")):
        body = b'{"%s":%s}' % (field.encode(), deep)
        response = api.post(f"/v1/leases/{token}/{verb}", content=body, headers=JSON)
        api.refused(response, 400, "invalid_request", field=field, says="deeper than 64 levels")
    batch = b'{"extend":[{"token":"%s","progress":%s}]}' % (token.encode(), deep)
    response = api.post("/v1/leases/batch", content=batch, headers=JSON)
    api.refused(response, 400, "invalid_request", field="extend[0].progress", says="deeper than 64 levels")


def test_json_nested_beyond_all_measure_is_refused_and_the_server_lives(api, queue):
    body = b'{"payload":' + nested(200_000) + b"}"
    api.refused(api.post(f"/v1/queues/{queue}/jobs", content=body, headers=JSON), 400, "malformed_json")
    assert api.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "body", [b"{", b"{'payload':1}", b'{"payload":}', b'{"payload":01}', b'{"payload":NaN}', b'{"payload":"\n"}', b'{"payload":1}x',
             b'{"payload":1,}', b'{"type":"\\ud800"}', b"\xef\xbb\xbf{}", b"<job/>"]
)  # fmt: skip
def test_a_body_that_is_not_json_is_refused_everywhere(api, queue, body):
    api.refused(api.post(f"/v1/queues/{queue}/jobs", content=body, headers=JSON), 400, "malformed_json")
    api.refused(api.patch("/v1/jobs/1", content=body, headers=JSON), 400, "malformed_json")
    assert api.get(f"/v1/queues/{queue}").status_code == 404


@pytest.mark.parametrize(
    "body", [b'{"payload":"\xff"}', b'{"type":"\xc3"}', b'{"payload":"\xed\xa0\x80"}', '{"type":"é"}'.encode("utf-16")]
)
def test_a_body_that_is_not_utf_8_is_refused_everywhere(api, queue, body):
    for method, path in (("POST", f"/v1/queues/{queue}/jobs"), ("POST", "/v1/leases/batch"), ("PATCH", "/v1/jobs/1")):
        problem = api.refused(api.request(method, path, content=body, headers=JSON), 400, "malformed_json")
        assert "UTF-8" in problem["detail"]


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json", None]
)
def test_json_is_known_by_its_content_type_and_is_what_a_body_without_one_is(api, queue, kind):
    headers = {"content-type": kind} if kind else {}
    response = api.post(f"/v1/queues/{queue}/jobs", content=b'{"payload":[1]}', headers=headers)
    assert api.job(response.json()["id"])["payload"] == [1]


RAW = [b"", b"hello", bytes(range(256)), b"\x00" * 100, "é".encode("latin-1"), b"x" * 60_000]


@pytest.mark.parametrize("body", RAW, ids=lambda body: str(body[:8]))
def test_any_other_body_is_kept_raw_with_its_content_type(api, queue, body):
    kind = 'text/plain; charset="x"'
    response = api.post(f"/v1/queues/{queue}/jobs", content=body, headers={"content-type": kind})
    assert response.status_code == 201, response.text
    for shown in (
        api.take(queue),
        api.job(response.json()["id"]),
        api.get("/v1/jobs", params={"queue": queue}).json()["jobs"][0],
    ):
        assert base64.b64decode(shown["payload_base64"], validate=True) == body
        assert (shown["content_type"], shown["payload_bytes"]) == (kind, len(body))
        assert "payload" not in shown


def test_a_form_is_a_raw_body_too(api, queue):
    response = api.http.post(f"/v1/queues/{queue}/jobs", data={"a": "1"})
    shown = api.job(response.json()["id"])
    assert (base64.b64decode(shown["payload_base64"]), shown["content_type"]) == (b"a=1", "application/x-www-form-urlencoded")


def test_the_options_of_a_raw_body_are_query_parameters(api, queue):
    options = {
        "type": "null", "priority": "7", "max_attempts": "3", "lease_ms": "60000", "unique_key": "1", "unique_while": "queued",
        "group_key": "true", "group_limit": "2", "tags": "a,b", "retry": '{"base_ms": 1, "factor": 2, "jitter": 0}', "wait_ms": "1",
    }  # fmt: skip
    response = api.post(f"/v1/queues/{queue}/jobs", content=b"x", headers={"content-type": "text/plain"}, params=options)
    job = api.job(response.json()["id"])
    expected = {
        "type": "null", "priority": 7, "max_attempts": 3, "unique_key": "1", "unique_while": "queued",
        "group_key": "true", "group_limit": 2, "tags": ["a", "b"],
    }  # fmt: skip
    assert {name: job[name] for name in expected} == expected
    assert 59_000 < api.take(queue)["lease"]["ms_left"] <= 60_000


def test_a_raw_body_may_be_delayed(api, queue):
    text = {"content-type": "text/plain"}
    for option in ("delay_ms=60000", "run_at=2999-01-01T00:00:00Z"):
        assert api.post(f"/v1/queues/{queue}/jobs?{option}", content=b"x", headers=text).json()["state"] == "scheduled"


@pytest.mark.parametrize(
    ("query", "field"),
    [("priority=x", "priority"), ("priority=-1", "priority"), ("run_at=now", "run_at"), ("retry={", "retry"), ("retry=[]", "retry"),
     ('retry={"base_ms":-1}', "retry.base_ms"), ("payload=1", "payload"), ("colour=red", "colour"), ("group_limit=2", "group_limit"),
     ("type=" + "x" * 129, "type"), ("tags=" + "a," * 32 + "a", "tags"), ("wait_ms=x", "wait_ms"), ("type=a&type=b", "type")],
)  # fmt: skip
def test_a_wrong_option_of_a_raw_body_is_named(api, queue, query, field):
    response = api.post(f"/v1/queues/{queue}/jobs?{query}", content=b"x", headers={"content-type": "text/plain"})
    api.refused(response, 400, "invalid_request", field=field)


def test_a_content_type_has_a_bound(api, queue):
    path = f"/v1/queues/{queue}/jobs"
    assert api.post(path, content=b"x", headers={"content-type": "a/" + "x" * 254}).status_code == 201
    response = api.post(path, content=b"x", headers={"content-type": "a/" + "x" * 255})
    api.refused(response, 400, "invalid_request", field="content_type", says="at most 256 characters")


def test_routes_that_read_json_refuse_every_other_type(api, queue):
    token = "1.1.1." + "0" * 32
    for method, path in (
        ("POST", "/v1/jobs"),
        ("POST", "/v1/leases"),
        ("POST", "/v1/leases/batch"),
        ("POST", f"/v1/leases/{token}/conclude"),
        ("PATCH", "/v1/jobs/1"),
        ("PUT", f"/v1/queues/{queue}"),
        ("POST", f"/v1/queues/{queue}/purge"),
    ):
        response = api.request(method, path, content=b"{}", headers={"content-type": "text/plain"})
        api.refused(response, 415, "unsupported_media_type", says="not text/plain")
