"""Keys: an idempotency key makes a repeated request harmless, a unique key keeps a second job out, a group key lets few run at once."""

import pytest


def put(api, queue, key, body=None, **options):
    return api.post(
        f"/v1/queues/{queue}/jobs", {"payload": 1} if body is None else body, headers={"idempotency-key": key}, **options
    )


# Idempotency


def test_the_same_key_and_body_get_the_first_answer_again(api, queue):
    first = put(api, queue, "k")
    assert first.status_code == 201
    assert "duplicate" not in first.json()
    for _ in range(2):
        again = put(api, queue, "k")
        assert again.status_code == 200
        assert again.json() == {**first.json(), "duplicate": True}
        assert again.headers["location"] == first.headers["location"]
    assert api.counts(queue) == {"ready": 1}


def test_the_first_answer_comes_again_after_the_job_was_concluded(api, queue):
    first = put(api, queue, "k").json()
    api.ended("conclude", api.take(queue))
    assert put(api, queue, "k").json() == {**first, "duplicate": True}


def gone_by(api, queue, job, how):
    """Let a job go in one of the ways in which one may go."""
    match how:
        case "deleted":
            api.delete(f"/v1/jobs/{job}")
        case "purged":
            api.post(f"/v1/queues/{queue}/purge", {"states": ["scheduled", "ready", "dead", "cancelled", "concluded"]})
        case "moved":
            api.post(f"/v1/jobs/{job}/move", {"queue": f"{queue}-elsewhere"})
        case "concluded and purged":
            api.ended("conclude", api.take(queue))
            api.post(f"/v1/queues/{queue}/purge", {"states": ["concluded"]})
        case "removed with its queue":
            api.post(f"/v1/jobs/{job}/cancel")
            assert api.delete(f"/v1/queues/{queue}").status_code == 204
        case "removed with its queue, which was made again":
            api.post(f"/v1/jobs/{job}/cancel")
            assert api.delete(f"/v1/queues/{queue}").status_code == 204
            api.push(queue)
    assert api.get(f"/v1/jobs/{job}").status_code == 404


GONE = [
    "deleted",
    "purged",
    "moved",
    "concluded and purged",
    "removed with its queue",
    "removed with its queue, which was made again",
]


@pytest.mark.parametrize("how", GONE)
def test_a_repeated_request_whose_job_is_gone_puts_none_and_claims_none(api, queue, how):
    first = put(api, queue, "k").json()
    gone_by(api, queue, first["id"], how)
    counts = api.counts(queue) if how != "removed with its queue" else None
    for _ in range(2):
        again = put(api, queue, "k")
        assert again.status_code == 200
        assert again.json() == {**first, "duplicate": True, "gone": True, "durability": {"level": "none", "replicas": 0}}
        assert "location" not in again.headers
    assert counts is None or api.counts(queue) == counts
    api.refused(put(api, queue, "k", {"payload": 2}), 422, "idempotency_mismatch")


def test_of_many_jobs_those_that_are_gone_are_named(api, queue):
    body = {"jobs": [{"queue": queue, "payload": n} for n in range(3)]}
    first = api.post("/v1/jobs", body, headers={"idempotency-key": queue}).json()
    api.delete(f"/v1/jobs/{first['jobs'][1]['id']}")
    again = api.post("/v1/jobs", body, headers={"idempotency-key": queue}).json()
    assert [job.get("gone") for job in again["jobs"]] == [None, True, None]
    assert (again["duplicate"], again["durability"]) == (True, first["durability"])
    for job in first["jobs"]:
        api.delete(f"/v1/jobs/{job['id']}")
    again = api.post("/v1/jobs", body, headers={"idempotency-key": queue}).json()
    assert [job.get("gone") for job in again["jobs"]] == [True] * 3
    assert again["durability"]["level"] == "none"


