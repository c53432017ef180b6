"""Power loss: everything that was not synced is lost.

A killed process loses nothing that it wrote, because the kernel still has it: SIGKILL alone can't distinguish a server that
syncs from one that does not. Here the file system itself is shut down, and then mounted again from what had reached its disk.

The processes are stopped just before, as a power loss would: the kernel may report success for a sync in progress when the
journal was aborted, and a machine without power could not have answered because of it.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from torture.faults import disk
from torture.faults.syscalls import must_stop

if TYPE_CHECKING:
    from torture.trial import Trial

SIZE_BYTES = 1 << 30  # sparse; well above any watermark for free space


class PowerLoss:
    """Cut the power, kill what is left, mount, start."""

    name = "power-loss"
    about = "ext4 shut down without a flush under load, killed, mounted again"

    def __init__(self) -> None:
        self.disk: disk.Disk | None = None

    def unavailable(self) -> str | None:
        """Needs root and loop devices."""
        return disk.unavailable()

    @asynccontextmanager
    async def place(self, work: Path) -> AsyncIterator[Path]:
        """A directory on a disk of its own."""
        async with disk.mounted(work, SIZE_BYTES) as self.disk:
            home = self.disk.at / "store"
            home.mkdir()
            disk.run("sync", "-f", str(home))
            yield home

    async def torment(self, trial: Trial) -> None:
        """Repeatedly."""
        assert self.disk, "placed before"
        async with trial.load():
            for _ in range(trial.plan.rounds):
                await trial.progress()
                trial.server.signal(signal.SIGSTOP)
                self.disk.cut_power()
                trial.injured("power lost")
                await trial.lost()
                self.disk.unmount()
                self.disk.mount()
                await trial.start()
            await trial.progress()


class DiskDies(PowerLoss):
    """Every read, write and sync fails from one moment on, while the machine keeps running.

    The load is paused for that moment: the kernel may report a sync in progress as done although it was not.
    """

    name = "disk-dies"
    about = "the file system fails everything from one moment on; the server has to stop, exit code not 0"

    async def torment(self, trial: Trial) -> None:
        """Repeatedly."""
        assert self.disk, "placed before"
        for _ in range(trial.plan.rounds):
            async with trial.load():
                await trial.progress()
            self.disk.cut_power()
            trial.injured("disk died")
            async with trial.load():
                await must_stop(trial, "its disk died")
            await trial.lost()
            self.disk.unmount()
            self.disk.mount()
            await trial.start()
