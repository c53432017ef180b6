"""`holdfast operation …`: bulk work by the server, its progress and its end."""

import sys
import time
from typing import Any

import click

from holdfast.cli.completion import queue_names
from holdfast.cli.context import (
    AMOUNT,
    REFUSED,
    JobId,
    Verbs,
    confirmed,
    destroying,
    examples,
    refuse,
    show,
    talking,
    whole,
)
from holdfast.cli.filters import filtered, none_given, taken, wanted
from holdfast.cli.output import tell
from holdfast.cli.tables import Columns, chosen, instant, table
from holdfast.client import Client
from holdfast.client.operations import Operation
from holdfast.client.types import Counts
from holdfast.errors import HoldfastError
from holdfast.units import counted

_LOOK_S = (0.02, 1.0)


def words(operation: Operation) -> str:
    """How far it is, in a sentence."""
    total = f"{'at least ' if operation.at_least else ''}{counted(operation.total, 'job')}"
    skipped = "".join(f", {one.count:,} skipped: {one.reason}" for one in operation.skipped)
    missed = operation.total - operation.done - sum(one.count for one in operation.skipped)
    if operation.state == "done" and operation.limit is None and not operation.at_least and missed > 0:
        skipped += f", {missed:,} did not match any more"
    waits = f"; it waits: {operation.waits.detail}" if operation.waits is not None else ""
    reason = f" ({operation.reason})" if operation.reason else ""
    return f"operation {operation.id}: {operation.state}{reason}, {operation.done:,} of {total}{skipped}{waits}"


def follow(client: Client, operation: Operation) -> Operation:
    """Wait for its end, and tell how it goes on a terminal; leaving does not end it."""
    look_s, said = _LOOK_S[0], ""
    try:
        while not operation.ended:
            if sys.stderr.isatty() and (now := words(operation)) != said:
                said = now
                tell(f"holdfast: {said}")
            time.sleep(look_s)
            look_s = min(2 * look_s, _LOOK_S[1])
            operation = client.operation(operation.id)
    except KeyboardInterrupt:
        tell(f"holdfast: operation {operation.id} goes on; to end it: holdfast operation cancel {operation.id}")
        raise
    except HoldfastError:
        tell(
            f"holdfast: operation {operation.id} goes on once the server does; to wait for it: holdfast operation wait {operation.id}"
        )
        raise
    tell(f"holdfast: {words(operation)}")
    if operation.do == "cancel" and operation.done:
        tell(f"holdfast: to undo it: holdfast operation undo {operation.id}")
    return operation


_COLUMNS = {
    "ID": lambda each: each.id,
    "DO": lambda each: each.do,
    "STATE": lambda each: each.state,
    "DONE": lambda each: each.done,
    "SKIPPED": lambda each: sum(one.count for one in each.skipped),
    "LEFT": lambda each: each.left,
    "PER_S": lambda each: "" if each.per_s is None else f"{each.per_s:g}",
    "BEGAN": lambda each: instant(each.began_at),
    "WHO": lambda each: each.who or "",
    "WAITS": lambda each: each.waits.reason if each.waits else each.reason or "",
}


@click.group("operation", cls=Verbs)
def commands() -> None:
    """Have the server do one thing to many jobs, and watch it."""


@commands.command("list", epilog=examples("holdfast operation list", "holdfast operation list --json"))
@chosen(Operation, _COLUMNS, wide=("TOTAL", "ENDED_AT", "TO", "LIMIT"))
@talking
def listed(client: Client, as_json: bool, columns: Columns) -> None:
    """List operations, the newest first."""
    table(client.operations(), as_json, columns)


@commands.command("show", epilog=examples("holdfast operation show 42"))
@click.argument("operation", type=JobId("operation"))
@talking
def shown(client: Client, operation: int, as_json: bool) -> None:
    """Show an operation with all its fields, as JSON."""
    whole(client.operation(operation), as_json)


