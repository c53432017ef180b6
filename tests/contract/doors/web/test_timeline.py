"""A job's timeline: its attempts, and what happened between them."""

import re

from tests.contract.doors.web.conftest import Markup


def rows(html):
    table = re.search(r'<table class="rows attempts.*?</table>', html, re.DOTALL)[0]
    return [Markup(row).text for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)[1:]]


def test_waits_releases_and_retries_stand_between_the_attempts(browser, queue):
    first, second = browser.put(queue, count=2, group_key="one at a time", max_attempts=1)
    (job,) = browser.lease(queue, worker="anna")
    browser.end("release", job)
    (job,) = browser.lease(queue, worker="berta")
    browser.end("conclude", job)
    (job,) = browser.lease(queue, worker="cleo")
    assert job["id"] == second
    browser.end("fail", job, reason="out of paper")
    assert browser.http.post(f"/v1/jobs/{second}/retry").status_code == 200
    told = rows(browser.get(f"/jobs/{first}"))
    assert [line.split()[:2] for line in told] == [["2", "concluded"], ["1", "released"]]
    assert "anna" in told[1]
    told = rows(browser.get(f"/jobs/{second}"))
    assert told[0].startswith("– retried by hand")
    assert re.fullmatch(r"1 failed .* cleo out of paper", told[1])
    assert re.fullmatch(r"– waited for its group .* one at a time", told[2])
    assert 'class="held"' in browser.get(f"/jobs/{second}")


def test_a_job_that_waits_for_its_budget_says_since_when(browser, queue):
    budget = f"b{queue}"
    assert browser.http.put(f"/v1/budgets/{budget}", json={"limit": 1}).is_success
    ids = browser.put(queue, count=2, budgets=[{"name": budget}])
    browser.lease(queue)
    (told,) = rows(browser.get(f"/jobs/{ids[1]}"))
    assert told.startswith("– waited for its budget")
    assert "so far" in told
    assert told.endswith(budget)


def test_the_line_that_names_an_error_stands_before_its_traceback(browser, queue):
    trace = 'Traceback (most recent call last):\n  File "a.py", line 3, in run\n    print()\nValueError: out of paper'
    (job,) = browser.die(queue, trace)
    html = browser.get(f"/jobs/{job}")
    assert "Last error (attempt 1): ValueError: out of paper" in Markup(html).text
    found = re.search(r"<summary><bdi>(.*?)</bdi></summary><pre>(.*?)</pre>", html, re.DOTALL)
    assert found[1] == "ValueError: out of paper"
    assert "  File &#34;a.py&#34;, line 3, in run\n    print()" in found[2]


def test_a_registered_worker_is_called_by_its_name_and_leads_to_its_jobs(browser, queue):
    worker = browser.http.post("/v1/workers", json={"queues": [queue], "name": "press-7"}).json()["id"]
    browser.put(queue)
    (job,) = browser.lease(queue, worker=worker)
    html = browser.get(f"/jobs/{job['id']}")
    assert f'<a href="/web/workers?q={worker}"><bdi>press-7</bdi></a>' in html
    assert f'href="/web/jobs?worker={worker}"' in html
    assert "press-7" in browser.get(f"/jobs?queue={queue}")
