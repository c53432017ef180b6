"""`POST /v1/leases`: what a worker is given, and what happens when it asks again because an answer was lost."""

import re
from datetime import datetime, timedelta

import pytest


def test_a_leased_job_comes_with_all_that_its_worker_needs(api, queue):
    put = api.push(queue, payload={"a": 1}, type="mail", tags=["x"], meta={"tenant": "7"})
    job = api.take(queue, worker="w-1", lease_ms=10_000)
    token = job["lease"]["token"]
    assert re.fullmatch(rf"{put['id']}\.1\.\d+\.[0-9a-f]{{32}}", token)
    assert job["lease"]["worker"] == "w-1"
    assert 9_000 < job["lease"]["ms_left"] <= 10_000
    expected = {
        "id": put["id"], "queue": queue, "type": "mail", "state": "leased", "priority": 1024, "attempt": 1, "max_attempts": 25,
        "failures": 0, "crashes": 0, "created_at": put["created_at"], "ready_at": put["ready_at"], "payload": {"a": 1},
        "payload_bytes": 7, "tags": ["x"], "meta": {"tenant": "7"},
    }  # fmt: skip
    assert {name: value for name, value in job.items() if name not in ("lease", "leased_at")} == expected
    assert datetime.fromisoformat(job["leased_at"]) >= datetime.fromisoformat(put["created_at"])


def test_nobody_but_the_holder_is_told_the_token(api, queue):
    job = api.push(queue)
    secret = api.take(queue, worker="w")["lease"]["token"].rsplit(".", 1)[1]
    for path in (f"/v1/jobs/{job['id']}", f"/v1/jobs?queue={queue}", f"/v1/jobs/{job['id']}/why", "/v1/stats"):
        assert secret not in api.get(path).text
    shown = api.job(job["id"])
    assert (shown["worker"], "lease" in shown) == ("w", False)
    assert 290_000 < shown["lease_ms_left"] <= 300_000


def test_a_leased_job_is_given_to_nobody_else(api, queue):
    api.push(queue)
    assert len(api.lease(queue, max=10)) == 1
    assert api.lease(queue, max=10) == []


def test_as_many_as_are_asked_for_and_no_more(api, queue):
    ids = [api.push(queue)["id"] for _ in range(5)]
    assert [job["id"] for job in api.lease(queue)] == ids[:1]
    assert [job["id"] for job in api.lease(queue, max=3)] == ids[1:4]
    assert [job["id"] for job in api.lease(queue, max=1_000)] == ids[4:]


def test_a_thousand_jobs_in_one_call(api, queue):
    api.post("/v1/jobs", {"jobs": [{"queue": queue, "payload": number} for number in range(1_000)]})
    assert [job["payload"] for job in api.lease(queue, max=1_000)] == list(range(1_000))


def test_a_lease_lasts_as_the_call_the_job_the_queue_or_the_server_says_in_this_order(api, queue):
    def lasts(job):
        left = job["lease"]["ms_left"]
        return round(left, -3)

    api.push(queue)
    assert lasts(api.take(queue)) == 300_000
    api.set(queue, lease_ms=200_000)
    api.push(queue)
    assert lasts(api.take(queue)) == 200_000
    api.push(queue, lease_ms=100_000)
    assert lasts(api.take(queue)) == 100_000
    api.push(queue, lease_ms=100_000)
    assert lasts(api.take(queue, lease_ms=50_000)) == 50_000


def test_a_queue_that_nobody_has_made_holds_nothing_and_is_not_made_by_asking(api, queue):
    assert api.lease(queue) == []
    assert api.get(f"/v1/queues/{queue}").status_code == 404


def test_a_worker_that_lets_its_lease_end_has_crashed_and_the_job_goes_to_the_next(api, queue):
    job = api.push(queue)
    api.take(queue, lease_ms=50, worker="w-1")
    again = api.take(queue, wait_ms=10_000, worker="w-2")
    assert (again["id"], again["attempt"], again["crashes"], again["failures"]) == (job["id"], 2, 1, 0)
    (error,) = api.job(job["id"])["errors"]
    assert (error["attempt"], error["worker"], error["kind"]) == (1, "w-1", "crashed")


def test_a_job_that_crashes_its_workers_too_often_is_set_apart(api, queue):
    api.set(queue, max_crashes=2)
    job = api.push(queue)
    api.take(queue, lease_ms=20)
    api.take(queue, lease_ms=20, wait_ms=10_000)
    shown = api.job(job["id"], wait_ms=10_000)
    assert (shown["state"], shown["reason"], shown["crashes"], len(shown["errors"])) == ("dead", "crashed", 2, 2)


