"""`holdfast serve|config`: the settings as flags, and what comes of them.

Exit codes: 0 done, 1 it failed, 2 the command was wrong. Data goes to standard output, messages to standard error.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from holdfast.config import Config, Loaded, load
from holdfast.logs import settle
from holdfast.setting_values import ConfigError


def _settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command a flag for every setting."""
    for setting in reversed(fields(Config)):
        kind: Any = (
            click.Choice(setting.metadata["choices"])
            if "choices" in setting.metadata
            else (int if setting.type is int else str)
        )
        default = ", ".join(setting.default) if isinstance(setting.default, tuple) else setting.default
        shown = f"{setting.metadata['help']}  [default: {default}]" if default != "" else setting.metadata["help"]
        flag = f"--{setting.name.replace('_', '-')}"
        if setting.type is bool:
            command = click.option(f"{flag}/--no-{flag[2:]}", setting.name, default=None, help=shown)(command)
            continue
        command = click.option(flag, setting.name, type=kind, default=None, help=shown)(command)
    file = click.option(
        "--config", "file", type=click.Path(path_type=Path), envvar="HOLDFAST_CONFIG", help="A TOML file with settings."
    )
    return file(command)


def _load(file: Path | None, flags: dict[str, Any]) -> Loaded:
    try:
        return load({name: value for name, value in flags.items() if value is not None}, file)
    except ConfigError as error:
        click.echo(f"holdfast: {error}", err=True)
        sys.exit(2)


@click.command()
@click.option("--until-eof", is_flag=True, help="End when standard input does: for a program that has a server of its own.")
@_settings
def serve(file: Path | None, until_eof: bool, **flags: Any) -> None:
    """Run the server.

    Each setting is a flag, a variable HOLDFAST_NAME, or a key in the config file, in this order of precedence.
    """
    from holdfast import server  # noqa: PLC0415  (most of a second, which the other commands do not need)

    code = server.serve(_load(file, flags).config, until_eof)
    if sys.flags.inspect:  # another program's PYTHONINSPECT: Python would prompt for commands now
        settle()
        os._exit(code)
    sys.exit(code)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@_settings
def config(file: Path | None, as_json: bool, **flags: Any) -> None:
    """Print the effective settings, and where each comes from."""
    loaded = _load(file, flags)
    rows = [(setting.name, getattr(loaded.config, setting.name), loaded.origins[setting.name]) for setting in fields(Config)]
    if as_json:
        click.echo(json.dumps({name: {"value": value, "origin": origin} for name, value, origin in rows}, indent=2))
        return
    for name, value, origin in rows:
        click.echo(f"{name} = {json.dumps(value)}".ljust(56) + f" # {origin}")
