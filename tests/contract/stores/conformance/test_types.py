"""Leases by type: only what is asked for, in the order of the queue, however much of something else is in front of it."""

import random

import pytest

import holdfast.committer.lease
import holdfast.stores.postgres.loader
import holdfast.stores.sqlite.loader
from holdfast.job.by_type import Typed
from holdfast.job.job import Content, State
from holdfast.job.queue import QueuePolicy, QueueSettings
from holdfast.limits import PRIORITY_DEFAULT
from holdfast.messages.commands import (
    CancelJob,
    ConcludeLease,
    EditJob,
    Enqueue,
    FailLease,
    LeaseJobs,
    MoveJob,
    PauseQueue,
    PauseType,
    PurgeQueue,
    RegisterWorker,
    ReleaseLease,
    RetryJob,
    SetQueue,
)
from holdfast.messages.time_commands import FillTypes

HEAD = 4


@pytest.fixture(autouse=True)
def short_head(monkeypatch):
    """So few first jobs are looked through that a handful of others makes a queue one that is kept by type."""
    for module in (holdfast.committer.lease, holdfast.stores.sqlite.loader, holdfast.stores.postgres.loader):
        monkeypatch.setattr(module, "TYPES_HEAD", HEAD)


def ids(granted) -> list[int]:
    return [one.job.id for one in granted]


async def typed(client, queue="q") -> Typed | None:
    """How far the queue is kept by type, as it is stored."""
    async with client.store.transaction() as tx:
        return (await tx.queue(queue)).typed


async def fill(client, queue="q", chunk=3) -> int:
    """Give all jobs their types; in how many steps."""
    steps = 0
    while (await client.do(FillTypes(queue, chunk))).count:
        steps += 1
    return steps


async def put(client, new, *types, **options) -> list[int]:
    return [one.id for one in await client.put_all([new(type=kind, **options) for kind in types])]


async def test_only_jobs_of_the_named_types_are_given(client, new):
    await put(client, new, "a", "b", "c", "b")
    assert ids(await client.lease(limit=10, types=("b", "c"))) == [2, 3, 4]
    assert ids(await client.lease(limit=10, types=("b",))) == []
    assert ids(await client.lease(limit=10)) == [1]


async def test_a_job_without_a_type_has_the_empty_one(client, new):
    await put(client, new, "a", "", "a")
    assert ids(await client.lease(types=("",))) == [2]


async def test_the_order_is_that_of_the_queue_inside_a_type_and_over_several(client, new):
    for number, kind in enumerate("abcabcabcabc"):
        await put(client, new, kind, priority=number % 4)
    await put(client, new, "z", "z", "z", "z", "z", priority=0)
    expected = [(number % 4, number + 1) for number, kind in enumerate("abcabcabcabc") if kind in "ab"]
    await client.lease(limit=1, types=("nothing",))
    await fill(client)
    assert await typed(client) == Typed()
    got = await client.lease(limit=3, types=("b", "a"))
    assert [(one.job.priority, one.job.id) for one in got] == sorted(expected)[:3]
    for one in got:
        await client.do(ReleaseLease(one.job.ref()))
    got = await client.lease(limit=99, types=("b", "a"))
    assert [(one.job.priority, one.job.id) for one in got] == sorted(expected)


async def test_what_is_wanted_is_found_behind_any_number_of_others_once_all_are_kept_by_type(client, new):
    await put(client, new, *["old"] * 20, "new", *["old"] * 3)
    assert await client.lease(types=("new",)) == []
    assert await typed(client) == Typed((-1, 0))
    assert await fill(client) == 9
    assert await typed(client) == Typed()
    await put(client, new, "new", priority=9)
    assert ids(await client.lease(limit=9, types=("new", "other"))) == [25, 21]
    assert len(await client.lease(limit=99)) == 23


async def test_a_queue_in_which_all_fits_is_not_kept_by_type(client, new):
    await put(client, new, *"ab" * 10)
    assert ids(await client.lease(limit=20, types=("a", "b"))) == list(range(1, 21))
    assert await typed(client) is None


