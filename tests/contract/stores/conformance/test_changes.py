"""Each kind of change, straight on the transaction: from every state into every state, new and removed, with all that hangs on it.

The rows are looked for in every place where they could be: by id, in the line, among the held, the leased, the scheduled, the ended, under
the unique key and in the group. What is read must be the job as it was written, and be in one place only.
"""

from itertools import product

import pytest
from msgspec.structs import replace

from holdfast.job.job import Content, Extras, Job, JobError, Lease, Receipt, State
from holdfast.messages.queries import GetJob
from holdfast.stores.store import Change

NOW = 1_800_000_000_000
CONTENT = Content("mail", None, b'{"a":1}')
EXTRAS = Extras(lease_ms=9, unique_key="u", group_key="g", group_limit=2, tags=("x", "y"))
LEASE = Lease(fence=1, secret=b"s" * 16, worker="w", leased_at=NOW - 5, until=NOW + 5, request="r", cancel_requested=True)
BY = replace(LEASE, until=0, request=None, cancel_requested=False)
READY = Job(
    id=1,
    queue="q",
    state=State.READY,
    priority=7,
    attempt=3,
    failures=1,
    crashes=2,
    max_attempts=9,
    size=len(CONTENT.payload),
    created_at=NOW - 100,
    ready_at=NOW - 50,
    extras=EXTRAS,
)
JOBS = {
    "nothing": None,
    "scheduled": replace(READY, state=State.SCHEDULED, ready_at=NOW + 50),
    "ready": READY,
    "held": replace(READY, held=True),
    "leased": replace(READY, state=State.LEASED, lease=LEASE, leased_at=LEASE.leased_at),
    "concluded": replace(READY, state=State.CONCLUDED, leased_at=NOW - 5, ended_at=NOW, ended_by=BY),
    "dead": replace(READY, state=State.DEAD, leased_at=NOW - 5, ended_at=NOW, reason="failed"),
    "cancelled": replace(READY, state=State.CANCELLED, ended_at=NOW, reason="cancelled"),
}
PAIRS = [pair for pair in product(JOBS, JOBS) if pair != ("nothing", "nothing")]


async def written(store, *changes: Change) -> None:
    """One transaction with these changes, and the tallies that go with them."""
    async with store.transaction() as tx:
        queue = await tx.queue("q") or await tx.create_queue("q", NOW)
        for change in changes:
            some = change.after or change.before
            states = [job.state if job else None for job in (change.before, change.after)]
            queue.tally.move(*states, some.size)
        await tx.write(changes)
        await tx.save_queues([queue])
        await tx.commit()


async def put(store, job: Job, content: Content = CONTENT) -> None:
    await written(store, Change(None, job, content))


async def places(store) -> dict[str, list[int]]:
    """The ids that each of the store's ways of loading finds."""
    async with store.transaction() as tx:
        queue = await tx.queue("q")
        ready = [job for job, content in await tx.ready(queue, 10)]
        leased = await tx.leased([1, 2, 3])
        by_request = (await tx.leased_by_request(["r"])).get("r", [])
        expired = await tx.expired(NOW + 5, 10)
        held = await tx.held("q", "g", 10)
        due = await tx.due(NOW + 50, 10)
        ended = {state: await tx.removable(queue, [state], 10, 10) for state in ("concluded", "dead", "cancelled")}
        forgettable = await tx.forgettable(queue, NOW + 1, 10)
        unique = list((await tx.unique_holders([("q", "u")])).values())
        in_group = await tx.group_places("q", "g")
    assert [job.id for job in leased.values()] == [job.id for job, _ in by_request] == [job.id for job in expired]
    history = {job.id for state in ("concluded", "cancelled") for job in ended[state]}
    assert {job.id for job in forgettable} == history
    found = {"ready": ready, "held": held, "leased": list(leased.values()), "scheduled": due} | ended
    return {name: [job.id for job in jobs] for name, jobs in found.items()} | {"unique": unique, "in group": [1] * in_group}


