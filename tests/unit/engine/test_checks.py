"""Every bound, through the verb that it guards: exactly the bound passes, one more is refused by the name of its field, and nothing is done."""

import pytest

from holdfast import limits
from holdfast.errors import InvalidRequest, LeaseLost, PayloadTooLarge
from holdfast.job.job import Content, LeaseRef, NewJob, State
from holdfast.job.queue import QueueSettings
from holdfast.job.retry import RetryPolicy
from holdfast.messages.commands import ConcludeLease, EditJob, ExtendLease, FailLease, ReleaseLease
from holdfast.messages.queries import ListJobs

PAYLOAD = 2_000
NOBODY = LeaseRef(1, 1, 1, b"s" * 16)

META_REFUSED = [
    (("n" * 129, ""),),
    (("", "v"),),
    (("n" * 128, "v" * 3_969),),
    (("a", "v" * 4_000), ("b", "v" * 95)),
    (("n", "a\0b"),),
]

# What a producer says: the field, what is taken, what is refused. Where a refusal is named otherwise, that name is last.
OF_A_JOB = [
    ("queue", ["q", "q" * 200, "A.b_c:d-9"], ["", "q" * 201, "a b", "a/b", "ä", "a\n", "a\0"]),
    ("payload", [b"", b"x" * PAYLOAD], [b"x" * (PAYLOAD + 1)]),
    ("type", ["", "t" * 128, "ü" * 128], ["t" * 129, "a\0b"]),
    ("content_type", ["", "c" * 256], ["c" * 257, "a\0b"]),
    ("priority", [0, limits.PRIORITY_MAX], [-1, limits.PRIORITY_MAX + 1]),
    ("max_attempts", [1, limits.ATTEMPTS_MAX], [0, -1, limits.ATTEMPTS_MAX + 1]),
    ("delay_ms", [0, limits.DELAY_MS_MAX], [-1, limits.DELAY_MS_MAX + 1]),
    ("run_at", [0, -1, limits.RUN_AT_MAX], [limits.RUN_AT_MAX + 1]),
    ("lease_ms", [1, limits.LEASE_MS_MAX], [0, -1, limits.LEASE_MS_MAX + 1]),
    ("unique_key", ["u" * 256], ["", "u" * 257, "a\0b"]),
    ("group_key", ["g" * 256], ["", "g" * 257, "a\0b"]),
    ("group_limit", [1, limits.GROUP_LIMIT_MAX], [0, limits.GROUP_LIMIT_MAX + 1]),
    ("tags", [(), ("t",) * 32, ("t" * 128,)], [("t",) * 33]),
    ("tags[1]", [], [("t", "t" * 129), ("t", "a\0b")]),
    ("meta", [(), (("n" * 128, "v" * 3_968),), (("ü" * 128, ""),)], META_REFUSED),
]
RETRIES = [
    ("retry.base_ms", {"base_ms": 0}, {"base_ms": -1}),
    ("retry.base_ms", {"base_ms": limits.DELAY_MS_MAX}, {"base_ms": limits.DELAY_MS_MAX + 1}),
    ("retry.max_ms", {"max_ms": limits.DELAY_MS_MAX}, {"max_ms": limits.DELAY_MS_MAX + 1}),
    ("retry.factor", {"factor": 1.0}, {"factor": 0.99}),
    ("retry.factor", {"factor": limits.RETRY_FACTOR_MAX}, {"factor": limits.RETRY_FACTOR_MAX + 0.01}),
    ("retry.factor", {"factor": 2.0}, {"factor": float("nan")}),
    ("retry.jitter", {"jitter": 0.0}, {"jitter": -0.01}),
    ("retry.jitter", {"jitter": 1.0}, {"jitter": 1.01}),
]
SETTINGS = [
    ("capacity_jobs", [0, limits.CAPACITY_JOBS_MAX], [-1, limits.CAPACITY_JOBS_MAX + 1]),
    ("capacity_bytes", [0, limits.CAPACITY_BYTES_MAX], [-1, limits.CAPACITY_BYTES_MAX + 1]),
    ("lease_ms", [1, limits.LEASE_MS_MAX], [0, limits.LEASE_MS_MAX + 1]),
    ("max_attempts", [1, limits.ATTEMPTS_MAX], [0, limits.ATTEMPTS_MAX + 1]),
    ("max_crashes", [1, limits.ATTEMPTS_MAX], [0, limits.ATTEMPTS_MAX + 1]),
    ("max_running", [0, limits.CAPACITY_JOBS_MAX, None], [-1, limits.CAPACITY_JOBS_MAX + 1]),
    ("retention_ms", [0, limits.RETENTION_MS_MAX, None], [-1, limits.RETENTION_MS_MAX + 1]),
    ("retention_jobs", [0, limits.CAPACITY_JOBS_MAX, None], [-1, limits.CAPACITY_JOBS_MAX + 1]),
    ("retention_bytes", [0, limits.CAPACITY_BYTES_MAX, None], [-1, limits.CAPACITY_BYTES_MAX + 1]),
]


