"""A node that can reach the database refuses a revoked key in time, whatever becomes of its other reads and of one of their connections."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import psycopg
import pytest

from holdfast.auth.caller import CALLER
from holdfast.auth.keys import Ability
from holdfast.engine.engine import Engine
from holdfast.errors import Unauthorized
from holdfast.messages.key_commands import KeyAnswer, RevokeKey
from holdfast.messages.queries import GetJob, RecentFailures
from holdfast.stores.postgres.connect import READERS

PROMISE_S = 2.0
PATIENCE_S = 20.0
TRIES = 3  # a busy machine may be late once; a node that is late by itself is so each time


@pytest.fixture
async def engine(node):
    """That of a node that reads nothing but the keys."""
    one = node(0)
    made = Engine(one.backend)
    await one.store.tend()
    await made.key_watch.begin()
    async with made.key_watch.running():
        yield made


@pytest.fixture
async def refused_in_time(engine, node):
    """A key is refused in time after it was revoked at another node, whose hint is not heard, within a context that disturbs the readers."""
    other = node(0)
    await other.put()

    async def revoke(name: str, secret: bytes) -> float:
        assert isinstance(await other.backend.submit(RevokeKey(name)), KeyAnswer)
        revoked = time.monotonic()
        while time.monotonic() < revoked + PATIENCE_S:
            try:
                engine.keyring.caller_by_secret(secret, "")
            except Unauthorized:
                break
            await asyncio.sleep(0.01)
        return time.monotonic() - revoked

    async def check(disturbed: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        root, _ = await engine.keys.create("root", (Ability.ADMIN,))
        CALLER.set(engine.keyring.caller_of(root.id))
        took: list[float] = []
        while len(took) < TRIES:
            name = f"ci{len(took)}"
            _, secret = await engine.keys.create(name, (Ability.READ,))
            assert engine.keyring.caller_by_secret(secret.encode(), "")
            async with disturbed():
                took.append(await revoke(name, secret.encode()))
            if took[-1] < PROMISE_S:
                return
        pytest.fail(f"refused after {took} s, each time later than {PROMISE_S} s")

    return check


def readers(group):
    return [pid for (pid,) in group.primary.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'holdfast-read'")]


async def test_a_revoked_key_is_refused_while_the_backend_that_reads_is_frozen(group, refused_in_time):
    @asynccontextmanager
    async def frozen():
        """These backends stand still; the server and all the others live."""
        pids = await asyncio.to_thread(readers, group)
        assert pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    await refused_in_time(frozen)


async def test_a_revoked_key_is_refused_while_every_other_read_is_stuck(group, node, engine, refused_in_time):
    job_id = (await node(0).put()).jobs[0].id

    @asynccontextmanager
    async def stuck():
        with psycopg.connect(group.primary.url("postgres")) as other:
            other.execute("LOCK TABLE holdfast.job_error IN ACCESS EXCLUSIVE MODE")
            reads = [engine._backend.submit(RecentFailures(n + 1)) for n in range(READERS)]
            reads += [engine._backend.submit(GetJob(job_id)) for _ in range(100)]
            await asyncio.sleep(0)
            yield
            assert not any(read.done() for read in reads)
            other.rollback()
        await asyncio.gather(*reads)

    await refused_in_time(stuck)


async def test_a_revoked_key_is_refused_while_readers_are_killed_again_and_again(group, refused_in_time):
    async def kill():
        while True:
            await asyncio.to_thread(
                group.primary.sql,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holdfast-read'",
            )
            await asyncio.sleep(0.05)

    @asynccontextmanager
    async def killing():
        task = asyncio.create_task(kill())
        yield
        task.cancel()

    await refused_in_time(killing)