def test_copies_of_an_event_that_are_gone_are_named(api, queue):
    api.put(f"/v1/interests/{queue}", json={"match": {"^only$": f"^{queue}$"}})
    event = {"data": {"only": queue}}
    first = api.post("/v1/publish", event, headers={"idempotency-key": queue}).json()
    api.delete(f"/v1/jobs/{first['jobs'][0]['id']}")
    again = api.post("/v1/publish", event, headers={"idempotency-key": queue})
    assert again.status_code == 200
    assert again.json() == {
        "jobs": [{**first["jobs"][0], "gone": True}], "durability": {"level": "none", "replicas": 0}, "duplicate": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("POST", "/push", {"msg": "hello"}, lambda answer: answer.json()["durability"]["level"]),
        (
            "PUT",
            "/jobs/enqueue",
            {"Type": "x", "Payload": 1},
            lambda answer: answer.headers["holdfast-durability"].partition(";")[0],
        ),
    ],
)
def test_the_dialects_claim_no_job_that_is_gone_either(api, queue, method, path, body, told):
    headers = {"idempotency-key": queue}
    first = api.request(method, path, json=body, headers=headers)
    assert told(first) == "memory"
    number = first.json().get("id") or first.json()["ID"]
    api.delete(f"/v1/jobs/{number}")
    again = api.request(method, path, json=body, headers=headers)
    assert (again.status_code, again.json().get("id") or again.json()["ID"], told(again)) == (first.status_code, number, "none")


def test_the_same_key_with_another_body_is_refused(api, queue):
    put(api, queue, "k")
    problem = api.refused(put(api, queue, "k", {"payload": 2}), 422, "idempotency_mismatch", says="'k'")
    assert problem["idempotency_key"] == "k"
    assert api.counts(queue) == {"ready": 1}


def test_other_options_or_another_type_of_a_raw_body_make_it_another_request(api, queue):
    def raw(kind="text/plain", query=""):
        headers = {"content-type": kind, "idempotency-key": "k"}
        return api.post(f"/v1/queues/{queue}/jobs{query}", content=b"x", headers=headers)

    assert raw().status_code == 201
    assert raw().status_code == 200
    assert raw(query="?wait_ms=10").status_code == 200
    api.refused(raw(query="?priority=1"), 422, "idempotency_mismatch", says="'k'")
    api.refused(raw(kind="text/html"), 422, "idempotency_mismatch", says="'k'")


def test_a_key_belongs_to_its_queue(api, queues):
    first, second = queues[:2]
    assert put(api, first, "k").status_code == put(api, second, "k").status_code == 201


def test_a_bulk_has_keys_too(api, queues):
    def bulk(jobs):
        return api.post("/v1/jobs", {"jobs": jobs}, headers={"idempotency-key": queues[0]})

    jobs = [{"queue": name, "payload": 1} for name in queues]
    first = bulk(jobs)
    again = bulk(jobs)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == {**first.json(), "duplicate": True}
    api.refused(bulk(jobs[:1]), 422, "idempotency_mismatch")
    assert [api.counts(name) for name in queues] == [{"ready": 1}] * 4


def test_one_key_sent_many_times_at_once_makes_one_job(api, queue, aside):
    answers = [future.result() for future in [aside(put, api, queue, "k") for _ in range(40)]]
    assert sorted(answer.status_code for answer in answers) == [200] * 39 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert api.counts(queue) == {"ready": 1}


def test_a_refused_request_leaves_its_key_unused(api, queue):
    api.set(queue, capacity_jobs=0)
    api.refused(put(api, queue, "k"), 429, "queue_full", says=queue)
    api.set(queue, capacity_jobs=1)
    assert put(api, queue, "k", {"payload": 2}).status_code == 201


def test_a_duplicate_is_answered_though_the_queue_is_full_by_now(api, queue):
    api.set(queue, capacity_jobs=1)
    first = put(api, queue, "k").json()
    assert put(api, queue, "k").json()["id"] == first["id"]


@pytest.mark.parametrize("key", ["k", "~" * 128, '"quoted" key', "a=b; c"])
def test_a_key_is_up_to_128_printable_characters(api, queue, key):
    assert put(api, queue, key).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 129, b"\xc3\xa9", b"a\tb"])
