"""Who comes first, and how many fit in: priorities and arrival order; capacities in jobs and bytes that hold exactly; waiting for room."""

import asyncio
import time

import httpx
import pytest


def drained(api, *queues, **options):
    return [job["id"] for job in api.lease(*queues, max=1_000, **options)]


def test_within_one_priority_the_first_in_is_the_first_out(api, queue):
    ids = [api.push(queue)["id"] for _ in range(20)]
    assert [api.take(queue)["id"] for _ in range(20)] == ids


def test_a_lower_priority_runs_first(api, queue):
    by_priority = {priority: api.push(queue, priority=priority)["id"] for priority in (5, 4_294_967_295, 0, 1_024, 6)}
    assert drained(api, queue) == [by_priority[priority] for priority in sorted(by_priority)]


def test_a_job_that_comes_back_keeps_its_place_in_line(api, queue):
    ids = [api.push(queue)["id"] for _ in range(3)]
    first = api.take(queue)
    api.ended("release", first)
    assert drained(api, queue) == ids


def test_a_job_that_was_delayed_stands_where_it_was_put(api, queue):
    delayed = api.push(queue, delay_ms=60_000)["id"]
    later = api.push(queue)["id"]
    api.post(f"/v1/jobs/{delayed}/promote")
    assert drained(api, queue) == [delayed, later]


def test_queues_are_served_in_the_order_of_the_call(api, queues):
    for name in queues:
        api.push(name, priority=1)
    assert [job["queue"] for job in api.lease(queues[2], queues[0], queues[3], max=9)] == [queues[2], queues[0], queues[3]]


def test_by_priority_the_most_urgent_over_all_queues_come_first(api, queues):
    jobs = [(name, priority) for priority in (3, 1, 2) for name in queues[:2]]
    for name, priority in jobs:
        api.push(name, priority=priority)
    found = api.lease(queues[1], queues[0], max=9, order="priority")
    assert [(job["priority"], job["queue"]) for job in found] == [(p, name) for p in (1, 2, 3) for name in queues[:2]]


# Capacity


def test_a_full_queue_refuses_and_drops_nothing(api, queue):
    api.set(queue, capacity_jobs=2)
    ids = [api.push(queue)["id"], api.push(queue, delay_ms=60_000)["id"]]
    response = api.post(f"/v1/queues/{queue}/jobs", {})
    problem = api.refused(response, 429, "queue_full", says="2 of 2 jobs")
    assert {name: problem[name] for name in ("queue", "capacity_jobs", "jobs")} == {
        "queue": queue,
        "capacity_jobs": 2,
        "jobs": 2,
    }
    assert problem["retry_after_ms"] == 1_000
    assert response.headers["retry-after"] == "1"
    assert [api.job(job_id)["state"] for job_id in ids] == ["ready", "scheduled"]


def test_scheduled_ready_and_leased_jobs_take_room_and_ended_ones_do_not(api, queue):
    api.set(queue, capacity_jobs=3)
    api.push(queue)
    held = api.take(queue)
    api.push(queue, delay_ms=60_000)
    dying = api.push(queue, priority=0)
    api.refused(api.post(f"/v1/queues/{queue}/jobs", {}), 429, "queue_full", says="3 of 3")
    api.ended("fail", api.take(queue), retry=False)
    assert api.job(dying["id"])["state"] == "dead"
    api.push(queue)
    api.ended("conclude", held)
    api.push(queue)
    api.refused(api.post(f"/v1/queues/{queue}/jobs", {}), 429, "queue_full", says="3 of 3")


def test_a_job_that_returns_always_has_room(api, queue):
    api.set(queue, capacity_jobs=1)
    api.push(queue)
    held = api.take(queue)
    api.set(queue, capacity_jobs=0)
    assert api.ended("fail", held, delay_ms=0)["state"] == "ready"
    assert api.ended("release", api.take(queue))["state"] == "ready"
    assert api.take(queue)["attempt"] == 3


