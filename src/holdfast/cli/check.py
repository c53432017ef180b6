"""`holdfast check|backup`: is a store sound, and a copy of it.

Exit codes: 0 done, 1 it failed, 2 the command was wrong. Messages go to standard error.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from holdfast.errors import StoreUnavailable
from holdfast.stores.postgres import maintenance as database
from holdfast.stores.sqlite import copies, maintenance
from holdfast.stores.sqlite.files import UnfitPlace, why
from holdfast.units import counted, is_or_are


class Existing(click.Path):
    """A path at which there is something; where a folder on the way can't be read, that is said, and not that there is nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, if something is there."""
        try:
            os.stat(value)  # noqa: PTH116  (as it was given)
        except PermissionError as error:  # click would say that it is not there
            _refuse(why(error))
        except (OSError, ValueError):
            pass  # click says what it is
        return super().convert(value, param, ctx)


class StoreFile(Existing):
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


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--store", help="As for serve: sqlite:///PATH or postgresql://USER@HOST,HOST/DATABASE.")
def check(path: Path | None, store: str | None) -> None:
    """Verify the integrity of a store: a file's pages and schema, and that every count agrees with its rows. Safe while servers run."""
    waiting = 0
    if (path is None) == (store is None):
        raise click.UsageError("Give the PATH of a store file, or --store postgresql://…, and not both.")
    if store is not None and store.startswith(("postgresql://", "postgres://")):
        name = "The database"
        try:
            problems, waiting = asyncio.run(_looked_at(store))
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
        _refuse(f"{name} has {counted(len(problems), 'problem')}.")
    click.echo(f"{name} is sound.", err=True)
    if waiting:
        click.echo(
            f"{counted(waiting, 'job')} in the inbox of holdfast.enqueue {is_or_are(waiting)} not taken in yet.", err=True
        )


async def _looked_at(url: str) -> tuple[list[str], int]:
    return await database.check(url), await database.waiting(url)


@click.command()
@click.argument("source", type=StoreFile(exists=True, dir_okay=False, path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
def backup(source: Path, target: Path) -> None:
    """Copy a store file, even while a server uses it. TARGET must not exist yet."""
    try:
        copies.backup(source, target)
    except (UnfitPlace, OSError) as error:
        _refuse(why(error))
    click.echo(f"{source} is copied to {target}, fsynced and verified.", err=True)


def _refuse(message: str, code: int = 1) -> NoReturn:
    click.echo(f"holdfast: {message}", err=True)
    sys.exit(code)
