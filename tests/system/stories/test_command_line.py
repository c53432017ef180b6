"""The stories on a command line."""

import json
import time

import pytest

from tests.system.stories import scenes
from tests.system.stories.steps import WITHIN_S, Shell, row
from tests.system.whole.servers import until

pytestmark = pytest.mark.long(150)


@pytest.fixture
def story(server, tmp_path):
    """Begins a story when it is first asked."""
    return lambda: Shell(server.url, tmp_path)


def test_a_deploy_that_broke_one_type_is_found_contained_and_made_good(story, api, programs, queue):
    scenes.a_deploy_broke_one_type(api, programs, queue)
    run = story()
    failed = row(run("failures", "--queue", queue), "KeyError: 'customer'", "invoice")
    assert failed["DEAD"] == "40"
    run("queue", "pause", queue, "--type", "invoice")
    with run.aside():
        api.put(queue, 4712, count=5, type="invoice")
        programs.deploy(queue, "1.2")
    assert api.counts(queue)["ready"] == 5
    run("queue", "resume", queue, "--type", "invoice")
    assert "40 of 40 jobs" in run("job", "retry", "--group", failed["KEY"], "--queue", queue, "--yes")
    until(scenes.counted(api, queue, concluded=65, dead=1), "they are made good")
    assert row(run("stats", "--queue", queue), queue)["DEAD"] == "1"
    run.end_of("1")


def test_the_jobs_of_a_dead_worker_are_taken_back(story, api, programs, bereaved):
    until(lambda: scenes.is_silent(api, bereaved), "it is missed", 90)
    run = story()
    worker = row(run("worker", "ls", "--silent"), bereaved)
    assert (worker["STATE"], worker["JOBS"]) == ("running, silent", "200")
    assert "200 taken back" in run("worker", "release", worker["WORKER"], "--yes")
    assert api.counts(bereaved) == {"ready": scenes.HOLDERS}
    run.end_of("2")


def test_a_tenant_that_floods_a_queue_is_seen_and_another_gets_more(story, api, programs, queue):
    scenes.a_tenant_floods(api, programs, queue)
    run = story()
    assert row(run("queue", "fair", "list", queue), "tenant-2")["SHARE"] == "50.0 %"
    run("queue", "fair", "set", queue, "tenant-2", 4)
    assert row(run("queue", "fair", "list", queue), "tenant-2")["SHARE"] == "80.0 %"
    run.end_of("3")


def test_an_account_that_gets_429_is_blocked_and_unblocked(story, api, programs, queue):
    budget = f"bank-{queue}"
    with scenes.a_bank() as (bank, limited):
        scenes.an_api_answers_429(api, programs, queue, budget, bank, limited)
        run = story()
        failed = row(run("failures", "--queue", queue), "Too Many Requests")
        assert json.loads(run("job", "get", failed["EXAMPLE"]))["budgets"] == [{"name": budget, "key": "tenant-7"}]
        run("budget", "block", budget, "--key", "tenant-7", "--for", "10m")
        with run.aside():
            until(lambda: api.http.get(f"/v1/budgets/{budget}").json()["waiting"] == 12, "all wait")
        assert row(run("budget", "accounts", budget), "tenant-7")["WAITING"] == "12"
        with run.aside():
            limited.clear()
        run("budget", "unblock", budget, "--key", "tenant-7")
        until(scenes.counted(api, queue, concluded=24), "all are charged")
        run.end_of("4")
        programs.close()


def test_of_a_full_queue_it_is_seen_who_fills_and_who_empties_it(story, api, programs, queue):
    scenes.a_queue_is_full(api, programs, queue)
    run = story()
    assert row(run("stats", "--queue", queue), queue)["USED"] == "100%"
    assert "slow" in run("job", "ls", "--queue", queue, "--state", "ready", "--limit", 200, "-o", "type")
    assert row(run("worker", "ls"), f"{queue}-1.0")["JOBS"] == "1"
    run("queue", "set", queue, "capacity_jobs=2000")
    api.put(queue, type="slow")
    with run.aside():
        programs.deploy(queue, "1.0")
    run("queue", "drain", queue)
    run.end_of("5")


def test_a_poison_job_is_put_out_of_the_way(story, api, programs, queue):
    scenes.a_poison_job(api, programs, queue)
    run = story()
    failed = row(run("failures", "--queue", queue), "poison")
    run("job", "move", "--group", failed["KEY"], "--queue", queue, "--to", f"{queue}.poison", "--yes")
    run("queue", "pause", f"{queue}.poison")
    assert api.counts(f"{queue}.poison") == {"ready": 1}
    run.end_of("6")


def test_a_job_that_does_not_run_says_why(story, api, programs, queue):
    job = scenes.a_job_does_not_run(api, programs, queue)
    run = story()
    assert f"Jobs of the type 'invoice' in queue {queue} are paused. [type_paused]" in run("job", "why", job)
    run("queue", "resume", queue, "--type", "invoice")
    assert "invoice 4711" in run("job", "wait", job, "--timeout", "30s")
    run.end_of("7")


@pytest.mark.parametrize(("by", "story_of"), [("text", "8"), ("meta", "8b"), ("worker", "8b"), ("time", "8c")])
def test_one_job_of_one_customer_is_found_among_100000(story, api, haystack, by, story_of):
    run = story()
    option = "--newer" if by == "time" else f"--{by}"
    more = ("--queue", "orders", "--state", "concluded") if by == "time" else ()
    assert row(run("job", "ls", option, haystack[by], *more), str(haystack["id"]))["TYPE"] == "order"
    run.end_of(story_of)


def test_100000_dead_jobs_are_retried_at_a_pace(story, api, programs, queue):
    scenes.dead_jobs(api, queue, scenes.REDRIVEN)
    run = story()
    number = run("job", "retry", "--queue", queue, "--per-s", scenes.PER_S, "--no-wait", "--yes").split()[-1]
    began, before = time.monotonic(), api.http.get(f"/v1/operations/{number}").json()["done"]
    assert "running" in run("operation", "list")
    with run.aside():
        until(lambda: api.http.get(f"/v1/operations/{number}").json()["state"] == "done", "all are ready", 10 * WITHIN_S)
    assert (scenes.REDRIVEN - before) / (time.monotonic() - began) <= 1.1 * scenes.PER_S
    assert api.counts(queue) == {"ready": scenes.REDRIVEN}
    run.end_of("9")
