"""What an operator's page asks: counts by filter, failures, jobs without their payloads, one job's first bytes, and jobs that are moved."""

import msgspec
import pytest

from holdfast.auth.scope import Scope
from holdfast.errors import InvalidRequest, JobNotFound, NotUnique, QueueFull, QueueNotFound, WrongState
from holdfast.job.job import IdempotencyKey, NewJob, Raised, State
from holdfast.job.queue import QueueSettings
from holdfast.messages.commands import ConcludeLease, DeleteJob, FailLease, LeaseJobs, MoveJob, SetQueue
from holdfast.messages.job_batches import MakeJobBatch
from holdfast.messages.queries import CountJobs, FindReceipts, GetJob, GetLoad, ListJobs, RecentFailures
from holdfast.stores import listings
from tests.contract.stores.conformance.conftest import new


async def test_without_a_filter_the_counts_are_those_of_the_queue(client, one_of_each):
    counted = await client.ask(CountJobs("q"))
    assert counted.counts == dict.fromkeys([state.value for state in State], 1)
    assert counted.at_least == []
    await client.put("other")
    assert (await client.ask(CountJobs())).counts["ready"] == 2
    assert (await client.ask(CountJobs("q", State.READY))).counts == {"ready": 1}


async def test_a_count_follows_type_tag_and_text(client):
    await client.put(payload=b'{"a": "needle"}', type="mail", tags=("vip",))
    await client.put(payload=b'{"a": "hay"}', type="mail", delay_ms=9_000)
    await client.put("other", payload=b'"needle"', type="fax")
    assert (await client.ask(CountJobs(type="mail"))).counts | {"ready": 1, "scheduled": 1} == (
        await client.ask(CountJobs(type="mail"))
    ).counts
    assert sum((await client.ask(CountJobs(tag="vip"))).counts.values()) == 1
    assert sum((await client.ask(CountJobs(text="needle"))).counts.values()) == 2
    assert (await client.ask(CountJobs("q", State.SCHEDULED, type="mail"))).counts == {"scheduled": 1}
    assert sum((await client.ask(CountJobs("other", text="needle", type="mail"))).counts.values()) == 0


async def test_a_count_with_a_filter_says_when_there_may_be_more(client, new, monkeypatch):
    monkeypatch.setattr(listings, "COUNT_SCANNED", 3)
    await client.put_all([new(type="mail") for _ in range(5)])
    counted = await client.ask(CountJobs(type="mail"))
    assert counted.counts["ready"] == 3
    assert counted.at_least == ["ready"]


async def test_text_in_an_error_counts_and_a_payload_over_the_bound_is_not_searched(client):
    large = await client.put(payload=b'"' + b"x" * 200 + b'needle"')
    failed = await client.put()
    await client.lease(limit=2)
    job = await client.job(failed.id)
    await client.do(FailLease(job.ref(), "a needle broke", retry=False))
    assert sum((await client.ask(CountJobs(text="needle"))).counts.values()) == 2
    assert sum((await client.ask(CountJobs(text="needle", text_up_to=100))).counts.values()) == 1
    page = await client.ask(ListJobs(10, text="needle", text_up_to=100))
    assert [detail.job.id for detail in page.jobs] == [failed.id]
    page = await client.ask(ListJobs(10, text="needle"))
    assert {detail.job.id for detail in page.jobs} == {failed.id, large.id}


async def test_a_count_over_a_queue_that_is_not_there_is_refused(client):
    with pytest.raises(QueueNotFound):
        await client.ask(CountJobs("nowhere"))
    with pytest.raises(QueueNotFound):
        await client.ask(RecentFailures(10, "nowhere"))


async def test_a_listing_leaves_out_payloads_over_a_bound(client):
    await client.put(payload=b'"small"')
    await client.put(payload=b'"' + b"x" * 100 + b'"')
    page = await client.ask(ListJobs(10, payload_up_to=50))
    assert [detail.content.payload for detail in page.jobs] == [b'"small"', b""]
    assert [detail.job.size for detail in page.jobs] == [7, 102]


