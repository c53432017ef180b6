"""Tables, and which columns they have: the usual ones, with `--columns wide` more, or those that are named.

A name is that of a column, or of any field that the thing has: what `--json` shows can be a column.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click
import msgspec

from holdfast.cli.output import json_text, one_line, say
from holdfast.client.contents import NULL

Columns = Mapping[str, Callable[[Any], Any]]
Command = Callable[..., Any]


def table(things: Iterable[Any], as_json: bool, columns: Columns) -> None:
    """Several things: each complete as JSON, in order; or a table."""
    if as_json:
        for thing in things:
            say(json_text(thing))
        return
    for line in lined_up(things, columns):
        say(line)


def lined_up(things: Iterable[Any], columns: Columns) -> list[str]:
    """The lines of a table."""
    rows = [list(columns), *([one_line(str(value(thing))) for value in columns.values()] for thing in things)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def chosen(
    kind: type[msgspec.Struct], usual: Columns, *, wide: Iterable[str], more: Columns | None = None
) -> Callable[[Command], Command]:
    """Give a command `--columns`, which becomes its argument `columns`. `wide`: names that come after the usual ones; `more`:
    columns that are no fields of the thing.
    """
    fields = {field.removesuffix("_json").upper(): partial(_field, field) for field in kind.__struct_fields__}
    every = fields | dict(more or {}) | dict(usual)

    def choose(ctx: click.Context, param: click.Parameter, given: str | None) -> Columns:
        if given is None:
            return usual
        names = [*usual, *wide] if given == "wide" else [name.strip().upper() for name in given.split(",")]
        for name in names:
            if name not in every:
                raise click.BadParameter(f"{name.lower()!r} is no column; there are {', '.join(every).lower()}", ctx, param)
        return {name: every[name] for name in names}

    shown = f"{','.join(list(usual)[:2]).lower()},…"
    return click.option("-o", "--columns", callback=choose, metavar="wide|NAMES", help=f"All columns, or these: {shown}")


def _field(name: str, thing: Any) -> str:
    value = getattr(thing, name)
    if isinstance(value, msgspec.Raw):
        return "-" if value == NULL else json_text(value)
    if value is None or value in ("", []):
        return "-"
    if isinstance(value, datetime):
        return instant(value)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def instant(at: datetime) -> str:
    """An instant in a table: in UTC, marked by the Z, and to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
