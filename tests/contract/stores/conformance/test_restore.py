"""The undo of a cancel: exactly the jobs of one operation wait again as before, and nothing else does."""

import pytest

from holdfast.job.job import State
from holdfast.job.operation import Do, Doing
from holdfast.job.queue import QueueSettings
from holdfast.messages.commands import CancelJob, ConcludeLease, FailLease, SetQueue
from holdfast.messages.job_batches import CloseJobBatch, MakeJobBatch
from holdfast.messages.queries import CountJobs
from holdfast.messages.time_commands import EndOverdue
from tests.contract.stores.conformance.conftest import StoreClient, new
from tests.contract.stores.conformance.test_operations import operation, run, start


async def test_exactly_the_jobs_that_an_operation_cancelled_wait_again_as_before(client: StoreClient):
    ready = await client.put("q", priority=7)
    tried = await client.put("q", priority=1)
    (granted,) = await client.lease("q")
    assert granted.job.id == tried.id
    await client.do(FailLease(granted.job.ref(), "once", delay_ms=0))
    later = await client.put("q", delay_ms=60_000)
    by_hand, other = await client.put("q"), await client.put("r")
    await client.do(CancelJob(by_hand.id))
    await start(client, Do.CANCEL, queue="r")
    begun = await start(client, Do.CANCEL, queue="q")
    await run(client)
    ended = [await client.job(one.id) for one in (ready, tried, later)]
    assert {job.reason for job in ended} == {f"cancelled: operation {begun.id}"}
    assert sorted(job.id for job in await client.walk(10, cancelled_by=begun.id)) == sorted(job.id for job in ended)
    assert (await client.ask(CountJobs(state=State.CANCELLED, cancelled_by=begun.id))).counts == {"cancelled": 3}
    undo = await start(client, Do.RESTORE, cancelled_by=begun.id)
    await run(client)
    after = await operation(client, undo.id)
    assert (after.state, after.done, after.passed) == (Doing.DONE, 3, 0)
    jobs = [await client.job(one.id) for one in (ready, tried, later)]
    assert [(job.state, job.failures, job.reason, job.ended_at) for job in jobs] == [
        (State.READY, 0, None, None),
        (State.READY, 1, None, None),
        (State.SCHEDULED, 0, None, None),
    ]
    assert jobs[2].ready_at == later.ready_at
    assert [await client.state(one.id) for one in (by_hand, other)] == [State.CANCELLED, State.CANCELLED]


async def test_a_running_job_that_was_asked_to_stop_is_none_of_them(client: StoreClient):
    await client.put("q")
    (granted,) = await client.lease("q")
    begun = await start(client, Do.CANCEL, queue="q", state=State.LEASED)
    await run(client)
    await client.do(FailLease(granted.job.ref(), "stopped"))
    assert await client.state(granted.job.id) is State.CANCELLED
    undo = await start(client, Do.RESTORE, cancelled_by=begun.id)
    await run(client)
    assert (await operation(client, undo.id)).done == 0


async def test_what_expired_or_was_not_cancelled_is_told_and_stays(client: StoreClient):
    expired = await client.put("q", expires_in_ms=10)
    client.clock.advance(1_000)
    await client.do(EndOverdue(10))
    waiting = await client.put("q")
    undo = await start(client, Do.RESTORE, jobs=(expired.id, waiting.id))
    await run(client)
    after = await operation(client, undo.id)
    assert [(one.reason, one.count, one.jobs) for one in after.skipped] == [("wrong_state", 2, (expired.id, waiting.id))]
    assert [await client.state(one.id) for one in (expired, waiting)] == [State.CANCELLED, State.READY]


async def test_it_waits_for_room_and_skips_a_job_whose_unique_key_is_taken(client: StoreClient):
    first = await client.put("q", unique_key="k")
    begun = await start(client, Do.CANCEL, queue="q")
    await run(client)
    second = await client.put("q", unique_key="k")
    undo = await start(client, Do.RESTORE, cancelled_by=begun.id)
    await run(client)
    assert [one.reason for one in (await operation(client, undo.id)).skipped] == ["not_unique"]
    await client.do(CancelJob(second.id))
    await client.do(SetQueue("q", QueueSettings(capacity_jobs=1), whole=False))
    full = await client.put("q")
    undo = await start(client, Do.RESTORE, cancelled_by=begun.id)
    await run(client)
    assert (await operation(client, undo.id)).waits == "waits_for_room"
    (granted,) = await client.lease("q")
    assert granted.job.id == full.id
    await client.do(ConcludeLease(granted.job.ref()))
    client.clock.advance(60_000)
    await run(client)
    assert await client.state(first.id) is State.READY


@pytest.mark.parametrize("closed", [False, True])
async def test_a_batch_counts_what_is_restored_as_pending_again(client: StoreClient, closed: bool):
    batch = await client.do(MakeJobBatch([new("q"), new("q")]))
    if closed:
        await client.do(CloseJobBatch(batch.id))
    begun = await start(client, Do.CANCEL, batch=batch.id)
    await run(client)
    assert (await client.batch(batch.id)).cancelled == 2
    await start(client, Do.RESTORE, cancelled_by=begun.id)
    await run(client)
    found = await client.batch(batch.id)
    assert (found.cancelled, found.pending) == (0, 2)
