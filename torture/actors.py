"""The clients of a load: producers, workers, slow workers, beanstalkd clients and an observer, each with a seed of its own.

A client that finds no server waits for the harness to signal that it is up again; it never polls, so the history stays small.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, Any

from torture.client import Client, Json
from torture.history import Call
from torture.queues import BRIEF_MS, FAR_MS, LEASE_MS, WORKED
from torture.tubes import TTR_MS, TubeClient

if TYPE_CHECKING:
    from torture.load import Load

Step = Callable[[], Awaitable[Any]]
TUBES = ("wide", "narrow", "brief")


class Actor:
    """One client of the crew: repeatedly chooses a random step and does it."""

    def __init__(self, name: str, load: Load) -> None:
        self.name = name
        self.load = load
        self.rng = Random(f"{load.seed}/{name}")
        self._made = 0
        self.client = self.connected()

    def connected(self) -> Any:
        """Its connection: here HTTP, to any of the servers."""
        ports = (self.load.port, *self.load.others)
        first = self.rng.randrange(len(ports))
        others = ports[first + 1 :] + ports[:first]
        return Client(self.name, self.load.history, ports[first], self.load.crew.timeout_s, others)

    def steps(self) -> list[tuple[int, Step]]:
        """What this kind of client does, each with its weight."""
        raise NotImplementedError

    async def run(self) -> None:
        """Work until the load is stopped."""
        weights, steps = zip(*self.steps(), strict=True)
        try:
            while not self.load.stopping:
                await self.load.up.wait()
                await self.rng.choices(steps, weights)[0]()
                await self.rest()
                if self.client.unreachable or self.client.turned_away:
                    await asyncio.sleep(
                        self.load.crew.pause_s
                    )  # it ended and the harness has not noticed yet, or it answered that it is unavailable
        finally:
            self.client.close()

    async def rest(self) -> None:
        """Between two steps."""

    def fresh(self, kind: str) -> str:
        """A value (or key) that no one else uses in this run."""
        self._made += 1
        return f"{self.name}/{kind}-{self._made}"

    def job(self, queue: str, kind: str = "job", **more: Any) -> Json:
        """A job with a unique value."""
        return {"queue": queue, "payload": {"v": self.fresh(kind)}, **more}

    async def insist(self, attempt: Callable[[], Awaitable[Call]], tries: int | None = None) -> Call:
        """Repeat a call with an unknown outcome, as a careful client would; a later 503 says nothing about the first try."""
        call = await attempt()
        unknown = call.outcome == "info"
        left = self.load.crew.tries if tries is None else tries
        while (call.outcome == "info" or call.code == "never_sent" or (unknown and call.status == 503)) and left > 0:
            if self.load.stopping:
                break
            await self.load.up.wait()
            await asyncio.sleep(self.load.crew.pause_s)  # as above
            call = await attempt()
            unknown |= call.outcome == "info"
            left -= 1
        return call


class Producer(Actor):
    """Enqueues in every way of the API, and sometimes removes a job."""

    def __init__(self, name: str, load: Load) -> None:
        super().__init__(name, load)
        self.mine: list[int] = []
        self.keyed: list[tuple[str, list[Json]]] = []

    def steps(self) -> list[tuple[int, Step]]:
        """Mostly plain enqueues; the others are those that servers often get wrong."""
        return [
            (30, self.one),
            (15, self.one_with_a_key),
            (10, self.many),
            (6, self.many_with_a_key),
            (18, self.push_the_narrow_queue),
            (10, self.a_unique_one),
            (8, self.a_delayed_one),
            (4, self.an_old_key_again),
            (1, self.an_old_key_for_something_else),
            (3, self.take_one_back),
        ]

    async def rest(self) -> None:
        """As long as the crew's producers do: this is what makes the others wait."""
        if self.load.crew.rest_s:
            await asyncio.sleep(self.rng.random() * self.load.crew.rest_s)

    async def one(self) -> None:
        """One job; if the queue is full, wait a little for room."""
        queue = self.rng.choice(["wide", "wide", "brief"])
        call = await self.client.submit([self.job(queue)], wait_ms=self.rng.choice([0, 0, 100]))
        self._remember(call)

    async def one_with_a_key(self) -> None:
        """One job under an idempotency key, repeated until its outcome is known."""
        await self._keyed([self.job("wide")])

    async def many(self) -> None:
        """A bulk over two queues: all or nothing."""
        call = await self.client.submit([self.job(self.rng.choice(["wide", "brief"])) for _ in range(self.rng.randint(2, 20))])
        self._remember(call)

    async def many_with_a_key(self) -> None:
        """A bulk with one key and with jobs for the narrow queue, so that it is often refused as a whole."""
        queues = self.rng.choice([["wide"], ["wide", "narrow"]])
        await self._keyed([self.job(self.rng.choice(queues)) for _ in range(self.rng.randint(2, 8))])

    async def push_the_narrow_queue(self) -> None:
        """More than its capacity."""
        await self.client.submit([self.job("narrow") for _ in range(self.rng.choice([1, 1, 1, 3]))])

    async def a_unique_one(self) -> None:
        """A job with one of few unique keys, so that most are refused."""
        await self.client.submit([self.job("single", unique_key=f"u{self.rng.randrange(8)}")])

    async def a_delayed_one(self) -> None:
        """A job that is ready later; sometimes only after the end of the run."""
        far = self.rng.random() < 0.1
        more = {"max_attempts": 2} if self.rng.random() < 0.3 else {}
        more |= {"delay_ms": FAR_MS if far else self.rng.randint(5, 400)}
        self._remember(await self.client.submit([self.job("wide", "far" if far else "soon", **more)]))

    async def an_old_key_again(self) -> None:
        """Repeat a request with its key: it must get the first answer, whatever happened to the server since."""
        if self.keyed:
            key, jobs = self.rng.choice(self.keyed)
            await self.client.submit(jobs, key)

    async def an_old_key_for_something_else(self) -> None:
        """Another request with a used key: it must be refused, and its job must not exist."""
        if self.keyed:
            key, jobs = self.rng.choice(self.keyed)
            await self.client.submit([self.job(job["queue"]) for job in jobs], key)

    async def take_one_back(self) -> None:
        """Cancel or delete one of the last jobs, unless it is leased."""
        if self.mine:
            await self.client.manage(self.rng.choice(["cancel", "delete"]), self.mine.pop())

    async def _keyed(self, jobs: list[Json]) -> None:
        key = self.fresh("key")
        call = await self.insist(lambda: self.client.submit(jobs, key))
        if call.done:
            self.keyed = [*self.keyed[-50:], (key, jobs)]
        self._remember(call)

    def _remember(self, call: Call) -> None:
        self.mine = [*self.mine[-100:], *call.answer.get("ids", [])] if call.done else self.mine


