"""Clients of what holds jobs back and brings them together: budgets that are scarce, batches that are nested and grow, deadlines that pass,
and tenants that share a queue.

A producer makes such jobs, a worker ends them in every way and blocks accounts; that it keeps a job for a moment makes units scarce.
"""

from __future__ import annotations

import asyncio
from typing import Any

from torture.actors import Actor, Step
from torture.client import Json
from torture.queues import BUDGET_KEYS, FAR_MS, FLOWN, LEASE_MS

CLOSING = ("on_success", "on_finish", "on_failure")
MOST_OPEN, DEEPEST = 6, 4
RUSH = 12
SMALL = 5  # tenants
REST_S = 0.03  # a producer's, at most: deadlines pass and rates refill while nothing happens


class FlowProducer(Actor):
    """Makes jobs with budgets and deadlines, and batches."""

    def __init__(self, name: str, load: Any) -> None:
        super().__init__(name, load)
        self.open: dict[int, int] = {}  # the batches that take jobs still, and how deep each is nested

    def steps(self) -> list[tuple[int, Step]]:
        """Batches of all kinds, and what is added to them."""
        return [
            (12, self.paid),
            (12, self.batch),
            (8, self.join),
            (3, self.close),
            (1, self.cancel),
            (5, self.timed),
            (16, self.share),
        ]

    async def rest(self) -> None:
        """A little."""
        await asyncio.sleep(self.rng.random() * REST_S)

    async def paid(self) -> None:
        """Some jobs that pay from one account or from two, or a rush of those of one."""
        if self.rng.random() < 0.3:
            same = self._budgets()
            await self.client.submit([self.job("paid", budgets=same) for _ in range(RUSH)])
            return
        await self.client.submit([self.job("paid", budgets=self._budgets()) for _ in range(self.rng.randint(1, 5))])

    async def batch(self) -> None:
        """A batch with some closing jobs, of which one may be a member of another batch."""
        closing = {on: self.job("closing", on) for on in CLOSING if self.rng.random() < 0.7}
        around, level = [number for number, deep in self.open.items() if deep < DEEPEST], 1
        if around and closing and self.rng.random() < 0.4:
            outer = closing[self.rng.choice(list(closing))]["batch"] = self.rng.choice(around)
            level += self.open[outer]
        closed = self.rng.random() < 0.5 or len(self.open) > MOST_OPEN
        members = [self.job("joined") for _ in range(self.rng.randint(0 if closed else 1, 5))]
        call = await self.client.make_batch(self.fresh("batch"), members, closed, closing)
        if call.done and not closed:
            self.open[call.answer["id"]] = level

    async def join(self) -> None:
        """More members for an open batch."""
        if self.open:
            number = self.rng.choice(list(self.open))
            await self.client.submit([self.job("joined", batch=number) for _ in range(self.rng.randint(1, 3))])

    async def close(self) -> None:
        """Close one; if the answer is lost it may be closed, and more members may be refused."""
        if self.open:
            await self.client.end_batch("close", self._taken())

    async def cancel(self) -> None:
        """Cancel one with all that waits in it."""
        if self.open:
            await self.client.end_batch("cancel", self._taken())

    async def timed(self) -> None:
        """Deadlines that pass soon, soon after the job is due, or long after the run."""
        far = self.rng.random() < 0.2
        more = {"delay_ms": self.rng.randint(5, 200)} if self.rng.random() < 0.4 else {}
        expires_in_ms = FAR_MS if far else self.rng.choice([1, 30, 100, 300])
        await self.client.submit([self.job("timed", "lasting" if far else "timed", expires_in_ms=expires_in_ms, **more)])

    async def share(self) -> None:
        """Many jobs of the large tenant, or one of a small one."""
        if self.rng.random() < 0.3:
            await self.client.submit([self.job("shared", fair_key="large") for _ in range(RUSH)])
        else:
            await self.client.submit([self.job("shared", fair_key=f"small-{self.rng.randrange(SMALL)}")])

    def _taken(self) -> int:
        number = self.rng.choice(list(self.open))
        del self.open[number]
        return number

    def _budgets(self) -> list[Json]:
        names = self.rng.choice([["few"], ["rate"], ["few", "rate"]])
        return [{"name": name, "cost": self.rng.choice([1, 1, 2])} | self.rng.choice(BUDGET_KEYS) for name in names]


class FlowWorker(Actor):
    """Keeps what it gets for a moment, and ends it in one way or another."""

    async def run_jobs(self) -> None:
        """Some jobs, one after the other."""
        queues = ["closing", *self.rng.sample(FLOWN, self.rng.randint(1, len(FLOWN)))]  # whatever is put too soon is seen
        queues = list(dict.fromkeys(queues))
        request = self.fresh("request") if self.rng.random() < 0.4 else None
        most, lease_ms, wait_ms = self.rng.randint(1, 6), self.rng.randint(*LEASE_MS), self.rng.choice([0, 50, 150])
        call = await self.client.claim(queues, most, lease_ms, wait_ms, request)
        jobs = call.answer.get("jobs", []) if call.done else []
        if jobs and self.rng.random() < 0.5:
            await asyncio.sleep(self.rng.random() * 0.02)  # this is its work
        for job in jobs:
            await self._end(job)

    def steps(self) -> list[tuple[int, Step]]:
        """A worker has only one step."""
        return [(1, self.run_jobs)]

    async def _end(self, job: Json) -> None:
        verb = self.rng.choices(["conclude", "release", "fail", "die", "extend", "abandon"], [70, 7, 8, 6, 5, 4])[0]
        options: Json = {}
        if verb == "abandon":
            return
        if verb == "extend":
            await self.client.use("extend", job, lease_ms=LEASE_MS[1])
            verb = "conclude"
        if verb in ("release", "fail") and job.get("budgets") and self.rng.random() < 0.5:
            charge = self.rng.choice(job["budgets"])
            key = {"key": charge["key"]} if charge.get("key") else {}
            options["block"] = {"budget": charge["name"], **key, "for_ms": self.rng.choice([40, 150])}
        if verb in ("fail", "die"):
            options |= {"reason": "torture", "retry": verb == "fail"}
        if verb == "conclude" and job.get("batch") and self.rng.random() < 0.15:
            options["then"] = [self.job("joined", "grown", batch=job["batch"])]
        elif job.get("batch") and self.rng.random() < 0.05:
            await self.client.submit([self.job("joined", "grown", batch=job["batch"])], lease=job["token"])
        wanted = "fail" if verb == "die" else verb
        call = await self.insist(lambda: self.client.use(wanted, job, **options), tries=3)
        if verb == "die" and call.done and self.rng.random() < 0.5:
            await self.client.manage("retry", job["id"])
