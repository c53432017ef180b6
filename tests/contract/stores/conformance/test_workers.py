"""Workers in the store: registered, changed and removed; who of them holds a lease; and the lines of jobs that belong to one worker alone."""

import pytest
from msgspec.structs import replace

from holdfast.job import lifecycle
from holdfast.job.job import Content, Extras, Job, Lease, State
from holdfast.job.registry import Process, Worker, WorkerState
from holdfast.messages.queries import ListWorkers
from holdfast.stores.store import Change

NOW = 1_800_000_000_000
ONE = Worker("one", "host:1", ("b", "a"), WorkerState.RUNNING, NOW)
TWO = Worker("two", "", ("a",), WorkerState.RUNNING, NOW + 1, ("t",), Process("host", 42, "app 7"))
CONTENT = Content("t", None, b"[1]")


def own(job_id: int, worker: str | None = "one", queue: str = "a", priority: int = 5, **options) -> Job:
    """A ready job that only this worker may take."""
    extras = Extras(worker=worker, tags=("red",))
    return Job(job_id, queue, State.READY, priority, 0, 0, 0, 9, 3, NOW, NOW, extras, **options)


HELD = replace(own(5, "gone"), extras=Extras(worker="gone", group_key="g"), held=True)


@pytest.fixture
def committed(store):
    """Do something in a transaction, and commit it."""

    async def run(work):
        async with store.transaction() as tx:
            found = await work(tx)
            await tx.commit()
            return found

    return run


@pytest.fixture
async def put(committed):
    """Write new jobs; their queues are made where they are missing."""

    async def jobs(*new):
        async def write(tx):
            for name in sorted({job.queue for job in new}):
                if await tx.queue(name) is None:
                    await tx.create_queue(name, NOW)
            await tx.write([Change(None, job, CONTENT) for job in new])

        await committed(write)

    return jobs


async def line(tx, worker, queue="a", limit=10):
    return [job.id for job, _ in await tx.ready_for(worker, await tx.queue(queue), limit)]


async def test_workers_are_kept_changed_and_removed(store, committed):
    await committed(lambda tx: tx.save_worker(ONE))
    await committed(lambda tx: tx.save_worker(TWO))
    quiet = replace(ONE, state=WorkerState.QUIET)
    await committed(lambda tx: tx.save_worker(quiet))
    async with store.transaction() as tx:
        assert await tx.workers() == {"one": quiet, "two": TWO}
    read = await store.read(ListWorkers(), NOW)
    assert [info.worker for info in read.workers] == [quiet, TWO], "in the order in which they came"
    await committed(lambda tx: tx.delete_workers(["one"]))
    async with store.transaction() as tx:
        assert await tx.workers() == {"two": TWO}


async def test_workers_that_were_not_committed_are_neither_there_nor_gone(store, committed):
    await committed(lambda tx: tx.save_worker(ONE))
    async with store.transaction() as tx:
        await tx.save_worker(TWO)
        await tx.delete_workers(["one"])
        assert await tx.workers() == {"two": TWO}
    async with store.transaction() as tx:
        assert await tx.workers() == {"one": ONE}


async def test_who_holds_a_lease_is_known_by_name_alone(store, committed, put):
    await put(own(1, worker=None), own(2, worker=None))
    granted = Lease(7, bytes(16), "one", NOW, NOW + 1_000)
    leased = lifecycle.lease(own(1, worker=None), granted)
    await committed(lambda tx: tx.write([Change(own(1, worker=None), leased)]))
    async with store.transaction() as tx:
        assert await tx.holding(["one", "two"]) == {"one"}
        assert await tx.holding(["two"]) == set()
        assert await tx.holding([]) == set()
    done = lifecycle.conclude(leased, leased.ref(), NOW)
    await committed(lambda tx: tx.write([Change(leased, done)]))
    async with store.transaction() as tx:
        assert await tx.holding(["one"]) == set()


async def test_what_a_removed_worker_holds_stays_leased(store, committed, put):
    await committed(lambda tx: tx.save_worker(ONE))
    await put(own(1))
    leased = lifecycle.lease(own(1), Lease(7, bytes(16), "one", NOW, NOW + 1_000))
    await committed(lambda tx: tx.write([Change(own(1), leased)]))
    await committed(lambda tx: tx.delete_workers(["one"]))
    async with store.transaction() as tx:
        assert await tx.leased([7]) == {7: leased}
        assert await tx.holding(["one"]) == {"one"}
        assert await tx.orphans(10) == [], "a leased job is nobody's orphan"


