"""A new job whose unique key is taken: refused, answered with the job that has the key, or taken over by it."""

import pytest
from msgspec.structs import replace

from holdfast.errors import NotUnique, PayloadTooLarge
from holdfast.job.job import Content, IdempotencyKey, OnConflict, State
from holdfast.job.queue import QueueSettings, Tally
from holdfast.messages.commands import ConcludeLease, Enqueue, ExtendLease, FailLease, ReleaseLease, SetQueue

EXISTING, REPLACE, DEBOUNCE = OnConflict.EXISTING, OnConflict.REPLACE, OnConflict.DEBOUNCE


@pytest.fixture
def again(client, new):
    """Enqueue a job of the same unique key with a way to solve the conflict."""

    async def put(way, payload=b"2", queue="q", debounce_max_ms=None, **options):
        job = replace(new(queue, payload, unique_key="u", **options), on_conflict=way, debounce_max_ms=debounce_max_ms)
        return await client.do(Enqueue([job]))

    return put


async def test_the_job_that_has_the_key_is_the_answer_in_every_state_that_holds_it(client, again):
    await client.put(unique_key="u", delay_ms=100, priority=7)
    scheduled = await again(EXISTING)
    assert ([one.id for one in scheduled.jobs], scheduled.existing, scheduled.jobs[0].priority) == ([1], [0], 7)
    await client.pass_time(100)
    assert (await again(EXISTING)).jobs[0].state is State.READY
    held = await client.take()
    assert ((await again(EXISTING)).jobs[0].state, await client.state(1)) == (State.LEASED, State.LEASED)
    assert (await client.detail(1)).content.payload == b"1"
    await client.do(ConcludeLease(held.ref()))
    fresh = await again(EXISTING)
    assert ([one.id for one in fresh.jobs], fresh.existing) == ([2], [])


@pytest.mark.parametrize("state", ["scheduled", "ready", "held"])
async def test_a_waiting_job_is_replaced_and_keeps_its_id_its_group_and_its_place(client, again, state):
    if state == "held":
        await client.put(group_key="g")
    delay = 500 if state == "scheduled" else None
    put = await client.put(unique_key="u", delay_ms=delay, group_key="g", priority=7, tags=("old",), max_attempts=3)
    other = await client.put(priority=7)
    answer = await again(REPLACE, b"123456", type="t", tags=("new",), meta=(("a", "1"),), group_key="elsewhere", delay_ms=9_000)
    assert (answer.jobs[0].id, answer.existing) == (put.id, [0])
    detail = await client.detail(put.id)
    job = detail.job
    assert detail.content == Content("t", None, b"123456")
    assert (job.extras.tags, job.extras.meta, job.extras.group_key, job.extras.unique_key) == (
        ("new",),
        (("a", "1"),),
        "g",
        "u",
    )
    assert (job.ready_at, job.priority, job.size, job.max_attempts) == (put.ready_at, 7, 6, 25)
    assert job.held is (state == "held")
    assert job.id < other.id


async def test_a_replaced_job_is_new_work_with_all_of_its_tries(client, again):
    await client.put(unique_key="u", max_attempts=2)
    await client.do(FailLease((await client.take()).ref(), "no", delay_ms=50))
    await again(REPLACE, max_attempts=2)
    job = await client.job(1)
    assert (job.state, job.failures, job.attempt, job.ready_at) == (State.SCHEDULED, 0, 1, client.now + 50)


@pytest.mark.parametrize("together", [False, True])
async def test_a_replaced_job_does_not_begin_where_other_work_had_come_to(client, new, together):
    await client.put(unique_key="u")
    ref = (await client.take()).ref()
    steps = [
        ExtendLease(ref, None, b'{"page":9}'),
        ReleaseLease(ref),
        Enqueue([replace(new(payload=b"2", unique_key="u"), on_conflict=REPLACE)]),
    ]
    if together:
        await client.together(*steps)
    else:
        for step in steps:
            await client.do(step)
    assert (await client.detail(1)).progress is None
    (granted,) = await client.lease()
    assert (granted.job.attempt, granted.progress, granted.content.payload) == (2, None, b"2")
    await client.do(ExtendLease(granted.job.ref(), None, b"1"))
    assert (await client.detail(1)).progress == b"1"


@pytest.mark.parametrize("way", [REPLACE, DEBOUNCE])
async def test_a_leased_job_is_not_replaced(client, again, way):
    await client.put(unique_key="u")
    await client.take()
    with pytest.raises(NotUnique, match="is leased: it can't be replaced") as refusal:
        await again(way, delay_ms=10)
    assert refusal.value.fields["job_id"] == 1
    assert (await client.detail(1)).content.payload == b"1"


