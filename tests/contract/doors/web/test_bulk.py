"""Many jobs at once: counted first, confirmed by typing, done by the server, paused and gone on with."""

import re
import time
from html import unescape
from urllib.parse import unquote

import pytest

from tests.system.whole.servers import until


def preview(browser, **query):
    answer = browser.http.get("/web/bulk", params=query)
    assert answer.status_code == 200, answer.text[:2_000]
    return answer.text, browser.hidden(answer.text)


def test_selected_jobs_are_retried_and_no_others(browser, queue, markup):
    ids = browser.die(queue, count=4)
    html, fields = preview(browser, way="retry", ids=ids[:2])
    assert "Retry 2 jobs?" in markup(html).text
    last = browser.operate(fields)
    assert "2 of 2 done" in last
    assert [browser.job(one)["state"] for one in ids] == ["ready", "ready", "dead", "dead"]


def test_selected_jobs_to_which_it_does_not_apply_are_left_out_of_the_count(browser, queue, markup):
    (dead,) = browser.die(queue)
    (ready,) = browser.put(queue)
    html, fields = preview(browser, way="retry", ids=[dead, ready, 99_999_999])
    assert "Retry 1 job?" in markup(html).text
    assert fields["ids"] == str(dead)


def test_a_preview_of_dead_jobs_and_others_shows_the_error_of_those_that_have_one(browser, queue, markup):
    (dead,) = browser.die(queue, "connection refused")
    (ready,) = browser.put(queue)
    for chosen in ({"ids": [dead, ready]}, {"all": "1", "queue": queue}):
        html, _ = preview(browser, way="move", target="elsewhere", **chosen)
        shown = markup(html).text
        assert "Move 2 jobs?" in shown
        assert "connection refused" in shown
        assert str(ready) in shown


def test_all_that_match_are_retried_and_no_others(browser, queue, markup):
    browser.die(queue, "connection refused", count=700, type="a")
    browser.die(queue, "another error", count=3, type="b")
    html, fields = preview(browser, way="retry", all="1", queue=queue, state="dead", text="refused")
    assert "Retry 700 jobs?" in markup(html).text
    assert "700 of 700 done" in browser.operate(fields)
    assert browser.counts(queue) == {"ready": 700, "dead": 3}


def test_what_destroys_wants_the_count_typed_and_does_nothing_without(browser, queue, markup):
    browser.die(queue, count=5)
    html, fields = preview(browser, way="delete", all="1", queue=queue, state="dead")
    assert "Type delete 5" in markup(html).text
    for typed in ("", "delete", "delete 4", "yes"):
        answer = browser.http.post("/web/bulk", data={**fields, "typed": typed})
        assert answer.status_code == 400
    assert browser.counts(queue) == {"dead": 5}
    last = browser.operate(fields, typed="delete 5")
    assert "5 of 5 done" in last
    assert browser.counts(queue) == {}


def test_jobs_that_came_after_the_preview_are_left_alone(browser, queue):
    browser.put(queue, count=3)
    _, fields = preview(browser, way="cancel", all="1", queue=queue)
    assert fields["total"] == "3"
    while preview(browser, way="cancel", all="1", queue=queue)[1]["asked_at"] <= fields["asked_at"]:
        pass  # until the server's clock has moved on
    browser.put(queue, count=2)
    browser.operate(fields, typed="cancel 3")
    assert browser.counts(queue) == {"cancelled": 3, "ready": 2}


def test_an_operation_is_paused_given_another_pace_and_goes_on(browser, queue):
    browser.put(queue, count=5)
    _, fields = preview(browser, way="cancel", all="1", queue=queue)
    where = browser.send("/bulk", **fields, typed="cancel 5", per_s="1").headers["location"]
    (number,) = re.findall(r"/operations/(\d+)", where)
    assert "Paused." in browser.done(f"/operations/{number}/pause")
    assert "Resume" in browser.text(f"/operations/{number}")
    assert number in browser.text("/operations")
    assert "Pace changed." in browser.done(f"/operations/{number}/pace", per_s="")
    assert browser.counts(queue)["ready"] >= 3
    assert "Resumed." in browser.done(f"/operations/{number}/resume")
    while browser.counts(queue).get("ready"):
        pass
    assert browser.counts(queue) == {"cancelled": 5}


