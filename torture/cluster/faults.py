"""What is done to PostgreSQL: machines lost, stopped and cut off, commits cancelled, settings changed under load."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Protocol

from torture.cluster.database import Storm
from torture.cluster.node import COMMIT_TIMEOUT_MS
from torture.cluster.trial import ClusterTrial

FROZEN_S = COMMIT_TIMEOUT_MS / 1000 + 0.7  # some commits are abandoned meanwhile
REFUSED_WITHIN_S = 12.0
STORM_S = 1.0
GATHER_S = 0.5  # commits start waiting


class ClusterFault(Protocol):
    """One way to break a cluster; `linked` if the nodes' paths to PostgreSQL have to be cut."""

    name: str
    about: str
    linked: bool

    async def torment(self, trial: ClusterTrial) -> None:
        """Hurt it `trial.plan.rounds` times; the load is on."""
        ...


class Plain:
    """Most faults cut no path of a node."""

    linked = False


@asynccontextmanager
async def frozen(trial: ClusterTrial, many: int = 2) -> AsyncIterator[None]:
    """So many standbys are stopped: what reaches them waits in their sockets, and nothing of it is written."""
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
    """No fault but the loss of the primary with which every trial ends."""

    name = "calm"
    about = "no fault but the failover at the end"

    async def torment(self, trial: ClusterTrial) -> None:
        """Only load."""
        for _ in range(trial.plan.rounds):
            await trial.progress()


class KillPrimary(Plain):
    """The machine of the primary burns down."""

    name = "kill-primary"
    about = "kill -9 of the primary, its disk thrown away; the standby that the promise rests on is promoted"

    async def torment(self, trial: ClusterTrial) -> None:
        """Again and again, each time another one."""
        for _ in range(trial.plan.rounds):
            await trial.progress()
            trial.injured("killed", which="primary")
            await trial.lose_primary()


class PausePrimary(Plain):
    """The primary is suspended, another is promoted, and then the old one continues as if nothing had happened."""

    name = "pause-primary"
    about = "SIGSTOP of the primary, failover, SIGCONT while the nodes may still be connected to it; then it is made anew"

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
            await asyncio.sleep(1.0)  # time to answer wrongly, if a node would
            await trial.do(old.remove)
            trial.able(2)
            await trial.do(trial.database.whole)


class StallPrimary(Plain):
    """The primary is suspended for longer than a commit is waited for, and continues; no failover."""

    name = "stall-primary"
    about = f"SIGSTOP of the primary for {FROZEN_S:.1f} s, then SIGCONT, without a failover: commits are given up, and it goes on by itself"

    async def torment(self, trial: ClusterTrial) -> None:
        """Again and again."""
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
        """Again and again."""
        for _ in range(trial.plan.rounds):
            await trial.progress()
            standby = trial.rng.choice(trial.database.standbys)
            trial.injured("killed", which=standby.name)
            await trial.do(standby.kill)
            trial.able(1)
            if trial.replicas == 1:
                await trial.progress()  # it goes on
            else:
                await must_refuse(trial)
            trial.able(2)
            await trial.do(standby.start)
            await trial.do(trial.database.wait_streaming)


class PauseStandby(Plain):
    """A standby stops for longer than a commit is waited for."""

    name = "pause-standby"
    about = f"SIGSTOP of one standby for {FROZEN_S:.1f} s: goes on with K=1, unknown or refused with K=2"

    async def torment(self, trial: ClusterTrial) -> None:
        """Again and again."""
        for _ in range(trial.plan.rounds):
            await trial.progress()
            trial.injured("paused", which="standby")
            async with frozen(trial, 1):
                await asyncio.sleep(FROZEN_S)  # the pause is the fault


