"""Statistics, health and metrics: numbers that agree with what was done."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from holdfast import __version__

STATES = ("scheduled", "ready", "leased", "concluded", "dead", "cancelled")


@pytest.fixture
def worked(api, queue):
    """A queue in which every verb was used; how often each was."""
    jobs = [api.push(queue, payload=number) for number in range(7)]
    held = api.lease(queue, max=4)
    api.ended("conclude", held[0])
    api.ended("fail", held[1], retry=False)
    api.ended("release", held[2])
    api.post(f"/v1/jobs/{jobs[4]['id']}/cancel")
    api.delete(f"/v1/jobs/{jobs[5]['id']}")
    api.push(queue, delay_ms=600_000)
    return {"enqueued": 8, "leased": 4, "concluded": 1, "failed": 1, "died": 1, "released": 1, "cancelled": 1, "deleted": 1}


def stats_of(api, queue):
    (shown,) = [one for one in api.get("/v1/stats").json()["queues"] if one["name"] == queue]
    return shown


def samples(api):
    """Every sample as (name, labels) to value; a sample twice is an error, as it is to Prometheus."""
    found = {}
    for family in text_string_to_metric_families(api.get("/metrics").text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def of(found, name, **labels):
    return found[name, frozenset(labels.items())]


# Statistics


def test_the_statistics_of_a_queue_are_exact(api, queue, worked):
    shown = stats_of(api, queue)
    assert shown["jobs"] == {"scheduled": 1, "ready": 2, "leased": 1, "concluded": 1, "dead": 1, "cancelled": 1}
    assert {verb: count for verb, count in shown["totals"].items() if count} == worked
    assert shown["bytes"] == 3 + len("null")
    assert (shown["paused"], shown["capacity_jobs"], shown["capacity_bytes"]) == (False, 1_000_000, 4 << 30)
    assert 0 <= shown["oldest_ready_ms"] < 60_000
    assert shown["rates"]["enqueued"] > shown["rates"]["concluded"] > 0


def test_the_whole_is_the_sum_of_its_queues(api, queue, worked):
    answer = api.get("/v1/stats").json()
    for state in STATES:
        assert answer["jobs"][state] == sum(one["jobs"][state] for one in answer["queues"])
    assert answer["bytes"] == sum(one["bytes"] for one in answer["queues"])
    assert (answer["version"], answer["draining"]) == (__version__, False)
    assert answer["uptime_ms"] > 0
    assert answer["rates"]["enqueued"] > 0


def test_a_queue_with_nothing_ready_has_no_oldest_job(api, queue):
    api.push(queue, delay_ms=600_000)
    assert stats_of(api, queue)["oldest_ready_ms"] is None


def test_the_state_of_the_store_is_told(api, queue):
    before = api.get("/v1/stats").json()["store"]
    api.push(queue)
    after = api.get("/v1/stats").json()["store"]
    assert after["durability"] == {"level": "memory", "replicas": 0}
    assert after["accepting"] is True
    assert after["commits"] > before["commits"]
    assert after["commands"] > before["commands"]


# Health


def test_a_server_that_works_is_healthy_and_ready(api):
    assert (api.get("/healthz").status_code, api.get("/healthz").json()) == (200, {"status": "ok", "reasons": []})
    assert (api.get("/readyz").status_code, api.get("/readyz").json()) == (200, {"status": "ready", "reasons": []})


# Metrics


def test_the_page_is_in_prometheus_text_format_and_says_so_once(api):
    assert api.get("/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_jobs_are_counted_by_queue_and_state_and_verb(api, queue, worked):
    found = samples(api)
    for state, count in stats_of(api, queue)["jobs"].items():
        assert of(found, "holdfast_jobs", queue=queue, state=state) == count
    for verb, count in worked.items():
        assert of(found, "holdfast_job_events_total", queue=queue, event=verb) == count
    assert of(found, "holdfast_queue_bytes", queue=queue) == 7
    assert of(found, "holdfast_queue_history_bytes", queue=queue) == stats_of(api, queue)["history_bytes"] > 0
    assert of(found, "holdfast_queue_capacity_jobs", queue=queue) == 1_000_000
    assert 0 <= of(found, "holdfast_oldest_ready_seconds", queue=queue) < 60
    assert of(found, "holdfast_queue_paused", queue=queue) == 0
    api.post(f"/v1/queues/{queue}/pause")
    assert of(samples(api), "holdfast_queue_paused", queue=queue) == 1
    assert of(found, "holdfast_queue_paused_types", queue=queue) == 0
    api.put(f"/v1/queues/{queue}/types/mail", json={"paused": True})
    assert of(samples(api), "holdfast_queue_paused_types", queue=queue) == 1


def test_the_time_and_size_of_commits_are_measured(api, queue):
    before = samples(api)
    api.push(queue)
    after = samples(api)
    for name in (
        "holdfast_commands_total",
        "holdfast_commit_batch_size_count",
        "holdfast_commit_batch_size_sum",
        "holdfast_commit_seconds_count",
    ):
        assert of(after, name) > of(before, name)
    assert of(after, "holdfast_commit_seconds_sum") > of(before, "holdfast_commit_seconds_sum")
    assert of(after, "holdfast_commit_seconds_bucket", le="+Inf") == of(after, "holdfast_commit_seconds_count")


def test_the_store_and_the_server_are_measured(api):
    found = samples(api)
    assert of(found, "holdfast_info", version=__version__) == 1
    assert of(found, "holdfast_store_accepting") == 1
    assert of(found, "holdfast_uptime_seconds") > 0
    for name in ("holdfast_store_file_bytes", "holdfast_store_wal_bytes", "holdfast_disk_free_bytes"):
        assert of(found, name) >= 0
    for name in ("holdfast_waiters", "holdfast_in_flight_commands", "holdfast_event_streams"):
        assert of(found, name, front="0") == 0


def test_the_log_of_a_store_on_disk_is_measured(serve, tmp_path_factory, queue):
    place = tmp_path_factory.mktemp("measured") / "jobs.db"
    api = serve(store=f"sqlite:///{place}")[1]
    api.push(queue, payload="x" * 100_000)
    found = samples(api)
    assert of(found, "holdfast_store_wal_bytes") > 100_000
    assert of(found, "holdfast_store_file_bytes") > 0
    assert of(found, "holdfast_disk_free_bytes") > 0


def test_requests_are_counted_by_route_not_by_path(api, queue):
    def count(method, route, status):
        return api.metric("holdfast_http_requests_total", method=method, route=route, status=status)

    routes = {
        ("POST", "/v1/queues/{queue}/jobs", "201"): lambda: api.push(queue),
        ("POST", "/v1/leases", "200"): lambda: api.lease(queue),
        ("GET", "/v1/jobs/{job_id}", "404"): lambda: api.get("/v1/jobs/1234567890"),
        ("GET", "unknown", "404"): lambda: api.get("/some/path/or/other"),
    }
    for key, call in routes.items():
        before = count(*key)
        call()
        assert count(*key) == before + 1


def test_no_path_and_no_host_of_a_callers_choice_becomes_a_label(api):
    api.get("/made-up-path-1", headers={"host": "made-up-host.example"})
    api.post("/v1/leases/made-up-token/conclude")
    api.get("/v1/jobs/made-up-id")
    assert "made-up" not in api.get("/metrics").text


def test_labels_are_bounded_however_many_queues_there_are(serve):
    api = serve()[1]
    names = [f"many-{number}" for number in range(700)]
    api.post("/v1/jobs", {"jobs": [{"queue": name, "payload": 1} for name in names]})
    api.post("/v1/jobs", {"jobs": [{"queue": name, "payload": 1} for name in names[-3:]] * 5})
    found = samples(api)
    labelled = {dict(labels)["queue"] for name, labels in found if name == "holdfast_jobs"}
    assert len(labelled) == 501
    assert {"_other", *names[-3:]} <= labelled
    assert sum(value for (name, _), value in found.items() if name == "holdfast_jobs") == 715
    assert of(found, "holdfast_jobs", queue="_other", state="ready") == 200
    assert of(found, "holdfast_job_events_total", queue="_other", event="enqueued") == 200
    assert of(found, "holdfast_queue_bytes", queue="_other") == 200
    assert len(re.findall("(?m)^holdfast_", api.get("/metrics").text)) < 501 * 30
    assert len(api.get("/v1/stats").json()["queues"]) == 700
    api.push("_other")
    assert of(samples(api), "holdfast_jobs", queue="_other", state="ready") == 201


def test_a_queue_that_was_removed_leaves_no_numbers_behind(api, queue):
    api.push(queue)
    api.post(f"/v1/queues/{queue}/purge")
    api.delete(f"/v1/queues/{queue}")
    assert f'queue="{queue}"' not in api.get("/metrics").text
    api.push(queue)
    assert stats_of(api, queue)["totals"]["enqueued"] == 1
