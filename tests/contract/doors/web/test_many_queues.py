"""With very many queues the screens show a bounded number of them, those first that want attention; and suggestions and the environment."""

import re

import pytest

from tests.system.whole.servers import until


def test_of_very_many_queues_those_that_want_attention_are_shown_and_the_others_found_by_name(serve, open_browser):
    server = serve("--size", "100")
    browser = open_browser(server.url)
    jobs = [{"queue": f"queue-{number:04}"} for number in range(900)]
    assert browser.http.post("/v1/jobs", json={"jobs": jobs}).status_code == 201
    browser.put("zz-full", count=100)
    html = browser.get("")
    assert "Showing 500 of 901" in " ".join(html.split())
    assert "zz-full</strong></bdi> is full" in html
    assert re.search(r"1,000</p>", html)  # unfinished jobs of all queues
    text = browser.text("?q=queue-08")
    assert "100 of 901" in text
    assert "queue-0899" in text
    browser.http.close()


def test_fields_offer_queues_types_and_tags_that_there_are(browser, queue):
    browser.put(queue, type="resize<b>", tags=["vip"])
    html = browser.get(f"/suggest?queue={queue}")
    assert f'<option value="{queue}">' in html
    assert '<datalist id="known-types"><option value="resize&lt;b&gt;"></datalist>' in html
    assert '<option value="vip">' in html


def test_every_screen_says_which_environment_it_is(serve, open_browser):
    server = serve("--environment", "production <eu>")
    browser = open_browser(server.url)
    for path in ("", "/jobs", "/audit", "/enqueue"):
        html = browser.get(path)
        assert '<span class="environment in-red">' in html
        assert "production &lt;eu&gt;" in html
        assert "<title>production &lt;eu&gt; · " in html
    browser.http.close()


@pytest.mark.parametrize(
    ("environment", "store", "warned"),
    [
        ("production", "memory", True),
        ("LIVE-eu", "memory", True),
        ("production", "sqlite:///jobs.db", False),
        ("staging", "memory", False),
        ("", "memory", False),
    ],
)
def test_a_server_in_earnest_that_keeps_jobs_in_memory_alone_is_not_well(serve, open_browser, environment, store, warned):
    browser = open_browser(serve("--environment", environment, store=store).url)
    overview = browser.get("")
    assert ("No problems" not in overview) is warned
    assert ('class="big bad-text">in memory' in overview) is warned
    for path in ("", "/store"):
        assert ("are kept in memory only, in an environment named" in browser.text(path)) is warned


def test_without_an_environment_nothing_is_said(browser):
    assert "Environment:" not in browser.text("")


def test_rates_are_shown_over_three_spans_and_queues_sorted_by_one(browser, queue):
    browser.put(queue, count=5)
    until(lambda: f"/queues/{queue}" in browser.get(f"?q={queue}"), "the overview has the queue")
    html = browser.get(f"?q={queue}&over=10s")
    for what in ("Enqueued/s", "Completed/s", "Failed/s"):
        assert what in html
    assert "<strong>10 s</strong>" in html
    assert f"?q={queue}&amp;over=1h" in html, "the filter stays"
    assert f"q={queue}&amp;over=10s&amp;sort=in" in html, "and the span does when the table is sorted"
    assert "<strong>1 min</strong>" in browser.get("?over=nonsense")
    found = browser.http.get("/v1/stats", params={"named": queue}).json()["queues"][0]
    assert {"rates_10s", "rates_1h"} <= found.keys()
    assert found["rates_10s"]["enqueued"] > 0
    assert "over 10 s" in browser.text(f"/queues/{queue}")
