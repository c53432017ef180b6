"""A reason why a job does not run leads to what ends it."""

import re

import pytest

from tests.system.whole.servers import until


def why(browser, job: int) -> str:
    found = re.search(r'<section class="why.*?</section>', browser.get(f"/jobs/{job}"), re.DOTALL)
    assert found
    return found[0]


def follow(browser, html: str, words: str) -> str:
    """The screen behind the link with these words."""
    found = re.search(rf'<a href="([^"]+)">{re.escape(words)}</a>', html)
    assert found, html
    answer = browser.http.get(found[1].replace("&amp;", "&"))
    assert answer.status_code == 200
    return answer.text


@pytest.mark.parametrize(("words", "path", "fields"), [("queue", "pause", {}), ("type", "types", {"type": "pdf"})])
def test_a_pause_is_ended_from_the_job_itself(browser, queue, words, path, fields):
    (job,) = browser.put(queue, type="pdf")
    browser.send(f"/queues/{queue}/{path}", paused="yes", **fields)
    assert f"Resume the {words}</button>" in why(browser, job)
    said = browser.done(f"/queues/{queue}/{path}", paused="no", job=str(job), **fields)
    assert f"Job {job}" in said
    assert "resumed." in said
    assert f"Resume the {words}" not in why(browser, job)


def test_what_is_ahead_the_workers_and_the_bound_are_a_link_away(browser, queue):
    browser.put(queue)
    (job,) = browser.put(queue)
    assert "ready" in follow(browser, why(browser, job), "Show what is ahead")
    browser.http.post("/v1/workers", json={"queues": ["elsewhere"], "name": "away"}).raise_for_status()
    assert "Workers" in follow(browser, why(browser, job), "Show the workers of the queue")
    browser.http.put(f"/v1/queues/{queue}", json={"max_running": 1}).raise_for_status()
    browser.lease(queue)
    assert 'name="max_running"' in follow(browser, why(browser, job), "Raise the max concurrency")


def test_the_job_that_holds_a_group_and_the_account_that_is_blocked_are_a_link_away(browser, queue):
    (holder, job) = browser.put(queue, count=2, group_key="g")
    browser.lease(queue)
    assert f"Job {holder}" in follow(browser, why(browser, job), "Show the job that holds it")
    browser.http.put(f"/v1/budgets/{queue}", json={"limit": 5}).raise_for_status()
    (waits,) = browser.put(queue, budgets=[{"name": queue, "key": "tenant-7"}])
    assert "Blocked: nothing" in browser.done(f"/budgets/{queue}/block", key="tenant-7", for_ms="5m")
    assert browser.lease(queue) == []
    screen = follow(browser, why(browser, waits), "Show who waits")
    assert re.search(r"<code><bdi>tenant-7</bdi></code> <span class=\"badge paused\">blocked", screen)
    assert "Unblocked." in browser.done(f"/budgets/{queue}/unblock", key="tenant-7")
    assert [one["id"] for one in browser.lease(queue)] == [waits]


def test_a_type_is_paused_where_its_errors_are(browser, queue):
    browser.die(queue, "KeyError: 'customer'", type="invoice")
    group = re.search(r"/failures\?group=(\w+)", browser.get(f"/failures?queue={queue}"))
    assert group
    assert "Pause type" in browser.text(f"/failures?group={group[1]}&queue={queue}")
    said = browser.done(f"/queues/{queue}/types", type="invoice", paused="yes", group=group[1])
    assert "Type paused" in said
    assert "Resume type" in said
    assert "1 dead job" in said


def test_a_queue_shows_what_waits_by_type_and_sets_weights_in_its_list(browser, queue):
    browser.put(queue, count=3, type="thumbnail", fair_key="a")
    browser.put(queue, type="mail", fair_key="b")
    browser.http.patch(f"/v1/queues/{queue}", json={"fair": True}).raise_for_status()
    shown = browser.text(f"/queues/{queue}")
    assert re.search(r"What waits by type Type Ready Actions thumbnail 3 Pause type mail 1 Pause type", shown)
    html = browser.get(f"/queues/{queue}")
    assert 'aria-label="Weight of a"' in html
    assert "Weight set" in browser.done(f"/queues/{queue}/fair", key="a", weight="4")


def test_an_operation_leads_to_its_queue(browser, queue):
    (job,) = browser.die(queue)
    fields = browser.hidden(browser.get(f"/bulk?way=retry&queue={queue}&ids={job}"))
    assert f"Watch {queue}" in browser.done("/bulk", **fields)


def test_a_block_that_jobs_wait_for_is_a_problem_with_its_way_out_and_none_once_it_is_over(browser, queue):
    browser.http.put("/v1/budgets/openai", json={"limit": 5, "per_ms": 60_000}).raise_for_status()
    browser.http.post("/v1/budgets/openai/block", json={"for_ms": 30_000}).raise_for_status()
    browser.put(queue, count=3, budgets=[{"name": "openai"}])
    until(lambda: f"/web/queues/{queue}" in browser.get("?problems=all"), "its queue is there")  # numbers are half a second old
    assert "The budget openai" not in browser.get("?problems=all"), "the block ends by itself before somebody has come"
    browser.http.post("/v1/budgets/openai/block", json={"for_ms": 3_600_000}).raise_for_status()
    said = r"The budget openai(?:</\w+>)+ is blocked for [^<]+ more: 3 jobs wait for it\."
    until(lambda: re.search(said, browser.get("?problems=all")) is not None, "it is a problem")
    assert "/web/budgets?name=openai" in browser.get("?problems=all")
    browser.done("/budgets/openai/unblock")
    until(lambda: "The budget openai" not in browser.get("?problems=all"), "it is none any more")


def test_an_account_is_not_offered_to_be_unblocked_while_all_of_its_budget_is_blocked(browser, queue):
    browser.http.put(f"/v1/budgets/{queue}", json={"limit": 5, "per_ms": 60_000}).raise_for_status()
    browser.put(queue, budgets=[{"name": queue, "key": "tenant-7"}])
    ways = f'action="/web/budgets/{queue}/unblock"'
    browser.done(f"/budgets/{queue}/block", key="tenant-7")
    assert browser.get(f"/budgets?name={queue}").count(ways) == 1
    browser.done(f"/budgets/{queue}/block")
    shown = browser.get(f"/budgets?name={queue}")
    assert (shown.count(ways), "with all of them" in shown) == (1, True), "that of the budget alone"
