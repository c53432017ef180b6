"""`holdfast schedule …`: recurring jobs. Each command is one call of the client."""

from typing import Any

import click

from holdfast.cli.completion import queue_names, schedule_names
from holdfast.cli.context import Duration, Verbs, confirmed, destroying, examples, given_json, meta_option, show, talking, whole
from holdfast.cli.tables import Columns, chosen, instant, table
from holdfast.client import Client
from holdfast.client.schedules import Schedule


def _when(schedule: Schedule) -> str:
    if schedule.cron is None:
        return f"every {(schedule.interval_ms or 0) / 1_000:g} s"
    return schedule.cron if schedule.timezone == "UTC" else f"{schedule.cron} {schedule.timezone}"


_COLUMNS = {
    "SCHEDULE": lambda each: each.name,
    "WHEN": _when,
    "TARGET": lambda each: "(event)" if each.publish else each.queue,
    "NEXT": lambda each: instant(each.next_at) if each.next_at and not each.paused and not each.set_aside else "-",
    "RUNS": lambda each: each.fired,
    "PAUSED": lambda each: "paused" if each.paused else "",
    "ERROR": lambda each: each.last_error or "",
}


@click.group("schedule", cls=Verbs)
def commands() -> None:
    """Manage recurring (cron) jobs."""


@commands.command("ls", epilog=examples("holdfast schedule ls", "holdfast schedule ls --json"))
@chosen(Schedule, _COLUMNS, wide=("TYPE", "MISSED", "OVERLAP", "SKIPPED", "LAST_AT", "LAST_JOBS"))
@talking
def listed(client: Client, as_json: bool, columns: Columns) -> None:
    """List schedules with their next run, in UTC."""
    table(client.schedules(), as_json, columns)


@commands.command(epilog=examples("holdfast schedule info report"))
@click.argument("schedule", shell_complete=schedule_names)
@talking
def info(client: Client, schedule: str, as_json: bool) -> None:
    """Show a schedule with all its fields, as JSON."""
    whole(client.schedule(schedule), as_json)


@commands.command(
    "set",
    epilog=examples(
        "holdfast schedule set report --cron '30 2 * * 1-5' --timezone Europe/Vienna --queue reports",
        "holdfast schedule set sync --every 5m --queue sync --payload '{\"full\": false}' --no-overlap",
    ),
)
@click.argument("schedule", shell_complete=schedule_names)
@click.option("--cron", help="Cron expression: minute, hour, day, month, weekday.")
@click.option("--timezone", help="Time zone of the cron expression, such as Europe/Vienna.  [default: UTC]")
@click.option("--every", "interval_ms", type=Duration(), help="Interval instead of a cron expression, such as 5m.")
@click.option("--queue", help="Target queue.", shell_complete=queue_names)
@click.option("--publish", is_flag=True, default=None, help="Publish an event to all subscribed queues instead.")
@click.option("--payload", help="Payload as JSON.  [default: null]")
@click.option("--type", help="Job type: names the handler that runs it.")
@click.option("--priority", type=int, help="Lower runs first.  [default: 1024]")
@click.option(
    "--expires-in",
    "expires_in_ms",
    type=Duration(),
    help="Cancel a job if no worker has it so long after its run, such as 10m.",
)
@click.option("--max-attempts", type=int, help="Max attempts before a job is dead.")
@click.option("--unique-key", help="Allow only one unfinished job of the queue with this key.")
@click.option("--group-key", help="Jobs with the same group key run one after the other.")
@click.option("--fair-key", help="Whose jobs they are: in a fair queue, who has had the least is next.")
@click.option("--tag", "tags", multiple=True, help="Tag to find the jobs by; repeatable.")
@meta_option("Name and value that go with the jobs")
@click.option("--missed", type=click.Choice(["skip", "one", "all"]), help="Which missed runs to make up.  [default: one]")
@click.option(
    "--overlap/--no-overlap", default=None, help="Allow overlap: run also while the last job is unfinished.  [default: overlap]"
)
@click.option("--paused", is_flag=True, default=None, help="Create it paused; `resume` starts it.")
@talking
def change(client: Client, schedule: str, payload: str | None, tags: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Create or replace a schedule. An option that is left out gets its default. Counts stay."""
    fields = {name: value for name, value in given.items() if value not in (None, ())}
    if "meta" in fields:
        fields["meta"] = dict(fields["meta"])
    if payload is not None:
        fields["payload"] = given_json(payload, "--payload")
    if tags:
        fields["tags"] = list(tags)
    whole(client.set_schedule(schedule, **fields), as_json)


@commands.command(epilog=examples("holdfast schedule pause report"))
@click.argument("schedule", shell_complete=schedule_names)
@talking
def pause(client: Client, schedule: str, as_json: bool) -> None:
    """Pause a schedule."""
    show(client.pause_schedule(schedule), as_json, f"{schedule} is paused")


@commands.command(epilog=examples("holdfast schedule resume report"))
@click.argument("schedule", shell_complete=schedule_names)
@talking
def resume(client: Client, schedule: str, as_json: bool) -> None:
    """Resume a paused schedule."""
    show(client.resume_schedule(schedule), as_json, f"{schedule} is resumed")


@commands.command(epilog=examples("holdfast schedule run report"))
@click.argument("schedule", shell_complete=schedule_names)
@talking
def run(client: Client, schedule: str, as_json: bool) -> None:
    """Enqueue the job of a schedule now, in addition to its scheduled runs. After exit code 3, check before you repeat: the job may be enqueued already."""
    done = client.run_schedule(schedule)
    show(done, as_json, "\n".join(str(job.id) for job in done.jobs))


@commands.command(epilog=examples("holdfast schedule delete report --yes"))
@click.argument("schedule", shell_complete=schedule_names)
@destroying
@talking
def delete(client: Client, schedule: str, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Delete a schedule; its jobs stay."""
    known = client.schedule(schedule)
    if confirmed(f"delete the schedule {known.name} ({_when(known)})", yes, dry_run):
        client.delete_schedule(schedule)
        show({"schedule": schedule, "deleted": True}, as_json, f"{schedule} deleted")
