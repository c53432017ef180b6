"""Who waits for jobs of some types: woken for these and for nothing else, and never missed, whichever way a job comes."""

import asyncio

import pytest

from holdfast.clock import SystemClock
from holdfast.engine.engine import Engine
from holdfast.engine.waiters import TypeNews, Waiters
from holdfast.job.queue import QueueSettings
from holdfast.limits import NEWS_QUEUES, TYPES_HEAD
from holdfast.messages.commands import EditJob, FailLease, LeaseJobs, PromoteJob, ReleaseLease, RetryJob
from holdfast.messages.events import Committed


async def soon(task):
    return [one.job.id for one in (await asyncio.wait_for(task, 5)).jobs]


@pytest.fixture
def looks(backend, monkeypatch):
    """The lease commands that are decided."""
    seen = []
    submit = backend.committer.submit

    def noting(command, sink, tag):
        if isinstance(command, LeaseJobs):
            seen.append(command)
        submit(command, sink, tag)

    monkeypatch.setattr(backend.committer, "submit", noting)
    return seen


async def test_a_job_goes_to_the_first_who_can_use_it(engine, polls, new):
    waiting = {kind: await polls(types=(kind,)) for kind in "abc"}
    everything = await polls()
    for number, kind in enumerate("cab", 1):
        await engine.enqueue([new(type=kind)])
        assert await soon(waiting[kind]) == [number]
    await engine.enqueue([new(type="a")])
    assert await soon(everything) == [4]


async def test_of_those_who_can_use_a_job_it_goes_to_who_has_waited_longest(engine, polls, new):
    first, second = await polls(types=("a", "b")), await polls()
    third = await polls(types=("a",))
    for number, task in enumerate((first, second, third), 1):
        await engine.enqueue([new(type="a")])
        assert await soon(task) == [number]


async def test_a_job_that_nobody_who_waits_can_use_makes_nobody_look(engine, polls, new, looks, turns):
    waiting = [await polls(types=(f"t{n}", "b")) for n in range(20)]
    looks.clear()
    for _ in range(5):
        await engine.enqueue([new(type="a")])
        await turns()
    assert looks == []
    await engine.enqueue([new(type="b")])
    assert await soon(waiting[0]) == [6]


async def test_one_job_beside_many_of_others_wakes_one(engine, polls, new, looks, turns):
    waiting = [await polls(types=("b",)) for _ in range(20)]
    await engine.enqueue([new(type="a") for _ in range(50)])
    await turns()
    looks.clear()
    await engine.enqueue([new(type="b")])
    assert await soon(waiting[0]) == [51]
    await turns()
    assert len(looks) <= 1
    assert not any(task.done() for task in waiting[1:])


@pytest.mark.parametrize("way", ["released", "retried", "promoted", "edited", "expired", "due"])
async def test_a_job_that_comes_back_is_given_to_who_waits_for_its_type(engine, backend, polls, new, clock, way):
    await engine.enqueue([new(type="a" if way != "edited" else "z", delay_ms=90_000 if way in ("promoted", "due") else None)])
    held = None
    if way in ("released", "retried", "expired"):
        held = (await engine.lease(("q",), lease_ms=1_000)).jobs[0].job
        if way == "retried":
            await engine.end(FailLease(held.ref(), "no", retry=False))
    other, mine = await polls(types=("b",)), await polls(types=("a",))
    if way == "released":
        await engine.end(ReleaseLease(held.ref()))
    elif way in ("retried", "promoted", "edited"):
        verb = {"retried": RetryJob(1), "promoted": PromoteJob(1), "edited": EditJob(1, type="a")}[way]
        await engine.change_job(verb)
    else:
        clock.advance(100_000)
        await backend.pass_time()
    assert await soon(mine) == [1]
    assert not other.done()