def test_an_operation_is_cancelled_and_what_it_has_done_stays_done(browser, queue):
    browser.put(queue, count=5)
    _, fields = preview(browser, way="cancel", all="1", queue=queue)
    where = browser.send("/bulk", **fields, typed="cancel 5", per_s="1").headers["location"]
    (number,) = re.findall(r"/operations/(\d+)", where)
    assert "Cancelled. What it has done stays done." in browser.done(f"/operations/{number}/cancel")
    assert browser.counts(queue)["ready"] >= 1
    assert "Back to the list" in browser.text(f"/operations/{number}")


def test_cancelling_all_reaches_every_state_that_can_be_cancelled(browser, queue):
    browser.put(queue, count=2)
    browser.lease(queue)
    browser.put(queue, delay_ms=60_000)
    browser.die(queue)
    _, fields = preview(browser, way="cancel", all="1", queue=queue)
    assert fields["total"] == "3" or browser.counts(queue)
    browser.operate(fields, typed=f"cancel {fields['total']}")
    counts = browser.counts(queue)
    assert counts["dead"] == 1
    assert counts.get("ready", 0) == counts.get("scheduled", 0) == 0


def test_jobs_are_moved_to_another_queue_and_wait_until_there_is_room(browser, queue, other):
    browser.http.put(f"/v1/queues/{other}", json={"capacity_jobs": 2})
    browser.die(queue, count=5)
    _, fields = preview(browser, way="move", all="1", queue=queue, state="dead")
    assert browser.http.post("/web/bulk", data=fields).status_code == 400
    where = browser.send("/bulk", **fields, target=other).headers["location"]
    (number,) = re.findall(r"/operations/(\d+)", where)
    while "It waits" not in (words := browser.text(f"/operations/{number}")):
        pass
    assert "2 of 5 done" in words
    assert "is full" in words
    assert (browser.counts(queue), browser.counts(other)) == ({"dead": 3}, {"ready": 2})
    browser.done(f"/operations/{number}/cancel")


def test_one_job_that_is_refused_harms_no_other(browser, queue):
    first, second = browser.die(queue, count=2)
    _, fields = preview(browser, way="retry", ids=[first, second])
    browser.send(f"/jobs/{first}/retry")
    last = browser.operate(fields)
    assert "1 of 2 done; 1 were skipped" in last
    assert f"wrong_state : {first}" in last
    assert browser.job(second)["state"] == "ready"


def test_scheduled_jobs_are_run_now(browser, queue):
    browser.put(queue, count=3, delay_ms=60_000)
    _, fields = preview(browser, way="promote", all="1", queue=queue)
    browser.operate(fields)
    assert browser.counts(queue) == {"ready": 3}


def test_leases_of_many_are_taken_back(browser, queue):
    browser.put(queue, count=3)
    held = browser.http.post("/v1/leases", json={"queues": [queue], "max": 3}).json()["jobs"]
    _, fields = preview(browser, way="release", all="1", queue=queue)
    assert fields["total"] == "3"
    browser.operate(fields)
    assert browser.counts(queue) == {"ready": 3}
    refused = browser.http.post(f"/v1/leases/{held[0]['lease']['token']}/conclude")
    assert (refused.status_code, refused.json()["code"]) == (409, "lease_lost")


def test_leases_that_begin_after_the_preview_are_not_taken_back(browser, queue):
    browser.put(queue, count=3)
    shown = [job["id"] for job in browser.lease(queue, 2)]
    _, fields = preview(browser, way="release", all="1", queue=queue)
    (later,) = browser.lease(queue)
    assert fields["total"] == "2"
    browser.operate(fields)
    assert browser.job(later["id"])["state"] == "leased"
    assert [browser.job(one)["state"] for one in shown] == ["ready", "ready"]


