"""A host of PostgreSQL stops for good, at each position in the URL of the nodes: they must still find the others.

Its kernel keeps running: it accepts connections, and nothing answers. A node that starts meanwhile has to find the primary, and
so do all of them after a failover in which the frozen host takes no part.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from cluster.postgres import PostgresServer
from torture.cluster.faults import Plain, must_refuse
from torture.cluster.trial import ClusterTrial

SERVED_WITHIN_S = 20.0  # after there is a primary: 10 s for a commit in progress, 5 for the hosts, and some for the machine
SOME = 20  # calls that must be answered


class FreezeHost(Plain):
    """The host at one position of the URL, whatever its role is."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.name = f"freeze-host-{place + 1}"
        self.about = f"SIGSTOP of the host at position {place + 1} of the URL, for good: nodes that start must find the primary, and all nodes after a failover"

    async def torment(self, trial: ClusterTrial) -> None:
        """It is the primary in one round and a standby in another."""
        for _ in range(trial.plan.rounds):
            await trial.progress()
            host = trial.database.servers[self.place]
            if host is trial.database.primary:
                await self._primary(trial, host)
            else:
                await self._standby(trial, host)
                await self._make_primary(trial, host)

    async def _standby(self, trial: ClusterTrial, host: PostgresServer) -> None:
        """A node starts meanwhile; then the primary is lost, the other standby is promoted, and a fresh one replaces the lost
        one.
        """
        trial.injured("frozen", which="standby")
        await trial.do(host.pause)
        trial.able(1)
        if trial.replicas > 1:
            await must_refuse(trial)
        else:
            node = trial.rng.choice(trial.nodes)
            await node.kill_all()
            await trial.start_node(node)
            await trial.progress()
            await self._lose_primary(trial, host)
            await served(trial)
        trial.able(2)
        await trial.do(trial.database.whole)

    async def _lose_primary(self, trial: ClusterTrial, host: PostgresServer) -> None:
        database = trial.database
        since = monotonic()
        lost = database.primary
        (heir,) = [one for one in database.standbys if one is not host]
        await trial.do(lost.remove)
        trial.history.event("primary lost", since=since)
        trial.able(0)
        database.primary = heir
        await trial.do(database.require, trial.replicas)
        await trial.do(heir.promote)
        trial.able(1)
        await trial.do(database.join, lost)

    async def _make_primary(self, trial: ClusterTrial, host: PostgresServer) -> None:
        """Make the host at this position the primary, so that the next round stops it in the other role."""
        await trial.progress()
        database = trial.database
        if trial.replicas > 1 or database.heir() is not host:
            return
        await trial.lose_primary()

    async def _primary(self, trial: ClusterTrial, host: PostgresServer) -> None:
        """Another is promoted while it stays stopped, and its connections stay open."""
        trial.injured("frozen", which="primary")
        since = monotonic()
        await trial.do(host.pause)
        trial.history.event("primary lost", since=since)
        trial.able(1)
        await trial.do(trial.database.fail_over)
        if trial.replicas > 1:
            await must_refuse(trial, SERVED_WITHIN_S)  # by the new primary, once it is found
        else:
            await served(trial)
            node = trial.rng.choice(trial.nodes)
            await node.kill_all()
            await trial.start_node(node)
            await trial.progress()
        await trial.do(host.kill)
        await trial.do(host.remove)
        trial.able(2)
        await trial.do(trial.database.whole)


async def served(trial: ClusterTrial) -> None:
    """The nodes must find the primary within the bound."""
    try:
        await asyncio.wait_for(trial.history.acknowledged(SOME), SERVED_WITHIN_S)
    except TimeoutError:
        trial.breach(
            "hidden", f"fewer than {SOME} calls were acknowledged within {SERVED_WITHIN_S:.0f} s of a primary being there"
        )
