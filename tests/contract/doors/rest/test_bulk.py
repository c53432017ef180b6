"""`POST /v1/jobs`: many jobs at once, all of them or none, in the order of the request."""

import json

import pytest


def bulk(api, jobs, **options):
    return api.post("/v1/jobs", {"jobs": jobs}, **options)


def test_jobs_are_kept_in_the_order_of_the_request(api, queues):
    given = [{"queue": name, "payload": number, "priority": number} for number, name in enumerate(queues * 3)]
    response = bulk(api, given)
    assert response.status_code == 201
    answer = response.json()
    assert answer["durability"] == {"level": "memory", "replicas": 0}
    assert [(job["queue"], job["priority"]) for job in answer["jobs"]] == [(job["queue"], job["priority"]) for job in given]
    ids = [job["id"] for job in answer["jobs"]]
    assert ids == sorted(ids)
    assert [api.job(job_id)["payload"] for job_id in ids] == list(range(len(given)))


def test_a_receipt_of_a_bulk_says_as_much_as_that_of_a_single_job(api, queue):
    single = api.push(queue, delay_ms=60_000)
    (of_many,) = bulk(api, [{"queue": queue, "delay_ms": 60_000}]).json()["jobs"]
    single.pop("durability")
    assert set(of_many) == set(single)
    assert of_many["state"] == "scheduled"


def test_one_thousand_jobs_fit_and_one_more_does_not(api, queue):
    jobs = [{"queue": queue}] * 1_000
    assert len(bulk(api, jobs).json()["jobs"]) == 1_000
    api.refused(bulk(api, [*jobs, {"queue": queue}]), 400, "invalid_request", field="jobs", says="at most 1000 entries")
    assert api.counts(queue) == {"ready": 1_000}


def test_no_job_is_refused(api):
    api.refused(bulk(api, []), 400, "invalid_request", field="jobs", says="at least 1")
    api.refused(api.post("/v1/jobs", {}), 400, "invalid_request", field="jobs", says="missing required field `jobs`")


@pytest.mark.parametrize(
    ("job", "field", "says"),
    [
        ({}, "jobs[1].queue", "missing required field `queue`"),
        ({"queue": "a b"}, "jobs[1].queue", "characters"),
        ({"queue": 1}, "jobs[1].queue", "Expected `str`"),
        ({"queue": "a", "priority": -1}, "jobs[1].priority", "from 0 to 4294967295"),
        ({"queue": "a", "tags": ["x", "y" * 129]}, "jobs[1].tags[1]", "at most 128"),
        ({"queue": "a", "retry": {"jitter": 2}}, "jobs[1].retry.jitter", "from 0 to 1"),
        ({"queue": "a", "paylod": 1}, "jobs[1].paylod", "unknown field"),
        ({"queue": "a", "payload": json.loads("[" * 65 + "]" * 65)}, "jobs[1].payload", "64 levels"),
        ("a", "jobs[1]", "Expected `object`"),
    ],
)
def test_one_wrong_job_refuses_the_whole_and_is_named(api, queue, job, field, says):
    api.refused(bulk(api, [{"queue": queue}, job]), 400, "invalid_request", field=field, says=says)
    assert api.get(f"/v1/queues/{queue}").status_code == 404


def test_one_full_queue_refuses_the_whole(api, queues):
    full, free = queues[:2]
    api.set(full, capacity_jobs=1)
    jobs = [{"queue": free}, {"queue": full}, {"queue": full}]
    problem = api.refused(bulk(api, jobs), 429, "queue_full", says=f"The queue {full} is full")
    assert problem["queue"] == full
    api.refused(api.get(f"/v1/queues/{free}"), 404, "queue_not_found")
    assert bulk(api, jobs[:2]).status_code == 201


def test_a_unique_key_twice_in_one_bulk_refuses_the_whole(api, queue):
    jobs = [{"queue": queue, "unique_key": "k"}, {"queue": queue, "unique_key": "k"}]
    assert api.refused(bulk(api, jobs), 409, "not_unique", says="twice")["job_id"] is None
    api.refused(api.get(f"/v1/queues/{queue}"), 404, "queue_not_found")


def test_a_bulk_waits_for_room_in_every_queue_that_it_names(api, queues, aside):
    first, second = queues[:2]
    for name in (first, second):
        api.set(name, capacity_jobs=1)
        api.push(name)
    waiting = aside(bulk, api, [{"queue": first}, {"queue": second}], params={"wait_ms": 20_000})
    api.until_parked(1)
    api.ended("conclude", api.take(first))
    api.until("holdfast_job_events_total", 1, queue=first, event="concluded")
    assert not waiting.done()
    api.ended("conclude", api.take(second))
    assert waiting.result().status_code == 201
    assert (api.counts(first), api.counts(second)) == ({"ready": 1, "concluded": 1}, {"ready": 1, "concluded": 1})
