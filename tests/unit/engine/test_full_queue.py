"""Waiting for room in a full queue, and the bounds on what may be on its way: nobody waits beside room that is there."""

import asyncio

import pytest

from holdfast import limits
from holdfast.errors import InvalidRequest, NotUnique, Overloaded, QueueFull
from holdfast.job.job import Content, State
from holdfast.job.queue import QueueSettings
from holdfast.messages.commands import ConcludeLease, DeleteJob, EditJob
from holdfast.messages.queries import GetQueue

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


async def soon(task):
    return await asyncio.wait_for(task, 5)


async def tally(backend, queue="q"):
    return (await backend.submit(GetQueue(queue))).tally


@pytest.fixture
async def full(engine, new):
    """A queue of three that is full."""
    await engine.set_queue("q", QueueSettings(capacity_jobs=3, capacity_bytes=100), True)
    await engine.enqueue([new() for _ in range(3)])


async def test_a_push_into_a_full_queue_waits_until_there_is_room(engine, full, pushes):
    push = await pushes()
    assert not push.done()
    await engine.change_job(DeleteJob(1))
    assert (await soon(push)).jobs[0].id == 4


async def test_a_push_that_waited_in_vain_is_refused_and_nothing_was_put(engine, backend, full, new):
    with pytest.raises(QueueFull):
        await soon(engine.enqueue([new()], wait_ms=60))
    assert (await tally(backend)).ready == 3
    assert engine.room.parked == 0


async def test_room_for_many_made_by_one_commit_lets_as_many_pushes_go_on(engine, full, pushes, turns):
    waiting = [await pushes() for _ in range(4)]
    assert await engine.purge("q", (State.READY,)) == 3
    assert [(await soon(push)).jobs[0].id for push in waiting[:3]] == [4, 5, 6]
    await turns()
    assert not waiting[3].done()


async def test_a_waiting_push_that_is_refused_for_another_reason_passes_the_room_on(engine, full, pushes, new):
    await engine.change_job(DeleteJob(1))
    await engine.enqueue([new(unique_key="u")])
    refused, waits = await pushes(unique_key="u"), await pushes()
    await engine.change_job(DeleteJob(2))
    with pytest.raises(NotUnique):
        await soon(refused)
    assert (await soon(waits)).jobs[0].state is State.READY


async def test_a_push_that_leaves_when_it_is_woken_passes_the_room_on(engine, full, pushes):
    gone, stays = await pushes(), await pushes()
    await engine.change_job(DeleteJob(1))  # wakes the first, which has not run yet
    gone.cancel()
    assert (await soon(stays)).jobs[0].state is State.READY


async def test_a_smaller_payload_lets_a_push_go_on_that_waited_for_bytes(engine, pushes, new):
    await engine.set_queue("q", QueueSettings(capacity_bytes=10), True)
    await engine.enqueue([new(payload=b"x" * 8)])
    push = await pushes(payload=b"12345")
    assert not push.done()
    await engine.change_job(EditJob(1, content=Content("", None, b"x" * 5)))
    assert (await soon(push)).jobs[0].id == 2


async def test_a_call_over_several_queues_waits_until_all_have_room(engine, full, pushes, new):
    await engine.set_queue("r", QueueSettings(capacity_jobs=1), True)
    blocker = (await engine.enqueue([new("r")])).jobs[0].id
    push = await pushes("q", "r")
    await engine.change_job(DeleteJob(1))
    assert not push.done()
    await engine.change_job(DeleteJob(blocker))
    assert [receipt.queue for receipt in (await soon(push)).jobs] == ["q", "r"]


# Bounds on what is under way -----------------------------------------------------------------------------------------


async def test_more_commands_than_may_be_on_their_way_are_refused_at_once_and_change_nothing(engine, backend, new):
    engine.in_flight = limits.IN_FLIGHT_COMMANDS - 1
    await engine.enqueue([new()])
    engine.in_flight = limits.IN_FLIGHT_COMMANDS
    with pytest.raises(Overloaded):
        await engine.enqueue([new()])
    engine.in_flight = 0
    assert (await tally(backend)).ready == 1


async def test_of_many_lease_verbs_none_is_tried_when_not_all_of_them_may_be_on_their_way(engine, backend, new):
    await engine.enqueue([new() for _ in range(3)])
    jobs = [one.job for one in (await engine.lease(("q",), 3)).jobs]
    verbs = [ConcludeLease(job.ref()) for job in jobs]
    engine.in_flight = limits.IN_FLIGHT_COMMANDS - 2
    with pytest.raises(Overloaded):
        await engine.end_many(verbs)
    engine.in_flight = 0
    assert (await tally(backend)).leased == 3
    assert [result.state for result in await engine.end_many(verbs)] == [State.CONCLUDED] * 3
    assert engine.in_flight == 0


@pytest.mark.parametrize("wait_ms", [-1, limits.WAIT_MS_MAX + 1])
async def test_a_wait_out_of_bounds_is_refused_by_its_field(engine, new, wait_ms):
    for call in (
        lambda: engine.lease(("q",), wait_ms=wait_ms),
        lambda: engine.enqueue([new()], wait_ms=wait_ms),
        lambda: engine.reading.job(1, wait_ms=wait_ms),
    ):
        with pytest.raises(InvalidRequest) as refusal:
            await call()
        assert refusal.value.fields["field"] == "wait_ms"
