"""Queues and their settings: PUT sets all, PATCH some, what is not set follows the server; pause, resume, purge, delete."""

import pytest

DEFAULTS = {
    "capacity_jobs": 1_000_000,
    "capacity_bytes": 4 << 30,
    "lease_ms": 300_000,
    "max_attempts": 25,
    "max_crashes": 5,
    "max_running": None,
    "retention_ms": 86_400_000,
    "retention_jobs": 10_000_000,
    "retention_bytes": 4 << 30,
    "expires_in_ms": None,
    "retry": {"base_ms": 5_000, "factor": 2.0, "max_ms": 3_600_000, "jitter": 0.1},
}


def test_a_new_queue_follows_the_server_in_everything(api, queue):
    shown = api.set(queue)
    assert (shown["name"], shown["paused"], shown["settings"], shown["set"]) == (queue, False, DEFAULTS, [])
    assert shown["jobs"] == dict.fromkeys(("scheduled", "ready", "leased", "concluded", "dead", "cancelled"), 0)
    assert api.get(f"/v1/queues/{queue}").json() == shown


def test_a_queue_may_be_made_without_a_body(api, queue):
    response = api.put(f"/v1/queues/{queue}")
    assert (response.status_code, response.json()["set"]) == (200, [])


def test_put_sets_what_it_names_and_puts_the_rest_back(api, queue):
    shown = api.set(queue, capacity_jobs=5, retention_ms=None)
    assert shown["settings"] == {**DEFAULTS, "capacity_jobs": 5, "retention_ms": None}
    assert set(shown["set"]) == {"capacity_jobs", "retention_ms"}
    shown = api.set(queue, lease_ms=1_000)
    assert shown["settings"] == {**DEFAULTS, "lease_ms": 1_000}
    assert shown["set"] == ["lease_ms"]


def test_patch_changes_what_it_names_and_leaves_the_rest(api, queue):
    api.set(queue, capacity_jobs=5, lease_ms=1_000)
    shown = api.patch(f"/v1/queues/{queue}", json={"lease_ms": 2_000, "max_running": 3}).json()
    assert shown["settings"] == {**DEFAULTS, "capacity_jobs": 5, "lease_ms": 2_000, "max_running": 3}
    assert set(shown["set"]) == {"capacity_jobs", "lease_ms", "max_running"}
    assert api.patch(f"/v1/queues/{queue}").json() == shown


def test_a_setting_that_equals_the_default_is_set_all_the_same(api, queue):
    assert api.set(queue, lease_ms=DEFAULTS["lease_ms"])["set"] == ["lease_ms"]


def test_a_retry_policy_is_set_as_a_whole(api, queue):
    shown = api.set(queue, retry={"base_ms": 7})
    assert shown["settings"]["retry"] == {**DEFAULTS["retry"], "base_ms": 7}


def test_the_defaults_are_the_servers_flags_and_follow_them(serve, queue):
    api = serve("--size", "3", "--lease-ms", "1000", "--max-attempts", "2", "--max-crashes", "1", "--retention-ms", "0")[1]
    shown = api.set(queue)["settings"]
    assert {**shown, "capacity_bytes": 0} == {
        **DEFAULTS, "capacity_jobs": 3, "capacity_bytes": 0, "lease_ms": 1_000, "max_attempts": 2, "max_crashes": 1, "retention_ms": 0,
    }  # fmt: skip
    assert api.push(queue)["max_attempts"] == 2


