"""A job leads to those that its conclude put, and back; and to those that hold the places of its group."""

import re

from holdfast.doors.web import related_jobs


def after(html: str) -> list[int]:
    """The jobs that followed."""
    return [int(one) for one in re.findall(r'<li class="after in-\d"><a href="/web/jobs/(\d+)"', html)]


def test_a_job_leads_to_what_followed_it_and_back(browser, queue, other):
    browser.put(queue)
    (held,) = browser.lease(queue)
    browser.end("conclude", held, then=[{"queue": other}, {"queue": other, "delay_ms": 60_000}])
    html = browser.get(f"/jobs/{held['id']}")
    followers = after(html)
    assert len(followers) == 2
    for follower in followers:
        assert f'<li class="before" id="follows"><a href="/web/jobs/{held["id"]}"' in browser.get(f"/jobs/{follower}")


def test_a_chain_is_shown_from_its_beginning_to_its_end_with_where_each_job_stands(browser, queue, other):
    browser.put(queue, type="extract")
    for then in ([{"queue": queue, "type": "load"}, {"queue": other, "type": "tell"}], [{"queue": queue, "type": "check"}]):
        (held,) = browser.lease(queue)
        browser.end("conclude", held, then=then)
    first = held["id"] - 1
    shown = re.findall(
        r'<li class="after in-(\d)"><a href="/web/jobs/(\d+)".*?badge (\w+)".*?<bdi>(\w+)</bdi>', browser.get(f"/jobs/{first}")
    )
    load, tell, check = first + 1, first + 2, first + 3
    assert shown == [
        ("1", f"{load}", "concluded", "load"),
        ("2", f"{check}", "ready", "check"),
        ("1", f"{tell}", "ready", "tell"),
    ]
    before = re.findall(r'<li class="before"[^>]*><a href="/web/jobs/(\d+)"', browser.get(f"/jobs/{check}"))
    assert before == [f"{first}", f"{load}"]


def test_of_a_chain_a_bounded_part_is_shown(browser, queue):
    browser.put(queue)
    (held,) = browser.lease(queue)
    browser.end("conclude", held, then=[{"queue": queue}] * (related_jobs.ON + 5))
    html = browser.get(f"/jobs/{held['id']}")
    assert len(after(html)) == related_jobs.ON
    assert "and at least 5 more" in html


def test_a_relative_that_was_forgotten_is_named_without_a_link(browser, queue):
    browser.put(queue)
    (held,) = browser.lease(queue)
    browser.end("conclude", held, then=[{"queue": queue}])
    (follower,) = after(browser.get(f"/jobs/{held['id']}"))
    browser.http.delete(f"/v1/jobs/{held['id']}").raise_for_status()
    assert f"{held['id']} no longer in the store" in browser.text(f"/jobs/{follower}")


def test_a_clone_follows_nobody(browser, queue):
    browser.put(queue)
    (held,) = browser.lease(queue)
    browser.end("conclude", held, then=[{"queue": queue}])
    (follower,) = after(browser.get(f"/jobs/{held['id']}"))
    clone = browser.send(f"/jobs/{follower}/clone").headers["location"]
    assert 'id="follows"' not in browser.http.get(clone).text


def test_a_job_of_a_group_says_who_holds_its_places(browser, queue):
    ids = browser.put(queue, count=3, group_key="customer-7", group_limit=2)
    for number in (ids[0], ids[2]):
        html = browser.get(f"/jobs/{number}")
        places = html[html.index("Running:") :].partition("</dd>")[0]
        assert str(ids[1]) in places
        assert ("this job" in places) == (number == ids[0])
