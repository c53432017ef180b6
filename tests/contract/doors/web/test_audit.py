"""The audit log: every action leaves an entry and a line in the log, from whichever front, and memory is bounded."""

import re

from holdfast.committer.audit import AuditLog
from holdfast.limits import AUDIT_ENTRIES
from holdfast.messages.views import AuditEntry


def entry(number: int, run: str = "", done: int = 1) -> AuditEntry:
    return AuditEntry(0, "anna", "job.retry", f"{number}", "q", "done", done, 0, run)


def rows(browser, query: str = "") -> list[str]:
    html = browser.get(f"/audit{query}")
    return [re.sub(r"<[^>]+>|\s+", " ", row) for row in re.findall(r"<tr data-row>.*?</tr>", html, re.DOTALL)]


def test_an_action_is_in_the_audit_log_with_who_and_what(browser, queue):
    browser.put(queue)
    browser.done(f"/queues/{queue}/pause", paused="yes")
    (row,) = rows(browser, f"?q={queue}")
    assert "queue.pause" in row
    assert "127.0.0.1, browser" in row
    assert "done" in row


def test_a_refused_action_is_in_the_audit_log_with_the_reason(browser, queue):
    (job,) = browser.put(queue)
    browser.send(f"/jobs/{job}/retry", status=409)
    (row,) = rows(browser, f"?q={queue}")
    assert "job.retry" in row
    assert "wrong_state" in row


def test_a_proxy_in_front_is_told_apart_from_the_one_behind_it(browser, queue):
    browser.put(queue)
    token = browser.token()
    answer = browser.http.post(
        f"/web/queues/{queue}/pause", data={"form_token": token, "paused": "yes"}, headers={"x-forwarded-for": "203.0.113.9"}
    )
    assert answer.status_code == 303
    assert "127.0.0.1 for 203.0.113.9" in rows(browser, f"?q={queue}")[0]


def test_many_jobs_are_one_entry_with_their_count(browser, queue):
    ids = browser.die(queue, count=3)
    html = browser.get(f"/bulk?way=retry&all=1&queue={queue}&state=dead")
    browser.send("/bulk", status=200, **browser.hidden(html))
    found = rows(browser, f"?q={queue}")
    assert len(ids) == 3
    assert len(found) == 1
    assert re.search(r"job\.retry.* 3 +0 ", found[0])


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


def test_the_audit_log_is_had_as_json_by_the_command_that_its_screen_shows(browser, queue):
    (job,) = browser.put(queue)
    browser.send(f"/jobs/{job}/retry", status=409)
    browser.done(f"/queues/{queue}/pause", paused="yes")
    url = re.search(
        r'<code id="curl"[^>]*>curl &#39;?(http[^&<]+)', browser.get(f"/audit?q={queue}").replace("curl http", "curl &#39;http")
    )[1]
    answer = browser.http.get(url)
    assert answer.headers["cache-control"] == "no-store"
    paused, refused = answer.json()["notes"]
    assert (paused["action"], paused["target"], paused["queue"], paused["outcome"]) == ("queue.pause", queue, queue, "done")
    assert (paused["done"], paused["refused"], refused["done"], refused["refused"]) == (1, 0, 0, 1)
    assert (refused["action"], refused["target"], refused["outcome"]) == ("job.retry", f"{job}", "wrong_state")
    assert paused["at"] >= refused["at"] >= answer.json()["began_at"]
    assert paused["who"].startswith("127.0.0.1, browser")
    assert answer.json()["total"] >= 2


def test_the_earlier_addresses_lead_to_the_audit_log(browser, queue):
    browser.done("/queues", name=queue)
    moved = browser.http.get("/web/trail", params={"q": queue, "path": "x"})
    assert (moved.status_code, moved.headers["location"]) == (308, f"/web/audit?q={queue}")
    both = [browser.http.get(f"/web/{name}.json", params={"q": queue}).json()["notes"] for name in ("audit", "trail")]
    assert both[0] == both[1] != []


def test_the_audit_log_keeps_the_latest_and_no_more():
    audit = AuditLog(0)
    for number in range(AUDIT_ENTRIES + 5):
        audit.record(entry(number), number)
    found = audit.latest(AUDIT_ENTRIES, 9)
    assert len(found.entries) == AUDIT_ENTRIES
    assert found.entries[0].target == str(AUDIT_ENTRIES + 4)
    assert found.total == AUDIT_ENTRIES + 5


def test_the_parts_of_one_run_are_added_up_also_with_others_between():
    audit = AuditLog(0)
    audit.record(entry(1, "run", 500), 1)
    audit.record(entry(2), 2)
    audit.record(entry(1, "run", 300), 3)
    assert [one.done for one in audit.latest(10, 4).entries] == [1, 800]
