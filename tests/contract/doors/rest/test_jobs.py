"""Looking at one job and managing it: show, why, retry, cancel, promote, edit, delete."""

import re
from datetime import datetime

import pytest


@pytest.fixture
def make(api, queue):
    """A job in the state that is named."""

    def job_in(state, **options):
        job = api.push(queue, **({"delay_ms": 600_000} if state == "scheduled" else {}), **options)
        if state in ("leased", "concluded", "dead"):
            held = api.take(queue)
            if state != "leased":
                api.ended(
                    *{"concluded": ("conclude", held), "dead": ("fail", held)}[state],
                    **({"retry": False} if state == "dead" else {}),
                )
        if state == "cancelled":
            api.post(f"/v1/jobs/{job['id']}/cancel")
        assert api.job(job["id"])["state"] == state
        return job["id"]

    return job_in


STATES = ("scheduled", "ready", "leased", "concluded", "dead", "cancelled")


def why(api, job_id):
    response = api.get(f"/v1/jobs/{job_id}/why")
    assert response.status_code == 200
    return response.json()


# One job


@pytest.mark.parametrize("state", STATES)
def test_a_job_is_shown_in_every_state_with_the_moments_that_it_has(api, make, state):
    job = api.job(make(state))
    moments = {name for name in ("leased_at", "ended_at") if name in job}
    expected = {
        "leased": {"leased_at"},
        "concluded": {"leased_at", "ended_at"},
        "dead": {"leased_at", "ended_at"},
        "cancelled": {"ended_at"},
    }
    assert moments == expected.get(state, set())
    assert job.get("reason") == {"dead": "failed", "cancelled": "cancelled"}.get(state)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/why"),
        ("POST", "/retry"),
        ("POST", "/cancel"),
        ("POST", "/promote"),
        ("POST", "/release-lease"),
        ("PATCH", ""),
        ("DELETE", ""),
    ],
)
def test_a_job_that_nobody_knows_is_not_found(api, method, path):
    unknown = 2**53 - 1
    problem = api.refused(api.request(method, f"/v1/jobs/{unknown}{path}"), 404, "job_not_found", says=str(unknown))
    assert problem["job_id"] == unknown
    for number in (0, 2**53):
        response = api.request(method, f"/v1/jobs/{number}{path}")
        api.refused(response, 400, "invalid_request", field="job_id", says="Expected `int`")
    for word in ("x", "1.5", "-", "1e3"):
        api.refused(api.request(method, f"/v1/jobs/{word}{path}"), 404, "not_found")


@pytest.mark.parametrize(("wait_ms", "says"), [("-1", "at least 0"), ("55001", "<= 55000"), ("x", "a whole number")])
def test_waiting_for_a_job_has_a_bound(api, make, wait_ms, says):
    response = api.get(f"/v1/jobs/{make('ready')}", params={"wait_ms": wait_ms})
    api.refused(response, 400, "invalid_request", field="wait_ms", says=says)


def settled(job):
    """A job without what only a look at it tells, and what passes by itself."""
    return {name: value for name, value in job.items() if name not in ("errors", "result", "progress", "lease_ms_left")}


# Retry, cancel, promote, delete: from which states

