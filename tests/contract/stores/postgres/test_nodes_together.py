"""Several nodes write at once: nothing is given twice, no count is wrong, and nobody stands in a circle."""

import asyncio
import random

import pytest

from holdfast.auth.actor import Actor
from holdfast.job.job import Extras, IdempotencyKey, NewJob, State
from holdfast.job.queue import Tally
from holdfast.messages.answers import Enqueued, Granted
from holdfast.messages.audit import Bulk, ListAudit
from holdfast.messages.commands import (
    CancelJob,
    ConcludeLease,
    DeleteQueue,
    Enqueue,
    FailLease,
    LeaseJobs,
    PauseQueue,
    PurgeQueue,
    ReleaseLease,
)
from holdfast.messages.frame import Refused
from holdfast.messages.queries import ListJobs, ListQueues
from holdfast.messages.time_commands import ExpireLeases, ForgetHistory, PromoteDue

QUEUES = ("a", "b", "c", "d")
ROUNDS = 10
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'holdfast'"


async def work(node, rng: random.Random, rounds: int, log: list) -> None:
    """One caller: puts, leases, ends, in no order."""
    for n in range(rounds):
        kind = rng.random()
        names = rng.sample(QUEUES, rng.randint(1, 3))
        if kind < 0.45:
            extras = Extras(group_key="g") if rng.random() < 0.2 else Extras()
            jobs = [NewJob(name, b"1", priority=rng.choice((1, 5)), extras=extras) for name in names]
            key = IdempotencyKey("", f"{rng.random()}", b"d") if n % 5 == 0 else None
            result = await node.backend.submit(Enqueue(jobs, key))
            if isinstance(result, Enqueued):
                log += [("put", receipt.id) for receipt in result.jobs]
        elif kind < 0.9:
            result = await node.backend.submit(LeaseJobs(tuple(names), rng.randint(1, 3), "w"))
            for granted in result.jobs if isinstance(result, Granted) else ():
                log.append(("leased", granted.job.id, granted.job.lease.fence))
                verb = rng.choice((ConcludeLease, ConcludeLease, ReleaseLease, FailLease))
                ref = granted.job.ref()
                ended = await node.backend.submit(FailLease(ref, "no") if verb is FailLease else verb(ref))
                log.append(("ended", granted.job.id, getattr(ended, "code", verb.__name__)))
        else:
            result = await asyncio.gather(
                *[node.backend.submit(tick) for tick in (ExpireLeases(100), PromoteDue(100), ForgetHistory(100))]
            )
            result = next((one for one in result if isinstance(one, Refused)), None)
        if isinstance(result, Refused):
            log.append(("refused", result.code))


@pytest.mark.parametrize("seed", [1, 2])
async def test_two_nodes_never_give_one_job_twice_and_count_every_job_once(group, node, seed):
    nodes = [node(replicas=1), node(replicas=1)]
    before = group.primary.value(DEADLOCKS)
    log: list = []
    rng = random.Random(seed)
    await asyncio.gather(*[work(nodes[n % 2], random.Random(rng.random()), 25, log) for n in range(24)])
    assert [entry for entry in log if entry[0] == "refused"] == []
    ids = [entry[1] for entry in log if entry[0] == "put"]
    assert len(ids) == len(set(ids)) > 100
    fences = [entry[2] for entry in log if entry[0] == "leased"]
    assert len(fences) == len(set(fences)) > 100
    assert {entry[2] for entry in log if entry[0] == "ended"} <= {"ConcludeLease", "ReleaseLease", "FailLease"}
    one = nodes[0].backend
    for info in (await one.submit(ListQueues(100))).queues:
        page = await one.submit(ListJobs(1_000, queue=info.name))
        counted = Tally()
        for detail in page.jobs:
            counted.move(None, detail.job.state, detail.job.size)
        assert info.tally == counted
    assert group.primary.value(DEADLOCKS) == before


async def test_jobs_of_a_queue_are_given_in_the_order_of_their_pushes_whichever_node_took_them(group, node):
    nodes = [node(), node()]
    put = []
    for n in range(40):
        answer = await nodes[n % 2].put(b"%d" % n)
        put.append(answer.jobs[0].id)
    assert put == sorted(put)
    taken = []
    for n in range(8):
        granted = await nodes[n % 2].backend.submit(LeaseJobs(("q",), 5, "w"))
        taken += [int(one.content.payload) for one in granted.jobs]
    assert taken == list(range(40))


