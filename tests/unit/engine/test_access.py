"""Authorization in the engine: every request has a rule, and what a key may not see is answered as not found."""

import asyncio

import pytest
from msgspec.structs import replace

from holdfast.auth import keys as rules
from holdfast.auth.caller import CALLER, Caller
from holdfast.auth.keys import Ability, Key, KeyChanges
from holdfast.auth.scope import Scope
from holdfast.engine.access import RULES, permit
from holdfast.errors import (
    Forbidden,
    JobNotFound,
    LeaseLost,
    Overloaded,
    QueueFull,
    QueueNotFound,
    RateLimited,
    Unauthorized,
    WorkerNotFound,
)
from holdfast.job.job import IdempotencyKey
from holdfast.job.queue import QueueSettings
from holdfast.job.schedule import ScheduleSpec
from holdfast.keeper import frames
from holdfast.limits import IN_FLIGHT_QUERIES
from holdfast.messages.audit import RecordAudit
from holdfast.messages.commands import AwaitJobs, ConcludeLease, Enqueue, PauseQueue, RetryJob, SettleJob, ShortenLease
from holdfast.messages.frame import Command, Phase, Request, kinds_of
from holdfast.messages.inbox import InboxState, TakeIn
from holdfast.messages.job_batches import OldestJobBatch
from holdfast.messages.key_commands import NoteKeyUse
from holdfast.messages.operations import FindJobs
from holdfast.messages.queries import GetJob, GetQueue, ListJobs
from holdfast.messages.time_commands import ReapWorkers
from holdfast.messages.views import HeldQueue

_ = frames  # it imports all requests
_OF_TIME = {kind for kind in kinds_of(Request) if issubclass(kind, Command) and kind.phase is Phase.TIME}
_OF_NOBODY = _OF_TIME | {
    ReapWorkers,
    NoteKeyUse,
    RecordAudit,
    FindJobs,  # an operation was permitted when it began, and has the scope of who began it
    AwaitJobs,  # a caller that waits for jobs has been permitted to lease them
    ShortenLease,
    TakeIn,  # who enqueued it was permitted by the database
    OldestJobBatch,  # for the metrics
}


def caller(*abilities, queues=("r.*",), **fields):
    return Caller(Key("key-1", "k", tuple(abilities), queues, (b"h",), 0, **fields))


@pytest.fixture
async def opened(engine, new):
    """An engine with keys in force; `as_` says who calls."""
    key, _ = await engine.keys.create("root", (Ability.ADMIN,))
    engine.keyring.take(1, [Key(key.id, "root", (Ability.ADMIN,), ("*",), (b"h",), 0)])
    CALLER.set(None)
    return engine


def as_(*abilities, **options):
    who = caller(*abilities, **options)
    CALLER.set(who)
    return who


def test_every_request_has_a_rule_or_is_made_by_no_door():
    asked = set(kinds_of(Request))
    assert asked - set(RULES) == _OF_NOBODY
    assert set(RULES) <= asked


@pytest.mark.parametrize("kind", sorted(RULES, key=lambda kind: kind.__name__))
def test_a_request_about_more_than_it_names_is_scoped(kind):
    """If a request has the id of a job, a worker or a lease, or lists without a queue, only the store can tell the queue."""
    by_id = {"id", "ref", "worker"} & set(kind.__struct_fields__) and kind.__name__ not in (
        "CreateKey",
        "EditKey",
        "RotateKey",
        "RevokeKey",
    )
    if by_id and kind.__name__ != "RegisterWorker":
        assert RULES[kind].scoped, kind.__name__


def test_a_request_without_a_caller_is_refused():
    with pytest.raises(Unauthorized):
        permit(GetJob(1), None)


def test_a_request_without_the_ability_is_forbidden_and_the_refusal_names_the_ability(new):
    with pytest.raises(Forbidden) as refused:
        permit(Enqueue([new("r.a")]), caller(Ability.READ))
    assert refused.value.ability == "produce"


