"""Faults of PostgreSQL: machines lost, stopped and cut off, commits cancelled, settings changed under load."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Protocol

from torture.cluster.database import Storm
from torture.cluster.node import COMMIT_TIMEOUT_MS
from torture.cluster.trial import ClusterTrial
from torture.load import Crew

FROZEN_S = COMMIT_TIMEOUT_MS / 1000 + 0.7  # some commits are abandoned meanwhile
REFUSED_WITHIN_S = 12.0
STORM_S = 1.0
GATHER_S = 0.5  # commits start waiting


class ClusterFault(Protocol):
    """One way to break a cluster; `linked` if the nodes' paths to PostgreSQL have to be cut. `crew`: other clients than usual."""

    name: str
    about: str
    linked: bool
    crew: Crew | None

    async def torment(self, trial: ClusterTrial) -> None:
        """Inject the fault `trial.plan.rounds` times, under load."""
        ...


class Plain:
    """A fault that cuts no path of a node."""

    linked = False
    crew: Crew | None = None


@asynccontextmanager
async def frozen(trial: ClusterTrial, many: int = 2) -> AsyncIterator[None]:
    """Within this context so many standbys are stopped: data for them waits in their sockets, and none is written."""
    standbys = trial.database.standbys[:many]
    for one in standbys:
        await trial.do(one.pause)
    trial.able(2 - many)
    try:
        yield
    finally:
        trial.able(2)
        for one in standbys:
            await trial.do(one.resume)


class Calm(Plain):
    """No fault except the loss of the primary at the end of every trial."""

    name = "calm"
    about = "no fault except the failover at the end"

    async def torment(self, trial: ClusterTrial) -> None:
        """Only load."""
        for _ in range(trial.plan.rounds):
            await trial.progress()


class KillPrimary(Plain):
    """The machine of the primary is lost."""

    name = "kill-primary"
    about = "kill -9 of the primary, its disk deleted; the standby that must have all acknowledged jobs is promoted"

    async def torment(self, trial: ClusterTrial) -> None:
        """Repeatedly, each time another server."""
        for _ in range(trial.plan.rounds):
            await trial.progress()
            trial.injured("killed", which="primary")
            await trial.lose_primary()


class PausePrimary(Plain):
    """The primary is suspended, another is promoted, and then the old one continues as if nothing had happened."""

    name = "pause-primary"
    about = "SIGSTOP of the primary, failover, SIGCONT while the nodes may still be connected to it; then it is recreated"

    async def torment(self, trial: ClusterTrial) -> None:
        """Two primaries for a while, of which one can prove nothing."""
        for _ in range(trial.plan.rounds):
            await trial.progress()
            trial.injured("paused", which="primary")
            old, since = trial.database.primary, monotonic()
            await trial.do(old.pause)
            trial.history.event("primary lost", since=since)
            trial.able(1)
            await trial.do(trial.database.fail_over)
            await trial.do(old.resume)
            await asyncio.sleep(1.0)  # time in which a node with a defect would answer wrongly
            await trial.do(old.remove)
            trial.able(2)
            await trial.do(trial.database.whole)


class StallPrimary(Plain):
    """The primary is suspended for longer than the commit timeout, and continues; no failover."""

    name = "stall-primary"
    about = f"SIGSTOP of the primary for {FROZEN_S:.1f} s, then SIGCONT, without a failover: commits time out, and it recovers by itself"

    async def torment(self, trial: ClusterTrial) -> None:
        """Repeatedly."""
        for _ in range(trial.plan.rounds):
            await trial.progress()
            trial.injured("stalled", which="primary")
            primary = trial.database.primary
            await trial.do(primary.pause)
            try:
                await asyncio.sleep(FROZEN_S)  # the pause is the fault
            finally:
                await trial.do(primary.resume)


class KillStandby(Plain):
    """A standby dies and comes back."""

    name = "kill-standby"
    about = "kill -9 of one standby, and its restart; with K=2 nothing may be accepted meanwhile"

    async def torment(self, trial: ClusterTrial) -> None:
        """Repeatedly."""
        for _ in range(trial.plan.rounds):
            await trial.progress()
            standby = trial.rng.choice(trial.database.standbys)
            trial.injured("killed", which=standby.name)
            await trial.do(standby.kill)
            trial.able(1)
            if trial.replicas == 1:
                await trial.progress()  # the cluster still accepts jobs
            else:
                await must_refuse(trial)
            trial.able(2)
            await trial.do(standby.start)
            await trial.do(trial.database.wait_streaming)


class PauseStandby(Plain):
    """A standby stops for longer than the commit timeout."""

    name = "pause-standby"
    about = f"SIGSTOP of one standby for {FROZEN_S:.1f} s: accepted with K=1, unknown or refused with K=2"

    async def torment(self, trial: ClusterTrial) -> None:
        """Repeatedly."""
        for _ in range(trial.plan.rounds):
            await trial.progress()
            trial.injured("paused", which="standby")
            async with frozen(trial, 1):
                await asyncio.sleep(FROZEN_S)  # the pause is the fault


class FreezeStandbys(Plain):
    """All standbys are suspended: every commit waits, and some are abandoned."""

    name = "freeze-standbys"
    about = f"SIGSTOP of both standbys for {FROZEN_S:.1f} s, longer than the commit timeout"

    async def torment(self, trial: ClusterTrial) -> None:
        """Repeatedly."""
        for _ in range(trial.plan.rounds):
            await trial.progress()
            trial.injured("paused", which="standbys")
            async with frozen(trial):
                await asyncio.sleep(FROZEN_S)  # the pause is the fault


