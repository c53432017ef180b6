"""What the dashboard and the alert rules ask of Prometheus, held against what a server tells on /metrics."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[4] / "deploy"
_SAMPLE = re.compile(r"^(holdfast_\w+)(?:\{(.*)\})? ", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_SELECTED = re.compile(r"(holdfast_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(=~?)"([^"]*)"')
_GROUPED = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
_FILLED = re.compile(r"\$labels\.(\w+)|\{\{\s*(\w+)\s*\}\}")
_ADDED = {"instance", "job"}  # by Prometheus itself

Series = dict[str, dict[str, set[str]]]


def exported(page: str) -> Series:
    """By metric, each of its labels with all of its values."""
    found: Series = {}
    for name, labels in _SAMPLE.findall(page):
        known = found.setdefault(name, {})
        for label, value in _LABEL.findall(labels):
            known.setdefault(label, set()).add(value)
    return found


def rules(name: str) -> list[dict[str, Any]]:
    """The rules of a file."""
    return [rule for group in yaml.safe_load((DEPLOY / "prometheus" / name).read_text())["groups"] for rule in group["rules"]]


def board() -> list[tuple[str, str]]:
    """What the dashboard asks, each with what it calls the answers."""
    made = json.loads((DEPLOY / "grafana" / "holdfast.json").read_text())
    asked = [(target["expr"], target["legendFormat"]) for panel in made["panels"] for target in panel["targets"]]
    values = [one["query"]["query"] for one in made["templating"]["list"] if isinstance(one["query"], dict)]
    return asked + [
        (f'{name}{{{label}=~""}}', "") for name, label in re.findall(r"label_values\((\w+), (\w+)\)", " ".join(values))
    ]


def unknown_names(expression: str, words: str, series: Series) -> Iterator[str]:
    """What an expression and its words name that no series has: metrics, labels, values that are written out."""
    known = set(_ADDED)
    for name, matchers in _SELECTED.findall(expression):
        if name not in series:
            yield f"there is no {name}"
            continue
        known |= set(series[name])
        for label, sign, value in _MATCHER.findall(matchers):
            if label in _ADDED:
                continue
            if label not in series[name]:
                yield f"{name} has no {label}"
            elif not value.startswith("$") and value and label in ("state", "event"):
                wanted = set(value.split("|")) if sign == "=~" else {value}
                if missing := wanted - series[name][label]:
                    yield f"no {label} of {name} is {missing}"
    named = {label.strip() for labels in _GROUPED.findall(expression) for label in labels.split(",")}
    named |= {one or other for one, other in _FILLED.findall(words)} - {"value"}
    if strange := named - known:
        yield f"nothing in {expression!r} has {strange}"