def test_a_queue_of_another_key_is_forbidden_if_it_would_be_created_and_else_not_found(new):
    with pytest.raises(Forbidden) as refused:
        permit(Enqueue([new("r.a"), new("s.a")]), caller(Ability.PRODUCE))
    assert (refused.value.ability, refused.value.queue) == ("produce", "s.a")
    with pytest.raises(QueueNotFound):
        permit(GetQueue("s.a"), caller(Ability.READ))
    with pytest.raises(QueueNotFound):
        permit(PauseQueue("s.a", True), caller(Ability.MANAGE))
    with pytest.raises(QueueNotFound):
        permit(ListJobs(10, queue="s.a"), caller(Ability.READ))


def test_a_request_whose_queue_only_the_store_knows_is_scoped():
    assert permit(GetJob(3), caller(Ability.READ)).scope == Scope((), ("r.",))
    assert permit(RetryJob(3), caller(Ability.MANAGE)).scope == Scope((), ("r.",))
    assert permit(GetJob(3), caller(Ability.READ, queues=("*",))).scope is None


def test_follow_ups_need_produce_on_their_queues(new):
    ref = type("Ref", (), {})()
    with pytest.raises(Forbidden) as refused:
        permit(ConcludeLease(ref, None, [new("r.a")]), caller(Ability.CONSUME))
    assert refused.value.ability == "produce"
    with pytest.raises(Forbidden):
        permit(ConcludeLease(ref, None, [new("s.a")]), caller(Ability.CONSUME, Ability.PRODUCE))
    permit(ConcludeLease(ref, None, [new("r.a")]), caller(Ability.CONSUME, Ability.PRODUCE))


async def test_a_door_that_sets_no_caller_is_refused(opened, new):
    with pytest.raises(Unauthorized):
        await opened.enqueue([new("r.a")])
    with pytest.raises(Unauthorized):
        await opened.reading.job(1)
    assert (await opened.reading.stats_of_store()).accepting, "except whether the server is ready"


async def test_a_job_of_another_key_can_be_neither_seen_nor_changed(opened, new):
    as_(Ability.ADMIN, queues=("*",))
    job = (await opened.enqueue([new("s.a")])).jobs[0].id
    as_(Ability.ADMIN)
    with pytest.raises(JobNotFound):
        await opened.reading.job(job)
    with pytest.raises(JobNotFound):
        await opened.reading.why(job)
    with pytest.raises(JobNotFound):
        await opened.move_job(job, "r.a")
    assert (await opened.reading.jobs(ListJobs(10))).jobs == []
    assert (await opened.reading.stats()).queues == []
    assert (await opened.reading.stats()).tally.ready == 0
    as_(Ability.ADMIN, queues=("*",))
    assert (await opened.reading.stats()).tally.ready == 1
    assert (await opened.reading.job(job)).job.queue == "s.a"


async def test_a_lease_in_a_queue_of_another_key_is_lost(opened, new):
    as_(Ability.ADMIN, queues=("*",))
    await opened.enqueue([new("s.a")])
    ref = (await opened.lease(("s.a",))).jobs[0].job.ref()
    as_(Ability.CONSUME)
    with pytest.raises(LeaseLost):
        await opened.end(ConcludeLease(ref))
    as_(Ability.CONSUME, queues=("s.a",))
    assert (await opened.end(ConcludeLease(ref))).state == "concluded"


async def test_a_concluded_lease_in_a_queue_of_another_key_is_lost_too(opened, new):
    as_(Ability.ADMIN, queues=("*",))
    await opened.enqueue([new("s.a")])
    ref = (await opened.lease(("s.a",))).jobs[0].job.ref()
    await opened.end(ConcludeLease(ref))
    as_(Ability.CONSUME)
    with pytest.raises(LeaseLost):
        await opened.end(ConcludeLease(ref))


async def test_one_forbidden_follow_up_does_not_affect_other_conclusions(opened, new):
    as_(Ability.ADMIN, queues=("*",))
    await opened.enqueue([new("r.a"), new("r.a")])
    refs = [one.job.ref() for one in (await opened.lease(("r.a",), limit=2)).jobs]
    as_(Ability.CONSUME, Ability.PRODUCE)
    results = await opened.end_many([ConcludeLease(refs[0], None, [new("s.a")]), ConcludeLease(refs[1])])
    assert [getattr(one, "code", getattr(one, "state", None)) for one in results] == ["forbidden", "concluded"]


