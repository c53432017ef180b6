"""`holdfast audit`: who did what by hand."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import click

from holdfast.cli.completion import queue_names
from holdfast.cli.context import AMOUNT, Duration, JobId, Words, examples, show, talking
from holdfast.cli.tables import chosen, instant, table
from holdfast.client import Client
from holdfast.client.key_types import AuditEntry

_FOLLOW_S = 1.0
COLUMNS = {
    "AT": lambda entry: instant(entry.at),
    "ACTION": lambda entry: entry.action,
    "TARGET": lambda entry: ", ".join(filter(None, (entry.target, entry.note))) or "-",
    "QUEUE": lambda entry: entry.queue or "-",
    "DONE": lambda entry: entry.done,
    "REFUSED": lambda entry: entry.refused,
    "OUTCOME": lambda entry: entry.outcome,
    "WHO": lambda entry: ", ".join(filter(None, (entry.who, entry.address, entry.door))) or "-",
}


@click.command(
    epilog=examples(
        "holdfast audit --queue mail --since 24h",
        "holdfast audit --action job.delete --job 42",
        "holdfast audit --outcome refused --follow",
        "holdfast audit --since 90d --json > audit.ndjson",
    )
)
@click.option("--who", type=Words(), help="Only by this name, or from this address.")
@click.option("--action", type=Words(), help="Only this action, such as queue.purge, or all of one kind, such as queue.")
@click.option("--queue", type=Words(), help="Only on this queue, or on jobs in it.", shell_complete=queue_names)
@click.option("--target", type=Words(), help="Only on this worker, schedule or other target.")
@click.option("--job", type=JobId(), help="Only on this job.")
@click.option(
    "--outcome", type=Words(), help="Only with this outcome: done, the code of a refusal, or refused for all of them."
)
@click.option("--text", type=Words(), help="Only with this text.")
@click.option("--since", "since_ms", type=Duration(), help="Only entries of the last 24h, or another time.")
@click.option("--until", "until_ms", type=Duration(), help="Only entries older than this, such as 1h.")
@click.option("--limit", type=AMOUNT, help="Max number of entries.")
@click.option("--follow", is_flag=True, help="Print new entries as they come, until Ctrl-C.")
@chosen(AuditEntry, COLUMNS, wide=("id", "door", "run"))
@talking
def audit(
    client: Client,
    since_ms: int | None,
    until_ms: int | None,
    limit: int | None,
    follow: bool,
    columns: dict[str, Any],
    as_json: bool,
    **filters: Any,
) -> None:
    """List who did what by hand, the newest first; with --follow the oldest first."""
    now = datetime.now(UTC)
    for name, ms in (("since", since_ms), ("until", until_ms)):
        filters[name] = None if ms is None else now - timedelta(milliseconds=ms)
    if not follow:
        table(islice(client.audit(**filters, page=min(limit or 1_000, 1_000)), limit), as_json, columns)
        return
    for entry in islice(_followed(client, filters), limit):
        show(entry, as_json, "  ".join(str(value(entry)) for value in columns.values()))


def _followed(client: Client, filters: dict[str, Any]) -> Iterator[AuditEntry]:
    """Entries as they come. Without `since`, those from now on."""
    after = 0
    if filters["since"] is None:
        after = next((entry.id for entry in client.audit(page=1)), 0)
    while True:
        for entry in client.audit(**filters, after=after, page=1_000):
            after = entry.id
            yield entry
        time.sleep(_FOLLOW_S)
