"""`holdfast upgrade`: bring a store to the schema of this version, or say beforehand what that would do and take."""

import asyncio
import logging
import sys
import textwrap
import time
from pathlib import Path
from typing import NoReturn

import click
import msgspec
import structlog

from holdfast.config import Config, load
from holdfast.errors import StoreUnavailable
from holdfast.setting_values import ConfigError
from holdfast.stores.sqlite import upgrade as file
from holdfast.stores.sqlite.files import UnfitPlace, why
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.stores.upgrade import PlannedStep, UpgradePlan
from holdfast.units import counted

_WIDTH = 118


@click.command()
@click.option("--check", is_flag=True, help="Only say what would be done, and about how long it takes. Changes nothing.")
@click.option(
    "--finish",
    is_flag=True,
    help="On PostgreSQL: also what is otherwise left to the next release. No node of the release before can serve after it.",
)
@click.option("--json", "as_json", is_flag=True, help="With --check: as JSON.")
@click.option(
    "--config", "settings", type=click.Path(path_type=Path), envvar="HOLDFAST_CONFIG", help="A TOML file with settings."
)
@click.option("--store", help="As for serve: sqlite:///PATH or postgresql://USER@HOST,HOST/DATABASE.")
def upgrade(check: bool, finish: bool, as_json: bool, settings: Path | None, store: str | None) -> None:
    """Bring a store to the schema of this version, or say what that would do. A server does the same when it starts.

    A file must not be in use. A database may be: nodes of the release before go on. With --check, beside a server: what would be
    done, how many rows are written anew, about how long it takes and how much room. Ends with 1 if something is in the way.
    """
    if as_json and not check:
        raise click.UsageError("--json goes with --check.")
    try:
        config = load({} if store is None else {"store": store}, settings).config
    except ConfigError as error:
        _refuse(str(error), 2)
    if config.store == "memory":
        _refuse("a store in memory is always new.", 2)
    if finish and not config.database():
        _refuse("--finish is for PostgreSQL: a file is brought to the newest schema at once.", 2)
    structlog.configure(  # what is long says so while it is done
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        if check:
            _tell(_plan(config, finish), config, as_json)
        else:
            _upgrade(config, finish)
    except StoreUnavailable as error:
        _refuse(error.detail, 1)
    except (UnfitPlace, OSError) as error:
        _refuse(why(error), 1)


def _plan(config: Config, finish: bool) -> UpgradePlan:
    path = config.store_path()
    if path is not None:
        _demand_there(path)
        return file.plan(path)
    from holdfast.stores.postgres import upgrade as database  # noqa: PLC0415  (its driver is slow to import)

    return asyncio.run(database.plan(config.store, finish))


def _upgrade(config: Config, finish: bool) -> None:
    begun = time.monotonic()
    path = config.store_path()
    if path is not None:
        _demand_there(path)
        before = file.plan(path).schema
        asyncio.run(_open_once(path, config))
        name, after, oldest = str(path), file.plan(path).schema, ""
    else:
        from holdfast.stores.postgres import upgrade as database  # noqa: PLC0415

        was, found = asyncio.run(database.upgrade(config.store, finish))
        before, after = was.version, found.version
        name, oldest = "The database", f", and serves nodes that know schema {found.oldest} on"
    had = f"it had {before}" if before else "it had none"
    click.echo(f"{name} has schema {after} ({had}){oldest}. {time.monotonic() - begun:.1f} s.", err=True)


async def _open_once(path: Path, config: Config) -> None:
    await SqliteStore(path, config.policy()).close()


def _demand_there(path: Path) -> None:
    if not path.exists():
        raise UnfitPlace(f"There is no store at {path}; a server that starts makes it.")


def _tell(plan: UpgradePlan, config: Config, as_json: bool) -> None:
    click.echo(
        msgspec.json.format(msgspec.json.encode(plan), indent=2).decode() if as_json else _as_text(plan, config.database())
    )
    if plan.obstacles:
        sys.exit(1)


def _as_text(plan: UpgradePlan, database: bool) -> str:
    by = f", made by Holdfast {plan.made_by}" if plan.made_by else ""
    lines = [
        f"{'database ' if database else ''}{plan.store}: schema {plan.schema}{by}, {counted(plan.jobs, 'job')}",
        f"this program: Holdfast {plan.holdfast}, schema {plan.newest}",
    ]
    for connected in plan.nodes:
        versions = f" ({connected.versions})" if connected.versions else ""
        lines.append(
            f"{connected.nodes} connected with schema {connected.schema}{versions}: {'may stay' if connected.stay else 'must stop'}"
        )
    lines.append("")
    for step in plan.steps:
        lines += _of_step(step, database)
    if plan.steps:
        free = f" (it has {_mb(plan.free_bytes)})" if plan.free_bytes is not None else ""
        lines += ["", f"About {plan.seconds:.1f} s, and {_mb(plan.room_bytes)} more on the disk{free}."]
    elif not plan.obstacles:
        lines.append("Nothing to do: the store has the schema of this version.")
    for step in plan.later:
        lines += ["", "Left to the release after this one, or to `holdfast upgrade --finish`:", *_of_step(step, database)]
    for obstacle in plan.obstacles:
        lines += textwrap.wrap(f"IN THE WAY: {obstacle}", _WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(lines)


def _of_step(step: PlannedStep, database: bool) -> list[str]:
    lines = textwrap.wrap(
        f"step {step.step} {step.kind if database else ''}".rstrip() + f": {step.does}", _WIDTH, subsequent_indent="    "
    )
    cost = f"writes {counted(step.rows, 'row')} anew ({', '.join(step.rewrites)})" if step.rewrites else "writes no rows anew"
    locks = f"; locks {', '.join(step.locks)}" if step.locks else ""
    older = f"; older nodes {'may stay' if step.older_nodes == 'stay' else 'must stop'}" if database else ""
    return lines + textwrap.wrap(
        f"{cost}; about {step.seconds:.1f} s{locks}{older}", _WIDTH, initial_indent="    ", subsequent_indent="    "
    )


def _mb(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _refuse(message: str, code: int) -> NoReturn:
    click.echo(f"holdfast: {message}", err=True)
    sys.exit(code)
