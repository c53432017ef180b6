"""What greedy callers do. Each repeats until it is cancelled, reconnects when it is disconnected, and uses nothing but public
ports.

The server may refuse them, let them wait or disconnect them, but its memory must not grow, and honest callers must not wait
long.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from torture.greed.wire import answer, ask, connected, frame, request, send_all, swallow, upgrade
from torture.server import ServerTrouble

MIB = 1 << 20
LARGE = b'"' + b"x" * (MIB - 2) + b'"'
BODY = 17 * MIB  # the largest body that a server takes by default
JOBS = 300
ALL_STATES = b'{"states":["ready","scheduled","dead","concluded","cancelled"]}'
CLEARED_WITHIN_S = 20
WIDE = 100


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the server is."""

    http: int
    tubes: int


async def prepare(at: Ports) -> None:
    """Prerequisites of some attacks: a queue of large jobs, a full queue, and an event that many queues want."""
    endless = b'{"max_attempts":1000,"max_crashes":1000,"retry":{"base_ms":0}}'  # else expired leases would make the jobs dead before the end
    await _each(at, [("PUT", "/v1/queues/greedy-large", endless)])
    large = ("POST", "/v1/queues/greedy-large/jobs", b'{"payload":%b,"lease_ms":600000}' % LARGE)
    await _each(at, [large] * JOBS)
    await _each(at, [("POST", "/v1/queues/greedy-full/jobs", b'{"payload":1}')] * 2)
    await _each(at, [("PUT", "/v1/queues/greedy-full", b'{"capacity_jobs":1}')])
    await _each(at, [("PUT", f"/v1/interests/greedy-wide-{n}", b'{"match":{"greedy":"wide"}}') for n in range(WIDE)])


async def clear(at: Ports) -> None:
    """Delete what the attacks left, so that the server can be drained."""
    left = json.loads((await ask(at.http, "GET", "/v1/queues?limit=1000"))[1])["queues"]
    names = [queue["name"] for queue in left if queue["name"].startswith(("greedy-", "honest-"))]
    deadline = time.monotonic() + CLEARED_WITHIN_S
    while names and time.monotonic() < deadline:  # leases of disconnected callers have to expire first
        await _each(at, [("DELETE", f"/v1/interests/{name}", b"") for name in names if "wide" in name])
        await _each(at, [("POST", f"/v1/queues/{name}/purge", ALL_STATES) for name in names])
        told = await _each(at, [("DELETE", f"/v1/queues/{name}", b"") for name in names])
        names = [name for name, status in zip(names, told, strict=True) if status >= 400]
        await asyncio.sleep(0.2)
    if names:
        raise ServerTrouble(f"queues can't be removed {CLEARED_WITHIN_S} s after the attack: {names[:5]}")


async def _each(at: Ports, requests: list[tuple[str, str, bytes]]) -> list[int]:
    """Send them one after the other on one connection; returns the statuses."""
    statuses = []
    async with connected(at.http) as (reader, writer):
        for asked in requests:
            writer.write(request(*asked))
            statuses.append((await answer(reader))[0])
    return statuses


async def pipelines(at: Ports) -> None:
    """Pipelined requests without end; every answer is read."""
    many = b"GET /v1/queues/greedy-full HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5_000
    async with connected(at.http) as (reader, writer):
        reading = asyncio.ensure_future(swallow(reader))
        try:
            while not reading.done():
                writer.write(many)
                await writer.drain()
        finally:
            reading.cancel()


async def listings(at: Ports) -> None:
    """Pages of jobs of 1 MiB, one after the other."""
    async with connected(at.http) as (reader, writer):
        while True:
            writer.write(request("GET", f"/v1/jobs?queue=greedy-large&limit={JOBS}"))
            await answer(reader)


async def unread_listings(at: Ports) -> None:
    """The same, requested repeatedly and never read."""
    async with connected(at.http) as (_, writer):
        writer.write(request("GET", f"/v1/jobs?queue=greedy-large&limit={JOBS}") * 8)
        await until_cut(writer)


async def fan_out(at: Ports) -> None:
    """An event of 1 MiB for hundreds of queues."""
    event = b'{"data":{"greedy":"wide","fill":"' + b"x" * (MIB - 128) + b'"}}'
    async with connected(at.http) as (reader, writer):
        while True:
            writer.write(request("POST", "/v1/publish", event))
            await answer(reader)


async def unfinished_bodies(at: Ports) -> None:
    """A body of the largest size whose last byte is never sent."""
    async with connected(at.http) as (_, writer):
        await send_all(writer, request("POST", "/v1/jobs", b"x" * (BODY - MIB), declared=BODY - 1))
        await until_cut(writer)


async def unfinished_small_bodies(at: Ports) -> None:
    """Many small bodies, none of them complete."""
    async with connected(at.http) as (_, writer):
        await send_all(writer, request("POST", "/v1/queues/greedy-small/jobs", b"x" * 250_000, declared=250_001))
        await until_cut(writer)


