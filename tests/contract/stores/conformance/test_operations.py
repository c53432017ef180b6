"""Operations on every store: which jobs are meant, that each is changed once, pace, waiting for room, pause, cancel, and the end."""

import pytest
from msgspec.structs import replace

from holdfast.auth.keys import Ability
from holdfast.auth.scope import Scope
from holdfast.errors import IdempotencyMismatch, InvalidRequest, OperationNotFound, QueueNotFound, WrongState
from holdfast.job.job import IdempotencyKey, State
from holdfast.job.operation import STATES, USUAL, Do, Doing, JobFilter, Operation, Skipped
from holdfast.job.queue import QueueSettings
from holdfast.limits import ID_MAX, OPERATION_STEP_JOBS, OPERATIONS_RUNNING
from holdfast.messages.audit import ListAudit
from holdfast.messages.commands import EditJob, FailLease, MoveJob, RetryJob, SetQueue
from holdfast.messages.job_batches import MakeJobBatch
from holdfast.messages.key_commands import CreateKey, RevokeKey
from holdfast.messages.operations import (
    CancelOperation,
    FindJobs,
    ListOperations,
    PauseOperation,
    SetOperationRate,
    StartOperation,
    StepOperation,
    TrimOperations,
)
from holdfast.messages.queries import CountJobs, ListJobs
from tests.contract.stores.conformance.conftest import StoreClient, new


async def start(
    client: StoreClient, do: Do, *, states: tuple[State, ...] = (), scope: Scope | None = None, **given
) -> Operation:
    options = {name: given.pop(name) for name in ("to", "per_s", "limit", "total", "key") if name in given}
    wanted = JobFilter(**given)
    if not states:
        states = (wanted.state,) if wanted.state is not None else USUAL[do] or STATES[do]
    return (await client.do(StartOperation(do, wanted, states, scope=scope, **options))).operation


async def run(client: StoreClient) -> None:
    """All that is due now."""
    while await client.backend.operations.work(anyhow=True):
        pass


async def operation(client: StoreClient, number: int) -> Operation:
    (found,) = (await client.ask(ListOperations(id=number))).operations
    return found


async def dead(client: StoreClient, count: int = 1, queue: str = "q", **options) -> list[int]:
    """Jobs that failed for good."""
    receipts = await client.put_all([new(queue, **options) for _ in range(count)])
    await _fail(client, queue, count)
    return [receipt.id for receipt in receipts]


async def _fail(client: StoreClient, queue: str, count: int) -> None:
    for granted in await client.lease(queue, limit=count):
        await client.do(FailLease(granted.job.ref(), "it went wrong", retry=False))


async def test_a_lease_that_began_after_the_operation_is_not_taken_back(client):
    await client.put_all([new("q") for _ in range(2)])
    (first,) = await client.lease("q")
    begun = await start(client, Do.RELEASE, queue="q", per_s=0.001)
    client.clock.advance(1)
    (later,) = await client.lease("q")
    await run(client)
    assert (await operation(client, begun.id)).done == 1
    states = {one: (await client.job(one)).state for one in (first.job.id, later.job.id)}
    assert states == {first.job.id: State.READY, later.job.id: State.LEASED}


@pytest.mark.parametrize("by_id", [False, True])
async def test_a_lease_from_before_the_clock_was_set_back_is_taken_back(lasting_place, reopen, by_id):
    before = await reopen(lasting_place)
    before.clock.advance(60_000)
    await before.put_all([new("q")])
    (held,) = await before.lease("q")
    await before.close()
    client = await reopen(lasting_place)
    assert client.now < held.job.lease.leased_at
    begun = await start(client, Do.RELEASE, **({"jobs": (held.job.id,)} if by_id else {"queue": "q"}))
    await run(client)
    assert (await operation(client, begun.id)).done == 1
    assert (await client.job(held.job.id)).state is State.READY
    await client.close()


