"""`holdfast budget …`: how many jobs may start in a time, or run at once. Each command is one call of the client."""

from collections.abc import Iterator
from typing import Any

import click

from holdfast.cli.completion import budget_names
from holdfast.cli.context import Duration, Verbs, confirmed, destroying, examples, show, talking, whole
from holdfast.cli.tables import Columns, chosen, instant, table
from holdfast.client import Client
from holdfast.client.budgets import Budget, BudgetAccount
from holdfast.units import counted, duration


def _policy(budget: Budget) -> str:
    if budget.per_ms is None:
        return f"{budget.limit} at once"
    burst = "" if budget.burst == budget.limit else f", burst {budget.burst}"
    return f"{budget.limit} per {duration(budget.per_ms)}{burst}"


_COLUMNS = {
    "BUDGET": lambda each: each.name,
    "POLICY": _policy,
    "LEFT": lambda each: each.left,
    "RUNNING": lambda each: each.running,
    "WAITING": lambda each: each.waiting,
    "JOBS": lambda each: each.jobs,
    "BLOCKED UNTIL": lambda each: instant(each.blocked_until) if each.blocked_until else "",
}


@click.group("budget", cls=Verbs)
def commands() -> None:
    """Limit how many jobs start in a time, or run at once, over all queues."""


@commands.command("list", epilog=examples("holdfast budget list", "holdfast budget list --json"))
@chosen(Budget, _COLUMNS, wide=("LIMIT", "PER_MS", "BURST", "ACCOUNTS", "CREATED_AT"))
@talking
def listed(client: Client, as_json: bool, columns: Columns) -> None:
    """List budgets with what is left of them and how many jobs wait."""
    table(client.budgets(), as_json, columns)


@commands.command("show", epilog=examples("holdfast budget show openai", "holdfast budget show openai --key tenant-7"))
@click.argument("budget", shell_complete=budget_names)
@click.option("--key", help="Only the account with this key.")
@talking
def info(client: Client, budget: str, key: str | None, as_json: bool) -> None:
    """Show a budget with its accounts, as JSON."""
    whole(client.budget(budget, key=key, limit=1_000), as_json)


_ACCOUNT = {
    "KEY": lambda each: each.key or "(none)",
    "LEFT": lambda each: each.left,
    "RUNNING": lambda each: each.running,
    "WAITING": lambda each: each.waiting,
    "FIRST STARTS": lambda each: instant(each.earliest) if each.earliest else "-",
    "BLOCKED UNTIL": lambda each: instant(each.blocked_until) if each.blocked_until else "",
}


@commands.command(epilog=examples("holdfast budget accounts openai"))
@click.argument("budget", shell_complete=budget_names)
@chosen(BudgetAccount, _ACCOUNT, wide=("JOBS",))
@talking
def accounts(client: Client, budget: str, as_json: bool, columns: Columns) -> None:
    """List the accounts of a budget, by their keys: how many jobs of each run and wait."""
    table(_accounts(client, budget), as_json, columns)


def _accounts(client: Client, budget: str) -> Iterator[BudgetAccount]:
    after: str | None = ""
    while after is not None:
        page = client.budget(budget, after=after, limit=1_000)
        yield from page.some
        after = page.next_after


@commands.command(
    "set", epilog=examples("holdfast budget set openai 100 --per 1m --burst 10", "holdfast budget set licences 5")
)
@click.argument("budget", shell_complete=budget_names)
@click.argument("limit", type=int)
@click.option(
    "--per", "per_ms", type=Duration(), help="So many units in this time, such as 1m. Without it: held while a job is leased."
)
@click.option("--burst", type=int, help="Units saved up at most.  [default: the limit]")
@talking
def change(client: Client, budget: str, limit: int, as_json: bool, **given: Any) -> None:
    """Make or change a budget of LIMIT units. It is in force at once, also for jobs that wait."""
    whole(client.set_budget(budget, limit, **given), as_json)


@commands.command(epilog=examples("holdfast budget delete openai --yes", "holdfast budget delete openai --force --yes"))
@click.argument("budget", shell_complete=budget_names)
@click.option("--force", is_flag=True, help="Also if unfinished jobs name it: they go on without it.")
@destroying
@talking
def delete(client: Client, budget: str, force: bool, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Delete a budget."""
    known = client.budget(budget)
    if confirmed(
        f"delete the budget {known.name} ({_policy(known)}), named by {counted(known.jobs, 'unfinished job')}", yes, dry_run
    ):
        client.delete_budget(budget, force=force)
        show({"budget": budget, "deleted": True}, as_json, f"{budget} deleted")


@commands.command(epilog=examples("holdfast budget block stripe --for 10m", "holdfast budget block openai --key tenant-7"))
@click.argument("budget", shell_complete=budget_names)
@click.option(
    "--for", "for_ms", type=Duration(), default="1h", show_default=True, help="For how long nothing that names it starts."
)
@click.option("--key", help="Only the account with this key.")
@talking
def block(client: Client, budget: str, for_ms: int, key: str | None, as_json: bool) -> None:
    """Block a budget: nothing that names it starts. What runs goes on."""
    done = client.block_budget(budget, for_ms, key=key)
    show(done, as_json, f"{_account(budget, key)} is blocked for {duration(for_ms)}")


@commands.command(epilog=examples("holdfast budget unblock stripe"))
@click.argument("budget", shell_complete=budget_names)
@click.option("--key", help="Only the account with this key.")
@talking
def unblock(client: Client, budget: str, key: str | None, as_json: bool) -> None:
    """Unblock a budget and all of its accounts."""
    done = client.unblock_budget(budget, key=key)
    words = f"{_account(budget, key)} is not blocked any more"
    if done.blocked_until is not None:  # then so is each of its accounts
        words = f"{_account(budget, key)} has no block of its own any more; all of {budget} is blocked until {instant(done.blocked_until)}"
    show(done, as_json, words)


def _account(budget: str, key: str | None) -> str:
    return budget if key is None else f"{budget}/{key}"
