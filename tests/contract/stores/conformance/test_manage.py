"""What an operator does to single jobs: every verb in every state, edits, and several verbs in one transaction."""

import pytest

from holdfast.errors import JobNotFound, QueueFull, WrongState
from holdfast.job.job import Content, State
from holdfast.job.queue import QueueSettings, Tally
from holdfast.messages.commands import (
    CancelJob,
    ConcludeLease,
    DeleteJob,
    EditJob,
    ExtendLease,
    FailLease,
    PromoteJob,
    RetryJob,
    SetQueue,
    SettleJob,
)

ON_ONE_JOB = [RetryJob, CancelJob, PromoteJob, DeleteJob, EditJob]


ALLOWED = {
    RetryJob: {State.DEAD: State.READY},
    CancelJob: {State.READY: State.CANCELLED, State.SCHEDULED: State.CANCELLED, State.LEASED: State.LEASED},
    PromoteJob: {State.SCHEDULED: State.READY},
    EditJob: {State.READY: State.READY, State.SCHEDULED: State.SCHEDULED},
    DeleteJob: dict.fromkeys(set(State) - {State.LEASED}),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("verb", ON_ONE_JOB)
async def test_each_verb_does_what_the_state_allows_and_otherwise_changes_nothing(desk, one_of_each, verb, state):
    job_id = one_of_each[state]
    before, tally = await desk.detail(job_id), await desk.tally()
    assert before.job.state is state
    if state not in ALLOWED[verb]:
        with pytest.raises(WrongState) as refusal:
            await desk.do(verb(job_id))
        assert refusal.value.fields == {"job_id": job_id, "state": state.value}
        assert (await desk.detail(job_id), await desk.tally()) == (before, tally)
        return
    await desk.do(verb(job_id))
    after = ALLOWED[verb][state]
    tally.move(state, after, 5)
    assert await desk.tally() == tally
    if after is None:
        with pytest.raises(JobNotFound):
            await desk.job(job_id)
    else:
        assert await desk.state(job_id) is after


@pytest.mark.parametrize("verb", ON_ONE_JOB)
async def test_a_job_that_is_not_there_is_said_not_to_be(desk, verb):
    with pytest.raises(JobNotFound) as refusal:
        await desk.do(verb(77))
    assert refusal.value.fields == {"job_id": 77}


async def test_a_retried_job_has_all_of_its_tries_again(desk):
    await desk.put(max_attempts=1)
    await desk.do(FailLease((await desk.take()).ref(), "no"))
    await desk.do(RetryJob(1))
    job = await desk.job(1)
    assert (job.failures, job.attempt, job.reason, job.ended_at) == (0, 1, None, None)
    assert (await desk.take()).attempt == 2


# Editing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay_ms", [None, 9_000])
async def test_an_edit_changes_all_that_it_names_and_keeps_the_rest(desk, delay_ms):
    await desk.put(payload=b"[1]", type="a", delay_ms=delay_ms, tags=("x",), unique_key="u")
    before = await desk.detail(1)
    await desk.do(EditJob(1, priority=3, max_attempts=2, tags=("y", "z")))
    detail = await desk.detail(1)
    job = detail.job
    assert (job.priority, job.max_attempts, job.extras.tags, job.extras.unique_key) == (3, 2, ("y", "z"), "u")
    assert (job.state, job.ready_at, job.created_at) == (before.job.state, before.job.ready_at, before.job.created_at)
    assert detail.content == before.content


async def test_an_edit_of_the_payload_keeps_the_type_and_one_of_the_type_keeps_the_payload(desk):
    await desk.put(payload=b"[1]", type="a")
    await desk.do(EditJob(1, content=Content("ignored", "text/plain", b"longer than it was")))
    assert (await desk.detail(1)).content == Content("a", "text/plain", b"longer than it was")
    await desk.do(EditJob(1, type="b"))
    assert (await desk.detail(1)).content == Content("b", "text/plain", b"longer than it was")
    await desk.do(EditJob(1, type="c", content=Content("", None, b"1")))
    assert (await desk.detail(1)).content == Content("c", None, b"1")
    assert (await desk.tally()).bytes == 1


@pytest.mark.parametrize("payload_first", [True, False])
async def test_two_edits_in_one_transaction_are_both_kept(desk, payload_first):
    await desk.put(payload=b"[1]", type="a")
    edits = [EditJob(1, content=Content("", None, b"[1, 2]")), EditJob(1, type="b")]
    await desk.together(*(edits if payload_first else reversed(edits)))
    detail = await desk.detail(1)
    assert detail.content == Content("b", None, b"[1, 2]")
    assert detail.job.size == len(detail.content.payload) == (await desk.tally()).bytes


@pytest.mark.parametrize("payload", [b"", b"12", b"12345678"])
@pytest.mark.parametrize(("before", "after"), [(None, 500), (500, 0), (500, 900), (None, 0)])
async def test_an_edit_of_payload_and_moment_at_once_is_counted_in_both(desk, payload, before, after):
    await desk.put(payload=b"1234", delay_ms=before)
    await desk.do(EditJob(1, content=Content("", None, payload), delay_ms=after))
    waiting = {"scheduled": 1} if after else {"ready": 1}
    assert await desk.tally() == Tally(**waiting, bytes=len(payload))


async def test_a_larger_payload_needs_room_and_a_smaller_one_makes_it(desk):
    await desk.do(SetQueue("q", QueueSettings(capacity_bytes=10), whole=True))
    await desk.put(payload=b"x" * 6)
    with pytest.raises(QueueFull):
        await desk.do(EditJob(1, content=Content("", None, b"x" * 11)))
    assert (await desk.detail(1)).content.payload == b"x" * 6
    await desk.do(EditJob(1, content=Content("", None, b"x" * 10)))
    await desk.do(EditJob(1, content=Content("", None, b"x")))
    await desk.put(payload=b"x" * 9)


async def test_a_job_edited_to_a_moment_that_has_passed_is_ready_now(desk):
    await desk.put(delay_ms=500)
    await desk.do(EditJob(1, run_at=desk.now - 5))
    job = await desk.job(1)
    assert (job.state, job.ready_at) == (State.READY, desk.now)


# Several verbs for one job in one transaction ------------------------------------------------------------------------


async def test_verbs_for_one_job_are_decided_one_after_the_other_each_on_what_the_one_before_left(desk):
    await desk.put(delay_ms=500)
    results = await desk.together(
        PromoteJob(1), PromoteJob(1), EditJob(1, priority=2), CancelJob(1), EditJob(1, priority=3), DeleteJob(1), CancelJob(1)
    )
    codes = [getattr(result, "code", "done") for result in results]
    assert codes == ["done", "wrong_state", "done", "done", "wrong_state", "done", "job_not_found"]
    assert await desk.walk() == []
    assert await desk.tally() == Tally()


async def test_a_lease_that_ends_in_the_transaction_of_a_cancel_ends_first(desk):
    await desk.put()
    job = await desk.take()
    cancelled, concluded = await desk.together(CancelJob(1), ConcludeLease(job.ref()))
    assert (cancelled.code, concluded.state) == ("wrong_state", State.CONCLUDED)


async def test_an_extension_and_a_cancel_of_one_lease_in_one_transaction_are_both_kept(desk):
    await desk.put()
    job = await desk.take()
    await desk.together(CancelJob(1), ExtendLease(job.ref(), 777_777, b"1"))
    lease = (await desk.job(1)).lease
    assert (lease.until, lease.cancel_requested) == (desk.now + 777_777, True)
    assert (await desk.detail(1)).progress == b"1"


async def test_a_job_put_by_a_conclude_can_be_deleted_in_the_same_transaction(desk, new):
    """Ids can be guessed: whoever deletes the next one may meet it half made."""
    await desk.put()
    job = await desk.take()
    concluded, deleted = await desk.together(ConcludeLease(job.ref(), None, [new()]), DeleteJob(2))
    assert (concluded.then[0].id, deleted.job.id) == (2, 2)
    assert await desk.tally() == Tally(concluded=1)


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("way", ["ready", "scheduled", "held", "dead", "quarantined"])
async def test_a_job_that_waits_or_is_dead_is_settled_by_what_is_known_of_it(desk, way, done):
    await desk.do(SetQueue("q", QueueSettings(max_crashes=1), whole=True))
    await desk.put(delay_ms=50 if way == "scheduled" else None, unique_key="k", group_key="g" if way == "held" else None)
    if way == "held":
        await desk.put(group_key="g")
    if way in ("dead", "quarantined"):
        job = await desk.take()
        await desk.do(FailLease(job.ref(), "no", retry=False, crashed=way == "quarantined"))
    number = 2 if way == "held" else 1
    before = (await desk.job(number)).attempt
    changed = await desk.do(SettleJob(number, done, "seen in the ledger", b"[7]" if done else None))
    detail = await desk.detail(number)
    assert changed.job == detail.job
    assert (detail.job.state, detail.job.attempt) == (State.CONCLUDED if done else State.DEAD, before)
    assert (detail.job.reason, detail.result) == ("settled: seen in the ledger", b"[7]" if done else None)
    tally = await desk.tally()
    assert (tally.concluded, tally.dead, tally.scheduled) == (done, not done, 0)
    if not done:
        assert (await desk.do(RetryJob(number))).job.reason is None


async def test_a_job_that_runs_or_has_ended_otherwise_is_not_settled(desk):
    await desk.put()
    job = await desk.take()
    with pytest.raises(WrongState):
        await desk.do(SettleJob(1, True, "seen"))
    await desk.do(ConcludeLease(job.ref()))
    with pytest.raises(WrongState):
        await desk.do(SettleJob(1, False, "seen"))
    with pytest.raises(JobNotFound):
        await desk.do(SettleJob(9, True, "seen"))