async def test_who_waits_is_woken_when_the_queue_or_the_type_is_resumed(engine, polls, new):
    await engine.enqueue([new(type="a"), new(type="b")])
    await engine.pause_type("q", "a", True)
    every, only = await polls(types=("c",)), await polls(types=("a",))
    await engine.pause_type("q", "a", False)
    assert await soon(only) == [1]
    await engine.pause("q", True)
    paused = await polls(types=("b", "c"))
    await engine.pause("q", False)
    assert await soon(paused) == [2]
    assert not every.done()


async def test_a_paused_type_is_not_given_to_who_waits(engine, polls, new, turns):
    await engine.set_queue("q", QueueSettings(), whole=True)
    await engine.pause_type("q", "a", True)
    waiting = await polls()
    await engine.enqueue([new(type="a")])
    await turns()
    assert not waiting.done()
    await engine.enqueue([new(type="b")])
    assert await soon(waiting) == [2]


async def test_room_for_one_more_running_job_reaches_those_who_can_use_what_is_ready(engine, polls, new):
    await engine.set_queue("q", QueueSettings(max_running=1), whole=True)
    await engine.enqueue([new(type="x"), new(type="a")])
    running = (await engine.lease(("q",), types=("x",))).jobs[0].job
    others = [await polls(types=(kind,)) for kind in "bcd"]
    mine = await polls(types=("a",))
    await engine.end(FailLease(running.ref(), "no", retry=False))
    assert await soon(mine) == [2]
    assert not any(task.done() for task in others)


async def test_news_of_other_nodes_of_which_no_types_are_known_wakes_one_of_each_set(backend, engine, polls, looks, turns):
    for kind in "aabb":
        await polls(types=(kind,))
    looks.clear()
    engine._news(Committed({"q": 1}))
    await turns()
    assert sorted(command.types for command in looks) == [("a",), ("b",)]


async def test_of_news_of_which_no_types_are_known_all_who_can_use_it_get_theirs_and_the_others_do_not_look(
    engine, polls, new, looks, monkeypatch
):
    monkeypatch.setattr(engine._backend.committer._awaiting, "pick", lambda batch: [])
    monkeypatch.setattr(engine._backend.committer.by_type, "came", no_types)
    wanting, others = [await polls(types=("a",)) for _ in range(20)], [await polls(types=("b",)) for _ in range(20)]
    looks.clear()
    await engine.enqueue([new(type="a") for _ in range(12)])
    assert [await soon(task) for task in wanting[:12]] == [[number] for number in range(1, 13)]
    await asyncio.sleep(0)
    assert len([command for command in looks if command.types == ("b",)]) == 1
    assert not any(task.done() for task in (*wanting[12:], *others))


async def no_types(batch, names):
    return {}


async def test_what_stands_far_behind_others_reaches_who_waits(start, new):
    engine = Engine(start(ticking=True, clock=SystemClock()))
    for _ in range(3):
        await engine.enqueue([new(type="old") for _ in range(TYPES_HEAD)])
    (last,) = (await engine.enqueue([new(type="new")])).jobs
    granted = await asyncio.wait_for(engine.lease(("q",), wait_ms=10_000, types=("new",)), 10)
    assert [one.job.id for one in granted.jobs] == [last.id]


async def test_news_of_types_that_were_forgotten_is_missed_by_nobody():
    news = TypeNews()
    before = news.mark(("q",), frozenset("a"))
    for number in range(NEWS_QUEUES + 2):
        news.mark((f"q{number}",), frozenset("a"))
    news.note("q", {"b": 1})
    assert news.mark(("q",), frozenset("a")) != before


async def test_only_news_that_fits_changes_the_mark():
    waiters = Waiters()
    before = waiters.mark(("q",), frozenset("ab"))
    waiters.notify("q", 1, {"c": 1})
    waiters.notify("other", 1, {"a": 1})
    assert waiters.mark(("q",), frozenset("ab")) == before
    waiters.notify("q", 1, {"b": 1})
    later = waiters.mark(("q",), frozenset("ab"))
    assert later != before
    waiters.notify("q", 1)
    assert waiters.mark(("q",), frozenset("ab")) != later