def test_a_worker_with_more_leases_than_are_taken_back_at_once_is_said_to_have_more(browser, queue):
    browser.put(queue, count=2_001)
    for _ in range(3):
        browser.lease(queue, 1_000, f"w-{queue}")
    html, fields = preview(browser, way="release", holder=f"w-{queue}")
    assert ("runs now, but not all: repeat it for the rest." in html, fields["total"]) == (True, "2000")
    browser.operate(fields)
    html, fields = preview(browser, way="release", holder=f"w-{queue}")
    assert ("but not all" in html, fields["total"]) == (False, "1")


def test_what_another_did_after_the_preview_is_told_at_the_end(browser, queue):
    jobs = browser.die(queue, count=3)
    _, fields = preview(browser, way="retry", all="1", queue=queue, state="dead")
    browser.http.post(f"/v1/jobs/{jobs[0]}/retry").raise_for_status()
    assert "2 of 3 done; 1 did not match any more." in browser.operate(fields)


def test_nothing_that_fits_is_said_before_anything_can_be_done(browser, queue):
    browser.put(queue)
    answer = browser.http.get("/web/bulk", params={"way": "retry", "all": "1", "queue": queue})
    assert "No matching job" in answer.text
    assert "data-bulk-start" not in answer.text


def test_a_list_is_narrowed_by_last_error_and_age_and_the_action_takes_what_it_shows(browser, queue, markup):
    ids = browser.die(queue, "connection refused", count=2) + browser.die(queue, "timed out", count=2)
    shown = markup(browser.get(f"/jobs?queue={queue}&state=dead&error=timed")).text
    assert "timed out" in shown, "the error stands in the list"
    assert "connection refused" not in shown
    html, fields = preview(browser, way="retry", all="1", queue=queue, error="timed", before="0s")
    assert "Retry 2 jobs?" in markup(html).text
    assert fields["before"].endswith("Z"), "the moment, so that it is the same jobs later on"
    assert "2 of 2 done" in browser.operate(fields)
    assert [browser.job(one)["state"] for one in ids] == ["dead", "dead", "ready", "ready"]
    assert "No matching job" in markup(browser.get(f"/bulk?way=retry&all=1&queue={queue}&before=1h")).text
    assert "before must be" in markup(browser.get(f"/jobs?queue={queue}&before=yesterday", 400)).text


def test_a_batch_is_closed_and_cancelled_on_its_screen_and_shows_its_members(browser, queue, markup):
    batch = browser.http.post("/v1/batches", json={"name": "report"}).json()["id"]
    (dead,) = browser.die(queue, "the printer is on fire", batch=batch)
    (waits,) = browser.put(queue, batch=batch)
    screen = browser.get(f"/batches/{batch}")
    shown = markup(screen).text
    assert "the printer is on fire" in shown
    assert f'href="/web/jobs?batch={batch}&amp;state=dead"' in screen
    listed = markup(browser.get(f"/jobs?batch={batch}&state=dead")).text
    assert str(dead) in listed
    assert "Batch closed" in browser.done(f"/batches/{batch}/close")
    assert browser.http.get(f"/v1/batches/{batch}").json()["state"] == "closed"
    assert "Batch cancelled" in browser.done(f"/batches/{batch}/cancel")
    assert browser.job(waits)["state"] == "cancelled"
    again = browser.get(f"/batches/{batch}")
    assert "Cancel the batch" not in again


def test_what_is_done_to_the_jobs_of_a_batch_is_done_to_no_others(browser, queue, markup):
    batch = browser.http.post("/v1/batches", json={}).json()["id"]
    (mine,) = browser.die(queue, batch=batch)
    (other,) = browser.die(queue)
    html, fields = preview(browser, way="retry", all="1", batch=batch)
    assert "Retry 1 job?" in markup(html).text
    assert "1 of 1 done" in browser.operate(fields)
    assert [browser.job(one)["state"] for one in (mine, other)] == ["ready", "dead"]


