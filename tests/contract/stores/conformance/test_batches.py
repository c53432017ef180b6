"""Batches of jobs: members are counted exactly, and each closing job is put once, with the change that makes it due."""

import pytest

from holdfast.auth.scope import Scope
from holdfast.errors import (
    BatchClosed,
    BatchNotFound,
    IdempotencyMismatch,
    InvalidRequest,
    LeaseLost,
    NotUnique,
    PayloadTooLarge,
    QueueFull,
)
from holdfast.job.closing import Closes, Closing
from holdfast.job.job import EXPIRED, IdempotencyKey, OnConflict, State
from holdfast.job.job_batch import ClosingJob
from holdfast.job.queue import QueueSettings
from holdfast.limits import JOB_BATCH_KEPT_MS, JOB_BATCH_LEVELS
from holdfast.messages.commands import (
    CancelJob,
    ConcludeLease,
    DeleteJob,
    Enqueue,
    FailLease,
    LeaseJobs,
    MoveJob,
    PurgeQueue,
    RetryJob,
    SetQueue,
    SettleJob,
)
from holdfast.messages.job_batches import (
    CancelJobBatch,
    CloseJobBatch,
    GetJobBatch,
    ListJobBatches,
    ListMembers,
    MakeJobBatch,
    OldestJobBatch,
    PutClosingJobs,
)
from holdfast.messages.queries import ListQueues
from holdfast.messages.time_commands import EndOverdue, ForgetHistory


@pytest.fixture
def closing(new):
    """Closing jobs of all three kinds, in queues that are called after them."""

    def made(*kinds, **options):
        return [ClosingJob(on, new(on.value, **options)) for on in kinds or Closing]

    return made


async def counts(client, number):
    batch = await client.batch(number)
    return batch.pending, batch.concluded, batch.dead, batch.cancelled


async def put_for(client, number):
    """Which closing jobs were put, by what they say of their batch."""
    found = []
    for on in Closing:
        for job in await client.walk(queue=on.value) if on.value in await _queues(client) else []:
            assert job.extras.closes.on is on
            found += [on] if job.extras.closes.batch == number else []
    return found


async def _queues(client):
    return {info.name for info in (await client.ask(ListQueues(1_000))).queues}


async def conclude(client, queue="q"):
    job = await client.take(queue)
    await client.do(ConcludeLease(job.ref()))
    return job


async def test_when_all_of_a_batch_are_concluded_it_has_finished_and_succeeded(client, new, closing):
    made = await client.do(MakeJobBatch([new(), new("r")], "report", closed=True, closing=closing()))
    assert len(made.jobs) == 2
    await conclude(client)
    assert await counts(client, made.id) == (1, 1, 0, 0)
    assert await put_for(client, made.id) == []
    await conclude(client, "r")
    batch = await client.batch(made.id)
    assert (batch.state, batch.total, batch.concluded, batch.ended_at) == ("finished", 2, 2, client.now)
    assert await put_for(client, made.id) == [Closing.SUCCESS, Closing.FINISH]
    (job,) = await client.walk(queue="on_finish")
    assert job.extras.closes == Closes(made.id, Closing.FINISH, "report", concluded=2)
    info = await client.ask(GetJobBatch(made.id))
    assert [(one.on, one.state, one.job) for one in info.closing] == [
        (Closing.SUCCESS, "put", batch.success),
        (Closing.FINISH, "put", job.id),
        (Closing.FAILURE, "never", None),
    ]


async def test_members_that_end_in_one_transaction_put_each_closing_job_once(client, new, closing):
    made = await client.do(MakeJobBatch([new() for _ in range(5)], closed=True, closing=closing()))
    jobs = [one.job for one in await client.lease(limit=5)]
    await client.together(*[ConcludeLease(job.ref()) for job in jobs], *[ConcludeLease(job.ref()) for job in jobs])
    assert await put_for(client, made.id) == [Closing.SUCCESS, Closing.FINISH]


