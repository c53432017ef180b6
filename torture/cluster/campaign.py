"""Which faults run on a cluster, with which K, how hard, and where their histories go."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from cluster.programs import Missing, find
from torture.cluster import trial
from torture.cluster.faults import (
    Calm,
    ClusterFault,
    FreezeStandbys,
    IsolatePrimary,
    KillPrimary,
    KillStandby,
    NamesEmptied,
    NamesReduced,
    NoStandbys,
    PausePrimary,
    PauseStandby,
    SplitBrain,
    StallPrimary,
    Stormy,
)
from torture.cluster.hosts import FreezeHost
from torture.cluster.nodefaults import Deploy, FreezeWaited, IsolateNode, KillNode, LostAnswers, LostCommits, PauseNode
from torture.cluster.report import ClusterOutcome, outages, seen
from torture.cluster.trial import ClusterTrial
from torture.trial import Plan

ALL: dict[str, ClusterFault] = {
    fault.name: fault
    for fault in (
        Calm(),
        KillPrimary(),
        PausePrimary(),
        StallPrimary(),
        KillStandby(),
        PauseStandby(),
        FreezeStandbys(),
        NoStandbys(),
        IsolatePrimary(),
        SplitBrain(),
        FreezeHost(0),
        FreezeHost(1),
        FreezeHost(2),
        Stormy("cancel-storm", "pg_cancel_backend"),
        Stormy("terminate-storm", "pg_terminate_backend"),
        NamesEmptied(),
        NamesReduced(),
        KillNode(),
        PauseNode(),
        FreezeWaited(),
        Deploy(),
        IsolateNode(),
        LostAnswers(),
        LostCommits(),
    )
}
SMOKE = Plan(rounds=1, calls=(50, 100))
USUAL = Plan(rounds=5, calls=(200, 600))


async def run_fault(
    fault: ClusterFault, replicas: int, seed: str, plan: Plan, env: dict[str, str] | None = None, keep: bool = True
) -> ClusterOutcome:
    """One trial of one fault on a cluster of its own; its directory stays if something was found (and `keep` is true)."""
    outcome = ClusterOutcome(fault.name, replicas)
    try:
        find()
    except Missing as missing:
        outcome.skipped = str(missing)
        return outcome
    began = time.monotonic()
    work = Path(tempfile.mkdtemp(prefix=f"torture-{fault.name}-"))
    one = ClusterTrial(fault.name, seed, plan, work, replicas, fault.linked, env or {})
    one.crew = fault.crew or one.crew
    await trial.run(one, fault.torment)
    outcome.seconds = time.monotonic() - began
    outcome.counts, outcome.violations = one.counts + seen(one.history), one.violations
    outcome.outages = outages(one.history)
    if outcome.violations and keep:
        shutil.rmtree(work / "postgres", ignore_errors=True)
        outcome.kept = str(work)
    else:
        shutil.rmtree(work, ignore_errors=True)
    return outcome


def chosen(names: tuple[str, ...]) -> list[ClusterFault]:
    """The faults with these names, or all of them."""
    unknown = set(names) - set(ALL)
    if unknown:
        raise ValueError(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    return [fault for name, fault in ALL.items() if not names or name in names]
