"""Interests in the store: one for each queue, and a version that grows with every change, so that routing by an older one is found out."""

import pytest

from holdfast.errors import QueueNotFound, StaleInterests
from holdfast.job.queue import QueueSettings
from holdfast.messages.commands import DeleteQueue, Enqueue, SetInterest, SetQueue
from holdfast.messages.queries import GetInterests


async def test_an_interest_is_kept_changed_and_removed_and_the_version_grows_with_each(client):
    seen = [await client.ask(GetInterests())]
    for match in ("*", {"kind": "^mail$", "é": "ü"}, None):
        assert (await client.do(SetInterest("q", match))).count == 1
        seen.append(await client.ask(GetInterests()))
    assert [interests.interests for interests in seen] == [{}, {"q": "*"}, {"q": {"kind": "^mail$", "é": "ü"}}, {}]
    versions = [interests.version for interests in seen]
    assert versions == sorted(set(versions))


async def test_removing_an_interest_that_is_not_there_changes_nothing(client):
    await client.do(SetQueue("q", QueueSettings(), whole=True))
    before = await client.ask(GetInterests())
    assert (await client.do(SetInterest("q", None))).count == 0
    assert await client.ask(GetInterests()) == before
    with pytest.raises(QueueNotFound):
        await client.do(SetInterest("none", None))


async def test_an_interest_makes_its_queue_and_goes_with_it(client):
    await client.do(SetInterest("a", "*"))
    await client.do(SetInterest("b", "*"))
    before = await client.ask(GetInterests())
    await client.do(DeleteQueue("a"))
    after = await client.ask(GetInterests())
    assert (before.interests, after.interests) == ({"a": "*", "b": "*"}, {"b": "*"})
    assert after.version > before.version
    await client.put("a")
    assert (await client.ask(GetInterests())).interests == {"b": "*"}


async def test_jobs_routed_by_interests_that_have_changed_are_not_put(client, new):
    await client.do(SetInterest("q", "*"))
    version = (await client.ask(GetInterests())).version
    await client.do(Enqueue([new()], interests=version))
    await client.do(SetInterest("q", {"a": "b"}))
    with pytest.raises(StaleInterests):
        await client.do(Enqueue([new()], interests=version))
    changed, stale = await client.together(SetInterest("r", "*"), Enqueue([new()], interests=version + 1))
    assert (changed.count, stale.code) == (1, "stale_interests")
    assert len(await client.walk()) == 1


async def test_a_change_that_was_undone_is_neither_kept_nor_counted(store):
    async with store.transaction() as tx:
        queue = await tx.create_queue("q", 0)
        version = await tx.interests_version()
        await tx.set_interest(queue, "*")
        assert await tx.interests_version() == version + 1
    async with store.transaction() as tx:
        assert await tx.interests_version() == version
    assert (await store.read(GetInterests(), 0)).interests == {}


async def test_interests_and_their_version_outlive_the_process(lasting_place, reopen):
    client = await reopen(lasting_place)
    await client.do(SetInterest("q", {"kind": "mail"}))
    before = await client.ask(GetInterests())
    client = await reopen(lasting_place, client)
    assert await client.ask(GetInterests()) == before
    await client.close()


async def test_interests_are_those_that_this_transaction_has_left(store):
    async with store.transaction() as tx:
        a, b = await tx.create_queue("a", 0), await tx.create_queue("b", 0)
        version = await tx.interests_version()
        assert await tx.set_interest(b, {"kind": "^x$"}) is True
        assert await tx.set_interest(a, "*") is True
        assert await tx.interests() == {"a": "*", "b": {"kind": "^x$"}}
        assert await tx.set_interest(a, None) is True
        assert await tx.set_interest(a, None) is False, "there was none to remove"
        assert await tx.interests() == {"b": {"kind": "^x$"}}
        assert await tx.interests_version() > version
        await tx.commit()
    read = await store.read(GetInterests(), 0)
    async with store.transaction() as tx:
        assert (await tx.interests_version(), await tx.interests()) == (read.version, read.interests)


async def test_every_change_has_a_version_of_its_own(store):
    async with store.transaction() as tx:
        queue = await tx.create_queue("q", 0)
        seen = [await tx.interests_version()]
        for match in ("*", {"a": "b"}, {"a": "c"}, None):
            await tx.set_interest(queue, match)
            seen.append(await tx.interests_version())
        await tx.set_interest(queue, None)
        assert await tx.interests_version() == seen[-1], "nothing was changed"
        await tx.commit()
    assert seen == sorted(set(seen))