def test_any_other_key_is_refused(api, queue, key):
    api.refused(put(api, queue, key), 400, "invalid_request", field="Idempotency-Key", says="1 to 128 printable")


# Unique keys


def test_a_unique_key_lets_one_job_in_and_names_it_to_the_next(api, queue):
    path = f"/v1/queues/{queue}/jobs"
    job = api.push(queue, unique_key="k")
    problem = api.refused(api.post(path, {"unique_key": "k"}), 409, "not_unique", says=f"Job {job['id']} holds")
    assert (problem["job_id"], problem["queue"], problem["unique_key"]) == (job["id"], queue, "k")
    assert api.push(queue, unique_key="K")["id"]
    assert api.push(queue)["id"]


def test_what_is_done_on_a_conflict_is_said(api, queue):
    path = f"/v1/queues/{queue}/jobs"
    first = api.push(queue, payload=1, unique_key="u", delay_ms=60_000)
    existing = api.post(path, {"payload": 2, "unique_key": "u", "on_conflict": "existing"})
    assert (existing.status_code, existing.json()["id"], existing.json()["duplicate"]) == (200, first["id"], True)
    assert existing.headers["location"].endswith(f"/{first['id']}")
    assert api.job(first["id"])["payload"] == 1
    replaced = api.post(path, {"payload": 3, "unique_key": "u", "on_conflict": "replace"})
    assert (replaced.status_code, replaced.json()["ready_at"]) == (200, first["ready_at"])
    assert api.job(first["id"])["payload"] == 3
    later = api.post(
        path, {"payload": 4, "unique_key": "u", "on_conflict": "debounce", "delay_ms": 120_000, "debounce_max_ms": 500_000}
    )
    assert later.json()["ready_at"] > first["ready_at"]
    raw = f"{path}?unique_key=u&on_conflict=replace"
    assert api.http.post(raw, content=b"raw", headers={"content-type": "text/plain"}).status_code == 200
    assert api.job(first["id"])["content_type"] == "text/plain"
    many = api.post(
        "/v1/jobs", {"jobs": [{"queue": queue, "unique_key": key, "on_conflict": "existing"} for key in ("u", "v", "v")]}
    )
    assert (many.status_code, [job.get("duplicate") for job in many.json()["jobs"]]) == (201, [True, None, True])
    again = api.post("/v1/jobs", {"jobs": [{"queue": queue, "unique_key": "v", "on_conflict": "existing"}]})
    assert (again.status_code, again.json()["jobs"][0]["duplicate"]) == (200, True)
    api.refused(api.post(path, {"unique_key": "u", "on_conflict": "refuse"}), 409, "not_unique", says=str(first["id"]))


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"on_conflict": "existing"}, "on_conflict", "needs a unique_key"),
        ({"on_conflict": "ignore", "unique_key": "u"}, "on_conflict", "Invalid enum value"),
        ({"on_conflict": "debounce", "unique_key": "u"}, "on_conflict", "needs a delay_ms"),
        ({"on_conflict": "debounce", "unique_key": "u", "run_at": "2030-01-01T00:00:00Z"}, "on_conflict", "needs a delay_ms"),
        ({"on_conflict": "replace", "unique_key": "u", "debounce_max_ms": 5}, "debounce_max_ms", 'on_conflict of "debounce"'),
        ({"unique_key": "u", "debounce_max_ms": 5}, "debounce_max_ms", 'on_conflict of "debounce"'),
        (
            {"on_conflict": "debounce", "unique_key": "u", "delay_ms": 1, "debounce_max_ms": 0},
            "debounce_max_ms",
            "from 1 to 316224000000",
        ),
        (
            {"on_conflict": "debounce", "unique_key": "u", "delay_ms": 6, "debounce_max_ms": 5},
            "debounce_max_ms",
            "must be at least delay_ms",
        ),
    ],
)
def test_a_conflict_that_can_t_be_solved_so_is_named(api, queue, given, field, says):
    api.refused(api.post(f"/v1/queues/{queue}/jobs", given), 400, "invalid_request", field=field, says=says)


