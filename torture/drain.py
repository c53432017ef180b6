"""The final drain: take every job out of a healed server, and record what is left.

A checker for losses means something only after a complete drain: a job that is merely late would look lost, and a job that can
never be claimed again would look stored. So the drain ends when the listing shows nothing waiting or leased, or gives up after
a bound and leaves the rest in the listing, where the liveness checker finds it.
"""

from __future__ import annotations

import time

from torture.client import Client, Json, value_of
from torture.history import OK, History
from torture.queues import FAR, QUEUES

GIVE_UP_AFTER_S = 30.0
PAGE = 1000
CLAIM = 1000


class DrainFailed(Exception):
    """The healed server refuses what a drain needs."""


async def drain(history: History, port: int) -> None:
    """Promote, claim and conclude until nothing is left; then record the listing as the event `listed`."""
    client = Client("drain", history, port, timeout_s=20.0)
    deadline = time.monotonic() + GIVE_UP_AFTER_S
    try:
        await promote_far(client)
        await close_batches(client)
        while time.monotonic() < deadline:
            await empty(client, deadline)
            if not await unfinished(client) and not await retry_dead_members(client):
                break
        history.event("drained")
        history.event("listed", jobs=[_final(job) for job in await listing(client)])
        history.event("batches", batches=[_batch(one) for one in await batches(client)])
    finally:
        client.close()


async def empty(client: Client, deadline: float) -> None:
    """Claim and conclude until two claims in a row find nothing."""
    nothing = 0
    while nothing < 2 and time.monotonic() < deadline:
        call = await client.claim(list(QUEUES), CLAIM, lease_ms=20_000, wait_ms=300)
        if not call.done:
            raise DrainFailed(f"claim answered {call.status} {call.code} {call.answer}")
        jobs = call.answer["jobs"]
        nothing = 0 if jobs else nothing + 1
        if jobs:
            await client.use_many([("conclude", job, {}) for job in jobs])


async def promote_far(client: Client) -> None:
    """Make the jobs ready that were delayed for longer than the run lasts."""
    for job in await listing(client, state="scheduled"):
        if FAR in value_of(job.get("payload")):
            await client.manage("promote", job["id"])


async def batches(client: Client) -> list[Json]:
    """Every batch."""
    found: list[Json] = []
    cursor = None
    while True:
        page = await client.batches(cursor)
        if page.outcome != OK:
            raise DrainFailed(f"the batches were answered {page.status} {page.code} {page.body}")
        found += page.body["batches"]
        cursor = page.body["next_cursor"]
        if not cursor:
            return found


async def close_batches(client: Client) -> None:
    """Let no batch wait for more members."""
    for batch in await batches(client):
        if batch["state"] == "open" and not (call := await client.end_batch("close", batch["id"])).done:
            raise DrainFailed(f"close of batch {batch['id']} answered {call.status} {call.code} {call.answer}")


async def retry_dead_members(client: Client) -> int:
    """Bring back the dead members of batches: a batch around one whose member is dead waits for its success still."""
    dead = [job for job in await listing(client, state="dead") if job.get("batch")]
    for job in dead:
        await client.manage("retry", job["id"])
    return len(dead)


async def unfinished(client: Client) -> list[Json]:
    """What is still scheduled, ready or leased."""
    states = ("leased", "scheduled", "ready")  # the direction in which jobs move: one that moves meanwhile is met again
    return [job for state in states for job in await listing(client, state=state)]


async def listing(client: Client, **filters: str) -> list[Json]:
    """Every job that matches, page by page."""
    jobs: list[Json] = []
    cursor = None
    while True:
        page = await client.page(PAGE, cursor, **filters)
        if page.outcome != OK:
            raise DrainFailed(f"listing answered {page.status} {page.code} {page.body}")
        jobs += page.body["jobs"]
        cursor = page.body["next_cursor"]
        if not cursor:
            return jobs


def _final(job: Json) -> Json:
    kept = {name: job[name] for name in ("id", "queue", "state", "attempt")}
    return {**kept, "value": value_of(job.get("payload"))}


def _batch(batch: Json) -> Json:
    return {name: batch[name] for name in ("id", "name", "state", "pending", "concluded", "dead", "cancelled")}