ALLOWED = {
    "retry": {"dead": "ready"},
    "cancel": {"scheduled": "cancelled", "ready": "cancelled", "leased": "leased"},
    "promote": {"scheduled": "ready"},
    "release-lease": {"leased": "ready"},
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("verb", ALLOWED)
def test_a_verb_works_from_the_states_that_make_sense_and_no_other(api, make, verb, state):
    job_id = make(state)
    response = api.post(f"/v1/jobs/{job_id}/{verb}")
    if state in ALLOWED[verb]:
        assert (response.status_code, response.json()["state"]) == (200, ALLOWED[verb][state])
        assert settled(response.json()) == settled(api.job(job_id))
    else:
        problem = api.refused(response, 409, "wrong_state", says=f"is {state}")
        assert (problem["job_id"], problem["state"]) == (job_id, state)
        assert api.job(job_id)["state"] == state


@pytest.mark.parametrize("state", STATES)
def test_a_job_can_be_removed_unless_someone_works_on_it(api, queue, make, state):
    job_id = make(state)
    response = api.delete(f"/v1/jobs/{job_id}")
    if state == "leased":
        api.refused(response, 409, "wrong_state", says="is leased")
        assert api.counts(queue) == {"leased": 1}
    else:
        assert (response.status_code, response.content) == (204, b"")
        api.refused(api.get(f"/v1/jobs/{job_id}"), 404, "job_not_found")
        assert api.counts(queue) == {}


def test_a_retried_job_has_all_of_its_tries_again(api, queue):
    job = api.push(queue, max_attempts=2)
    for _ in range(2):
        for _ in range(2):
            api.ended("fail", api.take(queue), delay_ms=0)
        assert api.job(job["id"])["state"] == "dead"
        retried = api.post(f"/v1/jobs/{job['id']}/retry").json()
        assert (retried["failures"], retried["crashes"], "ended_at" in retried, "reason" in retried) == (0, 0, False, False)
    assert api.take(queue)["attempt"] == 5
    assert len(api.job(job["id"])["errors"]) == 4


def test_a_retry_needs_room_like_a_new_job(api, queue, make):
    dead = make("dead")
    api.set(queue, capacity_jobs=0)
    api.refused(api.post(f"/v1/jobs/{dead}/retry"), 429, "queue_full", says="no room")
    assert api.job(dead)["state"] == "dead"


def test_cancelling_a_leased_job_twice_is_the_same_as_once(api, make):
    job_id = make("leased")
    for _ in range(2):
        shown = api.post(f"/v1/jobs/{job_id}/cancel").json()
        assert (shown["state"], shown["cancel_requested"]) == ("leased", True)


# Edit


def test_what_is_named_is_changed_and_the_rest_stays(api, queue):
    job = api.push(queue, payload={"a": 1}, type="t", tags=["x"], priority=5, max_attempts=7)
    path = f"/v1/jobs/{job['id']}"
    before = api.job(job["id"])
    assert api.patch(path, json={}).json() == settled(before)
    for changes in ({"payload": [2]}, {"type": "u"}, {"priority": 6}, {"max_attempts": 8}, {"tags": ["y", "z"]}, {"tags": []}):
        answer = api.patch(path, json=changes).json()
        after = api.job(job["id"])
        assert answer == settled(after)
        assert {**after, "payload_bytes": 0} == {**before, **changes, "payload_bytes": 0}
        before = after


def test_a_raw_payload_that_is_edited_becomes_json(api, queue):
    put = api.post(f"/v1/queues/{queue}/jobs", content=b"x", headers={"content-type": "text/plain"}, params={"type": "t"})
    edited = api.patch(f"/v1/jobs/{put.json()['id']}", json={"payload": {"b": 2}}).json()
    assert (edited["payload"], edited["type"], "payload_base64" in edited, "content_type" in edited) == (
        {"b": 2},
        "t",
        False,
        False,
    )


def test_a_job_may_be_moved_in_time_and_in_line(api, queue):
    first, second = (api.push(queue)["id"] for _ in range(2))
    later = api.patch(f"/v1/jobs/{first}", json={"run_at": "2999-01-01T00:00:00Z"}).json()
    assert (later["state"], later["ready_at"]) == ("scheduled", "2999-01-01T00:00:00.000Z")
    third = api.push(queue)["id"]
    api.patch(f"/v1/jobs/{first}", json={"delay_ms": 0})
    api.patch(f"/v1/jobs/{third}", json={"priority": 0})
    assert [job["id"] for job in api.lease(queue, max=3)] == [third, first, second]


@pytest.mark.parametrize("state", ["leased", "concluded", "dead", "cancelled"])
def test_only_a_waiting_job_can_be_edited(api, make, state):
    api.refused(api.patch(f"/v1/jobs/{make(state)}", json={"priority": 1}), 409, "wrong_state", says=f"is {state}")


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"priority": 4_294_967_296}, "priority", "from 0 to 4294967295"),
        ({"max_attempts": 0}, "max_attempts", "from 1 to 65535"),
        ({"delay_ms": -1}, "delay_ms", "from 0 to 316224000000"),
        ({"delay_ms": 1, "run_at": "2030-01-01T00:00:00Z"}, "run_at", "beside delay_ms"),
        ({"run_at": "9999-12-31T23:59:59.9999Z"}, "run_at", "9999"),
        ({"type": "t" * 129}, "type", "at most 128 characters"),
        ({"tags": ["x"] * 33}, "tags", "at most 32 entries"),
        ({"tags": ["x" * 129]}, "tags[0]", "at most 128 characters"),
        ({"priority": "1"}, "priority", "Expected `int`"),
        ({"queue": "elsewhere"}, "queue", "unknown field"),
        ([], "body", "Expected `object`"),
    ],
)
def test_a_wrong_edit_is_refused_by_field_and_changes_nothing(api, make, body, field, says):
    job_id = make("ready")
    before = api.job(job_id)
    api.refused(api.patch(f"/v1/jobs/{job_id}", json=body), 400, "invalid_request", field=field, says=says)
    assert api.job(job_id) == before


