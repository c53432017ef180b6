"""The order within one transaction: time passes, leases end, hands manage, jobs come, leases are given; and what is news afterwards."""

import pytest

from holdfast.job.job import Content, State
from holdfast.job.queue import QueueSettings
from holdfast.messages.commands import (
    CancelJob,
    ConcludeLease,
    DeleteJob,
    EditJob,
    Enqueue,
    ExtendLease,
    FailLease,
    LeaseJobs,
    PauseQueue,
    PurgeQueue,
    ReleaseLease,
    SetQueue,
)
from holdfast.messages.queries import GetJob
from holdfast.messages.time_commands import ExpireLeases, PromoteDue


@pytest.fixture
def take(backend):
    async def one(*queues, **options):
        granted = await backend.submit(LeaseJobs(queues or ("q",), 1, "w", **options))
        return granted.jobs[0].job

    return one


@pytest.fixture
def news(backend):
    """What was committed, as (ready, freed) by commit."""
    heard = []
    backend.listen(lambda committed: heard.append((committed.ready, committed.freed)))
    return heard


async def test_what_ends_makes_room_for_what_comes(backend, together, take, new):
    await backend.submit(SetQueue("q", QueueSettings(capacity_jobs=1), whole=True))
    await backend.submit(Enqueue([new()]))
    job = await take()
    put, concluded = await together(Enqueue([new()]), ConcludeLease(job.ref()))
    assert (put.jobs[0].id, concluded.state) == (2, State.CONCLUDED)


async def test_what_comes_can_be_leased_at_once(together, new):
    granted, put = await together(LeaseJobs(("q",), 5, "w"), Enqueue([new(), new()]))
    assert [one.job.id for one in granted.jobs] == [receipt.id for receipt in put.jobs]


async def test_what_is_given_back_can_be_leased_at_once(backend, together, take, new):
    await backend.submit(Enqueue([new()]))
    job = await take()
    granted, _ = await together(LeaseJobs(("q",), 5, "v"), ReleaseLease(job.ref()))
    assert [(one.job.id, one.job.attempt, one.job.lease.worker) for one in granted.jobs] == [(1, 2, "v")]


async def test_a_lease_that_has_run_out_is_gone_before_its_holder_ends_it_and_can_be_leased_anew(
    backend, together, take, clock, new
):
    await backend.submit(Enqueue([new()]))
    job = await take(lease_ms=10)
    clock.advance(10)
    concluded, granted, expired = await together(ConcludeLease(job.ref()), LeaseJobs(("q",), 1, "v"), ExpireLeases(10))
    assert (concluded.code, expired.count) == ("lease_lost", 1)
    assert [(one.job.attempt, one.job.crashes) for one in granted.jobs] == [(2, 1)]


async def test_a_job_that_comes_due_is_leased_in_the_same_transaction(backend, together, clock, new):
    await backend.submit(Enqueue([new(delay_ms=10)]))
    clock.advance(10)
    granted, due = await together(LeaseJobs(("q",), 1, "w"), PromoteDue(10))
    assert (len(granted.jobs), due.count) == (1, 1)


async def test_settings_and_pauses_count_for_what_comes_with_them(together, new):
    refused, _ = await together(Enqueue([new()]), SetQueue("q", QueueSettings(capacity_jobs=0), whole=True))
    assert refused.code == "queue_full"
    granted, _, put, _ = await together(
        LeaseJobs(("q",), 1, "w"),
        PauseQueue("q", True),
        Enqueue([new()]),
        SetQueue("q", QueueSettings(capacity_jobs=1), whole=True),
    )
    assert (len(put.jobs), granted.jobs) == (1, [])


async def test_an_extension_and_an_end_of_one_lease_are_decided_in_the_order_in_which_they_came(backend, together, take, new):
    await backend.submit(Enqueue([new(), new()]))
    first, second = await take(), await take()
    results = await together(
        ExtendLease(first.ref(), 5, b"1"), ConcludeLease(first.ref()), ConcludeLease(second.ref()), ExtendLease(second.ref(), 5)
    )
    assert [getattr(result, "code", "done") for result in results] == ["done", "done", "done", "lease_lost"]
    assert (await backend.submit(GetJob(first.id))).progress == b"1"


async def test_all_of_a_transaction_happens_at_one_moment(together, clock, new):
    granted, put = await together(LeaseJobs(("q",), 1, "w"), Enqueue([new()]))
    job = granted.jobs[0].job
    assert {granted.now, put.jobs[0].created_at, job.lease.leased_at, job.ready_at} == {clock.now()}


# News ----------------------------------------------------------------------------------------------------------------


async def test_a_new_job_is_news_for_its_queue_with_the_number_that_can_be_leased(backend, together, news, new):
    await together(Enqueue([new(), new("r")]), Enqueue([new()]))
    assert news == [({"q": 2, "r": 1}, [])]


async def test_a_job_that_is_leased_in_the_transaction_that_puts_it_wakes_nobody(together, news, new):
    await together(Enqueue([new()]), LeaseJobs(("q",), 1, "w"))
    assert news == [({}, [])]


async def test_a_scheduled_job_wakes_nobody_before_its_time(backend, together, news, clock, new):
    await together(Enqueue([new(delay_ms=10)]))
    clock.advance(10)
    await together(PromoteDue(10))
    assert news == [({}, []), ({"q": 1}, [])]


async def test_a_paused_queue_is_no_news_until_it_is_resumed(backend, together, news, new):
    await together(Enqueue([new("other")]), SetQueue("q", QueueSettings(), whole=True))
    await together(PauseQueue("q", True))
    await together(Enqueue([new()]))
    await together(PauseQueue("q", False))
    assert [ready for ready, _ in news] == [{"other": 1}, {}, {}, {"q": 1}]


async def test_a_queue_at_its_running_bound_is_news_again_when_a_lease_ends(backend, together, news, take, new):
    await together(SetQueue("q", QueueSettings(max_running=1), whole=True))
    await together(Enqueue([new(), new()]))
    job = await take()
    await together(ConcludeLease(job.ref()))
    assert [ready for ready, _ in news] == [{}, {"q": 1}, {}, {"q": 1}]


@pytest.mark.parametrize("way", ["conclude", "dead", "cancel", "delete", "purge", "smaller payload", "larger capacity"])
async def test_room_that_is_made_is_news(backend, together, news, take, new, way):
    await together(Enqueue([new(payload=b"1234")]))
    job = await take() if way in ("conclude", "dead") else None
    command = {
        "conclude": lambda: ConcludeLease(job.ref()),
        "dead": lambda: FailLease(job.ref(), "no", retry=False),
        "cancel": lambda: CancelJob(1),
        "delete": lambda: DeleteJob(1),
        "purge": lambda: PurgeQueue("q", (State.READY,), 0, 10),
        "smaller payload": lambda: EditJob(1, content=Content("", None, b"")),
        "larger capacity": lambda: SetQueue("q", QueueSettings(capacity_jobs=9), whole=True),
    }[way]()
    await together(command)
    assert news[-1][1] == ["q"]


@pytest.mark.parametrize("way", ["lease", "release", "extend"])
async def test_what_makes_no_room_is_no_such_news(backend, together, news, take, new, way):
    await together(Enqueue([new(), new()]))
    job = await take()
    command = {
        "lease": LeaseJobs(("q",), 1, "w"),
        "release": ReleaseLease(job.ref()),
        "extend": ExtendLease(job.ref(), 5),
    }[way]
    await together(command)
    assert news[-1][1] == []
