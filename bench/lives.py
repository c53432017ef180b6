"""What flow control costs the committer alone: a life with a budget, in a batch, in a fair queue against one with nothing of it.

`python -m bench.lives`: one process, a store in a file, no HTTP and no frames. The variants take turns, so that a noisy spell of the machine touches
all of them, and CPU time is measured, not the clock on the wall. On a busy machine that is noisy, too: then the least of many short turns says most.
"""

import asyncio
import cProfile
import logging
import pstats
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from holdfast.clock import SystemClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.job.budget import Charge
from holdfast.job.job import Extras, NewJob
from holdfast.job.queue import QueuePolicy, QueueSettings
from holdfast.logs import structlog
from holdfast.messages.budget_commands import SetBudget
from holdfast.messages.commands import ConcludeLease, Enqueue, LeaseJobs, SetQueue
from holdfast.messages.frame import Command
from holdfast.messages.job_batches import MakeJobBatch
from holdfast.stores.sqlite.store import SqliteStore

PAYLOAD = b"x" * 200
FAIR_KEYS = 1_000
CALLERS = 5  # that enqueue, and as many that lease, and that conclude, in one transaction
HUNDRED = 100


class Lives:
    """A store with its committer, and what the jobs of each variant have."""

    def __init__(self, backend: LocalBackend) -> None:
        self.backend = backend
        self.number = 0
        self.batch = 0

    async def do(self, *commands: Command[Any]) -> list[Any]:
        """All of them in one transaction."""
        futures = [self.backend.submit(command) for command in commands]
        return [await future for future in futures]

    async def prepare(self) -> None:
        """What the variants name."""
        await self.do(SetBudget("rate", 1_000_000, 1_000, 1_000_000), SetBudget("held", 1_000_000))
        await self.do(SetQueue("fair", QueueSettings(fair=True), whole=False))
        (made,) = await self.do(MakeJobBatch([]))
        self.batch = made.id

    def job(self, variant: str) -> NewJob:
        """A new job, decoded anew as each request's is."""
        self.number += 1
        queue = "fair" if variant == "fair" else "plain"
        match variant:
            case "rate" | "held":
                extras = Extras(budgets=(Charge(variant),))
            case "batch":
                extras = Extras(batch=self.batch)
            case "fair":
                extras = Extras(fair_key=f"k{self.number % FAIR_KEYS}")
            case _:
                return NewJob(queue, PAYLOAD)
        return NewJob(queue, PAYLOAD, extras=extras)

    async def many(self, variant: str, count: int) -> None:
        """Callers each of whom does one thing at a time: some enqueue, some lease and some conclude in each transaction."""
        queue = (self.job(variant).queue,)
        ready, leased = 0, []
        for _ in range(count // CALLERS):
            ends = [ConcludeLease(job.ref()) for job in leased]
            takes = [LeaseJobs(queue, 1, "w")] * min(CALLERS, ready)
            news = [Enqueue([self.job(variant)]) for _ in range(CALLERS)]
            results = await self.do(*news, *takes, *ends)
            leased = [one.job for granted in results[len(news) : len(news) + len(takes)] for one in granted.jobs]
            ready += len(news) - len(leased)
        await self._rest(queue, leased)

    async def alone(self, variant: str, count: int) -> None:
        """Each command in a transaction of its own."""
        for _ in range(count):
            await self.do(Enqueue([job := self.job(variant)]))
            ((granted,),) = [one.jobs for one in await self.do(LeaseJobs((job.queue,), 1, "w"))]
            await self.do(ConcludeLease(granted.job.ref()))

    async def hundreds(self, variant: str, count: int) -> None:
        """A hundred in each command."""
        for _ in range(count // HUNDRED):
            jobs = [self.job(variant) for _ in range(HUNDRED)]
            await self.do(Enqueue(jobs))
            (granted,) = await self.do(LeaseJobs((jobs[0].queue,), HUNDRED, "w"))
            await self.do(*[ConcludeLease(one.job.ref()) for one in granted.jobs])

    async def _rest(self, queue: tuple[str, ...], leased: Iterable[Any]) -> None:
        await self.do(*[ConcludeLease(job.ref()) for job in leased])
        while found := (await self.do(LeaseJobs(queue, HUNDRED, "w")))[0].jobs:
            await self.do(*[ConcludeLease(one.job.ref()) for one in found])


VARIANTS = ("plain", "rate", "held", "batch", "fair")
WAYS = {"many": 50, "hundreds": 200, "alone": 10}
"""How many lives each turn has: short turns, so that some fall between two noisy spells."""


async def measure(folder: Path, runs: int, ways: Iterable[str], variants: Iterable[str], profile: str) -> None:
    """Print the figures."""
    store = SqliteStore(folder / "jobs.db", QueuePolicy())
    backend = LocalBackend(store, SystemClock())
    backend.start()
    lives = Lives(backend)
    await lives.prepare()
    profiler = cProfile.Profile(time.process_time) if profile else None
    click.echo(
        "a life, committer CPU µs: least and median of the turns; how much more than a plain one: of the least, and the median of the rounds"
    )
    for way in ways:
        took: dict[str, list[float]] = {variant: [] for variant in variants}
        for run in range(-2, runs):
            for variant in variants:
                if profiler is not None and variant == profile and run >= 0:
                    profiler.enable()
                began = time.process_time()
                await getattr(lives, way)(variant, WAYS[way])
                spent = (time.process_time() - began) / WAYS[way] * 1e6
                if profiler is not None:
                    profiler.disable()
                if run >= 0:
                    took[variant].append(spent)
        for variant, found in took.items():
            least, median, plain = min(found), statistics.median(found), took["plain"]
            more = [one - other for one, other in zip(found, plain, strict=True)]
            click.echo(
                f"{way:9} {variant:6} {least:7.1f} {median:7.1f}   {least - min(plain):+6.1f} {statistics.median(more):+6.1f}"
            )
    await backend.stop()
    if profiler is not None:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(60)


@click.command()
@click.option("--runs", default=200, show_default=True, help="Rounds of each way.")
@click.option("--way", "ways", multiple=True, type=click.Choice(list(WAYS)), help="How the jobs come; all, if none is given.")
@click.option(
    "--variant", "variants", multiple=True, type=click.Choice(VARIANTS[1:]), help="What they have; all, if none is given."
)
@click.option("--profile", default="", help="Profile the runs of one variant.")
@click.option(
    "--disk",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the store is; the folder for temporary files, if not given.",
)
def main(runs: int, ways: tuple[str, ...], variants: tuple[str, ...], profile: str, disk: Path | None) -> None:
    """Measure what flow control costs the committer alone."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-lives-", dir=disk) as folder:
        asyncio.run(measure(Path(folder), runs, ways or tuple(WAYS), ("plain", *(variants or VARIANTS[1:])), profile))


if __name__ == "__main__":
    main()