@pytest.fixture(autouse=True)
def small_payloads(engine):
    engine.payload_bytes = PAYLOAD


async def refused(call, field):
    with pytest.raises(InvalidRequest) as refusal:
        await call
    assert refusal.value.fields["field"] == field
    assert refusal.value.detail.startswith(field)
    return refusal.value


def option(field, value):
    name = field.split("[")[0]
    return {"queue": "q", "payload": b"1"} | {name: value} | ({"group_key": "g"} if name == "group_limit" else {})


@pytest.mark.parametrize(("field", "passes", "breaks"), OF_A_JOB, ids=[field for field, *_ in OF_A_JOB])
async def test_each_field_of_a_new_job_has_its_bound(engine, backend, new, field, passes, breaks):
    for value in passes:
        assert (await engine.enqueue([new(**option(field, value))])).jobs
    commits = backend.totals.commits
    for value in breaks:
        await refused(engine.enqueue([new(**option(field, value))]), field)
    assert backend.totals.commits == commits


@pytest.mark.parametrize(("field", "passes", "breaks"), RETRIES)
async def test_each_part_of_a_retry_policy_has_its_bound_for_jobs_and_queues_alike(engine, new, field, passes, breaks):
    await engine.enqueue([new(retry=RetryPolicy(**passes))])
    await engine.set_queue("q", QueueSettings(retry=RetryPolicy(**passes)), True)
    await refused(engine.enqueue([new(retry=RetryPolicy(**breaks))]), field)
    await refused(engine.set_queue("q", QueueSettings(retry=RetryPolicy(**breaks)), True), field)


@pytest.mark.parametrize(("field", "passes", "breaks"), SETTINGS, ids=[field for field, *_ in SETTINGS])
async def test_each_setting_of_a_queue_has_its_bound(engine, backend, field, passes, breaks):
    for value in passes:
        info = await engine.set_queue("q", QueueSettings(**{field: value}), True)
        assert getattr(info.policy, field) == value
    for value in breaks:
        await refused(engine.set_queue("q", QueueSettings(**{field: value}), True), field)
    assert await engine.reading.queue("q") == info


async def test_a_queue_is_not_named_what_no_queue_may_be_called(engine):
    await refused(engine.set_queue("a b", QueueSettings(), True), "queue")


async def test_a_delay_and_a_moment_can_not_stand_side_by_side(engine, new):
    await refused(engine.enqueue([new(delay_ms=1, run_at=1)]), "run_at")
    await refused(engine.change_job(EditJob(1, delay_ms=0, run_at=0)), "run_at")


@pytest.mark.parametrize("beside", [{}, {"tags": ("a",)}, {"unique_key": "u"}, {"lease_ms": 1_000}])
async def test_a_limit_of_a_group_without_a_group_is_refused_whatever_stands_beside_it(engine, new, beside):
    await refused(engine.enqueue([new(group_limit=2, **beside)]), "group_limit")


async def test_a_payload_over_the_bound_is_told_apart_and_says_the_bound(engine, new):
    error = await refused(engine.enqueue([new(payload=b"x" * (PAYLOAD + 1))]), "payload")
    assert isinstance(error, PayloadTooLarge)
    assert error.fields["limit_bytes"] == PAYLOAD