async def test_the_first_dead_member_puts_on_failure_and_a_retry_may_still_succeed(client, new, closing):
    made = await client.do(MakeJobBatch([new(), new()], closed=True, closing=closing()))
    job = await client.take()
    await client.do(FailLease(job.ref(), "no", retry=False))
    assert await put_for(client, made.id) == [Closing.FAILURE]
    await conclude(client)
    assert await put_for(client, made.id) == [Closing.FINISH, Closing.FAILURE]
    assert await counts(client, made.id) == (0, 1, 1, 0)
    await client.do(RetryJob(job.id))
    assert (await client.batch(made.id)).state == "closed"
    again = await client.take()
    await client.do(FailLease(again.ref(), "no", retry=False))
    await client.do(RetryJob(job.id))
    assert await put_for(client, made.id) == [Closing.FINISH, Closing.FAILURE]
    await conclude(client)
    assert await put_for(client, made.id) == [Closing.SUCCESS, Closing.FINISH, Closing.FAILURE]
    assert await counts(client, made.id) == (0, 2, 0, 0)


async def test_a_death_that_is_retried_in_the_same_transaction_still_tells(client, new, closing):
    made = await client.do(MakeJobBatch([new(max_attempts=1)], closed=True, closing=closing()))
    job = await client.take()
    await client.together(FailLease(job.ref(), "no"), RetryJob(job.id))
    assert await put_for(client, made.id) == [Closing.FAILURE]
    assert await counts(client, made.id) == (1, 0, 0, 0)


async def test_a_lease_that_expires_for_good_closes_the_batch_too(client, new, closing):
    made = await client.do(MakeJobBatch([new(max_attempts=1)], closed=True, closing=closing()))
    await client.take()
    await client.pass_time(300_000)
    assert await put_for(client, made.id) == [Closing.FINISH, Closing.FAILURE]


async def test_cancelled_and_removed_members_let_it_finish_but_not_succeed(client, new, closing):
    made = await client.do(MakeJobBatch([new(), new(), new()], closed=True, closing=closing()))
    await client.do(CancelJob(made.jobs[0].id))
    await client.do(DeleteJob(made.jobs[1].id))
    await conclude(client)
    assert await counts(client, made.id) == (0, 1, 0, 2)
    assert await put_for(client, made.id) == [Closing.FINISH]
    assert (await client.batch(made.id)).success == (await client.batch(made.id)).failure == -2
    await client.do(DeleteJob(made.jobs[0].id))
    assert await counts(client, made.id) == (0, 1, 0, 2)


async def test_a_dead_member_that_is_purged_or_settled_is_counted_as_what_became_of_it(client, new, closing):
    made = await client.do(MakeJobBatch([new(), new()], closed=True, closing=closing(Closing.SUCCESS)))
    for _ in range(2):
        job = await client.take()
        await client.do(FailLease(job.ref(), "no", retry=False))
    await client.do(SettleJob(made.jobs[0].id, True, "by hand"))
    assert await counts(client, made.id) == (0, 1, 1, 0)
    await client.do(PurgeQueue("q", (State.DEAD,), 0, 10))
    assert await counts(client, made.id) == (0, 1, 0, 1)
    assert await put_for(client, made.id) == []


async def test_jobs_join_until_it_is_closed_and_then_only_its_running_members_add_to_it(client, new, closing):
    made = await client.do(MakeJobBatch([new()], closing=closing(Closing.FINISH)))
    await client.put("r", batch=made.id)
    await conclude(client)
    running = await client.take("r")
    assert await put_for(client, made.id) == []
    await client.do(CloseJobBatch(made.id))
    with pytest.raises(BatchClosed):
        await client.put(batch=made.id)
    await client.put()
    stranger = await client.take()
    with pytest.raises(BatchClosed):
        await client.do(ConcludeLease(stranger.ref(), None, [new("r", batch=made.id)]))
    with pytest.raises(BatchClosed):
        await client.do(Enqueue([new(batch=made.id)], member=stranger.ref()))
    await client.do(Enqueue([new(batch=made.id)], member=running.ref()))
    await client.do(ConcludeLease(running.ref(), None, [new("r", batch=made.id)]))
    with pytest.raises(LeaseLost):
        await client.do(Enqueue([new(batch=made.id)], member=running.ref()))
    assert await counts(client, made.id) == (2, 2, 0, 0)
    await conclude(client)
    assert await put_for(client, made.id) == []
    await conclude(client, "r")
    assert await put_for(client, made.id) == [Closing.FINISH]


