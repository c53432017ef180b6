"""`holdfast export`: what a store has, as lines of JSON that another version, another store or another program can read."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

import click

from holdfast.config import Config, store_outside
from holdfast.errors import StoreUnavailable
from holdfast.job.job import State
from holdfast.limits import ID_MAX
from holdfast.setting_values import ConfigError
from holdfast.stores.exporting import ExportSource, Progress, Wanted, lines
from holdfast.stores.sqlite import exporting as file
from holdfast.stores.sqlite.files import UnfitPlace
from holdfast.units import counted, is_or_are

_TELL_S = 2.0
_SHOWN = 20


@click.command(name="export")
@click.option(
    "--store",
    required=True,
    envvar="HOLDFAST_STORE",
    metavar="STORE",
    help="sqlite:///PATH or postgresql://USER@HOST/DATABASE.",
)
@click.option("--queue", "queues", multiple=True, metavar="QUEUE", help="Only this queue; repeatable.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([str(state) for state in State]),
    help="Only jobs in this state; repeatable.",
)
@click.option(
    "--after",
    type=click.IntRange(0, ID_MAX),
    default=0,
    metavar="ID",
    help="Only jobs with a greater id: to go on with an export that was cut off.",
)
def export_store(store: str, queues: tuple[str, ...], states: tuple[str, ...], after: int) -> None:
    """Write what a store has to standard output, as NDJSON: queues, schedules, and jobs in the order of their ids.

    It reads the store itself, also while a server uses it: each job once, as it is when its turn comes. For one moment of a file, export a
    backup. `holdfast import` puts it into another store. Not exported: access keys, the secrets of leases, workers,
    operations and the audit log.
    """
    try:
        config = store_outside(store)
    except ConfigError as error:
        _refuse(str(error), 2)
    progress = Progress(after)
    try:
        asyncio.run(_export(config, Wanted(frozenset(queues), frozenset(map(State, states))), progress))
    except (UnfitPlace, StoreUnavailable) as error:
        _refuse(f"{error.detail if isinstance(error, StoreUnavailable) else error}{_how_to_go_on(progress)}", 1)
    except KeyboardInterrupt:
        _refuse(f"interrupted.{_how_to_go_on(progress)}", 130)
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123  (Python would flush it again at the end)
        _refuse(f"standard output can't be written ({error.strerror or error}).{_how_to_go_on(progress)}", 1)
    click.echo(f"{counted(progress.jobs, 'job')} {is_or_are(progress.jobs)} exported, up to job {progress.after}.", err=True)
    if progress.problems:
        for problem in progress.problems[:_SHOWN]:
            click.echo(problem, err=True)
        _refuse(f"{counted(len(progress.problems), 'thing')} could not be exported. `holdfast check` names what is damaged.", 1)


def _how_to_go_on(progress: Progress) -> str:
    if not progress.jobs:
        return ""
    return (
        f" {counted(progress.jobs, 'job')} {is_or_are(progress.jobs)} written, up to job {progress.after}. To go on, remove an incomplete last line, and append the output of the "
        "same command with --after and the id of the last job that is there."
    )


async def _export(config: Config, wanted: Wanted, progress: Progress) -> None:
    out = sys.stdout.buffer
    tell_at = time.monotonic() + _TELL_S
    async with _source(config) as source:
        async for line in lines(source, wanted, progress):
            out.write(line)
            if time.monotonic() >= tell_at:
                tell_at = time.monotonic() + _TELL_S
                click.echo(f"exporting: {counted(progress.jobs, 'job')}, up to job {progress.after}", err=True)
        out.flush()


@asynccontextmanager
async def _source(config: Config) -> AsyncIterator[ExportSource]:
    if config.database():
        from holdfast.stores.postgres import exporting as database  # noqa: PLC0415  (its driver is slow to import)

        async with database.source(config.store) as one:
            yield one
        return
    path = config.store_path()
    assert path is not None, "a store in memory was refused before"
    with file.source(path) as other:
        yield other


def _refuse(message: str, code: int) -> NoReturn:
    click.echo(f"holdfast: {message}", err=True)
    sys.exit(code)
