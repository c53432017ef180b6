"""A key that stands twice in a body is refused by name, in every body that the OpenAPI document names and at every depth that is ours; payloads are the caller's own."""

import gc
import json
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.doors.rest import bodies, types
from holdfast.errors import HoldfastError
from tests.contract.doors.rest.test_every_field import at, body_of, fields, filled, least, routes

KEYED = [
    kind
    for kind in vars(types).values()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__name__.endswith("In")
]


@pytest.fixture(scope="module")
def document(api):
    return api.get("/openapi.json").json()


@pytest.fixture(scope="module")
def names(api):
    api.set("1")
    api.push("keys-twice")
    return {"token": api.take("keys-twice")["lease"]["token"]}


def twice(body: str, name: str, value: str, escaped: bool) -> str:
    """The same body with one field a second time, before its first."""
    key = json.dumps(name)
    again = '"' + "".join(f"\\u{ord(sign):04x}" for sign in name) + '"' if escaped else key
    assert key in body
    return body.replace(key + ": ", f"{again} :{value}, {key}: ", 1)


def test_every_field_of_every_body_is_refused_where_it_stands_twice(api, document, names):
    count = 0
    for method, path, route in routes(document):
        schema = body_of(route)
        for way, inner in fields(document, schema) if schema is not None else ():
            if not isinstance(way[-1], str):
                continue
            value = json.dumps(least(document, inner))
            body = filled(document, schema, way, value)
            for escaped in (False, True):
                doubled = twice(body, way[-1], value, escaped)
                response = api.request(
                    method, at(path, names), content=doubled.encode(), headers={"content-type": "application/json"}
                )
                count += 1
                problem = api.refused(
                    response, 400, "invalid_request", field=response.json().get("field"), says="is given twice"
                )
                assert problem["field"].rpartition(".")[2] == way[-1], (method, path, doubled, problem)
    assert count > 250


BODIES = [
    ('{"payload":1,"payload":2}', "payload"),
    ('{"payload":1,"payload":1}', "payload"),
    ('{"payload":12,"payload":1}', "payload"),
    ('{"type":"a","payload":-12,"payload":-1}', "payload"),
    ('{"payload": 1e5,"payload": 1}', "payload"),
    ('{"retry":{"base_ms":1,"base_ms":1},"payload" :{"base_ms":1,"base_ms":1}}', "retry.base_ms"),
    ('{ "payload" :\\n1 ,\\t"payload" : 1 }', "payload"),
    ('{"payload":"%s","payload":1}' % ("x" * 100_000), "payload"),
    ('{"payload":1,"payload":"%s"}' % ("x" * 100_000), "payload"),
    ('{"payload":"%s","type":"a","type":"b"}' % ("x" * 100_000), "type"),
    ('{"payload":{"a":{"b":[1,2]}},"pay\\\\u006coad":0}', "payload"),
    ('{"type":"a\\\\u003ab","type":"a"}', "type"),
    ('{"type":"a:b:c","priority":1,"priority":null}', "priority"),
    ('{"priority":null,"priority":null}', "priority"),
    ('{"type":"","type":""}', "type"),
    ('{"tags":[],"tags":["a"],"payload":{}}', "tags"),
    ('{"run_at":"2026-01-01T00:00:00+0100","run_at":"2026-01-01T00:00:00Z"}', "run_at"),
    ('{"run_at":"2026-01-01T00:00:00Z","payload":1,"payload":1}', "payload"),
    ('{"retry":{"base_ms":1,"factor":2,"base_ms":3}}', "retry.base_ms"),
    ('{"retry":null,"retry":{"base_ms":1}}', "retry"),
]


@pytest.mark.parametrize(("body", "field"), BODIES, ids=range(len(BODIES)))
def test_a_job_with_a_key_twice_is_not_put(api, queue, body, field):
    body = body.replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\")
    response = api.post(f"/v1/queues/{queue}/jobs", content=body.encode(), headers={"content-type": "application/json"})
    if "+0100" in body and response.json().get("field") == "run_at":
        return  # refused for what it is, too
    api.refused(response, 400, "invalid_request", field=field, says="is given twice")
    assert api.get(f"/v1/queues/{queue}").status_code == 404