async def test_a_batch_without_jobs_is_finished_when_it_is_closed(client, closing):
    made = await client.do(MakeJobBatch([], closing=closing()))
    assert (await client.batch(made.id)).state == "open"
    await client.do(CloseJobBatch(made.id))
    await client.do(CloseJobBatch(made.id))
    assert await put_for(client, made.id) == [Closing.SUCCESS, Closing.FINISH]
    at_once = await client.do(MakeJobBatch([], closed=True, closing=closing()))
    assert await put_for(client, at_once.id) == [Closing.SUCCESS, Closing.FINISH]


async def test_all_or_nothing(client, new, closing):
    await client.do(SetQueue("r", QueueSettings(capacity_jobs=1, capacity_bytes=10), whole=True))
    with pytest.raises(QueueFull):
        await client.do(MakeJobBatch([new(), new("r"), new("r")], closing=closing()))
    with pytest.raises(PayloadTooLarge):
        await client.do(MakeJobBatch([new()], closing=[ClosingJob(Closing.FINISH, new("r", b"12345678901"))]))
    assert await client.walk() == []
    assert (await client.ask(ListJobBatches())).batches == []


async def test_a_repeated_call_gets_the_first_answer(client, new):
    key = IdempotencyKey("", "k", b"digest")
    first = await client.do(MakeJobBatch([new(), new()], key=key))
    again = await client.do(MakeJobBatch([new(), new()], key=key))
    assert (again.id, again.jobs, again.duplicate, again.gone) == (first.id, first.jobs, True, [])
    await client.do(DeleteJob(first.jobs[0].id))
    assert (await client.do(MakeJobBatch([new(), new()], key=key))).gone == [first.jobs[0].id]
    with pytest.raises(IdempotencyMismatch):
        await client.do(MakeJobBatch([new()], key=IdempotencyKey("", "k", b"other")))
    assert len((await client.ask(ListJobBatches())).batches) == 1


async def test_the_conclude_that_ends_a_batch_is_refused_while_there_is_no_room_for_its_closing_job(client, new, closing):
    await client.do(SetQueue("on_finish", QueueSettings(capacity_jobs=1), whole=True))
    blocker = await client.put("on_finish")
    made = await client.do(MakeJobBatch([new(), new()], closed=True, closing=closing(Closing.FINISH)))
    await conclude(client)
    job = await client.take()
    with pytest.raises(QueueFull):
        await client.do(ConcludeLease(job.ref()))
    assert await client.job(job.id) == job
    await client.do(CancelJob(blocker.id))
    await client.do(ConcludeLease(job.ref()))
    assert len(await client.walk(queue="on_finish", state=State.READY)) == 1
    assert await counts(client, made.id) == (0, 2, 0, 0)


async def test_a_closing_job_takes_the_room_of_the_job_that_ends_its_batch(client, new):
    await client.do(SetQueue("q", QueueSettings(capacity_jobs=1), whole=True))
    made = await client.do(MakeJobBatch([new()], closed=True, closing=[ClosingJob(Closing.SUCCESS, new())]))
    await conclude(client)
    assert (await client.take()).extras.closes.batch == made.id