async def dripping_bodies(at: Ports) -> None:
    """A large body that is sent in very small pieces."""
    async with connected(at.http) as (_, writer):
        await send_all(writer, request("POST", "/v1/jobs", b"x" * (BODY // 2), declared=BODY - 1))
        while not writer.transport.is_closing():
            await asyncio.sleep(0.2)
            writer.write(b"x")


async def unfinished_forms(at: Ports) -> None:
    """A form of the page that does not end."""
    async with connected(at.http) as (_, writer):
        kind = "application/x-www-form-urlencoded"
        await send_all(writer, request("POST", "/web/queues", b"x" * (BODY - MIB), declared=BODY - 1, kind=kind))
        await until_cut(writer)


async def waiting_pushes(at: Ports) -> None:
    """Pushes that wait for room in a full queue, from callers that disconnect."""
    push = request("POST", "/v1/queues/greedy-full/jobs?wait_ms=50000", b'{"payload":%b}' % LARGE)
    for _ in range(4):
        async with connected(at.http) as (_, writer):
            await send_all(writer, push)
            await asyncio.sleep(0.2)
    await asyncio.sleep(1)


async def staying_pushes(at: Ports) -> None:
    """Pushes that wait for room in a full queue, from callers that stay."""
    async with connected(at.http) as (reader, writer):
        while True:
            writer.write(request("POST", "/v1/queues/greedy-full/jobs?wait_ms=50000", b'{"payload":%b}' % LARGE))
            await answer(reader)
            await asyncio.sleep(0.1)


async def unfinished_frames(at: Ports) -> None:
    """A WebSocket message of the largest size that does not end."""
    async with connected(at.http) as pair:
        await upgrade(pair)
        await send_all(pair[1], frame(b"x" * (4 * MIB), declared=5 * MIB - 1))
        await until_cut(pair[1])


async def unfinished_messages(at: Ports) -> None:
    """The same in fragments."""
    async with connected(at.http) as pair:
        await upgrade(pair)
        await send_all(pair[1], frame(b"x" * MIB, fin=False) + frame(b"x" * MIB, opcode=0, fin=False) * 3)
        await until_cut(pair[1])


async def tiny_messages(at: Ports) -> None:
    """WebSocket messages of a few bytes, as many as are accepted."""
    async with connected(at.http) as pair:
        reader, writer = pair
        await upgrade(pair)
        reading = asyncio.ensure_future(swallow(reader))
        many = frame(b"{}") * 30_000
        try:
            while not reading.done():
                writer.write(many)
                await writer.drain()
        finally:
            reading.cancel()


async def deaf_channels(at: Ports) -> None:
    """A channel with a thousand credits that does not read."""
    async with connected(at.http) as pair:
        await upgrade(pair)
        start = {"op": "start", "queues": ["greedy-large"], "credits": 1_000, "worker": "deaf"}
        pair[1].write(frame(json.dumps(start).encode()))
        await until_cut(pair[1])


async def greedy_grants(at: Ports) -> None:
    """Leases of a thousand large jobs at once, repeatedly, none of them ended."""
    async with connected(at.http) as (reader, writer):
        while True:
            writer.write(request("POST", "/v1/leases", b'{"queues":["greedy-large"],"max":1000,"lease_ms":2000}'))
            await answer(reader)


async def unfinished_puts(at: Ports) -> None:
    """A put of beanstalkd whose body does not end."""
    async with connected(at.tubes) as (_, writer):
        await send_all(writer, b"put 0 0 60 %d\r\n" % (MIB - 2) + b"x" * (MIB - 4))
        await until_cut(writer)


async def unread_tubes(at: Ports) -> None:
    """Reserves of large jobs whose replies are not read."""
    async with connected(at.tubes) as (_, writer):
        await send_all(writer, b"watch greedy-large\r\n" + b"reserve-with-timeout 0\r\n" * 200)
        await until_cut(writer)


async def endless_heads(at: Ports) -> None:
    """A head that does not end."""
    async with connected(at.http) as (_, writer):
        await send_all(writer, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 60_000)
        await until_cut(writer)


async def until_cut(writer: asyncio.StreamWriter) -> None:
    """Stay connected, without reading, until the server disconnects."""
    while not writer.transport.is_closing():  # noqa: ASYNC110  (without reading, a disconnect can only be polled)
        await asyncio.sleep(0.1)


Attack = Callable[[Ports], Awaitable[None]]

ALL: dict[Attack, int] = {
    pipelines: 6,
    listings: 6,
    unread_listings: 10,
    fan_out: 2,
    unfinished_bodies: 60,
    unfinished_small_bodies: 400,
    dripping_bodies: 10,
    unfinished_forms: 10,
    waiting_pushes: 60,
    staying_pushes: 60,
    unfinished_frames: 120,
    unfinished_messages: 80,
    tiny_messages: 8,
    deaf_channels: 6,
    greedy_grants: 2,
    unfinished_puts: 150,
    unread_tubes: 20,
    endless_heads: 400,
}
"""Each attack, and by how many callers at once."""
BY_NAME = {attack.__name__: attack for attack in ALL}
COUNTS = {attack.__name__: count for attack, count in ALL.items()}


async def again_and_again(attack: Attack, at: Ports) -> None:
    """One greedy caller. It does not check answers; after a refusal it pauses as long as a client would."""
    while True:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError):
            await attack(at)
        await asyncio.sleep(0.2)
