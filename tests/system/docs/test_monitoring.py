"""The dashboard and the alert rules that come along ask only for what the server tells."""

import json
import re
import urllib.request

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.system.docs.conftest import Running
from tests.system.docs.pages import ROOT, read

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
    budget = urllib.request.Request(f"{running.url}/v1/budgets/b", b'{"limit": 5}', method="PUT")
    budget.add_header("content-type", "application/json")
    urllib.request.urlopen(budget).close()


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


def as_grafana_has_it(board):
    """The dashboard, read with the types that Grafana publishes, and written again."""
    register_default_plugins()
    return json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(board)))


def lost(given, kept, at=""):
    """What of a document is not there any more, or is something else."""
    if isinstance(given, dict):
        if not isinstance(kept, dict):
            return [at]
        return [one for name, value in given.items() for one in lost(value, kept.get(name), f"{at}.{name}")]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        return [
            one for n, (value, other) in enumerate(zip(given, kept, strict=True)) for one in lost(value, other, f"{at}[{n}]")
        ]
    return [] if given == kept else [at]


def test_the_dashboard_is_what_grafana_s_own_types_read_it_as():
    board = json.loads(read("deploy/grafana/holdfast.json"))
    assert lost(board, as_grafana_has_it(board)) == []
    board["panels"][0]["targets"][0]["legendFormatt"] = "a"
    board["panels"][8]["options"]["legend"]["placment"] = "right"
    board["templating"]["list"][1]["multy"] = True
    assert len(lost(board, as_grafana_has_it(board))) == 3, "a field that there is not is noticed"


def parsed(expression):
    """As Prometheus gets it from Grafana, and Grafana's variables with it."""
    for name, value in (("$__rate_interval", "1m"), ("$__range", "1h"), ("$__interval", "1m")):
        expression = expression.replace(name, value)
    return promql_parser.parse(expression)


def test_every_expression_of_dashboard_and_rules_is_promql():
    board = json.loads(read("deploy/grafana/holdfast.json"))
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    rules = sorted((ROOT / "deploy/prometheus").glob("*.rules.yml"))
    for file in rules:
        expressions += [rule["expr"] for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
    assert len(expressions) > 40
    assert len(rules) == 5
    for expression in expressions:
        assert parsed(expression) is not None
    for wrong in ("sum by (queue) (rate(holdfast_jobs))", "sum(a", "rate(a[1m]", "max by queue (a)"):
        with pytest.raises(ValueError):  # noqa: PT011  (each says something else)
            parsed(wrong)


def test_the_readme_of_the_dashboard_begins_with_what_was_not_tried():
    assert read("deploy/grafana/README.md").startswith("No Grafana has opened this dashboard")


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
