"""Run the mutants of a replicated node, and count those that a checker caught."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from torture.cluster import campaign
from torture.cluster.report import ClusterOutcome
from torture.mutants.catalog import Mutant
from torture.mutants.hunt import environment
from torture.mutants.replicated import ALL
from torture.trial import Plan

PLAN = Plan(rounds=2, calls=(150, 250))
TRIES = 3


@dataclass(frozen=True, slots=True)
class Catch:
    """The result of one mutant."""

    mutant: Mutant
    applied: bool
    outcome: ClusterOutcome

    @property
    def by(self) -> frozenset[str]:
        """The expected checkers that found a violation."""
        return self.mutant.caught_by & {violation.checker for violation in self.outcome.violations}

    @property
    def killed(self) -> bool:
        """Whether an expected checker caught it, and it was applied."""
        return self.applied and bool(self.by)


async def chase(mutant: Mutant, seed: str) -> Catch:
    """Run one mutant until it is killed, a few times at most."""
    for n in range(TRIES):
        with tempfile.TemporaryDirectory(prefix="torture-marks-") as directory:
            marks = Path(directory) / "marks"
            env = environment(mutant, marks) | {"TORTURE_HERD": "cluster"}
            fault = campaign.ALL[mutant.faults[0]]
            outcome = await campaign.run_fault(fault, 1, f"{seed}/{n}", PLAN, env=env, keep=False)
            catch = Catch(mutant, marks.exists(), outcome)
        if catch.killed or not catch.applied:
            break
    return catch


async def run(seed: str) -> int:
    """Run all of them, one after the other; 0 if every one was killed."""
    catches = []
    for mutant in ALL.values():
        catches.append(await chase(mutant, seed))
        print(describe(catches[-1]), flush=True)
    killed = sum(catch.killed for catch in catches)
    print(f"{killed} of {len(catches)} mutants killed; seed {seed}")
    return 0 if killed == len(catches) else 1


def describe(catch: Catch) -> str:
    """One line, with the first violation."""
    name = f"{catch.mutant.name:26} {catch.outcome.fault:16}"
    if not catch.applied:
        return f"{name} NOT APPLIED: no process of a node imported {catch.mutant.module}"
    if not catch.killed:
        seen = {str(violation) for violation in catch.outcome.violations[:3]}
        return f"{name} SURVIVED {sorted(catch.mutant.caught_by)}; seen: {seen or 'nothing'}"
    shown = next(violation for violation in catch.outcome.violations if violation.checker in catch.by)
    return f"{name} killed by {', '.join(sorted(catch.by))}: {shown}"
