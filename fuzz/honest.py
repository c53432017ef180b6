"""Honest callers: clients that do nothing wrong, beside the attack: they record each answer, and at the end every acknowledged
job must exist exactly once.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field

from torture.wire import Broken, NeverSent, Wire

PATIENCE_S = 15.0  # for one answer, on a busy machine
PAUSE_S = 0.05
QUEUES = ("honest-0", "honest-1")
TUBE = "honest-tube"


@dataclass(slots=True)
class Ledger:
    """The acknowledged jobs, by id: the payload, and whether the job was concluded (in a tube: deleted)."""

    jobs: dict[int, tuple[str, str, bool]] = field(default_factory=dict)  # queue, payload, concluded
    doubtful: set[str] = field(default_factory=set)  # payloads of calls without an answer
    waits_s: list[float] = field(default_factory=list)
    pushed: Counter[str] = field(default_factory=Counter)  # of each queue: numbers go on from one time to the next
    refused: int = 0
    wrong: list[str] = field(default_factory=list)

    def p99_ms(self) -> float:
        """The 99th percentile of the calls' times."""
        ordered = sorted(self.waits_s) or [0.0]
        return ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1000


async def over_http(port: int, queue: str, ledger: Ledger, ends: asyncio.Event) -> None:
    """Enqueue jobs, and lease and conclude one now and then."""
    wire = Wire(port, PATIENCE_S)
    while not ends.is_set():
        ledger.pushed[queue] += 1
        number = ledger.pushed[queue]
        payload = f"{queue}-{number}"
        pushed = await _asked(
            wire, ledger, "POST", f"/v1/queues/{queue}/jobs", {"payload": payload}, {"Idempotency-Key": payload}
        )
        if pushed is None:
            ledger.doubtful.add(payload)
        else:
            ledger.jobs[pushed["id"]] = (queue, payload, False)
        if number % 3 == 0:
            leased = await _asked(wire, ledger, "POST", "/v1/leases", {"queues": [queue], "lease_ms": 120_000})
            for job in (leased or {}).get("jobs", ()):
                if await _asked(wire, ledger, "POST", f"/v1/leases/{job['lease']['token']}/conclude", {}) is not None:
                    ledger.jobs[job["id"]] = (queue, job["payload"], True)
        await asyncio.sleep(PAUSE_S)
    wire.close()


async def _asked(
    wire: Wire, ledger: Ledger, method: str, path: str, body: dict, headers: dict[str, str] | None = None
) -> dict | None:
    for _ in range(3):
        began = time.monotonic()
        try:
            reply = await wire.request(method, path, json.dumps(body).encode(), headers)
        except (Broken, NeverSent) as error:
            ledger.wrong.append(f"{method} {path} of an honest caller: {error}")
            return None
        finally:
            ledger.waits_s.append(time.monotonic() - began)
        if reply.status < 300:
            return json.loads(reply.body)
        if reply.status not in (503, 507):
            ledger.wrong.append(f"{method} {path} of an honest caller: {reply.status} {reply.body[:200]!r}")
            return None
        ledger.refused += 1
        await asyncio.sleep(0.5)
    return None


async def over_tubes(port: int, ledger: Ledger, ends: asyncio.Event) -> None:
    """Put jobs, and reserve and delete one now and then."""
    wire = Wire(port, PATIENCE_S)
    await wire.exchange(f"use {TUBE}\r\nwatch {TUBE}\r\nignore default\r\n".encode(), lambda reader: _lines(reader, 3))
    while not ends.is_set():
        ledger.pushed[TUBE] += 1
        number = ledger.pushed[TUBE]
        payload = f"tube-{number}"
        began = time.monotonic()
        try:
            (reply,) = await wire.exchange(
                f"put 0 0 120 {len(payload)}\r\n{payload}\r\n".encode(), lambda reader: _lines(reader, 1)
            )
            if reply.startswith(b"INSERTED"):
                ledger.jobs[int(reply.split()[1])] = (TUBE, payload, False)
            else:
                ledger.refused += 1
            if number % 3 == 0:
                reply, _ = await wire.exchange(b"reserve-with-timeout 5\r\n", lambda reader: _lines(reader, 2))
                job = int(reply.split()[1])
                await wire.exchange(b"delete %d\r\n" % job, lambda reader: _lines(reader, 1))
                del ledger.jobs[job]
        except (Broken, NeverSent, ValueError, IndexError) as error:
            ledger.wrong.append(f"an honest client of beanstalkd: {error!r}")
            return
        ledger.waits_s.append(time.monotonic() - began)
        await asyncio.sleep(PAUSE_S)
    wire.close()


async def _lines(reader: asyncio.StreamReader, count: int) -> list[bytes]:
    return [await reader.readuntil(b"\r\n") for _ in range(count)]


async def missing(port: int, ledger: Ledger, meddled: set[int]) -> list[str]:
    """Differences from what was acknowledged. Jobs that a case has named are left out: the case may have ended them."""
    found = {queue: await _listed(port, queue) for queue in (*QUEUES, TUBE)}
    there = {job["id"]: job for jobs in found.values() for job in jobs}
    wrong = []
    for number, (queue, payload, concluded) in ledger.jobs.items():
        job = there.get(number)
        if number in meddled:
            continue
        if job is None:
            wrong.append(f"job {number} of {queue} was acknowledged and does not exist")
        elif concluded and job["state"] != "concluded":
            wrong.append(f"job {number} of {queue} was concluded and is {job['state']}")
        elif job["queue"] != queue or (queue != TUBE and job["payload"] != payload):
            wrong.append(f"job {number} of {queue} differs from what was enqueued: {str(job)[:200]}")
    for queue, jobs in found.items():
        payloads = [str(job.get("payload", job.get("payload_base64"))) for job in jobs]
        if len(set(payloads)) != len(payloads):
            wrong.append(f"a job of {queue} exists twice")
        unknown = [job["id"] for job in jobs if job["id"] not in ledger.jobs and str(job.get("payload")) not in ledger.doubtful]
        if queue != TUBE and unknown:
            wrong.append(f"jobs of {queue} that no client enqueued: {unknown[:5]}")
    return wrong


async def _listed(port: int, queue: str) -> list[dict]:
    wire, jobs, cursor = Wire(port, 60.0), [], ""
    while True:
        reply = await wire.request("GET", f"/v1/jobs?queue={queue}&limit=1000{cursor}")
        page = json.loads(reply.body)
        jobs += page["jobs"]
        if not page["next_cursor"]:
            wire.close()
            return jobs
        cursor = f"&cursor={page['next_cursor']}"
