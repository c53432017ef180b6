"""Putting jobs: kept as they were given, bounded to the last job and byte, and all of a call or nothing of it."""

import pytest

from holdfast.errors import QueueFull
from holdfast.job.job import Content, IdempotencyKey, State
from holdfast.job.queue import QueueSettings, Tally
from holdfast.messages.commands import CancelJob, ConcludeLease, DeleteJob, Enqueue, FailLease, ReleaseLease, RetryJob, SetQueue
from holdfast.messages.queries import GetJob

KEY = IdempotencyKey("q", "k", b"d")


async def bound(client, queue="q", **settings) -> None:
    await client.do(SetQueue(queue, QueueSettings(**settings), whole=True))


async def test_a_job_is_kept_as_it_was_given(client):
    options = {
        "type": "mail",
        "priority": 3,
        "max_attempts": 4,
        "lease_ms": 5,
        "unique_key": "u",
        "group_key": "g",
        "tags": ("a",),
    }
    receipt = await client.put(payload=b"\x00\xfe not JSON", content_type="application/x", **options)
    detail = await client.detail(receipt.id)
    assert detail.content == Content("mail", "application/x", b"\x00\xfe not JSON")
    job = detail.job
    assert (job.priority, job.max_attempts, job.extras.lease_ms, job.extras.tags) == (3, 4, 5, ("a",))
    assert (job.extras.unique_key, job.extras.group_key, job.size) == ("u", "g", 11)
    assert (receipt.state, receipt.created_at, receipt.ready_at, receipt.queue) == (State.READY, client.now, client.now, "q")


@pytest.mark.parametrize("payload", [b"", b"1", "ünïcode".encode(), b"x" * 60_000, bytes(range(256))])
async def test_a_payload_is_kept_byte_for_byte(client, payload):
    receipt = await client.put(payload=payload)
    for cut in (0, 7, 70_000):
        assert (await client.ask(GetJob(receipt.id, cut))).content.payload == payload[:cut]
    (granted,) = await client.lease()
    assert granted.content.payload == payload
    assert (await client.tally()).bytes == len(payload)


async def test_ids_grow_over_all_queues(client):
    assert [(await client.put(queue)).id for queue in ("a", "b", "a")] == [1, 2, 3]


# Bounds --------------------------------------------------------------------------------------------------------------


async def test_a_queue_takes_exactly_its_capacity_in_jobs_and_says_what_it_holds(client):
    await bound(client, capacity_jobs=3)
    for _ in range(3):
        await client.put()
    with pytest.raises(QueueFull) as refusal:
        await client.put()
    fields = refusal.value.fields
    assert (fields["queue"], fields["jobs"], fields["capacity_jobs"]) == ("q", 3, 3)
    assert fields["retry_after_ms"] > 0
    assert len(await client.walk()) == 3


async def test_a_queue_takes_exactly_its_capacity_in_bytes(client):
    await bound(client, capacity_bytes=10)
    await client.put(payload=b"x" * 7)
    with pytest.raises(QueueFull):
        await client.put(payload=b"x" * 4)
    await client.put(payload=b"x" * 3)
    await client.put(payload=b"")
    with pytest.raises(QueueFull):
        await client.put(payload=b"x")


@pytest.mark.parametrize("where", ["scheduled", "ready", "leased"])
async def test_an_unfinished_job_takes_room_wherever_it_stands(client, where):
    await bound(client, capacity_jobs=1)
    await client.put(delay_ms=9_000 if where == "scheduled" else None)
    if where == "leased":
        await client.take()
    with pytest.raises(QueueFull):
        await client.put()


@pytest.mark.parametrize("end", ["conclude", "dead", "cancel", "delete"])
async def test_an_ended_or_removed_job_makes_room_for_exactly_one(client, end):
    await bound(client, capacity_jobs=1)
    job_id = (await client.put()).id
    match end:
        case "conclude":
            await client.do(ConcludeLease((await client.take()).ref()))
        case "dead":
            await client.do(FailLease((await client.take()).ref(), "no", retry=False))
        case "cancel":
            await client.do(CancelJob(job_id))
        case "delete":
            await client.do(DeleteJob(job_id))
    await client.put()
    with pytest.raises(QueueFull):
        await client.put()


async def test_what_returns_always_has_room_and_the_queue_takes_nothing_new_meanwhile(client):
    await bound(client, capacity_jobs=3)
    for _ in range(3):
        await client.put()
    jobs = [await client.take() for _ in range(3)]
    await bound(client, capacity_jobs=1)
    await client.do(ReleaseLease(jobs[0].ref()))
    await client.do(FailLease(jobs[1].ref(), "no", delay_ms=0))
    assert (await client.pass_time(300_000))[0] == 1
    assert await client.tally() == Tally(ready=3, bytes=3)
    with pytest.raises(QueueFull):
        await client.put()


async def test_a_dead_job_is_retried_only_into_a_queue_with_room(client):
    await bound(client, capacity_jobs=1)
    dead = await client.put()
    await client.do(FailLease((await client.take()).ref(), "no", retry=False))
    other = await client.put()
    with pytest.raises(QueueFull):
        await client.do(RetryJob(dead.id))
    await client.do(DeleteJob(other.id))
    await client.do(RetryJob(dead.id))


async def test_one_full_queue_refuses_the_whole_call_and_nothing_of_it_is_kept(client, new):
    await bound(client, "small", capacity_jobs=2)
    await bound(client, "large")
    with pytest.raises(QueueFull) as refusal:
        await client.put_all([new("large"), *(new("small") for _ in range(3)), new("large")])
    assert refusal.value.fields["queue"] == "small"
    assert await client.walk() == []
    assert [await client.tally(name) for name in ("large", "small")] == [Tally(), Tally()]
    await client.put_all([new("large"), new("small"), new("small")])


async def test_of_calls_in_one_transaction_those_are_taken_that_fit(client, new):
    await bound(client, capacity_jobs=3)
    calls = [Enqueue([new()] * count) for count in (2, 2, 1, 1)]
    results = await client.together(*calls)
    assert [getattr(result, "code", "put") for result in results] == ["put", "queue_full", "put", "queue_full"]
    assert (await client.tally()).ready == 3
