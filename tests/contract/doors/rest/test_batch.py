"""`POST /v1/leases/batch`: many lease verbs at once, each with an outcome of its own."""

import pytest


def token_of(job):
    return job["lease"]["token"]


def batch(api, **lists):
    response = api.post("/v1/leases/batch", lists)
    assert response.status_code == 200, response.text
    return response.json()


def test_each_verb_has_the_outcome_that_it_would_have_had_alone(api, queue):
    for _ in range(4):
        api.push(queue)
    jobs = api.lease(queue, max=4)
    first, second, third, fourth = map(token_of, jobs)
    answer = batch(
        api,
        extend=[{"token": fourth, "lease_ms": 5_000, "progress": 1}],
        conclude=[{"token": first, "result": "r", "then": [{"queue": queue, "payload": "n"}]}],
        fail=[{"token": second, "reason": "x", "retry": False}],
        release=[{"token": third, "priority": 1}],
    )
    (concluded,) = answer["conclude"]
    assert (concluded["state"], concluded["then"][0]["queue"]) == ("concluded", queue)
    assert answer["fail"] == [{"id": jobs[1]["id"], "state": "dead"}]
    assert [(one["id"], one["state"]) for one in answer["release"]] == [(jobs[2]["id"], "ready")]
    assert answer["extend"] == [{"ms_left": 5_000, "cancel_requested": False, "draining": False}]
    assert api.job(jobs[0]["id"])["result"] == "r"
    assert api.job(jobs[3]["id"])["progress"] == 1
    assert api.counts(queue) == {"concluded": 1, "dead": 1, "ready": 2, "leased": 1}


def test_one_lost_lease_does_not_fail_its_neighbours(api, queue):
    for _ in range(3):
        api.push(queue)
    jobs = api.lease(queue, max=3)
    api.ended("release", jobs[1])
    tokens = [token_of(jobs[0]), "nonsense", token_of(jobs[1]), f"1.{10**30}.1.00", token_of(jobs[2])]
    results = batch(api, conclude=[{"token": token} for token in tokens])["conclude"]
    assert [result.get("code") or result["state"] for result in results] == [
        "concluded", "lease_lost", "lease_lost", "lease_lost", "concluded",
    ]  # fmt: skip
    lost = results[2]
    assert (lost["status"], lost["type"], lost["job_id"]) == (409, "urn:holdfast:error:lease_lost", jobs[1]["id"])
    assert api.counts(queue) == {"ready": 1, "concluded": 2}


def test_two_ends_of_one_lease_in_one_batch_are_decided_in_the_order_of_the_lists(api, queue):
    api.push(queue)
    token = token_of(api.take(queue))
    answer = batch(api, conclude=[{"token": token}, {"token": token}], release=[{"token": token}])
    assert [one["state"] for one in answer["conclude"]] == ["concluded", "concluded"]
    assert answer["release"][0]["code"] == "lease_lost"


def test_a_full_queue_refuses_only_the_one_that_wanted_into_it(api, queue, queues):
    api.set(queues[0], capacity_jobs=0)
    for _ in range(2):
        api.push(queue)
    first, second = map(token_of, api.lease(queue, max=2))
    then = [{"queue": queues[0]}]
    results = batch(api, conclude=[{"token": first, "then": then}, {"token": second}])["conclude"]
    assert (results[0]["code"], results[0]["status"], results[1]["state"]) == ("queue_full", 429, "concluded")
    assert api.counts(queue) == {"leased": 1, "concluded": 1}


def test_a_thousand_verbs_fit_and_one_more_does_not(api, queue):
    api.post("/v1/jobs", {"jobs": [{"queue": queue}] * 1_000})
    tokens = [{"token": token_of(job)} for job in api.lease(queue, max=1_000)]
    too_many = {"conclude": tokens, "extend": tokens[:1]}
    problem = api.post("/v1/leases/batch", too_many)
    api.refused(problem, 400, "invalid_request", field="batch", says="1 to 1000 entries")
    assert api.counts(queue) == {"leased": 1_000}
    assert len(batch(api, conclude=tokens[:600], release=tokens[600:])["conclude"]) == 600
    assert api.counts(queue) == {"concluded": 600, "ready": 400}


@pytest.mark.parametrize("body", [{}, {"conclude": []}, None])
def test_an_empty_batch_is_refused(api, body):
    api.refused(api.post("/v1/leases/batch", body), 400, "invalid_request", field="batch", says="1 to 1000")


@pytest.mark.parametrize(
    ("lists", "field"),
    [
        ({"conclude": [{}]}, "conclude[0].token"),
        ({"close": []}, "close"),
        ({"fail": [{"token": "T"}, {"token": "T", "delay_ms": -1}]}, "fail[1].delay_ms"),
        ({"release": [{"token": "T", "priority": -1}]}, "release[0].priority"),
        ({"extend": [{"token": "T", "lease_ms": 0}]}, "extend[0].lease_ms"),
        ({"extend": [{"token": "T", "result": 1}]}, "extend[0].result"),
        (
            {"conclude": [{"token": "T", "then": [{"queue": "a"}, {"queue": "b", "priority": -1}]}]},
            "conclude[0].then[1].priority",
        ),
    ],
)
def test_a_wrong_entry_refuses_the_whole_and_is_named_by_its_place(api, queue, lists, field):
    api.push(queue)
    token = token_of(api.take(queue))
    filled = {name: [{k: token if v == "T" else v for k, v in entry.items()} for entry in some] for name, some in lists.items()}
    api.refused(api.post("/v1/leases/batch", filled), 400, "invalid_request", field=field)
    assert api.counts(queue) == {"leased": 1}
