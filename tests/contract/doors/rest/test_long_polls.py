"""A call that waits: whatever makes a job ready wakes it, at once; a caller that has left takes nothing with it.

That a call is parked is read from the server's own gauge of waiting calls, so nothing here depends on luck.
"""

import socket
import time

import pytest


@pytest.fixture
def parked(api, aside):
    """Start lease calls that wait, and come back when they do."""

    def park(*queues, count=1, **options):
        calls = [aside(api.lease, *queues, **{"wait_ms": 20_000, **options}) for _ in range(count)]
        api.until_parked(count)
        return calls

    yield park
    api.until_parked(0)


def test_a_push_wakes_a_call_that_waits(api, queue, parked):
    (call,) = parked(queue)
    job = api.push(queue)
    (taken,) = call.result(5)
    assert (taken["id"], taken["attempt"]) == (job["id"], 1)


# What makes a job ready: what is done before the call waits, and what is done while it does.
WAYS = {
    "promoted": (
        lambda api, q, r: api.push(q, delay_ms=600_000),
        lambda api, q, job: api.post(f"/v1/jobs/{job['id']}/promote"),
    ),
    "edited": (
        lambda api, q, r: api.push(q, delay_ms=600_000),
        lambda api, q, job: api.patch(f"/v1/jobs/{job['id']}", json={"delay_ms": 0}),
    ),
    "released": (lambda api, q, r: held(api, q), lambda api, q, job: api.ended("release", job)),
    "failed": (lambda api, q, r: held(api, q), lambda api, q, job: api.ended("fail", job, delay_ms=0)),
    "expired": (lambda api, q, r: held(api, q), lambda api, q, job: api.ended("extend", job, lease_ms=100)),
    "retried": (lambda api, q, r: dead(api, q), lambda api, q, job: api.post(f"/v1/jobs/{job['id']}/retry")),
    "due": (lambda api, q, r: None, lambda api, q, job: api.push(q, delay_ms=100)),
    "resumed": (lambda api, q, r: paused(api, q), lambda api, q, job: api.post(f"/v1/queues/{q}/resume")),
    "bulk": (lambda api, q, r: None, lambda api, q, job: api.post("/v1/jobs", {"jobs": [{"queue": q}]})),
    "follows": (lambda api, q, r: held(api, r), lambda api, q, job: api.ended("conclude", job, then=[{"queue": q}])),
}


def held(api, queue):
    api.push(queue)
    return api.take(queue)


def dead(api, queue):
    job = held(api, queue)
    api.ended("fail", job, retry=False)
    return job


def paused(api, queue):
    api.push(queue)
    api.post(f"/v1/queues/{queue}/pause")


@pytest.mark.parametrize("way", WAYS)
def test_whatever_makes_a_job_ready_wakes_a_call_that_waits(api, queue, queues, parked, way):
    before, during = WAYS[way]
    job = before(api, queue, queues[0])
    (call,) = parked(queue)
    during(api, queue, job)
    (taken,) = call.result(5)
    assert taken["queue"] == queue


def test_one_push_wakes_one_call_and_the_others_go_on_waiting(api, queue, parked):
    calls = parked(queue, count=3)
    for left in (2, 1, 0):
        api.push(queue)
        api.until_parked(left)
    assert len({call.result(5)[0]["id"] for call in calls}) == 3


def test_many_jobs_at_once_wake_as_many_calls(api, queue, parked):
    calls = parked(queue, count=5)
    api.post("/v1/jobs", {"jobs": [{"queue": queue}] * 5})
    assert len({call.result(5)[0]["id"] for call in calls}) == 5


def test_a_call_waits_for_several_queues_and_takes_from_whichever_has_something(api, queues, parked):
    for name in reversed(queues):
        (call,) = parked(*queues)
        job = api.push(name)
        assert call.result(5)[0]["id"] == job["id"]


def test_after_the_wait_the_answer_is_empty_and_not_before(api, queue):
    began = time.monotonic()
    assert api.lease(queue, wait_ms=300) == []
    assert 0.3 <= time.monotonic() - began < 5


def test_a_job_that_is_there_is_given_without_waiting(api, queue):
    api.push(queue)
    began = time.monotonic()
    assert len(api.lease(queue, max=5, wait_ms=55_000)) == 1
    assert time.monotonic() - began < 5


