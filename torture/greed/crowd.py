"""The greedy callers in a process of their own: `python -m torture.greed.crowd HTTP_PORT TUBES_PORT NAME=COUNT …`, until it is ended.

They stand for callers on other machines: the server's work for them counts, not their own. So the server and the honest callers
have priority over them on this machine.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

from torture.greed.attacks import BY_NAME, Ports, again_and_again

NICE = 5  # a third of what others get: with less, a busy machine would leave nothing of the attack


async def run(at: Ports, counts: dict[str, int]) -> None:
    """All of them, without end."""
    await asyncio.gather(*[again_and_again(BY_NAME[name], at) for name, count in counts.items() for _ in range(count)])


def stand_back() -> None:
    """Lower the priority on this machine."""
    os.nice(NICE)
    with suppress(OSError):  # where Linux schedules by sessions, it is the session that has to be nice: this process leads one
        Path("/proc/self/autogroup").write_text(str(NICE))


if __name__ == "__main__":
    stand_back()
    wanted = {name: int(count) for name, _, count in (given.partition("=") for given in sys.argv[3:])}
    asyncio.run(run(Ports(int(sys.argv[1]), int(sys.argv[2])), wanted))
