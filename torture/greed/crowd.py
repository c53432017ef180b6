"""The greedy callers in a process of their own: `python -m torture.greed.crowd HTTP_PORT TUBES_PORT NAME=COUNT …`, until it is ended."""

from __future__ import annotations

import asyncio
import os
import sys

from torture.greed.attacks import BY_NAME, Ports, again_and_again

NICE = 5  # they come from elsewhere: what they cost is not to be taken from those who are measured


async def run(at: Ports, counts: dict[str, int]) -> None:
    """All of them, without end."""
    await asyncio.gather(*[again_and_again(BY_NAME[name], at) for name, count in counts.items() for _ in range(count)])


if __name__ == "__main__":
    os.nice(NICE)
    wanted = {name: int(count) for name, _, count in (given.partition("=") for given in sys.argv[3:])}
    asyncio.run(run(Ports(int(sys.argv[1]), int(sys.argv[2])), wanted))
