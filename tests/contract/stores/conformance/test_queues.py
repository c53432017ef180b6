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


async def test_settings_are_changed_one_by_one_or_as_a_whole(client):
    await client.do(SetQueue("q", QueueSettings(capacity_jobs=5, retention_ms=None), whole=True))
    info = await client.do(SetQueue("q", QueueSettings(lease_ms=7, retry=RetryPolicy(base_ms=1)), whole=False))
    assert info.settings == QueueSettings(capacity_jobs=5, retention_ms=None, lease_ms=7, retry=RetryPolicy(base_ms=1))
    assert info.policy == QueuePolicy(capacity_jobs=5, retention_ms=None, lease_ms=7, retry=RetryPolicy(base_ms=1))
    assert await client.queue() == info
    info = await client.do(SetQueue("q", QueueSettings(max_attempts=2), whole=True))
    assert await client.queue() == info
    assert info.policy == QueuePolicy(max_attempts=2)
    await client.put()
    assert (await client.job(1)).max_attempts == 2


@pytest.mark.parametrize("command", [PauseQueue("q", True), PurgeQueue("q", (State.READY,), 0, 10), DeleteQueue("q")])
async def test_a_queue_that_is_not_there_is_said_not_to_be_and_is_not_made(client, command):
    for _ in range(2):
        with pytest.raises(QueueNotFound) as refusal:
            await client.do(command)
        assert refusal.value.fields == {"queue": "q"}


async def test_a_pause_is_kept_and_told(client):
    await client.put()
    assert (await client.do(PauseQueue("q", True))).paused
    assert (await client.queue()).paused
    assert not (await client.do(PauseQueue("q", False))).paused


@pytest.mark.parametrize("state", [state for state in State if state is not State.LEASED])
async def test_a_purge_removes_exactly_the_jobs_in_the_named_state(client, one_of_each, state):
    await client.put("other")
    assert (await client.do(PurgeQueue("q", (state,), 0, 100))).count == 1
    assert {job.state for job in await client.walk(queue="q")} == set(State) - {state}
    assert len(await client.walk(queue="other")) == 1


async def test_a_purge_of_everything_leaves_what_runs(client, one_of_each):
    states = tuple(state for state in State if state is not State.LEASED)
    assert (await client.do(PurgeQueue("q", states, 0, 100))).count == 5
    assert [job.state for job in await client.walk()] == [State.LEASED]
    await client.do(ReleaseLease((await client.job(one_of_each[State.LEASED])).ref()))
    assert await client.tally() == Tally(ready=1, bytes=5)


async def test_a_purge_takes_only_what_was_there_when_it_began(client, new):
    await client.put_all([new() for _ in range(5)])
    first = await client.do(PurgeQueue("q", (State.READY,), 0, 2))
    assert (first.count, first.up_to) == (2, 5)
    await client.put_all([new() for _ in range(5)])
    assert (await client.do(PurgeQueue("q", (State.READY,), first.up_to, 100))).count == 3
    assert [job.id for job in await client.walk()] == [6, 7, 8, 9, 10]


async def test_a_purge_frees_the_unique_keys_and_the_room_of_what_it_takes(client):
    await client.do(SetQueue("q", QueueSettings(capacity_jobs=2), whole=True))
    await client.put(unique_key="u")
    await client.put(unique_key="v", delay_ms=50)
    await client.do(PurgeQueue("q", (State.READY, State.SCHEDULED), 0, 10))
    await client.put(unique_key="u")
    await client.put(unique_key="v")


async def test_a_purge_sees_what_was_decided_before_it_in_its_transaction(client):
    await client.put(delay_ms=50)
    _, purged = await client.together(PromoteJob(1), PurgeQueue("q", (State.READY,), 0, 10))
    assert purged.count == 1
    assert await client.walk() == []


@pytest.mark.parametrize("left", ["ready", "scheduled", "leased", "dead"])
async def test_a_queue_with_an_unfinished_or_dead_job_is_not_deleted(client, left):
    await client.put(delay_ms=500 if left == "scheduled" else None)
    if left in ("leased", "dead"):
        job = await client.take()
        if left == "dead":
            await client.do(FailLease(job.ref(), "no", retry=False))
    before = await client.walk()
    with pytest.raises(WrongState):
        await client.do(DeleteQueue("q"))
    assert await client.walk() == before


async def test_a_deleted_queue_takes_its_history_along_and_nothing_of_another(client, new):
    for name in ("q", "other"):
        await client.put_all([new(name), new(name)])
        await client.do(ConcludeLease((await client.take(name)).ref()))
    await client.do(CancelJob(2))
    assert (await client.do(DeleteQueue("q"))).count == 2
    with pytest.raises(QueueNotFound):
        await client.queue()
    for job_id in (1, 2):
        with pytest.raises(JobNotFound):
            await client.job(job_id)
    assert len(await client.walk(queue="other")) == 2
    await client.put()
    assert (await client.queue()).tally == Tally(ready=1, bytes=1)


async def test_a_queue_is_deleted_in_bites_when_its_history_is_long(client, new):
    for _ in range(3):
        await client.put_all([new() for _ in range(1_000)])
        granted = await client.lease(limit=1_000)
        await client.together(*(ConcludeLease(one.job.ref()) for one in granted))
    assert (await client.do(DeleteQueue("q"))).count == PURGE_CHUNK
    assert (await client.tally()).concluded == 3_000 - PURGE_CHUNK
    assert (await client.do(DeleteQueue("q"))).count == 3_000 - PURGE_CHUNK
    with pytest.raises(QueueNotFound):
        await client.queue()


async def test_other_queues_of_the_same_transaction_are_counted_rightly_although_one_is_deleted(client, new):
    await client.do(SetQueue("gone", QueueSettings(), whole=True))
    await client.put()
    job = await client.take()
    await client.together(ConcludeLease(job.ref()), DeleteQueue("gone"), Enqueue([new(), new("gone")]))
    assert await client.tally() == Tally(ready=1, concluded=1, bytes=1, history_bytes=1)
    await client.put()
    assert await client.tally() == Tally(ready=2, concluded=1, bytes=2, history_bytes=1)
    assert await client.tally("gone") == Tally(ready=1, bytes=1)


@pytest.mark.parametrize("command", [PauseQueue("q\0", True), PurgeQueue("q\0", (State.READY,), 0, 10), DeleteQueue("q\0")])
async def test_a_name_that_no_queue_can_have_is_not_there_and_harms_no_neighbour(client, new, command):
    _, refusal = await client.together(Enqueue([new()]), command)
    assert refusal.code == QueueNotFound.code
    assert await client.tally() == Tally(ready=1, bytes=1)
