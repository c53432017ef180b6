"""`holdfast move`: everything from one store into another, empty one, with a report as proof. Neither may be in use.

All or nothing: the target is filled in one transaction (a file: under another name), compared row by row with the source, and
made final only if nothing differs. The source is only read. Only this module knows which stores there are (`stores/transfer.py`
has the interface).
"""

import asyncio
import logging
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from holdfast.logs import structlog
from holdfast.stores import transfer
from holdfast.stores.postgres import transfer as postgres
from holdfast.stores.sqlite import transfer as sqlite
from holdfast.stores.transfer import CantMove, Report, Source, Target
from holdfast.units import counted

_TELL_S = 2.0
_DATABASE = ("postgresql://", "postgres://")
_FILE = "sqlite:///"


@click.command()
@click.option("--from", "origin", required=True, metavar="STORE", help="sqlite:///PATH or postgresql://USER@HOST/DATABASE.")
@click.option(
    "--to", "goal", required=True, metavar="STORE", help="The same; a file that is not there yet, or an empty database."
)
@click.option("--replicas", type=click.IntRange(0, 8), default=0, help="With PostgreSQL: standbys that must have flushed it.")
@click.option("--dry-run", is_flag=True, help="Only print what would be moved, and whether it can be.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def move(origin: str, goal: str, replicas: int, dry_run: bool, as_json: bool) -> None:
    """Move a store into another, empty store, such as from a file into PostgreSQL.

    No server may use either. All or nothing: the target is compared with the source row by row before it is made final; the source is
    not changed, and has to be sound (`holdfast check`). Leases live on: their workers end them at the new place. Ends with 1 if
    anything differs.
    """
    for option, place in (("--from", origin), ("--to", goal)):
        if not place.startswith(_DATABASE) and not (place.startswith(_FILE) and len(place) > len(_FILE)):
            _refuse(f"{option} must be sqlite:///PATH or postgresql://USER@HOST:PORT/DATABASE, not {_shown(place)!r}.", 2)
    try:
        with _quiet():
            report = asyncio.run(_dry(origin, goal, replicas) if dry_run else _move(origin, goal, replicas))
    except CantMove as error:
        _refuse(str(error), 1)
    said = {"from": _shown(origin), "to": _shown(goal), "moved": not dry_run and not report.differences, "dry_run": dry_run}
    if dry_run:
        said["can_be_moved"] = True  # a reason to refuse ends the command
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(said | msgspec.to_builtins(report)), indent=2))
    else:
        _print(report, dry_run)
    if report.differences:
        _refuse(f"the two sides differ in {counted(len(report.differences), 'way')}; nothing was moved.", 1)
    if dry_run:
        jobs, queues = sum(row["jobs_from"] for row in report.queues), len({row["queue"] for row in report.queues})
        click.echo(
            f"It can be moved: {counted(jobs, 'job')} in {counted(queues, 'queue')}. Nothing was changed.",
            err=True,
        )
    else:
        click.echo("Moved. Serve the target from now on, and never the source: keep it as a copy.", err=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the server's log lines: this command's output is the report."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        yield
    finally:
        structlog.configure(**before)


async def _move(origin: str, goal: str, replicas: int) -> Report:
    async with _source(origin) as source, _target(goal, replicas) as target:
        await transfer.demand_sound(source)
        await transfer.copy(source, target, _Progress("copying"))
        report = await transfer.reconcile(source, target, _Progress("comparing"))
        if not report.differences:
            await target.commit()
        return report


async def _dry(origin: str, goal: str, replicas: int) -> Report:
    """The source's contents, as a report whose other side is empty."""
    if goal.startswith(_DATABASE):
        await postgres.check_free(goal, replicas)
    else:
        sqlite.check_free(Path(goal.removeprefix(_FILE)))
    async with _source(origin) as source:
        await transfer.demand_sound(source)
        tables = []
        for table in transfer.TABLES:
            count = sum([len(rows) async for rows in source.pages(table)])
            tables.append(transfer.Compared(table.name, count))
        sums = sorted((await source.sums()).items())
        queues = [{"queue": queue, "state": state, "jobs_from": n, "bytes_from": size} for (queue, state), (n, size) in sums]
        return Report(tables, queues, await source.counters(), transfer.Counters(0, 0, 0, 0), [])


@asynccontextmanager
async def _source(place: str) -> AsyncIterator[Source]:
    if place.startswith(_DATABASE):
        async with postgres.source(place) as database:
            yield database
    else:
        with sqlite.source(Path(place.removeprefix(_FILE))) as file:
            yield file


@asynccontextmanager
async def _target(place: str, replicas: int) -> AsyncIterator[Target]:
    if place.startswith(_DATABASE):
        async with postgres.target(place, replicas) as database:
            yield database
    else:
        with sqlite.target(Path(place.removeprefix(_FILE))) as file:
            yield file


class _Progress:
    """Says on standard error how far it is, every few seconds."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next = time.monotonic() + _TELL_S

    def __call__(self, table: str, rows: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _TELL_S
            click.echo(f"{self._what} {table}: {counted(rows, 'row')}", err=True)


def _print(report: Report, dry_run: bool) -> None:
    def line(*cells: object) -> None:
        name, state, *numbers = cells
        click.echo(f"{name!s:<32} {state!s:<10}" + "".join(f"{number!s:>16}" for number in numbers))

    sides: Any = ("jobs_from", "bytes_from") if dry_run else ("jobs_from", "jobs_to", "bytes_from", "bytes_to")
    line("queue", "state", *[side.replace("_", " ") for side in sides])
    for row in report.queues:
        line(row["queue"], row["state"], *[row[side] for side in sides])
    click.echo()
    line("table", "", "rows from", *([] if dry_run else ["rows to", "checksum"]))
    for table in report.tables:
        same = "same" if table.sha256_from == table.sha256_to else "DIFFERENT"
        line(table.table, "", table.rows_from, *([] if dry_run else [table.rows_to, same]))
    for difference in report.differences:
        click.echo(f"DIFFERENT: {difference}")


def _shown(place: str) -> str:
    """A place without its password."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:…@", place)


def _refuse(message: str, code: int) -> NoReturn:
    click.echo(f"holdfast: {message}", err=True)
    sys.exit(code)
