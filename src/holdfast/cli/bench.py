"""`holdfast bench`: how many jobs a second go through a server, and how long each call takes, as one client sees it.

Producers and workers are tasks of this process, with a connection each at most. Producers are never more than a few calls ahead of
the workers, so that what is measured is a server at work, and not one that fills up.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from holdfast import units
from holdfast.cli.context import REFUSED, addressed, confirmed, examples, refusals, refuse, show
from holdfast.cli.output import tell
from holdfast.cli.profiles import Profile
from holdfast.cli.tables import lined_up
from holdfast.cli.trial import for_option, own_queue, prefix_option, run_trial, with_one_refusal
from holdfast.client import AsyncClient, Client, NewJob
from holdfast.client.embedded import embedded
from holdfast.client.types import Conclude, Durability, Job
from holdfast.errors import HoldfastError
from holdfast.limits import BULK_JOBS
from holdfast.units import counted

_AHEAD = 4  # calls
_WAIT_MS = 500
_LONGEST_MS = 600_000
_BUSY_CPU = 0.8  # of a core: then it is this client that can't go faster
_DEADLINE_S = 30.0


class Load(NamedTuple):
    """How much there is of what."""

    seconds: float
    producers: int
    workers: int
    batch: int
    payload_bytes: int


class Times:
    """How long the calls of one kind took, and how many jobs they were about."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.jobs = 0

    def add(self, since: float, jobs: int) -> None:
        """One call, which began then."""
        self.seconds.append(time.perf_counter() - since)
        self.jobs += jobs

    def told(self, seconds: float) -> dict[str, Any]:
        """The rate and the percentiles."""
        found = sorted(self.seconds)
        shares = {"p50_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}
        return {"jobs": self.jobs, "jobs_per_s": round(self.jobs / seconds, 1)} | {
            name: round(1_000 * found[min(len(found) - 1, int(share * len(found)))], 2) if found else None
            for name, share in shares.items()
        }


class Bench:
    """One run over one queue."""

    def __init__(self, client: AsyncClient, queue: str, load: Load) -> None:
        self._client = client
        self._queue = queue
        self._load = load
        self._payload = "x" * max(0, load.payload_bytes - 2)  # with its quotation marks
        self._room = asyncio.Semaphore(_AHEAD * load.batch * max(load.producers, load.workers))
        self._left = 0  # enqueued and not concluded yet
        self._producing = load.producers
        self.durability = Durability("")
        self.times = {"enqueue": Times(), "lease": Times(), "conclude": Times()}

    async def run(self) -> float:
        """Until the time is up and all jobs are concluded; how long that took."""
        began = time.perf_counter()
        producers = [self._produce(began + self._load.seconds) for _ in range(self._load.producers)]
        async with asyncio.TaskGroup() as tasks:
            for each in [*producers, *(self._work() for _ in range(self._load.workers))]:
                tasks.create_task(each)
        return time.perf_counter() - began

    async def _produce(self, until: float) -> None:
        while time.perf_counter() < until:
            for _ in range(self._load.batch):
                await self._room.acquire()
            since = time.perf_counter()
            if self._load.batch == 1:
                self.durability = (await self._client.enqueue(self._queue, self._payload)).durability
            else:
                jobs = [NewJob(queue=self._queue, payload=self._payload) for _ in range(self._load.batch)]
                await self._client.enqueue_many(jobs)
            self.times["enqueue"].add(since, self._load.batch)
            self._left += self._load.batch
        self._producing -= 1

    async def _work(self) -> None:
        wait_ms = 0
        while self._producing or self._left > 0:
            since = time.perf_counter()
            jobs = await self._client.lease(self._queue, max=self._load.batch, wait_ms=wait_ms)
            if jobs and not wait_ms:  # one that waited for a job says nothing of the server
                self.times["lease"].add(since, len(jobs))
            wait_ms = 0 if jobs else _WAIT_MS
            if jobs:
                await self._conclude(jobs)

    async def _conclude(self, jobs: Sequence[Job]) -> None:
        tokens = [job.lease.token for job in jobs if job.lease is not None]
        since = time.perf_counter()
        if len(tokens) == 1:
            await self._client.conclude(tokens[0])
        else:
            for outcome in await self._client.batch([Conclude(token=token) for token in tokens]):
                if isinstance(outcome, HoldfastError):
                    raise outcome
        self.times["conclude"].add(since, len(tokens))
        self._left -= len(tokens)
        for _ in tokens:
            self._room.release()


async def _measured(place: Profile, load: Load, prefix: str) -> dict[str, Any]:
    async with AsyncClient(**place._asdict(), deadline_s=_DEADLINE_S) as client:
        said = await client.stats()
        async with own_queue(client, prefix, {"retention_ms": 0}, lambda: False) as queue:
            bench = Bench(client, queue, load)
            cpu = time.process_time()
            seconds = await with_one_refusal(bench.run())
            cpu = (time.process_time() - cpu) / seconds
    durability = bench.durability if load.batch == 1 else msgspec.convert(said["store"]["durability"], Durability)
    return {
        "url": client.nodes.current,
        "version": said["version"],
        "durability": durability,
        **load._asdict(),
        "seconds": round(seconds, 2),
        "client_cpu": round(cpu, 2),
        **{name: times.told(seconds) for name, times in bench.times.items()},
    }


def _in_words(found: dict[str, Any]) -> str:
    """The numbers, and what they are worth."""
    kept = found["durability"]
    level = kept.level + (f" ({counted(kept.replicas, 'replica')})" if kept.replicas else "")
    columns: Any = {
        "CALL": lambda name: name,
        "JOBS/S": lambda name: f"{found[name]['jobs_per_s']:,.0f}",
        "P50": lambda name: _ms(found[name]["p50_ms"]),
        "P99": lambda name: _ms(found[name]["p99_ms"]),
        "MAX": lambda name: _ms(found[name]["max_ms"]),
    }
    lines = [
        f"Holdfast {found['version']} at {found['url']}, durability: {level}",
        (
            f"{counted(found['producers'], 'producer')} and {counted(found['workers'], 'worker')}, {counted(found['batch'], 'job')} a call, "
            f"payloads of {units.size(found['payload_bytes'])}, {found['seconds']:.1f}s"
        ),
        "",
        *lined_up(["enqueue", "lease", "conclude"], columns),
        "",
        f"{counted(found['conclude']['jobs'], 'job')} went through. This client used {found['client_cpu']:.0%} of a core"
        + ("; it may be what is at its limit: try --batch, or several at once." if found["client_cpu"] > _BUSY_CPU else "."),
    ]
    return "\n".join(lines)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}ms"


