"""Callers that use as much as they can: large and unfinished bodies, answers that are not read, floods. No process may grow
because of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torture.faults.fault import Anywhere
from torture.greed import attacks
from torture.greed.trial import MEMORY_BYTES, PATIENCE_MS, attack

if TYPE_CHECKING:
    from torture.trial import Trial

SECONDS = 2.0  # of greed for each round
SMOKE_PATIENCE_MS = 5_000  # a smoke test shares the machine: it only checks that honest callers are served


class Greedy(Anywhere):
    """All kinds of attacks at once, while honest callers are served."""

    name = "greedy"
    about = f"{len(attacks.ALL)} kinds of greedy callers at once: all processes below {MEMORY_BYTES >> 20} MiB, 99 of 100 honest calls within {PATIENCE_MS} ms"

    async def torment(self, trial: Trial) -> None:
        """Run them all for the rounds of the plan; then the usual load must find a healthy server."""
        at = attacks.Ports(trial.server.port, trial.tube_port)
        await attacks.prepare(at)
        trial.injured("greed", kinds=len(attacks.ALL))
        found = await attack(at, trial.server.pids, attacks.COUNTS, SECONDS * max(2, trial.plan.rounds))
        trial.counts["peak MiB"] = found.peak_bytes >> 20
        trial.counts["honest calls"] = len(found.all_waits_s)
        trial.counts["honest p99 ms"] = round(found.p99_ms())
        trial.counts["honest calls refused"] = found.refused
        trial.history.event("greed endured", found=str(found))
        if found.peak_bytes > MEMORY_BYTES:
            trial.breach("memory", f"all processes together took {found.peak_bytes >> 20} MiB, more than {MEMORY_BYTES >> 20}")
        if found.p99_ms() > (PATIENCE_MS if trial.plan.rounds > 1 else SMOKE_PATIENCE_MS):
            trial.breach("honest callers wait", str(found))
        await attacks.clear(at)
        async with trial.load():
            await trial.progress()
