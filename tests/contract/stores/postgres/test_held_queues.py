"""A queue whose row somebody holds for long stands still alone: all others go on, and its own callers are told."""

import asyncio
import time
from contextlib import ExitStack, contextmanager

import pytest

from holdfast.job.job import READY, IdempotencyKey, NewJob
from holdfast.job.queue import QueueSettings
from holdfast.job.schedule import ScheduleSpec
from holdfast.messages.answers import Granted
from holdfast.messages.beanstalk_commands import KickJobs, PauseFor, PutJobs
from holdfast.messages.commands import (
    CancelJob,
    ConcludeLease,
    DeleteJob,
    Enqueue,
    ExtendLease,
    FailLease,
    LeaseJobs,
    MoveJob,
    PauseQueue,
    PurgeQueue,
    RegisterWorker,
    ReleaseLease,
    RunSchedule,
    SetInterest,
    SetQueue,
    SetSchedule,
)
from holdfast.messages.frame import Refused
from holdfast.stores.postgres.held_queues import HASTY_MS, LOOK_S, WAIT_MS
from holdfast.stores.postgres.maintenance import check

pytestmark = pytest.mark.long(40)

FIRST_S = WAIT_MS / 1000 + 1.0  # somebody has to find out
NEXT_S = 0.8


@contextmanager
def transaction(group, *statements, user="postgres"):
    """What an application or a console does that idles before it commits."""
    with group.primary.connect(user, "holdfast") as connection:
        connection.execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0")
        for statement in statements:
            connection.execute(statement)
        yield connection
        if not connection.closed:
            connection.execute("ROLLBACK")


@contextmanager
def shared_by_two(group, queue):
    with ExitStack() as both:
        for _ in range(2):
            both.enter_context(transaction(group, f"SELECT 1 FROM holdfast.queue WHERE name = '{queue}' FOR SHARE"))
        yield


HOLDERS = {
    "a console with FOR UPDATE": lambda group, q: transaction(
        group, f"SELECT 1 FROM holdfast.queue WHERE name = '{q}' FOR UPDATE"
    ),
    "an UPDATE": lambda group, q: transaction(group, f"UPDATE holdfast.queue SET paused = paused WHERE name = '{q}'"),
    "a DELETE": lambda group, q: transaction(group, f"DELETE FROM holdfast.queue WHERE name = '{q}'"),
    "enqueueing by SQL": lambda group, q: transaction(group, f"SELECT holdfast.enqueue_exact('{q}', '1'::jsonb)"),
    "two that share it": shared_by_two,
}


async def leased(one, queue, count=1):
    granted = await one.backend.submit(LeaseJobs((queue,), count, "w", lease_ms=60_000))
    assert isinstance(granted, Granted), granted
    return granted.jobs


async def answered(one, command):
    began = time.monotonic()
    result = await one.backend.submit(command)
    return result, time.monotonic() - began


async def prepared(one, *queues):
    """A job that is leased, and some that are ready, in each; the one that is leased by queue."""
    for queue in queues:
        await one.backend.submit(Enqueue([NewJob(queue, b"1") for _ in range(6)]))
    return {queue: (await leased(one, queue))[0].job for queue in queues}


@pytest.mark.parametrize("kind", HOLDERS)
async def test_all_other_queues_go_on_and_its_own_callers_are_told(group, node, kind):
    one = node(0)
    held = await prepared(one, "stuck", "free")
    with HOLDERS[kind](group, "stuck"):
        slow = []
        for number in range(20):
            results = await asyncio.gather(
                answered(one, Enqueue([NewJob("stuck", b"2")])), answered(one, Enqueue([NewJob("free", b"2")]))
            )
            (refused, _), (done, took) = results
            assert not isinstance(done, Refused), done
            assert isinstance(refused, Refused)
            assert (refused.code, refused.fields["queue"]) == ("store_unavailable", "stuck")
            assert "stuck" in refused.detail
            if took > (NEXT_S if number else 4 * FIRST_S):
                slow.append((number, took))
        assert slow == []
        assert not isinstance(await one.backend.submit(ConcludeLease(held["free"].ref())), Refused)
    await free_again(one, "stuck")
    assert not isinstance(await one.backend.submit(ConcludeLease(held["stuck"].ref())), Refused)
    assert await check(group.url) == []


async def free_again(one, queue):
    await asyncio.sleep(LOOK_S * 2)
    async with asyncio.timeout(5):
        while isinstance(result := await one.backend.submit(Enqueue([NewJob(queue, b"3")])), Refused):
            assert result.code == "store_unavailable"
            await asyncio.sleep(0.1)  # a queue whose holders can't be told apart is left alone for a second