async def test_a_debounced_job_is_put_off_each_time_and_no_further_than_its_bound(client, again):
    first = await again(DEBOUNCE, b"a", delay_ms=100, debounce_max_ms=250)
    began = client.now
    assert first.existing == []
    client.clock.advance(90)
    assert (await again(DEBOUNCE, b"b", delay_ms=100, debounce_max_ms=250)).jobs[0].ready_at == began + 190
    client.clock.advance(90)
    assert (await again(DEBOUNCE, b"c", delay_ms=100, debounce_max_ms=250)).jobs[0].ready_at == began + 250
    await client.pass_time(70)
    assert await client.state(1) is State.READY
    assert (await again(DEBOUNCE, b"d", delay_ms=100, debounce_max_ms=250)).jobs[0].ready_at == began + 250
    (granted,) = await client.lease()
    assert granted.content.payload == b"d"


async def test_a_ready_job_that_is_debounced_waits_again(client, again):
    await client.put(unique_key="u", group_key="g")
    held = await client.put(group_key="g")
    assert (await client.job(held.id)).held
    await again(DEBOUNCE, delay_ms=100)
    assert (await client.state(1), (await client.job(held.id)).held) == (State.SCHEDULED, False)
    assert await client.tally() == Tally(scheduled=1, ready=1, bytes=2)


async def test_what_replaces_needs_room_for_what_it_has_more_and_no_place(client, again):
    await client.do(SetQueue("q", QueueSettings(capacity_jobs=1, capacity_bytes=10), whole=True))
    await client.put(unique_key="u", payload=b"x" * 6)
    assert (await again(EXISTING, b"x" * 9)).existing == [0]
    await again(REPLACE, b"x" * 10)
    with pytest.raises(PayloadTooLarge):
        await again(REPLACE, b"x" * 11)
    assert await client.tally() == Tally(ready=1, bytes=10)
    await again(REPLACE, b"x")
    assert await client.tally() == Tally(ready=1, bytes=1)


async def test_in_one_call_each_gets_its_own_answer_in_order(client, new):
    await client.put(unique_key="a")
    jobs = [new(unique_key=key, payload=b"%d" % n) for n, key in enumerate(("b", "a", None, "b", "c"))]
    jobs = [replace(job, on_conflict=EXISTING) for job in jobs]
    answer = await client.do(Enqueue(jobs))
    assert [one.id for one in answer.jobs] == [2, 1, 3, 2, 4]
    assert answer.existing == [1, 3]
    with pytest.raises(NotUnique, match="given twice"):
        await client.do(Enqueue([replace(new(unique_key="z"), on_conflict=REPLACE) for _ in range(2)]))
    assert len(await client.walk()) == 4


async def test_of_calls_in_one_transaction_each_sees_what_the_one_before_left(client, new):
    def job(payload, way):
        return Enqueue([replace(new(payload=payload, unique_key="u", delay_ms=10), on_conflict=way)])

    answers = await client.together(
        job(b"1", REPLACE), job(b"22", REPLACE), job(b"x", EXISTING), job(b"333", DEBOUNCE), job(b"no", OnConflict.REFUSE)
    )
    assert [one.jobs[0].id for one in answers[:4]] == [1] * 4
    assert answers[4].code == "not_unique"
    assert (await client.detail(1)).content.payload == b"333"
    assert await client.tally() == Tally(scheduled=1, bytes=3)


async def test_a_repeated_call_with_an_idempotency_key_replaces_nothing_again(client, new):
    await client.put(unique_key="u")
    key = IdempotencyKey("q", "k", b"d")
    calls = [
        Enqueue([replace(new(payload=payload, unique_key="u"), on_conflict=REPLACE)], key) for payload in (b"first", b"first")
    ]
    await client.do(calls[0])
    await client.do(Enqueue([replace(new(payload=b"between", unique_key="u"), on_conflict=REPLACE)]))
    assert (await client.do(calls[1])).duplicate
    assert (await client.detail(1)).content.payload == b"between"


async def test_a_follow_up_that_is_there_already_is_no_reason_to_refuse_the_conclude(client, new):
    await client.put("s", unique_key="u")
    await client.put()
    held = await client.take()
    outcome = await client.do(ConcludeLease(held.ref(), None, [replace(new("s", unique_key="u"), on_conflict=EXISTING)]))
    assert [receipt.id for receipt in outcome.then] == [1]
    assert await client.tally("s") == Tally(ready=1, bytes=1)
