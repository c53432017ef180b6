"""An option that a route does not know is refused, on every route that the document describes: a misspelt one is never ignored."""

import re

import pytest

METHODS = ("get", "post", "put", "patch", "delete")
UNKNOWN = "no_such_option"


@pytest.fixture
def routes(api):
    """Every route under /v1 as method and path, its parameters filled in."""
    document = api.get("/openapi.json").json()
    return [
        (method.upper(), re.sub(r"\{[^}]*\}", "1", path))
        for path, verbs in document["paths"].items()
        for method in verbs
        if path.startswith("/v1/") and method in METHODS and not path.startswith("/v1/channel")
    ]


def test_every_route_refuses_a_query_parameter_that_it_does_not_know(api, routes):
    for method, path in routes:
        response = api.request(method, path, params={UNKNOWN: "1"}, **({} if method == "GET" else {"json": {}}))
        refused = response.status_code, response.json()["code"], response.json().get("field")
        assert refused == (400, "invalid_request", UNKNOWN), (method, path, response.text)


def test_every_route_refuses_a_field_of_the_body_that_it_does_not_know(api, routes):
    changing = [(method, path) for method, path in routes if method != "GET"]
    assert len(changing) > 30
    for method, path in changing:
        response = api.request(method, path, json={UNKNOWN: 1})
        refused = response.status_code, response.json()["code"], response.json().get("field")
        assert refused == (400, "invalid_request", UNKNOWN), (method, path, response.text)


@pytest.mark.parametrize(
    ("method", "verb"), [("POST", "/cancel"), ("POST", "/promote"), ("POST", "/release-lease"), ("DELETE", "")]
)
def test_a_refused_option_of_a_verb_without_a_body_has_changed_nothing(api, queue, method, verb):
    job = api.push(queue, delay_ms=600_000)
    response = api.request(method, f"/v1/jobs/{job['id']}{verb}", json={"delay_ms": 5})
    api.refused(response, 400, "invalid_request", field="delay_ms", says="unknown field")
    assert api.job(job["id"])["state"] == "scheduled"


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"content": b""}, 200, None),
        ({"json": {}}, 200, None),
        ({"content": b"", "headers": {"content-type": "application/x-www-form-urlencoded"}}, 200, None),
        ({"data": {"a": "b"}}, 415, "unsupported_media_type"),
        ({"content": b"{"}, 400, "malformed_json"),
        ({"json": [1]}, 400, "invalid_request"),
    ],
)
def test_a_verb_without_a_body_reads_what_it_is_sent_as_json(api, queue, given, status, code):
    api.set(queue)
    response = api.request("POST", f"/v1/queues/{queue}/pause", **given)
    assert (response.status_code, response.json().get("code")) == (status, code)


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "near"),
    [
        ("POST", "/v1/queues/near/jobs", {"delay": 5}, "delay", "delay_ms"),
        ("POST", "/v1/queues/near/jobs", {"payloed": 5}, "payloed", "payload"),
        ("POST", "/v1/queues/near/jobs", {"retry": {"max": 5}}, "retry.max", "max_ms"),
        ("POST", "/v1/queues/near/jobs", {"colour": 5}, "colour", None),
        ("POST", "/v1/queues/near/jobs", {"delay" * 20: 5}, "delay" * 20, None),
        ("POST", "/v1/jobs", {"jobs": [{"queue": "near"}, {"queue": "near", "paylod": 1}]}, "jobs[1].paylod", "payload"),
        ("PUT", "/v1/queues/near", {"capasity_jobs": 5}, "capasity_jobs", "capacity_jobs"),
        ("PUT", "/v1/schedules/near", {"timzone": "UTC"}, "timzone", "timezone"),
        ("POST", "/v1/leases", {"queue": ["near"]}, "queue", "queues"),
    ],
)
def test_a_misspelt_field_is_told_the_nearest_name(api, method, path, body, field, near):
    response = api.request(method, path, json=body)
    api.refused(response, 400, "invalid_request", field=field, says="unknown field")
    said = response.json()["detail"]
    assert said.endswith(f"Did you mean `{near}`?") if near else "Did you mean" not in said


def test_a_misspelt_option_of_a_raw_body_is_told_the_nearest_name(api):
    response = api.post("/v1/queues/near/jobs?delay=5", content=b"x", headers={"content-type": "text/plain"})
    api.refused(response, 400, "invalid_request", field="delay", says="is not an option of a job; did you mean delay_ms?")


@pytest.mark.parametrize(
    ("path", "field", "chars"),
    [
        ("/v1/queues/a%20b", "queue", 200),
        ("/v1/schedules/a%20b", "name", 128),
        ("/v1/queues/{}/jobs".format("x" * 601), "queue", 200),
    ],
)
def test_a_path_with_a_name_that_none_can_have_says_what_a_name_is(api, path, field, chars):
    response = api.request("PUT" if not path.endswith("jobs") else "POST", path, json={})
    api.refused(response, 400, "invalid_request", field=field, says=f"must be 1 to {chars} of the characters")
    assert "regex" not in response.text