async def test_one_bad_job_refuses_the_whole_call_and_is_named_by_its_place(engine, backend, new):
    jobs = [new(), new(), new(priority=-1), new(queue="")]
    await refused(engine.enqueue(jobs, at="jobs"), "jobs[2].priority")
    jobs[2] = new(retry=RetryPolicy(factor=0))
    await refused(engine.enqueue(jobs, at="jobs"), "jobs[2].retry.factor")
    jobs[2] = new(tags=("a", "t" * 129))
    await refused(engine.enqueue(jobs, at="jobs"), "jobs[2].tags[1]")
    assert backend.totals.commits == 0


async def test_a_call_takes_a_thousand_jobs_and_not_one_more(engine, backend, new):
    await refused(engine.enqueue([new()] * (limits.BULK_JOBS + 1), at="jobs"), "jobs")
    assert backend.totals.commits == 0
    assert len((await engine.enqueue([new()] * limits.BULK_JOBS, at="jobs")).jobs) == 1_000


# Consuming -----------------------------------------------------------------------------------------------------------

LEASES = [
    ("queues", {"queues": ("q",) * 256}, {"queues": ("q",) * 257}),
    ("queues", {"queues": ("q",)}, {"queues": ()}),
    ("queues[1]", {"queues": ("q", "r")}, {"queues": ("q", "a b")}),
    ("max", {"limit": 1}, {"limit": 0}),
    ("max", {"limit": 1_000}, {"limit": 1_001}),
    ("lease_ms", {"lease_ms": 1}, {"lease_ms": 0}),
    ("lease_ms", {"lease_ms": limits.LEASE_MS_MAX}, {"lease_ms": limits.LEASE_MS_MAX + 1}),
    ("worker", {"worker": "w" * 256}, {"worker": "w" * 257}),
    ("worker", {"worker": ""}, {"worker": "a\0b"}),
    ("request_id", {"request": "r" * 128}, {"request": "r" * 129}),
    ("request_id", {"request": " "}, {"request": ""}),
    ("request_id", {"request": "~"}, {"request": "\x7f"}),
    ("request_id", {"request": "r"}, {"request": "ü"}),
]


@pytest.mark.parametrize(("field", "passes", "breaks"), LEASES)
async def test_each_field_of_a_dequeue_has_its_bound(engine, field, passes, breaks):
    assert (await engine.lease(**{"queues": ("q",)} | passes)).jobs == []
    await refused(engine.lease(**{"queues": ("q",)} | breaks), field)


ENDS = [
    ("result", ConcludeLease(NOBODY, b"x" * PAYLOAD), ConcludeLease(NOBODY, b"x" * (PAYLOAD + 1))),
    ("then", ConcludeLease(NOBODY, None, [NewJob("q", b"")] * 1_000), ConcludeLease(NOBODY, None, [NewJob("q", b"")] * 1_001)),
    ("delay_ms", FailLease(NOBODY, "", True, limits.DELAY_MS_MAX), FailLease(NOBODY, "", True, limits.DELAY_MS_MAX + 1)),
    ("delay_ms", FailLease(NOBODY, "", True, 0), FailLease(NOBODY, "", True, -1)),
    ("delay_ms", ReleaseLease(NOBODY, limits.DELAY_MS_MAX), ReleaseLease(NOBODY, limits.DELAY_MS_MAX + 1)),
    ("delay_ms", ReleaseLease(NOBODY, 0), ReleaseLease(NOBODY, -1)),
    ("priority", ReleaseLease(NOBODY, 0, limits.PRIORITY_MAX), ReleaseLease(NOBODY, 0, limits.PRIORITY_MAX + 1)),
    ("priority", ReleaseLease(NOBODY, 0, 0), ReleaseLease(NOBODY, 0, -1)),
    ("lease_ms", ExtendLease(NOBODY, limits.LEASE_MS_MAX), ExtendLease(NOBODY, limits.LEASE_MS_MAX + 1)),
    ("lease_ms", ExtendLease(NOBODY, 1), ExtendLease(NOBODY, 0)),
    (
        "progress",
        ExtendLease(NOBODY, 1, b"x" * limits.PROGRESS_BYTES),
        ExtendLease(NOBODY, 1, b"x" * (limits.PROGRESS_BYTES + 1)),
    ),
]


