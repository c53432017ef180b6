"""Groups: at most so many at once, in the order in which they came, and nobody forgotten in the line whatever happens before them."""

import random

import pytest

from holdfast.job.job import State
from holdfast.job.queue import QueueSettings
from holdfast.messages.commands import (
    CancelJob,
    ConcludeLease,
    DeleteJob,
    DeleteQueue,
    EditJob,
    Enqueue,
    FailLease,
    PromoteJob,
    PurgeQueue,
    ReleaseLease,
    RetryJob,
    SetQueue,
)
from holdfast.messages.queries import ExplainJob


@pytest.fixture
def put(client, new):
    async def some(count=1, group="g", queue="q", **options):
        receipts = await client.put_all([new(queue, group_key=group, **options) for _ in range(count)])
        return [receipt.id for receipt in receipts]

    return some


@pytest.fixture
def line(client):
    """Who runs, who may run next and who is held, of one group."""

    async def of(group="g", queue="q"):
        jobs = [job for job in await client.walk(queue=queue) if job.extras.group_key == group]
        running = sorted(job.id for job in jobs if job.state is State.LEASED)
        ready = sorted(job.id for job in jobs if job.state is State.READY and not job.held)
        held = sorted(job.id for job in jobs if job.state is State.READY and job.held)
        async with client.store.transaction() as tx:
            assert await tx.group_places(queue, group) == len(running) + len(ready)
            assert [job.id for job in await tx.held(queue, group, 1_000)] == held
        return running, ready, held

    return of


async def all_ids(client, limit=100):
    return [granted.job.id for granted in await client.lease(limit=limit)]


async def test_one_job_of_a_group_runs_at_a_time_and_in_the_order_in_which_they_came(client, put):
    await put(5)
    order = []
    while granted := await client.lease(limit=5):
        assert len(granted) == 1
        order.append(granted[0].job.id)
        await client.do(ConcludeLease(granted[0].job.ref()))
    assert order == [1, 2, 3, 4, 5]


async def test_order_within_a_group_goes_before_priority(client, put):
    await put(1, priority=9)
    await put(1, priority=1)
    job = await client.take()
    assert job.id == 1
    await client.do(ConcludeLease(job.ref()))
    assert (await client.take()).id == 2


async def test_as_many_jobs_of_a_group_run_at_once_as_its_limit_says(client, put, line):
    await put(7, group_limit=3)
    granted = await client.lease(limit=7)
    assert [one.job.id for one in granted] == [1, 2, 3]
    await client.together(*(ConcludeLease(granted[n].job.ref()) for n in (0, 2)))
    assert await line() == ([2], [4, 5], [6, 7])


async def test_a_held_group_does_not_keep_other_jobs_waiting(client, put):
    await put(50)
    await client.put()
    await put(1, group="h")
    assert await all_ids(client) == [1, 51, 52]


async def test_many_groups_run_beside_each_other(client, new):
    await client.put_all([new(group_key=f"g{n % 40}") for n in range(120)])
    for _ in range(3):
        granted = await client.lease(limit=200)
        assert len({one.job.extras.group_key for one in granted}) == len(granted) == 40
        await client.together(*(ConcludeLease(one.job.ref()) for one in granted))
    assert (await client.tally()).concluded == 120


async def test_a_group_belongs_to_its_queue(client, put):
    await put(1, queue="a")
    await put(1, queue="b")
    assert len(await client.lease("a", "b", limit=5)) == 2


async def test_a_scheduled_job_takes_its_place_in_the_line_when_its_time_comes(client, put, line):
    await put(1, delay_ms=100)
    await put(2)
    assert await line() == ([], [2], [3])
    await client.pass_time(100)
    assert await line() == ([], [2], [1, 3])
    await client.do(ConcludeLease((await client.take()).ref()))
    assert await line() == ([], [1], [3])


async def test_jobs_that_come_due_together_share_the_places_by_age(client, put, line):
    await put(5, delay_ms=100, group_limit=2)
    await client.pass_time(100)
    assert await line() == ([], [1, 2], [3, 4, 5])