BOUNDS = [
    ("capacity_jobs", 0, -1, "from 0 to 1000000000000"),
    ("capacity_jobs", 10**12, 10**12 + 1, "from 0 to 1000000000000"),
    ("capacity_bytes", 0, -1, "from 0 to 1125899906842624"),
    ("capacity_bytes", 1 << 50, (1 << 50) + 1, "from 0 to 1125899906842624"),
    ("capacity_jobs", 1, None, "Expected `int`"),
    ("capacity_jobs", 1, "5", "Expected `int`"),
    ("capacity_jobs", 1, 5.0, "Expected `int`"),
    ("capacity_jobs", 1, 10**30, "from 0 to 1000000000000"),
    ("lease_ms", 1, 0, "from 1 to 2592000000"),
    ("lease_ms", 2_592_000_000, 2_592_000_001, "from 1 to 2592000000"),
    ("max_attempts", 1, 0, "from 1 to 65535"),
    ("max_attempts", 65_535, 65_536, "from 1 to 65535"),
    ("max_crashes", 1, 0, "from 1 to 65535"),
    ("max_running", 0, -1, "from 0 to"),
    ("max_running", None, "1", "Expected `int`"),
    ("retention_ms", 0, -1, "from 0 to 316224000000"),
    ("retention_jobs", 0, -1, "from 0 to 1000000000000"),
    ("retention_jobs", None, 10**12 + 1, "from 0 to 1000000000000"),
    ("retention_bytes", 0, -1, "from 0 to 1125899906842624"),
    ("retention_bytes", None, (1 << 50) + 1, "from 0 to 1125899906842624"),
    ("retention_ms", None, 316_224_000_001, "from 0 to 316224000000"),
    ("retry.jitter", {"jitter": 1}, {"jitter": 1.5}, "from 0 to 1"),
    ("retry.factor", {"factor": 1}, {"factor": 0}, "from 1 to 100"),
    ("retry.pause", {}, {"pause": 1}, "unknown field"),
]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(("field", "within", "beyond", "says"), BOUNDS)
def test_a_setting_has_exact_bounds(api, queue, method, field, within, beyond, says):
    name = field.split(".")[0]
    api.set(queue, lease_ms=7_777)
    path = f"/v1/queues/{queue}"
    api.refused(api.request(method, path, json={name: beyond}), 400, "invalid_request", field=field, says=says)
    assert api.get(path).json()["set"] == ["lease_ms"]
    assert api.request(method, path, json={name: within}).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_setting_that_nobody_knows_is_named(api, queue, method):
    api.set(queue)
    response = api.request(method, f"/v1/queues/{queue}", json={"capacity": 5})
    api.refused(response, 400, "invalid_request", field="capacity", says="unknown field `capacity`")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/purge")],
)
def test_a_queue_that_nobody_knows_is_not_found(api, queue, method, path):
    problem = api.refused(api.request(method, f"/v1/queues/{queue}{path}"), 404, "queue_not_found", says=queue)
    assert problem["queue"] == queue
    response = api.request(method, f"/v1/queues/a%20b{path}")
    api.refused(response, 400, "invalid_request", field="queue")


# Pause and resume


def test_a_paused_queue_gives_nothing_but_takes_jobs_and_lets_leases_end(api, queue):
    api.push(queue)
    held = api.take(queue)
    assert api.post(f"/v1/queues/{queue}/pause").json()["paused"] is True
    api.push(queue)
    assert api.lease(queue) == []
    assert api.ended("extend", held)["ms_left"]
    assert api.ended("conclude", held)["state"] == "concluded"
    assert api.post(f"/v1/queues/{queue}/resume").json()["paused"] is False
    assert api.take(queue)["attempt"] == 1


def test_pausing_twice_is_pausing_once(api, queue):
    api.set(queue)
    for verb, paused in (("pause", True), ("pause", True), ("resume", False), ("resume", False)):
        assert api.post(f"/v1/queues/{queue}/{verb}").json()["paused"] is paused


# Purge and delete


@pytest.fixture
def full_of_all(api, queue):
    """A queue with one job in each state."""
    for end in ("conclude", "fail", "cancel", "lease"):
        job = api.push(queue)
        if end == "cancel":
            api.post(f"/v1/jobs/{job['id']}/cancel")
            continue
        held = api.take(queue)
        if end != "lease":
            api.ended(end, held, **({"retry": False} if end == "fail" else {}))
    api.push(queue)
    api.push(queue, delay_ms=600_000)
    everything = dict.fromkeys(("scheduled", "ready", "leased", "concluded", "dead", "cancelled"), 1)
    assert api.counts(queue) == everything
    return everything


def test_a_purge_removes_what_waits_and_nothing_else(api, queue, full_of_all):
    assert api.post(f"/v1/queues/{queue}/purge").json() == {"purged": 2}
    assert api.counts(queue) == dict.fromkeys(("leased", "concluded", "dead", "cancelled"), 1)
    assert api.get(f"/v1/queues/{queue}").json()["bytes"] == 4


@pytest.mark.parametrize("state", ["scheduled", "ready", "concluded", "dead", "cancelled"])
def test_a_purge_removes_the_states_that_it_names(api, queue, full_of_all, state):
    assert api.post(f"/v1/queues/{queue}/purge", {"states": [state]}).json() == {"purged": 1}
    assert api.counts(queue) == dict.fromkeys(full_of_all.keys() - {state}, 1)


