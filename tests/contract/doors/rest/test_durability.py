"""On disk: the answer says so, and what was answered is there after the server was killed and started again."""

import signal

import pytest

pytestmark = pytest.mark.long(20)


@pytest.fixture
def place(tmp_path):
    """A store file."""
    return f"sqlite:///{tmp_path / 'jobs.db'}"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_everything_that_was_answered_is_there_after_a_restart(serve, place, queue, how):
    server, api = serve(store=place, clean=how == signal.SIGTERM)
    api.set(queue, capacity_jobs=50, lease_ms=600_000)
    payload = b'{"payload":{"big":123456789012345678901234567890, "a" : "\\u00e9"},"tags":["t"]}'
    first = api.post(f"/v1/queues/{queue}/jobs", content=payload, headers={"idempotency-key": "k"})
    assert first.json()["durability"] == {"level": "disk", "replicas": 0}
    held = api.take(queue, worker="w", request_id=queue)
    api.ended("extend", held, progress=1)
    jobs = {"concluded": api.push(queue)["id"], "scheduled": api.push(queue, delay_ms=600_000)["id"]}
    api.ended("conclude", api.take(queue), result="r", then=[{"queue": queue, "unique_key": "u"}])
    api.post(f"/v1/queues/{queue}/pause")
    before = {job["id"]: api.job(job["id"]) for job in api.get("/v1/jobs", params={"queue": queue}).json()["jobs"]}
    assert len(before) == 4
    server.process.send_signal(how)
    server.ended()

    _, api = serve(store=place)
    after = {job["id"]: api.job(job["id"]) for job in api.get("/v1/jobs", params={"queue": queue}).json()["jobs"]}
    left = {"lease_ms_left": 0}
    assert {job_id: {**job, **left} for job_id, job in after.items()} == {
        job_id: {**job, **left} for job_id, job in before.items()
    }
    assert b'"payload":{"big":123456789012345678901234567890, "a" : "\\u00e9"}' in api.get(f"/v1/jobs/{held['id']}").content
    shown = api.get(f"/v1/queues/{queue}").json()
    assert (shown["paused"], shown["set"], shown["settings"]["capacity_jobs"]) == (True, ["capacity_jobs", "lease_ms"], 50)
    assert shown["jobs"] == {"scheduled": 1, "ready": 1, "leased": 1, "concluded": 1, "dead": 0, "cancelled": 0}
    again = api.post(f"/v1/queues/{queue}/jobs", content=payload, headers={"idempotency-key": "k"})
    assert (again.status_code, again.json()) == (200, {**first.json(), "duplicate": True})
    assert (
        api.refused(api.post(f"/v1/queues/{queue}/jobs", {"unique_key": "u"}), 409, "not_unique")["job_id"] not in jobs.values()
    )
    api.post(f"/v1/queues/{queue}/resume")
    assert api.take(queue, request_id=queue)["lease"]["token"] == held["lease"]["token"]
    assert api.ended("conclude", held)["state"] == "concluded"
    assert api.push(queue)["id"] > max(before)


def test_a_token_of_before_a_restart_never_fits_a_lease_of_after_it(serve, place, queue):
    server, api = serve(store=place)
    api.push(queue)
    old = api.take(queue)
    api.ended("extend", old, lease_ms=1)
    assert server.stop() == 0
    _, api = serve(store=place)
    new = api.take(queue, wait_ms=10_000)
    assert (new["id"], new["attempt"], new["crashes"]) == (old["id"], 2, 1)
    api.refused(api.end("conclude", old), 409, "lease_lost")
    assert api.ended("conclude", new)["state"] == "concluded"


def test_a_job_that_became_due_while_the_server_was_away_is_ready_when_it_is_back(serve, place, queue):
    server, api = serve(store=place)
    job = api.push(queue, delay_ms=500)
    assert server.stop() == 0
    _, api = serve(store=place)
    assert api.take(queue, wait_ms=10_000)["id"] == job["id"]


def test_a_store_in_memory_says_so_and_begins_empty(serve, queue):
    server, api = serve()
    assert api.push(queue)["durability"] == {"level": "memory", "replicas": 0}
    assert "gone when the server ends" in server.banner[1]
    assert server.stop() == 0
    _, api = serve()
    assert api.get("/v1/queues").json()["queues"] == []