def every_verb(held):
    """Commands that need the queue `stuck`, each in its own way; and `held` is a lease in it."""
    return {
        "enqueue": Enqueue([NewJob("stuck", b"1")]),
        "enqueue with a key": Enqueue([NewJob("stuck", b"1")], IdempotencyKey("stuck", "k", b"d")),
        "enqueue to several": Enqueue([NewJob("free", b"1"), NewJob("stuck", b"1")]),
        "lease": LeaseJobs(("stuck",), 1, "w"),
        "conclude": ConcludeLease(held.ref()),
        "conclude, followed": ConcludeLease(held.ref(), None, [NewJob("free", b"1")]),
        "fail": FailLease(held.ref(), "no"),
        "release": ReleaseLease(held.ref()),
        "extend": ExtendLease(held.ref()),
        "cancel": CancelJob(held.id),
        "settings": SetQueue("stuck", QueueSettings(), whole=False),
        "pause": PauseQueue("stuck", paused=True),
        "pause for": PauseFor("stuck", 1_000),
        "purge": PurgeQueue("stuck", (READY,), 0, 10),
        "kick": KickJobs("stuck", buried=True, limit=1),
        "interest": SetInterest("stuck", "*"),
        "run": RunSchedule("into stuck"),
    }


async def test_every_verb_that_needs_it_is_refused_by_itself_and_changes_nothing(group, node):
    one = node(0)
    held = await prepared(one, "stuck", "free")
    spec = ScheduleSpec(NewJob("stuck", b"1"), interval_ms=3_600_000)
    await one.backend.submit(SetSchedule("into stuck", spec, paused=False))
    verbs = every_verb(held["stuck"])
    with HOLDERS["a console with FOR UPDATE"](group, "stuck"):
        before = group.primary.sql("SELECT * FROM holdfast.job ORDER BY id", database="holdfast")
        together = await asyncio.gather(*[one.backend.submit(command) for command in verbs.values()])
        apart = [await one.backend.submit(command) for command in verbs.values()]
        for results in (together, apart):
            assert {
                name: getattr(result, "code", result) for name, result in zip(verbs, results, strict=True)
            } == dict.fromkeys(verbs, "store_unavailable")
        (moved,) = await leased(one, "free")
        await one.backend.submit(ReleaseLease(moved.job.ref()))
        assert (await one.backend.submit(MoveJob(moved.job.id, "stuck"))).code == "store_unavailable"
        assert (await one.backend.submit(PutJobs([NewJob("stuck", b"1")]))).refused == "store_unavailable"
        assert group.primary.sql("SELECT * FROM holdfast.job ORDER BY id", database="holdfast") == before
    await free_again(one, "stuck")
    again = {name: getattr(await one.backend.submit(command), "code", "") for name, command in verbs.items()}
    assert "store_unavailable" not in again.values()
    assert again["enqueue"] == again["conclude"] == again["run"] == ""
    assert await check(group.url) == []


async def test_a_worker_of_several_queues_is_given_the_jobs_of_the_others(group, node):
    one = node(0)
    await prepared(one, "stuck", "free")
    await one.backend.submit(RegisterWorker("w1", "w1", ("stuck", "free")))
    with HOLDERS["a console with FOR UPDATE"](group, "stuck"):
        for command in (LeaseJobs(("stuck", "free"), 2, "w"), LeaseJobs((), 2, "w1", registered=True)):
            granted = await one.backend.submit(command)
            assert isinstance(granted, Granted), granted
            assert [grant.job.queue for grant in granted.jobs] == ["free", "free"]


async def test_time_passes_in_the_others_however_much_waits_in_it(group, node, monkeypatch):
    monkeypatch.setattr("holdfast.committer.local_backend._CHUNK", 3)
    one = node(0)
    await one.backend.submit(Enqueue([NewJob("stuck", b"1", delay_ms=1) for _ in range(8)]))
    await one.backend.submit(Enqueue([NewJob("free", b"1", delay_ms=20) for _ in range(8)]))
    spec = ScheduleSpec(NewJob("free", b"1"), interval_ms=1_000)
    into = ScheduleSpec(NewJob("stuck", b"1"), interval_ms=1_000)
    await one.backend.submit(SetSchedule("a", into, paused=False))
    await one.backend.submit(SetSchedule("b", spec, paused=False))
    await asyncio.sleep(1.1)  # until it is due
    with HOLDERS["a console with FOR UPDATE"](group, "stuck"):
        async with asyncio.timeout(10):
            await one.backend.pass_time()
        assert len(await leased(one, "free", 20)) >= 9
        due = await one.store.next_due()
        assert due is None or due > one.store.clock.now()  # so that nobody looks for what can't be done again and again
    await asyncio.sleep(LOOK_S * 2)
    await one.backend.pass_time()
    assert len(await leased(one, "stuck", 20)) >= 8
    assert await check(group.url) == []


