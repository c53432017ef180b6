"""413: a payload, a result or a whole body over its bound is refused, and what is exactly at the bound is taken."""

import pytest

BOUND = 1_000
BODY = BOUND + (16 << 20)
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def small(serve):
    """A server that takes payloads of at most 1,000 bytes."""
    return serve("--max-payload-bytes", str(BOUND))[1]


def text_of(size):
    return b'"' + b"x" * (size - 2) + b'"'


def test_a_payload_of_the_default_bound_is_taken_and_one_byte_more_is_not(api, queue):
    path = f"/v1/queues/{queue}/jobs"
    taken = api.post(path, content=b'{"payload":' + text_of(1 << 20) + b"}", headers=JSON)
    assert api.job(taken.json()["id"])["payload_bytes"] == 1 << 20
    problem = api.refused(
        api.post(path, content=b'{"payload":' + text_of((1 << 20) + 1) + b"}", headers=JSON),
        413,
        "payload_too_large",
        field="payload",
    )
    assert problem["limit_bytes"] == 1 << 20


def test_a_raw_payload_has_the_same_bound(small, queue):
    path, text = f"/v1/queues/{queue}/jobs", {"content-type": "text/plain"}
    assert small.post(path, content=b"x" * BOUND, headers=text).status_code == 201
    small.refused(small.post(path, content=b"x" * (BOUND + 1), headers=text), 413, "payload_too_large", field="payload")


def test_every_job_of_a_bulk_has_the_bound_to_itself(small, queue):
    fits, too_large = "x" * (BOUND - 2), "x" * (BOUND - 1)
    jobs = [{"queue": queue, "payload": fits}] * 3
    assert small.post("/v1/jobs", {"jobs": jobs}).status_code == 201
    response = small.post("/v1/jobs", {"jobs": [*jobs, {"queue": queue, "payload": too_large}]})
    small.refused(response, 413, "payload_too_large", field="jobs[3].payload")
    assert small.counts(queue) == {"ready": 3}


def test_an_edit_has_the_bound(small, queue):
    path = f"/v1/jobs/{small.push(queue)['id']}"
    assert small.patch(path, json={"payload": "x" * (BOUND - 2)}).status_code == 200
    small.refused(small.patch(path, json={"payload": "x" * (BOUND - 1)}), 413, "payload_too_large", field="payload")


def test_a_result_has_the_bound_and_the_lease_is_still_held_after_a_refusal(small, queue):
    small.push(queue)
    job = small.take(queue)
    response = small.end("conclude", job, result="x" * (BOUND - 1))
    small.refused(response, 413, "payload_too_large", field="result")
    follow_up = [{"queue": queue, "payload": "x" * (BOUND - 1)}]
    small.refused(small.end("conclude", job, then=follow_up), 413, "payload_too_large", field="then[0].payload")
    assert small.ended("conclude", job, result="x" * (BOUND - 2))["state"] == "concluded"


def test_progress_has_a_bound_of_its_own(api, queue):
    api.push(queue)
    job = api.take(queue)
    assert api.ended("extend", job, progress="x" * (65_536 - 2))["ms_left"]
    problem = api.refused(api.end("extend", job, progress="x" * (65_536 - 1)), 413, "payload_too_large", field="progress")
    assert problem["limit_bytes"] == 65_536


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/jobs"), ("POST", "/v1/queues/q/jobs"), ("PUT", "/v1/queues/q")])
def test_a_body_that_says_it_is_too_large_is_refused(small, method, path):
    response = small.request(method, path, content=b" " * (BODY + 1), headers=JSON)
    assert small.refused(response, 413, "payload_too_large")["limit_bytes"] == BODY


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/jobs"), ("POST", "/v1/queues/q/jobs"), ("PUT", "/v1/queues/q")])
def test_a_body_in_chunks_is_refused_once_it_is_too_large(small, method, path):
    response = small.request(method, path, content=(b" " * (1 << 20) for _ in range(18)), headers=JSON)
    assert small.refused(response, 413, "payload_too_large")["limit_bytes"] == BODY


def test_a_body_of_exactly_the_bound_is_read(small, queue):
    body = b'{"payload":1}'
    for content in (body.ljust(BODY), iter([body.ljust(BODY // 2), b" " * (BODY - BODY // 2)])):
        assert small.post(f"/v1/queues/{queue}/jobs", content=content, headers=JSON).status_code == 201
