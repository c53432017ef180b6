"""Waiting for jobs, through the whole engine: woken in turn, answered in time, and nothing given to those who left."""

import asyncio

import pytest

from holdfast.errors import Draining, QueueFull, WorkerNotFound
from holdfast.job.job import NewJob, State
from holdfast.job.queue import QueueSettings
from holdfast.messages.commands import ConcludeLease, EditJob, Enqueue, FailLease, LeaseJobs, PromoteJob, ReleaseLease
from holdfast.messages.queries import GetJob, GetQueue

LONG = 50_000


@pytest.fixture
async def pushes(engine, turns, new):
    """Begin to put a job into a queue that is full, and let it park."""
    tasks = []

    async def begin(*queues, payload=b"1", **options):
        jobs = [new(queue, payload, **options) for queue in queues or ("q",)]
        tasks.append(asyncio.create_task(engine.enqueue(jobs, wait_ms=LONG)))
        await turns()
        return tasks[-1]

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def passed_over(backend, monkeypatch):
    """Commits grant nothing to those who wait, as those of other nodes never do: they have to look after the news."""
    monkeypatch.setattr(backend.committer._awaiting, "pick", lambda _: [])


def taken(granted):
    return [one.job.id for one in granted.jobs]


async def soon(task):
    return await asyncio.wait_for(task, 5)


async def tally(backend, queue="q"):
    return (await backend.submit(GetQueue(queue))).tally


# Waiting for jobs ----------------------------------------------------------------------------------------------------


async def test_a_poll_that_finds_a_job_does_not_wait(engine, new):
    await engine.enqueue([new()])
    assert taken(await soon(engine.lease(("q",), wait_ms=LONG))) == [1]


async def test_a_poll_is_answered_as_soon_as_a_job_comes(engine, polls, new):
    poll = await polls("a", "q")
    assert not poll.done()
    await engine.enqueue([new()])
    assert taken(await soon(poll)) == [1]


async def test_one_that_leaves_after_it_was_woken_leaves_the_news_to_the_next(engine, backend, polls, new, turns, passed_over):
    first, second = await polls("a", "b"), await polls("b")
    backend.submit(Enqueue([new("b")]))
    while engine.arrivals.parked == 2:
        await turns(1)
    backend.submit(Enqueue([new("a")]))
    await turns(3)
    assert engine.in_flight == 1, "the first looks again, and will find the job of a"
    first.cancel()
    assert taken(await soon(second)) == [1]


async def test_one_that_is_refused_after_it_was_woken_leaves_the_news_to_the_next(engine, polls, new):
    worker = await engine.workers.register(("q",), "host")
    gone = await polls(worker=worker.id, registered=True)
    second = await polls()
    await engine.workers.remove(worker.id)
    await engine.enqueue([new()])
    with pytest.raises(WorkerNotFound):
        await soon(gone)
    assert taken(await soon(second)) == [1]


async def test_a_quiet_worker_that_waits_leaves_the_news_to_the_next(engine, polls, new, turns):
    worker = await engine.workers.register(("q",), "host")
    quiet = await polls(worker=worker.id, registered=True)
    second = await polls()
    await engine.workers.quiet(worker.id)
    await engine.enqueue([new()])
    assert taken(await soon(second)) == [1]
    await turns()
    assert not quiet.done()
    assert engine.in_flight == 0, "it waits, and does not look again and again"


