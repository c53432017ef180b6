"""Batches over HTTP: made with their jobs, joined, closed, watched, cancelled; and what a closing job tells of its batch."""

import pytest


def made(api, **body):
    answer = api.post("/v1/batches", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def lease(api, queue):
    (job,) = api.post("/v1/leases", json={"queues": [queue]}).json()["jobs"]
    return job


def conclude(api, queue, **body):
    job = lease(api, queue)
    answer = api.post(f"/v1/leases/{job['lease']['token']}/conclude", json=body)
    assert answer.status_code == 200, answer.text
    return job


def test_a_batch_from_its_first_job_to_its_closing_ones(api, queue):
    batch = made(
        api,
        name="report",
        jobs=[{"queue": queue, "payload": 1}, {"queue": queue, "payload": 2}],
        closed=True,
        on_success={"queue": f"{queue}-done", "payload": {"for": "everybody"}, "priority": 1},
        on_failure={"queue": f"{queue}-done"},
    )
    assert len(batch["jobs"]) == 2
    assert batch["durability"]["level"]
    shown = api.get(f"/v1/batches/{batch['id']}").json()
    assert {name: shown[name] for name in ("name", "state", "pending", "concluded", "dead", "cancelled", "total")} == {
        "name": "report",
        "state": "closed",
        "pending": 2,
        "concluded": 0,
        "dead": 0,
        "cancelled": 0,
        "total": 2,
    }
    assert shown["on_success"] == {"state": "waits", "queue": f"{queue}-done"}
    assert api.metric("holdfast_oldest_batch_seconds") > 0
    assert "on_finish" not in shown
    assert conclude(api, queue)["batch"] == batch["id"]
    conclude(api, queue)
    job = lease(api, f"{queue}-done")
    assert (job["payload"], job["priority"]) == ({"for": "everybody"}, 1)
    assert job["closes"] == {
        "batch": batch["id"],
        "on": "on_success",
        "name": "report",
        "pending": 0,
        "concluded": 2,
        "dead": 0,
        "cancelled": 0,
        "total": 2,
    }
    shown = api.get(f"/v1/batches/{batch['id']}").json()
    assert shown["state"] == "finished"
    assert shown["finished_at"]
    assert shown["on_success"] == {"state": "put", "job": job["id"]}
    assert shown["on_failure"] == {"state": "never"}


def test_jobs_join_in_every_way_until_it_is_closed(api, queue):
    batch = made(api)
    assert api.get(f"/v1/batches/{batch['id']}").json()["state"] == "open"
    assert api.post(f"/v1/queues/{queue}/jobs", json={"batch": batch["id"]}).status_code == 201
    raw = api.post(f"/v1/queues/{queue}/jobs?batch={batch['id']}", content=b"\0", headers={"content-type": "image/png"})
    assert raw.status_code == 201
    assert api.post("/v1/jobs", json={"jobs": [{"queue": queue, "batch": batch["id"]}]}).status_code == 201
    conclude(api, queue, then=[{"queue": queue, "batch": batch["id"]}])
    members = api.get(f"/v1/jobs?batch={batch['id']}").json()["jobs"]
    assert [job["batch"] for job in members] == [batch["id"]] * 4
    closed = api.post(f"/v1/batches/{batch['id']}/close")
    assert (closed.status_code, closed.json()["state"], closed.json()["pending"]) == (200, "closed", 3)
    refused = api.post(f"/v1/queues/{queue}/jobs", json={"batch": batch["id"]})
    assert (refused.status_code, refused.json()["code"], refused.json()["batch"]) == (409, "batch_closed", batch["id"])
    token = lease(api, queue)["lease"]["token"]
    grown = api.post(f"/v1/queues/{queue}/jobs", json={"batch": batch["id"]}, headers={"lease-token": token})
    assert grown.status_code == 201
    for wrong in ("1.1.1.00", "nonsense"):
        lost = api.post(f"/v1/queues/{queue}/jobs", json={"batch": batch["id"]}, headers={"lease-token": wrong})
        assert (lost.status_code, lost.json()["code"]) == (409, "lease_lost")


def test_the_same_call_again_is_the_same_batch(api, queue):
    body = {"jobs": [{"queue": queue}], "closed": True}
    first = api.post("/v1/batches", json=body, headers={"idempotency-key": queue})
    again = api.post("/v1/batches", json=body, headers={"idempotency-key": queue})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.headers["location"] == again.headers["location"] == f"/v1/batches/{first.json()['id']}"
    assert again.json() == {**first.json(), "duplicate": True}
    other = api.post("/v1/batches", json={**body, "name": "x"}, headers={"idempotency-key": queue})
    assert other.status_code == 422


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x" * 257}, "name"),
        ({"jobs": [{"queue": "q", "batch": 1}]}, "jobs[0].batch"),
        ({"jobs": [{"queue": "q"}, {"queue": "!"}]}, "jobs[1].queue"),
        ({"jobs": [{"queue": "q"}] * 1001}, "jobs"),
        ({"on_finish": {"queue": "!"}}, "on_finish.queue"),
        ({"on_finish": {"queue": "q", "priority": -1}}, "on_finish.priority"),
        ({"on_finish": {"queue": "q", "unique": "u"}}, "on_finish.unique"),
        ({"on_finish": {"queue": "q", "batch": 0}}, "on_finish.batch"),
    ],
)
def test_what_is_wrong_is_named(api, body, field):
    answer = api.post("/v1/batches", json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text


def test_what_is_not_there_is_not_found(api, queue):
    for answer in (
        api.get("/v1/batches/9007199254740990"),
        api.post("/v1/batches/9007199254740990/close"),
        api.post("/v1/batches/9007199254740990/cancel"),
        api.post(f"/v1/queues/{queue}/jobs", json={"batch": 9007199254740990}),
        api.post("/v1/batches", json={"on_finish": {"queue": queue, "batch": 9007199254740990}}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "batch_not_found"), answer.text
    assert api.get("/v1/jobs?batch=9007199254740990").json()["jobs"] == []


def test_batches_are_listed_page_by_page(api, queue):
    ids = [made(api, name=f"{queue}-{n}", closed=n == 1)["id"] for n in range(3)]
    page = api.get("/v1/batches?limit=2").json()
    assert [one["id"] for one in page["batches"]] == ids[:0:-1]
    assert api.get(f"/v1/batches?limit=1&cursor={page['next_cursor']}").json()["batches"][0]["id"] == ids[0]
    assert api.get("/v1/batches?state=finished&limit=1").json()["batches"][0]["id"] == ids[1]
    assert api.get("/v1/batches?state=odd").json()["field"] == "state"


def test_cancel_ends_what_waits_and_stops_what_runs(api, queue):
    batch = made(api, jobs=[{"queue": queue}] * 3, on_finish={"queue": f"{queue}-done"})
    token = lease(api, queue)["lease"]["token"]
    assert api.post(f"/v1/batches/{batch['id']}/cancel").json() == {"cancelled": 3}
    shown = api.get(f"/v1/batches/{batch['id']}").json()
    assert (shown["state"], shown["pending"], shown["cancelled"]) == ("closed", 1, 2)
    assert api.post(f"/v1/leases/{token}/extend", json={}).json()["cancel_requested"] is True
    api.post(f"/v1/leases/{token}/release")
    assert lease(api, f"{queue}-done")["closes"]["cancelled"] == 3
    assert api.post(f"/v1/batches/{batch['id']}/cancel").json() == {"cancelled": 0}
    entry = api.get("/v1/audit?action=batch.cancel&limit=1").json()["entries"][0]
    assert entry["target"] == str(batch["id"])


def test_a_closing_job_without_room_is_owed_and_comes_when_there_is(api, queue):
    api.put(f"/v1/queues/{queue}-done", json={"capacity_jobs": 0})
    batch = made(api, jobs=[{"queue": queue}], closed=True, on_failure={"queue": f"{queue}-done"})
    token = lease(api, queue)["lease"]["token"]
    assert api.post(f"/v1/leases/{token}/fail", json={"retry": False}).status_code == 200
    assert api.get(f"/v1/batches/{batch['id']}").json()["on_failure"] == {
        "state": "owed",
        "queue": f"{queue}-done",
        "refusal": "queue_full",
    }
    api.put(f"/v1/queues/{queue}-done", json={})
    (job,) = api.post("/v1/leases", json={"queues": [f"{queue}-done"], "wait_ms": 10_000}).json()["jobs"]
    assert job["closes"]["dead"] == 1


def test_the_copies_of_an_event_join_a_batch(api, queues):
    for name in queues[:2]:
        assert api.put(f"/v1/interests/{name}", json={"match": {"^kind$": f"^{name}$|^both$"}}).status_code == 200
    batch = made(api)["id"]
    published = api.post("/v1/publish", {"data": {"kind": "both"}, "batch": batch}).json()["jobs"]
    assert len([job for job in published if job["queue"] in queues[:2]]) == 2
    members = api.get("/v1/jobs", params={"batch": batch}).json()["jobs"]
    assert [job["id"] for job in members] == [job["id"] for job in published]
    assert api.post(f"/v1/batches/{batch}/close").status_code == 200
    api.refused(api.post("/v1/publish", {"data": {"kind": "both"}, "batch": batch}), 409, "batch_closed")
    api.refused(api.post("/v1/publish", {"data": 1, "batch": 0}), 400, "invalid_request", "batch")
    for name in queues[:2]:
        api.delete(f"/v1/interests/{name}")


def test_a_schedule_joins_no_batch_and_says_which_field_is_too_much(api, queue):
    refused = api.put(f"/v1/schedules/{queue}", json={"interval_ms": 1_000, "queue": queue, "batch": 7})
    api.refused(refused, 400, "invalid_request", "batch", "schedule")