async def test_a_queue_that_has_run_empty_is_not_kept_by_type_any_more(client, new):
    await put(client, new, *"aaaaaab")
    await client.lease(types=("b",))
    await fill(client)
    assert ids(await client.lease(types=("b",))) == [7]
    assert await typed(client) == Typed()
    assert len(await client.lease(limit=99)) == 6
    assert await typed(client) is None
    await put(client, new, "a", "b")
    assert ids(await client.lease(limit=9, types=("b",))) == [9]


async def test_what_comes_while_the_jobs_are_given_their_types_is_found(client, new):
    await put(client, new, *["a"] * 9)
    assert await client.lease(types=("b",)) == []
    await client.do(FillTypes("q", 3))
    await put(client, new, "b", priority=9)
    assert ids(await client.lease(types=("b",))) == [10]
    await fill(client)
    assert ids(await client.lease(limit=99, types=("a", "b"))) == list(range(1, 10))


async def test_the_types_are_given_on_after_a_restart(lasting_place, reopen, new):
    client = await reopen(lasting_place)
    await put(client, new, *["a"] * 9, "b")
    await client.lease(types=("b",))
    await client.do(FillTypes("q", 3))
    assert await typed(client) == Typed((PRIORITY_DEFAULT, 3))
    client = await reopen(lasting_place, client)
    assert await typed(client) == Typed((PRIORITY_DEFAULT, 3))
    await client.put(type="a")
    assert client.backend.committer.by_type.filling == {"q"}
    await fill(client)
    assert ids(await client.lease(limit=9, types=("b",))) == [10]
    await client.close()


async def test_jobs_that_come_back_keep_their_type(client, new):
    await put(client, new, *["a"] * 9)
    await client.lease(types=("b",))
    await fill(client)
    await put(client, new, *["b"] * 6)
    released, failed, expired, cancelled, moved, scheduled = [one.job for one in await client.lease(limit=6, types=("b",))]
    await client.do(ReleaseLease(released.ref()))
    await client.do(FailLease(failed.ref(), "no", retry=False))
    await client.do(RetryJob(failed.id))
    await client.do(ReleaseLease(scheduled.ref(), delay_ms=1_000))
    await client.do(ReleaseLease(cancelled.ref()))
    await client.do(CancelJob(cancelled.id))
    await client.do(ReleaseLease(moved.ref()))
    await client.do(MoveJob(moved.id, "r"))
    await client.pass_time(400_000)
    assert ids(await client.lease(limit=9, types=("b",))) == [released.id, failed.id, expired.id, scheduled.id]
    assert len(await client.lease("r", types=("b",))) == 1


@pytest.mark.parametrize("kept", [False, True])
async def test_an_edit_of_the_type_moves_a_job_to_those_who_take_the_other(client, new, kept):
    await put(client, new, *["a"] * (9 if kept else 3))
    await client.lease(types=("b",))
    await fill(client)
    await client.do(EditJob(2, type="b"))
    await client.do(EditJob(3, content=Content("c", None, b"2"), priority=0))
    assert (await typed(client) is not None) is kept
    assert ids(await client.lease(limit=9, types=("b",))) == [2]
    assert ids(await client.lease(limit=9, types=("a", "b", "c"))) in ([1], [3, 1, *range(4, 10)], [3, 1])


async def test_a_paused_type_is_given_to_nobody(client, new):
    await put(client, new, *["a"] * 9, "b", "c")
    info = await client.do(PauseType("q", "a", True))
    assert info.paused_types == ("a",) == (await client.queue()).paused_types
    assert await client.lease(types=("a",)) == []
    for _ in range(2):
        got = await client.lease(limit=1)
        await fill(client)
    assert ids(got) == [10]
    assert ids(await client.lease(limit=9, types=("a", "c"))) == [11]
    assert await client.lease(limit=9) == []
    await client.do(PauseType("q", "a", False))
    assert ids(await client.lease(limit=3)) == [1, 2, 3]


