"""`holdfast doctor`: is this PostgreSQL fit to keep what it promises? Says what is wrong, what that means, and how to mend it."""

import asyncio
import json
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import click

from holdfast.config import ConfigError, load
from holdfast.errors import StoreUnavailable
from holdfast.stores.postgres.doctor import Finding, judge
from holdfast.stores.postgres.examine import examine
from holdfast.stores.postgres.facts import Facts

_WIDTH = 118


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), envvar="HOLDFAST_CONFIG", help="A TOML file with settings.")
@click.option("--store", help="As for serve: postgresql://USER@HOST,HOST/DATABASE.")
@click.option("--replicas", type=int, help="As for serve: how many standbys must have flushed a change.")
@click.option("--standbys", help="As for serve: the standbys that count.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor(file: Path | None, as_json: bool, **flags: Any) -> None:
    """Check that a PostgreSQL server keeps the durability promise. Each finding says what is wrong, what it means, and how to fix it.

    Takes its settings from where serve takes them. Changes nothing. Ends with 1 if anything breaks the promise.
    """
    try:
        config = load({name: value for name, value in flags.items() if value is not None}, file).config
    except ConfigError as error:
        _refuse(str(error), 2)
    if not config.database():
        _refuse("doctor examines a store on PostgreSQL (--store postgresql://…); a file is verified by: holdfast check PATH", 2)
    try:
        facts = asyncio.run(examine(config.store))
    except StoreUnavailable as error:
        _refuse(str(error), 1)
    findings = judge(facts, config.replicas, config.standbys)
    click.echo((_as_json if as_json else _as_text)(facts, findings, config.replicas))
    sys.exit(1 if any(finding.breaks for finding in findings) else 0)


def _refuse(message: str, code: int) -> NoReturn:
    click.echo(f"holdfast: {message}", err=True)
    sys.exit(code)


def _as_json(facts: Facts, findings: list[Finding], replicas: int) -> str:
    found = {
        "sound": not any(finding.breaks for finding in findings),
        "postgresql": facts.version,
        "replicas": replicas,
        "in_sync": [standby.name for standby in facts.standbys if standby.in_sync],
        "findings": [asdict(finding) for finding in findings],
    }
    return json.dumps(found, indent=2)


def _as_text(facts: Facts, findings: list[Finding], replicas: int) -> str:
    lines = []
    for finding in findings:
        lines.append(f"{'BREAKS ' if finding.breaks else 'warning'}  {finding.code}")
        for label, text in (("", finding.seen), ("", finding.means), ("Fix: ", finding.mend)):
            lines += textwrap.wrap(
                label + text, _WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
            )
        lines.append("")
    breaking = sum(finding.breaks for finding in findings)
    in_sync = ", ".join(standby.name for standby in facts.standbys if standby.in_sync) or "none"
    lines.append(
        f"PostgreSQL {facts.version}, database {facts.database}, role {facts.role}; K = {replicas}, standbys in sync: {in_sync}."
    )
    lines.append(f"{breaking or 'Nothing'} would break the promise; {len(findings) - breaking} warnings.")
    return "\n".join(lines)
