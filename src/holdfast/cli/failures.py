"""`holdfast failures`: what went wrong lately, alike failures together."""

from typing import Any

import click

from holdfast.cli.completion import queue_names
from holdfast.cli.context import Words, examples, talking
from holdfast.cli.tables import Columns, chosen, instant, table
from holdfast.client import Client
from holdfast.client.failures import FailureGroup

_COLUMNS: dict[str, Any] = {
    "ERROR": lambda group: group.error or group.kind or "-",
    "PLACE": lambda group: group.place or "-",
    "QUEUE": lambda group: group.queue,
    "TYPE": lambda group: group.type or "-",
    "DEAD": lambda group: group.dead,
    "RETRYING": lambda group: group.waiting,
    "LAST": lambda group: instant(group.last_at),
    "EXAMPLE": lambda group: group.example,
    "KEY": lambda group: group.key,
}


_JOBS: dict[str, Any] = {
    "ID": lambda job: job.id,
    "FAILED": lambda job: instant(job.at),
    "ATTEMPT": lambda job: job.attempt,
    "WORKER": lambda job: job.worker or "-",
    "ERROR": lambda job: job.error or "-",
}


@click.command(
    epilog=examples(
        "holdfast failures",
        "holdfast failures --queue mail -o error,dead,workers",
        "holdfast failures --group 1f0c9a",
        "holdfast job retry --group 1f0c9a",
    )
)
@click.option("--queue", type=Words(), help="Only of this queue.", shell_complete=queue_names)
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="Max number of groups.")
@click.option("--group", "key", help="The dead jobs of the group with this key, each with its error.")
@chosen(FailureGroup, _COLUMNS, wide=("KIND", "RECOVERED", "WORKERS", "FIRST_AT"))
@talking
def failures(client: Client, queue: str | None, limit: int, key: str | None, columns: Columns, as_json: bool) -> None:
    """List the newest failures, those with the same error together: those with the most dead jobs first."""
    if key is not None:
        table(client.failure_group(key, queue).jobs, as_json, _JOBS)
        return
    table(client.failures(queue, limit=limit).groups, as_json, columns)
