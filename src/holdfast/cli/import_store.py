"""`holdfast import`: an export becomes a part of a store that no server uses."""

import asyncio
import logging
import sys
import time
from typing import BinaryIO, NoReturn

import click
import structlog

from holdfast.cli.importing import CantImport, Importer, items
from holdfast.config import Config, store_outside
from holdfast.errors import HoldfastError
from holdfast.setting_values import ConfigError
from holdfast.stores.sqlite.files import UnfitPlace, why
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.stores.store import OutcomeLost, Store, StoreBroken
from holdfast.stores.transfer import CantMove
from holdfast.units import counted, is_or_are

_TELL_S = 2.0


@click.command(name="import")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--store",
    required=True,
    envvar="HOLDFAST_STORE",
    metavar="STORE",
    help="sqlite:///PATH or postgresql://USER@HOST/DATABASE; no server may use it.",
)
@click.option("--replicas", type=click.IntRange(0, 8), default=0, help="With PostgreSQL: standbys that must have flushed it.")
def import_store(file: BinaryIO, store: str, replicas: int) -> None:
    """Put an export into a store that no server uses. FILE is what `holdfast export` wrote; - is standard input.

    Jobs keep their ids, states, attempts and times. What is there already is passed over, so after a break, import the same file again.
    Leased jobs are ready again. A line that can't be taken is named; all before it is in.
    """
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        config = store_outside(store, replicas)
    except ConfigError as error:
        _refuse(str(error), 2)
    if config.replicas and not config.database():
        _refuse("--replicas needs a store on PostgreSQL; a file has no standbys.", 2)
    importer: list[Importer] = []
    try:
        asyncio.run(_import(config, file, importer))
    except (CantImport, CantMove, UnfitPlace, OSError) as error:
        _refuse(f"{why(error)}{_so_far(importer)}", 1)
    except HoldfastError as error:
        _refuse(f"{error.detail}{_so_far(importer)}", 1)
    except (StoreBroken, OutcomeLost) as error:
        _refuse(f"the store failed: {error}.{_so_far(importer)}", 1)
    except KeyboardInterrupt:
        _refuse(f"interrupted.{_so_far(importer)}", 130)
    done = importer[0].done
    known = f", {done.known:,} {'was' if done.known == 1 else 'were'} there already" if done.known else ""
    click.echo(f"{counted(done.jobs, 'job')} {is_or_are(done.jobs)} imported into {_place(config)}{known}.", err=True)
    if not done.ended:
        _refuse("the last line of an export is missing: it was cut off, and what came after this is not imported.", 1)


def _so_far(importer: list[Importer]) -> str:
    if not importer or not importer[0].done.line:
        return " Nothing was imported."
    done = importer[0].done
    kept = done.jobs + done.known
    return f" {counted(kept, 'job')} {is_or_are(kept)} in, of the lines up to {done.line}; import the same file again to go on."


def _place(config: Config) -> str:
    return "the database" if config.database() else str(config.store_path())


async def _import(config: Config, file: BinaryIO, started: list[Importer]) -> None:
    store = await _opened(config)
    try:
        importer = Importer(store, time.time_ns() // 1_000_000)
        started.append(importer)
        tell_at = time.monotonic() + _TELL_S
        try:
            for number, size, item in items(file):
                if await importer.take(number, size, item) and time.monotonic() >= tell_at:
                    tell_at = time.monotonic() + _TELL_S
                    click.echo(
                        f"importing: line {number}, {counted(importer.done.jobs + importer.done.known, 'job')}", err=True
                    )
        except CantImport:
            await importer.finish()
            raise
        await importer.end()
    finally:
        await store.close()


async def _opened(config: Config) -> Store:
    path = config.store_path()
    if path is not None:
        return SqliteStore(path, config.policy())
    from holdfast.stores.postgres.store import PostgresStore  # noqa: PLC0415  (its driver is slow to import)
    from holdfast.stores.postgres.transfer import demand_alone  # noqa: PLC0415

    await demand_alone(config.store)
    return PostgresStore(config.store, config.policy(), config.replicas)


def _refuse(message: str, code: int) -> NoReturn:
    click.echo(f"holdfast: {message}", err=True)
    sys.exit(code)
