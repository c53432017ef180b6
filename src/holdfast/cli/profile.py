"""`holdfast profile …`: the named servers of `--profile`. They are written with an editor."""

import os

import click

from holdfast.cli.context import Verbs, examples
from holdfast.cli.output import tell
from holdfast.cli.profiles import path, profiles
from holdfast.cli.tables import table


@click.group("profile", cls=Verbs)
def commands() -> None:
    """List the named servers of --profile."""


@commands.command("ls", epilog=examples("holdfast profile ls"))
@click.option("--json", "as_json", is_flag=True, help="As JSON, one document for each line.")
def listed(as_json: bool) -> None:
    """List them, without their tokens, and which one HOLDFAST_PROFILE names."""
    try:
        every = profiles()
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if not every:
        tell(f"holdfast: no profiles: {path()} does not exist or is empty")
        return
    named = os.environ.get("HOLDFAST_PROFILE")
    shown = [
        {"profile": name, "url": each.url, "token": bool(each.token), "used": name == named} for name, each in every.items()
    ]
    table(
        shown,
        as_json,
        {
            "PROFILE": lambda each: each["profile"],
            "URL": lambda each: each["url"],
            "TOKEN": lambda each: "yes" if each["token"] else "-",
            "USED": lambda each: "HOLDFAST_PROFILE" if each["used"] else "",
        },
    )