async def test_who_takes_all_but_the_paused_types_gets_them_in_order(client, new):
    kinds = [random.Random(4).choice("abcdefgh") for _ in range(40)]
    for number, kind in enumerate(kinds):
        await put(client, new, kind, priority=number % 3)
    for kind in "abc":
        await client.do(PauseType("q", kind, True))
    await client.lease(limit=40)
    for one in await client.lease(limit=40):
        await client.do(ReleaseLease(one.job.ref()))
    await client.pass_time(400_000)
    await fill(client)
    got = await client.lease(limit=40)
    assert [(one.job.priority, one.job.id) for one in got] == sorted(
        (number % 3, number + 1) for number, kind in enumerate(kinds) if kind not in "abc"
    )


async def test_a_pause_of_a_type_outlives_a_restart(lasting_place, reopen, new):
    client = await reopen(lasting_place)
    await put(client, new, "a", "b")
    await client.do(PauseType("q", "a", True))
    client = await reopen(lasting_place, client)
    assert (await client.queue()).paused_types == ("a",)
    assert ids(await client.lease(limit=9)) == [2]
    await client.close()


async def test_calls_of_one_batch_with_other_types_get_no_job_twice_and_miss_none(client, new):
    await put(client, new, *"aaaaaabbaacc")
    calls = [(("a",), 2), (("b", "c"), 2), (None, 3), (("c", "a"), 4), (("a", "b"), 9)]
    for _ in range(3):
        await client.lease(types=("nothing",))
        await fill(client)
        granted = await client.together(*[LeaseJobs(("q",), most, "w", types=types) for types, most in calls])
        got = [ids(one.jobs) for one in granted]
        assert got[:2] == [[1, 2], [7, 8]]
        assert got[2] == [3, 4, 5]
        assert got[3] == [6, 9, 10, 11]
        assert got[4] == []
        assert ids(await client.lease(limit=9)) == [12]
        await client.pass_time(400_000)


async def test_more_sets_of_types_than_are_read_at_once_are_served_in_the_next_batch(client, new):
    kinds = [f"t{number}" for number in range(20)]
    await put(client, new, *kinds)
    await client.lease(types=("nothing",))
    await fill(client)
    futures = [client.backend.submit(LeaseJobs(("q",), 1, "w", types=(kind,))) for kind in reversed(kinds)]
    assert [ids((await future).jobs) for future in futures] == [[number] for number in range(20, 0, -1)]


async def test_members_of_a_group_wait_for_each_other_whatever_their_types(client, new):
    await put(client, new, *["z"] * 9)
    await client.lease(types=("a",))
    await fill(client)
    await put(client, new, "a", "b", "a", group_key="g")
    assert await client.lease(types=("b",)) == []
    first = (await client.lease(types=("a",)))[0].job
    assert await client.lease(limit=9, types=("a", "b")) == []
    await client.do(ConcludeLease(first.ref()))
    assert await client.lease(types=("a",)) == []
    assert ids(await client.lease(types=("b",))) == [11]


async def test_jobs_for_one_worker_are_filtered_as_well(client, new):
    await client.do(RegisterWorker("w-1", "", ("q",)))
    await put(client, new, "a", "b", "a", worker="w-1")
    await put(client, new, "b", "a", priority=0)
    assert ids(await client.lease(limit=9, worker="w-1", types=("b",))) == [4, 2]
    await client.do(PauseType("q", "a", True))
    assert await client.lease(limit=9, worker="w-1") == []
    await client.do(PauseType("q", "a", False))
    assert ids(await client.lease(limit=9, worker="w-1")) == [5, 1, 3]


async def test_a_worker_that_is_registered_with_types_gets_only_these(client, new):
    await client.do(RegisterWorker("w-1", "", ("q",), ("a", "b")))
    await put(client, new, "a", "b", "c")
    granted = await client.do(LeaseJobs((), 1, "w-1", registered=True))
    assert (ids(granted.jobs), set(granted.types)) == ([1], {"a", "b"})
    assert ids(await client.lease(limit=9, worker="w-1", types=("c", "b"))) == [2]
    assert ids(await client.lease(limit=9, worker="w-1", types=("c",))) == []
    assert ids(await client.lease(limit=9)) == [3]