async def test_a_worker_of_another_key_is_not_found(opened):
    as_(Ability.ADMIN, queues=("*",))
    worker = await opened.workers.register(("s.a",), "w")
    both = await opened.workers.register(("r.a", "s.a"), "both")
    as_(Ability.ADMIN)
    for one in (worker, both):
        with pytest.raises(WorkerNotFound):
            await opened.workers.beat(one.id)
        with pytest.raises(WorkerNotFound):
            await opened.workers.remove(one.id)
        with pytest.raises(WorkerNotFound):
            await opened.lease((), worker=one.id, registered=True)
    assert (await opened.reading.workers()).workers == []


async def test_the_request_of_another_key_is_not_answered_with_its_jobs(opened, new):
    as_(Ability.ADMIN, queues=("*",))
    await opened.enqueue([new("r.a")])
    assert len((await opened.lease(("r.a",), request="same")).jobs) == 1
    assert len((await opened.lease(("r.a",), request="same")).jobs) == 1, "the same key gets the same jobs again"
    other = Caller(Key("key-2", "other", (Ability.CONSUME,), ("r.*",), (b"x",), 0))
    CALLER.set(other)
    assert (await opened.lease(("r.a",), request="same")).jobs == []


async def test_a_long_poll_is_refused_when_its_key_ends(opened, turns):
    who = as_(Ability.CONSUME)
    waiting = asyncio.create_task(opened.lease(("r.a",), wait_ms=20_000))
    await turns()
    assert opened.arrivals.parked == 1
    who.end("This access key was revoked.")
    with pytest.raises(Unauthorized):
        await asyncio.wait_for(waiting, 5)
    assert opened.arrivals.parked == 0


async def test_a_long_poll_gets_no_jobs_once_its_key_lost_the_ability(opened, new, turns):
    who = as_(Ability.CONSUME)
    waiting = asyncio.create_task(opened.lease(("r.a",), wait_ms=20_000))
    await turns()
    who.become(Key("key-1", "k", (Ability.READ,), ("r.*",), (b"h",), 0))
    as_(Ability.ADMIN, queues=("*",))
    await opened.enqueue([new("r.a")])
    with pytest.raises(Forbidden):
        await asyncio.wait_for(waiting, 5)
    assert len((await opened.lease(("r.a",))).jobs) == 1, "and the job is there for others"


async def test_a_parked_call_is_woken_with_the_caller_that_parked_it(opened, new, turns):
    """News wakes it in the context of the code that delivers the news."""
    as_(Ability.CONSUME)
    waiting = asyncio.create_task(opened.lease(("r.a",), wait_ms=20_000))
    await turns()
    as_(Ability.PRODUCE)
    await opened.enqueue([new("r.a")])
    assert len((await asyncio.wait_for(waiting, 5)).jobs) == 1


async def test_a_call_that_waits_for_a_job_ends_with_its_key(opened, new, turns):
    as_(Ability.ADMIN, queues=("*",))
    job = (await opened.enqueue([new("r.a")])).jobs[0].id
    who = as_(Ability.READ)
    waiting = asyncio.create_task(opened.reading.job(job, 20_000))
    await turns()
    who.end("This access key was revoked.")
    with pytest.raises(Unauthorized):
        await asyncio.wait_for(waiting, 5)
    assert opened.hub.watchers == 0


async def test_callers_that_wait_for_the_same_job_get_what_their_own_keys_may_see(opened, new, turns):
    as_(Ability.ADMIN, queues=("*",))
    job = (await opened.enqueue([new("r.a", b'"secret"')])).jobs[0].id
    seeing = asyncio.create_task(opened.reading.job(job, 20_000))
    await turns()
    as_(Ability.READ, sees_payloads=False)
    hiding = asyncio.create_task(opened.reading.job(job, 20_000))
    as_(Ability.READ, queues=("other",))
    blind = asyncio.create_task(opened.reading.job(job, 20_000))
    await turns()
    as_(Ability.ADMIN, queues=("*",))
    ref = (await opened.lease(("r.a",))).jobs[0].job.ref()
    await opened.end(ConcludeLease(ref, b'"result"'))
    assert (await asyncio.wait_for(seeing, 5)).result == b'"result"'
    hidden = await asyncio.wait_for(hiding, 5)
    assert hidden.payload_hidden
    assert hidden.result is None
    assert hidden.content.payload == b"null"
    with pytest.raises(JobNotFound):
        await asyncio.wait_for(blind, 5)


