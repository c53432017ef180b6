"""The store's own screen. With standbys it is in test_standbys.py."""

import re

from holdfast.messages.buckets import quantile


def test_the_store_says_that_it_takes_jobs_how_they_are_kept_and_how_long_commits_take(browser, queue):
    browser.put(queue)
    text = browser.text("/store")
    assert "accepts new jobs." in text
    assert "when it is in memory; it is lost when the server stops" in text
    stats = browser.http.get("/v1/stats").json()["store"]
    shown = int(re.search(r"Commits ([\d,]+) Commands", text)[1].replace(",", ""))
    assert 0 < shown <= stats["commits"]
    assert re.search(r"Commit time, p50 [\d.]+ ms Commit time, p95 [\d.]+ ms Commit time, p99 ", text)
    assert "Standbys" not in text


def test_the_overview_leads_to_the_store(browser):
    assert '<a href="/web/store" id="store">Store</a>' in browser.get("")


def test_a_quantile_is_read_between_the_bounds_of_its_bucket():
    assert quantile([0, 10, 0], 0.5, (0.001, 0.003)) == 0.002
    assert quantile([0, 0, 4], 1.0, (0.001, 0.003)) == 0.006
