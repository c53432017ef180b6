"""What a transaction promises: all of it or nothing, numbers that are given once, and reads that see only what is committed."""

import pytest
from msgspec.structs import replace

from holdfast import limits
from holdfast.errors import InvalidRequest, QueueNotFound
from holdfast.job.job import Content, Extras, IdempotencyKey, Job, Receipt, State
from holdfast.job.queue import QueuePolicy, QueueSettings, Tally
from holdfast.messages.queries import GetJob, GetQueue, ListQueues
from holdfast.stores.store import Change, KeptAnswer

NOW = 1_800_000_000_000
JOB = Job(1, "q", State.READY, 5, 0, 0, 0, 9, 2, NOW, NOW, Extras(unique_key="u", group_key="g"))
CONTENT = Content("", None, b"[]")
KEY = IdempotencyKey("q", "k", b"digest")
ANSWER = KeptAnswer(b"digest", [Receipt(1, "q", State.READY, 5, 9, NOW, NOW)])


async def fill(tx) -> None:
    """Something of everything that a transaction can leave."""
    queue = await tx.create_queue("q", NOW)
    queue.policy = tx.policy(settings := QueueSettings(capacity_jobs=3))
    queue.settings, queue.paused, queue.tally = settings, True, Tally(ready=1, bytes=2)
    tx.take_job_ids(1)
    tx.take_fences(1)
    await tx.write([Change(None, JOB, CONTENT, progress=b"1")])
    await tx.keep_answers([(KEY, ANSWER)], NOW)
    await tx.save_queues([queue])


async def assert_empty(store) -> None:
    async with store.transaction() as tx:
        assert await tx.queue("q") is None
        assert await tx.queue_names("", 10) == []
        assert await tx.job(1) is None
        assert await tx.content(1) is None
        assert await tx.progress([1]) == {}
        assert await tx.unique_holders([("q", "u")]) == {}
        assert await tx.kept_answers([KEY]) == {}
        assert await tx.job(max(1, await tx.newest_job())) is None  # what was given then is not given again
    with pytest.raises(QueueNotFound):
        await store.read(GetQueue("q"), NOW)
    assert await store.next_due() is None


async def test_leaving_a_transaction_without_commit_leaves_nothing(store):
    async with store.transaction() as tx:
        await fill(tx)
    await assert_empty(store)


async def test_an_error_within_a_transaction_leaves_nothing_and_comes_out_as_it_is(store):
    async def stumble() -> None:
        async with store.transaction() as tx:
            await fill(tx)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await stumble()
    await assert_empty(store)


async def test_a_change_to_a_queue_that_was_not_committed_is_not_remembered(store):
    async with store.transaction() as tx:
        await fill(tx)
        await tx.commit()
    async with store.transaction() as tx:
        queue = await tx.queue("q")
        queue.tally.move(State.READY, State.DEAD, 2)
        queue.paused, queue.settings = False, QueueSettings()
        await tx.save_queues([queue])
    async with store.transaction() as tx:
        queue = await tx.queue("q")
        assert (queue.paused, queue.settings.capacity_jobs, queue.tally) == (True, 3, Tally(ready=1, bytes=2))


async def test_what_is_committed_is_there_for_transactions_and_reads_alike(store):
    async with store.transaction() as tx:
        await fill(tx)
        await tx.commit()
    async with store.transaction() as tx:
        queue = await tx.queue("q")
        assert (queue.name, queue.created_at, queue.paused, queue.tally) == ("q", NOW, True, Tally(ready=1, bytes=2))
        assert (queue.settings, queue.policy) == (QueueSettings(capacity_jobs=3), QueuePolicy(capacity_jobs=3))
        assert await tx.job(1) == JOB
        assert await tx.kept_answers([KEY, replace(KEY, key="other"), replace(KEY, scope="")]) == {("q", "k"): ANSWER}
        assert await tx.newest_job() == 1
    info = await store.read(GetQueue("q"), NOW)
    assert (info.paused, info.policy.capacity_jobs, info.tally) == (True, 3, Tally(ready=1, bytes=2))
    assert (await store.read(GetJob(1), NOW)).job == JOB


async def test_a_first_answer_is_never_replaced_by_a_second(store):
    async def keep(answer: KeptAnswer) -> None:
        async with store.transaction() as tx:
            await tx.keep_answers([(KEY, answer)], NOW)
            await tx.commit()

    await keep(ANSWER)
    with pytest.raises(Exception, match=r"."):
        await keep(KeptAnswer(b"other", []))
    async with store.transaction() as tx:
        assert await tx.kept_answers([KEY]) == {("q", "k"): ANSWER}


