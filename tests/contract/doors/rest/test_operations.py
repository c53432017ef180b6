"""Operations over HTTP: start, look, pause, resume, another pace, cancel; and a server that is killed in the middle of one."""

import signal
import time
from datetime import datetime

import pytest

pytestmark = pytest.mark.long(20)


def dead(api, queue, count):
    """Jobs that failed for good."""
    jobs = [{"queue": queue, "payload": number} for number in range(count)]
    for first in range(0, count, 1_000):
        assert api.post("/v1/jobs", {"jobs": jobs[first : first + 1_000]}).is_success
    left = count
    while left:
        tokens = [job["lease"]["token"] for job in api.lease(queue, max=min(left, 1_000))]
        given = {"fail": [{"token": token, "reason": "down", "retry": False} for token in tokens]}
        assert api.post("/v1/leases/batch", given).is_success
        left -= len(tokens)


def start(api, **given):
    answer = api.post("/v1/operations", given)
    assert answer.status_code == 202, answer.text
    shown = answer.json()
    assert answer.headers["location"].endswith(f"/v1/operations/{shown['id']}")
    return shown


def ended(api, number, timeout_s=20.0):
    deadline = time.monotonic() + timeout_s
    while (shown := api.get(f"/v1/operations/{number}").json())["state"] in ("running", "paused"):
        assert time.monotonic() < deadline, shown
        time.sleep(0.01)
    return shown


def test_a_redrive_of_a_queue(api, queue):
    dead(api, queue, 300)
    begun = start(api, do="retry", filter={"queue": queue})
    assert (begun["do"], begun["state"], begun["states"], begun["total"], begun["at_least"]) == (
        "retry", "running", ["dead"], 300, False,
    )  # fmt: skip
    assert begun["filter"] == {"queue": queue}
    shown = ended(api, begun["id"])
    assert (shown["state"], shown["done"], shown["skipped"], shown["left"]) == ("done", 300, [], 0)
    assert shown["ended_at"] >= shown["began_at"]
    assert api.counts(queue) == {"ready": 300}
    assert begun["id"] in [one["id"] for one in api.get("/v1/operations", params={"limit": 5}).json()["operations"]]


def test_a_dry_run_counts_what_the_listing_shows_and_does_nothing(api, queue):
    dead(api, queue, 3)
    api.push(queue, type="mail")
    given = {"do": "delete", "filter": {"queue": queue, "state": "dead", "error": "down"}, "dry_run": True}
    answer = api.post("/v1/operations", given)
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["total"], shown["counts"], shown["dry_run"], "id" in shown) == (3, {"dead": 3}, True, False)
    assert api.counts(queue) == {"dead": 3, "ready": 1}
    listed = api.get("/v1/jobs", params={"queue": queue, "state": "dead", "error": "down"}).json()["jobs"]
    assert len(listed) == 3
    listed = api.get("/v1/jobs", params={"queue": queue, "before": "2020-01-01T00:00:00Z"}).json()["jobs"]
    assert listed == []


def test_an_operation_at_a_pace_is_paused_and_goes_on(api, queue):
    dead(api, queue, 5)
    begun = start(api, do="retry", filter={"queue": queue}, per_s=0.01)
    paused = api.post(f"/v1/operations/{begun['id']}/pause").json()
    assert (paused["state"], paused["per_s"]) == ("paused", 0.01)
    assert api.get(f"/v1/operations/{begun['id']}").json()["done"] <= 1
    assert api.metric("holdfast_operations", state="paused") >= 1
    looked_at = api.metric("holdfast_operation_jobs_total")
    resumed = api.post(f"/v1/operations/{begun['id']}/resume").json()
    assert resumed["state"] == "running"
    assert api.patch(f"/v1/operations/{begun['id']}", json={"per_s": None}).json()["per_s"] is None
    assert ended(api, begun["id"])["done"] == 5
    assert api.metric("holdfast_operation_jobs_total") > looked_at


