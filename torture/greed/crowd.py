"""The greedy callers in a process of their own: `python -m torture.greed.crowd HTTP_PORT TUBES_PORT NAME=COUNT …`, until it is
ended.

They represent callers on other machines: only the server's work for them matters, not their own. So on this machine they have a
lower priority than the server and the honest callers.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

from torture.greed.attacks import BY_NAME, Ports, again_and_again

NICE = 5  # a third of the CPU that others get; with less, there would be hardly any attack on a busy machine


async def run(at: Ports, counts: dict[str, int]) -> None:
    """Run all of them, without end."""
    await asyncio.gather(*[again_and_again(BY_NAME[name], at) for name, count in counts.items() for _ in range(count)])


def stand_back() -> None:
    """Lower the priority on this machine."""
    os.nice(NICE)
    with suppress(OSError):  # if Linux schedules by sessions, the priority of the session counts: this process leads one
        Path("/proc/self/autogroup").write_text(str(NICE))


if __name__ == "__main__":
    stand_back()
    wanted = {name: int(count) for name, _, count in (given.partition("=") for given in sys.argv[3:])}
    asyncio.run(run(Ports(int(sys.argv[1]), int(sys.argv[2])), wanted))
