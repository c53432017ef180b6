"""`holdfast interest …` and `holdfast publish`: subscriptions of queues, and events for all subscribed queues."""

import sys
from typing import Any, cast

import click
import msgspec

from holdfast.cli.completion import queue_names
from holdfast.cli.context import Duration, Verbs, confirmed, destroying, examples, given_json, meta_option, show, talking
from holdfast.cli.tables import table
from holdfast.client import Client
from holdfast.client.types import Interest, PublishOptions


def _patterns(interest: Interest) -> str:
    return interest.match if isinstance(interest.match, str) else msgspec.json.encode(interest.match).decode()


@click.group("interest", cls=Verbs)
def commands() -> None:
    """Manage subscriptions (interests): which published events a queue gets."""


@commands.command("ls", epilog=examples("holdfast interest ls", "holdfast interest ls --json"))
@talking
def listed(client: Client, as_json: bool) -> None:
    """List the subscriptions of all queues."""
    table(client.interests(), as_json, {"QUEUE": lambda each: each.queue, "MATCH": _patterns})


@commands.command(
    "set", epilog=examples("holdfast interest set archive '*'", "holdfast interest set welcome '^action$=^userCreated$'")
)
@click.argument("queue", shell_complete=queue_names)
@click.argument("match", nargs=-1, required=True, metavar="'*'|FIELD=VALUE...")
@talking
def change(client: Client, queue: str, match: tuple[str, ...], as_json: bool) -> None:
    """Subscribe a queue to events: '*' for all, or pairs of patterns for field and value, of which one must match."""
    wanted = client.set_interest(queue, _given(match))
    show(wanted, as_json, f"{queue} is subscribed to {_patterns(wanted)}")


def _given(match: tuple[str, ...]) -> str | dict[str, str]:
    if match == ("*",):
        return "*"
    pairs = [each.partition("=") for each in match]
    for whole, (_, equals, _) in zip(match, pairs, strict=True):
        if not equals:
            raise click.UsageError(f"{whole!r} is neither '*' nor FIELD=VALUE, alone or with others")
    return {field: value for field, _, value in pairs}


@commands.command(epilog=examples("""holdfast interest test '{"action": "userCreated"}'"""))
@click.argument("data")
@talking
def test(client: Client, data: str, as_json: bool) -> None:
    """Show which queues would get an event; enqueues nothing. DATA is JSON; - reads it from standard input."""
    for queue in client.who_wants(_data(data)):
        show({"queue": queue}, as_json, queue)


def _data(data: str) -> msgspec.Raw:
    return given_json(sys.stdin.buffer.read() if data == "-" else data, "the event")


@commands.command(epilog=examples("holdfast interest delete archive --yes"))
@click.argument("queue", shell_complete=queue_names)
@destroying
@talking
def delete(client: Client, queue: str, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Remove the subscription of a queue; its jobs stay."""
    known = client.interest(queue)
    if confirmed(f"remove the subscription of {queue} to {_patterns(known)}", yes, dry_run):
        client.delete_interest(queue)
        show({"queue": queue, "deleted": True}, as_json, f"the subscription of {queue} is removed")


@click.command(
    epilog=examples(
        """holdfast publish '{"action": "userCreated", "id": 12}'""",
        "holdfast publish - --require-interest < event.json",
        """holdfast publish '"reload"' --scope all""",
    )
)
@click.argument("data")
@click.option(
    "--scope",
    type=click.Choice(["any", "all"]),
    default="any",
    show_default=True,
    help="all: one copy for each worker of a queue.",
)
@click.option("--require-interest", is_flag=True, help="Refuse an event to which no queue subscribes.")
@click.option("--type", "kind", help="Job type: names the handler that runs the copies.")
@click.option("--priority", type=int, help="Lower runs first.  [default: 1024]")
@click.option("--delay", "delay_ms", type=Duration(), help="Run the copies after this delay, such as 10m.")
@click.option(
    "--expires-in", "expires_in_ms", type=Duration(), help="Cancel the copies that no worker has so long after they are due."
)
@click.option("--max-attempts", type=int, help="Max attempts before a copy is dead.")
@click.option("--tag", "tags", multiple=True, help="Tag to find the copies by; repeatable.")
@meta_option("Name and value that go with the copies")
@click.option("--batch", type=int, help="Open batch that the copies join.")
@click.option("--idempotency-key", help="Repeating the command with this key enqueues no second copies.")
@talking
def publish(client: Client, data: str, kind: str | None, tags: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Publish an event to all subscribed queues: one copy each, all or none. DATA is JSON; - reads it from standard input."""
    how = {name: given.pop(name) for name in ("scope", "require_interest", "idempotency_key")}
    said = {**given, "type": kind, "tags": list(tags) or None, "meta": dict(given["meta"]) or None}
    options = cast("PublishOptions", {name: value for name, value in said.items() if value is not None})
    done = client.publish(_data(data), **how, **options)
    if as_json:
        show(done, True, "")
        return
    table(done.jobs, False, {"QUEUE": lambda copy: copy.queue, "ID": lambda copy: copy.id})