def test_an_operation_is_cancelled(api, queue):
    dead(api, queue, 5)
    begun = start(api, do="retry", filter={"queue": queue}, per_s=0.01)
    shown = api.post(f"/v1/operations/{begun['id']}/cancel").json()
    assert (shown["state"], shown["left"]) == ("cancelled", 0)
    api.refused(api.post(f"/v1/operations/{begun['id']}/resume"), 409, "wrong_state")


def test_fifty_a_second_are_spread_evenly_by_the_stores_clock(api, queue):
    dead(api, queue, 40)
    begun = start(api, do="retry", filter={"queue": queue}, per_s=50)
    ended(api, begun["id"])
    jobs = api.get("/v1/jobs", params={"queue": queue, "limit": 100}).json()["jobs"]
    moments = sorted(datetime.fromisoformat(job["ready_at"]).timestamp() for job in jobs)
    assert len(moments) == 40
    for first in range(len(moments)):
        for last in range(first + 1, len(moments)):
            most = 2 + 50 * (moments[last] - moments[first] + 0.1)
            assert last - first + 1 <= most, "never more than the pace, whatever the machine does"
    assert moments[-1] - moments[0] >= 0.6


def test_jobs_are_moved_and_what_waits_for_room_says_so(api, queues):
    source, target = queues[:2]
    api.set(target, capacity_jobs=1)
    for tenant in "12":
        api.push(source, tenant, meta={"tenant": tenant})
    begun = start(api, do="move", filter={"queue": source}, to=target)
    while "waits" not in (shown := api.get(f"/v1/operations/{begun['id']}").json()):
        time.sleep(0.01)
    assert (shown["done"], shown["waits"]["reason"], shown["to"]) == (1, "waits_for_room", target)
    assert shown["waits"]["next_at"] > shown["began_at"]
    api.set(target, capacity_jobs=2)
    assert ended(api, begun["id"])["done"] == 2
    moved = api.get("/v1/jobs", params={"queue": target, "meta.tenant": "2"}).json()["jobs"]
    assert [job["payload"] for job in moved] == ["2"]


def test_an_idempotency_key_begins_one_operation(api, queue):
    dead(api, queue, 3)
    given, key = {"do": "retry", "filter": {"queue": queue}}, {"Idempotency-Key": f"{queue}-again"}
    first = api.post("/v1/operations", given, headers=key)
    assert (first.status_code, first.json().get("duplicate")) == (202, None)
    ended(api, first.json()["id"])
    again = api.post("/v1/operations", given, headers=key)
    assert (again.status_code, again.json()["duplicate"], again.json()["id"]) == (200, True, first.json()["id"])
    assert (again.json()["state"], again.headers["location"]) == ("done", first.headers["location"])
    other = api.post("/v1/operations", {"do": "cancel", "filter": {"queue": queue}}, headers=key)
    api.refused(other, 422, "idempotency_mismatch")
    api.refused(api.post("/v1/operations", given, headers={"Idempotency-Key": ""}), 400, "invalid_request", "Idempotency-Key")


def test_an_operation_is_known_by_its_key_when_its_queue_is_gone(api, queue):
    given, key = {"do": "retry", "filter": {"queue": queue}}, {"Idempotency-Key": f"{queue}-gone"}
    api.put(f"/v1/queues/{queue}")
    begun = api.post("/v1/operations", given, headers=key).json()
    ended(api, begun["id"])
    assert api.delete(f"/v1/queues/{queue}").status_code == 204
    again = api.post("/v1/operations", given, headers=key)
    assert (again.status_code, again.json()["id"], again.json()["duplicate"]) == (200, begun["id"], True)
    api.refused(api.post("/v1/operations", given, headers={"Idempotency-Key": f"{queue}-new"}), 404, "queue_not_found")