WAYS = {
    "promoted": (lambda new: [new(delay_ms=9_000)], lambda engine, job: engine.change_job(PromoteJob(1))),
    "edited": (lambda new: [new(delay_ms=9_000)], lambda engine, job: engine.change_job(EditJob(1, delay_ms=0))),
    "released": (lambda new: [new()], lambda engine, job: engine.end(ReleaseLease(job.ref()))),
    "failed": (lambda new: [new()], lambda engine, job: engine.end(FailLease(job.ref(), "no", delay_ms=0))),
    "admitted by its group": (
        lambda new: [new(group_key="g"), new(group_key="g")],
        lambda engine, job: engine.end(ConcludeLease(job.ref())),
    ),
    "put by a conclude": (
        lambda new: [new()],
        lambda engine, job: engine.end(ConcludeLease(job.ref(), None, [NewJob("q", b"")])),
    ),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_poll_is_answered_however_a_job_becomes_ready(engine, polls, new, way):
    jobs, make_ready = WAYS[way]
    await engine.enqueue(jobs(new))
    leased = (await engine.lease(("q",))).jobs
    poll = await polls()
    assert not poll.done()
    await make_ready(engine, leased[0].job if leased else None)
    assert len((await soon(poll)).jobs) == 1


async def test_a_poll_is_answered_when_its_queue_may_give_again(engine, polls, new):
    await engine.set_queue("q", QueueSettings(max_running=0), True)
    await engine.pause("q", True)
    await engine.enqueue([new()])
    poll = await polls()
    await engine.pause("q", False)
    assert not poll.done()
    await engine.set_queue("q", QueueSettings(max_running=1), True)
    assert taken(await soon(poll)) == [1]


async def test_polls_are_answered_in_the_order_in_which_they_came(engine, polls, new, turns):
    waiting = [await polls() for _ in range(4)]
    await engine.enqueue([new(), new()])
    await turns()
    assert [poll.done() for poll in waiting] == [True, True, False, False]
    await engine.enqueue([new()])
    await turns()
    assert [poll.done() for poll in waiting] == [True, True, True, False]
    assert sorted(taken(poll.result())[0] for poll in waiting[:3]) == [1, 2, 3]


async def test_a_poll_that_was_woken_for_one_queue_and_served_from_another_wakes_the_next_for_the_first(
    engine, polls, new, turns
):
    first, second = await polls("a", "b"), await polls("b")
    await engine.enqueue([new("b"), new("a")])
    assert taken(await soon(first)) == [2]
    assert taken(await soon(second)) == [1]


async def test_a_poll_that_times_out_is_answered_with_nothing(engine):
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert (await soon(engine.lease(("q",), wait_ms=60))).jobs == []
    assert loop.time() - started >= 0.06
    assert engine.arrivals.parked == 0


async def test_a_poll_asks_the_store_once_and_again_only_for_news(engine, backend, polls, new, turns):
    await polls()
    batches = backend.totals.batches
    await turns(200)
    assert backend.totals.batches == batches == 1
    await engine.enqueue([new("other")])
    await turns()
    assert backend.totals.batches == batches + 1


async def test_a_poll_of_an_empty_queue_that_is_in_memory_costs_no_transaction(engine, backend, polls, new, turns):
    await engine.enqueue([new()])
    (held,) = (await engine.lease(("q",))).jobs
    batches = backend.totals.batches
    poll = await polls()
    assert backend.totals.batches == batches
    await engine.end(ReleaseLease(held.job.ref()))
    assert taken(await soon(poll)) == [1]


async def test_a_quiet_worker_is_told_so_though_there_is_nothing(engine, new):
    worker = await engine.workers.register(("q",), "host")
    await engine.enqueue([new()])
    assert taken(await engine.lease(("q",), worker=worker.id)) == [1]
    assert not (await engine.lease(("q",), worker=worker.id, wait_ms=1)).quiet
    await engine.workers.quiet(worker.id)
    assert (await engine.lease(("q",), worker=worker.id, wait_ms=1)).quiet


async def test_a_poll_of_an_empty_queue_is_a_sign_of_life(engine, backend, clock, new):
    worker = await engine.workers.register(("q",), "host")
    await engine.enqueue([new()])
    assert taken(await engine.lease(("q",), worker=worker.id)) == [1]
    clock.advance(1_000)
    await engine.lease(("q",), worker=worker.id, wait_ms=1)
    assert backend.committer.beats[worker.id] == clock.now()


async def test_a_poll_is_granted_its_job_in_the_commit_that_brings_it(engine, backend, polls, new, turns):
    poll = await polls()
    batches = backend.totals.batches
    await engine.enqueue([new()])
    assert taken(await soon(poll)) == [1]
    await turns()
    assert backend.totals.batches == batches + 1


@pytest.mark.parametrize(("together", "batches_more"), [(8, 1), (9, 2)])
async def test_only_a_small_batch_grants_to_who_waits(engine, backend, polls, new, together, batches_more):
    poll = await polls()
    batches = backend.totals.batches
    for _ in range(together):
        backend.submit(Enqueue([new()]))
    assert taken(await soon(poll)) == [1]
    assert backend.totals.batches == batches + batches_more


async def test_a_commit_that_grants_to_some_wakes_no_other(engine, backend, polls, new, turns):
    first, second = await polls(), await polls("q", "other")
    batches = backend.totals.batches
    await engine.enqueue([new()])
    assert taken(await soon(first)) == [1]
    await turns()
    assert backend.totals.batches == batches + 1
    assert not second.done()


async def test_a_put_is_kept_though_what_it_would_grant_at_once_raises(engine, backend, polls, new, monkeypatch):
    poll = await polls()

    def raises(*_):
        raise RuntimeError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr("holdfast.committer.committer.narrowed", raises)
        (kept,) = (await engine.enqueue([new()])).jobs
    assert taken(await soon(poll)) == [kept.id]


async def test_a_job_that_comes_while_a_poll_looks_is_not_missed(engine, backend, new):
    """The look and the push are in two transactions, one after the other, before the poll can park."""
    poll = asyncio.create_task(engine.lease(("q",), wait_ms=LONG))
    look = asyncio.get_running_loop().create_future()
    submit = backend.submit

    def push_right_behind(command):
        future = submit(command)
        if isinstance(command, LeaseJobs) and not look.done():
            look.set_result(None)
            future.add_done_callback(lambda _: submit(Enqueue([new()])))
        return future

    backend.submit = push_right_behind
    assert taken(await soon(poll)) == [1]


# Callers who leave ---------------------------------------------------------------------------------------------------


async def test_a_caller_that_leaves_while_parked_is_given_nothing(engine, backend, polls, new, turns):
    gone, stays = await polls(), await polls()
    gone.cancel()
    await engine.enqueue([new()])
    assert taken(await soon(stays)) == [1]
    assert (await tally(backend)).leased == 1


async def test_a_caller_that_leaves_in_flight_gives_its_lease_back_unspent(engine, backend, new, turns):
    await engine.enqueue([new(max_attempts=1)])
    caller = asyncio.create_task(engine.lease(("q",), wait_ms=LONG))
    await asyncio.sleep(0)  # the command is on its way, and not committed yet
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await turns()
    job = (await backend.submit(GetJob(1))).job
    assert (job.state, job.attempt, job.failures, job.crashes) == (State.READY, 1, 0, 0)
    assert engine.in_flight == 0


async def test_what_a_caller_that_left_gives_back_goes_to_the_next_who_waits(engine, polls, new, turns):
    gone, stays = await polls(), await polls()
    await engine.enqueue([new()])
    gone.cancel()
    assert taken(await soon(stays)) == [1]
    assert stays.result().jobs[0].job.attempt in (1, 2)


async def test_a_poll_with_the_same_request_takes_the_place_of_its_forerunner(engine, backend, polls, new):
    older, newer = await polls(request="r"), await polls(request="r")
    assert (await soon(older)).jobs == []
    await engine.enqueue([new(), new()])
    assert taken(await soon(newer)) == [1]
    assert (await tally(backend)).leased == 1
    assert taken(await engine.lease(("q",), request="r")) == [1]


# Draining ------------------------------------------------------------------------------------------------------------


async def test_a_draining_server_sends_polls_home_takes_nothing_new_and_still_ends_leases(engine, polls, pushes, new):
    await engine.set_queue("q", QueueSettings(capacity_jobs=1), True)
    await engine.enqueue([new()])
    job = (await engine.lease(("q",))).jobs[0].job
    poll, push = await polls(), await pushes()
    engine.drain()
    assert (await soon(poll)).jobs == []
    with pytest.raises(QueueFull):
        await soon(push)
    for call in (
        lambda: engine.enqueue([new()]),
        lambda: engine.lease(("q",)),
        lambda: engine.end(ConcludeLease(job.ref(), None, [new()])),
    ):
        with pytest.raises(Draining):
            await call()
    assert (await engine.end(ConcludeLease(job.ref()))).state is State.CONCLUDED