class Worker(Actor):
    """Leases jobs, and ends the leases in every way of the API."""

    async def run_jobs(self) -> None:
        """Lease jobs, then end each by itself or all in one batch."""
        queues = self.rng.sample(WORKED, self.rng.randint(1, len(WORKED)))
        request = self.fresh("request") if self.rng.random() < 0.6 else None
        most, lease_ms, wait_ms = self.rng.randint(1, 12), self.rng.randint(*LEASE_MS), self.rng.choice([0, 0, 150])

        def claim() -> Awaitable[Call]:
            return self.client.claim(queues, most, lease_ms, wait_ms, request)

        call = await (self.insist(claim) if request else claim())
        jobs = call.answer.get("jobs", []) if call.done else []
        if request and jobs and self.rng.random() < 0.1:
            await claim()  # the same request while the leases last: the same jobs again
        if len(jobs) > 1 and self.rng.random() < 0.4:
            await self.client.use_many([self._draw(job) for job in jobs])
        else:
            for job in jobs:
                await self._end(job)

    def steps(self) -> list[tuple[int, Step]]:
        """A worker has only one step."""
        return [(1, self.run_jobs)]

    def _draw(self, job: Json) -> tuple[str, Json, Json]:
        verb = self.rng.choices(["conclude", "fail", "release", "extend"], [75, 10, 8, 7])[0]
        if verb == "fail":
            return verb, job, {"reason": "torture", "retry": self.rng.random() < 0.8}
        return verb, job, {"lease_ms": LEASE_MS[1]} if verb == "extend" else {}

    async def _end(self, job: Json) -> None:
        chance = self.rng.random()
        if chance < 0.03:
            return  # abandons it: the lease has to expire
        verb, _, options = self._draw(job)
        if verb == "conclude" and chance < 0.1:
            options = {"then": [{"queue": "wide", "payload": {"v": self.fresh("then")}}]}
        call = await self.insist(lambda: self.client.use(verb, job, **options), tries=3)
        if verb == "extend" and call.done:
            await self.insist(lambda: self.client.use("conclude", job), tries=3)


