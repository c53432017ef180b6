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


async def test_jobs_are_leased_by_priority_and_then_by_age(desk):
    for priority in (5, 1, 5, 0, 1, 2**32 - 1, None):
        await desk.put(priority=priority)
    assert ids(await desk.lease(limit=10)) == [4, 2, 5, 1, 3, 7, 6]


async def test_a_released_job_is_again_the_oldest_of_its_priority(desk):
    for _ in range(3):
        await desk.put()
    first = await desk.take()
    await desk.do(ReleaseLease(first.ref()))
    assert ids(await desk.lease(limit=3)) == [1, 2, 3]


async def test_a_priority_given_at_release_or_by_an_edit_moves_a_job_in_the_line(desk):
    for _ in range(4):
        await desk.put(priority=5)
    first = await desk.take()
    await desk.do(ReleaseLease(first.ref(), priority=9))
    await desk.do(EditJob(4, priority=1))
    assert ids(await desk.lease(limit=4)) == [4, 2, 3, 1]


async def test_queues_are_served_in_the_order_of_the_call(desk, new):
    await desk.put_all([new("a", priority=9), new("b", priority=1), new("a", priority=9), new("c", priority=0)])
    assert ids(await desk.lease("b", "a", limit=2)) == [2, 1]
    assert ids(await desk.lease("b", "a", "c", limit=2)) == [3, 4]


async def test_queues_are_served_by_priority_over_all_of_them_when_asked_for(desk, new):
    await desk.put_all(
        [new("a", priority=9), new("b", priority=1), new("a", priority=0), new("c", priority=1), new("b", priority=9)]
    )
    assert ids(await desk.lease("b", "a", "c", limit=10, by_priority=True)) == [3, 2, 4, 1, 5]


async def test_a_queue_named_twice_or_not_there_changes_nothing(desk):
    await desk.put()
    assert ids(await desk.lease("none", "q", "q", "q", limit=5)) == [1]
    assert await desk.lease("none") == []


async def test_no_job_is_leased_to_two_calls_of_one_transaction(desk, new):
    await desk.put_all([new() for _ in range(5)])
    granted = await desk.together(*(LeaseJobs(("q",), 2, f"w{n}") for n in range(4)))
    assert [ids(one.jobs) for one in granted] == [[1, 2], [3, 4], [5], []]


async def test_what_is_put_can_be_leased_in_the_same_transaction(desk, new):
    granted, _ = await desk.together(LeaseJobs(("q",), 1, "w"), Enqueue([new()]))
    assert ids(granted.jobs) == [1]


async def test_a_lease_tells_its_worker_all_that_it_needs(desk):
    await desk.put(payload=b"[1]", type="t", content_type=None, tags=("a",))
    (granted,) = await desk.lease(worker="me", lease_ms=700)
    lease = granted.job.lease
    assert granted.content == Content("t", None, b"[1]")
    assert (lease.worker, lease.leased_at, lease.until, lease.cancel_requested) == ("me", desk.now, desk.now + 700, False)
    assert (granted.job.state, granted.job.attempt, granted.job.leased_at) == (State.LEASED, 1, desk.now)
    assert len(lease.secret) == 16
    assert await desk.job(1) == granted.job


async def test_no_two_leases_share_a_fence_or_a_secret(desk, new):
    await desk.put_all([new() for _ in range(200)])
    leases = [granted.job.lease for _ in range(2) for granted in await desk.lease(limit=100)]
    assert [lease.fence for lease in leases] == list(range(1, 201))
    assert len({lease.secret for lease in leases}) == 200


@pytest.mark.parametrize(
    ("asked", "of_job", "of_queue", "lasts"),
    [(10, 20, 30, 10), (None, 20, 30, 20), (None, None, 30, 30), (None, None, None, 300_000)],
)
async def test_a_lease_lasts_as_the_call_says_or_the_job_or_the_queue_or_the_default(desk, asked, of_job, of_queue, lasts):
    if of_queue is not None:
        await desk.do(SetQueue("q", QueueSettings(lease_ms=of_queue), whole=True))
    await desk.put(lease_ms=of_job)
    assert (await desk.take(lease_ms=asked)).lease.until == desk.now + lasts


async def test_a_paused_queue_takes_but_does_not_give(desk):
    await desk.put()
    await desk.do(PauseQueue("q", True))
    await desk.put()
    assert await desk.lease(limit=5) == []
    await desk.do(PauseQueue("q", False))
    assert ids(await desk.lease(limit=5)) == [1, 2]


async def test_no_more_jobs_of_a_queue_run_at_once_than_it_says(desk, new):
    await desk.do(SetQueue("q", QueueSettings(max_running=3), whole=True))
    await desk.put_all([new() for _ in range(6)])
    granted = await desk.together(*(LeaseJobs(("q",), 2, "w") for _ in range(3)))
    assert [len(one.jobs) for one in granted] == [2, 1, 0]
    await desk.do(ConcludeLease(granted[0].jobs[0].job.ref()))
    assert len(await desk.lease(limit=5)) == 1
    assert await desk.lease(limit=5) == []


async def test_scheduled_held_and_ended_jobs_are_not_leased(desk):
    await desk.put(delay_ms=1)
    await desk.put(group_key="g")
    await desk.put(group_key="g")
    assert ids(await desk.lease(limit=5)) == [2]


