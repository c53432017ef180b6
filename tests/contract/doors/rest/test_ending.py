"""`conclude`, `fail`, `release`, `extend`: what the holder of a lease says of its attempt, and what becomes of the job."""

from datetime import datetime

import pytest


@pytest.fixture
def held(api, queue):
    """A leased job."""
    api.push(queue)
    return api.take(queue, worker="w-1")


def ms_between(earlier, later):
    return round((datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds() * 1000)


# Conclude


def test_a_concluded_job_keeps_its_result(api, held):
    assert api.ended("conclude", held, result={"sum": 3}) == {"id": held["id"], "state": "concluded"}
    job = api.job(held["id"])
    assert (job["state"], job["result"], job["worker"], job["attempt"], job["errors"]) == (
        "concluded",
        {"sum": 3},
        "w-1",
        1,
        [],
    )
    assert job["ended_at"] >= job["leased_at"]


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_concluding_needs_no_body(api, held, body):
    response = api.post(f"/v1/leases/{held['lease']['token']}/conclude", content=body)
    assert (response.status_code, response.json()["state"]) == (200, "concluded")
    assert "result" not in api.job(held["id"])


def test_concluding_again_is_answered_as_the_first_time_and_changes_nothing(api, held):
    first = api.ended("conclude", held, result=1)
    before = api.job(held["id"])
    assert api.ended("conclude", held, result=2) == first
    assert api.job(held["id"]) == before


def test_follow_up_jobs_are_put_in_the_same_step_and_only_once(api, queue, held):
    then = [{"queue": queue, "payload": "next", "priority": 3}, {"queue": queue, "delay_ms": 60_000}]
    answer = api.ended("conclude", held, then=then)
    assert [(job["queue"], job["priority"], job["state"]) for job in answer["then"]] == [
        (queue, 3, "ready"),
        (queue, 1024, "scheduled"),
    ]
    assert api.ended("conclude", held, then=then) == answer
    assert api.counts(queue) == {"ready": 1, "scheduled": 1, "concluded": 1}
    (next_one, _later), first = answer["then"], api.job(held["id"])
    assert first["then"] == answer["then"]
    assert "follows" not in first
    assert api.job(next_one["id"])["follows"] == held["id"]
    assert api.take(queue)["payload"] == "next"


def test_a_chain_goes_on_from_job_to_job_in_a_queue_that_is_full(api, queue, held):
    api.set(queue, capacity_jobs=1)
    for number in range(5):
        api.ended("conclude", held, then=[{"queue": queue, "payload": number}])
        held = api.take(queue)
        assert held["payload"] == number
    api.refused(api.end("conclude", held, then=[{"queue": queue}] * 2), 429, "queue_full", says="1 of 1 jobs")


def test_a_follow_up_may_be_larger_only_where_there_is_room_for_the_rest(api, queue, held):
    api.set(queue, capacity_bytes=10)
    larger, largest = [{"queue": queue, "payload": "x" * 8}], [{"queue": queue, "payload": "x" * 9}]
    two = [{"queue": queue, "payload": "x" * 4}] * 2
    api.refused(api.end("conclude", held, then=two), 429, "queue_full", says="4 of 10 bytes")
    api.refused(api.end("conclude", held, then=largest), 413, "payload_too_large", "payload", says="11 bytes")
    assert api.ended("conclude", held, then=larger)["then"][0]["state"] == "ready"
    assert api.get(f"/v1/queues/{queue}").json()["bytes"] == 10


def test_a_job_hands_its_unique_key_on_to_the_one_that_follows_it(api, queue):
    api.push(queue, unique_key="k")
    for number in range(3):
        api.ended("conclude", api.take(queue), then=[{"queue": queue, "unique_key": "k", "payload": number}])
    api.refused(api.post(f"/v1/queues/{queue}/jobs", {"unique_key": "k"}), 409, "not_unique")
    held = api.take(queue)
    twice = [{"queue": queue, "unique_key": "k"}] * 2
    api.refused(api.end("conclude", held, then=twice), 409, "not_unique", says="twice")
    api.ended("conclude", held)
    assert api.push(queue, unique_key="k")["state"] == "ready"


@pytest.mark.parametrize(
    ("then", "status", "code"),
    [([{"capacity": 0}], 429, "queue_full"), ([{"unique_key": "k"}, {"unique_key": "k"}], 409, "not_unique")],
)
def test_where_a_follow_up_is_refused_the_job_is_not_concluded_and_stays_leased(api, queues, held, then, status, code):
    full = queues[0]
    api.set(full, capacity_jobs=0 if code == "queue_full" else 9)
    follow_ups = [{"queue": full} if "capacity" in job else {"queue": full, **job} for job in then]
    api.refused(api.end("conclude", held, then=follow_ups), status, code)
    assert api.job(held["id"])["state"] == "leased"
    assert api.ended("conclude", held)["state"] == "concluded"


def test_a_thousand_follow_ups_fit_and_one_more_does_not(api, queue, held):
    api.refused(
        api.end("conclude", held, then=[{"queue": queue}] * 1_001), 400, "invalid_request", field="then", says="at most 1000"
    )
    assert len(api.ended("conclude", held, then=[{"queue": queue}] * 1_000)["then"]) == 1_000


# Fail


def test_a_failed_job_says_why_and_comes_again_after_a_while(api, held):
    answer = api.ended("fail", held, reason="no route to host")
    assert (answer["id"], answer["state"]) == (held["id"], "scheduled")
    job = api.job(held["id"])
    (error,) = job["errors"]
    assert {name: error[name] for name in ("attempt", "worker", "kind", "reason")} == {
        "attempt": 1, "worker": "w-1", "kind": "failed", "reason": "no route to host",
    }  # fmt: skip
    assert (job["failures"], job["crashes"], job["attempt"]) == (1, 0, 1)
    assert 4_500 <= ms_between(error["at"], answer["ready_at"]) <= 5_500


def test_the_pause_before_the_next_try_grows_as_the_queue_says_up_to_its_bound(api, queue, held):
    api.set(queue, retry={"base_ms": 1_000, "factor": 3, "max_ms": 5_000, "jitter": 0})
    for pause in (1_000, 3_000, 5_000, 5_000):
        answer = api.ended("fail", held)
        assert ms_between(api.job(held["id"])["errors"][-1]["at"], answer["ready_at"]) == pause
        api.post(f"/v1/jobs/{held['id']}/promote")
        held = api.take(queue)


def test_a_job_may_have_pauses_of_its_own(api, queue):
    api.push(queue, retry={"base_ms": 60_000, "jitter": 0})
    held = api.take(queue)
    answer = api.ended("fail", held)
    assert ms_between(api.job(held["id"])["errors"][-1]["at"], answer["ready_at"]) == 60_000


def test_the_worker_may_name_the_pause(api, queue, held):
    assert api.ended("fail", held, delay_ms=0)["state"] == "ready"
    again = api.take(queue)
    assert (again["attempt"], again["failures"]) == (2, 1)
    answer = api.ended("fail", again, delay_ms=86_400_000)
    assert ms_between(api.job(held["id"])["errors"][-1]["at"], answer["ready_at"]) == 86_400_000


def test_a_job_dies_when_its_tries_are_used_up(api, queue):
    job = api.push(queue, max_attempts=2)
    assert api.ended("fail", api.take(queue), delay_ms=0)["state"] == "ready"
    assert api.ended("fail", api.take(queue), delay_ms=0) == {"id": job["id"], "state": "dead"}
    dead = api.job(job["id"])
    assert (dead["reason"], dead["attempt"], len(dead["errors"])) == ("attempts_exhausted", 2, 2)


def test_a_job_that_may_not_be_tried_again_dies_at_once(api, held):
    assert api.ended("fail", held, retry=False)["state"] == "dead"
    assert api.job(held["id"])["reason"] == "failed"


def test_failing_again_after_a_lost_answer_counts_once(api, held):
    first = api.ended("fail", held, reason="x", delay_ms=60_000)
    assert api.ended("fail", held, reason="x", delay_ms=60_000) == first
    assert api.job(held["id"])["failures"] == 1


def test_a_worker_can_always_say_that_it_failed_however_long_the_story(api, held):
    api.ended("fail", held, reason="\0" + "é" * 20_000)
    reason = api.job(held["id"])["errors"][0]["reason"]
    assert (len(reason), reason[:2], reason.endswith("[cut]")) == (8_192, "\ufffdé", True)


def test_the_last_twenty_errors_are_kept(api, queue):
    job = api.push(queue)
    for number in range(22):
        api.ended("fail", api.take(queue), reason=str(number), delay_ms=0)
    assert [error["reason"] for error in api.job(job["id"])["errors"]] == [str(number) for number in range(2, 22)]


# Release


def test_a_released_job_is_ready_again_and_its_attempt_is_not_spent(api, queue):
    api.push(queue, max_attempts=1)
    for number in range(1, 5):
        held = api.take(queue)
        assert held["attempt"] == number
        assert api.ended("release", held)["state"] == "ready"
    job = api.job(held["id"])
    assert (job["failures"], job["crashes"], job["errors"]) == (0, 0, [])


def test_a_job_may_be_released_for_later_and_with_another_priority(api, held):
    answer = api.ended("release", held, delay_ms=60_000, priority=4)
    job = api.job(held["id"])
    assert (answer["state"], job["state"], job["priority"], job["ready_at"]) == (
        "scheduled",
        "scheduled",
        4,
        answer["ready_at"],
    )


# Extend


def test_a_lease_is_extended_by_what_it_was_granted_for_or_by_what_is_asked(api, queue, held):
    assert api.ended("extend", held) == {"ms_left": 300_000, "cancel_requested": False, "draining": False}
    assert api.ended("extend", held, lease_ms=1_000_000)["ms_left"] == 1_000_000
    assert 990_000 < api.job(held["id"])["lease_ms_left"] <= 1_000_000


def test_progress_is_seen_by_all_and_reaches_the_next_attempt(api, queue, held):
    api.ended("extend", held, progress={"done": 40})
    assert api.job(held["id"])["progress"] == {"done": 40}
    api.ended("extend", held)
    api.ended("release", held)
    assert api.take(queue)["progress"] == {"done": 40}


def test_whoever_extends_is_told_of_a_cancellation(api, held):
    assert api.post(f"/v1/jobs/{held['id']}/cancel").json()["cancel_requested"] is True
    assert api.ended("extend", held)["cancel_requested"] is True


@pytest.mark.parametrize(("verb", "state"), [("conclude", "concluded"), ("fail", "cancelled"), ("release", "cancelled")])
def test_a_job_whose_cancellation_was_asked_for_does_not_run_again(api, queue, held, verb, state):
    api.post(f"/v1/jobs/{held['id']}/cancel")
    assert api.ended(verb, held)["state"] == state
    assert api.counts(queue) == {state: 1}