@pytest.mark.parametrize("registered", [True, False])
def test_the_leases_of_one_worker_are_taken_back_and_of_no_other(browser, queue, markup, registered):
    browser.put(queue, count=4)
    name = (
        browser.http.post("/v1/workers", json={"queues": [queue], "name": "lost"}).json()["id"]
        if registered
        else f"host/{queue}&x"
    )
    held, others = browser.lease(queue, 2, worker=name), browser.lease(queue, 1, worker=f"other-{queue}")
    screen = browser.get("/workers")
    links = [unescape(one) for one in re.findall(r'href="([^"]*way=release[^"]*)"', screen)]
    (link,) = [one for one in links if unquote(one).endswith(f"holder={name}")]
    html = browser.http.get(link).text
    assert "Take leases back 2 jobs?" in markup(html).text
    fields = browser.hidden(html)
    browser.end("release", held[0])
    (again,) = browser.lease(queue, 1, worker="healthy")
    assert again["id"] == held[0]["id"]
    assert "1 of 2 done; 1 were skipped" in browser.operate(fields), "one that another worker has by now stays with it"
    assert [browser.job(one["id"])["state"] for one in (*held, *others)] == ["leased", "ready", "leased"]
    lost = browser.http.post(f"/v1/leases/{held[1]['lease']['token']}/conclude", json={})
    assert (lost.status_code, lost.json()["code"]) == (409, "lease_lost")


def test_leases_are_taken_back_from_the_worker_that_is_named_only(browser, queue):
    first, second = browser.put(queue, count=2)
    browser.lease(queue, worker="mine")
    browser.lease(queue, worker="theirs")
    html = browser.get(f"/bulk?way=release&holder=mine&ids={first}&ids={second}")
    assert browser.hidden(html)["ids"] == str(first)


def test_jobs_that_expired_are_retried_and_others_that_were_cancelled_are_not(browser, queue, markup):
    expired = browser.put(queue, count=2, expires_in_ms=1)
    (cancelled,) = browser.put(queue)
    assert browser.http.post(f"/v1/jobs/{cancelled}/cancel").status_code == 200
    deadline = time.monotonic() + 20
    while browser.counts(queue) != {"cancelled": 3}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert 'value="retry"' in browser.get(f"/jobs?queue={queue}&state=cancelled")
    html, fields = preview(browser, way="retry", ids=[*expired[:1], cancelled])
    assert "Retry 1 job?" in markup(html).text
    assert fields["ids"] == str(expired[0])
    browser.operate(fields)
    assert browser.job(expired[0])["state"] == "ready"
    html, fields = preview(browser, way="retry", all="1", queue=queue, state="cancelled")
    assert "Of the cancelled ones only those that expired are retried" in markup(html).text
    browser.operate(fields)
    assert browser.counts(queue) == {"ready": 2, "cancelled": 1}


def test_a_cancel_is_undone_from_its_operation_and_from_a_job(browser, queue, markup):
    ids = browser.put(queue, count=3)
    browser.send(f"/jobs/{ids[0]}/cancel")
    html = browser.get(f"/bulk?way=cancel&all=1&queue={queue}")
    where = browser.send("/bulk", **browser.hidden(html), typed="cancel 2").headers["location"]
    number = re.search(r"/operations/(\d+)", where)[1]
    until(lambda: "Undo: restore these jobs" in browser.get(f"/operations/{number}"), "the undo goes on")
    listed = browser.get(f"/jobs?queue={queue}&state=cancelled&cancelled_by={number}")
    assert [f'id="job-{job}"' in listed for job in ids] == [False, True, True]
    undone = browser.send(f"/operations/{number}/undo").headers["location"]
    until(lambda: "2 of 2 done" in browser.text(undone.removeprefix("/web").partition("?")[0]), "the undo goes on")
    assert browser.counts(queue) == {"ready": 2, "cancelled": 1}
    assert "must be a cancel that has ended" in browser.send(f"{undone.removeprefix('/web').partition('?')[0]}/undo", 400).text
    assert "Undo the cancel" in browser.get(f"/jobs/{ids[0]}")
    browser.send(f"/jobs/{ids[0]}/restore")
    until(lambda: browser.counts(queue) == {"ready": 3}, "the undo goes on")
    audit = browser.text(f"/audit?queue={queue}")
    assert f"restore jobs with cancelled_by {number} (cancelled)" in audit
