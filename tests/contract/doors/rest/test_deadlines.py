"""Time to live over HTTP: at every call that enqueues, in what is shown, and at the calls of an operator."""

from datetime import UTC, datetime, timedelta

import pytest

LATER = "2999-01-01T00:00:00.000Z"


def ms_between(earlier, later):
    return round((datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds() * 1000)


def lasts(api, job_id):
    """How long after it is due a job expires, in milliseconds."""
    job = api.job(job_id)
    return ms_between(job["ready_at"], job["expires_at"])


@pytest.fixture
def expired(api, queue):
    """A job that has expired."""
    job = api.push(queue, unique_key="u", expires_in_ms=1)
    return api.job(job["id"], wait_ms=10_000)


def test_a_job_that_no_worker_has_in_time_is_cancelled_and_counted(api, queue, expired):
    assert (expired["state"], expired["reason"]) == ("cancelled", "expired")
    assert ms_between(expired["created_at"], expired["expires_at"]) == 1
    assert expired["ended_at"] >= expired["expires_at"]
    assert api.counts(queue) == {"cancelled": 1}
    assert api.metric("holdfast_job_events_total", queue=queue, event="deadline_passed") == 1
    (stats,) = [one for one in api.get("/v1/stats", params={"named": queue}).json()["queues"] if one["name"] == queue]
    assert (stats["totals"]["deadline_passed"], stats["totals"]["cancelled"]) == (1, 0)
    (why,) = api.get(f"/v1/jobs/{expired['id']}/why").json()["reasons"]
    assert why == {"code": "cancelled", "detail": "Cancelled: its deadline passed before a worker had it."}


def test_every_call_that_enqueues_takes_one(api, queue, queues):
    one = api.push(queue, expires_in_ms=60_000)["id"]
    timed = api.push(queue, expires_at=LATER)["id"]
    raw = api.post(f"/v1/queues/{queue}/jobs?expires_in_ms=60000", content=b"x", headers={"content-type": "text/plain"}).json()[
        "id"
    ]
    raw_at = api.post(
        f"/v1/queues/{queue}/jobs", params={"expires_at": LATER}, content=b"x", headers={"content-type": "text/plain"}
    ).json()["id"]
    many = api.post("/v1/jobs", {"jobs": [{"queue": queue, "expires_in_ms": 60_000, "delay_ms": 5_000}]}).json()["jobs"][0][
        "id"
    ]
    assert [lasts(api, job_id) for job_id in (one, raw, many)] == [60_000] * 3
    assert [api.job(job_id)["expires_at"] for job_id in (timed, raw_at)] == [LATER] * 2
    api.push(queues[0])
    then = api.ended("conclude", api.take(queues[0]), then=[{"queue": queue, "expires_in_ms": 60_000}])["then"][0]["id"]
    assert lasts(api, then) == 60_000
    api.put(f"/v1/interests/{queues[1]}", json={"match": {"^only$": f"^{queues[1]}$"}})
    (copy,) = api.post("/v1/publish", {"data": {"only": queues[1]}, "expires_in_ms": 60_000}).json()["jobs"]
    assert lasts(api, copy["id"]) == 60_000
    schedule = {"interval_ms": 3_600_000, "queue": queue, "expires_in_ms": 60_000}
    assert api.put(f"/v1/schedules/{queue}", json=schedule).status_code == 200
    (fired,) = api.post(f"/v1/schedules/{queue}/run").json()["jobs"]
    assert lasts(api, fired["id"]) == 60_000
    api.delete(f"/v1/schedules/{queue}")


@pytest.mark.parametrize(
    ("options", "field", "says"),
    [
        ({"expires_in_ms": 0}, "expires_in_ms", "from 1 to 316224000000"),
        ({"expires_in_ms": 316_224_000_001}, "expires_in_ms", "from 1 to 316224000000"),
        ({"expires_in_ms": 1, "expires_at": LATER}, "expires_at", "beside expires_in_ms"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at", "later than the time at which the job is due"),
        ({"expires_at": LATER, "run_at": LATER}, "expires_at", "later than run_at"),
        ({"expires_at": "2999-01-01T00:00:00"}, "expires_at", "timezone"),
    ],
)
def test_a_deadline_that_makes_no_sense_is_refused_with_its_field(api, queue, options, field, says):
    api.refused(api.post(f"/v1/queues/{queue}/jobs", options), 400, "invalid_request", field, says)
    refused = api.post("/v1/jobs", {"jobs": [{"queue": queue}, {"queue": queue, **options}]})
    problem = refused.json()
    assert refused.status_code == 400
    assert problem["field"] in (field, f"jobs[1].{field}")
    assert api.get(f"/v1/queues/{queue}").status_code == 404


def test_a_deadline_before_a_delay_is_over_is_refused(api, queue):
    soon = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    api.refused(
        api.post(f"/v1/queues/{queue}/jobs", {"delay_ms": 60_000, "expires_at": soon}), 400, "invalid_request", "expires_at"
    )


def test_a_schedule_takes_no_instant(api, queue):
    body = {"interval_ms": 3_600_000, "queue": queue, "expires_at": LATER}
    api.refused(api.put(f"/v1/schedules/{queue}", json=body), 400, "invalid_request", "expires_at")


@pytest.mark.usefixtures("nobody_registered")
def test_why_tells_when_it_ends(api, queue):
    job = api.push(queue, expires_in_ms=60_000)
    said = api.get(f"/v1/jobs/{job['id']}/why").json()
    assert said["expires_at"] == api.job(job["id"])["expires_at"]
    assert [reason["code"] for reason in said["reasons"]] == ["next", "expires"]
    scheduled = api.push(queue, expires_in_ms=60_000, delay_ms=60_000)
    assert [one["code"] for one in api.get(f"/v1/jobs/{scheduled['id']}/why").json()["reasons"]] == ["scheduled", "expires"]


def test_a_deadline_is_changed_and_taken_away(api, queue):
    job = api.push(queue, expires_in_ms=60_000)["id"]
    edited = api.patch(f"/v1/jobs/{job}", json={"expires_in_ms": 90_000}).json()
    assert 89_000 < ms_between(edited["ready_at"], edited["expires_at"]) < 150_000
    assert api.patch(f"/v1/jobs/{job}", json={"expires_at": LATER}).json()["expires_at"] == LATER
    assert api.patch(f"/v1/jobs/{job}", json={"priority": 1}).json()["expires_at"] == LATER
    assert "expires_at" not in api.patch(f"/v1/jobs/{job}", json={"expires_at": None}).json()
    told = api.get("/v1/audit", params={"action": "job.edit", "job": job, "limit": 1}).json()["entries"][0]
    assert told["note"] == "expires_at"


def test_an_expired_job_is_retried_and_waits_then_or_until_another_deadline(api, queue, expired):
    again = api.post(f"/v1/jobs/{expired['id']}/retry").json()
    assert (again["state"], "expires_at" in again, "reason" in again) == ("ready", False, False)
    assert api.take(queue)["id"] == expired["id"]
    second = api.job(api.push(queue, expires_in_ms=1)["id"], wait_ms=10_000)
    renewed = api.post(f"/v1/jobs/{second['id']}/retry", {"expires_in_ms": 60_000}).json()
    assert ms_between(renewed["ready_at"], renewed["expires_at"]) == 60_000
    api.refused(api.post(f"/v1/jobs/{second['id']}/retry", {"expires_in_ms": 0}), 400, "invalid_request", "expires_in_ms")
    api.refused(api.post(f"/v1/jobs/{second['id']}/retry", {"expires": 0}), 400, "invalid_request", "expires")


def test_a_queue_has_a_time_to_live_for_its_new_jobs(api, queue):
    before = api.push(queue)["id"]
    shown = api.set(queue, expires_in_ms=60_000)
    assert (shown["settings"]["expires_in_ms"], shown["set"]) == (60_000, ["expires_in_ms"])
    assert lasts(api, api.push(queue)["id"]) == 60_000
    assert lasts(api, api.push(queue, expires_in_ms=5_000)["id"]) == 5_000
    assert "expires_at" not in api.job(before)
    assert api.patch(f"/v1/queues/{queue}", json={"expires_in_ms": None}).json()["settings"]["expires_in_ms"] is None
    assert "expires_at" not in api.job(api.push(queue)["id"])
    api.refused(api.put(f"/v1/queues/{queue}", json={"expires_in_ms": 0}), 400, "invalid_request", "expires_in_ms")


def test_a_parked_call_gets_the_next_job_and_no_expired_one(api, queue, aside):
    api.set(queue, max_running=1)
    api.push(queue, "running")
    held = api.take(queue)
    late = api.push(queue, "late", expires_in_ms=1)["id"]
    good = api.push(queue, "good")["id"]
    parked = aside(api.lease, queue, wait_ms=20_000)
    assert api.job(late, wait_ms=10_000)["reason"] == "expired"
    api.ended("conclude", held)
    assert [job["id"] for job in parked.result()] == [good]


def test_room_is_made_by_what_expires(api, queue, aside):
    api.set(queue, capacity_jobs=1)
    api.push(queue, expires_in_ms=200)
    waited = api.post(f"/v1/queues/{queue}/jobs?wait_ms=20000", {"payload": 2})
    assert waited.status_code == 201, waited.text
