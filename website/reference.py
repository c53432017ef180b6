"""The references: Markdown that is made from the code, so that it can't differ from it."""

import ast
import io
import json
import re
import subprocess
import sys
import tempfile
import time
import tokenize
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from prometheus_client.parser import text_string_to_metric_families

from holdfast import errors, limits
from holdfast.cli.entry import SERVER, TALKING, main
from holdfast.config import Config
from holdfast.doors.rest.app import ROUTES
from holdfast.doors.rest.docs import document
from holdfast.http.problem import STATUS
from holdfast.messages.views import Replication
from holdfast.metrics import replication_families, span_families, tls_families

_MADE = "*This page is made from the code.*"
_START_S = 30


def pages() -> dict[str, str]:
    """All references, by their place on the site."""
    made = {
        "api": api(),
        "commands": commands(),
        "metrics": metrics(),
        "errors": error_codes(),
        "limits": bounds(),
        "settings": settings(),
    }
    return {f"reference/{name}": text for name, text in made.items()}


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def _table(heads: list[str], rows: list[list[object]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines]


# --------------------------------------------------------------------------------------------------------------- API


def api() -> str:
    """Every route, with its parameters and the fields of its bodies."""
    told = document(ROUTES, "")
    schemas: dict[str, Any] = told["components"]["schemas"]
    lines = [
        "# Every route",
        "",
        f"{_MADE} It is what `/openapi.json` of a server says; there, `/docs` is a page to try it. What the calls mean is in [the protocol](../protocol.md).",
        "",
    ]
    for tag in told["tags"]:
        lines += [f"## {tag['name'].capitalize()}", "", tag["description"], ""]
        for path, verbs in told["paths"].items():
            for method, route in verbs.items():
                if route["tags"][0] == tag["name"]:
                    lines += _route(method.upper(), path, route, schemas)
    return "\n".join(lines)


def _route(method: str, path: str, route: dict[str, Any], schemas: dict[str, Any]) -> list[str]:
    lines = [f"### {method} {path}", "", f"{route['summary']}.", ""]
    if described := route.get("description"):
        lines += [described, ""]
    given = [
        [f"`{one['name']}`", one["in"], _kind(one["schema"]), _must(one["required"]), one.get("description", "")]
        for one in route.get("parameters", [])
    ]
    if given:
        lines += [*_table(["parameter", "in", "type and bounds", "", ""], given), ""]
    for media, body in route.get("requestBody", {}).get("content", {}).items():
        lines += _body(f"Body, `{media}`", body["schema"], schemas)
    for status, answer in route["responses"].items():
        for media, body in answer.get("content", {}).items():
            if status != "default":
                lines += _body(f"{status}, `{media}`", body["schema"], schemas)
    return lines


def _body(what: str, schema: dict[str, Any], schemas: dict[str, Any]) -> list[str]:
    name = schema.get("$ref", "").rpartition("/")[2]
    fields = schemas.get(name, schema).get("properties", {})
    if not fields:
        return [f"{what}: {_kind(schema)}", ""]
    required = schemas.get(name, schema).get("required", [])
    rows = [[f"`{field}`", _kind(its), _must(field in required), its.get("description", "")] for field, its in fields.items()]
    return [f"{what}:", "", *_table(["field", "type and bounds", "", ""], rows), ""]


def _must(required: bool) -> str:
    return "required" if required else ""


def _kind(schema: dict[str, Any]) -> str:
    """A schema in one line."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_kind(choice) for choice in choices)
    kind = schema.get("type", "any")
    if kind == "array":
        return f"array of {_kind(schema.get('items', {}))}{_bounds(schema)}"
    return f"{kind}{_bounds(schema)}"


def _bounds(schema: dict[str, Any]) -> str:
    names = {"minimum": "from ", "maximum": "to ", "minLength": "at least ", "maxLength": "at most ", "minItems": "at least ", "maxItems": "at most "}  # fmt: skip
    told = [f"{word}{schema[name]:,}" for name, word in names.items() if name in schema]
    if "default" in schema and schema["default"] is not None:
        told.append(f"default `{json.dumps(schema['default'])}`")
    return f", {', '.join(told)}" if told else ""


# ---------------------------------------------------------------------------------------------------------- commands


def commands() -> str:
    """The help of every command."""
    lines = ["# Every command", "", f"{_MADE} It is what `--help` says. With examples: [from a shell](../shell.md).", ""]
    context = click.Context(main, info_name="holdfast")
    for name in sorted({*TALKING, *SERVER}):
        command = main.get_command(context, name)
        assert command is not None, name
        lines += _command(command, click.Context(command, info_name=name, parent=context), 2)
    return "\n".join(lines)


def _command(command: click.Command, context: click.Context, depth: int) -> list[str]:
    context.max_content_width = 110
    lines = [f"{'#' * depth} {context.command_path}", "", "```text", command.get_help(context), "```", ""]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None, name
            lines += _command(inner, click.Context(inner, info_name=name, parent=context), depth + 1)
    return lines


# ----------------------------------------------------------------------------------------------------------- metrics


def metrics() -> str:
    """The families that a server shows, asked from one that has every door."""
    lines = ["# Every metric", "", f"{_MADE} A server's `/metrics` shows them. Which to watch: [operations](../operations.md#what-to-watch).", ""]  # fmt: skip
    families = [
        *text_string_to_metric_families(_scraped()),
        *replication_families(Replication(1, 1, 0, 0, 0, 0.0)),
        *tls_families("0", 0.0, {}, [("http", {"timeout": 1})]),
        *span_families({"exported": 0}, "0"),
    ]
    rows: list[list[object]] = []
    for family in sorted(families, key=lambda family: family.name):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        if not name.endswith("_created"):
            rows.append([f"`{name}`", family.type, ", ".join(f"`{label}`" for label in labels), family.documentation])
    return "\n".join([*lines, *_table(["metric", "type", "labels", ""], rows), ""])


def _scraped() -> str:
    with tempfile.TemporaryDirectory() as folder, _serving(Path(folder)) as url:
        for path, body in (("/v1/queues/mail/jobs", b'{"payload":1}'), ("/v1/leases", b'{"queues":["mail"],"worker":"w"}')):
            asked = urllib.request.Request(url + path, body, {"Content-Type": "application/json"})
            urllib.request.urlopen(asked, timeout=_START_S).close()
        with urllib.request.urlopen(f"{url}/metrics", timeout=_START_S) as answer:
            return str(answer.read().decode())


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    """A server with all its doors, in memory."""
    command = [sys.executable, "-m", "holdfast", "serve", "--store", "memory", "--port", "0", "--beanstalk", "127.0.0.1:0"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + _START_S
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", (folder / "log").read_text())):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "log").read_text())
            time.sleep(0.05)
        yield found[0]
    finally:
        process.terminate()
        process.wait(_START_S)


# ------------------------------------------------------------------------------------------------------------ errors


def error_codes() -> str:
    """Every code with its status."""
    lines = ["# Every error", "", f"{_MADE} Each answer that is refused has such a `code`. When each of them comes: [errors](../protocol.md#errors).", ""]  # fmt: skip
    inside = {"error", "unavailable", "stale_interests"}  # two are never sent by themselves, one is seen between processes
    rows: list[list[object]] = [
        [f"`{code}`", STATUS[code], error.title, error.__doc__ or ""]
        for code, error in sorted(errors.BY_CODE.items(), key=lambda pair: (STATUS[pair[0]], pair[0]))
        if code not in inside
    ]
    return "\n".join([*lines, *_table(["code", "status", "", ""], rows), ""])


# ---------------------------------------------------------------------------------------------------------- settings


def settings() -> str:
    """Every setting, with its flag, variable, default and bounds."""
    lines = ["# Every setting", "", f"{_MADE} How settings are given: [configuration](../configuration.md).", ""]
    rows: list[list[object]] = []
    for setting in fields(Config):
        flag = f"--{setting.name.replace('_', '-')}"
        shown = f"`{flag}`, `--no-{flag[2:]}`" if isinstance(setting.default, bool) else f"`{flag}`"
        rows.append(
            [
                f"`{setting.name}`",
                shown,
                f"`HOLDFAST_{setting.name.upper()}`",
                _default(setting.default),
                *_meant(setting.metadata),
            ]
        )
    return "\n".join([*lines, *_table(["key", "flag", "variable", "default", "bounds", ""], rows), ""])


def _default(value: object) -> str:
    if value in ("", ()):
        return ""
    return f"`{','.join(value) if isinstance(value, tuple) else str(value).lower()}`"


def _meant(meta: Mapping[str, Any]) -> tuple[str, str]:
    """The bounds of a setting, and what it does."""
    if "low" in meta:
        return f"{meta['low']:,} to {meta['high']:,}", meta["help"]
    return " or ".join(f"`{choice}`" for choice in meta.get("choices", ())), meta["help"]


# ------------------------------------------------------------------------------------------------------------ limits


def bounds() -> str:
    """Every constant of `limits.py`, with its comment."""
    lines = ["# Every limit", "", f"{_MADE} These are the names in `limits.py`. What a caller meets: [limits](../protocol.md#limits).", ""]  # fmt: skip
    source = Path(limits.__file__).read_text(encoding="utf-8")
    remarks = _remarks(source)
    rows: list[list[object]] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            value = getattr(limits, name)
            if isinstance(value, int | float):
                remark = " ".join(
                    remarks[line] for line in range(node.lineno, (node.end_lineno or node.lineno) + 1) if line in remarks
                )
                rows.append([f"`{name}`", f"{value:,}", remark])
    return "\n".join([*lines, *_table(["limit", "value", "why"], rows), ""])


def _remarks(source: str) -> Mapping[int, str]:
    """The comments that stand behind code, by line."""
    comments = [token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type == tokenize.COMMENT]
    return {token.start[0]: token.string.lstrip("# ") for token in comments if token.line[: token.start[1]].strip()}
