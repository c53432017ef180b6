"""Callers who wait most of the time, so that jobs are granted in the commit that makes them ready; and what stands still or jumps meanwhile."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from torture.faults.fault import Anywhere
from torture.load import Crew
from torture.queues import LEASE_MS

if TYPE_CHECKING:
    from torture.trial import Trial

FROZEN_S = LEASE_MS[1] / 1000 + 0.1  # what was granted to who stands still is ready again before that goes on
HOUR_S = 3_600
LEAP_S = 10  # more than a jump that is taken for a moment in which the machine was busy
DAY_HALF_S = 12 * HOUR_S  # all steps together: nothing that is remembered for a day is forgotten by them
LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


def idle() -> Crew:
    """Few who enqueue, and many who wait."""
    return Crew(producers=2, workers=1, slow_workers=1, tube_users=2, waiters=10, channel_users=5, rest_s=0.03, timeout_s=8.0)


async def anew(trial: Trial) -> None:
    """Start the server again, as it is to be from now on."""
    await trial.lost()
    await trial.start()


class FreezeWaited(Anywhere):
    """One process that others wait for, or by, stands still."""

    name = "freeze-waited"
    about = f"callers who wait at two fronts: SIGSTOP of one of them, or of the keeper, for {FROZEN_S:.1f} s, longer than the leases"

    async def torment(self, trial: Trial) -> None:
        """A front, the other one, the keeper; in any order."""
        trial.crew = idle()
        trial.server.options = ("--fronts", "2")
        await anew(trial)
        async with trial.load():
            for _ in range(trial.plan.rounds):
                for stopped in trial.rng.sample([*trial.server.fronts, trial.server.keeper], 3):
                    await trial.progress()
                    trial.injured("paused", which=stopped)
                    trial.server.signal(signal.SIGSTOP, stopped)
                    try:
                        await asyncio.sleep(FROZEN_S)  # the pause is the fault
                    finally:
                        trial.server.signal(signal.SIGCONT, stopped)
            await trial.progress()


class StepClock(Anywhere):
    """The machine's clock is set while callers wait."""

    name = "step-clock"
    about = "the clock is set an hour forward while callers wait, back, and forward again"

    def unavailable(self) -> str | None:
        """It needs libfaketime."""
        return None if LIBRARY is not None else "libfaketime is not installed"

    async def torment(self, trial: Trial) -> None:
        """Time jumps, stands still until it has caught up, and jumps."""
        trial.crew = idle()
        file, offset_s = trial.work / "clock", 0
        self._set(file, offset_s)
        trial.server.env |= {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }
        await anew(trial)
        step_s = min(HOUR_S, DAY_HALF_S // trial.plan.rounds)
        async with trial.load():
            for _ in range(trial.plan.rounds):
                for change_s in (step_s, -step_s, step_s + LEAP_S):
                    await trial.progress()
                    offset_s += change_s
                    trial.injured("clock set", by_s=change_s)
                    self._set(file, offset_s)
                    trial.history.event(
                        "ready", why="leases that were about to end are extended, or last until the time has caught up"
                    )
            await trial.progress()

    @staticmethod
    def _set(file: Path, seconds: int) -> None:
        fresh = file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.rename(file)  # at once: never half a line
