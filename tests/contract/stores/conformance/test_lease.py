"""Leasing: who comes first, how many, for how long, what a worker is told, and the same request again."""

import pytest

from holdfast.job.job import Content, State
from holdfast.job.queue import QueueSettings
from holdfast.messages.commands import (
    ConcludeLease,
    DeleteJob,
    EditJob,
    Enqueue,
    ExtendLease,
    FailLease,
    LeaseJobs,
    PauseQueue,
    PromoteJob,
    ReleaseLease,
    SetQueue,
)


def ids(granted) -> list[int]:
    return [job.job.id for job in granted]


async def test_jobs_are_leased_by_priority_and_then_by_age(client):
    for priority in (5, 1, 5, 0, 1, 2**32 - 1, None):
        await client.put(priority=priority)
    assert ids(await client.lease(limit=10)) == [4, 2, 5, 1, 3, 7, 6]


async def test_a_released_job_is_again_the_oldest_of_its_priority(client):
    for _ in range(3):
        await client.put()
    first = await client.take()
    await client.do(ReleaseLease(first.ref()))
    assert ids(await client.lease(limit=3)) == [1, 2, 3]


async def test_a_priority_given_at_release_or_by_an_edit_moves_a_job_in_the_line(client):
    for _ in range(4):
        await client.put(priority=5)
    first = await client.take()
    await client.do(ReleaseLease(first.ref(), priority=9))
    await client.do(EditJob(4, priority=1))
    assert ids(await client.lease(limit=4)) == [4, 2, 3, 1]


async def test_queues_are_served_in_the_order_of_the_call(client, new):
    await client.put_all([new("a", priority=9), new("b", priority=1), new("a", priority=9), new("c", priority=0)])
    assert ids(await client.lease("b", "a", limit=2)) == [2, 1]
    assert ids(await client.lease("b", "a", "c", limit=2)) == [3, 4]


async def test_queues_are_served_by_priority_over_all_of_them_when_asked_for(client, new):
    await client.put_all(
        [new("a", priority=9), new("b", priority=1), new("a", priority=0), new("c", priority=1), new("b", priority=9)]
    )
    assert ids(await client.lease("b", "a", "c", limit=10, by_priority=True)) == [3, 2, 4, 1, 5]


async def test_a_queue_named_twice_or_not_there_changes_nothing(client):
    await client.put()
    assert ids(await client.lease("none", "q", "q", "q", limit=5)) == [1]
    assert await client.lease("none") == []


async def test_no_job_is_leased_to_two_calls_of_one_transaction(client, new):
    await client.put_all([new() for _ in range(5)])
    granted = await client.together(*(LeaseJobs(("q",), 2, f"w{n}") for n in range(4)))
    assert [ids(one.jobs) for one in granted] == [[1, 2], [3, 4], [5], []]


async def test_what_is_put_can_be_leased_in_the_same_transaction(client, new):
    granted, _ = await client.together(LeaseJobs(("q",), 1, "w"), Enqueue([new()]))
    assert ids(granted.jobs) == [1]


async def test_a_lease_tells_its_worker_all_that_it_needs(client):
    await client.put(payload=b"[1]", type="t", content_type=None, tags=("a",))
    (granted,) = await client.lease(worker="me", lease_ms=700)
    lease = granted.job.lease
    assert granted.content == Content("t", None, b"[1]")
    assert (lease.worker, lease.leased_at, lease.until, lease.cancel_requested) == ("me", client.now, client.now + 700, False)
    assert (granted.job.state, granted.job.attempt, granted.job.leased_at) == (State.LEASED, 1, client.now)
    assert len(lease.secret) == 16
    assert await client.job(1) == granted.job


async def test_no_two_leases_share_a_fence_or_a_secret(client, new):
    await client.put_all([new() for _ in range(200)])
    leases = [granted.job.lease for _ in range(2) for granted in await client.lease(limit=100)]
    assert [lease.fence for lease in leases] == list(range(1, 201))
    assert len({lease.secret for lease in leases}) == 200


@pytest.mark.parametrize(
    ("asked", "of_job", "of_queue", "lasts"),
    [(10, 20, 30, 10), (None, 20, 30, 20), (None, None, 30, 30), (None, None, None, 300_000)],
)
async def test_a_lease_lasts_as_the_call_says_or_the_job_or_the_queue_or_the_default(client, asked, of_job, of_queue, lasts):
    if of_queue is not None:
        await client.do(SetQueue("q", QueueSettings(lease_ms=of_queue), whole=True))
    await client.put(lease_ms=of_job)
    assert (await client.take(lease_ms=asked)).lease.until == client.now + lasts


async def test_a_paused_queue_takes_but_does_not_give(client):
    await client.put()
    await client.do(PauseQueue("q", True))
    await client.put()
    assert await client.lease(limit=5) == []
    await client.do(PauseQueue("q", False))
    assert ids(await client.lease(limit=5)) == [1, 2]


async def test_no_more_jobs_of_a_queue_run_at_once_than_it_says(client, new):
    await client.do(SetQueue("q", QueueSettings(max_running=3), whole=True))
    await client.put_all([new() for _ in range(6)])
    granted = await client.together(*(LeaseJobs(("q",), 2, "w") for _ in range(3)))
    assert [len(one.jobs) for one in granted] == [2, 1, 0]
    await client.do(ConcludeLease(granted[0].jobs[0].job.ref()))
    assert len(await client.lease(limit=5)) == 1
    assert await client.lease(limit=5) == []


