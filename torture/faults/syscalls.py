"""Kills and disk errors at the N-th system call of the store, for one N after the other.

kill-at-sync    the process dies when it calls the N-th sync: what was written may be lost, what was answered must not
kill-at-write   the same at the N-th write: nothing of it has reached even the kernel
eio-at-sync     the N-th sync fails: nothing that it covered may be acknowledged, and the server must stop, because after a failed
                sync a later one that succeeds proves nothing
enospc-at-write the N-th write fails because the disk is full: refused or unknown, never acknowledged; the server may continue
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from torture.faults import tracer
from torture.faults.fault import Anywhere
from torture.faults.tracer import SystemCall
from torture.server import LOOK_AGAIN_S, ServerTrouble

if TYPE_CHECKING:
    from torture.trial import Trial

SYNC_POINTS = 40  # the syncs of a start, of the first commits, and of some more under load
WRITE_POINTS = 400
INJECTED_WITHIN_S = 20.0


class Traced(Anywhere):
    """Restarts the server under strace for each injection point."""

    name = ""
    calls = tracer.SYNCS
    what = ""
    points = SYNC_POINTS

    def unavailable(self) -> str | None:
        """Needs strace."""
        return tracer.unavailable()

    async def torment(self, trial: Trial) -> None:
        """Test every point if the plan has enough rounds, else a sample."""
        numbers = trial.rng.sample(range(1, self.points + 1), min(trial.plan.rounds, self.points))
        trial.up.clear()
        async with trial.load():
            for number in sorted(numbers):
                await trial.lost()
                await self.inject(trial, number)
            await trial.lost()
            await trial.start()
            await trial.progress()

    async def inject(self, trial: Trial, number: int) -> None:
        """One start of the server with the fault at its `number`-th call, up to the required reaction."""
        trace = trial.work / f"trace-{number}"
        started = await trial.start(*tracer.inject(self.calls, self.what, number, trace))
        hit = not started or await self.wait_for_hit(trial, trace)
        if hit:
            trial.injured(self.name, at=number, ready=started)
            await self.afterwards(trial, trace)
        else:
            trial.counts["points not reached"] += 1
        trace.unlink()

    async def wait_for_hit(self, trial: Trial, trace: Path) -> bool:
        """Whether the point was reached under load."""
        for _ in range(int(INJECTED_WITHIN_S / LOOK_AGAIN_S)):
            if not trial.server.running or injected(trace):
                return True
            await asyncio.sleep(LOOK_AGAIN_S)
        return False

    async def afterwards(self, trial: Trial, trace: Path) -> None:
        """What the server must do after the injection."""
        raise NotImplementedError


class KillAtSync(Traced):
    """The keeper dies at a sync."""

    name = "kill-at-sync"
    about = "SIGKILL to the process that makes its N-th fsync or fdatasync"
    what = "signal=KILL"

    async def afterwards(self, trial: Trial, _: Path) -> None:
        """The front must notice that its keeper has died."""
        await must_stop(trial, f"its keeper died ({self.name})")


class KillAtWrite(KillAtSync):
    """The keeper dies at a write."""

    name = "kill-at-write"
    about = "SIGKILL to the process that makes its N-th pwrite64"
    calls = tracer.WRITES
    points = WRITE_POINTS


class ErrorAtSync(Traced):
    """The disk fails a sync."""

    name = "eio-at-sync"
    about = "EIO from the N-th fsync or fdatasync; the server has to stop, exit code not 0"
    what = "error=EIO"

    async def afterwards(self, trial: Trial, trace: Path) -> None:
        """The server must stop, because no retry can prove anything."""
        failed = failed_call(trace)
        if failed and failed.name == "fdatasync" and Path(failed.path) == trial.home:
            # When it creates a WAL file, SQLite syncs the directory and ignores the result: the server can't know of it.
            trial.counts["failed directory syncs that SQLite ignores"] += 1
            return
        await must_stop(trial, f"EIO from {failed.name} on {Path(failed.path).name}" if failed else "EIO")


class NoSpaceAtWrite(Traced):
    """The disk is full for one write."""

    name = "enospc-at-write"
    about = "ENOSPC from the N-th pwrite64; the server may continue or stop, but must not acknowledge what it did not write"
    calls = tracer.WRITES
    what = "error=ENOSPC"
    points = WRITE_POINTS

    async def afterwards(self, trial: Trial, _: Path) -> None:
        """Both continuing and stopping are correct; the checkers find wrong answers."""
        progress = asyncio.ensure_future(trial.history.acknowledged(50))
        end = asyncio.ensure_future(trial.server.ended(60))
        done, pending = await asyncio.wait({progress, end}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        for waiting in pending:
            waiting.cancel()
        if not done:
            raise ServerTrouble("neither continues nor ends after one write failed on a full disk")
        trial.counts["went on" if progress in done else "stopped"] += 1


async def must_stop(trial: Trial, why: str) -> None:
    """The server has to end by itself, and not with exit code 0."""
    trial.up.clear()
    try:
        if await trial.server.ended() == 0:
            trial.breach("silent death", f"exit code 0 after {why}")
        await trial.server.gone()
    except ServerTrouble as trouble:
        trial.breach("went on", f"after {why}: {trouble}")


def injected(trace: Path) -> bool:
    """Whether strace reports that it has injected the error, or sent the signal."""
    seen = trace.read_bytes() if trace.exists() else b""
    return b"(INJECTED)" in seen or b"+++ killed by SIGKILL" in seen


def failed_call(trace: Path) -> SystemCall | None:
    """The first call that failed."""
    return next((call for call in tracer.read(trace) if call.result < 0), None)
