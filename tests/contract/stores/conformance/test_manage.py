"""What an operator does to single jobs: every verb in every state, edits, and several verbs in one transaction."""

import pytest

from holdfast.errors import JobNotFound, LeaseLost, QueueFull, WrongState
from holdfast.job.job import Content, State
from holdfast.job.queue import QueueSettings, Tally
from holdfast.messages.commands import (
    CancelJob,
    ConcludeLease,
    DeleteJob,
    EditJob,
    ExtendLease,
    FailLease,
    MoveJob,
    PromoteJob,
    ReleaseLease,
    RetryJob,
    SetQueue,
    SettleJob,
    TakeBackLease,
)

ON_ONE_JOB = [RetryJob, CancelJob, PromoteJob, TakeBackLease, DeleteJob, EditJob]


ALLOWED = {
    RetryJob: {State.DEAD: State.READY},
    CancelJob: {State.READY: State.CANCELLED, State.SCHEDULED: State.CANCELLED, State.LEASED: State.LEASED},
    PromoteJob: {State.SCHEDULED: State.READY},
    TakeBackLease: {State.LEASED: State.READY},
    EditJob: {State.READY: State.READY, State.SCHEDULED: State.SCHEDULED},
    DeleteJob: dict.fromkeys(set(State) - {State.LEASED}),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("verb", ON_ONE_JOB)
async def test_each_verb_does_what_the_state_allows_and_otherwise_changes_nothing(client, one_of_each, verb, state):
    job_id = one_of_each[state]
    before, tally = await client.detail(job_id), await client.tally()
    assert before.job.state is state
    if state not in ALLOWED[verb]:
        with pytest.raises(WrongState) as refusal:
            await client.do(verb(job_id))
        assert refusal.value.fields == {"job_id": job_id, "state": state.value}
        assert (await client.detail(job_id), await client.tally()) == (before, tally)
        return
    await client.do(verb(job_id))
    after = ALLOWED[verb][state]
    tally.move(state, after, 5)
    assert await client.tally() == tally
    if after is None:
        with pytest.raises(JobNotFound):
            await client.job(job_id)
    else:
        assert await client.state(job_id) is after


@pytest.mark.parametrize("verb", ON_ONE_JOB)
async def test_a_job_that_is_not_there_is_said_not_to_be(client, verb):
    with pytest.raises(JobNotFound) as refusal:
        await client.do(verb(77))
    assert refusal.value.fields == {"job_id": 77}


async def test_a_retried_job_has_all_of_its_tries_again(client):
    await client.put(max_attempts=1)
    await client.do(FailLease((await client.take()).ref(), "no"))
    await client.do(RetryJob(1))
    job = await client.job(1)
    assert (job.failures, job.attempt, job.reason, job.ended_at) == (0, 1, None, None)
    assert (await client.take()).attempt == 2


async def test_a_lease_taken_back_counts_no_attempt_and_its_holder_has_lost_it(client):
    await client.put()
    held = await client.take()
    await client.do(TakeBackLease(1))
    job = await client.job(1)
    assert (job.state, job.attempt, job.failures, job.crashes, job.lease) == (State.READY, 1, 0, 0, None)
    for late in (ExtendLease(held.ref()), ConcludeLease(held.ref()), FailLease(held.ref(), "no")):
        with pytest.raises(LeaseLost):
            await client.do(late)
    again = await client.take()
    assert (again.id, again.attempt) == (1, 2)
    await client.do(ConcludeLease(again.ref()))


async def test_only_the_attempt_that_was_named_is_taken_back(client):
    await client.put()
    first = await client.take()
    await client.do(ReleaseLease(first.ref()))
    second = await client.take()
    with pytest.raises(WrongState, match="attempt 2 by now, not in attempt 1"):
        await client.do(TakeBackLease(1, attempt=1))
    assert await client.state(1) is State.LEASED
    await client.do(TakeBackLease(1, attempt=second.attempt))
    assert await client.state(1) is State.READY


async def test_a_lease_taken_back_after_a_request_to_stop_is_cancelled(client):
    await client.put()
    await client.take()
    await client.do(CancelJob(1))
    await client.do(TakeBackLease(1))
    assert await client.state(1) is State.CANCELLED


async def test_a_lease_that_is_concluded_and_taken_back_in_one_transaction_is_concluded(client):
    await client.put()
    held = await client.take()
    refused, done = await client.together(TakeBackLease(1), ConcludeLease(held.ref()))
    assert done.state is State.CONCLUDED
    assert refused.code == "wrong_state"


# Editing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay_ms", [None, 9_000])
async def test_an_edit_changes_all_that_it_names_and_keeps_the_rest(client, delay_ms):
    await client.put(payload=b"[1]", type="a", delay_ms=delay_ms, tags=("x",), unique_key="u")
    before = await client.detail(1)
    await client.do(EditJob(1, priority=3, max_attempts=2, tags=("y", "z")))
    detail = await client.detail(1)
    job = detail.job
    assert (job.priority, job.max_attempts, job.extras.tags, job.extras.unique_key) == (3, 2, ("y", "z"), "u")
    assert (job.state, job.ready_at, job.created_at) == (before.job.state, before.job.ready_at, before.job.created_at)
    assert detail.content == before.content


async def test_an_edit_of_the_meta_keeps_the_tags_and_one_of_the_tags_keeps_the_meta(client):
    await client.put(tags=("x",), meta=(("a", "1"),))
    await client.do(EditJob(1, meta=(("b", "2"), ("c", ""))))
    extras = (await client.job(1)).extras
    assert (extras.tags, extras.meta) == (("x",), (("b", "2"), ("c", "")))
    await client.do(EditJob(1, tags=("y",)))
    await client.do(EditJob(1, priority=1))
    extras = (await client.job(1)).extras
    assert (extras.tags, extras.meta) == (("y",), (("b", "2"), ("c", "")))
    await client.do(EditJob(1, meta=()))
    assert (await client.job(1)).extras.meta == ()


async def test_a_moved_job_keeps_its_meta(client):
    await client.put(meta=(("a", "1"),))
    moved = await client.do(MoveJob(1, "other"))
    assert (await client.job(moved.jobs[0].id)).extras.meta == (("a", "1"),)


async def test_an_edit_of_the_payload_keeps_the_type_and_one_of_the_type_keeps_the_payload(client):
    await client.put(payload=b"[1]", type="a")
    await client.do(EditJob(1, content=Content("ignored", "text/plain", b"longer than it was")))
    assert (await client.detail(1)).content == Content("a", "text/plain", b"longer than it was")
    await client.do(EditJob(1, type="b"))
    assert (await client.detail(1)).content == Content("b", "text/plain", b"longer than it was")
    await client.do(EditJob(1, type="c", content=Content("", None, b"1")))
    assert (await client.detail(1)).content == Content("c", None, b"1")
    assert (await client.tally()).bytes == 1


@pytest.mark.parametrize("payload_first", [True, False])
async def test_two_edits_in_one_transaction_are_both_kept(client, payload_first):
    await client.put(payload=b"[1]", type="a")
    edits = [EditJob(1, content=Content("", None, b"[1, 2]")), EditJob(1, type="b")]
    await client.together(*(edits if payload_first else reversed(edits)))
    detail = await client.detail(1)
    assert detail.content == Content("b", None, b"[1, 2]")
    assert detail.job.size == len(detail.content.payload) == (await client.tally()).bytes


@pytest.mark.parametrize("payload", [b"", b"12", b"12345678"])
@pytest.mark.parametrize(("before", "after"), [(None, 500), (500, 0), (500, 900), (None, 0)])
async def test_an_edit_of_payload_and_moment_at_once_is_counted_in_both(client, payload, before, after):
    await client.put(payload=b"1234", delay_ms=before)
    await client.do(EditJob(1, content=Content("", None, payload), delay_ms=after))
    waiting = {"scheduled": 1} if after else {"ready": 1}
    assert await client.tally() == Tally(**waiting, bytes=len(payload))


async def test_a_larger_payload_needs_room_and_a_smaller_one_makes_it(client):
    await client.do(SetQueue("q", QueueSettings(capacity_bytes=10), whole=True))
    await client.put(payload=b"x" * 6)
    with pytest.raises(QueueFull):
        await client.do(EditJob(1, content=Content("", None, b"x" * 11)))
    assert (await client.detail(1)).content.payload == b"x" * 6
    await client.do(EditJob(1, content=Content("", None, b"x" * 10)))
    await client.do(EditJob(1, content=Content("", None, b"x")))
    await client.put(payload=b"x" * 9)


async def test_a_job_edited_to_a_moment_that_has_passed_is_ready_now(client):
    await client.put(delay_ms=500)
    await client.do(EditJob(1, run_at=client.now - 5))
    job = await client.job(1)
    assert (job.state, job.ready_at) == (State.READY, client.now)


# Several verbs for one job in one transaction ------------------------------------------------------------------------


async def test_verbs_for_one_job_are_decided_one_after_the_other_each_on_what_the_one_before_left(client):
    await client.put(delay_ms=500)
    results = await client.together(
        PromoteJob(1), PromoteJob(1), EditJob(1, priority=2), CancelJob(1), EditJob(1, priority=3), DeleteJob(1), CancelJob(1)
    )
    codes = [getattr(result, "code", "done") for result in results]
    assert codes == ["done", "wrong_state", "done", "done", "wrong_state", "done", "job_not_found"]
    assert await client.walk() == []
    assert await client.tally() == Tally()


async def test_a_lease_that_ends_in_the_transaction_of_a_cancel_ends_first(client):
    await client.put()
    job = await client.take()
    cancelled, concluded = await client.together(CancelJob(1), ConcludeLease(job.ref()))
    assert (cancelled.code, concluded.state) == ("wrong_state", State.CONCLUDED)


async def test_an_extension_and_a_cancel_of_one_lease_in_one_transaction_are_both_kept(client):
    await client.put()
    job = await client.take()
    await client.together(CancelJob(1), ExtendLease(job.ref(), 777_777, b"1"))
    lease = (await client.job(1)).lease
    assert (lease.until, lease.cancel_requested) == (client.now + 777_777, True)
    assert (await client.detail(1)).progress == b"1"


async def test_a_job_put_by_a_conclude_can_be_deleted_in_the_same_transaction(client, new):
    """Ids can be guessed: whoever deletes the next one may meet it half made."""
    await client.put()
    job = await client.take()
    concluded, deleted = await client.together(ConcludeLease(job.ref(), None, [new()]), DeleteJob(2))
    assert (concluded.then[0].id, deleted.job.id) == (2, 2)
    assert await client.tally() == Tally(concluded=1, history_bytes=1)


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("way", ["ready", "scheduled", "held", "dead", "quarantined"])
async def test_a_job_that_waits_or_is_dead_is_settled_by_what_is_known_of_it(client, way, done):
    await client.do(SetQueue("q", QueueSettings(max_crashes=1), whole=True))
    await client.put(delay_ms=50 if way == "scheduled" else None, unique_key="k", group_key="g" if way == "held" else None)
    if way == "held":
        await client.put(group_key="g")
    if way in ("dead", "quarantined"):
        job = await client.take()
        await client.do(FailLease(job.ref(), "no", retry=False, crashed=way == "quarantined"))
    number = 2 if way == "held" else 1
    before = (await client.job(number)).attempt
    changed = await client.do(SettleJob(number, done, "seen in the ledger", b"[7]" if done else None))
    detail = await client.detail(number)
    assert changed.job == detail.job
    assert (detail.job.state, detail.job.attempt) == (State.CONCLUDED if done else State.DEAD, before)
    assert (detail.job.reason, detail.result) == ("settled: seen in the ledger", b"[7]" if done else None)
    tally = await client.tally()
    assert (tally.concluded, tally.dead, tally.scheduled) == (done, not done, 0)
    if not done:
        assert (await client.do(RetryJob(number))).job.reason is None


async def test_a_job_that_runs_or_has_ended_otherwise_is_not_settled(client):
    await client.put()
    job = await client.take()
    with pytest.raises(WrongState):
        await client.do(SettleJob(1, True, "seen"))
    await client.do(ConcludeLease(job.ref()))
    with pytest.raises(WrongState):
        await client.do(SettleJob(1, False, "seen"))
    with pytest.raises(JobNotFound):
        await client.do(SettleJob(9, True, "seen"))
