"""`holdfast events` and `holdfast stats`: changes and current numbers, in lines that other programs can read."""

import time
from itertools import islice
from typing import Any

import click

from holdfast.cli.completion import queue_names
from holdfast.cli.context import AMOUNT, Duration, examples, show, talking
from holdfast.cli.numbers import age, amount, queue_rate, share
from holdfast.cli.output import say
from holdfast.cli.tables import instant, lined_up
from holdfast.client import Client, Event
from holdfast.client.event_names import EVENTS

COLUMNS = {
    "QUEUE": lambda queue: queue["name"] + (" (paused)" if queue["paused"] else ""),
    "SCHEDULED": lambda queue: queue["jobs"]["scheduled"],
    "READY": lambda queue: queue["jobs"]["ready"],
    "LEASED": lambda queue: queue["jobs"]["leased"],
    "DEAD": lambda queue: queue["jobs"]["dead"],
    "USED": share,
    "OLDEST": lambda queue: age(queue["oldest_ready_ms"]),
    "ENQUEUED/S": lambda queue: f"{queue_rate(queue, 'enqueued'):.1f}",
    "COMPLETED/S": lambda queue: f"{queue_rate(queue, 'concluded'):.1f}",
    "FAILED/S": lambda queue: f"{queue_rate(queue, 'failed'):.1f}",
}


@click.command(
    epilog=examples(
        "holdfast events --follow",
        "holdfast events --queue mail --count 10 --json",
        "holdfast events --follow --event failed --event expired",
    )
)
@click.option("--queue", help="Only of this queue.", shell_complete=queue_names)
@click.option(
    "--event", "wanted", type=click.Choice(EVENTS), multiple=True, help="Only events of this kind, such as failed; repeatable."
)
@click.option("--follow", is_flag=True, help="Reconnect when the stream breaks off, and mark where events may be missing.")
@click.option("--count", type=AMOUNT, help="Stop after this many events.")
@talking
def events(client: Client, queue: str | None, wanted: tuple[str, ...], follow: bool, count: int | None, as_json: bool) -> None:
    """Stream events of jobs as they are committed. Without --follow, stop when the stream breaks off."""
    all_of_them = client.events(queue, follow=follow)
    matching = (each for each in all_of_them if not wanted or each.event in wanted or each.event == "gap")
    for event in islice(matching, count):
        show(event, as_json, _line(event))


def _line(event: Event) -> str:
    if event.event == "gap":
        return f"gap: {'some' if event.missed is None else f'{event.missed:,}'} events may be missing here"
    at = instant(event.at) if event.at else "-"
    return (
        f"{at}  {event.event:<16} {event.queue}  {event.id}  {event.state or ('' if '.' in event.event else 'gone')}".rstrip()
    )


@click.command(epilog=examples("holdfast stats", "holdfast stats --json", "holdfast stats --queue mail --watch --every 10s"))
@click.option("--queue", help="Of the queues only this one.", shell_complete=queue_names)
@click.option("--watch", is_flag=True, help="Repeat until Ctrl-C.")
@click.option("--every", "every_ms", type=Duration(), default="2s", help="Refresh interval with --watch.  [default: 2s]")
@click.option("--count", type=AMOUNT, help="With --watch: stop after this many refreshes.")
@talking
def stats(client: Client, queue: str | None, watch: bool, every_ms: int, count: int | None, as_json: bool) -> None:
    """Show the statistics of a server, in total and per queue."""
    left = count if watch else 1
    while True:
        said = client.stats(named=queue)
        if queue is not None:
            said["queues"] = [one for one in said["queues"] if one["name"] == queue]
        show(said, as_json, "\n".join(page(said)))
        left = None if left is None else left - 1
        if left == 0:
            return
        time.sleep(every_ms / 1_000)
        if not as_json:
            say("")


def page(said: dict[str, Any]) -> list[str]:
    """The numbers as lines."""
    return [*heading(said), "", *lined_up(said["queues"], COLUMNS)]


def heading(said: dict[str, Any]) -> list[str]:
    """The numbers of the whole server."""
    jobs, store, rates = said["jobs"], said["store"], said["rates"]
    durability = store["durability"]
    kept = durability["level"] + (f" ({durability['replicas']} replicas)" if durability["replicas"] else "")
    lines = [
        f"Holdfast {said['version']}, up {age(said['uptime_ms'])}, durability: {kept}",
        f"jobs: {', '.join(f'{amount(count)} {state}' for state, count in jobs.items())}",
        f"per second: {rates.get('enqueued', 0):.1f} enqueued, {rates.get('concluded', 0):.1f} completed, {rates.get('failed', 0):.1f} failed",
    ]
    if said["draining"]:
        lines.append("DRAINING: the server is shutting down")
    if not store["accepting"]:
        lines.append(f"NEW JOBS ARE REFUSED: {store['reason']}")
    return lines