async def test_a_stream_sends_what_its_key_may_see(opened, new, turns):
    who = as_(Ability.READ)
    subscription = opened.subscribe(None)
    with pytest.raises(QueueNotFound):
        opened.subscribe("s.a")
    as_(Ability.ADMIN, queues=("*",))
    await opened.enqueue([new("s.a")])
    await opened.enqueue([new("r.a")])
    assert [event.queue for event in await subscription.next(5)] == ["r.a"]
    who.end("revoked")
    assert subscription.ended
    assert subscription.end_code == "unauthenticated"


@pytest.mark.parametrize("queue", [None, "r.a"])
async def test_a_stream_ends_when_its_key_may_no_longer_read_it(opened, new, queue):
    who = as_(Ability.READ)
    subscription = opened.subscribe(queue)
    who.become(Key("key-1", "k", (Ability.READ,) if queue else (Ability.PRODUCE,), ("s.*",), (b"h",), 0))
    as_(Ability.ADMIN, queues=("*",))
    await opened.enqueue([new("r.a")])
    assert await subscription.next(5) == []
    assert (subscription.ended, subscription.end_code) == (True, "forbidden")


async def test_a_stream_without_events_ends_as_soon_as_its_key_may_no_longer_read(engine):
    root, _ = await engine.keys.create("root", (Ability.ADMIN,))
    CALLER.set(engine.keyring.caller_of(root.id))
    key, _ = await engine.keys.create("screen", (Ability.READ,))
    CALLER.set(engine.keyring.caller_of(key.id))
    subscription = engine.subscribe(None)
    CALLER.set(engine.keyring.caller_of(root.id))
    await engine.keys.edit("screen", KeyChanges(queues=("r.*",)))
    assert not subscription.ended
    await engine.keys.edit("screen", KeyChanges(abilities=(Ability.PRODUCE,)))
    assert (subscription.ended, subscription.end_code) == (True, "forbidden")


async def test_a_stream_of_all_follows_what_its_key_may_see(opened, new):
    who = as_(Ability.READ)
    subscription = opened.subscribe(None)
    who.become(Key("key-1", "k", (Ability.READ,), ("s.*",), (b"h",), 0))
    as_(Ability.ADMIN, queues=("*",))
    await opened.enqueue([new("r.a")])
    await opened.enqueue([new("s.a")])
    assert [event.queue for event in await subscription.next(5)] == ["s.a"]


async def test_publishing_reaches_every_queue_and_names_those_that_the_key_sees(opened, new):
    as_(Ability.ADMIN, queues=("*",))
    for queue in ("r.a", "s.a", "s.b"):
        await opened.set_interest(queue, "*")
    as_(Ability.PRODUCE)
    with pytest.raises(Forbidden) as refused:
        await opened.publish(new("", b"{}"))
    assert refused.value.ability == "publish"
    as_(Ability.PUBLISH)
    published = await opened.publish(new("x", b"{}"))
    assert ([receipt.queue for receipt in published.jobs], published.others) == (["r.a"], 2)
    assert await opened.reached_by(b"{}") == (["r.a"], 2)
    as_(Ability.ADMIN, queues=("*",))
    assert (await opened.reading.stats()).tally.ready == 3


async def test_a_key_that_sees_no_payloads_cannot_search_in_them(opened, new):
    as_(Ability.ADMIN, queues=("*",))
    await opened.enqueue([new("r.a", b'"needle"')])
    as_(Ability.READ, sees_payloads=False)
    (detail,) = (await opened.reading.jobs(ListJobs(10))).jobs
    assert detail.payload_hidden
    assert b"needle" not in detail.content.payload
    with pytest.raises(Forbidden):
        await opened.reading.jobs(ListJobs(10, text="needle"))