def test_jobs_are_named_in_place_of_a_filter(api, queue):
    job = api.push(queue)["id"]
    begun = start(api, do="cancel", jobs=[job, 1 << 50])
    shown = ended(api, begun["id"])
    assert (shown["done"], shown["jobs"]) == (1, [job, 1 << 50])
    begun = start(api, do="cancel", jobs=[job])
    assert ended(api, begun["id"])["skipped"] == [{"reason": "wrong_state", "count": 1, "jobs": [job]}]


def test_named_jobs_may_have_a_moment_after_which_they_are_left_alone(api, queue):
    old = api.push(queue)["id"]
    moment = api.get(f"/v1/jobs/{old}").json()["created_at"]
    until_later(api, moment)
    new = api.push(queue)["id"]
    begun = start(api, do="cancel", jobs=[old, new], filter={"before": moment})
    assert (begun["jobs"], list(begun["filter"])) == ([old, new], ["before"])
    assert datetime.fromisoformat(begun["filter"]["before"]) == datetime.fromisoformat(moment)
    shown = ended(api, begun["id"])
    assert (shown["done"], shown["skipped"]) == (1, [{"reason": "changed", "count": 1, "jobs": [new]}])


def until_later(api, moment):
    """Until the store's clock is past a moment."""
    deadline = time.monotonic() + 5
    while api.push("clock")["created_at"] <= moment:
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"do": "retry"}, "filter"),
        ({"do": "retry", "filter": {"before": "2020-01-01T00:00:00Z", "tag": "x"}, "jobs": [1]}, "filter"),
        ({"do": "retry", "filter": {"text": "x\0"}}, "filter.text"),
        ({"do": "retry", "filter": {"error": "x\0"}, "dry_run": True}, "filter.error"),
        ({"do": "retry", "filter": {}, "jobs": [1]}, "filter"),
        ({"do": "retry", "jobs": []}, "jobs"),
        ({"do": "fly", "filter": {}}, "do"),
        ({"do": "delete", "filter": {}}, "filter.state"),
        ({"do": "retry", "filter": {"state": "ready"}}, "filter.state"),
        ({"do": "move", "filter": {}}, "to"),
        ({"do": "retry", "filter": {}, "to": "x"}, "to"),
        ({"do": "retry", "filter": {}, "per_s": 0}, "per_s"),
        ({"do": "retry", "filter": {}, "limit": 0}, "limit"),
    ],
)
def test_an_invalid_operation_is_refused_by_its_field(api, given, field):
    api.refused(api.post("/v1/operations", given), 400, "invalid_request", field)


def test_there_may_be_no_such_operation_or_queue(api, queue):
    api.refused(api.get("/v1/operations/1125899906842624"), 404, "operation_not_found")
    api.refused(api.post("/v1/operations/1125899906842624/pause"), 404, "operation_not_found")
    api.refused(api.post("/v1/operations", {"do": "retry", "filter": {"queue": queue}}), 404, "queue_not_found")


def test_killed_amid_an_operation_it_goes_on_and_no_job_is_met_twice_or_left_out(serve, tmp_path, queue):
    place = f"sqlite:///{tmp_path / 'jobs.db'}"
    server, api = serve(store=place, clean=False)
    dead(api, queue, 3_000)
    begun = start(api, do="retry", filter={"queue": queue}, per_s=2_000)
    while api.get(f"/v1/operations/{begun['id']}").json()["done"] < 200:
        pass
    server.process.send_signal(signal.SIGKILL)
    server.ended()
    server, api = serve(store=place)
    shown = api.get(f"/v1/operations/{begun['id']}").json()
    assert shown["state"] == "running"
    for job in api.lease(queue, max=50):
        api.ended("fail", job, reason="again", retry=False)
    shown = ended(api, begun["id"])
    assert (shown["done"], shown["skipped"]) == (3_000, [])
    assert api.counts(queue) == {"ready": 2_950, "dead": 50}, "those that failed again are not retried again"
    (entry,) = api.get("/v1/audit", params={"action": "operation.start"}).json()["entries"]
    assert (entry["done"], entry["outcome"], entry["target"]) == (3_000, "done", str(begun["id"]))
