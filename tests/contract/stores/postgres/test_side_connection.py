"""What nodes tell each other beside the batches: it ends in time whatever the server does, and nothing of it is kept for ever."""

import asyncio

import pytest

from holdfast.errors import StoreUnavailable
from holdfast.job.queue import QueuePolicy
from holdfast.job.registry import Worker, WorkerState
from holdfast.stores.postgres import side_connection
from holdfast.stores.postgres.store import PostgresStore
from tests.contract.stores.conformance.conftest import empty_database, postgres_server

IN_TIME_S = 2 * side_connection._LOOK_S


@pytest.fixture
async def stores():
    """Two nodes on one empty database."""
    url = empty_database()
    both = [PostgresStore(url, QueuePolicy()) for _ in range(2)]
    for one in both:
        await one.tend()
    yield both
    for one in both:
        await one.close()


async def register(store, worker_id):
    async with store.transaction() as tx:
        await tx.save_worker(Worker(worker_id, "", ("q",), WorkerState.RUNNING, 1))
        await tx.commit()


def kept():
    return {worker for (worker,) in postgres_server().sql("SELECT worker FROM holdfast.beat", database="holdfast")}


async def test_beats_of_workers_that_are_gone_are_forgotten_by_every_node_and_by_the_database(stores, monkeypatch):
    monkeypatch.setattr(side_connection, "_FORGET_S", 0.0)
    one, other = stores
    await register(one, "stays")
    await register(one, "goes")
    here, there = {"stays": 5, "goes": 7}, {"stays": 6}
    for store, beats in ((one, here), (other, there), (one, here)):
        await store.share_beats(beats)
    assert here == there == {"stays": 6, "goes": 7}
    async with one.transaction() as tx:
        await tx.delete_workers(["goes"])
        await tx.commit()
    here.pop("goes")  # as the node does that removes it
    for store, beats in ((one, here), (other, there)):
        await store.share_beats(beats)
    assert here == there == {"stays": 6}
    assert kept() == {"stays"}


async def test_a_beat_that_is_heard_while_beats_are_shared_is_not_lost(stores, monkeypatch):
    monkeypatch.setattr(side_connection, "_FORGET_S", 0.0)
    one, other = stores
    await register(one, "w")
    beats = {"w": 5}
    await one.share_beats(beats)
    sharing = asyncio.create_task(one.share_beats(beats))
    await asyncio.sleep(0)
    beats |= {"w": 9, "new": 3}  # whose registration is on its way
    await sharing
    assert beats == {"w": 9, "new": 3}
    await register(one, "new")
    await one.share_beats(beats)
    await other.share_beats(there := {})
    assert there == {"w": 9, "new": 3}


@pytest.mark.timeout(60)
async def test_a_primary_that_has_stopped_holds_up_no_look_for_longer_than_a_while(group, node):
    store = node(replicas=0).store
    await store.tend()
    group.primary.pause()
    try:
        looks = [store.produced_beside(), store.share_beats({}), store.notify("{}"), store.produced_beside()]
        async with asyncio.timeout(IN_TIME_S):
            found = await asyncio.gather(*looks, return_exceptions=True)
    finally:
        group.primary.resume()
    assert [type(one) for one in found if one is not None] == [StoreUnavailable] * 3
