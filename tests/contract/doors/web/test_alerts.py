"""The dashboard and the alert rules ask for nothing that a server does not tell. That of the standbys is in test_standbys.py."""

import re

import pytest

from tests.contract.doors.web.alerts import DEPLOY, board, exported, rules, unknown_names


@pytest.fixture
def series(browser, queue):
    browser.put(queue)
    browser.http.put("/v1/budgets/mails", json={"limit": 5}).raise_for_status()
    browser.http.patch(f"/v1/queues/{queue}", json={"fair": True}).raise_for_status()
    return exported(browser.http.get("/metrics").text)


def test_a_server_tells_every_metric_label_and_state_that_the_dashboard_asks_for(series):
    asked = board()
    assert len(asked) > 20
    assert not [wrong for expression, words in asked for wrong in unknown_names(expression, words, series)]


def test_a_server_tells_every_metric_label_and_event_that_the_alert_rules_ask_for(series):
    found = rules("holdfast.rules.yml")
    assert len(found) > 12
    assert not [
        (rule["alert"], wrong) for rule in found for wrong in unknown_names(rule["expr"], str(rule["annotations"]), series)
    ]


def test_every_alert_links_to_a_screen(browser, queue, series):
    values = {"queue": queue, "budget": "mails"}
    for file in sorted((DEPLOY / "prometheus").glob("*.yml")):
        for rule in rules(file.name):
            path = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: values[found[1]], rule["annotations"]["page"])
            assert "<h1" in browser.get(path.removeprefix("/web")), rule["alert"]


@pytest.mark.parametrize(
    ("expression", "words", "wrong"),
    [
        ("holdfast_queue_paused == 1", "{{ $labels.queue }}", []),
        ("holdfast_paused == 1", "", ["there is no holdfast_paused"]),
        ('sum by (queue) (holdfast_jobs{status="ready"})', "", ["holdfast_jobs has no status"]),
        ('holdfast_jobs{state=~"ready|running"}', "", ["no state of holdfast_jobs is {'running'}"]),
        ("holdfast_uptime_seconds", "{{queue}}", ["nothing in 'holdfast_uptime_seconds' has {'queue'}"]),
        ("sum by (queues) (holdfast_jobs)", "", ["nothing in 'sum by (queues) (holdfast_jobs)' has {'queues'}"]),
    ],
)
def test_what_is_misspelt_is_found(series, expression, words, wrong):
    assert list(unknown_names(expression, words, series)) == wrong