async def test_what_time_makes_due_without_room_is_owed_and_put_later(client, new, closing):
    await client.do(SetQueue("on_failure", QueueSettings(capacity_jobs=0), whole=True))
    made = await client.do(MakeJobBatch([new(max_attempts=1)], closed=True, closing=closing(Closing.FAILURE)))
    await client.take()
    await client.pass_time(300_000)
    (owed,) = (await client.ask(GetJobBatch(made.id))).closing
    assert (owed.on, owed.state, owed.queue, owed.refusal) == (Closing.FAILURE, "owed", "on_failure", "queue_full")
    assert client.backend.committer.owing
    answer = await client.do(PutClosingJobs(10))
    assert (answer.count, answer.more) == (0, True)
    await client.do(SetQueue("on_failure", QueueSettings(), whole=True))
    answer = await client.do(PutClosingJobs(10))
    assert (answer.count, answer.more) == (1, False)
    assert (await client.do(PutClosingJobs(10))).count == 0
    assert await put_for(client, made.id) == [Closing.FAILURE]


async def test_a_closing_job_whose_unique_key_is_taken_is_owed_and_the_conclude_goes_on(client, new, closing):
    holder = await client.put("on_finish", unique_key="u")
    made = await client.do(MakeJobBatch([new()], closed=True, closing=closing(Closing.FINISH, unique_key="u")))
    await conclude(client)
    (owed,) = (await client.ask(GetJobBatch(made.id))).closing
    assert (owed.state, owed.refusal) == ("owed", NotUnique.code)
    await client.do(CancelJob(holder.id))
    assert (await client.do(PutClosingJobs(10))).count == 1


async def test_a_closing_job_that_is_put_after_its_deadline_expires_at_once_and_nobody_waits_for_it(client, new, closing):
    outer = await client.do(MakeJobBatch([]))
    late = closing(Closing.FINISH, batch=outer.id, expires_at=client.now + 100)
    made = await client.do(MakeJobBatch([new()], closed=True, closing=late))
    await client.do(CloseJobBatch(outer.id))
    client.clock.advance(100)
    await conclude(client)
    put = (await client.batch(made.id)).finish
    assert (await client.batch(outer.id)).state == "closed"
    client.clock.advance(1)
    await client.do(EndOverdue(10))
    assert (await client.job(put)).reason == EXPIRED
    assert (await client.batch(outer.id)).state == "finished"
    assert await counts(client, outer.id) == (0, 0, 0, 1)


async def test_a_batch_in_a_batch_is_waited_for(client, new, closing):
    outer = await client.do(MakeJobBatch([new("o")], closing=closing(Closing.SUCCESS)))
    inner = await client.do(MakeJobBatch([new()], closed=True, closing=[ClosingJob(Closing.SUCCESS, new("i", batch=outer.id))]))
    await client.do(CloseJobBatch(outer.id))
    assert await counts(client, outer.id) == (2, 0, 0, 0)
    await conclude(client, "o")
    assert await put_for(client, outer.id) == []
    await conclude(client)
    assert await counts(client, outer.id) == (1, 1, 0, 0)
    job = await client.take("i")
    assert (job.extras.batch, job.extras.closes.batch) == (outer.id, inner.id)
    await client.do(ConcludeLease(job.ref()))
    assert await put_for(client, outer.id) == [Closing.SUCCESS]


async def test_a_closing_job_that_never_comes_is_not_waited_for_however_deep(client, new):
    levels = []
    into = None
    for _ in range(JOB_BATCH_LEVELS):
        closing = [ClosingJob(Closing.FAILURE, new("f", batch=into))]
        made = await client.do(MakeJobBatch([new()] if len(levels) == JOB_BATCH_LEVELS - 1 else [], closing=closing))
        into = made.id
        levels.append(made.id)
    with pytest.raises(InvalidRequest):
        await client.do(MakeJobBatch([], closing=[ClosingJob(Closing.FAILURE, new("f", batch=into))]))
    for number in levels:
        await client.do(CloseJobBatch(number))
    assert [(await client.batch(number)).pending for number in levels] == [1] * JOB_BATCH_LEVELS
    await conclude(client)
    assert [(await client.batch(number)).state for number in levels] == ["finished"] * JOB_BATCH_LEVELS


