"""`holdfast doctor`: can this PostgreSQL keep the durability promise? Prints findings, their meaning, and how to fix them."""

import asyncio
import json
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import click

from holdfast.config import Config, load
from holdfast.errors import StoreUnavailable
from holdfast.setting_values import ConfigError
from holdfast.stores.postgres.doctor import Finding, judge
from holdfast.stores.postgres.examine import examine
from holdfast.stores.postgres.facts import Facts
from holdfast.tls import UnusableCertificate
from holdfast.units import counted

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
    findings = [*judge(facts, config.replicas, config.standbys), *_of_certificate(config)]
    click.echo((_as_json if as_json else _as_text)(facts, findings, config.replicas))
    sys.exit(1 if any(finding.breaks for finding in findings) else 0)


def _of_certificate(config: Config) -> list[Finding]:
    """What is wrong with the TLS certificate of the settings."""
    try:
        certificate = config.certificate()
    except UnusableCertificate as error:
        means = "No server starts with it; one that runs keeps the certificate that it has."
        return [Finding("tls_certificate_unusable", str(error), means, "Replace the file.")]
    if certificate is None or certificate.warning is None:
        return []
    seen = f"The certificate in {config.tls_cert} expires on {certificate.expires}."
    means = "From then on no client that verifies it connects."
    return [Finding("tls_certificate_expires", seen, means, "Renew it: the server reloads it by itself.", breaks=False)]


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
    lines.append(f"{breaking or 'Nothing'} would break the promise; {counted(len(findings) - breaking, 'warning')}.")
    return "\n".join(lines)