def test_a_queue_runs_no_more_at_once_than_it_may(api, queue, aside):
    api.set(queue, max_running=2)
    ids = [api.push(queue)["id"] for _ in range(4)]
    running = api.lease(queue, max=10)
    assert [job["id"] for job in running] == ids[:2]
    assert api.lease(queue) == []
    waiting = aside(api.take, queue, wait_ms=20_000)
    api.until_parked(1)
    api.ended("conclude", running[0])
    assert waiting.result()["id"] == ids[2]
    api.patch(f"/v1/queues/{queue}", json={"max_running": None})
    assert api.take(queue)["id"] == ids[3]


# The same request again


def test_the_same_request_gets_the_same_leases_again(api, queue):
    for _ in range(4):
        api.push(queue)
    first = api.lease(queue, max=2, request_id="r-" + queue)
    again = api.lease(queue, max=2, request_id="r-" + queue)
    assert [job["lease"]["token"] for job in again] == [job["lease"]["token"] for job in first]
    assert [job["id"] for job in again] == [job["id"] for job in first]
    other = api.lease(queue, max=2, request_id="s-" + queue)
    assert not {job["id"] for job in other} & {job["id"] for job in first}


def test_a_request_whose_leases_have_ended_gets_new_ones(api, queue):
    first, second = (api.push(queue)["id"] for _ in range(2))
    held = api.take(queue, request_id=queue)
    assert held["id"] == first
    api.ended("conclude", held)
    assert api.take(queue, request_id=queue)["id"] == second


def test_a_request_that_got_nothing_may_get_something_later(api, queue):
    assert api.lease(queue, request_id=queue) == []
    job = api.push(queue)
    assert api.take(queue, request_id=queue)["id"] == job["id"]


def test_one_request_sent_twice_at_once_is_given_one_job(api, queue, aside):
    for _ in range(10):
        api.push(queue)
    calls = [aside(api.take, queue, request_id=queue) for _ in range(10)]
    assert len({call.result()["lease"]["token"] for call in calls}) == 1
    assert api.counts(queue) == {"ready": 9, "leased": 1}


# Bounds

BOUNDS = [
    ("queues", ["a"] * 256, ["a"] * 257, "1 to 256 queues"),
    ("queues", ["a"], [], "1 to 256 queues"),
    ("queues[1]", ["a", "x" * 200], ["a", "x" * 601], "1 to 200 of the characters"),
    ("queues[0]", ["A-z_.:9"], [""], "1 to 200 of the characters"),
    ("queues", ["a"], "a", "Expected `array`"),
    ("max", 1, 0, "from 1 to 1000"),
    ("max", 1_000, 1_001, "from 1 to 1000"),
    ("max", 1, 1.5, "Expected `int`"),
    ("lease_ms", 1, 0, "from 1 to 2592000000"),
    ("lease_ms", 2_592_000_000, 2_592_000_001, "from 1 to 2592000000"),
    ("wait_ms", 0, -1, "from 0 to 55000"),
    ("wait_ms", 1, 55_001, "from 0 to 55000"),
    ("worker", "w" * 256, "w" * 257, "at most 256 characters"),
    ("worker", "", "\0", "NUL"),
    ("request_id", "r" * 128, "r" * 129, "1 to 128 printable"),
    ("request_id", "a b~", "", "1 to 128 printable"),
    ("request_id", None, "é", "1 to 128 printable"),
    ("order", "priority", "random", 'must be "queue" or "priority"'),
    ("order", "queue", None, "Expected `str`"),
]


@pytest.mark.parametrize(("field", "within", "beyond", "says"), BOUNDS)
def test_a_bound_holds_exactly_and_a_breach_names_the_field(api, queue, field, within, beyond, says):
    name = field.partition("[")[0]
    assert api.post("/v1/leases", {"queues": [queue], name: within}).status_code == 200
    response = api.post("/v1/leases", {"queues": [queue], name: beyond})
    api.refused(response, 400, "invalid_request", field=field, says=says)


@pytest.mark.parametrize(("body", "field"), [({}, "queues"), ({"queues": ["a"], "count": 1}, "count"), (None, "queues")])
def test_what_is_missing_or_unknown_is_named(api, body, field):
    api.refused(api.post("/v1/leases", body), 400, "invalid_request", field=field, says=f"field `{field}`")


def test_query_parameters_are_refused(api, queue):
    response = api.post("/v1/leases?wait_ms=1", {"queues": [queue]})
    api.refused(response, 400, "invalid_request", field="wait_ms", says="not a query parameter")


def test_extending_with_the_shortest_time_is_allowed_and_ends_the_lease_soon(api, queue):
    api.push(queue)
    job = api.take(queue)
    assert api.ended("extend", job, lease_ms=1)["ms_left"] == 1
    again = api.take(queue, wait_ms=10_000)
    assert again["attempt"] == 2
    until = datetime.fromisoformat(job["leased_at"]) + timedelta(seconds=10)
    assert datetime.fromisoformat(again["leased_at"]) < until
