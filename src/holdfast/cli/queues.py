"""`holdfast queue …`: list, inspect, scale, pause, configure and purge queues. Each command is one call of the client."""

import json
import sys
import time
from functools import partial

import click
import msgspec

from holdfast.cli import fair
from holdfast.cli.completion import queue_names
from holdfast.cli.context import (
    ENDED_OTHERWISE,
    Duration,
    Verbs,
    confirmed,
    destroying,
    examples,
    given_changes,
    refuse,
    show,
    talking,
    whole,
)
from holdfast.cli.numbers import age
from holdfast.cli.output import tell
from holdfast.cli.tables import Columns, chosen, table
from holdfast.client import Client
from holdfast.client.types import Counts, Queue, QueueSettings
from holdfast.errors import QueueNotFound
from holdfast.units import counted

_LOOK_S = (0.05, 1.0)
_COLUMNS = {
    "QUEUE": lambda queue: queue.name,
    "SCHEDULED": lambda queue: queue.jobs.scheduled,
    "READY": lambda queue: queue.jobs.ready,
    "LEASED": lambda queue: queue.jobs.leased,
    "DEAD": lambda queue: queue.jobs.dead,
    "CAPACITY": lambda queue: queue.settings["capacity_jobs"],
    "PAUSED": lambda queue: (
        "paused" if queue.paused else f"of {counted(len(kept), 'type')}" if (kept := queue.paused_types) else ""
    ),
}
_MORE = {name.upper(): partial(lambda state, queue: getattr(queue.jobs, state), name) for name in Counts.__struct_fields__} | {
    name.upper(): partial(lambda setting, queue: json.dumps(queue.settings.get(setting)), name)
    for name in QueueSettings.__annotations__
}
_PURGED = [state for state in Counts.__struct_fields__ if state != "leased"]
_WIDE = (
    "CONCLUDED",
    "CANCELLED",
    "BYTES",
    "CAPACITY_BYTES",
    "LEASE_MS",
    "MAX_ATTEMPTS",
    "RETENTION_MS",
    "HISTORY_BYTES",
    "CREATED_AT",
)


@click.group("queue", cls=Verbs)
def commands() -> None:
    """List, inspect, pause, drain, configure and purge queues."""


commands.add_command(fair.commands)


@commands.command(
    "ls", epilog=examples("holdfast queue ls", "holdfast queue ls -o queue,ready,lease_ms", "holdfast queue ls --json")
)
@chosen(Queue, _COLUMNS, wide=_WIDE, more=_MORE)
@talking
def listed(client: Client, as_json: bool, columns: Columns) -> None:
    """List queues with their job counts."""
    table(client.queues(), as_json, columns)


@commands.command(epilog=examples("holdfast queue info mail"))
@click.argument("queue", shell_complete=queue_names)
@talking
def info(client: Client, queue: str, as_json: bool) -> None:
    """Show a queue with all its settings and counts, as JSON."""
    whole(client.queue(queue), as_json)


