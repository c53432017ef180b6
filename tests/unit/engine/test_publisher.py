"""Publishing: all interested queues or none, interests that count from their answer on, and the same answer for the same key."""

import asyncio

import pytest

from holdfast.engine.engine import Engine
from holdfast.errors import Draining, IdempotencyMismatch, InvalidRequest, NoInterest, NotUnique, QueueFull, QueueNotFound
from holdfast.job.job import IdempotencyKey
from holdfast.job.queue import QueueSettings


async def test_an_event_goes_to_every_interested_queue_and_to_no_other(engine, new):
    await engine.set_interest("a", {"^kind$": "^x$"})
    await engine.set_interest("b", "*")
    await engine.set_interest("c", {"^kind$": "^y$"})
    published = await engine.publish(new("-", b'{"kind":"x"}'))
    assert [receipt.queue for receipt in published.jobs] == ["a", "b"]
    assert (await engine.reading.queue("c")).tally.ready == 0


async def test_an_event_nobody_wants_is_put_nowhere_and_may_be_refused(engine, new):
    assert (await engine.publish(new("-", b"{}"))).jobs == []
    with pytest.raises(NoInterest):
        await engine.publish(new("-", b"{}"), require_interest=True)


async def test_one_full_queue_refuses_the_whole_event(engine, new):
    await engine.set_interest("roomy", "*")
    await engine.set_interest("full", "*")
    await engine.set_queue("full", QueueSettings(capacity_jobs=0), whole=True)
    with pytest.raises(QueueFull) as refused:
        await engine.publish(new("-", b"{}"))
    assert refused.value.fields["queue"] == "full"
    assert (await engine.reading.queue("roomy")).tally.ready == 0


async def test_a_copy_has_the_options_of_the_event(engine, new):
    await engine.set_interest("a", "*")
    await engine.publish(new("-", b"{}", type="t", priority=7, tags=("red",), max_attempts=3))
    job = (await engine.lease(("a",))).jobs[0]
    assert (job.content.type, job.job.priority, job.job.extras.tags, job.job.max_attempts) == ("t", 7, ("red",), 3)


async def test_an_interest_registered_elsewhere_counts_from_its_answer_on(backend, new):
    here, elsewhere = Engine(backend), Engine(backend)
    assert (await here.publish(new("-", b"{}"))).jobs == []
    here._publishing.take = lambda news: None  # the news of the change has not come through yet
    await elsewhere.set_interest("late", "*")
    assert [receipt.queue for receipt in (await here.publish(new("-", b"{}"))).jobs] == ["late"]
    await elsewhere.set_interest("late", None)
    assert (await here.publish(new("-", b"{}"))).jobs == []


async def test_the_same_key_gets_the_first_answer_again_whatever_the_interests_are_now(engine, new):
    key = IdempotencyKey("", "k", b"digest")
    await engine.set_interest("a", "*")
    first = await engine.publish(new("-", b"{}"), key)
    await engine.set_interest("b", "*")
    again = await engine.publish(new("-", b"{}"), key)
    assert again.duplicate
    assert again.jobs == first.jobs
    with pytest.raises(IdempotencyMismatch):
        await engine.publish(new("-", b"{}"), IdempotencyKey("", "k", b"other"))


async def test_an_interest_goes_with_its_queue_and_only_with_it(engine, new):
    await engine.set_interest("a", "*")
    await engine.delete_queue("a")
    assert (await engine.reading.interests()).interests == {}
    assert (await engine.publish(new("-", b"{}"))).jobs == []
    with pytest.raises(QueueNotFound):
        await engine.set_interest("a", None)


async def test_removing_an_interest_that_is_not_there_says_so(engine, new):
    await engine.enqueue([new("a")])
    assert await engine.set_interest("a", None) is False
    await engine.set_interest("a", "*")
    assert await engine.set_interest("a", None) is True


async def test_a_pattern_that_can_not_be_matched_is_refused_and_changes_nothing(engine):
    await engine.set_interest("a", {"x": "y"})
    with pytest.raises(InvalidRequest):
        await engine.set_interest("a", {"x": "(?=y)"})
    assert (await engine.reading.interests()).interests == {"a": {"x": "y"}}


async def test_where_an_event_would_go_can_be_asked_without_putting_it(engine):
    await engine.set_interest("a", {"x": "y"})
    assert await engine.queues_for(b'{"x":"y"}') == ["a"]
    assert (await engine.reading.queue("a")).tally.ready == 0


async def test_a_queue_where_the_key_is_held_may_be_skipped_and_is_named(engine, new):
    await engine.set_interest("a", "*")
    await engine.set_interest("b", "*")
    await engine.enqueue([new("a", unique_key="k")])
    published = await engine.publish(new("-", b"{}", unique_key="k"), skip_held=True)
    assert [receipt.queue for receipt in published.jobs] == ["b"]
    assert published.held == ["a"]
    with pytest.raises(NotUnique):
        await engine.publish(new("-", b"{}", unique_key="k"))


async def test_an_event_that_nobody_waits_for_is_counted_as_kept_or_lost(engine, new):
    await engine.set_interest("a", "*")
    await engine.set_queue("a", QueueSettings(capacity_jobs=1), whole=True)
    for _ in range(3):
        assert await engine.publish_unwaited(new("-", b"{}")) == ["a"]
    await engine.enqueue([new("behind-them")])
    await asyncio.sleep(0.05)
    assert (engine.unwaited.kept, engine.unwaited.lost) == (1, 2)
    assert (await engine.reading.queue("a")).tally.ready == 1


async def test_what_is_wrong_with_an_event_itself_is_told_even_to_those_who_do_not_wait(engine, new):
    engine.drain()
    with pytest.raises(Draining):
        await engine.publish_unwaited(new("-", b"{}"))
    assert (engine.unwaited.kept, engine.unwaited.lost) == (0, 0)


async def test_a_change_is_followed_and_not_read_anew(engine, new):
    await engine.set_interest("a", "*")
    await engine.publish(new("-", b"{}"))
    known = engine._publishing._router._interests
    await engine.set_interest("b", {"x": "1"})
    await engine.set_interest("c", {"x": "1"})
    await engine.set_interest("a", None)
    await engine.delete_queue("c")
    assert [receipt.queue for receipt in (await engine.publish(new("-", b'{"x":1}'))).jobs] == ["b"]
    assert engine._publishing._router._interests is known


async def test_many_events_at_once_read_the_interests_once(engine, new):
    await engine.set_interest("a", "*")
    reads = []
    read, engine.reading.all_interests = engine.reading.all_interests, lambda: reads.append(1) or read()
    await asyncio.gather(*(engine.publish(new("-", b"{}")) for _ in range(20)))
    assert len(reads) == 1
    assert (await engine.reading.queue("a")).tally.ready == 20
