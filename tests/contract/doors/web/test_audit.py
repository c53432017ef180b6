"""The audit log on the page: every action leaves an entry and a line in the log, from whichever front, and filters find it."""

import re


def rows(browser, query: str = "") -> list[str]:
    html = browser.get(f"/audit{query}")
    return [re.sub(r"<[^>]+>|\s+", " ", row) for row in re.findall(r"<tr data-row>.*?</tr>", html, re.DOTALL)]


def test_an_action_is_in_the_audit_log_with_who_and_what(browser, queue):
    browser.put(queue)
    browser.done(f"/queues/{queue}/pause", paused="yes")
    (row,) = rows(browser, f"?queue={queue}")
    assert "queue.pause" in row
    assert re.search(r"browser [0-9a-f]{6}, 127\.0\.0\.1, web", row)
    assert "done" in row


def test_a_refused_action_is_in_the_audit_log_with_the_reason(browser, queue):
    (job,) = browser.put(queue)
    browser.send(f"/jobs/{job}/retry", status=409)
    (row,) = rows(browser, f"?queue={queue}&outcome=refused")
    assert "job.retry" in row
    assert "wrong_state" in row


def test_an_action_that_is_out_of_bounds_is_in_the_audit_log_once(browser, queue):
    (job,) = browser.put(queue)
    browser.send(f"/jobs/{job}/settle", status=400, outcome="dead", reason="r" * 10_000)
    (row,) = rows(browser, f"?job={job}")
    assert "job.settle" in row
    assert "invalid_request" in row


def test_actions_through_other_doors_are_in_it_too(browser, queue):
    browser.put(queue)
    assert browser.http.post(f"/v1/queues/{queue}/pause").status_code == 200
    (row,) = rows(browser, f"?queue={queue}&action=queue")
    assert "127.0.0.1, http" in row


def test_a_forged_forwarded_address_is_ignored_for_that_of_the_connection(browser, queue):
    browser.put(queue)
    token = browser.token()
    answer = browser.http.post(
        f"/web/queues/{queue}/pause", data={"form_token": token, "paused": "yes"}, headers={"x-forwarded-for": "203.0.113.9"}
    )
    assert answer.status_code == 303
    (row,) = rows(browser, f"?queue={queue}")
    assert "127.0.0.1" in row
    assert "203.0.113.9" not in row


def test_many_jobs_are_one_entry_with_their_count(browser, queue):
    ids = browser.die(queue, count=3)
    html = browser.get(f"/bulk?way=retry&all=1&queue={queue}&state=dead")
    browser.operate(browser.hidden(html))
    found = rows(browser, f"?queue={queue}")
    assert len(ids) == 3
    assert len(found) == 1
    assert re.search(r"operation\.start.* 3 +0 ", found[0])
    assert "retry jobs with state dead" in found[0]


def test_a_job_enqueued_on_the_page_has_an_entry_and_one_of_a_program_has_none(browser, queue):
    browser.put(queue)
    browser.send("/enqueue", queue=queue, payload="1")
    (row,) = rows(browser, f"?queue={queue}")
    assert "job.enqueue" in row


def test_every_action_is_a_line_in_the_log(serve, open_browser):
    server = serve("--log-level", "info", "--log-format", "json")
    browser = open_browser(server.url)
    browser.put("q")
    browser.done("/queues/q/pause", paused="yes")
    line = server.err.wait_for('"audit"')
    assert '"action":"queue.pause"' in line.replace(" ", "")
    browser.http.close()


def test_two_fronts_show_the_same_audit_log(two_fronts, open_browser):
    for number in range(6):
        one = open_browser(two_fronts.url)
        one.put(f"audit-{number}")
        one.done(f"/queues/audit-{number}/pause", paused="yes")
        assert len(rows(one, "?q=audit-")) == number + 1
        one.http.close()


def test_the_filters_of_the_screen_are_those_of_the_command_that_it_shows(browser, queue):
    (job,) = browser.put(queue)
    browser.send(f"/jobs/{job}/retry", status=409)
    browser.done(f"/queues/{queue}/pause", paused="yes")
    html = browser.get(f"/audit?queue={queue}&since=2020-01-01T00:00")
    url = re.search(r'<code id="curl"[^>]*>curl (?:&#39;)?(http[^<]+?)(?:&#39;)?</code>', html)[1].replace("&amp;", "&")
    paused, refused = browser.http.get(url).json()["entries"]
    assert (paused["action"], paused["queue"], paused["outcome"], paused["done"]) == ("queue.pause", queue, "done", 1)
    assert (refused["action"], refused["target"], refused["outcome"]) == ("job.retry", f"{job}", "wrong_state")
    assert len(rows(browser, f"?queue={queue}&since=2020-01-01T00:00")) == 2
    assert rows(browser, f"?queue={queue}&until=2020-01-01T00:00") == []


def test_an_invalid_filter_is_refused(browser):
    browser.get("/audit?job=no", 400)
    browser.get("/audit?since=yesterday", 400)
