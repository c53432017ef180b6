"""`python -m torture`: run the faults and print the findings. Exits with 1 if there are any."""

from __future__ import annotations

import asyncio
import secrets
import sys
from dataclasses import replace
from pathlib import Path

import click

from torture import campaign, checkers, faults, history, report
from torture.mutants import hunt
from torture.report import Outcome


@click.command(help="Break a Holdfast server on purpose and look for a broken promise.")
@click.option("--smoke", is_flag=True, help="All faults at a tiny size, in less than a minute.")
@click.option("--minutes", type=float, help="About how long to run; three minutes by default.")
@click.option("--crashes", type=int, help="Injections per fault.")
@click.option("--fault", "names", multiple=True, metavar="NAME", help="Only this fault; may be given more than once.")
@click.option("--seed", help="Repeat the random choices of a run; the timing differs.")
@click.option(
    "--together", default=campaign.TOGETHER, show_default=True, help="Concurrent trials, each with a server of its own."
)
@click.option("--list", "listed", is_flag=True, help="List the faults and what this machine can do.")
@click.option("--mutants", is_flag=True, help="Run servers with defects instead, to show that the checkers find them.")
@click.option("--check", type=click.Path(exists=True, path_type=Path), help="Run the checkers again on a history file.")
def main(
    smoke: bool,
    minutes: float | None,
    crashes: int | None,
    names: tuple[str, ...],
    seed: str | None,
    together: int,
    listed: bool,
    mutants: bool,
    check: Path | None,
) -> None:
    """See the help text."""
    seed = seed or secrets.token_hex(4)
    if listed:
        sys.exit(show_faults())
    if check:
        sys.exit(check_again(check))
    if mutants:
        sys.exit(asyncio.run(hunt.run(seed, together)))
    plan = campaign.SMOKE if smoke else campaign.scaled(campaign.USUAL, minutes)
    if crashes:
        plan = replace(plan, rounds=crashes)
    try:
        wanted = campaign.chosen(names)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    print(f"seed {seed}")
    sys.exit(asyncio.run(run(wanted, seed, plan, together)))


async def run(wanted: list[faults.Fault], seed: str, plan: campaign.Plan, together: int) -> int:
    """Run the faults, and print each result."""

    async def told(fault: faults.Fault) -> Outcome:
        outcome = await campaign.run_fault(fault, seed, plan)
        print(f"{fault.name}: {fault.about}")
        print(report.skips([outcome]) or report.details(outcome), flush=True)
        return outcome

    outcomes = await campaign.at_a_time(together, map(told, wanted))
    print()
    print(report.table(outcomes))
    print(report.skips(outcomes))
    print(report.verdict(outcomes, seed))
    return 1 if any(outcome.violations for outcome in outcomes) else 0


def show_faults() -> int:
    """List the faults, and why some can't run here."""
    for fault in faults.ALL.values():
        reason = fault.unavailable()
        print(f"{fault.name:16} {fault.about}" + (f"  [not here: {reason}]" if reason else ""))
    return 0


def check_again(file: Path) -> int:
    """Run the checkers on a history file."""
    found = checkers.check(history.read(file))
    for violation in found:
        print(violation)
    print(f"{len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    main()