def _agreed(place: Profile, load: Load, yes: bool) -> bool:
    """Ask, where others would feel it."""
    with Client(**place._asdict(), deadline_s=_DEADLINE_S) as client:
        said = client.stats()
    leased, rate = said["jobs"]["leased"], said["rates"].get("enqueued", 0.0)
    if not leased and rate < 1:
        return True
    busy = f"which is at work ({counted(leased, 'job')} leased, {rate:.0f} enqueued a second)"
    return confirmed(f"load this server, {busy}, for {load.seconds:g}s", yes, dry_run=False)


@click.command(
    epilog=examples("holdfast bench --start", "holdfast bench --for 30s --batch 100", "holdfast bench --json | jq .enqueue")
)
@for_option(_LONGEST_MS, "10m")
@click.option("--producers", type=click.IntRange(1, 256), default=4, show_default=True, help="How many enqueue at once.")
@click.option(
    "--workers", type=click.IntRange(1, 256), default=4, show_default=True, help="How many lease and conclude at once."
)
@click.option("--batch", type=click.IntRange(1, BULK_JOBS), default=1, show_default=True, help="Jobs of one call.")
@click.option("--payload", default="100", show_default=True, help="Size of a payload, such as 4KiB.")
@click.option(
    "--start", is_flag=True, help="Measure a server that is started for it, with a store in a new folder below this one."
)
@prefix_option("holdfast-bench")
@click.option("--yes", is_flag=True, help="Do not ask, even if the server is at work.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@addressed
def bench(place: Profile, for_ms: int, payload: str, start: bool, prefix: str, yes: bool, as_json: bool, **load: int) -> None:
    """Measure a server: how many jobs a second go through it, and how long each call takes.

    It enqueues, leases and concludes jobs in a queue of its own, which it removes. The server's other queues share the disk with it. What it measures is
    the server with one client in Python on this machine: it says how much of a core that used.
    """
    try:
        wanted = Load(for_ms / 1_000, payload_bytes=units.size_bytes(payload), **load)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--payload") from None
    with refusals(), ExitStack() as started:
        if start:
            try:
                folder = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=".")))
                place = Profile(started.enter_context(embedded(folder / "jobs.db", set_url=False)).url)
            except OSError as error:
                refuse(f"this folder can't be written: {error.strerror}", REFUSED)
            except RuntimeError as error:
                refuse(str(error), REFUSED)
        elif not _agreed(place, wanted, yes):
            return
        tell(f"holdfast: measuring for {wanted.seconds:g}s")
        found = run_trial(_measured(place, wanted, prefix))
        show(found, as_json, _in_words(found))