async def test_an_operation_retries_all_that_match_and_says_so(client: StoreClient):
    ids = await dead(client, 3)
    others = await dead(client, 2, "other")
    begun = await start(client, Do.RETRY, queue="q", total=3)
    assert (begun.state, begun.left) == (Doing.RUNNING, 3)
    await run(client)
    after = await operation(client, begun.id)
    assert (after.state, after.done, after.skipped, after.left) == (Doing.DONE, 3, (), 0)
    assert after.ended_at == client.now
    assert [await client.state(job) for job in ids] == [State.READY] * 3
    assert [await client.state(job) for job in others] == [State.DEAD] * 2


async def test_jobs_that_come_after_its_beginning_are_not_meant(client: StoreClient):
    await dead(client)
    begun = await start(client, Do.RETRY, queue="q")
    (late,) = await dead(client)
    await run(client)
    assert (await operation(client, begun.id)).done == 1
    assert await client.state(late) is State.DEAD


async def test_a_job_that_fails_again_is_not_retried_again_by_it(client: StoreClient):
    first, second = await dead(client, 2)
    begun = await start(client, Do.RETRY, queue="q", per_s=1)
    await run(client)
    assert (await operation(client, begun.id)).done == 1
    await _fail(client, "q", 1)
    assert await client.state(first) is State.DEAD
    client.clock.advance(1_000)
    await run(client)
    client.clock.advance(10_000)
    await run(client)
    after = await operation(client, begun.id)
    assert (after.state, after.done) == (Doing.DONE, 2)
    assert await client.state(first) is State.DEAD
    assert await client.state(second) is State.READY


@pytest.mark.parametrize("narrow", ["type", "tag", "meta", "text", "error", "before"])
async def test_its_filter_is_that_of_the_listing(client: StoreClient, narrow: str):
    (old,) = await client.put_all([new("q", payload=b'"needle"', type="mail", tags=("red",), meta=(("tenant", "7"),))])
    (granted,) = await client.lease("q")
    await client.do(FailLease(granted.job.ref(), "timed out", retry=False))
    client.clock.advance(1_000)
    (recent,) = await client.put_all([new("q", payload=b'"hay"', type="pdf", tags=("blue",), meta=(("tenant", "8"),))])
    (granted,) = await client.lease("q")
    await client.do(FailLease(granted.job.ref(), "refused", retry=False))
    given = {
        "type": {"type": "mail"},
        "tag": {"tag": "red"},
        "meta": {"meta": (("tenant", "7"),)},
        "text": {"text": "needle"},
        "error": {"error": "timed"},
        "before": {"before": client.now - 1},
    }[narrow]
    assert [job.id for job in await client.walk(state=State.DEAD, **given)] == [old.id]
    begun = await start(client, Do.RETRY, **given)
    await run(client)
    assert (await operation(client, begun.id)).done == 1
    assert await client.state(old.id) is State.READY
    assert await client.state(recent.id) is State.DEAD


async def test_jobs_of_every_state_are_found_in_the_order_of_their_ids(client: StoreClient):
    await client.do(SetQueue("q", QueueSettings(), whole=False))
    scheduled = await client.put("q", delay_ms=60_000)
    urgent = await client.put("q", priority=1)
    grouped = await client.put_all([new("q", group_key="g") for _ in range(3)])
    (gone,) = await dead(client, 1, "p")
    leased = await client.put("p")
    await client.lease("p")
    ids = [scheduled.id, urgent.id, *[one.id for one in grouped], gone, leased.id]
    found = await client.ask(FindJobs(JobFilter(), tuple(State), 0, 10_000))
    assert (found.ids, found.last) == (sorted(ids), True)
    found = await client.ask(FindJobs(JobFilter(queue="q"), (State.READY,), urgent.id, grouped[-1].id))
    assert found.ids == [grouped[0].id, grouped[1].id]
    found = await client.ask(FindJobs(JobFilter(), tuple(State), 0, 10_000, scope=Scope(("p",))))
    assert found.ids == [gone, leased.id]


