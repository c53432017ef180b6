"""`holdfast batch …`: batches of jobs. Each command is one call of the client."""

import sys
from typing import Any

import click

from holdfast.cli.completion import queue_names
from holdfast.cli.context import JobId, Verbs, confirmed, destroying, examples, given_json, show, talking, whole
from holdfast.cli.lines import push_lines
from holdfast.cli.tables import Columns, chosen, instant, table
from holdfast.client import Client, NewJob
from holdfast.client.batch_types import Batch
from holdfast.units import counted

_COLUMNS = {
    "ID": lambda batch: batch.id,
    "NAME": lambda batch: batch.name or "-",
    "STATE": lambda batch: batch.state,
    "PENDING": lambda batch: batch.pending,
    "CONCLUDED": lambda batch: batch.concluded,
    "DEAD": lambda batch: batch.dead,
    "CANCELLED": lambda batch: batch.cancelled,
    "CREATED": lambda batch: instant(batch.created_at),
}
_CLOSING = {
    "on_success": "when all are concluded",
    "on_finish": "when none is unfinished",
    "on_failure": "when the first is dead",
}
_ID = click.argument("batch", type=JobId("batch"))


@click.group("batch", cls=Verbs)
def commands() -> None:
    """Make batches of jobs, watch, close and cancel them."""


@commands.command("ls", epilog=examples("holdfast batch ls", "holdfast batch ls --state open --json"))
@click.option("--state", type=click.Choice(["open", "closed", "finished"]), help="Only those in this state.")
@chosen(Batch, _COLUMNS, wide=("TOTAL", "FINISHED_AT"))
@talking
def listed(client: Client, state: str | None, as_json: bool, columns: Columns) -> None:
    """List batches with their counts, the newest first."""
    table(client.batches(state=state), as_json, columns)


@commands.command("show", epilog=examples("holdfast batch show 17", "holdfast job ls --batch 17"))
@_ID
@talking
def info(client: Client, batch: int, as_json: bool) -> None:
    """Show a batch with its counts and its closing jobs, as JSON."""
    whole(client.batch_status(batch), as_json)


@commands.command(
    epilog=examples(
        "holdfast batch add 17 --queue pages < pages.ndjson",
        """echo '{"queue": "mail", "payload": 1, "priority": 5}' | holdfast batch add 17""",
    )
)
@_ID
@click.option(
    "--queue",
    help="Each line is a payload for this queue; without it a whole job, with its queue and options.",
    shell_complete=queue_names,
)
@click.option("--idempotency-key", help="Repeating the command with this key enqueues nothing twice.")
@talking
def add(client: Client, batch: int, queue: str | None, idempotency_key: str | None, as_json: bool) -> None:
    """Add jobs to an open batch: one per line of standard input. Prints the id of each."""
    push_lines(client, "" if queue is None else queue, {"batch": batch}, idempotency_key, as_json, whole_jobs=queue is None)


def _closing(command: Any) -> Any:
    for on, when in _CLOSING.items():
        flag = f"--{on.replace('_', '-')}"
        command = click.option(
            flag, nargs=2, metavar="QUEUE PAYLOAD", help=f"Enqueue this job {when}: its queue, and its payload as JSON."
        )(command)
    return command


@commands.command(
    epilog=examples(
        "holdfast batch create --name report --on-success mail '{\"done\": true}'",
        "holdfast batch create --queue pages --close < pages.ndjson",
    )
)
@click.option("--name", default="", help="Name for people to read.")
@click.option(
    "--queue", help="Read one payload per line from standard input, and enqueue them here.", shell_complete=queue_names
)
@click.option("--close", "closed", is_flag=True, help="Take no other jobs.")
@_closing
@click.option("--idempotency-key", help="Repeating the command with this key makes no second batch.")
@talking
def create(client: Client, name: str, queue: str | None, closed: bool, as_json: bool, **given: Any) -> None:
    """Make a batch and print its id. Jobs join it with `holdfast job push --batch ID`, until `holdfast batch close ID`."""
    closing = {
        on: NewJob(queue=given[on][0], payload=given_json(given[on][1], f"the payload of --{on.replace('_', '-')}"))
        for on in _CLOSING
        if given[on]
    }
    jobs = []
    if queue is not None:
        lines = [(number, line) for number, line in enumerate(sys.stdin.buffer, 1) if line.strip()]
        jobs = [NewJob(queue=queue, payload=given_json(line, f"line {number}")) for number, line in lines]
    made = client.make_batch(jobs, name=name, closed=closed, idempotency_key=given["idempotency_key"], **closing)
    show(made, as_json, str(made.id))


@commands.command(epilog=examples("holdfast batch close 17"))
@_ID
@talking
def close(client: Client, batch: int, as_json: bool) -> None:
    """Let a batch take no more jobs: once none of its jobs is unfinished, its closing jobs are enqueued."""
    closed = client.close_batch(batch)
    show(closed, as_json, f"{batch} is {closed.state}, {counted(closed.pending, 'job')} pending")


@commands.command(epilog=examples("holdfast batch cancel 17 --yes"))
@_ID
@destroying
@talking
def cancel(client: Client, batch: int, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Close a batch, cancel its waiting jobs, and ask the holders of its running ones to stop."""
    found = client.batch_status(batch)
    if confirmed(f"cancel {counted(found.pending, 'job')} of batch {batch}", yes, dry_run):
        count = client.cancel_batch(batch)
        show({"cancelled": count}, as_json, f"{counted(count, 'job')} cancelled or asked to stop")
