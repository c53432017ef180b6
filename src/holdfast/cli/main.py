"""`holdfast serve|config|check|backup|restore|export|import|move|upgrade|doctor`.

Exit codes: 0 done, 1 it failed, 2 the command was wrong. Data goes to standard output, messages to standard error.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import click

from holdfast import __version__
from holdfast.cli.doctor import doctor
from holdfast.cli.export import export_store
from holdfast.cli.import_store import import_store
from holdfast.cli.move import move
from holdfast.cli.restore import restore_backup
from holdfast.cli.upgrade import upgrade
from holdfast.config import Config, ConfigError, Loaded, load
from holdfast.errors import StoreUnavailable
from holdfast.logs import settle
from holdfast.stores.postgres import maintenance as database
from holdfast.stores.sqlite import copies, maintenance
from holdfast.stores.sqlite.files import UnfitPlace


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
        _refuse(str(error), 2)


def _refuse(message: str, code: int = 1) -> NoReturn:
    click.echo(f"holdfast: {message}", err=True)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="holdfast")
def main() -> None:
    """A work queue server that never lets go of a job."""


@main.command()
@_settings
def serve(file: Path | None, **flags: Any) -> None:
    """Run the server.

    Each setting is a flag, a variable HOLDFAST_NAME, or a key in the config file, in this order of precedence.
    """
    from holdfast import server  # noqa: PLC0415  (most of a second, which the other commands do not need)

    code = server.serve(_load(file, flags).config)
    if sys.flags.inspect:  # another program's PYTHONINSPECT: Python would prompt for commands now
        settle()
        os._exit(code)
    sys.exit(code)


@main.command()
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


class StoreFile(click.Path):
    """A file of SQLite's; for a database the error says what to use."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, if it is one."""
        if str(value).startswith(("postgresql://", "postgres://")):
            _refuse(
                "this works on a store file. For PostgreSQL: `holdfast check --store URL` verifies what it holds, `holdfast doctor` looks at "
                "the server and its standbys; copy it with pg_basebackup and WAL archiving, or pg_dump (docs/postgresql.md).",
                2,
            )
        return super().convert(value, param, ctx)


@main.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--store", help="As for serve: sqlite:///PATH or postgresql://USER@HOST,HOST/DATABASE.")
def check(path: Path | None, store: str | None) -> None:
    """Verify the integrity of a store: a file's pages and schema, and that every count agrees with its rows. Safe while servers run."""
    if (path is None) == (store is None):
        raise click.UsageError("Give the PATH of a store file, or --store postgresql://…, and not both.")
    if store is not None and store.startswith(("postgresql://", "postgres://")):
        name = "The database"
        try:
            problems = asyncio.run(database.check(store))
        except StoreUnavailable as error:
            _refuse(error.detail)
    else:
        file = StoreFile(exists=True, dir_okay=False, path_type=Path).convert(
            path or str(store).removeprefix("sqlite:///"), None, click.get_current_context()
        )
        name = str(file)
        try:
            problems = maintenance.check(file)
        except UnfitPlace as error:
            _refuse(str(error))
    for problem in problems:
        click.echo(problem)
    if problems:
        _refuse(f"{name} has {len(problems)} problems.")
    click.echo(f"{name} is sound.", err=True)


@main.command()
@click.argument("source", type=StoreFile(exists=True, dir_okay=False, path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
def backup(source: Path, target: Path) -> None:
    """Copy a store file, even while a server uses it. TARGET must not exist yet."""
    try:
        copies.backup(source, target)
    except (UnfitPlace, FileExistsError, OSError) as error:
        _refuse(str(error))
    click.echo(f"{source} is copied to {target}, fsynced and verified.", err=True)


main.add_command(doctor)
main.add_command(export_store)
main.add_command(import_store)
main.add_command(move)
main.add_command(restore_backup)
main.add_command(upgrade)
