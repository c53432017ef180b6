"""`holdfast job …`: enqueue, list, inspect and manage jobs. Each command is one call of the client."""

import os
import sys
from itertools import islice
from typing import Any, cast

import click

from holdfast.cli.bulk import BULK
from holdfast.cli.completion import queue_names
from holdfast.cli.context import (
    AMOUNT,
    ENDED_OTHERWISE,
    NOT_THERE,
    Duration,
    JobId,
    Verbs,
    Words,
    budget_option,
    examples,
    given_changes,
    given_json,
    meta_option,
    refuse,
    show,
    talking,
    whole,
)
from holdfast.cli.filters import filtered, taken, wanted
from holdfast.cli.lines import push_lines
from holdfast.cli.output import json_text, tell
from holdfast.cli.tables import Columns, chosen, instant, table
from holdfast.cli.tail import tail
from holdfast.client import Client, NotConcluded
from holdfast.client.types import Between, Counts, Job, PutOptions
from holdfast.errors import JobNotFound

_COLUMNS = {
    "ID": lambda job: job.id,
    "QUEUE": lambda job: job.queue,
    "TYPE": lambda job: job.type or "-",
    "STATE": lambda job: job.state,
    "PRIORITY": lambda job: job.priority,
    "FAILED": lambda job: f"{job.failures + job.crashes}/{job.max_attempts}",  # released attempts don't count
    "READY": lambda job: instant(job.ready_at),
}
_OF_ONE = {"ERRORS", "PROGRESS", "RESULT", "THEN"}
"""Columns for which each job has to be asked for alone."""


@click.group("job", cls=Verbs)
def commands() -> None:
    """Enqueue, list, inspect and manage jobs."""


for each in (tail, *BULK):
    commands.add_command(each)


@commands.command(
    epilog=examples(
        """holdfast job push mail '{"to": "ada@example.org"}' --type welcome""",
        "holdfast job push reports --delay 10m --wait 1h",
        "holdfast job push numbers --ndjson < numbers.ndjson",
        """echo '{"payload": 7, "priority": 5, "delay_ms": 60000}' | holdfast job push numbers --jobs""",
    )
)
@click.argument("queue", shell_complete=queue_names)
@click.argument("payload", required=False)
@click.option("--type", "kind", help="Job type: names the handler that runs it.")
@click.option("--priority", type=int, help="Lower runs first.  [default: 1024]")
@click.option("--delay", "delay_ms", type=Duration(), help="Run it after this delay, such as 10m.")
@click.option(
    "--expires-in", "expires_in_ms", type=Duration(), help="Cancel it if no worker has it so long after it is due, such as 10m."
)
@click.option("--max-attempts", type=int, help="Max attempts before the job is dead.")
@click.option("--unique-key", help="Allow only one unfinished job of the queue with this key.")
@click.option(
    "--on-conflict",
    type=click.Choice(["refuse", "existing", "replace", "debounce"]),
    help="What to do if the unique key is taken.  [default: refuse]",
)
@click.option(
    "--debounce-max", "debounce_max_ms", type=Duration(), help="Put it off at most so long after it was first enqueued."
)
@click.option("--group-key", help="Jobs with the same group key run one after the other.")
@click.option("--fair-key", help="Whose job it is: in a fair queue, who has had the least is next.")
@click.option("--fair-cost", type=int, help="What the job counts for in the share of its fair key.  [default: 1]")
@click.option("--batch", type=int, help="Open batch that the job joins.")
@click.option("--tag", "tags", multiple=True, help="Tag to find the job by; repeatable.")
@meta_option("Name and value that go with the job")
@budget_option
@click.option("--idempotency-key", help="Repeating the command with this key enqueues no second job.")
@click.option("--ndjson", is_flag=True, help="Read one payload per line from standard input.")
@click.option(
    "--jobs",
    "whole_jobs",
    is_flag=True,
    help="Read one job per line from standard input: an object with its payload and its own options, and perhaps a queue.",
)
@click.option("--content-type", help="Media type of a payload that is not JSON; it is stored unchanged.")
@click.option("--wait", "timeout_ms", type=Duration(), help="Wait up to this long for the result, and print it.")
@talking
def push(client: Client, queue: str, payload: str | None, as_json: bool, **given: Any) -> None:
    """Enqueue a job. PAYLOAD is JSON, by default null; - reads it from standard input."""
    whole_jobs = given.pop("whole_jobs")
    ndjson, timeout_ms, key = given.pop("ndjson"), given.pop("timeout_ms"), given.pop("idempotency_key")
    content_type, given["type"] = given.pop("content_type"), given.pop("kind")
    made = {"tags": list, "meta": dict, "budgets": list}
    said = {name: made.get(name, _same)(value) for name, value in given.items() if value not in (None, ())}
    options = cast("PutOptions", said)
    if ndjson or whole_jobs:
        if payload is not None or timeout_ms is not None or content_type is not None:
            raise click.UsageError("--ndjson and --jobs read from standard input, as JSON, and wait for none of the jobs")
        push_lines(client, queue, options, key, as_json, whole_jobs=whole_jobs)
        return
    body = sys.stdin.buffer.read() if payload == "-" else os.fsencode(payload or "null")
    if content_type is not None:
        receipt = client.enqueue(queue, body, content_type=content_type, idempotency_key=key, **options)
    else:
        receipt = client.enqueue(queue, given_json(body, "the payload"), idempotency_key=key, **options)
    if timeout_ms is None:
        show(receipt, as_json, str(receipt.id))
    else:
        tell(f"holdfast: job {receipt.id} is enqueued; `holdfast job wait {receipt.id}` also waits for it")
        _await(client, receipt.id, timeout_ms, as_json)


