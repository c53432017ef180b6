"""A disk that becomes full: pushes are refused, nothing is lost, and holders of leases can still end them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from torture.client import Client, Json
from torture.faults import disk
from torture.history import Call
from torture.server import LOOK_AGAIN_S, ServerTrouble

if TYPE_CHECKING:
    from torture.trial import Trial

SIZE_BYTES = 512 << 20
LEFT_BYTES = 96 << 10  # what the ballast leaves free: some pages, so that the disk becomes full during a write
CHANGES_WITHIN_S = 20.0  # for pushes to be refused once the disk is full, and to be accepted again once it is not
HELD = 12  # leases taken before the disk is full, and ended after


class DiskFull:
    """Fill the rest of a small disk with ballast under load, and remove it again."""

    name = "disk-full"
    about = "a small ext4 filled completely: pushes refused with 507 or 429, leases still ended, then room again"

    def __init__(self) -> None:
        self.ballast = Path()

    def unavailable(self) -> str | None:
        """Needs root and loop devices."""
        return disk.unavailable()

    @asynccontextmanager
    async def place(self, work: Path) -> AsyncIterator[Path]:
        """A directory on a small disk of its own."""
        async with disk.mounted(work, SIZE_BYTES) as small:
            home = small.at / "store"
            home.mkdir()
            self.ballast = small.at / "ballast"
            yield home

    async def torment(self, trial: Trial) -> None:
        """Fill and empty, again and again."""
        client = Client("holder", trial.history, trial.server.port)
        async with trial.load():
            for n in range(min(trial.plan.rounds, 5)):
                await trial.progress()
                leased = await take(client, n)
                trial.injured("disk filled", left=fill(self.ballast))
                await until_push(client, n, taken=False)
                await end_all(trial, client, leased)
                self.ballast.unlink()
                trial.history.event("disk emptied")
                await until_push(client, n, taken=True)
            await trial.progress()
        client.close()


def fill(ballast: Path) -> int:
    """Fill the file system of `ballast`; returns the bytes that are left."""
    with ballast.open("wb") as file:
        free = os.statvfs(ballast).f_bavail * os.statvfs(ballast).f_frsize
        os.posix_fallocate(file.fileno(), 0, max(1, free - LEFT_BYTES))
        os.fsync(file.fileno())
    left = os.statvfs(ballast)
    return left.f_bavail * left.f_frsize


async def take(client: Client, n: int) -> list[Json]:
    """Leases that no other client touches, long enough to last through the round."""
    jobs = [{"queue": "held", "payload": {"v": f"held/{n}-{i}"}} for i in range(HELD)]
    await client.submit(jobs)
    call = await client.claim(["held"], HELD, lease_ms=60_000)
    if len(call.answer.get("jobs", [])) != HELD:
        raise ServerTrouble(f"{HELD} jobs were to be leased before the disk is full: {call.status} {call.code} {call.answer}")
    return call.answer["jobs"]


async def until_push(client: Client, n: int, taken: bool) -> None:
    """Push until pushes are refused because the disk is full, or until they are accepted again."""
    deadline = time.monotonic() + CHANGES_WITHIN_S
    tries = 0
    while time.monotonic() < deadline:
        tries += 1
        call = await client.submit([{"queue": "wide", "payload": {"v": f"push/{n}-{taken}-{tries}", "fill": "x" * 4096}}])
        if call.done if taken else call.code == "storage_full":
            return
        if call.outcome == "info":
            raise ServerTrouble(f"a push on a full disk was answered {call.status} {call.code}")
        await asyncio.sleep(LOOK_AGAIN_S)
    raise ServerTrouble(
        f"pushes are still {'refused' if taken else 'not refused with 507'} after {CHANGES_WITHIN_S:.0f} s: {call.code}"
    )


async def end_all(trial: Trial, client: Client, leased: list[Json]) -> None:
    """Conclude, fail, extend and release while the disk is full."""
    for i, job in enumerate(leased):
        verb = ("conclude", "fail", "extend", "release")[i % 4]
        call = await client.use(verb, job, **({"reason": "full"} if verb == "fail" else {}))
        trial.counts["leases used on a full disk"] += call.done
        must_have_worked(trial, call)
        if verb == "extend":
            must_have_worked(trial, await client.use("conclude", job))


def must_have_worked(trial: Trial, call: Call) -> None:
    """Holders of leases must be able to end them."""
    if not call.done:
        trial.breach("lease stuck on a full disk", f"{call.verb} was answered {call.status} {call.code}")
