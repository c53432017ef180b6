"""A store that may not grow any more: pushes are refused, leases still end, and every caller is told which of the two it was.

SQLite is really full here: the database may have no further page.
"""

import pytest

from holdfast.job.job import IdempotencyKey
from holdfast.job.queue import QueuePolicy
from holdfast.messages.answers import Enqueued, Granted, Outcome
from holdfast.messages.commands import ConcludeLease, Enqueue, FailLease, LeaseJobs, ReleaseLease
from holdfast.messages.queries import GetJob, GetQueue
from holdfast.stores.sqlite.store import SqliteStore


def codes(results) -> list[str]:
    return [getattr(result, "code", type(result).__name__) for result in results]


async def submit_all(backend, commands):
    return [await future for future in [backend.submit(command) for command in commands]]


async def leased(backend, count=1):
    granted = await backend.submit(LeaseJobs(("q",), count, "w"))
    return [one.job for one in granted.jobs]


@pytest.fixture
async def full(start, new):
    """A backing whose database may not grow any more; three jobs are in it."""
    store = SqliteStore(None, QueuePolicy())
    backend = start(store)
    await backend.submit(Enqueue([new() for _ in range(3)]))
    store._writer.pragma("max_page_count", store._writer.pragma("page_count") + 2)
    return backend


LARGE = b"x" * 100_000


async def test_on_a_full_disk_pushes_are_refused_and_leases_can_still_be_ended(full, new):
    jobs = await leased(full, 3)
    results = await submit_all(
        full,
        [
            Enqueue([new(payload=LARGE)]),
            ConcludeLease(jobs[0].ref()),
            FailLease(jobs[1].ref(), "no", retry=False),
            ReleaseLease(jobs[2].ref()),
        ],
    )
    assert codes(results) == ["storage_full", "Outcome", "Outcome", "Outcome"]
    assert results[0].fields["retry_after_ms"] > 0
    tally = (await full.submit(GetQueue("q"))).tally
    assert (tally.ready, tally.concluded, tally.dead) == (1, 1, 1)


async def test_on_a_full_disk_a_conclude_with_follow_ups_is_refused_whole_and_its_lease_stays(full, new):
    (job,) = await leased(full)
    (refused,) = await submit_all(full, [ConcludeLease(job.ref(), None, [new(payload=LARGE)])])
    assert refused.code == "storage_full"
    assert (await full.submit(GetJob(job.id))).job == job
    assert isinstance(await full.submit(ConcludeLease(job.ref())), Outcome)


async def test_when_there_is_no_space_even_for_what_ends_a_lease_nothing_is_changed_and_all_are_told(full, new):
    jobs = await leased(full, 2)
    results = await submit_all(full, [ConcludeLease(jobs[0].ref(), LARGE), ReleaseLease(jobs[1].ref())])
    assert codes(results) == ["storage_full"] * 2
    assert [(await full.submit(GetJob(job.id))).job for job in jobs] == jobs
    results = await submit_all(full, [ConcludeLease(jobs[0].ref()), ReleaseLease(jobs[1].ref())])
    assert codes(results) == ["Outcome"] * 2


async def test_pushes_are_taken_again_when_there_is_space(full, new):
    assert (await full.submit(Enqueue([new(payload=LARGE)]))).code == "storage_full"
    full._store._writer.pragma("max_page_count", 1_000_000)
    assert isinstance(await full.submit(Enqueue([new(payload=LARGE)])), Enqueued)
    assert isinstance(granted := await full.submit(LeaseJobs(("q",), 10, "w")), Granted)
    assert len(granted.jobs) == 4


async def test_a_push_that_was_kept_before_is_answered_again_although_the_disk_is_full_now(full, new):
    key = IdempotencyKey("q", "k", b"d")
    full._store._writer.pragma("max_page_count", 1_000_000)
    first = await full.submit(Enqueue([new()], key))
    full._store._writer.pragma("max_page_count", full._store._writer.pragma("page_count"))
    refused, again = await submit_all(full, [Enqueue([new(payload=LARGE)]), Enqueue([new()], key)])
    assert refused.code == "storage_full"
    assert (again.jobs, again.duplicate) == (first.jobs, True)
