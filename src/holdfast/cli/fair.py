"""`holdfast queue fair …`: who shares a fair queue, and who gets more. Each command is one call of the client."""

from collections.abc import Iterator

import click

from holdfast.cli.completion import queue_names
from holdfast.cli.context import Verbs, examples, show, talking
from holdfast.cli.tables import Columns, chosen, table
from holdfast.client import Client, Share

_NONE = "(none)"
_COLUMNS = {
    "KEY": lambda each: _NONE if each.key is None else each.key,
    "WAITING": lambda each: each.waiting,
    "LEASED": lambda each: each.leased,
    "WEIGHT": lambda each: each.weight,
    "SHARE": lambda each: f"{each.share * 100:.1f} %",
}
_key = click.argument("key")
_queue = click.argument("queue", shell_complete=queue_names)


@click.group("fair", cls=Verbs)
def commands() -> None:
    """Show who shares a fair queue, and give some a larger share."""


@commands.command("list", epilog=examples("holdfast queue fair list mail", "holdfast queue fair list mail --all --json"))
@_queue
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True, help="So many keys, most waiting first.")
@click.option("--all", "every", is_flag=True, help="All keys that wait or have a weight, in their order.")
@chosen(Share, _COLUMNS, wide=("WEIGHT_SET",))
@talking
def listed(client: Client, queue: str, limit: int, every: bool, as_json: bool, columns: Columns) -> None:
    """List fair keys with what waits, what is leased, their weight and their share."""
    table(_every(client, queue) if every else client.shares(queue, limit=limit).some, as_json, columns)


def _every(client: Client, queue: str) -> Iterator[Share]:
    after: str | None = ""
    while after is not None:
        page = client.shares(queue, after=after, limit=1_000)
        yield from page.some
        after = page.next_after


@commands.command("set", epilog=examples("holdfast queue fair set mail tenant-7 4"))
@_queue
@_key
@click.argument("weight", type=click.IntRange(1, 1_000))
@talking
def change(client: Client, queue: str, key: str, weight: int, as_json: bool) -> None:
    """Give a fair key ('': jobs without one) WEIGHT times the share of a key with weight 1, from its next start on."""
    show(client.set_weight(queue, key or None, weight), as_json, f"{key or _NONE} has weight {weight} in {queue}")


@commands.command(epilog=examples("holdfast queue fair unset mail tenant-7"))
@_queue
@_key
@talking
def unset(client: Client, queue: str, key: str, as_json: bool) -> None:
    """Give a fair key its usual weight, 1."""
    if key:
        client.unset_weight(queue, key)
    else:
        client.set_weight(queue, None, 1)
    show({"key": key, "weight": 1}, as_json, f"{key or _NONE} has weight 1 in {queue}")