async def test_who_waits_at_one_of_several_nodes_is_granted_a_job_in_the_commit_that_brings_it(group, node):
    nodes = [node(), node()]
    fences = []
    for n in range(12):
        one = nodes[n % 2]
        waiting = [one.backend.await_jobs(LeaseJobs(("q", "other"), limit, "w")) for limit in (1, 3)]
        await one.backend.submit(Enqueue([NewJob("q", b"1") for _ in range(4)]))
        for future, count in zip(waiting, (1, 3), strict=True):
            granted = await asyncio.wait_for(future, 10)
            assert len(granted.jobs) == count
            fences += [job.job.lease.fence for job in granted.jobs]
    assert fences == sorted(set(fences))


async def test_nodes_that_make_the_same_new_queues_in_opposite_orders_both_get_their_jobs_in(group, node):
    """They take turns, so that none has to be undone by the database; who comes second finds them made, and its callers don't hear of it."""
    before = group.primary.value(DEADLOCKS)
    one, other = node(), node()
    await asyncio.gather(one.put(queue="known"), other.put(queue="known"))
    for n in range(ROUNDS):
        names = [f"new{n}-{letter}" for letter in "abcdef"]
        puts = [
            one.backend.submit(Enqueue([NewJob(name, b"1") for name in names])),
            other.backend.submit(Enqueue([NewJob(name, b"2") for name in reversed(names)])),
        ]
        answers = await asyncio.gather(*puts)
        assert [type(answer) for answer in answers] == [Enqueued, Enqueued], answers
    listed = (await one.backend.submit(ListQueues(100))).queues
    assert {info.name: info.tally.ready for info in listed} == {"known": 2} | {
        f"new{n}-{letter}": 2 for n in range(ROUNDS) for letter in "abcdef"
    }
    assert group.primary.value(DEADLOCKS) == before


async def test_entries_of_the_audit_log_are_numbered_as_they_are_committed_whichever_node_writes_them(group, node):
    """Whoever follows the log by number misses none: no entry shows up below one that was read already."""
    nodes = [node(replicas=1), node(replicas=1)]
    before = group.primary.value(DEADLOCKS)
    await nodes[0].backend.submit(Enqueue([NewJob(name, b"1") for name in QUEUES]))
    bulk = Bulk("all of it", "all jobs")

    async def manage(number: int) -> None:
        for n in range(15):
            one = nodes[number % 2]
            await one.backend.submit(PauseQueue(QUEUES[(number + n) % 4], n % 2 == 0, actor=Actor(f"node {number % 2}")))
            await one.backend.submit(CancelJob(1_000_000 + n, bulk=bulk, actor=Actor("both")))

    seen: list[int] = []

    async def follow() -> None:
        while not managing.done():
            page = await nodes[1].backend.submit(ListAudit(1_000, after=seen[-1] if seen else 0))
            seen.extend(entry.id for entry in page.entries)

    managing = asyncio.gather(*[manage(number) for number in range(6)])
    await asyncio.gather(managing, follow())
    page = await nodes[0].backend.submit(ListAudit(1_000))
    whole = sorted(entry.id for entry in page.entries)
    seen += [number for number in whole if number > seen[-1]]
    assert seen == whole == list(range(1, len(whole) + 1))
    done = [entry for entry in page.entries if entry.action.startswith("queue.")]
    assert len(done) == 6 * 15
    assert {entry.actor.name for entry in done} == {"node 0", "node 1"}
    (both,) = [entry for entry in page.entries if entry.actor.name == "both"]
    assert both.refused == 6 * 15
    assert page.kept == len(whole)
    assert group.primary.value(DEADLOCKS) == before


async def test_a_node_keeps_nothing_of_queues_that_are_gone(node, monkeypatch):
    here, other = node(replicas=0), node(replicas=0)
    for n in range(10):
        await here.put(queue=f"gone-{n}")
        await here.backend.submit(PurgeQueue(f"gone-{n}", (State.READY,), 0, 10))
        assert not isinstance(await here.backend.submit(DeleteQueue(f"gone-{n}")), Refused)
    assert here.store._cache.names == {}
    monkeypatch.setattr("holdfast.stores.postgres.cache.QUEUES", 3)
    for n in range(10):
        await here.put(queue=f"gone-{n}")
        await other.backend.submit(PurgeQueue(f"gone-{n}", (State.READY,), 0, 10))
        assert not isinstance(await other.backend.submit(DeleteQueue(f"gone-{n}")), Refused)
    assert len(here.store._cache.names) <= 4
