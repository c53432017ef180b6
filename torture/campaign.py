"""Which faults run, how hard, and where their histories go."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from torture import faults, trial
from torture.faults import Fault
from torture.report import Outcome
from torture.trial import Plan, Trial

T = TypeVar("T")

# Rounds (injections) of each fault and acknowledged calls between two of them. Chosen so that the defaults take a few minutes and the
# smoke less than one on two cores; `scaled` makes more of the same.
SMOKE = Plan(rounds=1, calls=(20, 150))
USUAL = Plan(rounds=12, calls=(20, 1500))
USUAL_MINUTES = 3.0  # about what USUAL takes for all faults


TOGETHER = 3  # concurrent trials: they mostly wait, for a start, for a lease to expire, for the disk


def scaled(plan: Plan, minutes: float | None) -> Plan:
    """The plan with as many injections as fit into `minutes`; unchanged if that is None."""
    return replace(plan, rounds=max(1, round(plan.rounds * minutes / USUAL_MINUTES))) if minutes else plan


async def run_fault(fault: Fault, seed: str, plan: Plan, env: dict[str, str] | None = None, keep: bool = True) -> Outcome:
    """One trial of one fault in a directory of its own, which stays if something was found (and `keep` is true).

    `env` is added to the server's environment.
    """
    outcome = Outcome(fault.name, skipped=fault.unavailable())
    if outcome.skipped:
        return outcome
    began = time.monotonic()
    work = Path(tempfile.mkdtemp(prefix=f"torture-{fault.name}-"))
    async with fault.place(work) as home:
        one = Trial(fault.name, seed, plan, work, home, env or {})
        await trial.run(one, fault.torment)
    outcome.seconds = time.monotonic() - began
    outcome.counts, outcome.violations = one.counts, one.violations
    if outcome.violations and keep:
        outcome.kept = str(work)
    else:
        shutil.rmtree(work)
    return outcome


async def at_a_time(many: int, work: Iterable[Awaitable[T]]) -> list[T]:
    """Run all of it, `many` at a time; the results in the order of `work`."""
    places = asyncio.Semaphore(many)

    async def one(piece: Awaitable[T]) -> T:
        async with places:
            return await piece

    return await asyncio.gather(*map(one, work))


def chosen(names: tuple[str, ...]) -> list[Fault]:
    """The faults with these names, or all of them."""
    unknown = set(names) - set(faults.ALL)
    if unknown:
        raise ValueError(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(faults.ALL)}")
    return [fault for name, fault in faults.ALL.items() if not names or name in names]