def expected(job: Job | None, name: str) -> dict[str, list[int]]:
    shown = {place: [1] if place == name else [] for place in JOBS if place != "nothing"}
    return shown | {
        "unique": [1] if job is not None and job.holds_unique_key else [],
        "in group": [1] if job is not None and job.holds_group_slot else [],
    }


@pytest.mark.parametrize(("before", "after"), PAIRS)
async def test_a_change_moves_a_job_from_where_it_was_to_where_it_is_now(store, before, after):
    old, new = JOBS[before], JOBS[after]
    await (put(store, old) if old is not None else written(store))
    await written(store, Change(old, new, CONTENT if old is None else None))
    assert await places(store) == expected(new, after)
    async with store.transaction() as tx:
        assert await tx.job(1) == new
        assert await tx.content(1) == (None if new is None else CONTENT)
        tally = (await tx.queue("q")).tally
    counted = sum(getattr(tally, state.value) for state in State)
    assert counted == (new is not None)
    assert tally.bytes == (new.size if new is not None and new.state in (State.SCHEDULED, State.READY, State.LEASED) else 0)


@pytest.mark.parametrize("name", [name for name in JOBS if name != "nothing"])
async def test_a_change_whose_job_is_not_as_it_was_seen_is_refused_and_nothing_of_its_transaction_is_kept(store, name):
    """`before` is what the decision saw; the row has moved on since, in whichever way there is."""
    job = JOBS[name]
    for other, seen in JOBS.items():
        if other in (name, "nothing"):
            continue
        await put(store, replace(READY, id=2, extras=Extras()))
        await put(store, job)
        with pytest.raises(Exception, match=r".") as refusal:
            await written(
                store,
                Change(replace(READY, id=2, extras=Extras()), None),
                Change(seen, None),
            )
        assert not isinstance(refusal.value, AssertionError)
        async with store.transaction() as tx:
            assert await tx.job(1) == job
            assert await tx.job(2) is not None
        await written(store, Change(job, None), Change(replace(READY, id=2, extras=Extras()), None))


@pytest.mark.parametrize(
    "seen",
    [{"attempt": 2}, {"lease": replace(LEASE, fence=2)}, {"id": 3}],
    ids=["another attempt", "another fence", "another job"],
)
async def test_a_lease_is_ended_only_as_the_one_that_it_is(store, seen):
    await put(store, JOBS["leased"])
    wrong = replace(JOBS["leased"], **seen)
    with pytest.raises(Exception, match=r"."):
        await written(store, Change(wrong, replace(JOBS["concluded"], id=wrong.id)))
    with pytest.raises(Exception, match=r"."):
        await written(store, Change(wrong, replace(wrong, lease=replace(wrong.lease, until=NOW + 99))))
    async with store.transaction() as tx:
        assert await tx.job(1) == JOBS["leased"]


async def test_two_jobs_with_one_id_are_refused(store):
    await put(store, READY)
    with pytest.raises(Exception, match=r"."):
        await put(store, replace(READY, extras=Extras()))
    assert (await places(store))["ready"] == [1]


async def test_a_lease_is_extended_and_asked_to_stop_in_place(store):
    await put(store, JOBS["leased"])
    longer = replace(JOBS["leased"], lease=replace(LEASE, until=NOW + 77, cancel_requested=False))
    await written(store, Change(JOBS["leased"], longer))
    async with store.transaction() as tx:
        assert await tx.job(1) == longer
        assert await tx.expired(NOW + 76, 10) == []
        assert await tx.expired(NOW + 77, 10) == [longer]


async def test_what_was_decided_of_a_job_in_two_steps_is_written_as_one(store):
    await written(store, Change(None, JOBS["leased"], CONTENT))
    assert await places(store) == expected(JOBS["leased"], "leased")


