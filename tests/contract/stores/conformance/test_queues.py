"""What an operator does to queues: settings, pause, purge and deletion, with tallies exact all the while."""

import pytest

from holdfast.errors import JobNotFound, QueueNotFound, WrongState
from holdfast.job.job import State
from holdfast.job.queue import QueuePolicy, QueueSettings, Tally
from holdfast.job.retry import RetryPolicy
from holdfast.limits import PURGE_CHUNK
from holdfast.messages.commands import (
    CancelJob,
    ConcludeLease,
    DeleteQueue,
    Enqueue,
    FailLease,
    PauseQueue,
    PromoteJob,
    PurgeQueue,
    ReleaseLease,
    SetQueue,
)


async def test_settings_are_changed_one_by_one_or_as_a_whole(desk):
    await desk.do(SetQueue("q", QueueSettings(capacity_jobs=5, retention_ms=None), whole=True))
    info = await desk.do(SetQueue("q", QueueSettings(lease_ms=7, retry=RetryPolicy(base_ms=1)), whole=False))
    assert info.settings == QueueSettings(capacity_jobs=5, retention_ms=None, lease_ms=7, retry=RetryPolicy(base_ms=1))
    assert info.policy == QueuePolicy(capacity_jobs=5, retention_ms=None, lease_ms=7, retry=RetryPolicy(base_ms=1))
    assert await desk.queue() == info
    info = await desk.do(SetQueue("q", QueueSettings(max_attempts=2), whole=True))
    assert await desk.queue() == info
    assert info.policy == QueuePolicy(max_attempts=2)
    await desk.put()
    assert (await desk.job(1)).max_attempts == 2


@pytest.mark.parametrize("command", [PauseQueue("q", True), PurgeQueue("q", (State.READY,), 0, 10), DeleteQueue("q")])
async def test_a_queue_that_is_not_there_is_said_not_to_be_and_is_not_made(desk, command):
    for _ in range(2):
        with pytest.raises(QueueNotFound) as refusal:
            await desk.do(command)
        assert refusal.value.fields == {"queue": "q"}


async def test_a_pause_is_kept_and_told(desk):
    await desk.put()
    assert (await desk.do(PauseQueue("q", True))).paused
    assert (await desk.queue()).paused
    assert not (await desk.do(PauseQueue("q", False))).paused


@pytest.mark.parametrize("state", [state for state in State if state is not State.LEASED])
async def test_a_purge_removes_exactly_the_jobs_in_the_named_state(desk, one_of_each, state):
    await desk.put("other")
    assert (await desk.do(PurgeQueue("q", (state,), 0, 100))).count == 1
    assert {job.state for job in await desk.walk(queue="q")} == set(State) - {state}
    assert len(await desk.walk(queue="other")) == 1


async def test_a_purge_of_everything_leaves_what_runs(desk, one_of_each):
    states = tuple(state for state in State if state is not State.LEASED)
    assert (await desk.do(PurgeQueue("q", states, 0, 100))).count == 5
    assert [job.state for job in await desk.walk()] == [State.LEASED]
    await desk.do(ReleaseLease((await desk.job(one_of_each[State.LEASED])).ref()))
    assert await desk.tally() == Tally(ready=1, bytes=5)


async def test_a_purge_takes_only_what_was_there_when_it_began(desk, new):
    await desk.put_all([new() for _ in range(5)])
    first = await desk.do(PurgeQueue("q", (State.READY,), 0, 2))
    assert (first.count, first.up_to) == (2, 5)
    await desk.put_all([new() for _ in range(5)])
    assert (await desk.do(PurgeQueue("q", (State.READY,), first.up_to, 100))).count == 3
    assert [job.id for job in await desk.walk()] == [6, 7, 8, 9, 10]


async def test_a_purge_frees_the_unique_keys_and_the_room_of_what_it_takes(desk):
    await desk.do(SetQueue("q", QueueSettings(capacity_jobs=2), whole=True))
    await desk.put(unique_key="u")
    await desk.put(unique_key="v", delay_ms=50)
    await desk.do(PurgeQueue("q", (State.READY, State.SCHEDULED), 0, 10))
    await desk.put(unique_key="u")
    await desk.put(unique_key="v")


async def test_a_purge_sees_what_was_decided_before_it_in_its_transaction(desk):
    await desk.put(delay_ms=50)
    _, purged = await desk.together(PromoteJob(1), PurgeQueue("q", (State.READY,), 0, 10))
    assert purged.count == 1
    assert await desk.walk() == []


@pytest.mark.parametrize("left", ["ready", "scheduled", "leased", "dead"])
async def test_a_queue_with_an_unfinished_or_dead_job_is_not_deleted(desk, left):
    await desk.put(delay_ms=500 if left == "scheduled" else None)
    if left in ("leased", "dead"):
        job = await desk.take()
        if left == "dead":
            await desk.do(FailLease(job.ref(), "no", retry=False))
    before = await desk.walk()
    with pytest.raises(WrongState):
        await desk.do(DeleteQueue("q"))
    assert await desk.walk() == before


async def test_a_deleted_queue_takes_its_history_along_and_nothing_of_another(desk, new):
    for name in ("q", "other"):
        await desk.put_all([new(name), new(name)])
        await desk.do(ConcludeLease((await desk.take(name)).ref()))
    await desk.do(CancelJob(2))
    assert (await desk.do(DeleteQueue("q"))).count == 2
    with pytest.raises(QueueNotFound):
        await desk.queue()
    for job_id in (1, 2):
        with pytest.raises(JobNotFound):
            await desk.job(job_id)
    assert len(await desk.walk(queue="other")) == 2
    await desk.put()
    assert (await desk.queue()).tally == Tally(ready=1, bytes=1)


async def test_a_queue_is_deleted_in_bites_when_its_history_is_long(desk, new):
    for _ in range(3):
        await desk.put_all([new() for _ in range(1_000)])
        granted = await desk.lease(limit=1_000)
        await desk.together(*(ConcludeLease(one.job.ref()) for one in granted))
    assert (await desk.do(DeleteQueue("q"))).count == PURGE_CHUNK
    assert (await desk.tally()).concluded == 3_000 - PURGE_CHUNK
    assert (await desk.do(DeleteQueue("q"))).count == 3_000 - PURGE_CHUNK
    with pytest.raises(QueueNotFound):
        await desk.queue()


async def test_other_queues_of_the_same_transaction_are_counted_rightly_although_one_is_deleted(desk, new):
    await desk.do(SetQueue("gone", QueueSettings(), whole=True))
    await desk.put()
    job = await desk.take()
    await desk.together(ConcludeLease(job.ref()), DeleteQueue("gone"), Enqueue([new(), new("gone")]))
    assert await desk.tally() == Tally(ready=1, concluded=1, bytes=1)
    await desk.put()
    assert await desk.tally() == Tally(ready=2, concluded=1, bytes=2)
    assert await desk.tally("gone") == Tally(ready=1, bytes=1)


@pytest.mark.parametrize("command", [PauseQueue("q\0", True), PurgeQueue("q\0", (State.READY,), 0, 10), DeleteQueue("q\0")])
async def test_a_name_that_no_queue_can_have_is_not_there_and_harms_no_neighbour(desk, new, command):
    _, refusal = await desk.together(Enqueue([new()]), command)
    assert refusal.code == QueueNotFound.code
    assert await desk.tally() == Tally(ready=1, bytes=1)
