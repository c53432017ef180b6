"""Connections of the clients: kept, without Nagle's delay, no more than so many; and calls that wait for one have their turn in order."""

import asyncio
import random
import socket
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from holdfast import AsyncClient, Client
from holdfast.client.aio import transport as aio
from holdfast.client.sync import transport as sync
from tests.contract.client.clients import LOOPS, PATIENCE_S


@pytest.fixture(params=list(LOOPS))
def runner(request):
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield runner


@pytest.fixture
def opened(monkeypatch):
    """Whether each connection that is opened sends at once."""
    found: list[bool] = []
    one, other = aio._connected, sync._connected

    async def async_connected(*args: Any) -> socket.socket:
        sock = await one(*args)
        found.append(bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
        return sock

    def connected(*args: Any) -> socket.socket:
        sock = other(*args)
        found.append(bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
        return sock

    monkeypatch.setattr(aio, "_connected", async_connected)
    monkeypatch.setattr(sync, "_connected", connected)
    return found


def test_many_callers_share_a_bounded_number_of_connections_which_are_kept(shared, witness, queue, runner, opened):
    async def rounds() -> list[int]:
        async with AsyncClient(shared.url, deadline_s=PATIENCE_S) as client:
            before = len(opened)
            counts = []
            for _ in range(2):
                await asyncio.gather(*(client.enqueue(queue, n) for n in range(2 * aio.AT_ONCE)))
                counts.append(len(opened) - before)
            return counts

    first, second = runner.run(rounds())
    assert first == second <= aio.AT_ONCE
    assert all(opened)
    assert witness.queue(queue).jobs.ready == 4 * aio.AT_ONCE


def test_threads_have_a_connection_each_which_is_kept(shared, queue, opened):
    together = Barrier(50)

    def call(client: Client) -> None:
        together.wait(30)
        client.enqueue(queue)

    with Client(shared.url, deadline_s=PATIENCE_S) as client, ThreadPoolExecutor(50) as pool:
        for _ in range(3):
            list(pool.map(call, [client] * 50))
    assert len(opened) <= 50
    assert all(opened)


def test_who_waits_for_a_turn_has_it_in_order(shared, witness, queue, runner, monkeypatch):
    monkeypatch.setattr(aio, "AT_ONCE", 1)

    async def crowd() -> list[int]:
        async with AsyncClient(shared.url, deadline_s=PATIENCE_S) as client:
            return [put.id for put in await asyncio.gather(*(client.enqueue(queue, n) for n in range(50)))]

    ids = runner.run(crowd())
    assert ids == sorted(ids)
    assert [job.payload for job in sorted(witness.jobs(queue=queue), key=lambda job: job.id)] == list(range(50))


def test_a_caller_that_is_cancelled_takes_nobody_s_turn(shared, queue, runner, monkeypatch):
    monkeypatch.setattr(aio, "AT_ONCE", 3)

    async def crowd() -> None:
        async with AsyncClient(shared.url, deadline_s=PATIENCE_S) as client:
            for round_ in range(10):
                calls = [asyncio.create_task(client.enqueue(queue, n)) for n in range(30)]
                for call in random.Random(round_).sample(calls, 20):
                    await asyncio.sleep(0)  # some have begun, some wait, some have just been given their turn
                    call.cancel()
                await asyncio.gather(*calls, return_exceptions=True)
            await asyncio.gather(*(client.enqueue(queue, n) for n in range(10)))

    runner.run(asyncio.wait_for(crowd(), PATIENCE_S))


def test_connections_that_nobody_used_for_long_are_closed(shared, queue, runner, opened, monkeypatch):
    async def calls() -> None:
        async with AsyncClient(shared.url, deadline_s=PATIENCE_S) as client:
            await asyncio.gather(*(client.enqueue(queue, n) for n in range(10)))
            pool = client._transport._mine().pool(shared.url)
            assert len(pool.idle) == len(opened)
            monkeypatch.setattr(aio, "KEEP_ALIVE_S", 0.0)
            await client.enqueue(queue)
            assert not pool.idle

    runner.run(calls())