async def test_what_was_made_and_removed_in_one_batch_leaves_nothing(store):
    async with store.transaction() as tx:
        await tx.create_queue("q", NOW)
        await tx.write([Change(None, None, CONTENT)])
        await tx.commit()
    assert await places(store) == expected(None, "nothing")


async def test_a_unique_key_changes_hands_within_one_transaction(store):
    await put(store, READY)
    other = replace(READY, id=2)
    await written(store, Change(None, other, CONTENT), Change(READY, JOBS["concluded"]))
    async with store.transaction() as tx:
        assert await tx.unique_holders([("q", "u"), ("q", "free"), ("nowhere", "u")]) == {("q", "u"): 2}


async def test_two_holders_of_one_unique_key_are_refused(store):
    await put(store, READY)
    with pytest.raises(Exception, match=r"."):
        await put(store, replace(READY, id=2))
    async with store.transaction() as tx:
        assert await tx.job(2) is None


@pytest.mark.parametrize("name", ["scheduled", "ready", "held"])
async def test_an_edit_changes_what_the_worker_is_given_and_every_field_that_it_names(store, name):
    job = JOBS[name]
    await put(store, job)
    edited = replace(job, priority=1, max_attempts=2, size=3, extras=replace(EXTRAS, tags=("z",)))
    content = Content("other", "text/plain", b"abc")
    async with store.transaction() as tx:
        await tx.write([Change(job, edited, content)])
        await tx.commit()
    async with store.transaction() as tx:
        assert await tx.job(1) == edited
        assert await tx.content(1) == content


async def test_a_change_without_content_leaves_the_content_alone(store):
    await put(store, READY, Content("t", "application/octet-stream", b"\x00\xff"))
    await written(store, Change(READY, replace(READY, priority=1)))
    async with store.transaction() as tx:
        assert await tx.content(1) == Content("t", "application/octet-stream", b"\x00\xff")


async def test_result_followers_error_and_progress_are_kept_with_the_change_that_brought_them(store):
    leased, concluded = JOBS["leased"], replace(JOBS["concluded"], result_size=11)
    error = JobError(2, NOW - 9, "w0", "failed", "no luck", b"z" * 16)
    then = [Receipt(5, "q", State.READY, 1, 2, NOW, NOW), Receipt(6, "r", State.SCHEDULED, 1, 2, NOW, NOW + 9)]
    await put(store, READY)
    await written(store, Change(READY, leased, error=error, progress=b"50"))
    await written(store, Change(leased, concluded, result=b'{"ok":true}', progress=b"100", then=then))
    async with store.transaction() as tx:
        assert await tx.followers(1) == then
        assert await tx.error_of(1, 2) == error
        assert await tx.error_of(1, 3) is None
        assert await tx.progress([1, 2]) == {1: b"100"}
    detail = await store.read(GetJob(1), NOW)
    assert (detail.job, detail.content, detail.now) == (concluded, CONTENT, NOW)
    assert (detail.result, detail.progress, detail.errors) == (b'{"ok":true}', b"100", [error])


async def test_a_removed_job_takes_all_that_was_known_of_it_along(store):
    await put(store, READY)
    error = JobError(2, NOW, "w", "crashed", "gone")
    await written(store, Change(READY, JOBS["dead"], error=error, progress=b"1"))
    await written(store, Change(JOBS["dead"], None))
    await put(store, READY)
    detail = await store.read(GetJob(1), NOW)
    assert (detail.errors, detail.progress, detail.result) == ([], None, None)
    async with store.transaction() as tx:
        assert await tx.error_of(1, 2) is None
        assert await tx.followers(1) == []


async def test_of_a_jobs_errors_the_last_twenty_are_kept(store):
    await put(store, READY)
    for attempt in range(1, 46):
        error = JobError(attempt, NOW + attempt, "w", "failed", f"no {attempt}")
        await written(store, Change(READY, READY, error=error))
    kept = (await store.read(GetJob(1), NOW)).errors
    assert [error.attempt for error in kept] == list(range(26, 46))