async def test_a_scheduled_job_is_leased_when_its_time_has_come_and_not_a_moment_earlier(desk):
    await desk.put(delay_ms=1_000)
    await desk.put(run_at=desk.now + 500)
    assert (await desk.pass_time(499)) == (0, 0)
    assert await desk.lease(limit=5) == []
    assert (await desk.pass_time(1)) == (0, 1)
    assert ids(await desk.lease(limit=5)) == [2]
    assert (await desk.pass_time(500)) == (0, 1)
    assert ids(await desk.lease(limit=5)) == [1]


async def test_a_promoted_job_is_leased_at_its_place_in_the_line(desk):
    await desk.put(delay_ms=1_000)
    await desk.put()
    await desk.do(PromoteJob(1))
    assert ids(await desk.lease(limit=5)) == [1, 2]


# The same request again ----------------------------------------------------------------------------------------------


async def test_the_same_request_again_gets_the_same_leases(desk, new):
    await desk.put_all([new(payload=b"%d" % n) for n in range(4)])
    first = await desk.lease(limit=2, request="r")
    again = await desk.lease(limit=2, request="r")
    assert again == first
    assert ids(await desk.lease(limit=9, request="s")) == [3, 4]


async def test_the_same_request_twice_in_one_transaction_gets_the_same_leases(desk, new):
    await desk.put_all([new() for _ in range(4)])
    first, again = await desk.together(*(LeaseJobs(("q",), 2, "w", request="r") for _ in range(2)))
    assert again.jobs == first.jobs
    assert ids(await desk.lease(limit=9)) == [3, 4]


async def test_a_request_that_got_nothing_gets_what_there_is_when_it_comes_again(desk):
    assert await desk.lease(request="r") == []
    await desk.put()
    assert ids(await desk.lease(request="r")) == [1]


async def test_of_a_repeated_request_only_the_leases_that_still_live_come_again(desk, new):
    await desk.put_all([new() for _ in range(3)])
    first = await desk.lease(limit=3, request="r")
    await desk.do(ConcludeLease(first[1].job.ref()))
    assert ids(await desk.lease(limit=3, request="r")) == [1, 3]


async def test_a_request_whose_leases_have_all_ended_gets_new_ones(desk):
    await desk.put()
    await desk.do(ConcludeLease((await desk.take(request="r")).ref()))
    await desk.put()
    assert ids(await desk.lease(request="r")) == [2]


async def test_a_lease_that_has_run_out_is_not_given_again_for_its_request(desk):
    """Also in the moment before the tick has taken it back."""
    await desk.put()
    await desk.take(request="r", lease_ms=100)
    desk.clock.advance(100)
    assert await desk.lease(request="r") == []


async def test_a_repeated_request_shows_leases_as_they_are_now(desk):
    await desk.put()
    job = await desk.take(request="r")
    await desk.do(ExtendLease(job.ref(), lease_ms=999_999))
    assert (await desk.take(request="r")).lease.until == desk.now + 999_999


# What an attempt leaves for the next one -----------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["fail", "release", "expire"])
async def test_the_next_attempt_is_told_the_progress_of_the_one_before(desk, end):
    await desk.put()
    await desk.put()
    job = await desk.take()
    await desk.do(ExtendLease(job.ref(), progress=b"1"))
    await desk.do(ExtendLease(job.ref(), lease_ms=1_000, progress=b'{"page":7}'))
    match end:
        case "fail":
            await desk.do(FailLease(job.ref(), "no", delay_ms=0))
        case "release":
            await desk.do(ReleaseLease(job.ref()))
        case "expire":
            await desk.pass_time(1_000)
    again, other = await desk.lease(limit=2)
    assert (again.job.id, again.job.attempt, again.progress) == (1, 2, b'{"page":7}')
    assert other.progress is None
    assert (await desk.detail(1)).progress == b'{"page":7}'


@pytest.mark.parametrize("odd", [b"1e999", b'{"a": [-1E+400]}', b"9" * 5_000, b"[" * 64 + b"-1e400" + b"]" * 64])
async def test_json_that_python_can_not_hold_is_given_as_it_came(desk, odd):
    await desk.put(payload=odd)
    job = await desk.take()
    await desk.do(ExtendLease(job.ref(), progress=odd))
    await desk.do(FailLease(job.ref(), "once", delay_ms=0))
    (again,) = await desk.lease()
    assert (again.content.payload, again.content.content_type, again.progress) == (odd, None, odd)
    await desk.do(ConcludeLease(again.job.ref(), odd))
    detail = await desk.detail(1)
    assert (detail.content.payload, detail.content.content_type, detail.progress, detail.result) == (odd, None, odd, odd)


async def test_an_extension_without_progress_keeps_what_was_noted(desk):
    await desk.put()
    job = await desk.take()
    await desk.do(ExtendLease(job.ref(), progress=b"1"))
    await desk.do(ExtendLease(job.ref()))
    assert (await desk.detail(1)).progress == b"1"


async def test_a_deleted_job_is_never_leased(desk):
    await desk.put()
    await desk.put()
    await desk.do(DeleteJob(1))
    assert ids(await desk.lease(limit=5)) == [2]
