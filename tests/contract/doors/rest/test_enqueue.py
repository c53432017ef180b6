"""`POST /v1/queues/{queue}/jobs`: what a producer is told, what each option does, and where its bounds are."""

import gzip
import re
from datetime import UTC, datetime, timedelta

import pytest

INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def at(text):
    assert re.fullmatch(INSTANT, text), text
    return datetime.fromisoformat(text)


def rfc3339(moment):
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_a_kept_job_is_answered_with_its_number_its_place_and_how_it_is_kept(api, queue):
    response = api.post(f"/v1/queues/{queue}/jobs", {"payload": {"a": 1}})
    assert response.status_code == 201
    job = response.json()
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    assert response.headers["content-type"] == "application/json"
    assert at(job.pop("created_at")) == at(job.pop("ready_at"))
    assert job == {
        "id": job["id"],
        "queue": queue,
        "state": "ready",
        "priority": 1024,
        "attempt": 0,
        "max_attempts": 25,
        "durability": {"level": "memory", "replicas": 0},
    }
    assert api.get(response.headers["location"]).json()["payload"] == {"a": 1}


def test_a_job_has_every_option_that_its_producer_gave(api, queue):
    options = {
        "type": "mail",
        "priority": 7,
        "max_attempts": 3,
        "lease_ms": 60_000,
        "unique_key": "u",
        "unique_while": "queued",
        "group_key": "g",
        "group_limit": 2,
        "tags": ["red", "blue"],
        "retry": {"base_ms": 1, "factor": 1.5, "max_ms": 9, "jitter": 0},
        "meta": {"tenant": "7", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
    }
    job = api.job(api.push(queue, "x", **options)["id"])
    shown = {name: value for name, value in options.items() if name not in ("lease_ms", "retry")}
    assert {name: job[name] for name in shown} == shown
    assert job["payload"] == "x"
    assert 59_000 < api.take(queue)["lease"]["ms_left"] <= 60_000


def test_numbers_grow_over_all_queues(api, queues):
    ids = [api.push(name)["id"] for name in (*queues, *queues)]
    assert ids == sorted(set(ids))


def test_without_a_body_the_payload_is_null(api, queue):
    response = api.post(f"/v1/queues/{queue}/jobs")
    assert response.status_code == 201
    job = api.job(response.json()["id"])
    assert (job["payload"], job["payload_bytes"], job["type"]) == (None, 4, "")


def test_a_delayed_job_is_scheduled_and_says_when_it_is_ready(api, queue):
    job = api.push(queue, delay_ms=3_600_000)
    assert job["state"] == "scheduled"
    assert at(job["ready_at"]) - at(job["created_at"]) == timedelta(hours=1)
    assert api.lease(queue) == []


def test_a_delay_of_nothing_is_ready_at_once(api, queue):
    assert api.push(queue, delay_ms=0)["state"] == "ready"


def test_a_job_runs_from_the_moment_that_it_names(api, queue):
    moment = datetime.now(UTC).replace(microsecond=250_000) + timedelta(days=2)
    assert at(api.push(queue, run_at=rfc3339(moment))["ready_at"]) == moment
    elsewhere = moment.astimezone(None).isoformat()
    assert at(api.push(queue, run_at=elsewhere)["ready_at"]) == moment


def test_a_moment_that_has_passed_is_now(api, queue):
    job = api.push(queue, run_at="1969-07-20T20:17:40Z")
    assert (job["state"], job["ready_at"]) == ("ready", job["created_at"])


def test_a_delayed_job_comes_when_its_time_has_come(api, queue):
    job = api.push(queue, delay_ms=150)
    taken = api.take(queue, wait_ms=5_000)
    assert taken["id"] == job["id"]
    assert at(taken["leased_at"]) >= at(job["ready_at"])


BOUNDS = [
    ("type", "t" * 128, "t" * 129, "at most 128 characters"),
    ("type", "", "a\0b", "NUL"),
    ("priority", 0, -1, "from 0 to 4294967295"),
    ("priority", 4_294_967_295, 4_294_967_296, "from 0 to 4294967295"),
    ("priority", None, "5", "Expected `int`"),
    ("priority", 5, 5.5, "Expected `int`"),
    ("priority", 1, True, "Expected `int`"),
    ("delay_ms", 0, -1, "from 0 to 316224000000"),
    ("delay_ms", 316_224_000_000, 316_224_000_001, "from 0 to 316224000000"),
    ("run_at", "9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.9996Z", "9999-12-31T23:59:59.999Z"),
    ("run_at", "9999-12-31T00:00:00+23:00", "9999-12-31T23:00:00-01:00", "9999-12-31T23:59:59.999Z"),
    ("run_at", "2026-01-01T00:00:00+01:00", "2026-01-01T00:00:00", "timezone"),
    ("run_at", "2026-02-28T00:00:00z", "2026-02-30T00:00:00Z", "Invalid RFC3339"),
    ("max_attempts", 1, 0, "from 1 to 65535"),
    ("max_attempts", 65_535, 65_536, "from 1 to 65535"),
    ("lease_ms", 1, 0, "from 1 to 2592000000"),
    ("lease_ms", 2_592_000_000, 2_592_000_001, "from 1 to 2592000000"),
    ("unique_key", "é" * 256, "é" * 257, "at most 256 characters"),
    ("unique_key", "k", "", "must not be empty"),
    ("unique_key", "other", "a\0", "NUL"),
    ("unique_while", "unfinished", "always", "Invalid enum value"),
    ("group_key", "g" * 256, "g" * 257, "at most 256 characters"),
    ("group_key", "g", "", "must not be empty"),
    ("tags", ["x"] * 32, ["x"] * 33, "at most 32 entries"),
    ("tags[1]", ["a", "x" * 128], ["a", "x" * 129], "at most 128 characters"),
    ("tags[0]", [], [1], "Expected `str`"),
    ("meta", {"n" * 128: "v" * 3_968}, {"n" * 128: "v" * 3_969}, "at most 4096 bytes"),
    ("meta", {"n" * 128: ""}, {"n" * 129: ""}, "names of 1 to 128 characters"),
    ("meta", {}, {"": "v"}, "names of 1 to 128 characters"),
    ("meta", {"n": ""}, {"n": "\0"}, "NUL"),
    ("meta[...]", {"n": "1"}, {"n": 1}, "Expected `str`"),
    ("retry.base_ms", {"base_ms": 0}, {"base_ms": -1}, "from 0 to 316224000000"),
    ("retry.max_ms", {"max_ms": 316_224_000_000}, {"max_ms": 316_224_000_001}, "from 0 to 316224000000"),
    ("retry.factor", {"factor": 1}, {"factor": 0.99}, "from 1 to 100"),
    ("retry.factor", {"factor": 100}, {"factor": 100.5}, "from 1 to 100"),
    ("retry.jitter", {"jitter": 1}, {"jitter": 1.01}, "from 0 to 1"),
    ("retry.jitter", {"jitter": 0}, {"jitter": -0.01}, "from 0 to 1"),
]


@pytest.mark.parametrize(("field", "within", "beyond", "says"), BOUNDS)
def test_a_bound_holds_exactly_and_a_breach_names_the_field_and_the_bound(api, queue, field, within, beyond, says):
    name = re.split(r"[.\[]", field)[0]
    assert api.push(queue, **{name: within})["id"]
    response = api.post(f"/v1/queues/{queue}/jobs", {name: beyond})
    problem = api.refused(response, 400, "invalid_request", field=field, says=says)
    assert field in problem["detail"]
    assert sum(api.counts(queue).values()) == 1


def test_the_limit_of_a_group_has_bounds_and_needs_a_group(api, queue):
    path = f"/v1/queues/{queue}/jobs"
    assert api.push(queue, group_key="g", group_limit=1)
    assert api.push(queue, group_key="g", group_limit=10_000)
    for limit in (0, 10_001):
        response = api.post(path, {"group_key": "g", "group_limit": limit})
        api.refused(response, 400, "invalid_request", field="group_limit", says="from 1 to 10000")
    for beside in ({}, {"tags": ["a"]}, {"retry": {}}):
        response = api.post(path, {"group_limit": 2, **beside})
        api.refused(response, 400, "invalid_request", field="group_limit", says="needs a group_key")


def test_a_delay_and_a_moment_together_are_refused(api, queue):
    both = {"delay_ms": 1, "run_at": "2030-01-01T00:00:00Z"}
    api.refused(api.post(f"/v1/queues/{queue}/jobs", both), 400, "invalid_request", field="run_at", says="beside delay_ms")


@pytest.mark.parametrize("name", ["q", "A-Z_a.z:0", "x" * 128])
def test_a_queue_is_created_by_its_first_job(api, name):
    assert api.push(name)["queue"] == name
    assert api.get(f"/v1/queues/{name}").json()["jobs"]["ready"] >= 1


@pytest.mark.parametrize("name", ["x" * 201, "a b", "%00", "a%0A", "%C3%A9", "a%2Bb", "a,b"])
def test_a_name_that_can_not_be_a_queues_is_refused(api, name):
    response = api.post(f"/v1/queues/{name}/jobs", {})
    api.refused(response, 400, "invalid_request", field="queue", says="1 to 200 of the characters A-Z a-z 0-9 . _ : -")


@pytest.mark.parametrize(
    ("body", "field"),
    [({"payloud": 1}, "payloud"), ({"retry": {"tries": 3}}, "retry.tries"), ({"queue": "elsewhere"}, "queue")],
)
def test_a_field_that_nobody_knows_is_named_not_ignored(api, queue, body, field):
    response = api.post(f"/v1/queues/{queue}/jobs", body)
    api.refused(response, 400, "invalid_request", field=field, says=f"unknown field `{field.split('.')[-1]}`")
    assert api.get(f"/v1/queues/{queue}").status_code == 404


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null", b"true"])
def test_a_body_that_is_no_object_is_refused(api, queue, body):
    response = api.post(f"/v1/queues/{queue}/jobs", content=body, headers={"content-type": "application/json"})
    api.refused(response, 400, "invalid_request", field="body", says="Expected `object`")


@pytest.mark.parametrize(
    ("query", "field"),
    [("wait_ms=55001", "wait_ms"), ("wait_ms=-1", "wait_ms"), ("wait_ms=", "wait_ms"), ("wait_ms=1e3", "wait_ms"),
     ("priority=1", "priority"), ("wait_ms=1&wait_ms=2", "wait_ms"), ("wait_ms", "query"), ("%FF=1", "query")],
)  # fmt: skip
def test_query_parameters_of_a_json_push_are_checked_too(api, queue, query, field):
    api.refused(api.post(f"/v1/queues/{queue}/jobs?{query}", {}), 400, "invalid_request", field=field)


def test_waiting_as_long_as_is_allowed_costs_nothing_where_there_is_room(api, queue):
    assert api.post(f"/v1/queues/{queue}/jobs?wait_ms=55000", {}).status_code == 201


# What can never be taken


@pytest.mark.parametrize("options", ["", "?wait_ms=5000"])
def test_a_payload_larger_than_its_whole_queue_is_not_told_to_come_again(api, queue, options):
    api.set(queue, capacity_bytes=100)
    response = api.post(f"/v1/queues/{queue}/jobs{options}", {"payload": "x" * 200})
    problem = api.refused(response, 413, "payload_too_large", "payload", says="202 bytes")
    assert (problem["queue"], problem["limit_bytes"]) == (queue, 100)
    assert response.elapsed.total_seconds() < 4
    api.push(queue, "x" * 98)


def test_a_queue_with_no_capacity_is_full_for_now(api, queue):
    api.set(queue, capacity_jobs=0)
    api.refused(api.post(f"/v1/queues/{queue}/jobs", {}), 429, "queue_full")
    api.set(queue, capacity_bytes=0)
    api.refused(api.post(f"/v1/queues/{queue}/jobs", {}), 429, "queue_full")


@pytest.mark.parametrize("route", ["/v1/queues/encoded/jobs", "/v1/jobs", "/v1/publish", "/v1/leases"])
def test_a_body_in_another_encoding_is_refused_and_not_kept_as_it_came(api, route):
    headers = {"content-type": "text/plain", "content-encoding": "gzip"}
    response = api.post(route, content=gzip.compress(b"x"), headers=headers)
    api.refused(response, 415, "unsupported_media_type", says="gzip")
    plain = api.post(
        "/v1/queues/encoded/jobs", content=b"x", headers={"content-type": "text/plain", "content-encoding": "identity"}
    )
    assert plain.status_code == 201


def test_two_keys_for_one_request_are_refused(api, queue):
    twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b"), ("Content-Type", "application/json")]
    response = api.post(f"/v1/queues/{queue}/jobs", content=b"{}", headers=twice)
    api.refused(response, 400, "invalid_request", "Idempotency-Key", says="twice")


def test_an_option_of_a_key_that_is_not_there_is_refused(api, queue):
    response = api.post(f"/v1/queues/{queue}/jobs", {"unique_while": "queued"})
    api.refused(response, 400, "invalid_request", "unique_while", says="unique_key")


def test_a_misspelt_option_of_a_raw_body_is_named(api, queue):
    response = api.post(f"/v1/queues/{queue}/jobs?prio=1", content=b"x", headers={"content-type": "text/plain"})
    api.refused(response, 400, "invalid_request", "prio", says="is not an option of a job")


def test_the_jobs_of_an_idempotency_key_are_found_again(api, queue):
    headers = {"idempotency-key": f"{queue}/7 ?", "content-type": "application/json"}
    job = api.post(f"/v1/queues/{queue}/jobs", {"payload": 1}, headers=headers).json()
    found = api.get("/v1/receipts", params={"idempotency_key": f"{queue}/7 ?"}).json()["jobs"]
    assert found == [{name: value for name, value in job.items() if name != "durability"}]
    assert api.get("/v1/receipts", params={"idempotency_key": f"{queue}/7 ?", "queue": queue}).json()["jobs"] == found
    assert api.get("/v1/receipts", params={"idempotency_key": "no such key"}).json() == {"jobs": []}
    api.delete(f"/v1/jobs/{job['id']}")
    assert api.get("/v1/receipts", params={"idempotency_key": f"{queue}/7 ?"}).json()["jobs"] == [{**found[0], "gone": True}]
    api.refused(api.get("/v1/receipts"), 400, "invalid_request", "request")
    api.refused(api.get("/v1/receipts", params={"idempotency_key": "é"}), 400, "invalid_request", "idempotency_key")


def test_a_batch_and_an_operation_are_no_jobs_of_their_idempotency_key(api, queue):
    headers = {"idempotency-key": f"{queue} together", "content-type": "application/json"}
    made = api.post("/v1/batches", {"jobs": [{"queue": queue}, {"queue": queue}]}, headers=headers).json()
    found = api.get("/v1/receipts", params={"idempotency_key": f"{queue} together"}).json()["jobs"]
    assert [(job["id"], job["queue"]) for job in found] == [(job, queue) for job in made["jobs"]]
    headers["idempotency-key"] = f"{queue} all"
    assert api.post("/v1/operations", {"do": "cancel", "filter": {"queue": queue}}, headers=headers).status_code == 202
    assert api.get("/v1/receipts", params={"idempotency_key": f"{queue} all"}).json() == {"jobs": []}