async def test_every_verb_does_to_its_jobs_what_it_does_to_one(client: StoreClient):
    waiting = await client.put("q", delay_ms=60_000)
    await start(client, Do.PROMOTE, queue="q")
    await run(client)
    assert await client.state(waiting.id) is State.READY
    taken = await client.take("q")
    await start(client, Do.RELEASE, queue="q")
    await run(client)
    assert await client.state(taken.id) is State.READY
    await start(client, Do.CANCEL, queue="q")
    await run(client)
    assert await client.state(taken.id) is State.CANCELLED
    await start(client, Do.DELETE, queue="q", state=State.CANCELLED)
    await run(client)
    assert (await client.tally()).cancelled == 0
    assert await client.walk(queue="q") == []


async def test_moved_jobs_keep_their_meta_and_what_collides_is_skipped(client: StoreClient):
    moving = await client.put("q", unique_key="a", meta=(("tenant", "7"),))
    stuck = await client.put("q", unique_key="b")
    await client.put("to", unique_key="b")
    begun = await start(client, Do.MOVE, queue="q", to="to")
    await run(client)
    after = await operation(client, begun.id)
    assert (after.done, after.skipped) == (1, (Skipped("not_unique", 1, (stuck.id,)),))
    assert [job.id for job in await client.walk(queue="q")] == [stuck.id]
    moved = [job for job in await client.walk(queue="to") if job.extras.meta]
    assert [job.extras.meta for job in moved] == [(("tenant", "7"),)]
    assert moved[0].id > moving.id


async def test_what_there_is_no_room_for_waits_and_says_so(client: StoreClient):
    await client.do(SetQueue("to", QueueSettings(capacity_jobs=1), whole=False))
    jobs = [await client.put("q") for _ in range(2)]
    begun = await start(client, Do.MOVE, queue="q", to="to")
    await run(client)
    after = await operation(client, begun.id)
    assert (after.state, after.done, after.waits) == (Doing.RUNNING, 1, "waits_for_room")
    assert "to is full" in after.waits_why
    assert await client.state(jobs[1].id) is State.READY
    await client.do(SetQueue("to", QueueSettings(capacity_jobs=5), whole=False))
    await run(client)
    assert (await operation(client, begun.id)).done == 1, "it tries again only after a while"
    client.clock.advance(1_000)
    await run(client)
    after = await operation(client, begun.id)
    assert (after.state, after.done, after.waits) == (Doing.DONE, 2, "")