@pytest.mark.parametrize(
    "payload", ['{"a":1,"a":2}', '[{"a":1,"a":{"b":1,"b":1}}]', '{"payload":1,"payload":2}', '{"":1,"":2}']
)
def test_what_stands_in_a_payload_is_kept_as_it_came(api, queue, payload):
    for options in ("", '"type":"x",', '"tags":[],"priority":null,'):
        body = f'{{{options}"payload":{payload}}}'
        response = api.post(f"/v1/queues/{queue}/jobs", content=body.encode(), headers={"content-type": "application/json"})
        assert response.status_code == 201, response.text
        assert payload in api.get(f"/v1/jobs/{response.json()['id']}").text
        held = api.take(queue)
        done = f'{{"result":{payload}}}'
        assert api.post(f"/v1/leases/{held['lease']['token']}/conclude", content=done.encode()).status_code == 200
        assert f'"result":{payload}' in api.get(f"/v1/jobs/{response.json()['id']}").text


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/jobs", '{"jobs":[{"queue":"a","payload":1},{"queue":"a","payload":1,"queue":"b"}]}', "jobs[1].queue"),
        ("/v1/jobs", '{"jobs":[{"queue":"a"}],"jobs":[{"queue":"a"}]}', "jobs"),
        ("/v1/leases", '{"queues":["a"],"max":1,"max":2}', "max"),
        ("/v1/leases/batch", '{"conclude":[{"token":"1.1.1.00"}],"conclude":[]}', "conclude"),
        ("/v1/leases/batch", '{"conclude":[{"token":"1.1.1.00","token":"1.1.2.00"}]}', "conclude[0].token"),
        ("/v1/leases/batch", '{"fail":[{"token":"1.1.1.00"},{"token":"1.1.1.00","retry":false,"retry":true}]}', "fail[1].retry"),
        ("/v1/leases/batch", '{"conclude":[{"token":"1.1.1.00","then":[{"queue":"a","type":"","type":""}]}]}', "conclude[0].then[0].type"),
        ("/v1/interests/test", '{"data":1,"data":2}', "data"),
        ("/jobs/enqueue", '{"Type":"a","Type":"b"}', "Type"),
        ("/jobs/enqueue", '{"Type":"a","Payload":1,"Payload":2}', "Payload"),
        ("/push", '{"msg":"a","msg":"b"}', "msg"),
        ("/api/workerRegister", '{"queues":"a","queues":"b"}', "queues"),
        ("/api/interestCreate", '{"queue":"a","interests":{"x":"1","x":"2"}}', "interests.x"),
    ],
)  # fmt: skip
def test_other_bodies_and_other_doors(serve, api, path, body, field):
    response = api.post(path, content=body.encode(), headers={"content-type": "application/json"})
    assert response.status_code == 400, response.text
    assert "is given twice" in response.text
    assert field in response.text


@given(st.sampled_from(KEYED), st.data())
def test_no_body_without_a_key_twice_is_refused_for_one(kind, data):
    """The short cut looks no closer where it may not, and never sees a key twice where none is."""
    texts = st.text('ab:\\"\u003a{}', max_size=6)
    values = st.recursive(st.none() | st.integers(-5, 5) | texts | st.booleans(), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2), max_leaves=4)  # fmt: skip
    fields = dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))
    body = data.draw(st.dictionaries(st.sampled_from(sorted(fields)), values, max_size=5))
    written = json.dumps(
        body, ensure_ascii=data.draw(st.booleans()), separators=data.draw(st.sampled_from([(",", ":"), (" , ", " : ")]))
    )
    assert "is given twice" not in refusal(written, kind), written
    if body:
        name = data.draw(st.sampled_from(sorted(body)))
        doubled = f"{{{json.dumps(name)}:{json.dumps(body[name])},{written.strip()[1:]}"
        assert refusal(doubled, kind), doubled


def refusal(body: str, kind: type) -> str:
    """What is said against a body; "" where it is taken."""
    try:
        bodies.decode(body.encode(), kind)
    except HoldfastError as error:
        return error.detail
    return ""


def test_what_is_remembered_of_ever_new_bodies_takes_little_memory():
    def send(first):
        for number in range(first, first + 5_000):
            bodies.decode(b'{"queues":["%0400d"]}' % number, types.LeasesIn)

    send(0)
    gc.collect()
    tracemalloc.start()
    try:
        send(5_000)
        gc.collect()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1 << 20