async def test_a_member_stays_one_in_another_queue(client, new, closing):
    made = await client.do(MakeJobBatch([new(), new()], closed=True, closing=closing(Closing.SUCCESS)))
    moved = (await client.do(MoveJob(made.jobs[0].id, "r"))).jobs[0]
    assert await counts(client, made.id) == (2, 0, 0, 0)
    await conclude(client)
    await client.do(MoveJob(made.jobs[1].id, "r"))  # done once more, but not for the batch
    assert await counts(client, made.id) == (1, 1, 0, 0)
    job = await client.take("r")
    assert job.id == moved.id
    await client.do(FailLease(job.ref(), "no", retry=False))
    await client.do(MoveJob(job.id, "q"))
    assert await counts(client, made.id) == (1, 1, 0, 0)
    await conclude(client)
    assert await put_for(client, made.id) == [Closing.SUCCESS]


async def test_a_job_that_stands_in_the_place_of_a_new_one_stays_what_it_was(client, new):
    await client.put(unique_key="u")
    made = await client.do(
        MakeJobBatch([new(unique_key="u", on_conflict=OnConflict.EXISTING), new(unique_key="v")], closed=True)
    )
    assert made.existing == [0]
    assert await counts(client, made.id) == (1, 0, 0, 0)
    other = await client.do(MakeJobBatch([new(unique_key="v", on_conflict=OnConflict.REPLACE)], closed=True))
    assert (await client.batch(other.id)).total == 0
    assert (await client.job(made.jobs[1].id)).extras.batch == made.id


async def test_cancel_closes_it_and_ends_what_waits(client, new, closing):
    made = await client.do(MakeJobBatch([new(), new(), new(delay_ms=1_000)], closing=closing()))
    running = await client.take()
    page = await client.ask(ListMembers(made.id, 2))
    assert (page.jobs, page.after) == ([made.jobs[0].id, made.jobs[1].id], made.jobs[1].id)
    rest = await client.ask(ListMembers(made.id, 2, page.after))
    assert (rest.jobs, rest.after) == ([made.jobs[2].id], None)
    assert (await client.do(CancelJobBatch(made.id, [*page.jobs, *rest.jobs, 999]))).count == 3
    assert (await client.job(running.id)).lease.cancel_requested
    assert (await client.batch(made.id)).state == "closed"
    await client.do(FailLease(running.ref(), "stopped"))
    assert await counts(client, made.id) == (0, 0, 0, 3)
    assert await put_for(client, made.id) == [Closing.FINISH]


async def test_members_are_listed_by_their_ids_whatever_their_state(client, new):
    made = await client.do(
        MakeJobBatch([new(group_key="g"), new(group_key="g"), new("r", type="t", tags=("x",)), new(delay_ms=9)], closed=True)
    )
    await client.put()
    await client.take()
    ids = [receipt.id for receipt in made.jobs]
    assert [job.id for job in await client.walk(batch=made.id)] == ids
    assert [job.id for job in await client.walk(batch=made.id, limit=1)] == ids
    assert [job.id for job in await client.walk(batch=made.id, type="t")] == [ids[2]]
    assert [job.id for job in await client.walk(batch=made.id, tag="x")] == [ids[2]]
    assert [job.id for job in await client.walk(batch=made.id, queue="q", state=State.READY)] == [ids[1]]
    assert await client.walk(batch=999) == []


async def test_batches_are_listed_newest_first(client):
    ids = [(await client.do(MakeJobBatch([], closed=closed))).id for closed in (False, True, False)]
    assert [one.id for one in (await client.ask(ListJobBatches())).batches] == ids[::-1]
    page = await client.ask(ListJobBatches(2))
    assert (await client.ask(ListJobBatches(2, page.before))).batches[0].id == ids[0]
    assert [one.id for one in (await client.ask(ListJobBatches(state="finished"))).batches] == [ids[1]]


