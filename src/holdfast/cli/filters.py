"""The filters that name jobs: one set of options for every command that lists jobs or changes all that match."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from holdfast.cli.completion import queue_names
from holdfast.cli.context import Duration, Words, meta_option, pairs_option

Command = Callable[..., Any]
NAMES = ("queue", "states", "kind", "tag", "meta", "field", "text", "last_error", "older_ms", "newer_ms", "worker", "batch")
"""The arguments that a command gets."""
_UNTOLD = ("text", "field", "last_error", "meta")
"""Filters whose value is not for the audit log: it may be a part of a payload or of an error, or name a customer."""


def filtered(states: Sequence[str], usual: Sequence[str] = (), *, one_state: bool = False) -> Callable[[Command], Command]:
    """Give a command the options of all filters. `usual`: the states that are meant if none is given."""
    shown = f"  [default: {', '.join(usual)}]" if usual else ""
    options: list[Callable[[Command], Command]] = [
        click.option("--queue", type=Words(), help="Only of this queue.", shell_complete=queue_names),
        click.option(
            "--state",
            "states",
            type=click.Choice(states),
            multiple=not one_state,
            callback=(lambda _context, _option, state: (state,) if state else ()) if one_state else None,
            help=f"Only in this state{'' if one_state else '; repeatable'}.{shown}",
        ),
        click.option("--type", "kind", type=Words(), help="Only of this type."),
        click.option("--tag", type=Words(), help="Only with this tag."),
        meta_option("Only with this name and value"),
        pairs_option("--field", "Only with this value there in the JSON payload, such as order.id=42"),
        click.option("--text", type=Words(), help="Only with this text in the payload or an error."),
        click.option("--error", "last_error", type=Words(), help="Only with this text in the last error."),
        click.option(
            "--older",
            "older_ms",
            type=Duration(),
            help="Only jobs that ended or were enqueued longer ago than this, such as 2h.",
        ),
        click.option(
            "--newer", "newer_ms", type=Duration(), help="Only jobs that ended or were enqueued less long ago than this."
        ),
        click.option("--worker", type=Words(), help="Only those that this worker runs, concluded, or failed to do."),
        click.option("--batch", type=click.IntRange(1), help="Only members of this batch."),
    ]

    def give(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return give


def taken(given: dict[str, Any]) -> dict[str, Any]:
    """Take the filters out of what a command was given."""
    return {name: given.pop(name) for name in NAMES}


def none_given(filters: dict[str, Any]) -> bool:
    """Whether they let every job pass."""
    return all(value in (None, ()) for value in filters.values())


def wanted(filters: dict[str, Any]) -> dict[str, Any]:
    """The same as the client and the server name them, but for the states: these are asked for one by one."""
    named = {name: filters[name] for name in ("queue", "tag", "text", "worker", "batch")}
    return named | {
        "type": filters["kind"],
        "error": filters["last_error"],
        "meta": dict(filters["meta"]),
        "field": dict(filters["field"]),
        "before": _ago(filters["older_ms"]),
        "since": _ago(filters["newer_ms"]),
    }


def _ago(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.now(UTC) - timedelta(milliseconds=ms)


def in_words(filters: dict[str, Any]) -> str:
    """The filters, for the audit log."""
    words = [
        f"{name} {value}" for name, value in filters.items() if value not in (None, ()) and name not in (*_UNTOLD, "states")
    ]
    return ", ".join(words + [f"by {name}" for name in _UNTOLD if filters[name]])
