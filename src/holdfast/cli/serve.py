"""`holdfast serve|config`: the settings as flags, and what comes of them.

Exit codes: 0 done, 1 it failed, 2 the command was wrong. Data goes to standard output, messages to standard error.
"""

import json
import os
import sys
import textwrap
from collections.abc import Callable, Collection
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import click

from holdfast.cli.context import examples
from holdfast.config import Config, Loaded, load
from holdfast.logs import settle
from holdfast.setting_values import ConfigError


def _settings(command: Callable[..., Any], *, reads_file: bool = True) -> Callable[..., Any]:
    """Give a command a flag for every setting; `reads_file`: and one for a file with settings."""
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
    if not reads_file:
        return command
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


_HEAD = """\
# Settings of Holdfast. Start it with: holdfast serve --config {file}
# Each line is a setting with its default: take the # away to change it. A flag (--port) and a variable (HOLDFAST_PORT) take
# precedence over this file; `holdfast config --config {file}` prints what is in force, and where each value comes from.
"""


@click.command(
    name="init", epilog=examples("holdfast init", "holdfast init /etc/holdfast.toml --port 4700", "holdfast init - | less")
)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), default="holdfast.toml")
@partial(_settings, reads_file=False)
def init_config(file: Path, **flags: Any) -> None:
    """Write a config file with every setting, explained and commented out, but for those that are given here.

    A FILE that is there is never overwritten; - is standard output.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    loaded = _load(None, given)
    text = _written(str(file) if str(file) != "-" else "holdfast.toml", loaded, given.keys())
    if str(file) == "-":
        click.echo(text, nl=False)
        return
    try:
        with file.open("x") as out:
            file.chmod(0o600)  # the store's URL may have a password
            out.write(text)
    except FileExistsError:
        click.echo(f"holdfast: {file} is there already, and is not overwritten.", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"holdfast: {file} can't be written: {error.strerror}.", err=True)
        sys.exit(1)
    click.echo(f"{file} is written; start the server with: holdfast serve --config {file}", err=True)


def _written(file: str, loaded: Loaded, given: Collection[str]) -> str:
    lines = [_HEAD.format(file=file)]
    for setting in fields(Config):
        value = getattr(loaded.config, setting.name) if setting.name in given else setting.default
        lines += textwrap.wrap(
            setting.metadata["help"], 116, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
        )
        if "choices" in setting.metadata:
            lines.append(f"# One of {', '.join(setting.metadata['choices'])}.")
        lines.append(f"{'' if setting.name in given else '# '}{setting.name} = {json.dumps(value, ensure_ascii=False)}\n")
    return "\n".join(lines)