def test_a_unique_key_belongs_to_its_queue(api, queues):
    assert len({api.push(name, unique_key="k")["id"] for name in queues}) == 4


def test_while_unfinished_the_key_is_held_until_the_job_has_ended(api, queue):
    path = f"/v1/queues/{queue}/jobs"
    job = api.push(queue, unique_key="k")
    held = api.take(queue)
    assert api.refused(api.post(path, {"unique_key": "k"}), 409, "not_unique")["job_id"] == job["id"]
    api.ended("fail", held, delay_ms=60_000)
    assert api.refused(api.post(path, {"unique_key": "k"}), 409, "not_unique")["job_id"] == job["id"]
    api.post(f"/v1/jobs/{job['id']}/promote")
    api.ended("conclude", api.take(queue))
    assert api.push(queue, unique_key="k")["id"] > job["id"]


def test_while_queued_the_key_is_free_as_soon_as_the_job_runs(api, queue):
    path = f"/v1/queues/{queue}/jobs"
    first = api.push(queue, unique_key="k", unique_while="queued")
    held = api.take(queue)
    second = api.push(queue, unique_key="k", unique_while="queued")
    assert api.refused(api.post(path, {"unique_key": "k"}), 409, "not_unique")["job_id"] == second["id"]
    assert api.ended("release", held)["state"] == "ready"
    assert api.counts(queue) == {"ready": 2}
    assert [job["id"] for job in api.lease(queue, max=9)] == [first["id"], second["id"]]


def test_a_job_that_died_or_was_cancelled_holds_its_key_no_more(api, queue):
    api.push(queue, unique_key="k")
    api.ended("fail", api.take(queue), retry=False)
    second = api.push(queue, unique_key="k")
    api.post(f"/v1/jobs/{second['id']}/cancel")
    assert api.push(queue, unique_key="k")["id"] > second["id"]


def test_a_dead_job_is_not_retried_over_the_one_that_took_its_key(api, queue):
    first = api.push(queue, unique_key="k")
    api.ended("fail", api.take(queue), retry=False)
    second = api.push(queue, unique_key="k")
    problem = api.refused(api.post(f"/v1/jobs/{first['id']}/retry"), 409, "not_unique")
    assert problem["job_id"] == second["id"]


# Groups


def test_a_group_runs_one_at_a_time_in_the_order_of_arrival(api, queue):
    ids = [api.push(queue, group_key="g")["id"] for _ in range(3)]
    other = api.push(queue)["id"]
    first, outsider = api.lease(queue, max=9)
    assert (first["id"], outsider["id"]) == (ids[0], other)
    api.ended("conclude", first)
    second = api.take(queue, max=9)
    assert second["id"] == ids[1]
    api.ended("fail", second, delay_ms=0)
    assert api.take(queue, max=9)["id"] == ids[1]


def test_a_group_with_a_limit_runs_as_many_at_once(api, queue):
    ids = [api.push(queue, group_key="g", group_limit=2)["id"] for _ in range(4)]
    running = api.lease(queue, max=9)
    assert [job["id"] for job in running] == ids[:2]
    api.ended("conclude", running[1])
    assert [job["id"] for job in api.lease(queue, max=9)] == [ids[2]]


def test_a_group_belongs_to_its_queue(api, queues):
    for name in queues:
        api.push(name, group_key="g")
    assert len(api.lease(*queues, max=9)) == 4


def test_a_parked_call_is_woken_when_its_group_has_a_place_again(api, queue, aside):
    ids = [api.push(queue, group_key="g")["id"] for _ in range(2)]
    first = api.take(queue)
    waiting = aside(api.take, queue, wait_ms=20_000)
    api.until_parked(1)
    api.ended("conclude", first)
    assert waiting.result()["id"] == ids[1]


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_a_place_in_a_group_is_free_when_the_job_in_it_is_taken_away(api, queue, end):
    first, second = (api.push(queue, group_key="g")["id"] for _ in range(2))
    if end == "cancel":
        api.post(f"/v1/jobs/{first}/cancel")
    else:
        api.delete(f"/v1/jobs/{first}")
    assert api.take(queue)["id"] == second