async def test_an_answer_without_jobs_is_kept_too(store):
    async with store.transaction() as tx:
        await tx.keep_answers([(KEY, KeptAnswer(b"digest", []))], NOW)
        await tx.commit()
    async with store.transaction() as tx:
        assert await tx.kept_answers([KEY]) == {("q", "k"): KeptAnswer(b"digest", [])}


async def test_ids_and_fences_are_given_in_rows_that_never_overlap(store):
    async with store.transaction() as tx:
        jobs = [tx.take_job_ids(count) for count in (1, 5, 2)]
        fences = [tx.take_fences(count) for count in (3, 1)]
        await tx.commit()
    async with store.transaction() as tx:
        jobs.append(tx.take_job_ids(1))
        fences.append(tx.take_fences(1))
    assert jobs == [1, 2, 7, 9]
    assert fences == [1, 4, 5]


async def test_queues_are_named_in_order_and_page_by_page(store):
    async with store.transaction() as tx:
        for name in ("b", "B", "a", "a:1", "_", "0"):
            await tx.create_queue(name, NOW)
        await tx.commit()
    expected = sorted(["b", "B", "a", "a:1", "_", "0"])
    async with store.transaction() as tx:
        assert await tx.queue_names("", 10) == expected
        assert await tx.queue_names("B", 2) == expected[2:4]
        assert await tx.queue_names("b", 2) == []
    names, after = [], ""
    while after is not None:
        page = await store.read(ListQueues(4, after), NOW)
        names += [info.name for info in page.queues]
        after = page.after
    assert names == expected


async def test_a_deleted_queue_is_gone_and_its_name_begins_anew(store):
    async with store.transaction() as tx:
        queue = await tx.create_queue("q", NOW)
        queue.paused = True
        await tx.save_queues([queue])
        await tx.commit()
    async with store.transaction() as tx:
        await tx.delete_queue(await tx.queue("q"))
        assert await tx.queue("q") is None
        await tx.commit()
    await assert_empty(store)
    async with store.transaction() as tx:
        assert (await tx.create_queue("q", NOW + 1)).paused is False
        await tx.commit()
    assert (await store.read(GetQueue("q"), NOW)).created_at == NOW + 1


async def test_deleting_one_queue_leaves_the_tally_of_another_as_this_transaction_counted_it(store):
    async with store.transaction() as tx:
        await tx.create_queue("gone", NOW)
        await tx.create_queue("q", NOW)
        await tx.commit()
    async with store.transaction() as tx:
        queue = await tx.queue("q")
        queue.tally.move(None, State.READY, 2)
        await tx.delete_queue(await tx.queue("gone"))
        await tx.write([Change(None, JOB, CONTENT)])
        await tx.save_queues([queue])
        await tx.commit()
    async with store.transaction() as tx:
        assert (await tx.queue("q")).tally == Tally(ready=1, bytes=2)


async def test_one_queue_too_many_is_refused_by_its_field(store, monkeypatch):
    module = type(store).__module__.rpartition(".")[0]
    monkeypatch.setattr(f"{module}.transaction.QUEUES", 2)
    async with store.transaction() as tx:
        await tx.create_queue("a", NOW)
        await tx.create_queue("b", NOW)
        await tx.commit()
    with pytest.raises(InvalidRequest) as refusal:
        async with store.transaction() as tx:
            await tx.create_queue("c", NOW)
    assert refusal.value.fields == {"field": "queue"}
    assert limits.QUEUES == 100_000


async def test_the_next_moment_is_the_earliest_end_of_a_lease_or_start_of_a_job(store):
    scheduled = replace(JOB, state=State.SCHEDULED, ready_at=NOW + 50, extras=Extras())
    async with store.transaction() as tx:
        await tx.create_queue("q", NOW)
        await tx.write([Change(None, scheduled, CONTENT), Change(None, replace(scheduled, id=2, ready_at=NOW + 40), CONTENT)])
        await tx.commit()
    assert await store.next_due() == NOW + 40


async def test_due_jobs_come_earliest_first_and_in_bites(store):
    scheduled = replace(JOB, state=State.SCHEDULED, extras=Extras())
    moments = {1: 30, 2: 10, 3: 20, 4: 40}
    async with store.transaction() as tx:
        await tx.create_queue("q", NOW)
        await tx.write([Change(None, replace(scheduled, id=i, ready_at=NOW + at), CONTENT) for i, at in moments.items()])
        await tx.commit()
    async with store.transaction() as tx:
        assert [job.id for job in await tx.due(NOW + 30, 10)] == [2, 3, 1]
        assert [job.id for job in await tx.due(NOW + 30, 2)] == [2, 3]
        assert await tx.due(NOW + 9, 10) == []