async def test_a_queue_that_somebody_is_just_making_does_not_stop_those_that_are_there(group, node):
    one = node(0)
    await prepared(one, "free")
    with transaction(group, "SELECT holdfast.enqueue_exact('coming', '1'::jsonb)"):
        for number in range(10):
            (refused, _), (done, took), (made, _) = await asyncio.gather(
                answered(one, Enqueue([NewJob("coming", b"2")])),
                answered(one, Enqueue([NewJob("free", b"2")])),
                answered(one, Enqueue([NewJob(f"other{number}", b"2")])),
            )
            assert refused.code == "store_unavailable"
            assert not isinstance(done, Refused)
            assert not isinstance(made, Refused)
            assert took < (NEXT_S if number else 2 * FIRST_S)
    async with asyncio.timeout(10):
        while isinstance(await one.backend.submit(Enqueue([NewJob("coming", b"2")])), Refused):  # noqa: ASYNC110  (only asking tells)
            await asyncio.sleep(0.1)  # it is left alone for some seconds


async def test_nodes_that_take_turns_are_waited_for(group, node):
    """Short holds, one after the other, are no reason to set a queue aside."""
    one = node(0)
    await prepared(one, "busy")
    stop = asyncio.Event()

    async def turns():
        while not stop.is_set():
            await asyncio.to_thread(held_shortly, group)

    turning = [asyncio.create_task(turns()) for _ in range(2)]
    try:
        results = [await one.backend.submit(Enqueue([NewJob("busy", b"1")])) for _ in range(20)]
    finally:
        stop.set()
        await asyncio.gather(*turning)
    assert [result for result in results if isinstance(result, Refused)] == []


def held_shortly(group):
    with group.primary.connect("postgres", "holdfast") as connection:
        connection.execute("BEGIN; SELECT 1 FROM holdfast.queue WHERE name = 'busy' FOR UPDATE; SELECT pg_sleep(0.05); COMMIT")


async def test_who_holds_for_long_again_and_again_costs_the_others_little(group, node):
    one = node(0)
    await prepared(one, "stuck", "free")
    times = []
    for _ in range(3):
        with HOLDERS["a console with FOR UPDATE"](group, "stuck"):
            for _ in range(5):
                _, (done, took) = await asyncio.gather(
                    one.backend.submit(Enqueue([NewJob("stuck", b"2")])), answered(one, Enqueue([NewJob("free", b"2")]))
                )
                assert not isinstance(done, Refused)
                times.append(took)
                await asyncio.sleep(0.2)
        await asyncio.sleep(LOOK_S * 2)
    assert max(times[5:]) < HASTY_MS / 1000 * 4 + 0.3, times


ROWS = {
    "a job": ("SELECT 1 FROM holdfast.job WHERE id = {job} + 1 FOR UPDATE", lambda job: DeleteJob(job.id + 1)),
    "a lease": ("SELECT 1 FROM holdfast.leased WHERE job = {job} FOR UPDATE", lambda job: ConcludeLease(job.ref())),
    "a schedule": ("SELECT 1 FROM holdfast.schedule FOR UPDATE", lambda job: RunSchedule("s")),
    "the interests": (
        "SELECT 1 FROM holdfast.counter WHERE name = 'interests' FOR UPDATE",
        lambda job: SetInterest("free", "*"),
    ),
    "the workers": (
        "SELECT 1 FROM holdfast.counter WHERE name = 'workers' FOR UPDATE",
        lambda job: RegisterWorker("w", "w", ("q",)),
    ),
}


@pytest.mark.parametrize("kind", ROWS)
async def test_a_row_that_is_no_queue_stops_only_the_command_that_needs_it(group, node, kind):
    one = node(0)
    held = await prepared(one, "stuck", "free")
    await one.backend.submit(SetSchedule("s", ScheduleSpec(NewJob("free", b"1"), interval_ms=3_600_000), paused=False))
    statement, command = ROWS[kind]
    with transaction(group, statement.format(job=held["stuck"].id)):
        for number in range(3):
            commands = [Enqueue([NewJob("free", b"2")]) for _ in range(10)]
            commands.insert(number * 3, command(held["stuck"]))
            results = await asyncio.gather(*[answered(one, each) for each in commands])
            (refused, _) = results.pop(number * 3)
            assert getattr(refused, "code", refused) == "store_unavailable"
            assert not [result for result, _ in results if isinstance(result, Refused)]
            assert max(took for _, took in results) < (FIRST_S + 3 if not number else 3)
    assert not isinstance(await one.backend.submit(command(held["stuck"])), Refused)
    assert await check(group.url) == []


async def test_a_node_starts_though_somebody_holds_the_bounds_for_enqueueing(group, node):
    assert not isinstance(await node(0).put(), Refused)
    with transaction(group, "SELECT 1 FROM holdfast.enqueue_bounds FOR UPDATE"):
        assert not isinstance(await node(0).put(), Refused)
