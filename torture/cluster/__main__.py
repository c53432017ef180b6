"""`python -m torture.cluster`: run the faults on clusters of three PostgreSQL servers and two nodes, and print the findings.
Exits with 1 if there are any.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from dataclasses import replace
from pathlib import Path

import click

from torture.cluster import campaign, hunt, patroni, report
from torture.cluster.report import ClusterOutcome

BOTH = (1, 2)


@click.command(help="Break a cluster on purpose and look for a broken promise.")
@click.option("--smoke", is_flag=True, help="One injection of each fault, little load.")
@click.option("--rounds", type=click.IntRange(1), help="Injections per fault.  [default: 5]")
@click.option("--fault", "names", multiple=True, metavar="NAME", help="Only this fault; repeatable.")
@click.option("--replicas", type=click.IntRange(1, 2), multiple=True, help="Only this K.  [default: both]")
@click.option("--seed", help="Repeat the random choices of a run; the timing differs.")
@click.option("--patroni", "with_patroni", is_flag=True, help="Only failover by Patroni, with etcd and HAProxy.")
@click.option("--mutants", is_flag=True, help="Run nodes with defects instead, to show that the checkers find them.")
@click.option("--list", "listed", is_flag=True, help="List the faults.")
@click.option(
    "--results", type=click.Path(path_type=Path), help="Append the results to this file, a line for each fault and K."
)
@click.option("--show", type=click.Path(path_type=Path, exists=True), help="Only print the table of a file of results.")
def main(
    smoke: bool,
    rounds: int | None,
    names: tuple[str, ...],
    replicas: tuple[int, ...],
    seed: str | None,
    with_patroni: bool,
    mutants: bool,
    listed: bool,
    results: Path | None,
    show: Path | None,
) -> None:
    """See the help text."""
    seed = seed or secrets.token_hex(4)
    if listed:
        for fault in campaign.ALL.values():
            click.echo(f"{fault.name:16} {fault.about}")
        return
    if show:
        print(report.table(report.read(show)))
        return
    print(f"seed {seed}")
    if mutants:
        sys.exit(asyncio.run(hunt.run(seed)))
    plan = campaign.SMOKE if smoke else campaign.USUAL
    plan = replace(plan, rounds=rounds) if rounds else plan
    try:
        wanted = campaign.chosen(names)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if with_patroni:
        outcomes = asyncio.run(_patroni(seed, plan.rounds, results))
    else:
        outcomes = asyncio.run(_faults(wanted, replicas or BOTH, seed, plan, results))
    print(f"\n{report.table(outcomes)}\nseed {seed}")
    sys.exit(1 if any(outcome.violations or outcome.skipped for outcome in outcomes) else 0)


async def _faults(
    wanted: list[campaign.ClusterFault], replicas: tuple[int, ...], seed: str, plan: campaign.Plan, results: Path | None
) -> list[ClusterOutcome]:
    """Run them one after the other: each uses five servers."""
    outcomes = []
    for fault in wanted:
        for needed in replicas:
            outcomes.append(await campaign.run_fault(fault, needed, seed, plan))
            _tell(outcomes[-1], results)
    return outcomes


async def _patroni(seed: str, rounds: int, results: Path | None) -> list[ClusterOutcome]:
    outcome = await patroni.run(seed, rounds)
    _tell(outcome, results)
    return [outcome]


def _tell(outcome: ClusterOutcome, results: Path | None) -> None:
    if results:
        report.add(results, outcome)
    print(f"{outcome.fault}, K={outcome.replicas}, {outcome.seconds:.0f} s")
    print(f"  SKIPPED: {outcome.skipped}" if outcome.skipped else report.details(outcome), flush=True)


if __name__ == "__main__":
    main()
