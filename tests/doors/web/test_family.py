"""A job leads to those that its conclude put, and back; and to those that hold the places of its group."""

import re


def test_a_job_leads_to_what_followed_it_and_back(browser, queue, other):
    browser.put(queue)
    (held,) = browser.lease(queue)
    browser.end("conclude", held, then=[{"queue": other}, {"queue": other, "delay_ms": 60_000}])
    html = browser.get(f"/jobs/{held['id']}")
    followers = [int(one) for one in re.findall(r'<li class="after"><a href="/web/jobs/(\d+)"', html)]
    assert len(followers) == 2
    for follower in followers:
        assert f'<a href="/web/jobs/{held["id"]}" id="follows"' in browser.get(f"/jobs/{follower}")


def test_a_clone_follows_nobody(browser, queue):
    browser.put(queue)
    (held,) = browser.lease(queue)
    browser.end("conclude", held, then=[{"queue": queue}])
    (follower,) = [
        int(one) for one in re.findall(r'class="after"><a href="/web/jobs/(\d+)"', browser.get(f"/jobs/{held['id']}"))
    ]
    clone = browser.send(f"/jobs/{follower}/clone").headers["location"]
    assert 'id="follows"' not in browser.http.get(clone).text


def test_a_job_of_a_group_says_who_holds_its_places(browser, queue):
    ids = browser.put(queue, count=3, group_key="customer-7", group_limit=2)
    for number in (ids[0], ids[2]):
        html = browser.get(f"/jobs/{number}")
        places = html[html.index("Places held by") :].partition("</dd>")[0]
        assert str(ids[1]) in places
        assert ("this job" in places) == (number == ids[0])
