"""Clients that wait: long polls and live channels, most of them idle, so that a job is granted in the commit that makes it ready.

They stand still before they read, hang up, close half of the connection, break a channel that keeps its jobs and come back, or not.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from torture.actors import Actor, Step, Worker
from torture.client import Client, Json
from torture.history import Call
from torture.queues import BRIEF_MS, LEASE_MS, WORKED

LONG_MS = 4_500  # longer than a job may stay ready while somebody waits for it (`checkers/waiting.py`)
_LOST = (OSError, WebSocketException, TimeoutError)


class Waiter(Worker):
    """Long polls."""

    def steps(self) -> list[tuple[int, Step]]:
        """Mostly good callers."""
        return [(12, self.wait), (3, self.hang_up), (1, self.close_half), (2, self.stand_still)]

    def _queues(self) -> list[str]:
        return self.rng.sample(WORKED, self.rng.randint(1, len(WORKED)))

    async def wait(self) -> None:
        """Wait, and end what comes."""
        request = self.fresh("request") if self.rng.random() < 0.3 else None
        queues, lease_ms = self._queues(), self.rng.randint(*LEASE_MS)
        call = await self.client.claim(queues, self.rng.randint(1, 3), lease_ms, self.rng.choice([300, LONG_MS]), request)
        for job in call.answer.get("jobs", []) if call.done else []:
            await self._end(job)

    async def hang_up(self) -> None:
        """Leave at any moment: what is granted just then is to come back."""
        claim = asyncio.ensure_future(self.client.claim(self._queues(), 1, LEASE_MS[0], LONG_MS))
        await asyncio.wait({claim}, timeout=self.rng.random() * 0.5)
        claim.cancel()
        with suppress(asyncio.CancelledError):
            call = await claim
            for job in call.answer.get("jobs", []) if call.done else []:
                await self._end(job)

    async def close_half(self) -> None:
        """Say that nothing more follows, and wait for the answer."""
        await self._late(LEASE_MS[1], 300, 0.0, half_closed=True)

    async def stand_still(self) -> None:
        """Ask, and do not look at the answer before the lease has ended, or just about."""
        lease_ms = self.rng.randint(*BRIEF_MS)
        await self._late(lease_ms, 300, lease_ms / 1000 * self.rng.choice([0.9, 2.0, 5.0]))

    async def _late(self, lease_ms: int, wait_ms: int, after_s: float, half_closed: bool = False) -> None:
        call = await self.client.claim_late(self._queues(), lease_ms, wait_ms, after_s, half_closed)
        for job in call.answer.get("jobs", []) if call.done else []:
            await self.client.use("conclude", job)


class ChannelUser(Actor):
    """A live channel after the other, with one job at a time. One that keeps its job goes on with it over HTTP when it has broken, or is dead."""

    client: Client

    def steps(self) -> list[tuple[int, Step]]:
        """One step: a channel, from its opening to its end."""
        return [(1, self.serve)]

    async def serve(self) -> None:
        """Take some jobs, and leave in one way or another."""
        try:
            url = f"ws://127.0.0.1:{self.client.wire.port}/v1/channel"
            line = await connect(url, proxy=None, compression=None, open_timeout=self.load.crew.timeout_s)
        except _LOST:
            self.client.wire.turn()
            await asyncio.sleep(self.load.crew.pause_s)  # it is away, and the harness has not noticed yet
            return
        channel = Channel(self, line, keeps=self.rng.random() < 0.6)
        ending = self.rng.choice(["close", "break", "break", "die"])
        with suppress(*_LOST):
            await channel.work(self.rng.randint(0, 8))
        job = channel.held
        stays = channel.keeps and channel.is_known and ending != "close"
        if job is not None and not stays:
            self.client.may_release(job)
        if ending == "close":
            with suppress(*_LOST):
                async with asyncio.timeout(self.load.crew.timeout_s):
                    await line.close()
        line.transport.abort()
        if job is None or not stays or ending == "die":
            return
        if (await self.client.use("extend", job, lease_ms=LEASE_MS[1])).done:
            await self.insist(lambda: self.client.use("conclude", job), tries=3)


class Channel:
    """One of them. `held`: the job that has come and was not ended; `is_known`: and the server has read that it did."""

    def __init__(self, user: ChannelUser, line: ClientConnection, keeps: bool) -> None:
        self.user, self.line, self.keeps = user, line, keeps
        self.held: Json | None = None
        self.is_known = False
        self._asked: dict[str, Any] = {
            "queues": user.rng.sample(WORKED, user.rng.randint(1, 3)),
            "lease_ms": user.rng.randint(*LEASE_MS),
        }

    async def work(self, jobs: int) -> None:
        """So many jobs, and one that is left as it is; or until there is none for a while."""
        claim = self._claim()
        more = {"worker": self.user.name, "on_break": "keep" if self.keeps else "release"}
        await self._say(op="start", credits=1, **self._asked, **more)
        for _ in range(jobs + 1):
            message = await self._hear("jobs", "error")
            if message["op"] == "error":
                return
            self.user.client.brought(claim, message["jobs"])
            (self.held,), self.is_known = claim.answer["jobs"], False
            if self.keeps:
                await self._say(op="got", delivery=message["delivery"])
                await self._say(op="ping", ref="got")
                await self._hear("pong")
                self.is_known = True
            if jobs > 0:
                claim = await self._conclude(self.held)
            jobs -= 1

    async def _conclude(self, job: Json) -> Call:
        client = self.user.client
        claim = self._claim()  # its credit is free from now on
        call = client.began("conclude", job)
        await self._say(op="batch", ref="end", conclude=[{"token": job["token"]}])
        (result,) = (await self._hear("results"))["conclude"]
        client.ended(call, result)
        self.held = None
        return claim

    def _claim(self) -> Call:
        return self.user.client.began_claim(self._asked["queues"], 1, self._asked["lease_ms"])

    async def _say(self, **message: Any) -> None:
        await self.line.send(json.dumps(message))

    async def _hear(self, *ops: str) -> Json:
        async with asyncio.timeout(self.user.load.crew.timeout_s):
            while True:
                message = json.loads(await self.line.recv())
                if message["op"] in ops:
                    return dict(message)
