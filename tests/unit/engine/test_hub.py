"""Those who listen to single jobs: nothing is lost on a fast reader, a slow one is told what it missed, and nobody listens unheard."""

import asyncio

import pytest

from holdfast import limits
from holdfast.engine.hub import Hub
from holdfast.errors import JobNotFound, Overloaded
from holdfast.job.job import State
from holdfast.messages.commands import CancelJob, ConcludeLease, DeleteJob, FailLease, LeaseJobs, ReleaseLease
from holdfast.messages.events import Committed, JobEvent


@pytest.fixture
def wanted():
    return []


@pytest.fixture
def hub(wanted):
    return Hub(wanted.append)


def event(job_id, state=State.READY, queue="q", verb="enqueued"):
    return JobEvent(verb, job_id, queue, state, 0)


def news(*events):
    return Committed(jobs=list(events))


async def test_a_reader_gets_every_event_in_order(hub):
    reader = hub.subscribe(None)
    hub.take(news(event(1), event(2, queue="r")))
    hub.take(news(event(3)))
    assert [one.id for one in await reader.next(1)] == [1, 2, 3]
    assert await reader.next(0.001) == []
    assert reader.missed == 0


async def test_a_reader_of_one_queue_hears_of_no_other(hub):
    reader = hub.subscribe("r")
    hub.take(news(event(1), event(2, queue="r"), event(3)))
    assert [one.id for one in await reader.next(1)] == [2]


async def test_a_reader_that_waits_is_woken_by_the_first_event(hub):
    reader = hub.subscribe(None)
    waiting = asyncio.create_task(reader.next(30))
    await asyncio.sleep(0)
    hub.take(news(event(1)))
    assert [one.id for one in await asyncio.wait_for(waiting, 1)] == [1]


async def test_a_slow_reader_is_told_how_many_events_it_missed_and_holds_up_nobody(hub):
    slow, fast = hub.subscribe(None), hub.subscribe(None)
    seen = []
    for start in range(0, limits.STREAM_BACKLOG + 500, 500):
        hub.take(news(*(event(job_id) for job_id in range(start, start + 500))))
        seen += await fast.next(1)
    assert [one.id for one in seen] == list(range(limits.STREAM_BACKLOG + 500))
    assert fast.missed == 0
    assert [one.id for one in await slow.next(1)] == list(range(limits.STREAM_BACKLOG))
    assert slow.missed == 500
    hub.take(news(event(7)))
    assert [one.id for one in await slow.next(1)] == [7]


async def test_events_are_wanted_while_somebody_listens_and_not_otherwise(hub, wanted):
    first, second = hub.subscribe(None), hub.subscribe("q")
    hub.unsubscribe(first)
    assert wanted == [True]
    hub.unsubscribe(second)
    assert wanted == [True, False]
    hub.unsubscribe(second)
    assert wanted == [True, False]


@pytest.mark.parametrize("ends", [True, False])
async def test_events_are_wanted_while_somebody_watches_a_job_and_not_after_it_ended(hub, wanted, ends):
    for _ in range(2):
        watch = hub.watch(1)
        if ends:
            hub.take(news(event(1, State.CONCLUDED)))
        assert watch.done() is ends
        hub.unwatch(1, watch)
    assert wanted == [True, False, True, False]


async def test_a_job_that_ends_leaves_those_who_watch_others_listening(hub, wanted):
    first, second = hub.watch(1), hub.watch(2)
    hub.take(news(event(1, State.DEAD)))
    hub.unwatch(1, first)
    assert (first.done(), second.done(), wanted) == (True, False, [True])
    hub.take(news(event(2, None)))
    hub.unwatch(2, second)
    assert (second.done(), wanted, hub.watchers) == (True, [True, False], 0)


@pytest.mark.parametrize("state", [State.SCHEDULED, State.READY, State.LEASED])
async def test_a_job_that_goes_on_wakes_nobody_who_waits_for_its_end(hub, state):
    watch = hub.watch(1)
    hub.take(news(event(1, state), event(2, State.CONCLUDED)))
    assert not watch.done()
    hub.unwatch(1, watch)


async def test_draining_ends_every_stream_and_every_watch(hub):
    reader, watch = hub.subscribe(None), hub.watch(1)
    waiting = asyncio.create_task(reader.next(30))
    await asyncio.sleep(0)
    hub.drain()
    assert await asyncio.wait_for(waiting, 1) == []
    assert reader.ended
    assert watch.done()
    assert await asyncio.wait_for(reader.next(30), 1) == []