# Why


@pytest.mark.usefixtures("nobody_registered")
def test_the_next_in_line_waits_for_a_worker(api, queue, make):
    job_id = make("ready")
    answer = why(api, job_id)
    assert (answer["id"], answer["queue"], answer["state"], answer["ahead"]) == (job_id, queue, "ready", 0)
    assert [reason["code"] for reason in answer["reasons"]] == ["next"]


@pytest.mark.usefixtures("nobody_registered")
def test_a_job_knows_how_many_come_before_it(api, queue):
    for _ in range(3):
        api.push(queue)
    late = api.push(queue)["id"]
    api.push(queue, priority=1)
    api.push(queue)
    answer = why(api, late)
    assert answer["ahead"] == 4
    assert answer["reasons"] == [{"code": "in_line", "detail": "4 jobs of its queue are ahead of it."}]


def test_one_job_that_comes_before_it_is_said_to_be_one(api, queue):
    api.push(queue)
    assert why(api, api.push(queue)["id"])["reasons"][0]["detail"] == "1 job of its queue is ahead of it."


def test_a_paused_queue_is_a_reason_and_stands_first(api, queue, make):
    job_id = make("ready")
    api.post(f"/v1/queues/{queue}/pause")
    assert why(api, job_id)["reasons"][0] == {"code": "queue_paused", "detail": f"The queue {queue} is paused."}


def test_a_scheduled_job_says_when_and_whether_it_has_failed(api, queue, make):
    (reason,) = why(api, make("scheduled"))["reasons"]
    assert reason["code"] == "scheduled"
    assert "failed" not in reason["detail"]
    again = api.push(queue)["id"]
    api.ended("fail", api.take(queue), delay_ms=600_000)
    (reason,) = why(api, again)["reasons"]
    assert re.match(r"Scheduled after a failed attempt: ready in (600000|59\d{4}) ms\.", reason["detail"])


def test_a_held_job_names_those_who_hold_its_group(api, queue):
    holders = [api.push(queue, group_key="g", group_limit=2)["id"] for _ in range(2)]
    held = api.push(queue, group_key="g", group_limit=2)["id"]
    answer = why(api, held)
    assert answer["group_holders"] == holders
    assert answer["reasons"] == [
        {"code": "group_held", "detail": f"Group limit reached: group 'g' is held by job {holders[0]}, {holders[1]}."},
    ]


def test_a_queue_that_runs_as_many_as_it_may_is_a_reason(api, queue, make):
    api.set(queue, max_running=1)
    api.push(queue)
    api.take(queue)
    reasons = why(api, make("ready"))["reasons"]
    assert reasons[0]["code"] == "max_running"
    assert "at most 1" in reasons[0]["detail"]


def test_a_running_job_says_who_runs_it(api, queue):
    job = api.push(queue)
    api.take(queue, worker="w-1")
    (reason,) = why(api, job["id"])["reasons"]
    assert reason["code"] == "running"
    assert "attempt 1 is leased by w-1" in reason["detail"]


@pytest.mark.parametrize(
    ("state", "said"), [("concluded", "Concluded."), ("dead", "Dead: failed permanently."), ("cancelled", "Cancelled.")]
)
def test_a_job_that_has_ended_says_how(api, make, state, said):
    assert why(api, make(state))["reasons"] == [{"code": state, "detail": said}]


def test_moments_are_in_utc_with_milliseconds(api, make):
    shown = api.job(make("concluded"))
    moments = [shown[name] for name in ("created_at", "ready_at", "leased_at", "ended_at")]
    assert all(len(text) == 24 and text.endswith("Z") for text in moments)
    assert moments == sorted(moments, key=datetime.fromisoformat)


def test_why_tells_what_happened_between_the_attempts_of_a_job(api, queue):
    job = api.push(queue)["id"]
    assert "between" not in api.get(f"/v1/jobs/{job}/why").json()
    (held,) = api.lease(queue, worker="anna")
    api.ended("release", held)
    (told,) = api.get(f"/v1/jobs/{job}/why").json()["between"]
    assert (told["what"], told["of"], told["attempt"]) == ("released", "anna", 1)
    assert told["began_at"] <= told["ended_at"]
