"""Processes that stop for longer than a lease and then continue as if no time had passed: garbage collection, a suspended
machine.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from torture.faults.fault import Anywhere
from torture.queues import BRIEF_MS

if TYPE_CHECKING:
    from torture.trial import Trial

PAUSE_S = 2.5 * BRIEF_MS[1] / 1000  # every lease of a slow worker expires meanwhile, and some of the workers' do


class Pause(Anywhere):
    """SIGSTOP, the length of several leases, SIGCONT."""

    def __init__(self, which: str) -> None:
        self.name = f"pause-{which}"
        self.which = which
        self.about = f"SIGSTOP and SIGCONT of the {which} for {PAUSE_S:.2f} s, longer than the leases"

    async def torment(self, trial: Trial) -> None:
        """Stop it until leases expire, then continue it."""
        trial.crew.timeout_s = PAUSE_S * 0.8  # so that some clients stop waiting for a call that is then done
        async with trial.load():
            for _ in range(trial.plan.rounds):
                await trial.progress()
                trial.injured("paused", which=self.which)
                stopped = [trial.server.keeper] if self.which == "keeper" else trial.server.pids()
                trial.server.signal(signal.SIGSTOP, *stopped)
                try:
                    await asyncio.sleep(PAUSE_S)  # the pause is the fault
                finally:
                    trial.server.signal(signal.SIGCONT, *stopped)
            await trial.progress()
