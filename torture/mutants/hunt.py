"""Run every mutant, and count those that a checker caught."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from torture import campaign, faults
from torture.mutants.catalog import ALL, Mutant
from torture.report import Outcome
from torture.trial import Plan

PLAN = Plan(rounds=4, calls=(250, 400))
TRIES = 3  # some defects need a coincidence: two workers at one job at the wrong moment
HOOK = Path(__file__).parent / "hook"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Catch:
    """The result of one mutant."""

    mutant: Mutant
    fault: str
    applied: bool
    outcome: Outcome

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
        catch = await chase_once(mutant, f"{seed}/{n}")
        if catch.killed or not catch.applied:
            break
    return catch


async def chase_once(mutant: Mutant, seed: str) -> Catch:
    """Run one mutant under the first of its faults that this machine can do."""
    fault = next(faults.ALL[name] for name in mutant.faults if faults.ALL[name].unavailable() is None)
    with tempfile.TemporaryDirectory(prefix="torture-marks-") as directory:
        marks = Path(directory) / "marks"
        env = environment(mutant, marks)
        outcome = await campaign.run_fault(fault, seed, PLAN, env=env, keep=False)
        return Catch(mutant, fault.name, marks.exists(), outcome)


def environment(mutant: Mutant, marks: Path) -> dict[str, str]:
    """The environment that loads a mutant in every process of a server."""
    path = os.pathsep.join(filter(None, [str(HOOK), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, "TORTURE_ROOT": str(ROOT), "TORTURE_MUTANT": mutant.name, "TORTURE_MARKS": str(marks)}


async def run(seed: str, together: int) -> int:
    """Run all of them; 0 if every one was killed."""

    async def told(mutant: Mutant) -> Catch:
        catch = await chase(mutant, seed)
        print(describe(catch), flush=True)
        return catch

    catches = await campaign.at_a_time(together, map(told, ALL.values()))
    killed = sum(catch.killed for catch in catches)
    print(f"{killed} of {len(catches)} mutants killed; seed {seed}")
    return 0 if killed == len(catches) else 1


def describe(catch: Catch) -> str:
    """One line, with the first violation."""
    name = f"{catch.mutant.name:26} {catch.fault:14}"
    if not catch.applied:
        return f"{name} NOT APPLIED: no process of the server imported {catch.mutant.module}"
    if not catch.killed:
        seen = {str(violation) for violation in catch.outcome.violations[:3]}
        return f"{name} SURVIVED {sorted(catch.mutant.caught_by)}; seen: {seen or 'nothing'}"
    shown = next(violation for violation in catch.outcome.violations if violation.checker in catch.by)
    return f"{name} killed by {', '.join(sorted(catch.by))}: {shown}"
