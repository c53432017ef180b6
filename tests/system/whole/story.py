"""A story in real processes: a hundred tenants, one of them with very many jobs; calls within a rate; a batch that ends with a mail; and `kill -9` of the server
and of a worker in the middle of it.

`python -m tests.system.whole.story --jobs 1000000` plays the whole of it; `--store URL` on PostgreSQL.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.ports import free_port
from holdfast import Client, NewJob, Worker
from holdfast.client.budgets import Charge
from holdfast.client.types import Counts, Job
from tests.system.whole.servers import LOOK_S, Server

ROOT = Path(__file__).parents[3]
TENANTS = 100
OF_A_SMALL_ONE = 10
WORKERS = 3
RATE, BURST = 100, 20  # calls a second, and how many are saved up
QUEUES = ("mail", "calls", "parts", "work")
LEASE_MS = 4_000  # so soon the jobs of a killed worker are ready again
CHUNK = 1_000


@dataclass(frozen=True)
class Size:
    """How many jobs there are: of the large tenant, of the batch, and calls."""

    large: int = 1_000_000
    parts: int = 10_000
    calls: int = 10_000
    within_s: float = 3_600.0

    @property
    def all(self) -> dict[str, int]:
        """By queue."""
        return {"work": self.large + (TENANTS - 1) * OF_A_SMALL_ONE, "parts": self.parts, "calls": self.calls, "mail": 1}


class Story:
    """One play of it. `fair`: whether the tenants share the workers fairly, by their keys."""

    def __init__(self, size: Size, server: Server, port: int, fair: bool = False) -> None:
        self.size, self.server, self.fair = size, server, fair
        self.url = f"http://127.0.0.1:{port}"
        self.workers: list[subprocess.Popen[bytes]] = []

    def play(self) -> list[str]:
        """All of it; what turned out to be wrong."""
        with Client(self.url) as client:
            try:
                batch = self.begin(client)
                for _ in range(WORKERS):
                    self.hire()
                self.until(client, 0.25)
                self.server.kill_all()
                self.server.gone()
                self.server.start()
                self.until(client, 0.5)
                self.workers[0].kill()
                self.hire()
                self.until(client, 1.0)
            finally:
                self.dismiss()
            return self.wrong(client, batch)

    def begin(self, client: Client) -> int:
        """Everything is enqueued before anybody works; the id of the batch."""
        client.set_queue("work", capacity_jobs=10_000_000, lease_ms=LEASE_MS, fair=self.fair)
        client.set_budget("calls", RATE, per_ms=1_000, burst=BURST)
        for first in range(0, self.size.large, CHUNK):
            client.enqueue_many([self._work(0) for _ in range(min(CHUNK, self.size.large - first))])
        client.enqueue_many([self._work(tenant) for tenant in range(1, TENANTS) for _ in range(OF_A_SMALL_ONE)])
        client.enqueue_many([NewJob(queue="calls", budgets=[Charge("calls")]) for _ in range(self.size.calls)])
        with client.new_batch("parts", on_success=NewJob(queue="mail", payload="all parts are done")) as batch:
            for _ in range(self.size.parts):
                batch.add("parts")
        assert batch.id is not None
        return batch.id

    def _work(self, tenant: int) -> NewJob:
        return NewJob(queue="work", tags=["small"] if tenant else ["large"], payload=tenant, fair_key=f"tenant-{tenant}")

    def hire(self) -> None:
        """One more worker, a process of its own."""
        command = [sys.executable, "-m", "tests.system.whole.story", "--work", self.url]
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        self.workers.append(subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def dismiss(self) -> None:
        """All workers end."""
        for worker in self.workers:
            worker.send_signal(signal.SIGKILL)
            worker.wait()

    def until(self, client: Client, share: float) -> None:
        """Wait until so much of it is concluded."""
        deadline = time.monotonic() + self.size.within_s
        wanted = share * sum(self.size.all.values())
        while sum(self.concluded(client).values()) < wanted:
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {self.size.within_s:.0f} s: {self.concluded(client)} of {self.size.all}")
            time.sleep(20 * LOOK_S)

    def concluded(self, client: Client) -> dict[str, int]:
        """By queue."""
        there = {queue.name: queue.jobs.concluded for queue in client.queues()}
        return {name: there.get(name, 0) for name in QUEUES}

    # What has to be so in the end

    def wrong(self, client: Client, batch: int) -> list[str]:
        """Every promise that was broken."""
        found = []
        for queue in client.queues():
            unlike = {state: count for state, count in vars_of(queue.jobs).items() if state != "concluded" and count}
            if queue.name in self.size.all and (queue.jobs.concluded != self.size.all[queue.name] or unlike):
                found.append(
                    f"{queue.name} has {queue.jobs.concluded} concluded jobs of {self.size.all[queue.name]}, and {unlike}"
                )
        mails = list(client.jobs(queue="mail"))
        if len(mails) != 1:
            found.append(f"{len(mails)} mails")
        shown = client.batch_status(batch)
        if (shown.state, shown.concluded, shown.dead, shown.cancelled) != ("finished", self.size.parts, 0, 0):
            found.append(f"the batch is {shown}")
        found += overdrawn([moment(job) for job in client.jobs(queue="calls", page=CHUNK)])
        if self.fair:
            found += self.starved(client)
        return found

    def starved(self, client: Client) -> list[str]:
        """Whether the small tenants had to wait for the large one: of those that start first, about every other is one of theirs at least."""
        small = sorted(moment(job) for job in client.jobs(queue="work", tag="small", page=CHUNK))
        before = sum(moment(job) < small[-1] for job in client.jobs(queue="work", tag="large", page=CHUNK))
        return [f"{before} jobs of the large tenant were before the last of the small ones"] if before > 2 * len(small) else []


def vars_of(counts: Counts) -> dict[str, int]:
    """The counts of a queue by state."""
    return {name: getattr(counts, name) for name in ("scheduled", "ready", "leased", "concluded", "dead", "cancelled")}


def moment(job: Job) -> int:
    """When it was leased, in milliseconds of the server's clock."""
    assert job.leased_at is not None, "it was"
    return round(job.leased_at.timestamp() * 1000)


