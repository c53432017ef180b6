"""Jobs whose own row goes missing, also while the store is served: they are found when their turn comes, and a purge removes them."""

import pytest

from holdfast.messages.commands import CancelJob, ConcludeLease, DeleteQueue, FailLease, PurgeQueue
from holdfast.stores import unreadable
from tests.contract.stores.test_spoiled_extras import InDatabase, InFile


@pytest.fixture(params=[InFile, InDatabase], ids=["sqlite", "postgres"])
def place(request, tmp_path):
    return request.param(tmp_path)


def lose(place, client, which):
    """While the store is open: in a file through its own connection, because another one in this process would take its locks away."""
    if isinstance(place, InFile):
        client.store._writer.execute(f"DELETE FROM job WHERE {which}")
    else:
        place.change(f"DELETE FROM job WHERE {which}")


async def test_a_job_whose_row_goes_missing_while_it_is_served_is_set_aside_when_the_line_gets_short(place, monkeypatch):
    monkeypatch.setattr(unreadable, "MISSING_LOOK_S", 0.0)
    client = place.open()
    for lost in (2, 4):
        put = await client.put()
        other = await client.put()
        assert other.id == lost
        lose(place, client, f"id = {lost}")
        assert [granted.job.id for granted in await client.lease(limit=10)] == [put.id]
        job = await client.job(lost)
        assert (job.state, job.reason) == ("dead", "unreadable")
    await client.count_again()
    await client.close()


async def test_it_is_looked_for_once_and_then_only_where_the_tally_says_that_there_is_more(place):
    client = place.open()
    looks = client.store._cache.looks
    asked = []
    real = looks.due
    looks.due = lambda queue, found: asked.append(real(queue, found)) or asked[-1]
    await client.put(group_key="g")
    await client.put(group_key="g")
    assert [granted.job.id for granted in await client.lease(limit=10)] == [1]
    assert asked == [True]
    assert await client.lease(limit=10) == []
    assert asked == [True, False], "one waits for its group; a minute has not passed"
    looks._next.update(dict.fromkeys(looks._next, 0.0))
    assert await client.lease(limit=10) == []
    assert asked == [True, False, True]
    await client.close()


async def test_a_purge_removes_jobs_in_every_state_whose_own_row_is_missing(place):
    client = place.open()
    concluded, dead, cancelled = [await client.put() for _ in range(3)]
    jobs = {granted.job.id: granted.job for granted in await client.lease(limit=2)}
    await client.do(ConcludeLease(jobs[concluded.id].ref()))
    await client.do(FailLease(jobs[dead.id].ref(), "no", retry=False))
    await client.do(CancelJob(cancelled.id))
    for options in ({"group_key": "g"}, {"group_key": "g"}, {"worker": "w1"}, {"delay_ms": 60_000}, {}):
        await client.put(**options)
    await client.put("other")
    lose(place, client, "queue = (SELECT queue FROM ended WHERE state = 'dead')")
    assert (await client.tally()).ready == 4
    await client.do(PurgeQueue("q", ("ready", "scheduled", "dead"), 0, 100))
    tally = await client.tally()
    assert (tally.unfinished, tally.dead, tally.concluded, tally.cancelled) == (0, 0, 1, 1)
    await client.do(DeleteQueue("q"))
    assert [job.queue for job in await client.walk()] == ["other"]
    await client.close()
    assert await place.check() == []