@pytest.mark.parametrize("way", ["conclude", "dead", "cancel", "fail later", "release later", "expire to death"])
async def test_a_place_that_becomes_free_goes_to_the_oldest_who_waits(client, put, line, way):
    await client.do(SetQueue("q", QueueSettings(max_crashes=1), whole=True))
    await put(3)
    job = await client.take()
    match way:
        case "conclude":
            await client.do(ConcludeLease(job.ref()))
        case "dead":
            await client.do(FailLease(job.ref(), "no", retry=False))
        case "cancel":
            await client.do(CancelJob(job.id))
            await client.do(ReleaseLease(job.ref()))
        case "fail later":
            await client.do(FailLease(job.ref(), "no", delay_ms=500))
        case "release later":
            await client.do(ReleaseLease(job.ref(), delay_ms=500))
        case "expire to death":
            await client.pass_time(300_000)
    assert await line() == ([], [2], [3])


@pytest.mark.parametrize("way", ["fail", "release", "expire"])
async def test_a_job_that_is_ready_again_at_once_keeps_its_place(client, put, line, way):
    await put(3)
    job = await client.take()
    match way:
        case "fail":
            await client.do(FailLease(job.ref(), "no", delay_ms=0))
        case "release":
            await client.do(ReleaseLease(job.ref()))
        case "expire":
            await client.pass_time(300_000)
    assert await line() == ([], [1], [2, 3])


@pytest.mark.parametrize("way", ["cancel", "delete", "edit to later"])
async def test_a_place_is_passed_on_when_its_holder_is_taken_out_of_the_line(client, put, line, way):
    await put(3)
    command = {"cancel": CancelJob(1), "delete": DeleteJob(1), "edit to later": EditJob(1, delay_ms=50)}[way]
    await client.do(command)
    assert await line() == ([], [2], [3])


@pytest.mark.parametrize("way", ["cancel", "delete", "edit to later"])
async def test_a_held_job_that_is_taken_out_of_the_line_leaves_the_others_as_they_are(client, put, line, way):
    await put(4)
    command = {"cancel": CancelJob(2), "delete": DeleteJob(2), "edit to later": EditJob(2, delay_ms=50)}[way]
    await client.do(command)
    assert await line() == ([], [1], [3, 4])
    await client.do(ConcludeLease((await client.take()).ref()))
    assert await line() == ([], [3], [4])


async def test_an_edited_held_job_stays_where_it_is_in_the_line(client, put, line):
    await put(3)
    await client.do(EditJob(3, priority=0, tags=("x",)))
    await client.do(EditJob(2, delay_ms=0))
    assert await line() == ([], [1], [2, 3])
    assert (await client.job(3)).priority == 0


@pytest.mark.parametrize("way", ["retry", "promote"])
async def test_a_job_that_comes_back_by_hand_lines_up_by_its_age(client, put, line, way):
    if way == "retry":
        await put(1)
        await client.do(FailLease((await client.take()).ref(), "no", retry=False))
    else:
        await put(1, delay_ms=9_000)
    await put(3)
    await client.do(RetryJob(1) if way == "retry" else PromoteJob(1))
    assert await line() == ([], [2], [1, 3, 4])
    await client.do(ConcludeLease((await client.take()).ref()))
    assert await line() == ([], [1], [3, 4])


async def test_each_job_brings_its_own_limit_and_nobody_overtakes_the_one_that_has_to_wait(client, put, line):
    await put(1, group_limit=3)
    await put(1, group_limit=1)
    await put(2, group_limit=3)
    assert await line() == ([], [1], [2, 3, 4])
    await client.do(ConcludeLease((await client.take()).ref()))
    assert await line() == ([], [2, 3, 4], [])


async def test_two_conclude_and_two_come_in_one_transaction_and_the_places_are_given_by_age(client, put, line, new):
    await put(4, group_limit=2)
    granted = await client.lease(limit=2)
    await client.together(Enqueue([new(group_key="g", group_limit=2)] * 2), *(ConcludeLease(one.job.ref()) for one in granted))
    assert await line() == ([], [3, 4], [5, 6])


async def test_a_follow_up_in_the_same_group_runs_after_those_who_waited_before_it(client, put, line, new):
    await put(2)
    await client.do(ConcludeLease((await client.take()).ref(), None, [new(group_key="g")]))
    assert await line() == ([], [2], [3])