@pytest.mark.parametrize(("field", "passes", "breaks"), ENDS)
async def test_each_field_of_a_lease_verb_has_its_bound_also_among_many(engine, backend, field, passes, breaks):
    with pytest.raises(LeaseLost):
        await engine.end(passes)
    await refused(engine.end(breaks), field)
    commits = backend.totals.commits
    await refused(engine.end_many([passes, breaks], "conclude[{}].".format), f"conclude[1].{field}")
    assert backend.totals.commits == commits


async def test_a_follow_up_is_checked_like_any_new_job_and_named_by_its_place(engine):
    await refused(
        engine.end(ConcludeLease(NOBODY, None, [NewJob("q", b""), NewJob("q", b"", priority=-1)])), "then[1].priority"
    )


async def test_a_call_takes_a_thousand_lease_verbs_and_not_one_more(engine):
    verbs = [ReleaseLease(NOBODY)] * limits.BATCH_VERBS
    assert {result.code for result in await engine.end_many(verbs)} == {"lease_lost"}
    await refused(engine.end_many([*verbs, verbs[0]]), "batch")


# Managing and looking ------------------------------------------------------------------------------------------------

EDITS = [
    ("priority", {"priority": limits.PRIORITY_MAX}, {"priority": limits.PRIORITY_MAX + 1}),
    ("max_attempts", {"max_attempts": 1}, {"max_attempts": 0}),
    ("max_attempts", {"max_attempts": limits.ATTEMPTS_MAX}, {"max_attempts": limits.ATTEMPTS_MAX + 1}),
    ("delay_ms", {"delay_ms": limits.DELAY_MS_MAX}, {"delay_ms": limits.DELAY_MS_MAX + 1}),
    ("run_at", {"run_at": limits.RUN_AT_MAX}, {"run_at": limits.RUN_AT_MAX + 1}),
    ("type", {"type": "t" * 128}, {"type": "t" * 129}),
    ("tags", {"tags": ("t",) * 32}, {"tags": ("t",) * 33}),
    ("meta", {"meta": (("n", "v" * 4_095),)}, {"meta": (("n", "v" * 4_096),)}),
    ("payload", {"content": Content("", None, b"x" * PAYLOAD)}, {"content": Content("", None, b"x" * (PAYLOAD + 1))}),
    ("content_type", {"content": Content("", "c" * 256, b"")}, {"content": Content("", "c" * 257, b"")}),
]


@pytest.mark.parametrize(("field", "passes", "breaks"), EDITS)
async def test_each_field_of_an_edit_has_its_bound(engine, new, field, passes, breaks):
    await engine.enqueue([new()])
    await engine.change_job(EditJob(1, **passes))
    await refused(engine.change_job(EditJob(1, **breaks)), field)


@pytest.mark.parametrize("states", [(), (State.LEASED,), (State.READY, State.LEASED)])
async def test_a_purge_names_states_and_never_what_runs(engine, new, states):
    await engine.enqueue([new()])
    await refused(engine.purge("q", states), "states")


PAGES = [
    ("limit", {"limit": 1}, {"limit": 0}),
    ("limit", {"limit": limits.LIST_LIMIT}, {"limit": limits.LIST_LIMIT + 1}),
    ("type", {"type": "t" * 128}, {"type": "t" * 129}),
    ("tag", {"tag": "t" * 128}, {"tag": "t" * 129}),
    ("meta", {"meta": (("n", "v" * 4_095),)}, {"meta": (("n", "v" * 4_096),)}),
    ("text", {"text": "t" * limits.REASON_CHARS}, {"text": "t" * (limits.REASON_CHARS + 1)}),
    ("queue", {"queue": "q"}, {"queue": "a b"}),
]


@pytest.mark.parametrize(("field", "passes", "breaks"), PAGES)
async def test_each_field_of_a_listing_has_its_bound(engine, new, field, passes, breaks):
    await engine.enqueue([new()])
    await engine.reading.jobs(ListJobs(**{"limit": 10} | passes))
    await refused(engine.reading.jobs(ListJobs(**{"limit": 10} | breaks)), field)


@pytest.mark.parametrize("limit", [0, limits.LIST_LIMIT + 1])
async def test_a_page_of_queues_has_its_bound(engine, limit):
    await refused(engine.reading.queues(limit, ""), "limit")
    assert (await engine.reading.queues(limits.LIST_LIMIT, "")).queues == []