class NoStandbys(Plain):
    """All standbys are lost."""

    name = "no-standbys"
    about = "kill -9 of both standbys: refused with not_replicated, and accepted again when they are back"

    async def torment(self, trial: ClusterTrial) -> None:
        """Repeatedly."""
        for _ in range(trial.plan.rounds):
            await trial.progress()
            lost = trial.database.standbys
            trial.injured("killed", which="standbys")
            for one in lost:
                await trial.do(one.kill)
            trial.able(0)
            await must_refuse(trial)
            trial.able(2)
            for one in lost:
                await trial.do(one.start)
            await trial.do(trial.database.wait_streaming)


class IsolatePrimary(Plain):
    """The network between the primary and its standbys is cut; the nodes reach all of them."""

    name = "isolate-primary"
    about = "the paths between primary and standbys are cut: refused, and accepted again when they are restored"

    async def torment(self, trial: ClusterTrial) -> None:
        """Repeatedly."""
        await trial.feed_through_links()
        for _ in range(trial.plan.rounds):
            await trial.progress()
            trial.injured("cut", which="standbys")
            for link in trial.feeds.values():
                link.cut()
            trial.able(0)
            await must_refuse(trial)
            trial.able(2)
            for link in trial.feeds.values():
                link.mend()
            await trial.do(trial.database.whole)


class SplitBrain:
    """One node stays with the old primary on one side, the other finds the new one on the other; clients reach both."""

    name = "split-brain"
    about = "primary and node 1 on one side, standbys and node 2 on the other, where a standby is promoted"
    linked = True
    crew: Crew | None = None

    async def torment(self, trial: ClusterTrial) -> None:
        """Repeatedly."""
        for _ in range(trial.plan.rounds):
            await trial.feed_through_links()
            await trial.progress()
            old = trial.database.primary
            trial.injured("split")
            since = monotonic()
            cut = [*trial.feeds.values(), trial.paths[1][old.name]]
            cut += [link for name, link in trial.paths[0].items() if name != old.name]
            for link in cut:
                link.cut()
            trial.history.event("primary lost", since=since)
            trial.able(1)
            await trial.do(trial.database.fail_over)
            await asyncio.sleep(FROZEN_S)  # both sides continue separately
            await trial.do(old.remove)
            for link in cut:
                link.mend()
            trial.able(2)
            await trial.do(trial.database.whole)


class Stormy(Plain):
    """An operator cancels the waits of all commits, repeatedly."""

    def __init__(self, name: str, function: str) -> None:
        self.name = name
        self.function = function
        self.about = f"{function} in a loop on every commit that waits, also while no standby can write"

    async def torment(self, trial: ClusterTrial) -> None:
        """Cancel during the whole trial, while the standbys are alternately running and stopped."""
        with Storm(trial.database.primary, self.function) as storm:
            for _ in range(trial.plan.rounds):
                await trial.progress()
                trial.injured("storm")
                async with frozen(trial):
                    await asyncio.sleep(STORM_S)  # commits wait, and PostgreSQL reports them as done
        trial.counts["waits ended by the storm"] += storm.hits
        if not storm.hits:
            trial.breach("no storm", "no commit was found waiting")


class NamesEmptied(Plain):
    """What Patroni does without its strict mode: the last standby is away, the primary is configured to continue alone, and
    then it is lost.
    """

    name = "names-emptied"
    about = "synchronous_standby_names emptied: while all servers run, and while the standbys are cut off; then the primary and its disk are lost"

    async def torment(self, trial: ClusterTrial) -> None:
        """All waiting commits are silently released, and their rows are on no standby and never will be."""
        for _ in range(trial.plan.rounds):
            await trial.feed_through_links()
            await trial.progress()
            trial.injured("emptied")
            await trial.do(trial.database.empty_names)
            await must_refuse(trial)
            await trial.do(trial.database.require, trial.replicas)
            await trial.progress()
            for link in trial.feeds.values():
                link.cut()
            trial.able(0)
            await asyncio.sleep(GATHER_S)
            await trial.do(trial.database.empty_names)
            await asyncio.sleep(GATHER_S)  # time for wrong answers to the waiting calls
            await trial.lose_primary(trial.drop_what_links_hold)


class NamesReduced(Plain):
    """What Patroni does in strict mode when a standby is away: `synchronous_node_count` is lowered to those that are left, and
    commits return.
    """

    name = "names-reduced"
    about = "standbys are stopped, so that K-1 can write, and then PostgreSQL is configured to wait for only those: nothing may be answered"

    async def torment(self, trial: ClusterTrial) -> None:
        """Repeatedly."""
        for _ in range(trial.plan.rounds):
            await trial.progress()
            trial.injured("reduced")
            async with frozen(trial, 3 - trial.replicas):
                await trial.do(trial.database.require, trial.replicas - 1)
                await asyncio.sleep(FROZEN_S)  # time for answers that are too early
            await trial.do(trial.database.require, trial.replicas)


async def must_refuse(trial: ClusterTrial, within_s: float = REFUSED_WITHIN_S) -> None:
    """With too few standbys a node must refuse with `not_replicated`, and must not be ready."""
    seen = len(trial.history.calls)
    try:
        async with asyncio.timeout(within_s):
            while not any(call.code == "not_replicated" for call in trial.history.calls[seen:]):  # noqa: ASYNC110  (a history can't be waited for by code)
                await asyncio.sleep(0.05)
    except TimeoutError:
        trial.breach("not refused", f"no call was refused with not_replicated within {within_s:.0f} s")