async def test_a_job_can_be_looked_at_by_its_first_bytes(client):
    put = await client.put(payload=b'"0123456789"')
    job = await client.take()
    await client.do(ConcludeLease(job.ref(), b'"abcdefghij"'))
    none = await client.ask(GetJob(put.id, 0))
    assert (none.content.payload, none.result, none.result_bytes, none.job.size) == (b"", None, 12, 12)
    some = await client.ask(GetJob(put.id, 5))
    assert (some.content.payload, some.result, some.result_bytes) == (b'"0123', b'"abcd', 12)
    whole = await client.ask(GetJob(put.id))
    assert (whole.content.payload, whole.result, whole.result_bytes) == (b'"0123456789"', b'"abcdefghij"', 12)


async def test_an_attempt_that_went_wrong_is_kept_with_its_beginning(client):
    put = await client.put(max_attempts=5)
    job = await client.take()
    began = client.now
    client.clock.advance(700)
    await client.do(FailLease(job.ref(), "no", delay_ms=0))
    await client.lease(lease_ms=1_000)
    again = client.now
    await client.pass_time(1_000)
    errors = (await client.detail(put.id)).errors
    assert [(error.kind, error.leased_at, error.at) for error in errors] == [
        ("failed", began, began + 700),
        ("crashed", again, again + 1_000),
    ]


async def test_failures_are_the_newest_each_job_once_with_its_latest_error_and_state(client):
    put = [await client.put(type=f"t{n}", max_attempts=9) for n in range(4)]
    jobs = [granted.job for granted in await client.lease(limit=4, worker="anna")]
    await client.do(FailLease(jobs[0].ref(), "dead at once", retry=False))
    await client.do(FailLease(jobs[1].ref(), "first", delay_ms=0))
    again = await client.take(worker="berta")
    client.clock.advance(5)
    await client.do(FailLease(again.ref(), "x" * 600, delay_ms=60_000))
    await client.do(FailLease(jobs[2].ref(), "then it went well", delay_ms=0))
    await client.do(ConcludeLease((await client.take()).ref()))
    found = await client.ask(RecentFailures(100))
    by_id = {one.id: one for one in found.jobs}
    assert set(by_id) == {put[0].id, put[1].id, put[2].id}
    assert found.whole
    dead, waiting, done = (by_id[put[n].id] for n in range(3))
    assert (dead.state, dead.type, dead.worker, dead.reason, dead.kind, dead.queue) == (
        "dead",
        "t0",
        "anna",
        "dead at once",
        "failed",
        "q",
    )
    assert (waiting.state, waiting.attempt, waiting.worker, len(waiting.reason)) == ("unfinished", 2, "berta", 500)
    assert done.state == "concluded"


async def test_failures_of_one_queue_are_its_own_and_a_bounded_look_says_so(client):
    for queue in ("q", "other", "q"):
        await client.put(queue)
        await client.do(FailLease((await client.take(queue)).ref(), f"in {queue}", retry=False))
    found = await client.ask(RecentFailures(10, "q"))
    assert [one.queue for one in found.jobs] == ["q", "q"]
    assert found.whole
    few = await client.ask(RecentFailures(1))
    assert len(few.jobs) == 1
    assert not few.whole


async def test_a_moved_job_is_there_with_all_of_its_tries_and_no_more_here(client):
    put = await client.put(payload=b'{"n": 1}', type="mail", priority=7, max_attempts=3, tags=("vip",), group_key="g")
    await client.do(FailLease((await client.take()).ref(), "no", retry=False))
    (receipt,) = (await client.do(MoveJob(put.id, "later"))).jobs
    assert receipt.queue == "later"
    moved = await client.detail(receipt.id)
    assert (moved.job.state, moved.job.attempt, moved.job.failures) == (State.READY, 0, 0)
    assert (moved.job.priority, moved.job.max_attempts, moved.job.extras.tags) == (7, 3, ("vip",))
    assert (moved.content.payload, moved.content.type) == (b'{"n": 1}', "mail")
    with pytest.raises(JobNotFound):
        await client.job(put.id)


async def test_a_scheduled_job_keeps_its_time_when_it_is_moved(client):
    put = await client.put(delay_ms=60_000)
    (receipt,) = (await client.do(MoveJob(put.id, "later"))).jobs
    assert (receipt.state, receipt.ready_at) == (State.SCHEDULED, put.ready_at)


