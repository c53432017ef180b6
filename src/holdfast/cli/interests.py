"""`holdfast interest …` and `holdfast publish`: which queue wants which events, and an event for all that do."""

import sys
from typing import Any, cast

import click
import msgspec

from holdfast.cli.completion import queue_names
from holdfast.cli.context import Duration, confirmed, destroying, examples, given_json, show, talking
from holdfast.cli.tables import table
from holdfast.client import Client
from holdfast.client.types import Interest, JobOptions


def _patterns(interest: Interest) -> str:
    return interest.match if isinstance(interest.match, str) else msgspec.json.encode(interest.match).decode()


@click.group("interest")
def commands() -> None:
    """Say which events a queue wants, and try it out."""


@commands.command("ls", epilog=examples("holdfast interest ls", "holdfast interest ls --json"))
@talking
def listed(client: Client, as_json: bool) -> None:
    """List which events each queue wants."""
    table(client.interests(), as_json, {"QUEUE": lambda each: each.queue, "MATCH": _patterns})


@commands.command(
    "set", epilog=examples("holdfast interest set archive '*'", "holdfast interest set welcome '^action$=^userCreated$'")
)
@click.argument("queue", shell_complete=queue_names)
@click.argument("match", nargs=-1, required=True, metavar="'*'|FIELD=VALUE...")
@talking
def change(client: Client, queue: str, match: tuple[str, ...], as_json: bool) -> None:
    """Say which events a queue wants: '*' for all; or pairs of patterns for field and value, of which one has to fit."""
    wanted = client.set_interest(queue, _given(match))
    show(wanted, as_json, f"{queue} wants {_patterns(wanted)}")


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
    """Say where an event would go; nothing is put. DATA is JSON; - reads it from standard input."""
    for queue in client.who_wants(_data(data)):
        show({"queue": queue}, as_json, queue)


def _data(data: str) -> msgspec.Raw:
    return given_json(sys.stdin.buffer.read() if data == "-" else data, "the event")


@commands.command(epilog=examples("holdfast interest delete archive --yes"))
@click.argument("queue", shell_complete=queue_names)
@destroying
@talking
def delete(client: Client, queue: str, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Have a queue want nothing more; its jobs stay."""
    known = client.interest(queue)
    if confirmed(f"remove the interest of {queue} in {_patterns(known)}", yes, dry_run):
        client.delete_interest(queue)
        show({"queue": queue, "deleted": True}, as_json, f"{queue} wants nothing")


@click.command(
    epilog=examples(
        """holdfast publish '{"action": "userCreated", "id": 12}'""",
        "holdfast publish - --require-interest < event.json",
        """holdfast publish '"reload"' --scope all""",
    )
)
@click.argument("data")
@click.option("--scope", type=click.Choice(["any", "all"]), default="any", show_default=True, help="all: for each worker.")
@click.option("--require-interest", is_flag=True, help="Refuse an event that nobody wants.")
@click.option("--type", "kind", help="What handler runs the copies.")
@click.option("--priority", type=int, help="Lower runs first.  [default: 1024]")
@click.option("--delay", "delay_ms", type=Duration(), help="Run the copies only after so long, such as 10m.")
@click.option("--max-attempts", type=int, help="How often each copy is tried.")
@click.option("--tag", "tags", multiple=True, help="A word to find them by; repeatable.")
@click.option("--idempotency-key", help="The same key and event again make no second copies.")
@talking
def publish(client: Client, data: str, kind: str | None, tags: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Put an event into every queue that wants it, all or none. DATA is JSON; - reads it from standard input."""
    how = {name: given.pop(name) for name in ("scope", "require_interest", "idempotency_key")}
    said = {**given, "type": kind, "tags": list(tags) or None}
    options = cast("JobOptions", {name: value for name, value in said.items() if value is not None})
    done = client.publish(_data(data), **how, **options)
    if as_json:
        show(done, True, "")
        return
    table(done.jobs, False, {"QUEUE": lambda copy: copy.queue, "ID": lambda copy: copy.id})