async def test_a_workers_own_line_is_nobody_elses_and_goes_by_priority_and_id(store, put):
    await put(own(1), own(2, priority=4), own(3), own(4, "two"), own(5, None), own(6, queue="b"))
    async with store.transaction() as tx:
        assert await line(tx, "one") == [2, 1, 3]
        assert await line(tx, "one", limit=2) == [2, 1]
        assert await line(tx, "one", "b") == [6]
        assert await line(tx, "two") == [4]
        assert await line(tx, "two", "b") == await line(tx, "nobody") == []
        assert [job.id for job, _ in await tx.ready(await tx.queue("a"), 10)] == [5]
        assert await tx.ready_for("two", await tx.queue("a"), 1) == [(own(4, "two"), CONTENT)]


async def test_a_job_leaves_its_workers_line_and_comes_back_to_it(store, committed, put):
    await put(own(1))
    leased = lifecycle.lease(own(1), Lease(7, bytes(16), "one", NOW, NOW + 1_000))
    await committed(lambda tx: tx.write([Change(own(1), leased)]))
    async with store.transaction() as tx:
        assert await line(tx, "one") == []
    again = replace(lifecycle.release(leased, leased.ref(), NOW, 0, None), leased_at=None)
    await committed(lambda tx: tx.write([Change(leased, again)]))
    async with store.transaction() as tx:
        assert await tx.ready_for("one", await tx.queue("a"), 10) == [(again, CONTENT)]
        assert await tx.job(1) == again


async def test_orphans_are_the_ready_jobs_of_workers_that_are_not_registered(store, committed, put):
    await committed(lambda tx: tx.save_worker(ONE))
    await put(own(1), own(2, "gone"), own(3, None), own(4, "gone", "b"), HELD)
    async with store.transaction() as tx:
        found = await tx.orphans(10)
        assert sorted(found, key=lambda job: job.id) == [own(2, "gone"), own(4, "gone", "b")]
        assert len(await tx.orphans(1)) == 1
        await tx.delete_workers(["one"])
        assert sorted(job.id for job in await tx.orphans(10)) == [1, 2, 4]
    dead = lifecycle.orphan(own(2, "gone"), NOW)
    await committed(lambda tx: tx.write([Change(own(2, "gone"), dead)]))
    async with store.transaction() as tx:
        assert [job.id for job in await tx.orphans(10)] == [4]
        assert await tx.job(2) == dead


async def test_an_adopted_job_is_in_everybodys_line(store, committed, put):
    await put(own(1))
    dead = lifecycle.orphan(own(1), NOW)
    await committed(lambda tx: tx.write([Change(own(1), dead)]))
    free = lifecycle.adopt(lifecycle.retry(dead, NOW))
    await committed(lambda tx: tx.write([Change(dead, free)]))
    async with store.transaction() as tx:
        assert [job.id for job, _ in await tx.ready(await tx.queue("a"), 10)] == [1]
        assert await line(tx, "one") == []
        assert await tx.job(1) == free


async def test_reads_tell_what_waits_for_a_worker_and_what_it_holds(store, committed, put):
    await committed(lambda tx: tx.save_worker(ONE))
    await committed(lambda tx: tx.save_worker(TWO))
    await put(own(1), own(2), own(3, "two"))
    leased = lifecycle.lease(own(1), Lease(7, bytes(16), "one", NOW, NOW + 1_000))
    await committed(lambda tx: tx.write([Change(own(1), leased)]))
    told = {
        info.worker.id: ([job.id for job in info.jobs], info.waiting) for info in (await store.read(ListWorkers(), NOW)).workers
    }
    assert told == {"one": ([1], 1), "two": ([], 1)}
    assert [info.worker for info in (await store.read(ListWorkers("two"), NOW)).workers] == [TWO]


async def test_workers_and_their_lines_outlive_the_process(lasting_place, reopen):
    client = await reopen(lasting_place)
    async with client.store.transaction() as tx:
        await tx.save_worker(ONE)
        await tx.create_queue("a", NOW)
        await tx.write([Change(None, own(1), CONTENT)])
        await tx.commit()
    await client.close()
    after = await reopen(lasting_place)
    async with after.store.transaction() as tx:
        assert await tx.workers() == {"one": ONE}
        assert await tx.ready_for("one", await tx.queue("a"), 10) == [(own(1), CONTENT)]
    await after.close()