async def test_one_stream_too_many_is_refused(hub):
    streams = [hub.subscribe(None) for _ in range(limits.STREAMS)]
    with pytest.raises(Overloaded):
        hub.subscribe(None)
    hub.unsubscribe(streams[0])
    hub.subscribe(None)
    assert hub.streams == limits.STREAMS


# Through the engine --------------------------------------------------------------------------------------------------


@pytest.fixture
async def put(engine, new):
    async def one():
        return (await engine.enqueue([new()])).jobs[0].id

    return one


@pytest.mark.parametrize("way", ["conclude", "dead", "cancel"])
async def test_a_call_that_waits_for_a_job_is_answered_when_it_has_ended(engine, backend, put, turns, way):
    job_id = await put()
    waiting = asyncio.create_task(engine.reading.job(job_id, wait_ms=50_000))
    await turns()
    assert not waiting.done()
    if way == "cancel":
        await engine.change_job(CancelJob(job_id))
    else:
        job = (await engine.lease(("q",))).jobs[0].job
        await turns()
        assert not waiting.done()
        await engine.end(ConcludeLease(job.ref()) if way == "conclude" else FailLease(job.ref(), "no", retry=False))
    detail = await asyncio.wait_for(waiting, 1)
    assert detail.job.state == {"conclude": State.CONCLUDED, "dead": State.DEAD, "cancel": State.CANCELLED}[way]
    assert backend.committer.listeners == 0


async def test_a_call_that_waits_for_a_job_that_is_deleted_is_told_that_it_is_gone(engine, backend, put, turns):
    job_id = await put()
    waiting = asyncio.create_task(engine.reading.job(job_id, wait_ms=50_000))
    await turns()
    await engine.change_job(DeleteJob(job_id))
    with pytest.raises(JobNotFound):
        await asyncio.wait_for(waiting, 1)
    assert backend.committer.listeners == 0


async def test_a_job_that_has_ended_or_is_not_there_is_not_waited_for(engine, backend, put):
    job_id = await put()
    await engine.change_job(CancelJob(job_id))
    detail = await asyncio.wait_for(engine.reading.job(job_id, wait_ms=50_000), 1)
    assert detail.job.state is State.CANCELLED
    with pytest.raises(JobNotFound):
        await asyncio.wait_for(engine.reading.job(99, wait_ms=50_000), 1)
    assert backend.committer.listeners == 0


async def test_a_wait_that_runs_out_shows_the_job_as_it_is_by_then(engine, backend, put, turns):
    job_id = await put()
    waiting = asyncio.create_task(engine.reading.job(job_id, wait_ms=80))
    await turns()
    await backend.submit(LeaseJobs(("q",), 1, "w"))
    assert (await asyncio.wait_for(waiting, 5)).job.state is State.LEASED
    assert backend.committer.listeners == 0


async def test_a_stream_tells_the_whole_life_of_a_job(engine, backend, put):
    reader = engine.hub.subscribe("q")
    await put()
    job = (await engine.lease(("q",))).jobs[0].job
    await engine.end(ReleaseLease(job.ref()))
    job = (await engine.lease(("q",))).jobs[0].job
    await engine.end(ConcludeLease(job.ref()))
    told = [(one.verb, one.state) for one in await reader.next(1)]
    assert told == [
        ("enqueued", State.READY),
        ("leased", State.LEASED),
        ("released", State.READY),
        ("leased", State.LEASED),
        ("concluded", State.CONCLUDED),
    ]
    engine.hub.unsubscribe(reader)
    assert backend.committer.listeners == 0


async def test_what_is_made_of_events_for_one_reader_serves_all_readers(hub):
    readers = [hub.subscribe(None) for _ in range(3)] + [hub.subscribe("q") for _ in range(2)]
    hub.take(news(*(event(job_id) for job_id in range(1_000))))
    heard = [[] for _ in readers]
    for reader, all_heard in zip(readers, heard, strict=True):
        while sum(len(some.events) for some in all_heard) < 1_000:
            all_heard.append(await reader.heard(1))
    assert [job.id for some in heard[0] for job in some.events] == list(range(1_000))
    assert heard[0] == heard[1] == heard[2]
    assert heard[3] == heard[4]
    assert await readers[0].heard(0) is None
