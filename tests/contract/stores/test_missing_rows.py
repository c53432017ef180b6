"""Jobs whose own row goes missing, also while the store is served: they are found when their turn comes, and a purge removes them."""

import pytest

from holdfast.messages.commands import CancelJob, ConcludeLease, DeleteQueue, FailLease, PurgeQueue
from holdfast.stores import unreadable
from tests.contract.stores.test_spoiled_extras import InDatabase, InFile


@pytest.fixture(params=[InFile, InDatabase], ids=["sqlite", "postgres"])
def place(request, tmp_path):
    return request.param(tmp_path)


def lose(place, desk, which):
    """While the store is open: in a file through its own connection, because another one in this process would take its locks away."""
    if isinstance(place, InFile):
        desk.store._writer.execute(f"DELETE FROM job WHERE {which}")
    else:
        place.change(f"DELETE FROM job WHERE {which}")


async def test_a_job_whose_row_goes_missing_while_it_is_served_is_set_aside_when_the_line_gets_short(place, monkeypatch):
    monkeypatch.setattr(unreadable, "MISSING_LOOK_S", 0.0)
    desk = place.open()
    for lost in (2, 4):
        put = await desk.put()
        other = await desk.put()
        assert other.id == lost
        lose(place, desk, f"id = {lost}")
        assert [granted.job.id for granted in await desk.lease(limit=10)] == [put.id]
        job = await desk.job(lost)
        assert (job.state, job.reason) == ("dead", "unreadable")
    await desk.count_again()
    await desk.close()


async def test_it_is_looked_for_once_and_then_only_where_the_tally_says_that_there_is_more(place):
    desk = place.open()
    looks = desk.store._cache.looks
    asked = []
    real = looks.due
    looks.due = lambda queue, found: asked.append(real(queue, found)) or asked[-1]
    await desk.put(group_key="g")
    await desk.put(group_key="g")
    assert [granted.job.id for granted in await desk.lease(limit=10)] == [1]
    assert asked == [True]
    assert await desk.lease(limit=10) == []
    assert asked == [True, False], "one waits for its group; a minute has not passed"
    looks._next.update(dict.fromkeys(looks._next, 0.0))
    assert await desk.lease(limit=10) == []
    assert asked == [True, False, True]
    await desk.close()


async def test_a_purge_removes_jobs_in_every_state_whose_own_row_is_missing(place):
    desk = place.open()
    concluded, dead, cancelled = [await desk.put() for _ in range(3)]
    jobs = {granted.job.id: granted.job for granted in await desk.lease(limit=2)}
    await desk.do(ConcludeLease(jobs[concluded.id].ref()))
    await desk.do(FailLease(jobs[dead.id].ref(), "no", retry=False))
    await desk.do(CancelJob(cancelled.id))
    for options in ({"group_key": "g"}, {"group_key": "g"}, {"worker": "w1"}, {"delay_ms": 60_000}, {}):
        await desk.put(**options)
    await desk.put("other")
    lose(place, desk, "queue = (SELECT queue FROM ended WHERE state = 'dead')")
    assert (await desk.tally()).ready == 4
    await desk.do(PurgeQueue("q", ("ready", "scheduled", "dead"), 0, 100))
    tally = await desk.tally()
    assert (tally.unfinished, tally.dead, tally.concluded, tally.cancelled) == (0, 0, 1, 1)
    await desk.do(DeleteQueue("q"))
    assert [job.queue for job in await desk.walk()] == ["other"]
    await desk.close()
    assert await place.check() == []
