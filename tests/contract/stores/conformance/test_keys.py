"""Unique keys: one unfinished job for each. Idempotency keys: the first answer again, for as long as the job and at least a day."""

import pytest

from holdfast.errors import IdempotencyMismatch, JobNotFound, NotUnique, QueueFull
from holdfast.job.job import IdempotencyKey, State, UniqueWhile
from holdfast.job.queue import QueueSettings
from holdfast.limits import IDEMPOTENCY_MS
from holdfast.messages.commands import CancelJob, ConcludeLease, DeleteJob, Enqueue, FailLease, ReleaseLease, RetryJob, SetQueue
from holdfast.messages.time_commands import ExpireLeases, ForgetHistory

KEY = IdempotencyKey("q", "k", b"d")


async def bound(client, queue="q", **settings) -> None:
    await client.do(SetQueue(queue, QueueSettings(**settings), whole=True))


# Unique keys ---------------------------------------------------------------------------------------------------------


async def test_a_second_job_with_the_unique_key_of_an_unfinished_one_is_refused_and_names_it(client):
    first = await client.put(unique_key="u")
    for _ in range(2):
        with pytest.raises(NotUnique) as refusal:
            await client.put(unique_key="u")
        assert (refusal.value.fields["job_id"], refusal.value.fields["unique_key"]) == (first.id, "u")
        await client.lease()
    await client.put(unique_key="other")
    await client.put("r", unique_key="u")


@pytest.mark.parametrize("end", ["conclude", "dead", "cancel", "delete"])
async def test_a_unique_key_is_free_again_when_its_job_has_ended(client, end):
    job_id = (await client.put(unique_key="u")).id
    match end:
        case "conclude":
            await client.do(ConcludeLease((await client.take()).ref()))
        case "dead":
            await client.do(FailLease((await client.take()).ref(), "no", retry=False))
        case "cancel":
            await client.do(CancelJob(job_id))
        case "delete":
            await client.do(DeleteJob(job_id))
    second = await client.put(unique_key="u")
    with pytest.raises(NotUnique) as refusal:
        await client.put(unique_key="u")
    assert refusal.value.fields["job_id"] == second.id


async def test_one_call_may_not_name_a_unique_key_twice(client, new):
    with pytest.raises(NotUnique):
        await client.put_all([new(unique_key="u"), new(unique_key="v"), new(unique_key="u")])
    assert await client.walk() == []
    await client.put_all([new(unique_key="u"), new("r", unique_key="u")])


async def test_of_two_calls_in_one_transaction_the_first_gets_the_unique_key(client, new):
    results = await client.together(*(Enqueue([new(unique_key="u")]) for _ in range(3)))
    assert [getattr(result, "code", "put") for result in results] == ["put", "not_unique", "not_unique"]


async def test_a_unique_key_passes_on_within_one_transaction(client, new):
    await client.put(unique_key="u")
    job = await client.take()
    results = await client.together(Enqueue([new(unique_key="u")]), ConcludeLease(job.ref()))
    assert [getattr(result, "code", "done") for result in results] == ["done", "done"]
    with pytest.raises(NotUnique):
        await client.put(unique_key="u")


async def test_a_key_that_is_unique_while_queued_is_free_as_soon_as_its_job_runs(client):
    queued = {"unique_key": "u", "unique_while": UniqueWhile.QUEUED}
    await client.put(**queued)
    with pytest.raises(NotUnique):
        await client.put(**queued)
    first = await client.take()
    second = await client.put(**queued)
    with pytest.raises(NotUnique):
        await client.put(**queued)
    await client.do(ReleaseLease(first.ref()))
    with pytest.raises(NotUnique) as refusal:
        await client.put(**queued)
    assert refusal.value.fields["job_id"] == second.id


@pytest.mark.parametrize("way", ["release", "fail", "expire"])
async def test_a_returning_job_takes_its_queued_key_again_unless_somebody_has_it(client, way):
    queued = {"unique_key": "u", "unique_while": UniqueWhile.QUEUED}
    await client.put(**queued)
    job = await client.take()
    match way:
        case "release":
            await client.do(ReleaseLease(job.ref()))
        case "fail":
            await client.do(FailLease(job.ref(), "no"))
        case "expire":
            await client.pass_time(300_000)
    with pytest.raises(NotUnique) as refusal:
        await client.put(**queued)
    assert refusal.value.fields["job_id"] == job.id


async def test_of_two_jobs_that_return_together_with_one_queued_key_one_has_it_and_none_is_lost(client):
    queued = {"unique_key": "u", "unique_while": UniqueWhile.QUEUED}
    jobs = []
    for _ in range(2):
        await client.put(**queued)
        jobs.append(await client.take())
    client.clock.advance(300_000)
    await client.do(ExpireLeases(10))
    assert [await client.state(job.id) for job in jobs] == [State.READY, State.READY]
    with pytest.raises(NotUnique):
        await client.put(**queued)
    for _ in range(2):
        await client.do(ConcludeLease((await client.take()).ref()))
    await client.put(**queued)