def _same(value: Any) -> Any:
    return value


@commands.command(epilog=examples("holdfast job get 42", "holdfast job get --queue mail --idempotency-key order-7"))
@click.argument("job_id", type=JobId(), required=False)
@click.option("--idempotency-key", "key", type=Words(), help="The jobs that were enqueued with this key.")
@click.option("--queue", type=Words(), help="With a key: it was used for jobs of this queue alone.", shell_complete=queue_names)
@talking
def get(client: Client, job_id: int | None, key: str | None, queue: str | None, as_json: bool) -> None:
    """Show a job with all its fields, as JSON. By an idempotency key: all jobs that were enqueued with it; one that was removed since has `gone`."""
    if (job_id is None) == (key is None) or (queue and key is None):
        raise click.UsageError("Give the id of a job, or --idempotency-key and perhaps --queue")
    if job_id is not None:
        whole(client.job(job_id), as_json)
        return
    assert key is not None, "one of the two was given"
    found = client.receipts(key, queue=queue)
    for receipt in found:
        whole(receipt if receipt.gone else client.job(receipt.id), as_json)
    if not found:
        refuse("no job was enqueued with this key", NOT_THERE)


@commands.command(
    "ls",
    epilog=examples(
        "holdfast job ls --queue mail --state dead",
        "holdfast job ls --queue mail --error 'timed out' --older 1h -o id,state,error",
        "holdfast job ls --text timeout --json",
    ),
)
@filtered(list(Counts.__struct_fields__))
@click.option("--reverse", is_flag=True, help="The last ones first.")
@click.option("--limit", type=AMOUNT, default=50, show_default=True, help="Max number of jobs.")
@chosen(
    Job,
    _COLUMNS,
    more={"ERROR": lambda job: job.last_error or "-"},
    wide=("FAILURES", "CRASHES", "WORKER", "CREATED_AT", "TAGS", "REASON"),
)
@talking
def listed(
    client: Client,
    as_json: bool,
    columns: Columns,
    limit: int,
    reverse: bool,
    **given: Any,
) -> None:
    """List jobs: running ones first, then waiting ones in the order in which they will run."""
    filters = taken(given)
    matching = wanted(filters)
    jobs = (
        job
        for state in filters["states"] or (None,)
        for job in client.jobs(state=state, page=min(limit, 1_000), reverse=reverse, last_error="ERROR" in columns, **matching)
    )
    listing = islice(jobs, limit)
    table((_whole(client, job) for job in listing) if not as_json and _OF_ONE & columns.keys() else listing, as_json, columns)


def _whole(client: Client, job: Job) -> Job:
    """With what a listing leaves out."""
    try:
        return client.job(job.id)
    except JobNotFound:  # it was removed meanwhile
        return job


@commands.command(epilog=examples("holdfast job why 42"))
@click.argument("job_id", type=JobId())
@talking
def why(client: Client, job_id: int, as_json: bool) -> None:
    """Say why a job is not running."""
    said = client.why(job_id)
    lines = [f"{reason.detail} [{reason.code}]" for reason in said.reasons]
    over = [_happened(one) for one in said.between if one.ended_at is not None]  # what lasts is among the reasons
    show(said, as_json, "\n".join(lines + over))


def _happened(one: Between) -> str:
    """What happened between two attempts, in a line."""
    since = "before the server started" if one.began_at is None else instant(one.began_at)
    until = "" if one.ended_at in (None, one.began_at) else f" to {instant(one.ended_at)}"
    return f"{since}{until}: {one.what}{f' ({one.of})' if one.of else ''}"


@commands.command(epilog=examples("holdfast job wait 42 --timeout 30s"))
@click.argument("job_id", type=JobId())
@click.option("--timeout", "timeout_ms", type=Duration(), help="Max wait; by default until the job ends.")
@talking
def wait(client: Client, job_id: int, timeout_ms: int | None, as_json: bool) -> None:
    """Wait for a job to end, and print its result. Exit code 5: it did not end as concluded, or the time was up."""
    _await(client, job_id, timeout_ms, as_json)


def _await(client: Client, job_id: int, timeout_ms: int | None, as_json: bool) -> None:
    job = client.wait(job_id, None if timeout_ms is None else timeout_ms / 1_000)
    show(job, as_json, json_text(job.result_json) if job.state == "concluded" else job.state)
    if job.state != "concluded":
        refuse(str(NotConcluded(job)), ENDED_OTHERWISE)


@commands.command(
    epilog=examples("holdfast job edit 42 priority=1", """holdfast job edit 42 'payload={"to": "bob"}' 'tags=["urgent"]'""")
)
@click.argument("job_id", type=JobId())
@click.argument("changes", nargs=-1, required=True, metavar="NAME=VALUE...")
@talking
def edit(client: Client, job_id: int, changes: tuple[str, ...], as_json: bool) -> None:
    """Edit a scheduled or ready job: payload, type, priority, delay_ms or run_at, max_attempts, tags, meta, expires_in_ms or expires_at. Values are JSON."""
    whole(client.edit(job_id, **given_changes(changes)), as_json)