class FreezeStandbys(Plain):
    """All standbys are suspended: every commit waits, and some are abandoned."""

    name = "freeze-standbys"
    about = f"SIGSTOP of both standbys for {FROZEN_S:.1f} s, longer than a commit is waited for"

    async def torment(self, trial: ClusterTrial) -> None:
        """Again and again."""
        for _ in range(trial.plan.rounds):
            await trial.progress()
            trial.injured("paused", which="standbys")
            async with frozen(trial):
                await asyncio.sleep(FROZEN_S)  # the pause is the fault


class NoStandbys(Plain):
    """All standbys are gone with K in force."""

    name = "no-standbys"
    about = "kill -9 of both standbys: refused with not_replicated, and well again by itself when they are back"

    async def torment(self, trial: ClusterTrial) -> None:
        """Again and again."""
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
    """The network between the primary and its standbys is cut; the nodes see all of them."""

    name = "isolate-primary"
    about = "the paths between primary and standbys are cut: refused, and well again by itself when they are mended"

    async def torment(self, trial: ClusterTrial) -> None:
        """Again and again."""
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

    async def torment(self, trial: ClusterTrial) -> None:
        """Again and again."""
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
            await asyncio.sleep(FROZEN_S)  # both sides go on by themselves
            await trial.do(old.remove)
            for link in cut:
                link.mend()
            trial.able(2)
            await trial.do(trial.database.whole)


class Stormy(Plain):
    """Somebody ends the waits of all commits, again and again."""

    def __init__(self, name: str, function: str) -> None:
        self.name = name
        self.function = function
        self.about = f"{function} in a loop on every commit that waits, also while no standby can write"

    async def torment(self, trial: ClusterTrial) -> None:
        """A storm over the whole time, with calm and frozen spells."""
        with Storm(trial.database.primary, self.function) as storm:
            for _ in range(trial.plan.rounds):
                await trial.progress()
                trial.injured("storm")
                async with frozen(trial):
                    await asyncio.sleep(STORM_S)  # commits gather, and are reported as done
        trial.counts["waits ended by the storm"] += storm.hits
        if not storm.hits:
            trial.breach("no storm", "no commit was found waiting")


class NamesEmptied(Plain):
    """What Patroni does without its strict mode: the last standby is away, the primary is configured to continue alone, and
    then it is lost.
    """

    name = "names-emptied"
    about = "synchronous_standby_names emptied: while all is well, and while the standbys are cut off, after which the primary and its disk are lost"

    async def torment(self, trial: ClusterTrial) -> None:
        """All waiting commits are silently released, and what they wrote is on no standby and never will be."""
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
            await asyncio.sleep(GATHER_S)  # time for answers to those who waited
            await trial.lose_primary(trial.drop_what_links_hold)


class NamesReduced(Plain):
    """What Patroni does with its strict mode when a standby is away: `synchronous_node_count` shrinks to those that are left, and commits return."""

    name = "names-reduced"
    about = "standbys are stopped, so that K-1 can write, and then commits are told to wait for no more than those: nothing may be answered"

    async def torment(self, trial: ClusterTrial) -> None:
        """Again and again."""
        for _ in range(trial.plan.rounds):
            await trial.progress()
            trial.injured("reduced")
            async with frozen(trial, 3 - trial.replicas):
                await trial.do(trial.database.require, trial.replicas - 1)
                await asyncio.sleep(FROZEN_S)  # time for answers that are too early
            await trial.do(trial.database.require, trial.replicas)


async def must_refuse(trial: ClusterTrial, within_s: float = REFUSED_WITHIN_S) -> None:
    """With too few standbys a node has to say so, with its code, and to be unready."""
    seen = len(trial.history.calls)
    try:
        async with asyncio.timeout(within_s):
            while not any(call.code == "not_replicated" for call in trial.history.calls[seen:]):  # noqa: ASYNC110  (a history can't be waited for by code)
                await asyncio.sleep(0.05)
    except TimeoutError:
        trial.breach("not refused", f"nobody was told not_replicated within {within_s:.0f} s")