async def test_copies_for_every_worker_leave_out_those_that_do_not_take_the_type(client, new):
    await client.do(RegisterWorker("w-1", "", ("q",), ("a",)))
    await client.do(RegisterWorker("w-2", "", ("q",), ("b",)))
    await client.do(RegisterWorker("w-3", "", ("q",)))
    enqueued = await client.do(Enqueue([new(type="a")], to_workers=True))
    assert [(await client.job(one.id)).extras.worker for one in enqueued.jobs] == ["w-1", "w-3"]


async def test_a_paused_queue_and_max_running_hold_for_those_who_ask_by_type(client, new):
    await client.do(SetQueue("q", QueueSettings(max_running=2), whole=False))
    await put(client, new, *"aabbbb")
    assert len(await client.lease(limit=9, types=("b",))) == 2
    assert await client.lease(limit=9, types=("a",)) == []
    await client.pass_time(400_000)
    await client.do(PauseQueue("q", True))
    assert await client.lease(limit=9, types=("a",)) == []


async def test_purged_jobs_are_gone_by_type_too(client, new):
    await put(client, new, *["a"] * 9)
    await client.lease(types=("b",))
    await fill(client)
    await client.do(PurgeQueue("q", (State.READY,), 0, 100))
    assert await client.lease(types=("a",)) == []
    await put(client, new, "a")
    assert ids(await client.lease(types=("a",))) == [10]


async def test_large_payloads_are_given_by_type(client, new):
    await put(client, new, "a", "b", "a", "b", payload=b"1" * (6 << 20))
    await put(client, new, *"bbbb", payload=b"1" * (6 << 20))
    got = await client.lease(limit=2, types=("b",))
    assert ids(got) == [2, 4]
    assert ids(await client.lease(limit=9, types=("b",))) == [5, 6]


@pytest.mark.parametrize("seed", range(6))
async def test_a_random_course_gives_what_a_simple_queue_would(place, new, seed):
    from tests.contract.stores.conformance.conftest import StoreClient  # noqa: PLC0415

    client = StoreClient(place.open(QueuePolicy()))
    draw = random.Random(seed)
    waiting: dict[int, tuple[int, str]] = {}
    leased = []
    paused: set[str] = set()
    for _ in range(120):
        kept = await typed(client) if waiting else None
        exact = kept == Typed() or len(waiting) <= HEAD
        match draw.randrange(9):
            case 0 | 1 | 2:
                for one in await client.put_all(
                    [new(type=(kind := draw.choice("aaaabc")), priority=draw.randrange(3)) for _ in range(draw.randrange(1, 6))]
                ):
                    kind = (await client.detail(one.id)).content.type
                    waiting[one.id] = (one.priority, kind)
            case 3 | 4 | 5:
                types = draw.choice([None, ("a",), ("b",), ("b", "c"), ("c", "nothing"), ("a", "b", "c")])
                most = draw.randrange(1, 5)
                got = await client.lease(limit=most, types=types)
                line = sorted(
                    (priority, number)
                    for number, (priority, kind) in waiting.items()
                    if kind not in paused and (types is None or kind in types)
                )
                found = [(one.job.priority, one.job.id) for one in got]
                assert set(found) <= set(line)
                assert found == sorted(found)
                if exact or (types is None and not paused):
                    assert found == line[:most]
                for one in got:
                    leased.append(one)
                    del waiting[one.job.id]
            case 6 if leased:
                one = leased.pop(draw.randrange(len(leased)))
                await client.do(ReleaseLease(one.job.ref()))
                waiting[one.job.id] = (one.job.priority, one.content.type)
            case 7 if waiting:
                number = draw.choice(list(waiting))
                kind, priority = draw.choice("abc"), draw.randrange(3)
                await client.do(EditJob(number, type=kind, priority=priority))
                waiting[number] = (priority, kind)
            case 8 if waiting:
                kind = draw.choice("abc")
                await client.do(PauseType("q", kind, kind not in paused))
                paused ^= {kind}
            case _:
                await client.do(FillTypes("q", draw.randrange(1, 5)))
    await fill(client)
    await client.count_again()
    await client.close()