async def test_a_group_of_hundreds_is_served_to_the_end(client, put, line):
    await put(300, group_limit=100)
    served = []
    while granted := await client.lease(limit=1_000):
        served += [one.job.id for one in granted]
        await client.together(*(ConcludeLease(one.job.ref()) for one in granted))
    assert served == list(range(1, 301))


async def test_the_jobs_that_hold_a_group_are_named(client, put):
    await put(4, group_limit=2)
    await client.lease(limit=1)
    facts = await client.ask(ExplainJob(4))
    assert (facts.job.held, facts.group_holders) == (True, [1, 2])


# What else happens in the same transaction ---------------------------------------------------------------------------


def purge(queue="q", states=(State.DEAD,)):
    return PurgeQueue(queue, states, 0, 100)


async def test_a_place_is_passed_on_although_a_purge_goes_through_in_the_same_transaction(client, put, line):
    await put(2)
    job = await client.take()
    await client.together(ConcludeLease(job.ref()), purge())
    assert await line() == ([], [2], [])


async def test_a_limit_holds_although_a_purge_goes_through_in_the_same_transaction(client, put, line):
    await put(1, delay_ms=100)
    await put(1)
    await client.together(PromoteJob(1), purge())
    assert await line() == ([], [2], [1])


async def test_the_held_move_up_although_two_purges_go_through_in_one_transaction(client, put, line):
    await put(3)
    await client.put()
    await client.together(PurgeQueue("q", (State.READY,), 1, 1), purge())
    assert await line() == ([], [2], [3])


async def test_a_place_is_passed_on_although_another_queue_is_deleted_in_the_same_transaction(client, put, line):
    await put(2)
    await client.do(SetQueue("gone", QueueSettings(), whole=True))
    job = await client.take()
    await client.together(ConcludeLease(job.ref()), DeleteQueue("gone"))
    assert await line() == ([], [2], [])


async def test_a_purge_of_ready_jobs_empties_the_line_and_the_held_with_it(client, put, line):
    await put(5)
    job = await client.take()
    assert (await client.do(PurgeQueue("q", (State.READY,), 0, 100))).count == 4
    assert await line() == ([1], [], [])
    await put(1)
    await client.do(ConcludeLease(job.ref()))
    assert await line() == ([], [6], [])


async def test_a_group_is_served_at_every_moment_of_a_long_random_story(client, put, line, new):
    """Limits of one and two mixed, every verb in random batches; after each no limit is broken and no place lies idle."""
    dice = random.Random(20)
    leased = []
    for _ in range(120):
        commands = []
        for _ in range(dice.randint(1, 4)):
            match dice.randint(0, 5):
                case 0 | 1:
                    options = {"group_key": "g", "group_limit": dice.choice((1, 2)), "delay_ms": dice.choice((None, None, 40))}
                    commands.append(Enqueue([new(**options)]))
                case 2 | 3 if leased:
                    ref = leased.pop(dice.randrange(len(leased))).ref()
                    ends = [ConcludeLease(ref), ReleaseLease(ref), ReleaseLease(ref, 30), FailLease(ref, "no", delay_ms=20)]
                    commands.append(dice.choice(ends))
                case 4:
                    commands.append(dice.choice([CancelJob, DeleteJob, RetryJob, PromoteJob])(dice.randint(1, 60)))
                case 5:
                    commands.append(purge(states=(dice.choice((State.CANCELLED, State.CONCLUDED)),)))
        if commands:
            await client.together(Enqueue([new()]), *commands)
        expired, _ = await client.pass_time(dice.randint(0, 30))
        assert expired == 0
        leased += [one.job for one in await client.lease(limit=dice.randint(1, 3)) if one.job.extras.group_key]
        running, ready, held = await line()
        assert running == sorted(job.id for job in leased)
        assert len(running) + len(ready) <= 2
        if held:
            first = await client.job(held[0])
            assert len(running) + len(ready) >= first.extras.group_limit, "a place is free and nobody has it"


async def test_a_job_that_ends_and_is_retried_in_one_transaction_has_left_its_place_to_the_oldest(client, put, line):
    await put(1, delay_ms=1_000)
    await put(1)
    job = await client.take()
    await client.pass_time(1_000)
    assert await line() == ([2], [], [1])
    await client.together(FailLease(job.ref(), "no", retry=False), RetryJob(2))
    assert await line() == ([], [1], [2])
