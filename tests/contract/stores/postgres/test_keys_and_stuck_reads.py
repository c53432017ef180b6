"""A node that can reach the database refuses a revoked key in time, whatever becomes of its other reads and of one of their connections."""

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager

import psycopg
import pytest

from holdfast.auth.keys import Ability
from holdfast.engine.engine import Engine
from holdfast.errors import Unauthorized
from holdfast.messages.key_commands import KeyAnswer, RevokeKey
from holdfast.messages.queries import GetJob, RecentFailures
from holdfast.stores.postgres.connect import READERS

PROMISE_S = 2.0
PATIENCE_S = 20.0


@pytest.fixture
async def guarded(node):
    """The engine of a node that reads nothing but the keys, and the secret of a key."""
    one = node(0)
    engine = Engine(one.backend)
    await one.store.tend()
    await engine.key_watch.begin()
    _, secret = await engine.keys.create("ci", (Ability.READ,))
    async with engine.key_watch.running():
        yield engine, secret.encode()


@pytest.fixture
async def refused_after(guarded, node):
    """How many seconds the key stays in force after it was revoked at another node, whose hint is not heard."""
    engine, secret = guarded
    other = node(0)
    await other.put()

    async def revoke():
        assert isinstance(await other.backend.submit(RevokeKey("ci")), KeyAnswer)
        revoked = time.monotonic()
        while time.monotonic() < revoked + PATIENCE_S:
            try:
                engine.keyring.caller_by_secret(secret, "")
            except Unauthorized:
                break
            await asyncio.sleep(0.01)
        return time.monotonic() - revoked

    return revoke


def readers(group):
    return [pid for (pid,) in group.primary.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'holdfast-read'")]


@asynccontextmanager
async def frozen(pids):
    """These backends stand still; the server and all the others live."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_a_revoked_key_is_refused_while_the_backend_that_reads_is_frozen(group, refused_after):
    pids = await asyncio.to_thread(readers, group)
    assert pids
    async with frozen(pids):
        assert await refused_after() < PROMISE_S


async def test_a_revoked_key_is_refused_while_every_other_read_is_stuck(group, node, guarded, refused_after):
    engine, _ = guarded
    job_id = (await node(0).put()).jobs[0].id
    with psycopg.connect(group.primary.url("postgres")) as other:
        other.execute("LOCK TABLE holdfast.job_error IN ACCESS EXCLUSIVE MODE")
        stuck = [engine._backend.submit(RecentFailures(n + 1)) for n in range(READERS)]
        stuck += [engine._backend.submit(GetJob(job_id)) for _ in range(100)]
        await asyncio.sleep(0)
        assert await refused_after() < PROMISE_S
        assert not any(read.done() for read in stuck)
        other.rollback()
    await asyncio.gather(*stuck)


async def test_a_revoked_key_is_refused_while_readers_are_killed_again_and_again(group, refused_after):
    async def kill():
        while True:
            await asyncio.to_thread(
                group.primary.sql,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holdfast-read'",
            )
            await asyncio.sleep(0.05)

    killing = asyncio.create_task(kill())
    assert await refused_after() < PROMISE_S
    killing.cancel()