class SlowWorker(Actor):
    """Holds a lease for longer than it lasts and then continues as if nothing had happened."""

    def steps(self) -> list[tuple[int, Step]]:
        """Mostly too late, sometimes just in time: both sides of the edge."""
        return [(1, self.dawdle), (1, self.overtake)]

    async def dawdle(self) -> None:
        """Lease for a short time, work for about as long or longer, then use the token."""
        lease_ms = self.rng.randint(*BRIEF_MS)
        call = await self.client.claim(["brief"], self.rng.randint(1, 3), lease_ms, wait_ms=100)
        if not call.done or not call.answer["jobs"]:
            return
        await asyncio.sleep(lease_ms / 1000 * self.rng.choice([0.9, 1.05, 1.5, 2.5]))  # this is the slow work itself
        for job in call.answer["jobs"]:
            verb = self.rng.choices(["conclude", "fail", "release", "extend"], [6, 1, 1, 2])[0]
            options = {"lease_ms": BRIEF_MS[1]} if verb == "extend" else {"reason": "late"} if verb == "fail" else {}
            await self.client.use(verb, job, **options)

    async def overtake(self) -> None:
        """Take a job, lose it, take it again, and use the first token while the second one is valid.

        A server that goes by the job's id is detected here. Among ordinary workers that is rare, the more so the faster the
        server is: an expired job is taken and concluded before the late token arrives.
        """
        lease_ms = self.rng.randint(*BRIEF_MS)
        await self.client.submit([self.job("passed", "passed")])
        first = await self.client.claim(["passed"], 3, lease_ms, wait_ms=0)
        await asyncio.sleep(lease_ms / 1000 * 1.1)
        second = await self.client.claim(["passed"], 3, LEASE_MS[0], wait_ms=100)
        for call in (first, second):
            for job in call.answer.get("jobs", []) if call.done else []:
                await self.client.use("conclude", job)


class TubeUser(Actor):
    """Producer and worker in beanstalkd's protocol, on the same queues as the HTTP clients."""

    client: TubeClient

    def connected(self) -> TubeClient:
        """A connection to the beanstalkd door."""
        return TubeClient(self.name, self.load.history, self.load.tube_port, self.load.crew.timeout_s, TUBES)

    def steps(self) -> list[tuple[int, Step]]:
        """It puts about as many jobs as it ends."""
        return [(4, self.put), (5, self.work)]

    async def put(self) -> None:
        """One job, sometimes delayed, sometimes into a full tube."""
        tube = self.rng.choice(["wide", "wide", "wide", "narrow"])
        job = {"queue": tube, "payload": {"v": self.fresh("job")}}
        await self.client.put(tube, job, delay_s=int(self.rng.random() < 0.05))

    async def work(self) -> None:
        """Reserve a job and end it in every way of the protocol, including a disconnect."""
        claimed = await self.client.reserve(wait_s=int(self.rng.random() < 0.1))
        for held in claimed.answer.get("jobs", []) if claimed.done else []:
            call = await self._end(held, until=claimed.begun + TTR_MS / 1000)
            if call and not call.done and call.code != "lease_lost" and self.client.wire.open:
                self.client.hang_up(held)  # the job was not ended, and this connection still has it reserved

    async def _end(self, held: Json, until: float) -> Call | None:
        verb = self.rng.choices(["delete", "release", "bury", "touch", "hang up"], [70, 8, 8, 7, 7])[0]
        if verb == "hang up":
            self.client.hang_up(held)
            return None
        if verb == "release":
            return await self.client.release(held)
        if verb == "bury":
            call = await self.client.bury(held)
            if call.done and self.rng.random() < 0.8:
                await self.client.kick(held["id"])
            return call
        if verb == "touch":
            call = await self.client.touch(held)
            if not call.done:
                return call
            until = call.begun + TTR_MS / 1000
        return await self.client.delete(held, until)


class Observer(Actor):
    """Polls the size of the bounded queue."""

    def steps(self) -> list[tuple[int, Step]]:
        """An observer has only one step."""
        return [(1, self.look)]

    async def look(self) -> None:
        """One poll, then a pause, so that polling is not the load."""
        await self.client.count("narrow")
        await asyncio.sleep(0.05)