@pytest.mark.parametrize("states", [["leased"], ["ready", "leased"], [], ["done"]])
def test_leased_jobs_can_not_be_purged(api, queue, full_of_all, states):
    response = api.post(f"/v1/queues/{queue}/purge", {"states": states})
    api.refused(response, 400, "invalid_request", field="states", says="scheduled, ready, concluded, dead, cancelled")
    assert api.counts(queue) == full_of_all


def test_a_large_queue_is_purged_whole(api, queue):
    for _ in range(5):
        api.post("/v1/jobs", {"jobs": [{"queue": queue}] * 1_000})
    assert api.post(f"/v1/queues/{queue}/purge").json() == {"purged": 5_000}
    assert api.counts(queue) == {}


def test_a_queue_with_work_left_is_not_removed(api, queue):
    path = f"/v1/queues/{queue}"
    api.push(queue)
    for _ in range(3):
        problem = api.refused(api.delete(path), 409, "wrong_state", says="purge it first")
        assert problem["queue"] == queue
        if held := api.lease(queue):
            api.refused(api.delete(path), 409, "wrong_state", says="1 unfinished")
            api.ended("fail", held[0], retry=False)
    api.refused(api.delete(path), 409, "wrong_state", says="1 dead")


def test_an_empty_queue_goes_with_its_history_and_comes_back_as_new(api, queue):
    path = f"/v1/queues/{queue}"
    api.set(queue, lease_ms=5_000)
    job = api.push(queue)
    api.ended("conclude", api.take(queue))
    response = api.delete(path)
    assert (response.status_code, response.content) == (204, b"")
    api.refused(api.get(path), 404, "queue_not_found")
    api.refused(api.get(f"/v1/jobs/{job['id']}"), 404, "job_not_found")
    api.refused(api.delete(path), 404, "queue_not_found")
    assert api.push(queue)["id"] > job["id"]
    assert api.get(path).json()["set"] == []


def test_history_is_kept_for_as_long_as_the_queue_says(api, queue, queues):
    kept = queues[0]
    api.set(queue, retention_ms=0)
    api.set(kept, retention_ms=None)
    for name in (queue, kept):
        api.push(name)
        api.ended("conclude", api.take(name))
    api.until("holdfast_jobs", 0, queue=queue, state="concluded")
    assert api.counts(queue) == {}
    assert api.counts(kept) == {"concluded": 1}


def test_history_is_kept_up_to_as_many_bytes_as_the_queue_says_and_the_queue_shows_how_many_there_are(api, queue):
    api.set(queue, retention_bytes=15)
    for n in range(4):
        api.push(queue, n)
        api.ended("conclude", api.take(queue), result="12")
    api.until("holdfast_queue_history_bytes", 15, queue=queue)
    assert api.get(f"/v1/queues/{queue}").json()["history_bytes"] == 15
    assert api.counts(queue) == {"concluded": 3}


def test_the_scale_of_a_queue_says_how_many_workers_it_needs(api, queue):
    api.push(queue, 1)
    api.push(queue, 2)
    job = api.take(queue)
    shown = api.get(f"/v1/queues/{queue}/scale?drain_ms=1000&concurrency=2").json()
    assert (shown["queue"], shown["backlog"], shown["running"], shown["workers"], shown["jobs_at_once"]) == (queue, 1, 1, 1, 1)
    assert (shown["work_ms"], shown["concluded_per_s"], shown["drain_ms"]) == (None, 0.0, None)
    api.ended("conclude", job)
    shown = api.get(f"/v1/queues/{queue}/scale").json()
    assert shown["work_ms"] >= 0
    assert shown["concluded_per_s"] > 0
    assert shown["drain_ms"] > 0


@pytest.mark.parametrize(
    ("asked", "field"), [("drain_ms=0", "drain_ms"), ("concurrency=0", "concurrency"), ("concurrency=10001", "concurrency")]
)
def test_a_scale_out_of_bounds_names_the_field(api, queue, asked, field):
    api.set(queue)
    refused = api.get(f"/v1/queues/{queue}/scale?{asked}")
    assert (refused.status_code, refused.json()["field"]) == (400, field)


def test_the_scale_of_a_queue_that_is_not_there_is_not_found(api):
    assert api.get("/v1/queues/nowhere/scale").json()["code"] == "queue_not_found"
