"""What an operator does, from the form to what is kept."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdfast.doors.web import actions
from holdfast.doors.web.actions import ACTIONS, Actions
from holdfast.doors.web.bulk import WAYS
from holdfast.errors import Forbidden

BIG = '{"id": 123456789012345678901234567890, "price": 0.10000000000000000555, "f": 1E400}'


def test_a_queue_is_paused_and_resumed(browser, queue):
    browser.put(queue)
    assert "Queue paused" in browser.done(f"/queues/{queue}/pause", paused="yes")
    assert browser.lease(queue) == []
    assert "Queue resumed" in browser.done(f"/queues/{queue}/pause", paused="no")
    assert len(browser.lease(queue)) == 1


def test_a_type_of_a_queue_is_paused_shown_and_resumed(browser, queue):
    browser.put(queue, type="<b>odd/type</b>")
    shown = browser.done(f"/queues/{queue}/types", type="<b>odd/type</b>", paused="yes")
    assert "Type paused" in shown
    assert "<b>odd/type</b>" in shown
    assert "gives out no jobs of paused types" in shown
    assert browser.lease(queue) == []
    assert "Type resumed" in browser.done(f"/queues/{queue}/types", type="<b>odd/type</b>", paused="no")
    assert len(browser.lease(queue)) == 1


def test_a_queue_is_made_fair_and_a_key_gets_a_larger_share(browser, queue):
    browser.put(queue, fair_key="<b>big")
    browser.put(queue, fair_key="small")
    assert "Settings saved" in browser.done(f"/queues/{queue}/fair", fair="yes")
    assert "Weight set" in (shown := browser.done(f"/queues/{queue}/fair", key="small", weight="3"))
    assert "2 jobs of 2 keys wait" in shown
    assert "75.0 %" in shown
    assert "<b>big" in shown
    browser.send(f"/queues/{queue}/settings", max_running="2")
    assert browser.http.get(f"/v1/queues/{queue}").json()["settings"]["fair"] is True
    assert "usual weight" in browser.done(f"/queues/{queue}/fair", key="small", weight="")
    browser.send(f"/queues/{queue}/fair", 400, key="small", weight="1001")
    assert "Settings saved" in browser.done(f"/queues/{queue}/fair", fair="no")
    assert "fair" not in browser.http.get(f"/v1/queues/{queue}").json()["settings"]


def test_a_queue_is_made_with_the_defaults_and_one_that_is_there_stays_as_it_is(browser, queue):
    assert browser.send("/queues", name=queue).headers["location"] == f"/web/queues/{queue}"
    assert browser.http.get(f"/v1/queues/{queue}").json()["set"] == []
    browser.http.put(f"/v1/queues/{queue}", json={"max_running": 3})
    browser.send("/queues", name=queue)
    assert browser.http.get(f"/v1/queues/{queue}").json()["set"] == ["max_running"]
    browser.send("/queues", 400, name="no such name!")


def test_settings_are_kept_and_what_is_empty_follows_the_default(browser, queue):
    browser.put(queue)
    browser.send(
        f"/queues/{queue}/settings",
        capacity_jobs="1,234",
        max_running="2",
        retention_ms="none",
        retry_factor="1.5",
        lease_ms="",
    )
    kept = browser.http.get(f"/v1/queues/{queue}").json()
    assert sorted(kept["set"]) == ["capacity_jobs", "max_running", "retention_ms", "retry"]
    assert (kept["settings"]["capacity_jobs"], kept["settings"]["retention_ms"], kept["settings"]["retry"]["factor"]) == (
        1234,
        None,
        1.5,
    )
    assert 'value="1234"' in browser.get(f"/queues/{queue}")
    browser.send(f"/queues/{queue}/settings", max_running="none")
    assert browser.http.get(f"/v1/queues/{queue}").json()["set"] == ["max_running"]
    for wrong in (
        {"capacity_jobs": "many"},
        {"capacity_jobs": "none"},
        {"lease_ms": "0s"},
        {"lease_ms": "60000"},
        {"capacity_bytes": "4 G"},
        {"retry_max_ms": "1 week"},
        {"retry_jitter": "7"},
        {"retry_factor": "x"},
    ):
        browser.send(f"/queues/{queue}/settings", 400, **wrong)
    assert browser.http.get(f"/v1/queues/{queue}").json()["set"] == ["max_running"]


def test_a_purge_shows_its_count_and_wants_it_typed(browser, queue):
    browser.put(queue, count=3)
    browser.put(queue, count=2, delay_ms=60_000)
    assert "5 jobs will be deleted for good" in browser.text(f"/queues/{queue}/purge?ready=1&scheduled=1")
    given = {"states": "ready", "count": "3"}
    for typed in ("", "yes", f"remove 4 from {queue}"):
        browser.send(f"/queues/{queue}/purge", 400, **given, typed=typed)
    assert browser.counts(queue) == {"ready": 3, "scheduled": 2}
    assert "Jobs purged: 3." in browser.done(f"/queues/{queue}/purge", **given, typed=f"remove 3 from {queue}")
    assert browser.counts(queue) == {"scheduled": 2}


def test_a_queue_is_deleted_when_its_name_is_typed_and_nothing_is_left(browser, queue):
    browser.put(queue)
    browser.send(f"/queues/{queue}/delete", 400, typed="delete")
    browser.send(f"/queues/{queue}/delete", 409, typed=f"delete {queue}")
    browser.send(f"/queues/{queue}/purge", states="ready", count="1", typed=f"remove 1 from {queue}")
    assert "Queue deleted." in browser.done(f"/queues/{queue}/delete", typed=f"delete {queue}")
    browser.get(f"/queues/{queue}", 404)


def test_a_job_is_put_by_hand_with_its_numbers_as_typed(browser, queue):
    where = browser.send(
        "/enqueue",
        queue=queue,
        type="mail",
        payload=BIG,
        priority="7",
        max_attempts="3",
        tags="a, b,a",
        unique_key="u",
        delay_ms="",
    ).headers["location"]
    number = int(where.partition("?")[0].rpartition("/")[2])
    job = browser.job(number)
    assert (job["type"], job["priority"], job["max_attempts"], job["tags"], job["unique_key"]) == (
        "mail",
        7,
        3,
        ["a", "b"],
        "u",
    )
    shown = browser.text(f"/jobs/{number}/payload")
    for digits in ("123456789012345678901234567890", "0.10000000000000000555", "1E400"):
        assert digits in shown
    assert browser.http.get(f"/web/jobs/{number}/payload?download=yes").text == BIG
    browser.send("/enqueue", 409, queue=queue, payload="1", unique_key="u")
    browser.send("/enqueue", 400, queue=queue, payload="{broken")
    browser.send("/enqueue", 400, queue="a b", payload="1")
    browser.send("/enqueue", 400, queue=queue, payload="1", run_at="tomorrow")


def test_a_job_can_be_plain_text_and_scheduled(browser, queue):
    browser.send("/enqueue", queue=queue, payload="line\r\nline", kind="text", run_at="2090-01-02T03:04:05")
    listed = browser.http.get("/v1/jobs", params={"queue": queue}).json()["jobs"][0]
    assert (listed["state"], listed["ready_at"], listed["content_type"]) == (
        "scheduled",
        "2090-01-02T03:04:05.000Z",
        "text/plain; charset=utf-8",
    )
    assert listed["payload_bytes"] == 9


def test_a_dead_job_is_retried_a_scheduled_one_run_now_a_waiting_one_cancelled(browser, queue):
    (dead,) = browser.die(queue)
    assert "ready again" in browser.done(f"/jobs/{dead}/retry")
    assert "Cancelled" in browser.done(f"/jobs/{dead}/cancel")
    assert browser.job(dead)["state"] == "cancelled"
    (later,) = browser.put(queue, delay_ms=60_000)
    assert "ready now" in browser.done(f"/jobs/{later}/promote")
    browser.send(f"/jobs/{later}/promote", 409)
    browser.send(f"/jobs/{later}/explode", 404)


def test_meta_is_typed_shown_filtered_by_edited_and_cloned(browser, queue):
    where = browser.send("/enqueue", queue=queue, payload="1", meta="tenant=7\r\nurl = a=b\r\n").headers["location"]
    number = int(where.partition("?")[0].rpartition("/")[2])
    assert browser.job(number)["meta"] == {"tenant": "7", "url": "a=b"}
    assert "tenant=7" in browser.text(f"/jobs/{number}")
    other = browser.put(queue)[0]
    listed = browser.get(f"/jobs?queue={queue}&meta=url%3Da%3Db")
    assert f"job-{number}" in listed
    assert f"job-{other}" not in listed
    browser.send(f"/jobs/{number}/edit", priority="5", meta="tenant=7\r\nurl=a=b")
    assert browser.job(number)["meta"] == {"tenant": "7", "url": "a=b"}
    browser.send(f"/jobs/{number}/edit", meta="tenant=8")
    assert browser.job(number)["meta"] == {"tenant": "8"}
    browser.send(f"/jobs/{number}/edit", 400, meta="tenant")
    browser.send(f"/jobs/{number}/edit", 400, meta="tenant=8\ntenant=9")
    cloned = browser.send(f"/jobs/{number}/clone").headers["location"].partition("?")[0].rpartition("/")[2]
    assert browser.job(int(cloned))["meta"] == {"tenant": "8"}


def test_a_lease_is_taken_back(browser, queue):
    browser.put(queue)
    (held,) = browser.http.post("/v1/leases", json={"queues": [queue]}).json()["jobs"]
    assert "Take lease back" in browser.text(f"/jobs/{held['id']}")
    assert '<input type="hidden" name="attempt" value="1">' in browser.get(f"/jobs/{held['id']}")
    browser.send(f"/jobs/{held['id']}/release-lease", 409, attempt="2")
    assert browser.job(held["id"])["state"] == "leased"
    assert "Lease taken back" in browser.done(f"/jobs/{held['id']}/release-lease", attempt="1")
    assert (browser.job(held["id"])["state"], browser.job(held["id"])["attempt"]) == ("ready", 1)
    browser.send(f"/jobs/{held['id']}/release-lease", 409)


def test_a_job_is_deleted_only_when_that_was_typed(browser, queue):
    (job,) = browser.put(queue)
    browser.send(f"/jobs/{job}/delete", 400, typed="delete")
    assert browser.job(job)["state"] == "ready"
    assert "Job deleted." in browser.done(f"/jobs/{job}/delete", typed=f"delete {job}")
    browser.get(f"/jobs/{job}", 404)


def test_a_job_is_moved_with_its_payload(browser, queue, other):
    (job,) = browser.put(queue, {"n": 1}, priority=5)
    where = browser.send(f"/jobs/{job}/move", target=other).headers["location"]
    moved = browser.job(int(where.partition("?")[0].rpartition("/")[2]))
    assert (moved["queue"], moved["payload"], moved["priority"]) == (other, {"n": 1}, 5)
    browser.get(f"/jobs/{job}", 404)
    browser.send(f"/jobs/{moved['id']}/move", 400, target="no such name!")


def test_an_edit_changes_what_was_changed_and_nothing_else(browser, queue):
    (job,) = browser.put(queue, {"n": 1}, type="t", tags=["x"], priority=9)
    before = browser.job(job)
    same = {
        "type": "t",
        "priority": "9",
        "max_attempts": str(before["max_attempts"]),
        "tags": "x",
        "payload": '{"n":1}',
        "payload_was": '{"n":1}',
    }
    browser.send(f"/jobs/{job}/edit", **same)
    assert browser.job(job) == before
    browser.send(f"/jobs/{job}/edit", **same | {"payload": BIG, "priority": "1", "tags": "x, y"})
    after = browser.job(job)
    assert (after["priority"], after["tags"], after["type"]) == (1, ["x", "y"], "t")
    assert "123456789012345678901234567890" in browser.text(f"/jobs/{job}/edit")
    browser.send(f"/jobs/{job}/edit", 400, **same | {"payload": "{"})
    browser.send(f"/jobs/{job}/edit", **same | {"delay_ms": "1m"})
    assert browser.job(job)["state"] == "scheduled"
    browser.send(f"/jobs/{job}/cancel")
    browser.get(f"/jobs/{job}/edit", 404)


def test_a_clone_is_the_same_once_more(browser, queue):
    payload = {"n": 12345678901234567890}
    (job,) = browser.put(queue, payload, type="t", tags=["x"])
    where = browser.send(f"/jobs/{job}/clone").headers["location"]
    twin = browser.job(int(where.partition("?")[0].rpartition("/")[2]))
    assert (twin["payload"], twin["type"], twin["tags"], twin["queue"]) == (payload, "t", ["x"], queue)
    form = browser.get(f"/enqueue?from={job}")
    assert 'value="t"' in form
    assert "12345678901234567890" in form


def test_a_clone_that_was_changed_keeps_what_its_form_does_not_show(browser, queue):
    (job,) = browser.put(queue, {"n": 1}, lease_ms=7_000, group_key="g", group_limit=3)
    shown = browser.get(f"/enqueue?from={job}")
    assert 'name="group_limit" inputmode="numeric" value="3"' in shown
    assert "&quot;payload&quot;: {&quot;n&quot;:1}" in shown.replace("&#34;", "&quot;"), "the command has the payload, too"
    given = {"queue": queue, "payload": "2", "group_key": "g", "group_limit": "4", "unique_key": "u"}
    where = browser.send("/enqueue", **given, **{"from": f"{job}"}).headers["location"]
    twin = browser.job(int(where.partition("?")[0].rpartition("/")[2]))
    assert (twin["payload"], twin["unique_key"], twin["group_limit"]) == (2, "u", 4)
    assert all(held["lease"]["ms_left"] <= 7_000 for held in browser.lease(queue, 2))
    browser.send("/enqueue", 400, **given | {"group_limit": "0"})


def test_where_an_event_would_go_is_told_and_nothing_is_put(browser, queue, other):
    browser.send("/interests", queue=queue, field=["action", ""], value=["user.*", ""])
    browser.send("/interests", queue=other, everything="1")
    answer = browser.send("/interests/test", 200, data='{"action": "userCreated"}')
    assert "/v1/interests/test" in answer.text, "the call that does the same"
    assert f"/web/queues/{queue}" in answer.text
    assert f"/web/queues/{other}" in answer.text
    answer = browser.send("/interests/test", 200, data='{"action": "nothing"}')
    assert f"/web/queues/{queue}" not in answer.text
    assert "not valid JSON" in browser.send("/interests/test", 200, data="{").text
    assert browser.counts(queue) == {}
    browser.send("/interests", 400, queue=queue, field=["("], value=["x"])
    browser.send("/interests", 400, queue=queue)
    assert "nothing was changed" in browser.send("/interests/remove", 400, queue=other, typed="remove it").text
    assert "Subscription removed" in browser.done("/interests/remove", queue=other, typed=f"remove {other}")
    assert browser.http.get(f"/v1/interests/{other}").status_code == 404


def test_a_schedule_is_made_changed_paused_run_and_removed(browser, queue):
    given = {
        "name": queue,
        "queue": queue,
        "cron": "30 4 * * 1",
        "timezone": "Europe/Vienna",
        "payload": '{"a": 1}',
        "missed": "all",
        "overlap": "1",
    }
    assert "every Monday at 04:30" in browser.done("/schedules", **given)
    kept = browser.http.get(f"/v1/schedules/{queue}").json()
    assert (kept["cron"], kept["missed"], kept["overlap"], kept["payload"]) == ("30 4 * * 1", "all", True, {"a": 1})
    browser.send("/schedules", **given | {"cron": "", "interval_ms": "1m", "overlap": ""})
    browser.send(f"/schedules/{queue}/pause")
    assert browser.http.get(f"/v1/schedules/{queue}").json()["paused"]
    browser.send("/schedules", **given)
    assert browser.http.get(f"/v1/schedules/{queue}").json()["paused"], "a change leaves it paused"
    browser.send(f"/schedules/{queue}/resume")
    browser.send(f"/schedules/{queue}/run")
    assert browser.counts(queue) == {"ready": 1}
    browser.send("/schedules", 400, **given | {"cron": "nonsense"})
    browser.send(f"/schedules/{queue}/delete", 400, typed="delete")
    browser.send(f"/schedules/{queue}/delete", typed=f"delete {queue}")
    assert browser.http.get(f"/v1/schedules/{queue}").status_code == 404


def test_a_worker_is_quieted_and_forgotten(browser, queue):
    worker = browser.http.post("/v1/workers", json={"queues": [queue], "name": f"anna-{queue}"}).json()["id"]
    browser.put(queue)
    browser.http.post(f"/v1/workers/{worker}/leases", json={})
    browser.send(f"/workers/{worker}/quiet")
    assert browser.http.get(f"/v1/workers/{worker}").json()["state"] == "quiet"
    assert f"anna-{queue}" in browser.text("/workers")
    browser.send(f"/workers/{worker}/stop")
    assert browser.http.get(f"/v1/workers/{worker}").json()["state"] == "stopping"
    browser.send(f"/workers/{worker}/remove")
    assert browser.http.get(f"/v1/workers/{worker}").status_code == 404
    browser.send(f"/workers/{worker}/quiet", 404)


def test_workers_are_found_by_queue_type_and_process_and_stopped_together(browser, queue):
    def register(**given):
        return browser.http.post("/v1/workers", json={"queues": [queue], **given}).json()["id"]

    def state(worker):
        return browser.http.get(f"/v1/workers/{worker}").json()["state"]

    old = register(name="old", host="host-7", pid=4711, version="shop 6", types=["mail"])
    new = register(name="new", host="host-8", version="shop 7", types=["mail", "print"])
    other = register(name="other", queues=[f"{queue}-other"])
    shown = browser.text(f"/workers?queue={queue}&q=host-7")
    assert "host-7 pid 4711 shop 6" in shown
    for query, found in (
        (f"queue={queue}", {old, new}),
        (f"queue={queue}&type=print", {new}),
        (f"queue={queue}&q=shop+6", {old}),
    ):
        shown = browser.text(f"/workers?{query}")
        assert {worker for worker in (old, new, other) if worker in shown} == found
    browser.send("/workers", queue=queue, type="print", verb="quiet")
    assert [state(worker) for worker in (old, new, other)] == ["running", "quiet", "running"]
    browser.send("/workers", queue=queue, verb="stop")
    assert [state(worker) for worker in (old, new, other)] == ["stopping", "stopping", "running"]
    browser.send("/workers", 404, queue=queue, verb="remove")
    assert "without a filter nothing is done to all workers" in browser.send("/workers", 400, verb="stop", queue=" ").text
    assert state(other) == "running"


def test_workers_that_end_meanwhile_do_not_keep_others_from_being_stopped(browser, queue):
    def register(n):
        return browser.http.post("/v1/workers", json={"queues": [queue], "name": f"w{n}"}).json()["id"]

    ids = [register(n) for n in range(80)]
    form = {"form_token": browser.token(), "queue": queue, "verb": "stop"}
    with ThreadPoolExecutor(2) as pool:
        stopping = pool.submit(browser.http.post, f"{browser.root}/web/workers", data=form)
        for worker in ids[:0:-2]:
            assert browser.http.delete(f"/v1/workers/{worker}").status_code == 204
        assert stopping.result().status_code == 303
    assert {browser.http.get(f"/v1/workers/{worker}").json()["state"] for worker in ids[::2]} == {"stopping"}


async def test_every_action_goes_through_one_place_that_can_forbid_it():
    asked = []
    told = []

    class Engine:
        async def record(self, entry):
            told.append(entry.outcome)

    actions = Actions(Engine(), lambda action, queue: asked.append((action, queue)) or False)  # type: ignore[arg-type,func-returns-value]
    for action in ACTIONS:
        with pytest.raises(Forbidden):
            await actions.act(action, "1", "q")
    assert asked == [(action, "q") for action in ACTIONS]
    assert told == ["forbidden"] * len(ACTIONS)
    assert {way.action for way in WAYS.values()} <= set(ACTIONS)


def test_nothing_in_the_page_calls_a_verb_of_the_engine_but_that_place():
    verbs = (
        "change_job",
        "move_job",
        ".enqueue(",
        "add_job(",
        "set_queue(",
        ".pause(",
        ".purge(",
        "delete_queue(",
        "set_interest(",
        "remove_workers",
        "set_schedule(",
    )
    folder = Path(actions.__file__).parent
    for module in folder.glob("*.py"):
        if module.name != "actions.py":
            found = [
                verb
                for verb in verbs
                if f"engine{verb}" in module.read_text() or f"engine.{verb.strip('.')}" in module.read_text()
            ]
            assert not found, (module.name, found)


def test_what_was_done_is_said_only_of_actions_that_there_are():
    assert Actions.said("queue.purge", "12") == "Jobs purged: 12."
    assert Actions.said("queue.purge", "<b>") == "Jobs purged: some."
    assert Actions.said("<script>", "1") == ""
    assert json.dumps(Actions.said("", "")) == '""'


def test_a_time_to_live_is_typed_shown_edited_and_not_cloned(browser, queue):
    where = browser.send("/enqueue", queue=queue, payload="1", expires_in_ms="10m").headers["location"]
    number = int(where.rsplit("/", 1)[1].partition("?")[0])
    first = browser.job(number)["expires_at"]
    assert "It ends as expired in" in browser.text(f"/jobs/{number}")
    assert "Expires" in browser.text(f"/jobs/{number}")
    browser.send(f"/jobs/{number}/edit", priority="5", expires_in_ms="")
    assert browser.job(number)["expires_at"] == first
    browser.send(f"/jobs/{number}/edit", expires_in_ms="20m")
    assert browser.job(number)["expires_at"] > first
    clone = int(browser.send(f"/jobs/{number}/clone").headers["location"].rsplit("/", 1)[1].partition("?")[0])
    assert "expires_at" not in browser.job(clone)
    browser.send(f"/jobs/{number}/edit", expires_in_ms="none")
    assert "expires_at" not in browser.job(number)
    browser.send(f"/jobs/{number}/edit", 400, expires_in_ms="soon")
    browser.send(f"/queues/{queue}/settings", expires_in_ms="1h")
    assert browser.http.get(f"/v1/queues/{queue}").json()["settings"]["expires_in_ms"] == 3_600_000
    browser.send(f"/queues/{queue}/settings", expires_in_ms="none")
    assert browser.http.get(f"/v1/queues/{queue}").json()["settings"]["expires_in_ms"] is None


def test_an_expired_job_is_retried(browser, queue):
    number = browser.http.post(f"/v1/queues/{queue}/jobs", json={"expires_in_ms": 1}).json()["id"]
    assert browser.http.get(f"/v1/jobs/{number}?wait_ms=20000").json()["reason"] == "expired"
    assert "its deadline passed before a worker had it" in browser.text(f"/jobs/{number}")
    browser.send(f"/jobs/{number}/retry")
    assert browser.job(number)["state"] == "ready"


def test_what_was_raised_is_shown_with_its_traceback_folded(browser, queue):
    (number,) = browser.put(queue)
    (held,) = browser.lease(queue)
    trace = 'Traceback (most recent call last):\n  File "/srv/app/<b>mail.py", line 3, in send\nOSError: no'
    browser.end("fail", held, error={"class": "OSError", "message": "no", "traceback": trace}, retry=False)
    html = browser.get(f"/jobs/{number}")
    assert "<summary>Traceback</summary><pre>Traceback (most recent call last):" in html
    assert "<b>mail.py" not in html
    listed = browser.text(f"/failures?queue={queue}")
    assert "OSError: no /srv/app/<b>mail.py in send" in listed


def test_a_budget_is_made_changed_and_deleted(browser, queue):
    assert "Budget saved" in browser.done("/budgets", name="made", limit="1,000", per_ms="1m", burst="10")
    assert "1,000 in 1 m" in browser.text("/budgets")
    form = browser.get("/budgets?name=made")
    assert 'value="1m"' in form
    assert 'value="10"' in form
    assert "Budget saved" in browser.done("/budgets", name="made", limit="3", per_ms="", burst="")
    found = browser.http.get("/v1/budgets/made").json()
    assert (found["limit"], found["per_ms"]) == (3, None)
    browser.send("/budgets", 400, name="made", limit="no")
    browser.send("/budgets", 400, name="made", limit="3", burst="9")
    browser.send("/budgets", 400, name="not/this", limit="3")
    browser.http.post(f"/v1/queues/{queue}/jobs", json={"payload": 1, "budgets": [{"name": "made"}]})
    browser.send("/budgets/made/delete", 400, typed="delete another")
    browser.send("/budgets/made/delete", 409, typed="delete made")
    assert "Budget deleted" in browser.done("/budgets/made/delete", typed="delete made", force="1")
    assert browser.http.get("/v1/budgets/made").status_code == 404


def test_a_budget_is_blocked_and_unblocked(browser):
    browser.http.put("/v1/budgets/page", json={"limit": 5, "per_ms": 60_000})
    assert "5 in 1" in browser.get("/budgets")
    assert "Blocked: nothing" in browser.done("/budgets/page/block")
    assert browser.http.get("/v1/budgets/page").json()["blocked_until"] is not None
    assert "Unblocked." in browser.done("/budgets/page/unblock")
    assert browser.http.get("/v1/budgets/page").json()["blocked_until"] is None
    browser.send("/budgets/page/other", 404)


def test_what_is_no_verb_of_a_batch_or_an_operation_does_nothing(browser, queue):
    batch = browser.http.post("/v1/batches", json={"jobs": [{"queue": queue}]}).json()["id"]
    browser.send(f"/batches/{batch}/open", 404)
    assert browser.http.get(f"/v1/batches/{batch}").json()["state"] == "open"
    wanted = {"do": "cancel", "filter": {"queue": queue}, "per_s": 0.01}
    number = browser.http.post("/v1/operations", json=wanted).json()["id"]
    browser.put(queue)
    browser.send(f"/operations/{number}/stop", 404)
    assert browser.http.get(f"/v1/operations/{number}").json()["state"] != "paused"


def test_a_pace_below_one_a_second_is_shown_and_set(browser, queue):
    browser.put(queue, count=3)
    wanted = {"do": "cancel", "filter": {"queue": queue}, "per_s": 0.05}
    number = browser.http.post("/v1/operations", json=wanted).json()["id"]
    assert 'name="per_s" inputmode="decimal" value="0.05"' in browser.get(f"/operations/{number}")
    assert "Pace changed." in browser.done(f"/operations/{number}/pace", per_s="0.5")
    assert browser.http.get(f"/v1/operations/{number}").json()["per_s"] == 0.5
    browser.send(f"/operations/{number}/pace", 400, per_s="half")
    browser.http.post(f"/v1/operations/{number}/cancel")


def test_a_clone_pays_what_its_queue_says_once(browser, queue, other):
    browser.http.put("/v1/budgets/once", json={"limit": 2}).raise_for_status()
    browser.http.put(f"/v1/queues/{queue}", json={"budgets": [{"name": "once"}]}).raise_for_status()
    (job,) = browser.put(queue, 1)
    for _ in range(3):
        browser.done(f"/jobs/{job}/clone")
        job = max(one["id"] for one in browser.http.get("/v1/jobs", params={"queue": queue}).json()["jobs"])
        assert browser.job(job)["budgets"] == [{"name": "once"}]
    browser.done("/enqueue", queue=other, payload="1", **{"from": job})
    (elsewhere,) = browser.http.get("/v1/jobs", params={"queue": other}).json()["jobs"]
    assert "budgets" not in elsewhere


def test_a_budget_may_have_a_name_as_long_as_over_http(browser):
    assert re.search(r'name="name"[^>]* maxlength="128"', browser.get("/budgets"))
