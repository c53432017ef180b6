"""Registered workers on a clock that is moved by hand: who gets jobs, who is removed and when, and that a restart forgives silence."""

from pathlib import Path

import pytest

from holdfast.committer.local_backend import LocalBackend
from holdfast.engine.engine import Engine
from holdfast.errors import WorkerNotFound
from holdfast.job.queue import QueuePolicy
from holdfast.job.registry import WorkerState
from holdfast.messages.commands import ConcludeLease
from holdfast.messages.time_commands import ExpireLeases, ReapWorkers
from holdfast.stores.sqlite.store import SqliteStore

SILENCE_MS = 60_000


async def reap(backend) -> int:
    return (await backend.submit(ReapWorkers(SILENCE_MS))).count


async def test_a_registered_worker_is_given_jobs_of_its_own_queues_in_its_order(engine, new):
    worker = await engine.workers.register(("b", "a"), "host")
    await engine.enqueue([new("a"), new("b"), new("c")])
    granted = await engine.lease((), 10, worker.id, registered=True)
    assert [job.job.queue for job in granted.jobs] == ["b", "a"]


async def test_a_quiet_worker_is_given_nothing_but_can_finish_what_it_has(engine, new):
    worker = await engine.workers.register(("a",), "host")
    await engine.enqueue([new("a"), new("a")])
    held = (await engine.lease(("a",), 1, worker.id)).jobs[0]
    assert (await engine.workers.quiet(worker.id)).state is WorkerState.QUIET
    assert (await engine.lease(("a",), 1, worker.id)).jobs == []
    await engine.end(ConcludeLease(held.job.ref()))
    assert (await engine.workers.beat(worker.id)).state is WorkerState.QUIET


async def test_a_worker_that_is_not_registered_gets_jobs_unless_it_says_that_it_is(engine, new):
    await engine.enqueue([new("a")])
    with pytest.raises(WorkerNotFound):
        await engine.lease((), 1, "nobody", registered=True)
    assert len((await engine.lease(("a",), 1, "nobody")).jobs) == 1


async def test_a_silent_worker_is_removed_only_past_the_bound_and_beats_keep_it(engine, backend, clock):
    worker = await engine.workers.register(("a",), "host")
    clock.advance(SILENCE_MS)
    assert await reap(backend) == 0
    await engine.workers.beat(worker.id)
    clock.advance(SILENCE_MS)
    assert await reap(backend) == 0
    clock.advance(1)
    assert await reap(backend) == 1
    with pytest.raises(WorkerNotFound):
        await engine.workers.beat(worker.id)


async def test_leasing_counts_as_a_beat(engine, backend, clock):
    worker = await engine.workers.register(("a",), "host")
    clock.advance(SILENCE_MS)
    await engine.lease(("a",), 1, worker.id)
    clock.advance(SILENCE_MS)
    assert await reap(backend) == 0


async def test_a_silent_worker_that_holds_a_lease_stays_until_it_is_gone(engine, backend, clock, new):
    worker = await engine.workers.register(("a",), "host")
    await engine.enqueue([new("a")])
    await engine.lease(("a",), 1, worker.id, lease_ms=10 * SILENCE_MS)
    clock.advance(2 * SILENCE_MS)
    assert await reap(backend) == 0
    info, _ = await engine.reading.worker(worker.id)
    assert [job.queue for job in info.jobs] == ["a"]
    clock.advance(10 * SILENCE_MS)
    await backend.submit(ExpireLeases(10))
    assert await reap(backend) == 1


async def test_a_restart_gives_every_worker_its_full_time_again(start, clock, tmp_path: Path):
    first = LocalBackend(SqliteStore(tmp_path / "jobs.db", QueuePolicy()), clock)
    first.start()
    worker = await Engine(first).workers.register(("a",), "host")
    await first.stop()
    clock.advance(100 * SILENCE_MS)
    second = start(SqliteStore(tmp_path / "jobs.db", QueuePolicy()))
    assert await reap(second) == 0
    assert (await Engine(second).workers.beat(worker.id)).queues == ("a",)


async def test_removing_all_workers_of_a_queue_leaves_the_others(engine):
    one = await engine.workers.register(("a", "b"), "1")
    await engine.workers.register(("a",), "2")
    other = await engine.workers.register(("b",), "3")
    assert await engine.workers.remove(queue="a") == 2
    with pytest.raises(WorkerNotFound):
        await engine.workers.beat(one.id)
    assert (await engine.workers.beat(other.id)).id == other.id


async def test_a_removed_worker_keeps_its_lease_until_it_ends(engine, new):
    worker = await engine.workers.register(("a",), "host")
    await engine.enqueue([new("a")])
    held = (await engine.lease(("a",), 1, worker.id)).jobs[0]
    await engine.workers.remove(worker.id)
    assert (await engine.end(ConcludeLease(held.job.ref()))).state == "concluded"


async def test_a_beat_writes_nothing(start, clock, tmp_path: Path):
    backend = start(SqliteStore(tmp_path / "jobs.db", QueuePolicy()))
    engine = Engine(backend)
    worker = await engine.workers.register(("a",), "host")
    wal = tmp_path / "jobs.db-wal"
    before = wal.read_bytes()
    for _ in range(5):
        await engine.workers.beat(worker.id)
    assert wal.read_bytes() == before


async def test_why_says_when_no_registered_worker_takes_from_the_queue(engine, new):
    job = (await engine.enqueue([new("a")])).jobs[0].id
    codes = [code for code, _ in (await engine.reading.why(job))[1]]
    assert codes == ["next"]
    await engine.workers.register(("b",), "host")
    codes = [code for code, _ in (await engine.reading.why(job))[1]]
    assert codes == ["no_worker"]


async def test_workers_that_have_been_silent_for_a_minute_are_not_counted_on(engine, new, clock):
    gone = [await engine.workers.register(("a", "b"), f"host {n}") for n in range(2)]
    await engine.enqueue([new("a")])

    async def why():
        return [code for code, _ in (await engine.reading.why(1))[1]]

    assert await why() == ["next"]
    clock.advance(60_000)
    assert await why() == ["next"], "a poll of 55 s is as long a silence"
    clock.advance(1)
    assert await why() == ["no_worker"]
    (_, said) = (await engine.reading.why(1))[1][0]
    assert said == "All 2 registered workers of a have sent no heartbeat for more than 60 s."
    await engine.workers.beat(gone[0].id)
    assert await why() == ["next"]
    await engine.workers.remove(gone[1].id)
    clock.advance(61_000)
    assert "The one registered worker of a has sent no heartbeat" in (await engine.reading.why(1))[1][0][1]


async def test_a_job_whose_worker_has_been_silent_for_a_minute_says_so(engine, new, clock):
    holder = await engine.workers.register(("a",), "host")
    await engine.enqueue([new("a"), new("a")])
    leased = [await engine.lease(("a",), 1, worker, lease_ms=600_000) for worker in (holder.id, "nobody registered")]
    mine, other = (granted.jobs[0].job.id for granted in leased)

    async def why(job_id):
        return [code for code, _ in (await engine.reading.why(job_id))[1]]

    assert await why(mine) == ["running"]
    clock.advance(60_001)
    assert await why(mine) == ["worker_silent", "running"]
    assert await why(other) == ["running"], "nobody knows when it was last heard of"
    await engine.workers.beat(holder.id)
    assert await why(mine) == ["running"]
