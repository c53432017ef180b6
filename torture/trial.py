"""One trial: an empty store, a load, one kind of fault repeatedly, then healing, draining and checking.

    settle ─▶ load on ─▶ fault.torment(trial) ─▶ load off ─▶ heal ─▶ drain ─▶ stop ─▶ check
                              ▲      │
                              └──────┘  `rounds` times: wait for progress, inject, check the reaction, restart

A fault waits for progress (a number of acknowledged calls), never for a time, unless the time is the fault.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from cluster.ports import free_port
from torture.actors import TubeUser
from torture.checkers import Violation, check
from torture.client import Client
from torture.drain import DrainFailed, drain
from torture.history import History
from torture.load import Crew, Load
from torture.queues import BUDGETS, QUEUES
from torture.server import Server, ServerTrouble
from torture.tubes import TTR_MS

PROGRESS_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How hard: injections per trial, and acknowledged calls between two of them (least, most)."""

    rounds: int
    calls: tuple[int, int]


@dataclass(slots=True)
class Trial:
    """What a fault can use. `work` has history and logs; `home` the store, perhaps on a file system of its own."""

    fault: str
    seed: str
    plan: Plan
    work: Path
    home: Path
    env: dict[str, str] = field(default_factory=dict)
    crew: Crew = field(default_factory=Crew)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    history: History = field(init=False)
    server: Server = field(init=False)
    rng: Random = field(init=False)
    tube_port: int = field(init=False)
    up: asyncio.Event = field(init=False)
    loads: int = 0
    client_port: int = 0  # where the load connects: the server itself unless a fault is in between

    def __post_init__(self) -> None:
        self.history = History(self.work / "history.jsonl")
        self.tube_port = free_port()
        env = {**self.env, "HOLDFAST_BEANSTALK": f"127.0.0.1:{self.tube_port}"}
        self.server = Server(self.home, self.work / "server.log", env)
        self.rng = Random(f"{self.seed}/{self.fault}")
        self.up = asyncio.Event()

    # -------------------------------------------------------------------------------------- for use by faults

    async def progress(self, least: int | None = None) -> None:
        """Wait until some more calls were acknowledged; how many is random unless given."""
        more = least or self.rng.randint(*self.plan.calls)
        try:
            await asyncio.wait_for(self.history.acknowledged(more), PROGRESS_WITHIN_S)
        except TimeoutError:
            raise ServerTrouble(f"fewer than {more} calls acknowledged in {PROGRESS_WITHIN_S:.0f} s") from None

    async def start(self, *wrapper: str) -> bool:
        """Start the server, and let the load use it. With a `wrapper` it may end before it is ready: returns False then."""
        started = await self.server.start(wrapper)
        self.history.event("ready" if started else "ended early")
        if not started and not wrapper:
            raise ServerTrouble(f"does not start: {self.server.last_words()}")
        if started:
            self.up.set()
        return started

    def injured(self, kind: str, **details: object) -> None:
        """Record one injection; from now on the load waits for the next start."""
        self.counts["injections"] += 1
        self.history.event(kind, **details)

    async def lost(self) -> None:
        """The server is going down: stop the load, and wait until all its processes have ended."""
        self.up.clear()
        await self.server.kill_all()

    def breach(self, kind: str, text: str) -> None:
        """Record a broken rule that is visible in the server's processes, not in the history."""
        self.violations.append(Violation("P", kind, text))

    # ------------------------------------------------------------------------------------ the parts of a trial

    @asynccontextmanager
    async def load(self) -> AsyncIterator[Load]:
        """The crew at work, for as long as the block lasts."""
        self.loads += 1
        port = self.client_port or self.server.port
        load = Load(self.seed, port, self.history, self.up, self.crew, tube_port=self.tube_port, number=self.loads)
        load.start()
        try:
            yield load
        finally:
            await load.stop()

    async def settle(self) -> None:
        """Create the queues, before they are used."""
        client = Client("operator", self.history, self.server.port)
        for queue, settings in QUEUES.items():
            # Workers over HTTP give the length of a lease; beanstalkd clients get the queue's, unless one of them put the job.
            call = await client.set_queue(queue, {**settings, "lease_ms": TTR_MS})
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
        """Start the server again without a fault, drain it completely, and stop it."""
        await self.lost()
        await self.start()
        self.history.event("healed")
        await drain(self.history, self.server.port)
        self.server.signal(signal.SIGTERM, self.server.front)
        code = await self.server.ended()
        if code != 0:
            self.breach("unclean exit", f"SIGTERM at rest ended with exit code {code}")

    async def close(self) -> None:
        """End all processes; the files stay."""
        await self.server.kill_all()
        self.history.save()


async def run(trial: Trial, torment: Callable[[Trial], Awaitable[None]]) -> None:
    """The whole trial. Trouble with the server is a finding, not an error of the harness."""
    try:
        await trial.start()
        await trial.settle()
        await torment(trial)
        await trial.heal()
        trial.violations += await asyncio.to_thread(check, trial.history)  # other trials run meanwhile
    except (ServerTrouble, DrainFailed) as trouble:
        trial.breach("trouble", str(trouble))  # without a drain the checkers can't tell what is stored
    finally:
        trial.counts.update(_seen(trial.history))
        await trial.close()


def _seen(history: History) -> Counter[str]:
    """What the run consisted of: a checker without input proves nothing."""
    counts: Counter[str] = Counter()
    digest = history.digest
    for call in history.calls:
        counts["calls"] += 1
        counts[{"ok": "acknowledged", "fail": "refused", "info": "unknown"}[call.outcome]] += 1
        counts[f"refused: {call.code}"] += call.outcome == "fail"
        counts["through tubes"] += call.done and call.client.startswith(TubeUser.__name__.lower())
        counts["repeats by key"] += bool(call.answer.get("duplicate"))
    counts["jobs"] = len(digest.acknowledged)
    counts["leases"] = len(digest.leases)
    counts["starts by budgets"] = sum("budgets" in digest.submitted.get(one.value, {}) for one in digest.leases.values())
    counts["starts in turn"] = sum("fair_key" in digest.submitted.get(one.value, {}) for one in digest.leases.values())
    counts["batches"] = sum(call.verb == "batch" and call.done for call in history.calls)
    counts["closing jobs"] = sum(bool(digest.jobs_of.get(value)) for value in digest.promised)
    counts["expired"] = sum(
        job["state"] == "cancelled" and "expires_in_ms" in digest.submitted.get(job["value"], {})
        for job in digest.listed.values()
    )
    counts["recovered"] = sum(1 for value in digest.seen if value not in digest.acknowledged)
    return counts
