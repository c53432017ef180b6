"""Real failover: three PostgreSQL nodes under Patroni with etcd, three Holdfast nodes and HAProxy, without any help.

Rounds: the primary's machine is lost (`kill -9` of Patroni and PostgreSQL), Patroni promotes a standby by itself, an empty node
replaces the lost one. At the end every job must be found on a cluster without the disks of the former primaries.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cluster import place
from cluster.programs import Missing
from cluster.whole import STANDBY, Cluster
from torture.checkers import Violation, check
from torture.client import Client
from torture.cluster.report import ClusterOutcome, outages, seen
from torture.drain import DrainFailed, drain
from torture.history import History
from torture.load import Crew, Load
from torture.queues import QUEUES
from torture.server import ServerTrouble

WITHIN_S = 90.0
LOOK_AGAIN_S = 0.2
CALLS = 400  # that are acknowledged between two losses
CREW = Crew(timeout_s=12.0, tries=400, pause_s=0.1)


async def run(seed: str, rounds: int, replicas: int = 1) -> ClusterOutcome:
    """So many losses of the primary, one after the other."""
    outcome = ClusterOutcome("patroni-failover", replicas)
    began = time.monotonic()
    work = Path(tempfile.mkdtemp(prefix="torture-patroni-"))
    work.chmod(0o755)  # PostgreSQL is another user  # noqa: ASYNC240
    history = History(work / "history.jsonl")
    try:
        cluster = Cluster(place.take(work / "cluster", 0), replicas, lambda _: None)
    except Missing as missing:
        outcome.skipped = str(missing)
        shutil.rmtree(work, ignore_errors=True)
        return outcome
    try:
        cluster.start()  # in this thread: its child processes end with the thread that started them
        await _trial(cluster, history, seed, rounds, outcome)
        outcome.violations += check(history)
    except (ServerTrouble, DrainFailed, TimeoutError, RuntimeError) as trouble:
        outcome.violations.append(Violation("P", "trouble", str(trouble)))
    finally:
        cluster.close()
        history.save()
    outcome.seconds = time.monotonic() - began
    outcome.counts += seen(history)
    outcome.outages = outages(history)
    if outcome.violations:
        shutil.rmtree(work / "cluster", ignore_errors=True)
        outcome.kept = str(work)
    else:
        shutil.rmtree(work, ignore_errors=True)
    return outcome


async def _trial(cluster: Cluster, history: History, seed: str, rounds: int, outcome: ClusterOutcome) -> None:
    ports = [cluster.place.ports[one.name] for one in cluster.holdfast]
    operator = Client("operator", history, ports[0])
    for queue, settings in QUEUES.items():
        if not (await operator.set_queue(queue, settings)).done:
            raise ServerTrouble(f"setting up {queue} was refused")
    operator.close()
    up = asyncio.Event()
    up.set()
    load = Load(seed, ports[0], history, up, CREW, tuple(ports[1:]), 1)
    load.start()
    try:
        for _ in range(rounds):
            await _acknowledged(history)
            since = time.monotonic()
            name = cluster.kill()
            history.event("primary lost", since=since)
            outcome.counts["injections"] += 1
            await _acknowledged(history)
            cluster.replace(name)
            await _until(lambda: _whole(cluster), "the cluster is not whole again")
    finally:
        await load.stop()
    history.event("healed")
    await drain(history, ports[0])


async def _acknowledged(history: History) -> None:
    try:
        await asyncio.wait_for(history.acknowledged(CALLS), WITHIN_S)
    except TimeoutError:
        raise ServerTrouble(f"fewer than {CALLS} calls acknowledged in {WITHIN_S:.0f} s") from None


def _whole(cluster: Cluster) -> bool:
    standbys = [one for one in cluster.members() if one["role"] in STANDBY and one["state"] == "streaming"]
    return len(standbys) == len(cluster.nodes) - 1


async def _until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not await asyncio.to_thread(true):
        if time.monotonic() > deadline:
            raise ServerTrouble(what)
        await asyncio.sleep(LOOK_AGAIN_S)