async def test_a_dead_job_is_retried_only_when_its_unique_key_is_free(client):
    dead = await client.put(unique_key="u")
    await client.do(FailLease((await client.take()).ref(), "no", retry=False))
    other = await client.put(unique_key="u")
    with pytest.raises(NotUnique) as refusal:
        await client.do(RetryJob(dead.id))
    assert refusal.value.fields["job_id"] == other.id
    await client.do(CancelJob(other.id))
    await client.do(RetryJob(dead.id))
    with pytest.raises(NotUnique):
        await client.put(unique_key="u")


# Idempotency keys ----------------------------------------------------------------------------------------------------


async def test_the_same_call_again_gets_the_first_answer_and_puts_nothing(client, new):
    first = await client.do(Enqueue([new(), new("r")], KEY))
    await client.do(ConcludeLease((await client.take()).ref()))
    again = await client.do(Enqueue([new(), new("r")], KEY))
    assert (again.jobs, again.duplicate, first.duplicate) == (first.jobs, True, False)
    assert again.gone == []
    assert len(await client.walk()) == 2


async def test_the_same_call_again_says_which_of_its_jobs_are_gone(client, new):
    first = await client.do(Enqueue([new(), new("r"), new()], KEY))
    await client.do(DeleteJob(first.jobs[1].id))
    again = await client.do(Enqueue([new(), new("r"), new()], KEY))
    assert (again.jobs, again.duplicate, again.gone) == (first.jobs, True, [first.jobs[1].id])
    _, again = await client.together(DeleteJob(first.jobs[0].id), Enqueue([new(), new("r"), new()], KEY))
    assert again.gone == [job.id for job in first.jobs[:2]]
    assert len(await client.walk()) == 1


async def test_the_same_call_twice_in_one_transaction_puts_once(client, new):
    first, again = await client.together(Enqueue([new()], KEY), Enqueue([new()], KEY))
    assert (again.jobs, again.duplicate) == (first.jobs, True)
    assert len(await client.walk()) == 1


async def test_another_call_under_a_used_key_is_refused(client, new):
    await client.do(Enqueue([new()], KEY))
    for _ in range(2):
        with pytest.raises(IdempotencyMismatch):
            await client.do(Enqueue([new()], IdempotencyKey("q", "k", b"other")))
    assert len(await client.walk()) == 1


async def test_a_key_belongs_to_its_scope(client, new):
    for scope in ("q", "r", ""):
        assert not (await client.do(Enqueue([new()], IdempotencyKey(scope, "k", b"d")))).duplicate


async def test_a_refused_call_leaves_its_key_free(client, new):
    await bound(client, capacity_jobs=0)
    with pytest.raises(QueueFull):
        await client.do(Enqueue([new()], KEY))
    await bound(client, capacity_jobs=1)
    assert not (await client.do(Enqueue([new()], KEY))).duplicate


async def test_a_repeat_is_answered_although_the_queue_is_full_by_now(client, new):
    await bound(client, capacity_jobs=1)
    first = await client.do(Enqueue([new()], KEY))
    assert (await client.do(Enqueue([new()], KEY))).jobs == first.jobs


async def test_a_key_is_kept_for_a_day_although_its_job_is_gone_and_forgotten_after_it(client, new):
    receipt = (await client.do(Enqueue([new()], KEY))).jobs[0]
    await client.do(DeleteJob(receipt.id))
    client.clock.advance(IDEMPOTENCY_MS)
    await client.do(ForgetHistory(100))
    assert (await client.do(Enqueue([new()], KEY))).duplicate
    client.clock.advance(1)
    await client.do(ForgetHistory(100))
    assert not (await client.do(Enqueue([new()], KEY))).duplicate


async def test_a_key_is_kept_for_as_long_as_any_of_its_jobs(client, new):
    jobs = (await client.do(Enqueue([new(), new(), new("r")], KEY))).jobs
    for receipt in jobs[:2]:
        await client.do(DeleteJob(receipt.id))
    client.clock.advance(30 * IDEMPOTENCY_MS)
    await client.do(ForgetHistory(100))
    assert (await client.do(Enqueue([new()], KEY))).duplicate
    await client.do(DeleteJob(jobs[2].id))
    await client.do(ForgetHistory(100))
    assert not (await client.do(Enqueue([new()], KEY))).duplicate
    with pytest.raises(JobNotFound):
        await client.job(jobs[2].id)
