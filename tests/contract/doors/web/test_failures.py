"""What is done to a group of failures is done to the jobs that it shows, and to no other that has a part of its text somewhere."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.contract.doors.web.conftest import Markup

# Errors of which each has something of another: its beginning, its words, nothing that could be looked for.
ERRORS = (
    "timeout",
    "timeout while talking to 10.0.0.7",
    "no timeout at all",
    "boom",
    "boom!",
    "Boom",
    "",
    "7",
    "KeyError: 'a'",
    "KeyError: a",
    "100 % of _ and *",
    "\u202eboom",
    "b\x1boom",
    "<b>boom</b>",
    "Traceback (most recent call last):\n  File x\nValueError: boom",
    "ValueError: boom",
    "boom\nwith a second line",
)


@pytest.fixture
def scene(browser, queue, other):
    """Two dead jobs for each error, and others that have the words elsewhere: in the payload, in an earlier attempt, in another queue."""
    ids = {error: set(browser.die(queue, error, count=2, payload={"boom": "timeout"})) for error in ERRORS}
    ids["ValueError: boom"] |= ids.pop("Traceback (most recent call last):\n  File x\nValueError: boom")
    ids["boom"] |= ids.pop("boom\nwith a second line")
    (earlier,) = browser.put(queue, max_attempts=2)
    for reason in ("timeout", "another end"):
        (held,) = browser.lease(queue)
        browser.end("fail", held, reason=reason, delay_ms=0)
    ids["another end"] = {earlier}
    browser.die(other, "boom", count=2)
    browser.die(queue, "boom", type="another")
    return ids


def _groups(browser, queue, way):
    """The links of each row that is shown: how many dead jobs it counts, and where its button leads."""
    html = browser.get(f"/failures?queue={queue}")
    rows = re.findall(r"<tr data-row.*?</tr>", html, re.DOTALL)
    for row in rows:
        link = next(
            dict(attrs)["href"]
            for tag, attrs in Markup(row).tags
            if tag == "a" and f"way={way}&" in (dict(attrs)["href"] or "")
        )
        listed = next(
            dict(attrs)["href"]
            for tag, attrs in Markup(row).tags
            if tag == "a" and "/failures?group=" in (dict(attrs)["href"] or "")
        )
        yield int(re.search(r'data-label="Dead">([\d,]+)', row)[1].replace(",", "")), link, listed


def _ids(html):
    return {int(one) for one in re.findall(r'<th scope="row"><a href="[^"]*/jobs/(\d+)"', html)}


@pytest.mark.parametrize("way", ["retry", "delete"])
def test_an_action_on_a_group_takes_exactly_the_jobs_that_it_shows(browser, queue, scene, way):
    wanted = sorted(map(sorted, scene.values()))
    seen = []
    for count, link, listed in list(_groups(browser, queue, way)):
        members = _ids(browser.http.get(listed).text)
        preview = browser.http.get(link).text
        assert len(members) == count
        assert f"{way.title()} {count} job" in Markup(preview).text
        assert _ids(preview) == members, "the preview names those that the list names"
        before = browser.counts(queue)["dead"]
        fields = browser.hidden(preview)
        assert f"{count} of {count} done" in browser.operate(fields, typed=f"{way} {count}")
        assert browser.counts(queue).get("dead", 0) == before - count
        left = {job for job in members if browser.http.get(f"/v1/jobs/{job}").status_code == 200}
        assert left == (members if way == "retry" else set())
        assert way == "delete" or {browser.job(job)["state"] for job in members} == {"ready"}
        seen.append(sorted(members))
    assert [one for one in wanted if one not in seen] == []
    assert browser.counts(queue).get("dead", 0) == 0


def test_the_preview_of_dead_jobs_shows_their_errors(browser, queue):
    browser.die(queue, "the pump is dry")
    ((_, link, _),) = _groups(browser, queue, "retry")
    assert "the pump is dry" in Markup(browser.http.get(link).text).text
    assert "the pump is dry" in browser.text(f"/bulk?way=delete&all=1&state=dead&queue={queue}")


@pytest.mark.parametrize("way", ["retry", "delete"])
def test_the_preview_of_a_group_says_which_jobs_it_is_about(browser, queue, way):
    browser.die(queue, count=2)
    path = re.search(r"/failures\?group=\w+", browser.get(f"/failures?queue={queue}"))[0].partition("?")[2]
    said = browser.text(f"/bulk?way={way}&{path}&queue={queue}")
    assert f"The dead jobs of the queue {queue} with this error. Jobs that fail from now on are not included." in said


def test_a_job_that_failed_anew_after_the_preview_is_left_alone(browser, queue):
    (job,) = browser.die(queue, "boom")
    browser.die(queue, "boom")
    ((_, link, _),) = _groups(browser, queue, "delete")
    fields = browser.hidden(browser.http.get(link).text)
    browser.http.post(f"/v1/jobs/{job}/retry").raise_for_status()
    (held,) = browser.lease(queue)
    browser.end("fail", held, reason="something else", retry=False)
    assert "1 of 2 done; 1 were skipped" in browser.operate(fields, typed="delete 2")
    assert browser.job(job)["state"] == "dead"


def test_a_group_that_is_gone_is_nobody_and_not_everybody(browser, queue):
    browser.die(queue, "boom")
    ((_, link, listed),) = _groups(browser, queue, "delete")
    fields = browser.hidden(browser.http.get(link).text)
    browser.die(queue, "another")
    (job,) = parse_qs(urlsplit("?ids=" + fields["ids"]).query)["ids"]
    browser.http.delete(f"/v1/jobs/{job}").raise_for_status()
    assert browser.http.get(link).status_code == 404
    assert browser.http.get(listed).status_code == 404
    browser.operate(fields, typed="delete 1")
    browser.send("/bulk", 400, **(fields | {"ids": ""}), typed="delete 1")
    assert browser.counts(queue) == {"dead": 1}


def test_the_screens_name_the_calls_that_list_failures(browser, queue):
    browser.die(queue)
    assert f"/v1/failures?queue={queue}" in browser.text(f"/failures?queue={queue}")
    path = re.search(r"/failures\?group=(\w+)", browser.get(f"/failures?queue={queue}"))
    said = browser.text(f"{path[0]}&queue={queue}")
    assert f"/v1/failures/{path[1]}?queue={queue}" in said