@commands.command(
    "set",
    epilog=examples(
        "holdfast queue set mail capacity_jobs=500 lease_ms=5m retention_ms=null",
        "holdfast queue set mail fair=true",
        "holdfast queue set mail 'retry={\"base_ms\": 1000}'",
    ),
)
@click.argument("queue", shell_complete=queue_names)
@click.argument("settings", nargs=-1, required=True, metavar="NAME=VALUE...")
@talking
def change(client: Client, queue: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Change settings of a queue, such as capacity_jobs=500, or null for what is usual. Values are JSON; a duration or a size may have a unit, as in
    lease_ms=5m. Creates the queue if it is new.
    """
    changes = given_changes(settings)
    try:
        client.queue(queue)
        made = client.change_queue
    except QueueNotFound:
        made = client.set_queue
    whole(made(queue, **changes), as_json)


@commands.command(
    epilog=examples("holdfast queue scale mail --drain 5m --concurrency 10", "holdfast queue scale mail --json | jq .workers")
)
@click.argument("queue", shell_complete=queue_names)
@click.option("--drain", type=Duration(), default="1m", show_default=True, help="Time in which what waits now is to be done.")
@click.option(
    "--concurrency", type=click.IntRange(1), default=1, show_default=True, help="How many jobs one worker runs at once."
)
@talking
def scale(client: Client, queue: str, drain: int, concurrency: int, as_json: bool) -> None:
    """Say how many workers a queue needs, by what waits and how long its last jobs took."""
    found = client.scale(queue, drain_ms=drain, concurrency=concurrency)
    lasts = (
        "nothing was concluded" if found.drain_ms is None else f"drained in {age(found.drain_ms)} at the pace of its last jobs"
    )
    show(found, as_json, f"workers needed: {found.workers} ({found.backlog} waiting, {found.running} running, {lasts})")


_of_type = click.option("--type", "kind", help="Only jobs of this type.")


@commands.command(epilog=examples("holdfast queue pause mail", "holdfast queue pause mail --type newsletter"))
@click.argument("queue", shell_complete=queue_names)
@_of_type
@talking
def pause(client: Client, queue: str, kind: str | None, as_json: bool) -> None:
    """Pause a queue: workers get no jobs from it; jobs can still be enqueued."""
    if kind is None:
        show(client.pause(queue), as_json, f"{queue} is paused")
    else:
        show(client.pause_type(queue, kind), as_json, f"{kind} in {queue} is paused")


@commands.command(epilog=examples("holdfast queue resume mail", "holdfast queue resume mail --type newsletter"))
@click.argument("queue", shell_complete=queue_names)
@_of_type
@talking
def resume(client: Client, queue: str, kind: str | None, as_json: bool) -> None:
    """Resume a paused queue, or one paused type of it."""
    if kind is None:
        show(client.resume(queue), as_json, f"{queue} is resumed")
    else:
        show(client.resume_type(queue, kind), as_json, f"{kind} in {queue} is resumed")


@commands.command(epilog=examples("holdfast queue purge mail --dry-run", "holdfast queue purge mail --state dead --yes"))
@click.argument("queue", shell_complete=queue_names)
@click.option(
    "--state",
    "states",
    type=click.Choice(_PURGED),
    multiple=True,
    default=("scheduled", "ready"),
    show_default=True,
    help="Repeatable.",
)
@destroying
@talking
def purge(client: Client, queue: str, states: tuple[str, ...], yes: bool, dry_run: bool, as_json: bool) -> None:
    """Delete the jobs of a queue that are in these states."""
    counts = msgspec.to_builtins(client.queue(queue).jobs)
    count = sum(counts.get(state, 0) for state in states)
    if confirmed(f"delete {counted(count, 'job')} of {queue} ({', '.join(states)})", yes, dry_run):
        removed = client.purge(queue, states)
        show({"purged": removed}, as_json, f"{removed} deleted")


@commands.command(
    epilog=examples("holdfast queue drain mail", "holdfast queue drain mail --running --timeout 5m && ./deploy.sh")
)
@click.argument("queue", shell_complete=queue_names)
@click.option("--running", is_flag=True, help="Pause the queue first, and wait only for the running jobs.")
@click.option("--scheduled/--no-scheduled", default=False, help="Wait for scheduled jobs too.  [default: no-scheduled]")
@click.option("--timeout", "timeout_ms", type=Duration(), help="Give up after so long, with exit code 5.  [default: never]")
@talking
def drain(client: Client, queue: str, running: bool, scheduled: bool, timeout_ms: int | None, as_json: bool) -> None:
    """Wait until the jobs of a queue are done. Nothing is deleted (see purge); jobs that come meanwhile are waited for, too.

    A queue that was paused by --running stays so: `holdfast queue resume` lets it go on.
    """
    until = None if timeout_ms is None else time.monotonic() + timeout_ms / 1_000
    if running:
        client.pause(queue)
    look_s, said = _LOOK_S[0], ""
    while left := _left(found := client.queue(queue).jobs, running, scheduled):
        words = f"{queue}: {counted(left, 'job')} left ({found.ready} ready, {found.leased} running)"
        if sys.stderr.isatty() and words != said:
            said = words
            tell(f"holdfast: {words}")
        if until is not None and time.monotonic() >= until:
            refuse(f"{words} when the time was up", ENDED_OTHERWISE)
        time.sleep(look_s)
        look_s = min(2 * look_s, _LOOK_S[1])
    show({"queue": queue, "drained": True}, as_json, f"{queue} is drained")


def _left(jobs: Counts, running: bool, scheduled: bool) -> int:
    if running:
        return jobs.leased
    return jobs.ready + jobs.leased + (jobs.scheduled if scheduled else 0)


@commands.command(epilog=examples("holdfast queue delete mail --yes"))
@click.argument("queue", shell_complete=queue_names)
@destroying
@talking
def delete(client: Client, queue: str, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Delete a queue that has no unfinished and no dead jobs, with its history."""
    client.queue(queue)
    if confirmed(f"delete the queue {queue} with its history", yes, dry_run):
        client.delete_queue(queue)
        show({"queue": queue, "deleted": True}, as_json, f"{queue} deleted")