async def test_who_does_not_see_all_of_its_queues_does_not_see_a_batch(client, new, closing):
    scope = Scope(("q",))
    made = await client.do(MakeJobBatch([new()], scope=scope))
    assert (await client.ask(GetJobBatch(made.id, scope=scope))).batch.id == made.id
    other = await client.do(MakeJobBatch([new()], closing=closing(Closing.FINISH)))
    for ask in (
        client.ask(GetJobBatch(other.id, scope=scope)),
        client.do(CloseJobBatch(other.id, scope=scope)),
        client.do(CancelJobBatch(other.id, scope=scope)),
        client.do(Enqueue([new(batch=other.id)], scope=scope)),
        client.ask(ListMembers(other.id, 10, scope=scope)),
        client.do(CloseJobBatch(999)),
        client.ask(GetJobBatch(999)),
    ):
        with pytest.raises(BatchNotFound):
            await ask
    with pytest.raises(InvalidRequest):
        await client.do(MakeJobBatch([], scope=scope))
    assert [one.id for one in (await client.ask(ListJobBatches(scope=scope))).batches] == [made.id]


async def test_finished_batches_are_forgotten_after_a_while_and_those_with_dead_members_are_not(client, new):
    done = await client.do(MakeJobBatch([], closed=True))
    dead = await client.do(MakeJobBatch([new()], closed=True))
    await client.do(FailLease((await client.take()).ref(), "no", retry=False))
    await client.pass_time(JOB_BATCH_KEPT_MS)
    await client.do(ForgetHistory(10))
    assert len((await client.ask(ListJobBatches())).batches) == 2
    await client.pass_time(1)
    await client.do(ForgetHistory(10))
    assert [one.id for one in (await client.ask(ListJobBatches())).batches] == [dead.id]
    with pytest.raises(BatchNotFound):
        await client.batch(done.id)


async def test_a_closing_job_is_granted_to_who_waits_in_the_commit_that_ends_its_batch(client, new, closing):
    await client.do(MakeJobBatch([new()], closed=True, closing=closing(Closing.SUCCESS)))
    job = await client.take()
    _, granted = await client.together(ConcludeLease(job.ref()), LeaseJobs(("on_success",), 1, "w"))
    assert [one.job.extras.closes.on for one in granted.jobs] == [Closing.SUCCESS]


async def test_a_batch_is_there_after_a_restart(lasting_place, reopen, new, closing):
    client = await reopen(lasting_place)
    made = await client.do(MakeJobBatch([new(), new()], "n", closed=True, closing=closing(priority=3)))
    await conclude(client)
    job = await client.take()
    client = await reopen(lasting_place, client)
    assert await counts(client, made.id) == (1, 1, 0, 0)
    await client.do(ConcludeLease(job.ref()))
    client = await reopen(lasting_place, client)
    await client.do(ConcludeLease(job.ref()))
    assert await put_for(client, made.id) == [Closing.SUCCESS, Closing.FINISH]
    assert (await client.take("on_finish")).priority == 3
    await client.close()


async def test_ten_thousand_members_cost_one_row_of_counts(client, new):
    made = await client.do(MakeJobBatch([new() for _ in range(500)], closed=True))
    jobs = [one.job for one in await client.lease(limit=500)]
    await client.together(*[ConcludeLease(job.ref()) for job in jobs])
    assert await counts(client, made.id) == (0, 500, 0, 0)


async def test_the_oldest_batch_is_the_first_that_is_not_finished(client, new):
    assert (await client.ask(OldestJobBatch())).count == 0
    made = [await client.do(MakeJobBatch([new("q")], closed=True)) for _ in range(2)]
    client.clock.advance(5_000)
    assert (await client.ask(OldestJobBatch())).count == 5_000
    for one in made:
        await client.do(CancelJob(one.jobs[0].id))
    assert (await client.ask(OldestJobBatch())).count == 0
