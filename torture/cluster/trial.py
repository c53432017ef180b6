"""One trial on many machines: as in `torture/trial.py`, with interchangeable servers.

start ─▶ settle ─▶ load on ─▶ torment ─▶ the primary and its disk are lost ─▶ load off ─▶ heal ─▶ repeat what is unknown ─▶ drain ─▶ check
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

from torture.checkers import Violation, check
from torture.client import Client, ready
from torture.cluster.database import Database
from torture.cluster.links import Link
from torture.cluster.node import Node
from torture.drain import DrainFailed, drain
from torture.history import Call, History
from torture.load import Crew, Load
from torture.queues import BUDGETS, QUEUES
from torture.server import ServerTrouble
from torture.trial import Plan

NODES = 2
PROGRESS_WITHIN_S = 40.0
READY_WITHIN_S = 30.0
LOOK_AGAIN_S = 0.05
ASK_AGAIN = 40


@dataclass(slots=True)
class ClusterTrial:
    """What a fault can use. With `linked`, every path between a node and a server of PostgreSQL can be cut."""

    fault: str
    seed: str
    plan: Plan
    work: Path
    replicas: int = 1
    linked: bool = False
    env: dict[str, str] = field(default_factory=dict)
    crew: Crew = field(default_factory=lambda: Crew(timeout_s=7.0, tries=100, pause_s=0.15))
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    loads: int = 0
    paths: list[dict[str, Link]] = field(default_factory=list)  # by node: its links by the name of the server
    feeds: dict[str, Link] = field(default_factory=dict)  # by the name of the standby: its link to the primary
    history: History = field(init=False)
    database: Database = field(init=False)
    rng: Random = field(init=False)
    up: asyncio.Event = field(init=False)

    def __post_init__(self) -> None:
        self.history = History(self.work / "history.jsonl")
        self.rng = Random(f"{self.seed}/{self.fault}")
        self.up = asyncio.Event()
        self.up.set()
        self.database = Database(self.work / "postgres", self.replicas)

    # -------------------------------------------------------------------------------------- for use by faults

    async def progress(self, least: int | None = None) -> None:
        """Wait until some more calls were acknowledged; how many is random unless given."""
        more = least or self.rng.randint(*self.plan.calls)
        try:
            await asyncio.wait_for(self.history.acknowledged(more), PROGRESS_WITHIN_S)
        except TimeoutError:
            raise ServerTrouble(f"fewer than {more} calls acknowledged in {PROGRESS_WITHIN_S:.0f} s") from None

    def injured(self, kind: str, **details: object) -> None:
        """Note one injection."""
        self.counts["injections"] += 1
        self.history.event(kind, **details)

    def able(self, standbys: int) -> None:
        """Record how many standbys can write from now on: before that number grows, and after it has shrunk."""
        self.history.event("copies", able=standbys, needed=self.replicas)

    def breach(self, kind: str, text: str) -> None:
        """Record a broken rule that is not visible in the calls."""
        self.violations.append(Violation("P", kind, text))

    async def do(self, call: Callable[..., Any], *values: object) -> Any:
        """Run a blocking call in a thread, while the load continues."""
        return await asyncio.to_thread(call, *values)

    async def fail_over(self) -> None:
        """Promote the heir of a lost primary, and replace the lost servers by fresh ones."""
        self.able(1)  # of the two others one is the primary now
        old = await self.do(self.database.fail_over)
        if old.running:
            await self.do(old.kill)
        await self.do(old.remove)
        self.able(2)  # soon, at an unknown time
        await self.do(self.database.whole)

    def drop_what_links_hold(self) -> None:
        """Drop the bytes that wait in the links to the standbys; from now on these forward again."""
        for link in self.feeds.values():
            link.sever()
            link.mend()

    async def lose_primary(self, then: Callable[[], None] = lambda: None) -> None:
        """`kill -9` of the primary, and its disk is deleted. `then` is called after that, for what else is lost with it."""
        since = monotonic()
        await self.do(self.database.primary.remove)
        then()
        self.history.event("primary lost", since=since)
        await self.fail_over()

    # ------------------------------------------------------------------------------------ the parts of a trial

    async def start(self) -> None:
        """Start PostgreSQL, then all nodes at once."""
        self.work.chmod(0o755)
        await self.do(self.database.start)
        for number in range(NODES):
            self.paths.append({one.name: await Link(one.port, self.rng).start() for one in self.database.servers})
            node = Node(
                self.work, self.work / f"node{number + 1}.log", self.env, store=self._store(number), replicas=self.replicas
            )
            self.nodes.append(node)
        for one in self.database.servers:
            self.feeds[one.name] = await Link(self.database.primary.port, self.rng).start()
        await asyncio.gather(*map(self.start_node, self.nodes))
        self.able(2)

    async def start_node(self, node: Node) -> None:
        """Start a node and wait until it is ready."""
        if not await node.start():
            raise ServerTrouble(f"a node does not start: {node.last_words()}")

    def _store(self, number: int) -> str:
        ports = (
            [link.port for link in self.paths[number].values()] if self.linked else [one.port for one in self.database.servers]
        )
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        return f"postgresql://holdfast@{hosts}/holdfast?target_session_attrs=read-write"

    async def feed_through_links(self) -> None:
        """Let the standbys stream from the primary over links that can be cut."""
        for standby in self.database.standbys:
            link = self.feeds[standby.name]
            link.target = self.database.primary.port
            origin = f"host=127.0.0.1 port={link.port} user=replicator application_name={standby.name} connect_timeout=3"
            await self.do(lambda one=standby, info=origin: one.configure(primary_conninfo=info))
        await self.do(self.database.wait_streaming)

    @asynccontextmanager
    async def load(self) -> AsyncIterator[Load]:
        """The crew at work on all nodes, for as long as the block lasts."""
        async with self.second_load(tuple(node.port for node in self.nodes)) as load:
            yield load

    @asynccontextmanager
    async def second_load(self, ports: tuple[int, ...]) -> AsyncIterator[Load]:
        """A group of clients that uses these ports."""
        self.loads += 1
        load = Load(self.seed, ports[0], self.history, self.up, self.crew, ports[1:], self.loads)
        load.start()
        try:
            yield load
        finally:
            await load.stop()

    async def settle(self) -> None:
        """Create the queues, before they are used."""
        client = Client("operator", self.history, self.nodes[0].port)
        for queue, settings in QUEUES.items():
            call = await client.set_queue(queue, settings)
            if not call.done:
                raise ServerTrouble(f"setting up {queue} was answered {call.status} {call.code} {call.answer}")
        for budget, policy in BUDGETS.items():
            call = await client.set_budget(budget, policy)
            if not call.done:  # a server that answers before its commit does not find it yet
                call = await client.set_budget(budget, policy)
            if not call.done:
                raise ServerTrouble(f"setting up the budget {budget} was answered {call.status} {call.code} {call.answer}")
        client.close()

    async def heal(self) -> None:
        """Start and connect everything again; every node must notice that by itself."""
        for link in (*self.feeds.values(), *(link for paths in self.paths for link in paths.values())):
            link.swallow = 0.0
            link.mend()
        self.able(2)
        await self.do(self.database.whole)
        for node in self.nodes:
            node.signal(signal.SIGCONT)
            if not node.pids():
                await self.start_node(node)
            await self.ready(node)
        self.history.event("healed")

    async def ready(self, node: Node) -> None:
        """Wait until the node accepts new jobs."""
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                while not await ready(node.port):  # noqa: ASYNC110  (it is another process)
                    await asyncio.sleep(LOOK_AGAIN_S)
        except TimeoutError:
            raise ServerTrouble(f"a node is not ready {READY_WITHIN_S:.0f} s after everything was repaired") from None

    async def repeat_unknown(self) -> None:
        """Repeat every call with a key whose outcome is still unknown, as a client would to resolve it."""
        calls: dict[str, list[Call]] = defaultdict(list)
        for call in self.history.calls:
            if call.verb == "submit" and call.asked["key"]:
                calls[call.asked["key"]].append(call)
        unknown = [
            key for key, tries in calls.items() if not any(one.done for one in tries) and any(one.maybe_done for one in tries)
        ]
        client = Client("resolver", self.history, self.nodes[0].port, timeout_s=10.0)
        for key in unknown:
            jobs = [_asked_again(job) for job in calls[key][0].asked["jobs"]]
            for _ in range(ASK_AGAIN):
                if (await client.submit(jobs, key)).outcome != "info":
                    break
        client.close()

    async def end(self) -> None:
        """Stop every node: without load each must exit with 0."""
        for node in self.nodes:
            node.signal(signal.SIGTERM, node.front)
            code = await node.ended()
            if code != 0:
                self.breach("unclean exit", f"SIGTERM at rest ended with exit code {code}")

    async def close(self) -> None:
        """End all processes; the files stay."""
        for node in self.nodes:
            await node.kill_all()
        for link in (*self.feeds.values(), *(link for paths in self.paths for link in paths.values())):
            link.close()
        await self.do(self.database.close)
        self.history.save()


def _asked_again(job: dict[str, Any]) -> dict[str, Any]:
    """The job as it was sent, from the history."""
    return {
        "queue": job["queue"],
        "payload": {"v": job["value"]},
        **{k: v for k, v in job.items() if k not in ("queue", "value")},
    }


async def run(trial: ClusterTrial, torment: Callable[[ClusterTrial], Awaitable[None]]) -> None:
    """The whole trial. Trouble with the servers is a finding, not an error of the harness."""
    try:
        await trial.start()
        await trial.settle()
        async with trial.load():
            await torment(trial)
            await trial.progress()
            await trial.lose_primary()
            await trial.progress()
        await trial.heal()
        await trial.repeat_unknown()
        await drain(trial.history, trial.nodes[0].port)
        await trial.end()
        trial.violations += await asyncio.to_thread(check, trial.history)
    except (ServerTrouble, DrainFailed, TimeoutError) as trouble:
        trial.breach("trouble", str(trouble))
    finally:
        await trial.close()
