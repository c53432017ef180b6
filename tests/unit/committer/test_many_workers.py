"""Many registered workers: pages of them, and a bound in bytes on all of them together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.committer import worker_registry
from holdfast.errors import InvalidRequest
from holdfast.job.registry import Roster, Worker, WorkerState, weight


async def test_pages_have_every_worker_once_as_they_were_registered(engine, clock):
    registered = []
    for number in range(25):
        clock.advance(number % 2)
        registered.append((await engine.workers.register((f"q{number}",), f"w{number}")).id)
    for limit in (1, 7, 25, 1_000):
        found, after = [], (-1, "")
        while after is not None:
            page = await engine.reading.workers_after(limit, after)
            assert 1 <= len(page.workers) <= limit
            found += [info.worker.id for info in page.workers]
            after = page.after
        assert sorted(found) == sorted(registered)
        assert len(found) == 25
    assert [info.worker.id for info in (await engine.reading.workers()).workers] == found


async def test_workers_are_bounded_in_bytes_and_room_comes_back(engine, monkeypatch):
    names = tuple(f"{number:0128}" for number in range(256))
    one = weight(Worker("x" * 32, "host", names, WorkerState.RUNNING, 0))
    monkeypatch.setattr(worker_registry, "WORKERS_BYTES", 3 * one + 1_000)
    workers = [await engine.workers.register(names, "host") for _ in range(3)]
    with pytest.raises(InvalidRequest) as refused:
        await engine.workers.register(names, "host")
    assert str(worker_registry.WORKERS_BYTES) in refused.value.detail
    await engine.workers.register(("q",), "small")
    await engine.workers.remove(workers[0].id)
    await engine.workers.quiet(workers[1].id)
    await engine.workers.register(names, "host")


workers = st.builds(
    Worker,
    st.sampled_from("abcd"),
    st.text(max_size=5),
    st.lists(st.text(max_size=9), max_size=4).map(tuple),
    st.just(WorkerState.RUNNING),
    st.just(0),
)


@given(st.lists(st.tuples(st.booleans(), workers), max_size=30))
def test_a_roster_knows_its_size(steps):
    roster = Roster()
    for comes, worker in steps:
        if comes:
            roster[worker.id] = worker
        else:
            roster.remove(worker.id)
        assert roster.bytes == sum(map(weight, roster.values()))
