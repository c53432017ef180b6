"""The dashboard and the alert rules that come along ask only for what the server tells."""

import json
import re
import urllib.request

import yaml

from tests.system.docs.conftest import Running
from tests.system.docs.pages import read

LABELS = {"instance", "queue", "state", "event", "status", "le"}


def served(running: Running) -> tuple[set[str], str]:
    """The names of the server's series, and its metrics as they are."""
    with urllib.request.urlopen(f"{running.url}/metrics") as answer:
        text = answer.read().decode()
    return set(re.findall(r"^(holdfast_\w+)[ {]", text, re.MULTILINE)) | set(
        re.findall(r"^# HELP (\w+) ", text, re.MULTILINE)
    ), text


def with_a_job(running: Running) -> None:
    body = urllib.request.Request(f"{running.url}/v1/queues/q/jobs", b"{}", {"content-type": "application/json"})
    urllib.request.urlopen(body).close()


def asked(expression: str) -> set[str]:
    return set(re.findall(r"holdfast_\w+", expression))


def test_the_dashboard_asks_for_metrics_that_there_are(running: Running):
    with_a_job(running)
    board = json.loads(read("deploy/grafana/holdfast.json"))
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    expressions += [one["query"]["query"] for one in board["templating"]["list"] if isinstance(one["query"], dict)]
    names, _ = served(running)
    assert len(expressions) > 15
    assert not {name for expression in expressions for name in asked(expression)} - names
    used = {label for expression in expressions for label in re.findall(r"(\w+)=~?\"", expression)}
    assert used <= LABELS
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))


def test_the_alert_rules_ask_for_metrics_and_events_that_there_are(running: Running):
    with_a_job(running)
    (group,) = yaml.safe_load(read("deploy/prometheus/holdfast.rules.yml"))["groups"]
    names, text = served(running)
    for rule in group["rules"]:
        assert asked(rule["expr"]) <= names, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"]
        for event in re.findall(r'event=~?"([^"]+)"', rule["expr"]):
            for one in event.split("|"):
                assert f'event="{one}"' in text, (rule["alert"], one)
    assert len({rule["alert"] for rule in group["rules"]}) == len(group["rules"])
