"""Faults of Holdfast's nodes, and of the network on both sides of them."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace

from torture.cluster.faults import Plain
from torture.cluster.trial import ClusterTrial
from torture.faults.proxy import Proxy
from torture.faults.waiting import FROZEN_S, idle
from torture.load import Crew
from torture.server import ServerTrouble

PAUSED_S = 1.2  # leases expire meanwhile
CUT_S = 2.5  # commits time out meanwhile
SWALLOWED = 0.004  # of the messages of a server to a node: a batch takes about ten


class KillNode(Plain):
    """A node dies; its workers' leases last, and the other node continues."""

    name = "kill-node"
    about = "kill -9 of a node, and its restart, while the other serves"

    async def torment(self, trial: ClusterTrial) -> None:
        """One, then the other."""
        for number in range(trial.plan.rounds):
            await trial.progress()
            node = trial.nodes[number % len(trial.nodes)]
            trial.injured("killed", which="node")
            await node.kill_all()
            await trial.progress(20)  # clients go on with the other node
            await trial.start_node(node)


class PauseNode(Plain):
    """A node is suspended at a random moment, and continues later."""

    name = "pause-node"
    about = f"SIGSTOP and SIGCONT of a node for {PAUSED_S:.1f} s, longer than leases"

    async def torment(self, trial: ClusterTrial) -> None:
        """One, then the other."""
        for number in range(trial.plan.rounds):
            await trial.progress()
            node = trial.nodes[number % len(trial.nodes)]
            trial.injured("paused", which="node")
            node.signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(PAUSED_S)  # the pause is the fault
            finally:
                node.signal(signal.SIGCONT)


class FreezeWaited(Plain):
    """What callers wait for, or by, stands still while most of them have nothing to do but wait."""

    name = "freeze-waited"
    about = f"callers who wait at both nodes: SIGSTOP of a node, of the other, and of the primary, for {FROZEN_S:.1f} s, longer than the leases"
    crew = replace(idle(), tries=100, pause_s=0.15)

    async def torment(self, trial: ClusterTrial) -> None:
        """In any order."""
        for _ in range(trial.plan.rounds):
            for which in trial.rng.sample(["node", "other node", "primary"], 3):
                await trial.progress()
                trial.injured("paused", which=which)
                if which == "primary":
                    await trial.do(trial.database.primary.pause)
                    await asyncio.sleep(FROZEN_S)  # the pause is the fault
                    await trial.do(trial.database.primary.resume)
                    continue
                node = trial.nodes[which == "node"]
                node.signal(signal.SIGSTOP)
                await asyncio.sleep(FROZEN_S)  # the pause is the fault
                node.signal(signal.SIGCONT)


class Deploy(Plain):
    """A rolling restart, as operators do it."""

    name = "deploy"
    about = "SIGTERM of one node after the other under load; exit code 0"

    async def torment(self, trial: ClusterTrial) -> None:
        """One, then the other."""
        for number in range(trial.plan.rounds):
            await trial.progress()
            node = trial.nodes[number % len(trial.nodes)]
            trial.injured("terminated")
            node.signal(signal.SIGTERM, node.front)
            code = await node.ended()
            if code != 0:
                trial.breach("unclean exit", f"SIGTERM under load ended with exit code {code}")
            await node.gone()
            await trial.start_node(node)


class IsolateNode:
    """A node can't reach PostgreSQL: it has to report that, and to recover by itself."""

    name = "isolate-node"
    about = f"all paths between one node and PostgreSQL are cut for {CUT_S:.1f} s"
    linked = True
    crew: Crew | None = None

    async def torment(self, trial: ClusterTrial) -> None:
        """One, then the other."""
        for number in range(trial.plan.rounds):
            await trial.progress()
            which = number % len(trial.nodes)
            trial.injured("cut", which="node")
            for link in trial.paths[which].values():
                link.cut()
            await asyncio.sleep(CUT_S)  # the cut is the fault
            for link in trial.paths[which].values():
                link.mend()
            await trial.ready(trial.nodes[which])


class LostAnswers(Plain):
    """A request is done and the client never gets the answer."""

    name = "lost-answers"
    about = "proxies before both nodes that drop 15% of the answers"

    async def torment(self, trial: ClusterTrial) -> None:
        """The load goes through proxies for a while: a second group of clients beside the first."""

        def lost() -> None:
            trial.counts["injections"] += 1

        one, other = (Proxy(node.port, trial.rng, lost) for node in trial.nodes)
        async with one, other, trial.second_load((one.port, other.port)):
            for _ in range(trial.plan.rounds):
                await trial.progress()


class LostCommits:
    """PostgreSQL has committed, and the node never learns it."""

    name = "lost-commits"
    about = f"{SWALLOWED:.1%} of the messages from PostgreSQL to the nodes are lost, each with its connection"
    linked = True
    crew: Crew | None = None

    async def torment(self, trial: ClusterTrial) -> None:
        """Lossy links for a while."""
        links = [link for paths in trial.paths for link in paths.values()]
        for link in links:
            link.swallow = SWALLOWED
        for _ in range(trial.plan.rounds):
            await trial.progress()
        trial.counts["injections"] += sum(link.lost for link in links)
        if not trial.counts["injections"]:
            raise ServerTrouble("no message was lost")
        for link in links:
            link.swallow = 0.0