@commands.command(
    epilog=examples(
        "holdfast operation start retry --queue mail --per-s 50",
        "holdfast operation start move --queue mail --state dead --to mail.later --yes",
    )
)
@click.argument("do", type=click.Choice(["retry", "cancel", "restore", "delete", "promote", "move", "release"]))
@click.option("--all", "every", is_flag=True, help="All jobs, where no filter is given.")
@filtered(list(Counts.__struct_fields__), one_state=True)
@click.option("--to", help="Target queue of move.", shell_complete=queue_names)
@click.option("--per-s", type=float, help="So many a second, spread evenly.")
@click.option("--limit", type=AMOUNT, help="Max number of jobs.")
@click.option("--idempotency-key", help="Repeating the command with this key starts no second operation.")
@click.option("--wait", is_flag=True, help="Wait for its end.")
@destroying
@talking
def start(
    client: Client,
    do: str,
    every: bool,
    to: str | None,
    per_s: float | None,
    limit: int | None,
    idempotency_key: str | None,
    wait: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Start an operation on all jobs that match, and print its id."""
    filters = taken(given)
    if not every and none_given(filters):
        raise click.UsageError("Give a filter such as --queue, or --all")
    matching = wanted(filters) | {"state": next(iter(filters["states"]), None)}
    count = client.start_operation(do, to=to, limit=limit, dry_run=True, **matching)
    total = f"{'at least ' if count.at_least else ''}{counted(count.total, 'job')}"
    if dry_run:
        show(count, as_json, f"{count.total}")
    if confirmed(f"{do} {total} ({', '.join(count.states)})", yes, dry_run):
        # While the question was read, more may have come that it is not about; with a key, a repeat has to be the same request.
        if not yes and idempotency_key is None:
            matching["before"] = min(filter(None, (matching["before"], count.counted_at)), default=None)
        begun = client.start_operation(do, to=to, per_s=per_s, limit=limit, idempotency_key=idempotency_key, **matching)
        if wait:
            begun = follow(client, begun)
        show(begun, as_json, str(begun.id))
        if begun.state == "cancelled":
            refuse(f"operation {begun.id} was cancelled", REFUSED)


@commands.command(epilog=examples("holdfast operation wait 42"))
@click.argument("operation", type=JobId("operation"))
@talking
def wait(client: Client, operation: int, as_json: bool) -> None:
    """Wait for the end of an operation."""
    ended = follow(client, client.operation(operation))
    show(ended, as_json, words(ended))
    if ended.state == "cancelled":
        refuse(f"operation {operation} was cancelled", REFUSED)


@commands.command(epilog=examples("holdfast operation pause 42"))
@click.argument("operation", type=JobId("operation"))
@talking
def pause(client: Client, operation: int, as_json: bool) -> None:
    """Pause an operation."""
    paused = client.pause_operation(operation)
    show(paused, as_json, words(paused))


@commands.command(epilog=examples("holdfast operation resume 42"))
@click.argument("operation", type=JobId("operation"))
@talking
def resume(client: Client, operation: int, as_json: bool) -> None:
    """Resume a paused operation."""
    resumed = client.resume_operation(operation)
    show(resumed, as_json, words(resumed))


@commands.command(epilog=examples("holdfast operation rate 42 --per-s 10"))
@click.argument("operation", type=JobId("operation"))
@click.option("--per-s", type=float, help="So many a second.  [default: as fast as leaves room for others]")
@talking
def rate(client: Client, operation: int, per_s: float | None, as_json: bool) -> None:
    """Change the pace of an operation."""
    changed = client.set_operation_rate(operation, per_s)
    show(changed, as_json, words(changed))


@commands.command(epilog=examples("holdfast operation cancel 42"))
@click.argument("operation", type=JobId("operation"))
@talking
def cancel(client: Client, operation: int, as_json: bool) -> None:
    """End an operation where it is. What it has done stays done."""
    cancelled = client.cancel_operation(operation)
    show(cancelled, as_json, words(cancelled))


@commands.command(epilog=examples("holdfast operation undo 42"))
@click.argument("operation", type=JobId("operation"))
@talking
def undo(client: Client, operation: int, as_json: bool) -> None:
    """Restore exactly the jobs that an operation cancelled. Those that were running when it asked their workers to stop stay as they are."""
    done = client.operation(operation)
    if done.do != "cancel" or not done.ended:
        raise click.UsageError(f"Operation {operation} is no cancel that has ended")
    begun = follow(client, client.start_operation("restore", queue=done.filter.get("queue"), cancelled_by=operation))
    show(begun, as_json, words(begun))
