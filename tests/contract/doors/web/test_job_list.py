"""The list of jobs: filters by worker and time, pages to and fro, the other way round, columns, and a search that says how far it is."""

import re
from html import unescape

import pytest

from tests.contract.doors.web.conftest import Markup


def listed(html):
    return [int(number) for number in re.findall(r'id="pick-(\d+)"', html)]


def link(html, rel):
    found = re.search(rf'<a href="([^"]*)" rel="{rel}"', html)
    return None if found is None else unescape(found[1])


def headings(html):
    table = re.search(r"<thead>.*?</thead>", html, re.DOTALL)[0]
    return [Markup(cell).text for cell in re.findall(r"<th .*?</th>", table)]


def test_pages_are_turned_forward_and_back(browser, queue):
    ids = browser.put(queue, count=120)
    html = browser.get(f"/jobs?queue={queue}")
    pages = [listed(html)]
    assert link(html, "prev") is None
    while link(html, "next") is not None:
        html = browser.http.get(link(html, "next")).text
        pages.append(listed(html))
    assert pages == [ids[:50], ids[50:100], ids[100:]]
    html = browser.http.get(link(html, "prev")).text
    assert listed(html) == pages[1]
    assert listed(browser.http.get(link(html, "next")).text) == pages[2], "from a page that was turned back to, too"
    html = browser.http.get(link(html, "prev")).text
    assert (listed(html), link(html, "prev")) == (pages[0], None)


def test_a_list_is_shown_the_other_way_round_and_its_pages_too(browser, queue):
    ids = browser.put(queue, count=60)
    html = browser.get(f"/jobs?queue={queue}&state=ready&reverse=1")
    assert listed(html) == ids[:9:-1]
    assert '<option value="1" selected>last to run first</option>' in html
    html = browser.http.get(link(html, "next")).text
    assert listed(html) == ids[9::-1]
    assert listed(browser.http.get(link(html, "prev")).text) == ids[:9:-1]


def test_jobs_are_found_by_worker_and_by_time(browser, queue):
    browser.put(queue, count=3)
    (mine,) = browser.lease(queue, worker=f"anna-{queue}")
    (theirs,) = browser.lease(queue, worker="berta")
    browser.end("fail", mine, reason="broken", retry=False)
    html = browser.get(f"/jobs?worker=anna-{queue}")
    assert listed(html) == [mine["id"]]
    assert "&amp;worker=anna" in html or "?worker=anna" in html, "the command asks for it too"
    assert listed(browser.get(f"/jobs?queue={queue}&worker=berta")) == [theirs["id"]]
    assert len(listed(browser.get(f"/jobs?queue={queue}&since=1h"))) == 3
    assert listed(browser.get(f"/jobs?queue={queue}&since=2099-01-01T00:00:00Z")) == []
    assert "since must be" in browser.get("/jobs?since=yesterday", 400)


def test_jobs_are_found_by_a_value_in_their_payload_and_changed(browser, queue, markup):
    ids = browser.put(queue, count=2) + browser.put(queue, payload={"order": {"id": 42}})
    html = browser.get(f"/jobs?queue={queue}&field=order.id=42")
    assert listed(html) == ids[2:]
    assert "field.order.id=42" in html, "the command asks for it too"
    assert "Payloads over 64 KiB are not searched." in html
    html = browser.get(f"/bulk?way=cancel&all=1&queue={queue}&field=order.id%3D42")
    assert "&#34;field&#34;:{&#34;order.id&#34;:&#34;42&#34;}" in html
    browser.operate(browser.hidden(html), typed="cancel 1")
    assert browser.counts(queue) == {"ready": 2, "cancelled": 1}
    assert "field must be written as NAME=VALUE" in browser.get("/jobs?field=order", 400)


def test_all_that_a_worker_failed_to_do_is_retried(browser, queue, markup):
    browser.put(queue, count=2)
    for worker in ("anna", "berta"):
        (job,) = browser.lease(queue, worker=worker)
        browser.end("fail", job, reason="broken", retry=False)
    html = browser.get(f"/bulk?way=retry&all=1&queue={queue}&state=dead&worker=anna")
    assert "Retry 1 job?" in markup(html).text
    assert "1 of 1 done" in browser.operate(browser.hidden(html))
    assert browser.counts(queue) == {"ready": 1, "dead": 1}


def test_columns_are_chosen_kept_and_given_up(browser, queue):
    (job,) = browser.put(queue, tags=["red"], meta={"tenant": "7"}, priority=5)
    usual = ["Select", "Job", "State", "Type", "Payload", "Attempts"]
    assert headings(browser.get(f"/jobs?queue={queue}"))[:6] == usual
    answer = browser.send("/jobs/columns", column=["tags", "meta", "priority"], queue=queue, state="ready", limit="25")
    assert answer.headers["location"] == f"/web/jobs?queue={queue}&state=ready&limit=25"
    for path in (f"/jobs?queue={queue}", "/jobs?tag=red"):
        assert headings(browser.get(path)) == ["Select", "Job", "State", "Priority", "Tags", "Meta"]
    assert f"{job} ready 5 red tenant=7" in browser.text(f"/jobs?queue={queue}")
    answer = browser.send("/jobs/columns", column=["tags", "meta"] * 500)
    assert "holdfast_columns=tags.meta;" in answer.headers["set-cookie"], "a browser keeps no long cookie"
    browser.send("/jobs/columns", usual="1", queue=queue)
    assert headings(browser.get(f"/jobs?queue={queue}"))[:6] == usual
    assert "column must be one of" in browser.send("/jobs/columns", 400, column=["colour"]).text


@pytest.mark.parametrize("kept", ["nonsense", "", ".".join(["x"] * 500)])
def test_a_cookie_with_other_names_shows_number_and_state(browser, queue, kept):
    browser.put(queue)
    browser.http.cookies.set("holdfast_columns", kept)
    assert headings(browser.get(f"/jobs?queue={queue}")) == ["Select", "Job", "State"]