async def test_scheduled_held_and_ended_jobs_are_not_leased(client):
    await client.put(delay_ms=1)
    await client.put(group_key="g")
    await client.put(group_key="g")
    assert ids(await client.lease(limit=5)) == [2]


async def test_a_scheduled_job_is_leased_when_its_time_has_come_and_not_a_moment_earlier(client):
    await client.put(delay_ms=1_000)
    await client.put(run_at=client.now + 500)
    assert (await client.pass_time(499)) == (0, 0)
    assert await client.lease(limit=5) == []
    assert (await client.pass_time(1)) == (0, 1)
    assert ids(await client.lease(limit=5)) == [2]
    assert (await client.pass_time(500)) == (0, 1)
    assert ids(await client.lease(limit=5)) == [1]


async def test_a_promoted_job_is_leased_at_its_place_in_the_line(client):
    await client.put(delay_ms=1_000)
    await client.put()
    await client.do(PromoteJob(1))
    assert ids(await client.lease(limit=5)) == [1, 2]


# The same request again ----------------------------------------------------------------------------------------------


async def test_the_same_request_again_gets_the_same_leases(client, new):
    await client.put_all([new(payload=b"%d" % n) for n in range(4)])
    first = await client.lease(limit=2, request="r")
    again = await client.lease(limit=2, request="r")
    assert again == first
    assert ids(await client.lease(limit=9, request="s")) == [3, 4]


async def test_the_same_request_twice_in_one_transaction_gets_the_same_leases(client, new):
    await client.put_all([new() for _ in range(4)])
    first, again = await client.together(*(LeaseJobs(("q",), 2, "w", request="r") for _ in range(2)))
    assert again.jobs == first.jobs
    assert ids(await client.lease(limit=9)) == [3, 4]


async def test_a_request_that_got_nothing_gets_what_there_is_when_it_comes_again(client):
    assert await client.lease(request="r") == []
    await client.put()
    assert ids(await client.lease(request="r")) == [1]


async def test_of_a_repeated_request_only_the_leases_that_still_live_come_again(client, new):
    await client.put_all([new() for _ in range(3)])
    first = await client.lease(limit=3, request="r")
    await client.do(ConcludeLease(first[1].job.ref()))
    assert ids(await client.lease(limit=3, request="r")) == [1, 3]


async def test_a_request_whose_leases_have_all_ended_gets_new_ones(client):
    await client.put()
    await client.do(ConcludeLease((await client.take(request="r")).ref()))
    await client.put()
    assert ids(await client.lease(request="r")) == [2]


async def test_a_lease_that_has_run_out_is_not_given_again_for_its_request(client):
    """Also in the moment before the tick has taken it back."""
    await client.put()
    await client.take(request="r", lease_ms=100)
    client.clock.advance(100)
    assert await client.lease(request="r") == []


async def test_a_repeated_request_shows_leases_as_they_are_now(client):
    await client.put()
    job = await client.take(request="r")
    await client.do(ExtendLease(job.ref(), lease_ms=999_999))
    assert (await client.take(request="r")).lease.until == client.now + 999_999


# What an attempt leaves for the next one -----------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["fail", "release", "expire"])
async def test_the_next_attempt_is_told_the_progress_of_the_one_before(client, end):
    await client.put()
    await client.put()
    job = await client.take()
    await client.do(ExtendLease(job.ref(), progress=b"1"))
    await client.do(ExtendLease(job.ref(), lease_ms=1_000, progress=b'{"page":7}'))
    match end:
        case "fail":
            await client.do(FailLease(job.ref(), "no", delay_ms=0))
        case "release":
            await client.do(ReleaseLease(job.ref()))
        case "expire":
            await client.pass_time(1_000)
    again, other = await client.lease(limit=2)
    assert (again.job.id, again.job.attempt, again.progress) == (1, 2, b'{"page":7}')
    assert other.progress is None
    assert (await client.detail(1)).progress == b'{"page":7}'


@pytest.mark.parametrize("odd", [b"1e999", b'{"a": [-1E+400]}', b"9" * 5_000, b"[" * 64 + b"-1e400" + b"]" * 64])
async def test_json_that_python_can_not_hold_is_given_as_it_came(client, odd):
    await client.put(payload=odd)
    job = await client.take()
    await client.do(ExtendLease(job.ref(), progress=odd))
    await client.do(FailLease(job.ref(), "once", delay_ms=0))
    (again,) = await client.lease()
    assert (again.content.payload, again.content.content_type, again.progress) == (odd, None, odd)
    await client.do(ConcludeLease(again.job.ref(), odd))
    detail = await client.detail(1)
    assert (detail.content.payload, detail.content.content_type, detail.progress, detail.result) == (odd, None, odd, odd)


async def test_an_extension_without_progress_keeps_what_was_noted(client):
    await client.put()
    job = await client.take()
    await client.do(ExtendLease(job.ref(), progress=b"1"))
    await client.do(ExtendLease(job.ref()))
    assert (await client.detail(1)).progress == b"1"


async def test_a_deleted_job_is_never_leased(client):
    await client.put()
    await client.put()
    await client.do(DeleteJob(1))
    assert ids(await client.lease(limit=5)) == [2]