async def test_a_move_that_is_refused_changes_nothing(client):
    put = await client.put(unique_key="u")
    await client.put("taken", unique_key="u")
    await client.do(SetQueue("full", QueueSettings(capacity_jobs=0), True))
    for queue, error in (("taken", NotUnique), ("full", QueueFull), ("q", InvalidRequest)):
        with pytest.raises(error):
            await client.do(MoveJob(put.id, queue))
    await client.do(LeaseJobs(("q",), 1, "w"))
    with pytest.raises(WrongState):
        await client.do(MoveJob(put.id, "elsewhere"))
    assert await client.state(put.id) is State.LEASED


async def test_the_load_of_a_queue_tells_what_waits_and_how_long_its_last_jobs_took(client):
    with pytest.raises(QueueNotFound):
        await client.ask(GetLoad("q"))
    await client.put_all([NewJob("q", b"1") for _ in range(4)])
    begun = client.clock.now()
    (first, second) = await client.lease(limit=2)
    client.clock.advance(1_000)
    await client.do(ConcludeLease(first.job.ref()))
    client.clock.advance(2_000)
    await client.do(ConcludeLease(second.job.ref()))
    await client.lease()
    found = await client.ask(GetLoad("q"))
    assert (found.info.name, found.info.tally.ready, found.info.tally.leased) == ("q", 1, 1)
    assert (found.concluded, found.work_ms, found.since) == (2, 2_000.0, begun + 1_000)
    assert found.oldest_ready_at == begun
    assert found.now == client.clock.now()


async def test_the_load_of_a_queue_that_remembers_nothing(client):
    await client.do(SetQueue("q", QueueSettings(), True))
    found = await client.ask(GetLoad("q"))
    assert (found.concluded, found.work_ms, found.since, found.oldest_ready_at) == (0, None, None, None)


async def test_the_jobs_of_an_idempotency_key_are_found(client, new):
    (one,) = await client.put_all([new("q")], IdempotencyKey("q", "k", b"1"))
    many = await client.put_all([new("q"), new("other")], IdempotencyKey("", "k", b"2"))
    assert [each.id for each in (await client.ask(FindReceipts("k", "q"))).receipts] == [one.id]
    assert (await client.ask(FindReceipts("k", "other"))).receipts == []
    assert (await client.ask(FindReceipts("x"))).receipts == (await client.ask(FindReceipts("k", "nowhere"))).receipts == []
    await client.do(DeleteJob(one.id))
    found = await client.ask(FindReceipts("k"))
    assert sorted(each.id for each in found.receipts) == [one.id, *(each.id for each in many)]
    assert found.gone == [one.id]
    scoped = msgspec.structs.replace(FindReceipts("k"), scope=Scope(("other",)))
    assert [each.id for each in (await client.ask(scoped)).receipts] == [many[1].id]


async def test_a_listing_gives_the_latest_error_of_each_job_where_it_is_asked_for(client):
    twice, once, never = [(await client.put("q")).id for _ in range(3)]
    for reason, job in (("first", twice), ("second", twice), ("only", once)):
        (granted,) = await client.lease("q")
        assert granted.job.id == job
        told = Raised("ValueError", reason, "Traceback: long", "app.py:7")
        await client.do(FailLease(granted.job.ref(), reason, retry=reason == "first", delay_ms=0, raised=told))
    page = await client.ask(ListJobs(10, queue="q", last_error=True))
    latest = {one.job.id: [(error.attempt, error.reason, error.raised) for error in one.errors] for one in page.jobs}
    assert latest == {twice: [(2, "second", None)], once: [(1, "only", None)], never: []}
    assert not any(one.errors for one in (await client.ask(ListJobs(10, queue="q"))).jobs)
    batch = await client.do(MakeJobBatch([new("r")]))
    (granted,) = await client.lease("r")
    await client.do(FailLease(granted.job.ref(), "of a member", retry=False))
    (member,) = (await client.ask(ListJobs(10, batch=batch.id, last_error=True))).jobs
    assert [error.reason for error in member.errors] == ["of a member"]