async def test_a_key_is_created_once_rotated_and_revoked(opened):
    as_(Ability.ADMIN, queues=("*",))
    key, secret = await opened.keys.create("ci", (Ability.READ,), ("a",), expires_ms=60_000, note="hi")
    assert rules.is_secret(secret)
    assert key.hashes == (rules.hash_of(secret),)
    found = await opened.keys.one("ci")
    assert (found.id, found.note, found.queues, found.hashes) == (key.id, "hi", ("a",), ())
    rotated, other = await opened.keys.rotate("ci", 1_000)
    assert rotated.hashes == (rules.hash_of(other), rules.hash_of(secret))
    again, third = await opened.keys.rotate(key.id, 0)
    assert again.hashes == (rules.hash_of(third),)
    await opened.keys.revoke("ci")
    assert [one.name for one in await opened.keys.all()] == ["root"]


async def test_a_long_poll_from_before_the_first_key_is_not_served_as_the_creator_of_the_key(engine, turns):
    """It is woken in the context of the caller that created the key, which is another caller."""
    waiting = asyncio.create_task(engine.lease(("r.a",), wait_ms=20_000))
    await turns()
    as_(Ability.ADMIN, queues=("*",))
    await engine.keys.create("root", (Ability.ADMIN,))
    with pytest.raises(Unauthorized):
        await asyncio.wait_for(waiting, 5)


async def test_a_stream_from_before_the_first_key_ends(engine, turns):
    await engine.key_watch.begin()
    subscription = engine.subscribe(None)
    await engine.keys.create("root", (Ability.ADMIN,))
    while not engine.keyring.in_force:
        engine.key_watch._renew()
        await turns()
    assert (subscription.ended, subscription.end_code) == (True, "unauthenticated")


async def test_a_call_past_the_bound_of_its_key_leaves_nothing_behind(opened, new):
    as_(Ability.ADMIN, queues=("*",))
    job = (await opened.enqueue([new("r.a")])).jobs[0].id
    who = as_(Ability.READ, parked=1)
    who.opened("another", lambda _: None)
    with pytest.raises(RateLimited):
        await opened.reading.job(job, 1_000)
    assert opened.hub.watchers == 0


async def test_problems_of_the_store_are_shown_in_full_only_to_keys_that_see_all_queues(opened, monkeypatch):
    as_(Ability.READ, queues=("*",))
    found = await opened.reading.store()
    told = replace(
        found, schedules_aside=1, jobs_aside=2, jobs_why=["job 7 of s.a: why"], set_aside=["a row"], unreadable={"job": 1},
        audit={"done": 3}, job_batches={"made": 4}, held_queues=[HeldQueue("s.a", "psql"), HeldQueue("r.a", "psql")],
        inbox=InboxState(1, 2, 3), taken_in={"refused": 4},
    )  # fmt: skip

    async def read(_):
        return told

    monkeypatch.setattr(opened.reading, "_read", read)
    assert await opened.reading.store() == told
    as_(Ability.READ)
    nothing = {
        "job_batches": {},
        "schedules_aside": 0,
        "jobs_aside": 0,
        "jobs_why": [],
        "set_aside": [],
        "unreadable": {},
        "audit": {},
        "taken_in": {},
    }
    assert await opened.reading.store() == replace(found, held_queues=[HeldQueue("r.a", "psql")], **nothing)


async def test_keys_are_read_even_when_other_reads_are_at_their_bound(opened):
    """Else the holder of a revoked key could keep it in force by many reads."""
    opened.reading._on_the_way = IN_FLIGHT_QUERIES
    as_(Ability.ADMIN, queues=("*",))
    with pytest.raises(Overloaded):
        await opened.reading.queues(10, "")
    assert (await opened.reading.keys_unless(-1)).keys


async def test_jobs_in_queues_of_other_keys_are_not_listed_under_the_name_of_ones_own_worker(opened, new):
    as_(Ability.ADMIN, queues=("*",))
    await opened.enqueue([new("s.a"), new("r.a")])
    worker = await opened.workers.register(("r.a",), "w")
    await opened.lease(("s.a",), worker=worker.id)
    await opened.lease(("r.a",), worker=worker.id)
    assert {job.queue for job in (await opened.reading.workers()).workers[0].jobs} == {"s.a", "r.a"}
    as_(Ability.READ)
    (info,) = (await opened.reading.workers()).workers
    assert [job.queue for job in info.jobs] == ["r.a"]
    assert [job.queue for job in (await opened.reading.worker(worker.id))[0].jobs] == ["r.a"]