def overdrawn(starts: Sequence[float]) -> list[str]:
    """Whether in some time t more than `BURST` + `RATE` × t started."""
    least = None
    for number, start in enumerate(sorted(starts)):
        saved = number - RATE * start / 1000
        least = saved if least is None else min(least, saved)
        if saved - least + 1 > BURST + 1e-6:
            return [f"the budget is overdrawn at {start}: {saved - least + 1:.2f} of {BURST}"]
    return []


def work(url: str) -> None:
    """Be a worker, until the end."""
    worker = Worker(QUEUES, url=url, concurrency=32, prefetch=32, lease_ms=LEASE_MS)

    @worker.handler()
    async def _(_job: object) -> None:
        """Nothing to do."""

    worker.run()


def main() -> None:
    """The whole story, or a worker of it."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--work", metavar="URL")
    asked.add_argument("--jobs", type=int, default=1_000_000)
    asked.add_argument("--store", metavar="URL")
    asked.add_argument("--unfair", action="store_true")
    given = asked.parse_args()
    if given.work:
        work(given.work)
        return
    with tempfile.TemporaryDirectory(prefix="holdfast-story-") as folder:
        port = free_port()
        store = ("--store", given.store) if given.store else ()
        server = Server(Path(folder) / "home", "--port", str(port), *store, fresh=True).start()
        began = time.monotonic()
        try:
            found = Story(Size(large=given.jobs), server, port, fair=not given.unfair).play()
        finally:
            server.destroy()
        sys.stdout.write("\n".join(found) or f"all as promised, in {time.monotonic() - began:.0f} s\n")
        sys.exit(bool(found))


if __name__ == "__main__":
    main()
