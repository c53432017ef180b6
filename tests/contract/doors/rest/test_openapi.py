"""The OpenAPI document: valid, whole, and true of the hot routes, whose handlers read what they are given themselves."""

import json
from pathlib import Path

import jsonschema_rs
import pytest
import schemathesis

from holdfast import __version__
from holdfast.errors import BY_CODE

V1 = {
    ("post", "/v1/queues/{queue}/jobs"),
    ("post", "/v1/jobs"),
    ("post", "/v1/leases"),
    ("post", "/v1/leases/{token}/conclude"),
    ("post", "/v1/leases/{token}/fail"),
    ("post", "/v1/leases/{token}/release"),
    ("post", "/v1/leases/{token}/extend"),
    ("post", "/v1/leases/batch"),
    ("get", "/v1/jobs"),
    ("get", "/v1/jobs/{job_id}"),
    ("patch", "/v1/jobs/{job_id}"),
    ("delete", "/v1/jobs/{job_id}"),
    ("get", "/v1/jobs/{job_id}/why"),
    ("post", "/v1/jobs/{job_id}/retry"),
    ("post", "/v1/jobs/{job_id}/cancel"),
    ("post", "/v1/jobs/{job_id}/promote"),
    ("post", "/v1/jobs/{job_id}/release-lease"),
    ("get", "/v1/queues"),
    ("get", "/v1/queues/{queue}"),
    ("put", "/v1/queues/{queue}"),
    ("patch", "/v1/queues/{queue}"),
    ("delete", "/v1/queues/{queue}"),
    ("post", "/v1/queues/{queue}/pause"),
    ("post", "/v1/queues/{queue}/resume"),
    ("post", "/v1/queues/{queue}/purge"),
    ("get", "/v1/stats"),
    ("get", "/v1/stream"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
}


@pytest.fixture(scope="module")
def document(api):
    response = api.get("/openapi.json")
    assert response.headers["content-type"] == "application/json"
    return response.json()


@pytest.fixture(scope="module")
def holds(document):
    """Check a value against the schema of a route's answer."""

    def check(method, path, answer):
        responses = document["paths"][path][method]["responses"]
        described = responses.get(str(answer.status_code), responses["default"])
        if "$ref" in described:
            described = document["components"]["responses"][described["$ref"].rpartition("/")[2]]
        schema = described["content"][answer.headers["content-type"].partition(";")[0]]["schema"]
        jsonschema_rs.validate({**schema, "components": document["components"]}, answer.json())
        return answer.json()

    return check


def test_the_document_is_openapi_3_1_and_can_be_loaded(api, document):
    assert document["openapi"].startswith("3.1.")
    assert document["servers"] == [{"url": "/"}]
    schema = schemathesis.openapi.from_dict(document)
    schema.validate()
    assert len(list(schema.get_all_operations())) == sum(len(path) for path in document["paths"].values())


def test_the_document_says_what_it_said_before(document):
    """`openapi.json` changes with every change of the contract, so that none is made unseen: `make openapi` writes it."""
    info = dict(document["info"])
    assert info.pop("version") == __version__
    assert {**document, "info": info} == json.loads(Path(__file__).with_name("openapi.json").read_text())


def test_every_route_of_the_contract_is_in_it_the_hot_ones_too(document):
    described = {(method, path) for path, item in document["paths"].items() for method in item}
    assert described >= V1


def test_every_route_that_is_described_is_there(api, document):
    for path, item in document["paths"].items():
        real = (
            path.replace("{job_id}", "9007199254740991")
            .replace("{queue}", "never-made")
            .replace("{token}", "never")
            .replace("{operation_id}", "1")
            .replace("{batch_id}", "9007199254740991")
        )
        allowed = api.request("TRACE", real.replace("{worker}", "x").replace("{worker_id}", "x")).headers["allow"]
        assert {method.upper() for method in item} <= set(allowed.split(", ")), path


def test_every_route_has_a_name_of_its_own_a_summary_and_a_tag(document):
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert all(operation["summary"] and operation["tags"] for operation in operations)


def test_every_error_code_is_among_those_of_a_problem(document):
    codes = set(document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"])
    assert set(BY_CODE) <= codes
    assert "method_not_allowed" in codes


def test_every_route_may_answer_with_a_problem(document):
    for item in document["paths"].values():
        for operation in item.values():
            content = operation["responses"]["default"]["content"]
            assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def test_every_route_but_the_open_ones_says_that_it_needs_a_key(document):
    schemes = document["components"]["securitySchemes"]
    assert {name: (scheme["type"], scheme["scheme"]) for name, scheme in schemes.items()} == {
        "bearer": ("http", "bearer"),
        "basic": ("http", "basic"),
    }
    for path, item in document["paths"].items():
        for operation in item.values():
            answers = operation["responses"]
            if path in ("/healthz", "/readyz"):
                assert operation["security"] == []
                assert not {"401", "403"} & set(answers)
            else:
                assert operation["security"] == [{"bearer": []}, {"basic": []}]
                assert answers["401"] == {"$ref": "#/components/responses/Unauthenticated"}
                assert answers["403"] == {"$ref": "#/components/responses/Forbidden"}


def test_every_reference_leads_somewhere(document):
    components = document["components"]
    found = set()

    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                found.add(node["$ref"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)
    assert found
    there = {f"#/components/{kind}/{name}" for kind, named in components.items() for name in named}
    assert found <= there


# The hot routes answer as their rows describe


def test_enqueue_answers_as_described(api, queue, holds):
    path, real = "/v1/queues/{queue}/jobs", f"/v1/queues/{queue}/jobs"
    first = api.post(real, {"payload": 1}, headers={"idempotency-key": "k"})
    again = api.post(real, {"payload": 1}, headers={"idempotency-key": "k"})
    other = api.post(real, {"payload": 2}, headers={"idempotency-key": "k"})
    raw = api.post(real, content=b"x", headers={"content-type": "text/plain"})
    wrong = api.post(real, {"priority": -1})
    for answer, status in ((first, 201), (again, 200), (other, 422), (raw, 201), (wrong, 400)):
        assert answer.status_code == status
        holds("post", path, answer)


def test_bulk_answers_as_described(api, queue, holds):
    for jobs, status in (([{"queue": queue}], 201), ([], 400)):
        answer = api.post("/v1/jobs", {"jobs": jobs}, headers={"idempotency-key": queue})
        assert answer.status_code == status
        holds("post", "/v1/jobs", answer)
    again = api.post("/v1/jobs", {"jobs": [{"queue": queue}]}, headers={"idempotency-key": queue})
    assert holds("post", "/v1/jobs", again)["duplicate"] is True


def test_leases_answer_as_described(api, queue, holds):
    api.push(queue, unique_key="u", group_key="g", tags=["t"], type="x")
    api.post(f"/v1/queues/{queue}/jobs", content=b"x", headers={"content-type": "text/plain"})
    answer = api.post("/v1/leases", {"queues": [queue], "max": 5})
    assert len(holds("post", "/v1/leases", answer)["jobs"]) == 2
    for job in answer.json()["jobs"]:
        api.ended("extend", job, progress={"half": True})
        api.ended("fail", job, delay_ms=0)
    again = holds("post", "/v1/leases", api.post("/v1/leases", {"queues": [queue], "max": 5}))["jobs"]
    assert [job["attempt"] for job in again] == [2, 2]
    assert holds("post", "/v1/leases", api.post("/v1/leases", {"queues": [queue]}))["jobs"] == []
    holds("post", "/v1/leases", api.post("/v1/leases", {"queues": []}))


@pytest.mark.parametrize("verb", ["conclude", "fail", "release", "extend"])
def test_the_lease_verbs_answer_as_described(api, queue, holds, verb):
    path = f"/v1/leases/{{token}}/{verb}"
    api.push(queue)
    job = api.take(queue)
    body = {"then": [{"queue": queue, "delay_ms": 600_000}]} if verb == "conclude" else {}
    wrong = api.post(f"/v1/leases/{job['lease']['token']}/{verb}", {"nobody": 1})
    assert wrong.status_code == 400
    holds("post", path, wrong)
    holds("post", path, api.end(verb, job, **body))
    lost = api.end(verb, "1.1.1.00")
    assert lost.status_code == 409
    holds("post", path, lost)


def test_a_batch_answers_as_described_with_lost_leases_in_it(api, queue, holds):
    for _ in range(4):
        api.push(queue)
    tokens = [{"token": job["lease"]["token"]} for job in api.lease(queue, max=4)]
    lists = {
        verb: [token, {"token": "never"}] for verb, token in zip(("conclude", "fail", "release", "extend"), tokens, strict=True)
    }
    shown = holds("post", "/v1/leases/batch", api.post("/v1/leases/batch", lists))
    assert [entries[1]["code"] for entries in shown.values()] == ["lease_lost"] * 4
    holds("post", "/v1/leases/batch", api.post("/v1/leases/batch", {}))


# Swagger UI


def test_the_documentation_page_may_load_only_from_this_server(api):
    page = api.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    rules = dict(rule.strip().partition(" ")[::2] for rule in page.headers["content-security-policy"].split(";"))
    assert rules["default-src"] == "'none'"
    assert all(
        source in ("'self'", "'none'", "data:", "'unsafe-inline'") for value in rules.values() for source in value.split()
    )
    assert rules["script-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert "http:" not in page.text
    assert "https:" not in page.text
    assert "<script>" not in page.text


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("swagger-ui-bundle.js", "text/javascript"),
        ("swagger-ui.css", "text/css"),
        ("start.js", "text/javascript"),
        ("favicon-32x32.png", "image/png"),
    ],
)
def test_what_the_page_loads_is_served_from_here_and_may_be_cached(api, name, kind):
    assert f"docs/{name}" in api.get("/docs").text
    answer = api.get(f"/docs/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert answer.headers["cache-control"] == "public, max-age=86400"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert len(answer.content) > 100


def test_the_start_page_leads_to_the_management_page(api):
    answer = api.get("/")
    assert (answer.status_code, answer.headers["location"]) == (302, "/web")