async def test_what_waits_for_room_tries_less_and_less_often_until_something_moves(client: StoreClient):
    await client.do(SetQueue("to", QueueSettings(capacity_jobs=1), whole=False))
    for _ in range(3):
        await client.put("q")
    begun = await start(client, Do.MOVE, queue="q", to="to")
    await run(client)
    waits = []
    for _ in range(8):
        wait_ms = (await operation(client, begun.id)).next_us // 1_000 - client.now
        waits.append(wait_ms)
        client.clock.advance(wait_ms - 1)
        assert not await client.backend.operations.work(anyhow=True), "too early"
        client.clock.advance(1)
        assert await client.backend.operations.work(anyhow=True)
    assert waits == [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]
    await client.do(SetQueue("to", QueueSettings(capacity_jobs=2), whole=False))
    client.clock.advance(10_000)
    await run(client)
    after = await operation(client, begun.id)
    assert (after.done, after.waits, after.next_us // 1_000 - client.now) == (2, "waits_for_room", 250)


async def test_the_same_idempotency_key_begins_one_operation(client: StoreClient):
    ids = await dead(client, 2)
    once = IdempotencyKey("", "again", b"0123456789abcdef")
    given = StartOperation(Do.RETRY, JobFilter(queue="q"), (State.DEAD,), once=once)
    begun = await client.do(given)
    assert not begun.duplicate
    again = await client.do(given)
    assert (again.operation.id, again.duplicate) == (begun.operation.id, True)
    await run(client)
    again = await client.do(given)
    assert (again.operation.id, again.operation.state, again.operation.done, again.duplicate) == (
        begun.operation.id,
        Doing.DONE,
        2,
        True,
    )
    with pytest.raises(IdempotencyMismatch):
        await client.do(
            StartOperation(Do.CANCEL, JobFilter(queue="q"), (State.READY,), once=replace(once, digest=b"another of 16 by"))
        )
    assert [await client.state(job) for job in ids] == [State.READY] * 2
    entries = (await client.ask(ListAudit(10))).entries
    assert len([entry for entry in entries if entry.outcome == "done"]) == 1


async def test_the_members_of_a_batch_are_found_by_it_and_by_the_other_filters(client: StoreClient):
    await client.put("q")
    batch = await client.do(MakeJobBatch([new("q", type="a"), new("q", type="b"), new("r", type="a")]))
    late = await client.put("q", type="a", batch=batch.id)
    counts = await client.ask(CountJobs(batch=batch.id, type="a"))
    assert counts.counts["ready"] == 3
    begun = await start(client, Do.CANCEL, batch=batch.id, type="a", queue="q")
    after_it = await client.put("q", type="a", batch=batch.id)
    await run(client)
    assert (await operation(client, begun.id)).done == 2
    assert [await client.state(receipt.id) for receipt in (*batch.jobs, late, after_it)] == [
        State.CANCELLED,
        State.READY,
        State.READY,
        State.CANCELLED,
        State.READY,
    ]


async def test_the_members_of_a_batch_are_listed_from_the_last_one_too(client: StoreClient):
    batch = await client.do(MakeJobBatch([new("q") for _ in range(450)]))
    ids = [receipt.id for receipt in batch.jobs]
    for limit in (70, 1_000):
        assert [job.id for job in await client.walk(limit, batch=batch.id, reverse=True)] == ids[::-1]
    page = await client.ask(ListJobs(100, batch=batch.id, cursor=(0, (ids[199],))))
    back = await client.ask(ListJobs(100, batch=batch.id, cursor=page.first, reverse=True))
    assert [one.job.id for one in back.jobs] == ids[100:200][::-1]


@pytest.mark.parametrize("worker", ["anna", "bert", "cleo"])
async def test_an_operation_is_about_the_jobs_of_one_worker(client: StoreClient, worker: str):
    ids = {}
    for name in ("anna", "bert"):
        await client.put("q")
        (granted,) = await client.lease("q", worker=name)
        ids[name] = granted.job.id
        await client.do(FailLease(granted.job.ref(), "broken", retry=False))
    begun = await start(client, Do.RETRY, queue="q", worker=worker)
    await run(client)
    assert (await operation(client, begun.id)).done == (worker in ids)
    assert [name for name, job in ids.items() if await client.state(job) is State.READY] == [worker] * (worker in ids)


async def test_an_operation_is_about_the_jobs_since_a_moment(client: StoreClient):
    old = await client.put("q")
    client.clock.advance(1_000)
    new_one = await client.put("q")
    await start(client, Do.CANCEL, queue="q", since=client.now - 500)
    await run(client)
    assert [await client.state(one.id) for one in (old, new_one)] == [State.READY, State.CANCELLED]


@pytest.mark.parametrize("narrow", [{"error": "timed"}, {"text": "needle"}, {"before": True}, {"worker": "first"}])
async def test_a_batch_is_searched_as_all_jobs_are(client: StoreClient, narrow: dict):
    batch = await client.do(MakeJobBatch([new("q", payload=b'"needle"')]))
    (granted,) = await client.lease("q", worker="first")
    await client.do(FailLease(granted.job.ref(), "timed out", retry=False))
    client.clock.advance(1_000)
    await client.put("q", payload=b'"hay"', batch=batch.id)
    (granted,) = await client.lease("q")
    await client.do(FailLease(granted.job.ref(), "refused", retry=False))
    given = {"before": client.now - 1} if "before" in narrow else narrow
    page = await client.ask(ListJobs(10, batch=batch.id, **given))
    assert [detail.job.id for detail in page.jobs] == [batch.jobs[0].id]


async def test_a_pace_is_kept_and_never_caught_up_on_at_once(client: StoreClient):
    await dead(client, 30)
    begun = await start(client, Do.RETRY, queue="q", per_s=50)
    for done in (1, 2, 3):
        await run(client)
        assert (await operation(client, begun.id)).done == done
        client.clock.advance(20)
    client.clock.advance(10_000)
    await run(client)
    assert (await operation(client, begun.id)).done == 9, "100 ms of it at most"


async def test_a_fast_pace_takes_several_in_a_step(client: StoreClient):
    await dead(client, 60)
    begun = await start(client, Do.RETRY, queue="q", per_s=1_000)
    await run(client)
    client.clock.advance(20)
    await run(client)
    assert (await operation(client, begun.id)).done == 21


async def test_its_pace_may_be_changed(client: StoreClient):
    await dead(client, 5)
    begun = await start(client, Do.RETRY, queue="q", per_s=1)
    await run(client)
    await client.do(SetOperationRate(begun.id, None))
    await run(client)
    after = await operation(client, begun.id)
    assert (after.state, after.done, after.per_s) == (Doing.DONE, 5, None)


async def test_it_is_paused_and_goes_on_where_it_was(client: StoreClient):
    ids = await dead(client, 3)
    begun = await start(client, Do.RETRY, queue="q", per_s=1)
    await run(client)
    await client.do(PauseOperation(begun.id, True))
    client.clock.advance(60_000)
    await run(client)
    assert (await operation(client, begun.id)).done == 1
    await client.do(PauseOperation(begun.id, False))
    await client.do(SetOperationRate(begun.id, None))
    await run(client)
    assert (await operation(client, begun.id)).state is Doing.DONE
    assert [await client.state(job) for job in ids] == [State.READY] * 3


async def test_cancelled_it_ends_where_it_is(client: StoreClient):
    await dead(client, 3)
    begun = await start(client, Do.RETRY, queue="q", per_s=1)
    await run(client)
    await client.do(CancelOperation(begun.id))
    client.clock.advance(60_000)
    await run(client)
    after = await operation(client, begun.id)
    assert (after.state, after.done, after.left) == (Doing.CANCELLED, 1, 0)
    assert (await client.tally()).dead == 2
    for command in (CancelOperation(begun.id), PauseOperation(begun.id, True), SetOperationRate(begun.id, 1)):
        with pytest.raises(WrongState):
            await client.do(command)


async def test_it_ends_after_as_many_as_were_asked_for(client: StoreClient):
    await dead(client, 5)
    begun = await start(client, Do.RETRY, queue="q", limit=2, total=5)
    assert begun.left == 2
    await run(client)
    after = await operation(client, begun.id)
    assert (after.state, after.done) == (Doing.DONE, 2)
    assert (await client.tally()).dead == 3


async def test_jobs_that_are_named_are_done_whatever_their_state_and_others_are_told(client: StoreClient):
    (gone,) = await dead(client)
    ready = await client.put()
    begun = await start(client, Do.RETRY, jobs=(gone, ready.id, ready.id + 1_000))
    assert begun.id > ready.id
    await run(client)
    after = await operation(client, begun.id)
    assert (after.done, after.passed) == (1, 2)
    assert after.skipped == (Skipped("wrong_state", 1, (ready.id,)), Skipped("job_not_found", 1, (ready.id + 1_000,)))


async def test_a_job_that_changed_between_the_look_and_the_step_is_skipped(client: StoreClient):
    first, second = await dead(client, 2, type="mail")
    begun = await start(client, Do.RETRY, queue="q", type="mail")
    await client.do(RetryJob(first))
    await client.do(EditJob(first, type="pdf"))
    answer = await client.do(StepOperation(begun.id, 0, (first, second), begun.id - 1, last=True))
    assert answer.taken
    after = answer.operation
    assert (after.state, after.done, after.skipped) == (Doing.DONE, 1, (Skipped("changed", 1, (first,)),))


async def test_a_step_from_elsewhere_than_it_stands_does_nothing(client: StoreClient):
    ids = await dead(client, 2)
    begun = await start(client, Do.RETRY, queue="q")
    step = StepOperation(begun.id, 0, (ids[0],), ids[0], last=False)
    first, again = await client.together(step, step)
    assert (first.taken, again.taken) == (True, False)
    assert (await operation(client, begun.id)).done == 1


async def test_one_node_works_on_it_until_it_is_silent(client: StoreClient):
    ids = await dead(client, 3)
    begun = await start(client, Do.RETRY, queue="q")
    step = StepOperation(begun.id, 0, (ids[0],), ids[0], last=False, worker="a")
    assert (await client.do(step)).taken
    other = StepOperation(begun.id, ids[0], (ids[1],), ids[1], last=False, worker="b")
    assert not (await client.do(other)).taken
    client.clock.advance(5_000)
    assert (await client.do(other)).taken
    assert (await operation(client, begun.id)).worker == "b"


async def test_many_jobs_take_many_steps_and_each_is_changed_once(client: StoreClient):
    count = 3 * OPERATION_STEP_JOBS
    await client.put_all([new("q", delay_ms=60_000) for _ in range(count)])
    begun = await start(client, Do.PROMOTE, queue="q")
    steps = 0
    while await client.backend.operations.work(anyhow=True):
        steps += 1
    assert steps >= 3
    after = await operation(client, begun.id)
    assert (after.done, after.skipped) == (count, ())
    assert (await client.tally()).ready == count


async def test_a_filter_that_searches_goes_through_all_of_them(client: StoreClient):
    await client.put_all([new("q", type="mail" if number % 700 == 0 else "pdf") for number in range(2_200)])
    begun = await start(client, Do.CANCEL, type="mail")
    await run(client)
    assert (await operation(client, begun.id)).done == 4
    assert (await client.tally()).ready == 2_196


async def test_a_key_that_sees_some_queues_reaches_no_others(client: StoreClient):
    scope = Scope(("q",))
    mine, theirs = await dead(client), await dead(client, 1, "other")
    begun = await start(client, Do.RETRY, scope=scope)
    with pytest.raises(QueueNotFound):
        await start(client, Do.RETRY, queue="other", scope=scope)
    await run(client)
    assert (await operation(client, begun.id)).done == 1
    assert await client.state(mine[0]) is State.READY
    assert await client.state(theirs[0]) is State.DEAD


async def test_a_job_that_is_named_and_may_not_be_seen_is_as_one_that_does_not_exist(client: StoreClient):
    (theirs,) = await dead(client, 1, "other")
    await client.put("q")
    begun = await start(client, Do.RETRY, jobs=(theirs,), scope=Scope(("q",)))
    await run(client)
    assert (await operation(client, begun.id)).skipped == (Skipped("job_not_found", 1, (theirs,)),)


async def test_numbers_that_no_job_had_when_it_began_are_counted_as_skipped_too(client: StoreClient):
    (mine,) = await dead(client)
    begun = await start(client, Do.RETRY, jobs=(mine, 10**6, ID_MAX))
    after = begun.id + 1
    more = await start(client, Do.CANCEL, jobs=(after + 1,))
    assert (await client.put()).id == after + 1
    await run(client)
    first, second = await operation(client, begun.id), await operation(client, more.id)
    assert (first.state, first.done, first.skipped) == (Doing.DONE, 1, (Skipped("job_not_found", 2, (10**6, ID_MAX)),))
    assert (second.state, second.done, second.skipped) == (Doing.DONE, 0, (Skipped("job_not_found", 1, (after + 1,)),))


async def test_an_operation_is_hidden_from_who_may_not_reach_as_far(client: StoreClient):
    await dead(client)
    whole = await start(client, Do.RETRY, per_s=1)
    part = await start(client, Do.RETRY, queue="q", per_s=1)
    scope = Scope(("q",), ("mail.",))
    page = await client.ask(ListOperations(scope=scope))
    assert [one.id for one in page.operations] == [part.id]
    with pytest.raises(OperationNotFound):
        await client.do(CancelOperation(whole.id, scope=scope))
    with pytest.raises(OperationNotFound):
        await client.do(CancelOperation(part.id, scope=Scope(("p",))))
    await client.do(CancelOperation(part.id, scope=scope))


async def test_it_ends_when_the_key_of_who_began_it_is_revoked(client: StoreClient):
    await client.do(CreateKey("key-1", "ops", b"1" * 32, (Ability.MANAGE,), ("*",)))
    await dead(client, 2)
    begun = await start(client, Do.RETRY, queue="q", per_s=1, key="key-1")
    await run(client)
    await client.do(RevokeKey("ops"))
    client.clock.advance(1_000)
    await run(client)
    after = await operation(client, begun.id)
    assert (after.state, after.reason, after.done) == (Doing.CANCELLED, "key_revoked", 1)


async def test_it_leaves_one_entry_in_the_audit_log_with_its_counts(client: StoreClient):
    await dead(client, 3)
    begun = await start(client, Do.RETRY, queue="q", per_s=50)
    (entry,) = (await client.ask(ListAudit(10))).entries
    assert (entry.action, entry.queue, entry.target, entry.outcome) == ("operation.start", "q", str(begun.id), "going_on")
    await client.do(SetOperationRate(begun.id, None))
    await run(client)
    entries = (await client.ask(ListAudit(10))).entries
    entry = entries[-1]
    assert [one.action for one in entries] == ["operation.set", "operation.start"]
    assert (entry.outcome, entry.done, entry.refused) == ("done", 3, 0)
    assert entry.note == "retry all jobs (dead), 50 a second"


async def test_every_way_to_steer_it_leaves_an_entry(client: StoreClient):
    await dead(client, 3)
    begun = await start(client, Do.RETRY, queue="q", per_s=1)
    for command in (
        PauseOperation(begun.id, True),
        PauseOperation(begun.id, False),
        SetOperationRate(begun.id, 2),
        CancelOperation(begun.id),
    ):
        await client.do(command)
    found = (await client.ask(ListAudit(10))).entries[::-1]
    assert [(entry.action, entry.target, entry.outcome) for entry in found] == [
        ("operation.start", str(begun.id), "cancelled"),
        *((f"operation.{verb}", str(begun.id), "done") for verb in ("pause", "resume", "set", "cancel")),
    ]


async def test_there_are_only_so_many_at_once_and_old_ones_are_forgotten(client: StoreClient):
    await dead(client)
    for _ in range(OPERATIONS_RUNNING):
        await start(client, Do.RETRY, queue="q", per_s=1)
    with pytest.raises(InvalidRequest):
        await start(client, Do.RETRY, queue="q")
    client.clock.advance(10)
    await run(client)
    running = (await client.ask(ListOperations(unfinished=True))).operations
    for one in running:
        await client.do(CancelOperation(one.id))
    await client.do(TrimOperations(1_000, 5))
    assert len((await client.ask(ListOperations())).operations) == 5
    page = await client.ask(ListOperations(2))
    assert [one.id for one in (await client.ask(ListOperations(2, page.before))).operations] < [page.operations[-1].id]
    client.clock.advance(1_001)
    await client.do(TrimOperations(1_000, 5))
    assert (await client.ask(ListOperations())).operations == []


async def test_move_of_one_job_is_as_it_was(client: StoreClient):
    job = await client.put("q")
    moved = (await client.do(MoveJob(job.id, "to"))).jobs[0]
    assert (await client.job(moved.id)).queue == "to"