async def test_no_cursor_contains_a_name_that_the_key_may_not_see(opened, new):
    as_(Ability.ADMIN, queues=("*",))
    for name, queue in (("a", "r.a"), ("b", "s.a"), ("c", "s.a"), ("d", "r.a"), ("e", "s.a")):
        await opened.schedules.set(name, ScheduleSpec(new(queue), interval_ms=60_000), False)
        await opened.workers.register((queue,), name)
    as_(Ability.READ)
    for limit in (1, 2, 3):
        names, after = [], ""
        while after is not None:
            page = await opened.reading.schedules(limit, after)
            assert len(page.schedules) <= limit
            names += [one.name for one in page.schedules]
            after = page.after
            assert after in (None, "a", "d")
        assert names == ["a", "d"]
        workers, place = [], (-1, "")
        while place is not None:
            page = await opened.reading.workers_after(limit, place)
            assert len(page.workers) <= limit
            workers += [one.worker.name for one in page.workers]
            place = page.after
            assert place is None or place[1] == page.workers[-1].worker.id
        assert sorted(workers) == ["a", "d"]


async def test_a_key_that_sees_no_payloads_gets_none_of_schedules_and_of_dead_jobs(opened, new):
    as_(Ability.ADMIN, queues=("*",))
    await opened.schedules.set("s", ScheduleSpec(new("r.a", b'"needle"'), interval_ms=60_000), False)
    job = (await opened.enqueue([new("r.a", b'"needle"')])).jobs[0].id
    await opened.change_job(SettleJob(job, False, "so"))
    assert b"needle" in (await opened.reading.oldest_dead("r.a")).jobs[0].content.payload
    assert not (await opened.reading.schedule("s")).payload_hidden
    as_(Ability.READ, Ability.MANAGE, sees_payloads=False)
    found = [
        await opened.reading.schedule("s"),
        *(await opened.reading.schedules(10, "")).schedules,
        await opened.schedules.pause("s", True),
    ]
    assert [(one.spec.job.payload, one.payload_hidden) for one in found] == [(b"null", True)] * 3
    (dead,) = (await opened.reading.oldest_dead("r.a")).jobs
    assert (dead.content.payload, dead.payload_hidden) == (b"null", True)


async def test_a_refused_copy_does_not_name_the_queue_of_another_key(opened, new):
    as_(Ability.ADMIN, queues=("*",))
    await opened.set_interest("s.secret", "*")
    await opened.set_queue("s.secret", QueueSettings(capacity_jobs=0), whole=True)
    with pytest.raises(QueueFull) as refused:
        await opened.publish(new("x", b"{}"))
    assert refused.value.queue == "s.secret"
    as_(Ability.PUBLISH)
    with pytest.raises(QueueFull) as refused:
        await opened.publish(new("x", b"{}"))
    assert "secret" not in f"{refused.value.detail} {refused.value.fields}"
    assert refused.value.retry_after_ms


async def test_idempotency_keys_over_several_queues_are_separate_for_keys_that_see_only_some(opened, new):
    as_(Ability.PRODUCE, queues=("s.*",))
    await opened.enqueue([new("s.a")], IdempotencyKey("", "order-1", b"theirs"))
    CALLER.set(Caller(Key("key-2", "other", (Ability.PRODUCE,), ("r.*",), (b"x",), 0)))
    mine = await opened.enqueue([new("r.a")], IdempotencyKey("", "order-1", b"mine"))
    assert not mine.duplicate
    again = await opened.enqueue([new("r.a")], IdempotencyKey("", "order-1", b"mine"))
    assert (again.duplicate, again.jobs[0].id) == (True, mine.jobs[0].id)
    as_(Ability.ADMIN, queues=("*",))
    assert not (await opened.enqueue([new("r.a")], IdempotencyKey("", "order-1", b"of all"))).duplicate