def test_bytes_are_bounded_exactly(api, queue):
    api.set(queue, capacity_bytes=10)
    api.push(queue, payload="12345")
    problem = api.refused(api.post(f"/v1/queues/{queue}/jobs", {"payload": "12"}), 429, "queue_full", says="7 of 10 bytes")
    assert (problem["capacity_bytes"], problem["bytes"]) == (10, 7)
    api.push(queue, payload=123)
    api.refused(api.post(f"/v1/queues/{queue}/jobs", {"payload": 1}), 429, "queue_full", says="10 of 10 bytes")
    assert api.post(f"/v1/queues/{queue}/jobs", content=b"", headers={"content-type": "text/plain"}).status_code == 201


def test_an_edit_may_not_outgrow_the_queue(api, queue):
    api.set(queue, capacity_bytes=10)
    job = api.push(queue, payload="12345678")
    path = f"/v1/jobs/{job['id']}"
    api.refused(api.patch(path, json={"payload": "123456789"}), 429, "queue_full")
    assert api.patch(path, json={"payload": "1"}).json()["payload_bytes"] == 3
    assert api.get(f"/v1/queues/{queue}").json()["bytes"] == 3
    assert api.push(queue, payload="12345")["id"]


@pytest.mark.parametrize("settings", [{"capacity_jobs": 10}, {"capacity_bytes": 40}])
async def test_a_hundred_pushes_at_once_into_room_for_ten_keep_exactly_ten(api, queue, settings):
    api.set(queue, **settings)
    async with httpx.AsyncClient(base_url=api.url, timeout=20, limits=httpx.Limits(max_connections=100)) as http:
        answers = await asyncio.gather(*(http.post(f"/v1/queues/{queue}/jobs", json={"payload": None}) for _ in range(100)))
    assert sorted(answer.status_code for answer in answers) == [201] * 10 + [429] * 90
    assert sorted(drained(api, queue)) == sorted(answer.json()["id"] for answer in answers if answer.status_code == 201)


# Waiting for room


def waiting(api, queue, aside, count=1, wait_ms=20_000):
    def push():
        return api.post(f"/v1/queues/{queue}/jobs", {}, params={"wait_ms": wait_ms})

    calls = [aside(push) for _ in range(count)]
    api.until_parked(count)
    return calls


def test_a_push_waits_for_room_and_gets_in_when_a_job_has_ended(api, queue, aside):
    api.set(queue, capacity_jobs=1)
    api.push(queue)
    held = api.take(queue)
    (call,) = waiting(api, queue, aside)
    api.ended("conclude", held)
    assert call.result().status_code == 201
    assert api.counts(queue) == {"ready": 1, "concluded": 1}


def test_room_that_one_commit_makes_lets_all_in_who_wait_for_it(api, queue, aside):
    api.set(queue, capacity_jobs=5)
    for _ in range(5):
        api.push(queue)
    held = api.lease(queue, max=5)
    calls = waiting(api, queue, aside, count=5)
    api.post("/v1/leases/batch", {"conclude": [{"token": job["lease"]["token"]} for job in held]})
    assert [call.result().status_code for call in calls] == [201] * 5
    assert api.counts(queue) == {"ready": 5, "concluded": 5}


@pytest.mark.parametrize("way", ["purge", "larger", "cancel", "delete", "dead"])
def test_a_push_gets_in_whatever_it_was_that_made_room(api, queue, aside, way):
    api.set(queue, capacity_jobs=1)
    job = api.push(queue)
    (call,) = waiting(api, queue, aside)
    match way:
        case "purge":
            assert api.post(f"/v1/queues/{queue}/purge").json() == {"purged": 1}
        case "larger":
            api.patch(f"/v1/queues/{queue}", json={"capacity_jobs": 2})
        case "cancel":
            api.post(f"/v1/jobs/{job['id']}/cancel")
        case "delete":
            api.delete(f"/v1/jobs/{job['id']}")
        case "dead":
            api.ended("fail", api.take(queue), retry=False)
    assert call.result().status_code == 201


def test_a_push_is_refused_when_there_was_no_room_in_all_that_time(api, queue, aside):
    api.set(queue, capacity_jobs=0)
    began = time.monotonic()
    (call,) = waiting(api, queue, aside, wait_ms=300)
    api.refused(call.result(), 429, "queue_full", says="0 of 0 jobs")
    assert 0.3 <= time.monotonic() - began < 5
    api.until_parked(0)
