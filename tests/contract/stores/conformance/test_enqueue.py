"""Putting jobs: kept as they were given, bounded to the last job and byte, and all of a call or nothing of it."""

import pytest

from holdfast.errors import QueueFull
from holdfast.job.job import Content, IdempotencyKey, State
from holdfast.job.queue import QueueSettings, Tally
from holdfast.messages.commands import CancelJob, ConcludeLease, DeleteJob, Enqueue, FailLease, ReleaseLease, RetryJob, SetQueue
from holdfast.messages.queries import GetJob

KEY = IdempotencyKey("q", "k", b"d")


async def bound(desk, queue="q", **settings) -> None:
    await desk.do(SetQueue(queue, QueueSettings(**settings), whole=True))


async def test_a_job_is_kept_as_it_was_given(desk):
    options = {
        "type": "mail",
        "priority": 3,
        "max_attempts": 4,
        "lease_ms": 5,
        "unique_key": "u",
        "group_key": "g",
        "tags": ("a",),
    }
    receipt = await desk.put(payload=b"\x00\xfe not JSON", content_type="application/x", **options)
    detail = await desk.detail(receipt.id)
    assert detail.content == Content("mail", "application/x", b"\x00\xfe not JSON")
    job = detail.job
    assert (job.priority, job.max_attempts, job.extras.lease_ms, job.extras.tags) == (3, 4, 5, ("a",))
    assert (job.extras.unique_key, job.extras.group_key, job.size) == ("u", "g", 11)
    assert (receipt.state, receipt.created_at, receipt.ready_at, receipt.queue) == (State.READY, desk.now, desk.now, "q")


@pytest.mark.parametrize("payload", [b"", b"1", "ünïcode".encode(), b"x" * 60_000, bytes(range(256))])
async def test_a_payload_is_kept_byte_for_byte(desk, payload):
    receipt = await desk.put(payload=payload)
    for cut in (0, 7, 70_000):
        assert (await desk.ask(GetJob(receipt.id, cut))).content.payload == payload[:cut]
    (granted,) = await desk.lease()
    assert granted.content.payload == payload
    assert (await desk.tally()).bytes == len(payload)


async def test_ids_grow_over_all_queues(desk):
    assert [(await desk.put(queue)).id for queue in ("a", "b", "a")] == [1, 2, 3]


# Bounds --------------------------------------------------------------------------------------------------------------


async def test_a_queue_takes_exactly_its_capacity_in_jobs_and_says_what_it_holds(desk):
    await bound(desk, capacity_jobs=3)
    for _ in range(3):
        await desk.put()
    with pytest.raises(QueueFull) as refusal:
        await desk.put()
    fields = refusal.value.fields
    assert (fields["queue"], fields["jobs"], fields["capacity_jobs"]) == ("q", 3, 3)
    assert fields["retry_after_ms"] > 0
    assert len(await desk.walk()) == 3


async def test_a_queue_takes_exactly_its_capacity_in_bytes(desk):
    await bound(desk, capacity_bytes=10)
    await desk.put(payload=b"x" * 7)
    with pytest.raises(QueueFull):
        await desk.put(payload=b"x" * 4)
    await desk.put(payload=b"x" * 3)
    await desk.put(payload=b"")
    with pytest.raises(QueueFull):
        await desk.put(payload=b"x")


@pytest.mark.parametrize("where", ["scheduled", "ready", "leased"])
async def test_an_unfinished_job_takes_room_wherever_it_stands(desk, where):
    await bound(desk, capacity_jobs=1)
    await desk.put(delay_ms=9_000 if where == "scheduled" else None)
    if where == "leased":
        await desk.take()
    with pytest.raises(QueueFull):
        await desk.put()


@pytest.mark.parametrize("end", ["conclude", "dead", "cancel", "delete"])
async def test_an_ended_or_removed_job_makes_room_for_exactly_one(desk, end):
    await bound(desk, capacity_jobs=1)
    job_id = (await desk.put()).id
    match end:
        case "conclude":
            await desk.do(ConcludeLease((await desk.take()).ref()))
        case "dead":
            await desk.do(FailLease((await desk.take()).ref(), "no", retry=False))
        case "cancel":
            await desk.do(CancelJob(job_id))
        case "delete":
            await desk.do(DeleteJob(job_id))
    await desk.put()
    with pytest.raises(QueueFull):
        await desk.put()


async def test_what_returns_always_has_room_and_the_queue_takes_nothing_new_meanwhile(desk):
    await bound(desk, capacity_jobs=3)
    for _ in range(3):
        await desk.put()
    jobs = [await desk.take() for _ in range(3)]
    await bound(desk, capacity_jobs=1)
    await desk.do(ReleaseLease(jobs[0].ref()))
    await desk.do(FailLease(jobs[1].ref(), "no", delay_ms=0))
    assert (await desk.pass_time(300_000))[0] == 1
    assert await desk.tally() == Tally(ready=3, bytes=3)
    with pytest.raises(QueueFull):
        await desk.put()


async def test_a_dead_job_is_retried_only_into_a_queue_with_room(desk):
    await bound(desk, capacity_jobs=1)
    dead = await desk.put()
    await desk.do(FailLease((await desk.take()).ref(), "no", retry=False))
    other = await desk.put()
    with pytest.raises(QueueFull):
        await desk.do(RetryJob(dead.id))
    await desk.do(DeleteJob(other.id))
    await desk.do(RetryJob(dead.id))


async def test_one_full_queue_refuses_the_whole_call_and_nothing_of_it_is_kept(desk, new):
    await bound(desk, "small", capacity_jobs=2)
    await bound(desk, "large")
    with pytest.raises(QueueFull) as refusal:
        await desk.put_all([new("large"), *(new("small") for _ in range(3)), new("large")])
    assert refusal.value.fields["queue"] == "small"
    assert await desk.walk() == []
    assert [await desk.tally(name) for name in ("large", "small")] == [Tally(), Tally()]
    await desk.put_all([new("large"), new("small"), new("small")])


async def test_of_calls_in_one_transaction_those_are_taken_that_fit(desk, new):
    await bound(desk, capacity_jobs=3)
    calls = [Enqueue([new()] * count) for count in (2, 2, 1, 1)]
    results = await desk.together(*calls)
    assert [getattr(result, "code", "put") for result in results] == ["put", "queue_full", "put", "queue_full"]
    assert (await desk.tally()).ready == 3
