"""Crashes and restarts at random times: everything at once, either process alone, and a graceful stop."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from torture.faults.fault import Anywhere

if TYPE_CHECKING:
    from torture.trial import Trial


class Calm(Anywhere):
    """No fault at all: a violation here is not caused by a fault."""

    name = "calm"
    about = "no fault, all kinds of calls"

    async def torment(self, trial: Trial) -> None:
        """Only load."""
        async with trial.load():
            for _ in range(trial.plan.rounds):
                await trial.progress()


class KillServer(Anywhere):
    """A crash of the machine: all processes die at the same moment."""

    name = "kill-server"
    about = "SIGKILL to the front and the keeper at once"

    async def torment(self, trial: Trial) -> None:
        """Kill, restart, again."""
        async with trial.load():
            for _ in range(trial.plan.rounds):
                await trial.progress()
                trial.injured("killed", which="server")
                await trial.lost()
                await trial.start()
            await trial.progress()


class KillKeeper(Anywhere):
    """The store's process dies: the front must say so and end, with an exit code that a supervisor understands."""

    name = "kill-keeper"
    about = "SIGKILL to the keeper; the front has to end by itself, exit code not 0"

    async def torment(self, trial: Trial) -> None:
        """Kill the keeper, wait for the front's end, restart."""
        async with trial.load():
            for _ in range(trial.plan.rounds):
                await trial.progress()
                trial.injured("killed", which="keeper")
                trial.up.clear()
                trial.server.kill(trial.server.keeper)
                if await trial.server.ended() == 0:
                    trial.breach("silent death", "the front ended with exit code 0 after its keeper was killed")
                await trial.server.gone()
                await trial.start()
            await trial.progress()


class KillFront(Anywhere):
    """The listening process dies: the keeper must not continue without it."""

    name = "kill-front"
    about = "SIGKILL to the front; the keeper has to end by itself"

    async def torment(self, trial: Trial) -> None:
        """Kill the front, wait for the keeper's end, restart."""
        async with trial.load():
            for _ in range(trial.plan.rounds):
                await trial.progress()
                trial.injured("killed", which="front")
                trial.up.clear()
                trial.server.kill(trial.server.front)
                await trial.server.gone()
                await trial.start()
            await trial.progress()


class Deploy(Anywhere):
    """A restart as operators do it."""

    name = "deploy"
    about = "SIGTERM under load; exit code 0, and every answered call keeps its outcome"

    async def torment(self, trial: Trial) -> None:
        """Stop with SIGTERM, restart, repeat."""
        async with trial.load():
            for _ in range(trial.plan.rounds):
                await trial.progress()
                trial.injured("terminated")
                trial.up.clear()
                trial.server.signal(signal.SIGTERM, trial.server.front)
                code = await trial.server.ended()
                if code != 0:
                    trial.breach("unclean exit", f"SIGTERM under load ended with exit code {code}")
                await trial.server.gone()
                await trial.start()
            await trial.progress()
