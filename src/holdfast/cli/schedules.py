"""`holdfast schedule …`: recurring jobs. Each command is one call of the client."""

from typing import Any

import click

from holdfast.cli.completion import queue_names, schedule_names
from holdfast.cli.context import Duration, confirmed, destroying, examples, given_json, show, talking, whole
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
    "INTO": lambda each: "(event)" if each.publish else each.queue,
    "NEXT": lambda each: instant(each.next_at) if each.next_at and not each.paused and not each.set_aside else "-",
    "FIRED": lambda each: each.fired,
    "PAUSED": lambda each: "paused" if each.paused else "",
    "ERROR": lambda each: each.last_error or "",
}


@click.group("schedule")
def commands() -> None:
    """Look at recurring jobs and manage them."""


@commands.command("ls", epilog=examples("holdfast schedule ls", "holdfast schedule ls --json"))
@chosen(Schedule, _COLUMNS, wide=("TYPE", "MISSED", "OVERLAP", "SKIPPED", "LAST_AT", "LAST_JOBS"))
@talking
def listed(client: Client, as_json: bool, columns: Columns) -> None:
    """List all schedules with their next fire, in UTC."""
    table(client.schedules(), as_json, columns)


@commands.command(epilog=examples("holdfast schedule info report"))
@click.argument("schedule", shell_complete=schedule_names)
@talking
def info(client: Client, schedule: str, as_json: bool) -> None:
    """Show a schedule whole, as JSON."""
    whole(client.schedule(schedule), as_json)


@commands.command(
    "set",
    epilog=examples(
        "holdfast schedule set report --cron '30 2 * * 1-5' --timezone Europe/Vienna --queue reports",
        "holdfast schedule set sync --every 5m --queue sync --payload '{\"full\": false}' --no-overlap",
    ),
)
@click.argument("schedule", shell_complete=schedule_names)
@click.option("--cron", help="Minute, hour, day, month, weekday.")
@click.option("--timezone", help="Of the expression, such as Europe/Vienna.  [default: UTC]")
@click.option("--every", "interval_ms", type=Duration(), help="An interval instead, such as 5m.")
@click.option("--queue", help="Where the job goes.", shell_complete=queue_names)
@click.option("--publish", is_flag=True, default=None, help="An event instead, for the queues that want it.")
@click.option("--payload", help="JSON.  [default: null]")
@click.option("--type", help="What handler runs the job.")
@click.option("--priority", type=int, help="Lower runs first.  [default: 1024]")
@click.option("--max-attempts", type=int, help="How often each job is tried.")
@click.option("--unique-key", help="Only one unfinished job of the queue has this key.")
@click.option("--group-key", help="Jobs of one group run one after the other.")
@click.option("--tag", "tags", multiple=True, help="A word to find the jobs by; repeatable.")
@click.option("--missed", type=click.Choice(["skip", "one", "all"]), help="What becomes of missed fires.  [default: one]")
@click.option("--overlap/--no-overlap", default=None, help="Fire while the job before is not finished.  [default: overlap]")
@click.option("--paused", is_flag=True, default=None, help="It fires only after `resume`.")
@talking
def change(client: Client, schedule: str, payload: str | None, tags: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Make a schedule, or change one as a whole: what is left out goes back to its default. Its counts stay."""
    fields = {name: value for name, value in given.items() if value is not None}
    if payload is not None:
        fields["payload"] = given_json(payload, "--payload")
    if tags:
        fields["tags"] = list(tags)
    whole(client.set_schedule(schedule, **fields), as_json)


@commands.command(epilog=examples("holdfast schedule pause report"))
@click.argument("schedule", shell_complete=schedule_names)
@talking
def pause(client: Client, schedule: str, as_json: bool) -> None:
    """Have it fire no more."""
    show(client.pause_schedule(schedule), as_json, f"{schedule} is paused")


@commands.command(epilog=examples("holdfast schedule resume report"))
@click.argument("schedule", shell_complete=schedule_names)
@talking
def resume(client: Client, schedule: str, as_json: bool) -> None:
    """Have it fire again."""
    show(client.resume_schedule(schedule), as_json, f"{schedule} goes on")


@commands.command(epilog=examples("holdfast schedule run report"))
@click.argument("schedule", shell_complete=schedule_names)
@talking
def run(client: Client, schedule: str, as_json: bool) -> None:
    """Put its job now, beside its fires. After exit code 3 look before you repeat it: this may have put the job."""
    done = client.run_schedule(schedule)
    show(done, as_json, "\n".join(str(job.id) for job in done.jobs))


@commands.command(epilog=examples("holdfast schedule delete report --yes"))
@click.argument("schedule", shell_complete=schedule_names)
@destroying
@talking
def delete(client: Client, schedule: str, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Remove a schedule; its jobs stay."""
    known = client.schedule(schedule)
    if confirmed(f"remove the schedule {known.name} ({_when(known)})", yes, dry_run):
        client.delete_schedule(schedule)
        show({"schedule": schedule, "deleted": True}, as_json, f"{schedule} removed")