def test_a_paused_queue_lets_calls_wait(api, queue, parked):
    api.set(queue)
    api.post(f"/v1/queues/{queue}/pause")
    (call,) = parked(queue)
    api.push(queue)
    assert api.counts(queue) == {"ready": 1}
    assert not call.done()
    api.post(f"/v1/queues/{queue}/resume")
    assert len(call.result(5)) == 1


def test_a_newer_call_of_the_same_request_takes_the_place_of_the_older(api, queue, aside, parked):
    (older,) = parked(queue, request_id=queue)
    newer = aside(api.lease, queue, wait_ms=20_000, request_id=queue)
    assert older.result(5) == []
    api.until_parked(1)
    job = api.push(queue)
    assert newer.result(5)[0]["id"] == job["id"]


# A caller that leaves


def leave_while_parked(api, queue, body=b""):
    """Ask with a wait, and hang up once the call is parked."""
    body = body or b'{"queues":["%s"],"wait_ms":50000}' % queue.encode()
    with socket.create_connection((api.http.base_url.host, api.http.base_url.port)) as caller:
        caller.sendall(b"POST /v1/leases HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        api.until_parked(1)
    api.until_parked(0)


def test_a_caller_that_hangs_up_while_it_waits_takes_nothing_with_it(api, queue):
    leave_while_parked(api, queue)
    job = api.push(queue)
    taken = api.take(queue)
    assert (taken["id"], taken["attempt"], taken["failures"], taken["crashes"]) == (job["id"], 1, 0, 0)


def test_the_call_that_waits_behind_one_that_left_is_served(api, queue, parked):
    leave_while_parked(api, queue)
    (call,) = parked(queue)
    leaver = socket.create_connection((api.http.base_url.host, api.http.base_url.port))
    body = b'{"queues":["%s"],"wait_ms":50000}' % queue.encode()
    leaver.sendall(b"POST /v1/leases HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    api.until_parked(2)
    leaver.close()
    api.until_parked(1)
    job = api.push(queue)
    assert call.result(5)[0]["id"] == job["id"]


def test_callers_that_leave_in_the_very_moment_of_a_push_lose_no_job(api, queue):
    """Whether such a job was given to the one who left or not: it must be given to another without a crash being counted."""
    for _ in range(20):
        body = b'{"queues":["%s"],"wait_ms":50000}' % queue.encode()
        caller = socket.create_connection((api.http.base_url.host, api.http.base_url.port))
        caller.sendall(b"POST /v1/leases HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        api.until_parked(1)
        caller.close()
        job = api.push(queue)
        (taken,) = api.lease(queue, wait_ms=5_000)
        assert (taken["id"], taken["crashes"]) == (job["id"], 0)
        api.ended("conclude", taken)
    api.until_parked(0)


# Waiting for a job's end


@pytest.mark.parametrize("way", ["conclude", "die", "cancel", "delete"])
def test_waiting_for_a_job_ends_when_it_does(api, queue, aside, way):
    job = api.push(queue)
    held = None if way in ("cancel", "delete") else api.take(queue)
    waiting = aside(api.get, f"/v1/jobs/{job['id']}", params={"wait_ms": 20_000})
    api.until_parked(1)
    match way:
        case "conclude":
            api.ended("conclude", held, result=[1])
        case "die":
            api.ended("fail", held, retry=False)
        case "cancel":
            api.post(f"/v1/jobs/{job['id']}/cancel")
        case "delete":
            api.delete(f"/v1/jobs/{job['id']}")
    answer = waiting.result(5)
    if way == "delete":
        api.refused(answer, 404, "job_not_found")
    else:
        assert answer.json()["state"] == {"conclude": "concluded", "die": "dead", "cancel": "cancelled"}[way]


def test_waiting_for_a_job_that_goes_on_gives_it_as_it_stands(api, queue):
    job = api.push(queue)
    began = time.monotonic()
    assert api.job(job["id"], wait_ms=300)["state"] == "ready"
    assert 0.3 <= time.monotonic() - began < 5


def test_waiting_for_a_job_that_has_ended_takes_no_time(api, queue):
    job = api.push(queue)
    api.ended("conclude", api.take(queue))
    began = time.monotonic()
    assert api.job(job["id"], wait_ms=55_000)["state"] == "concluded"
    assert time.monotonic() - began < 5


def test_waiting_for_a_job_that_nobody_knows_is_answered_at_once(api):
    api.refused(api.get(f"/v1/jobs/{2**53 - 1}", params={"wait_ms": 55_000}), 404, "job_not_found")
