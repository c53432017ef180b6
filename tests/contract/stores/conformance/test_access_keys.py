"""Access keys on every store, and reads and changes that leave out what is out of scope."""

import pytest
from msgspec.structs import replace

from holdfast.auth import keys as rules
from holdfast.auth.keys import Ability, KeyChanges
from holdfast.auth.scope import Scope
from holdfast.errors import (
    Conflict,
    InvalidRequest,
    JobNotFound,
    KeyNotFound,
    LeaseLost,
    ScheduleNotFound,
    WorkerNotFound,
)
from holdfast.job.job import NewJob, State
from holdfast.job.schedule import ScheduleSpec
from holdfast.messages.audit import ListAudit
from holdfast.messages.commands import (
    BeatWorker,
    CancelJob,
    ConcludeLease,
    FailLease,
    LeaseJobs,
    RegisterWorker,
    RemoveWorkers,
    RunSchedule,
    SetInterest,
    SetSchedule,
)
from holdfast.messages.key_commands import CreateKey, EditKey, ListKeys, NoteKeyUse, RevokeKey, RotateKey
from holdfast.messages.queries import (
    CountJobs,
    ExplainJob,
    GetInterests,
    GetJob,
    GetStats,
    ListJobs,
    ListQueues,
    ListSchedules,
    ListWorkers,
    RecentFailures,
)

MINE = Scope(("exact",), ("r.",))


def create(name="ci", **fields):
    given = {"abilities": (Ability.READ, Ability.CONSUME), "queues": ("emails.*", "exact")} | fields
    return CreateKey(f"key-{name}", name, rules.hash_of(name), **given)


async def test_a_key_is_stored_as_it_was_created(client):
    made = await client.do(create(expires_ms=60_000, note='“ü” \\ "', sees_payloads=True, requests_per_s=5, parked=7))
    found = (await client.ask(ListKeys())).keys
    assert found == [made.key]
    assert (found[0].created_at, found[0].expires_at) == (client.now, client.now + 60_000)
    assert found[0].hashes == (rules.hash_of("ci"),)


async def test_each_change_increments_the_version(client):
    versions = [(await client.ask(ListKeys())).version]
    await client.do(create())
    versions.append((await client.ask(ListKeys())).version)
    await client.do(RotateKey("ci", rules.hash_of("2"), 5_000))
    versions.append((await client.ask(ListKeys())).version)
    await client.do(NoteKeyUse({"key-ci": 12_345, "key-gone": 1}))
    assert (await client.ask(ListKeys())).version == versions[-1], "the time of its last use is no change"
    await client.do(RevokeKey("key-ci"))
    versions.append((await client.ask(ListKeys())).version)
    assert versions == sorted(set(versions))
    assert (await client.ask(ListKeys(versions[-1]))).keys is None
    assert (await client.ask(ListKeys(versions[-2]))).keys == []


async def test_two_secrets_are_valid_after_a_rotation_and_never_three(client):
    await client.do(create())
    second = await client.do(RotateKey("key-ci", rules.hash_of("2"), 5_000))
    assert second.key.hashes == (rules.hash_of("2"), rules.hash_of("ci"))
    assert second.key.old_until == client.now + 5_000
    third = await client.do(RotateKey("ci", rules.hash_of("3"), 5_000))
    assert third.key.hashes == (rules.hash_of("3"), rules.hash_of("2"))
    last = await client.do(RotateKey("ci", rules.hash_of("4"), 0))
    assert (last.key.hashes, last.key.old_until) == ((rules.hash_of("4"),), None)
    assert (await client.ask(ListKeys())).keys == [last.key]


async def test_an_edit_changes_the_given_fields_and_nothing_else(client):
    made = (await client.do(create(expires_ms=60_000, requests_per_s=5, parked=7, note="old"))).key
    await client.do(NoteKeyUse({"key-ci": 500}))
    client.clock.advance(1_000)
    for changes, after in (
        ({"note": "new"}, {"note": "new"}),
        ({"queues": ("*",), "abilities": (Ability.READ,)}, {"queues": ("*",), "abilities": (Ability.READ,)}),
        ({"sees_payloads": False}, {"sees_payloads": False}),
        ({"expires_ms": 5_000, "parked": 9}, {"expires_at": client.now + 5_000, "parked": 9}),
        ({"expires_ms": None, "requests_per_s": None}, {"expires_at": None, "requests_per_s": None}),
    ):
        version = (await client.ask(ListKeys())).version
        made = replace(made, used_at=500, **after)
        assert (await client.do(EditKey("ci", KeyChanges(**changes)))).key == made
        found = await client.ask(ListKeys())
        assert (found.keys, found.version > version) == ([made], True)
    version = found.version
    assert (await client.do(EditKey("key-ci", KeyChanges(note="new")))).key == made
    assert (await client.ask(ListKeys())).version == version, "nothing was changed"


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("abilities", {"abilities": ()}),
        ("queues", {"queues": ("a*b",)}),
        ("expires_ms", {"expires_ms": 999}),
        ("sees_payloads", {"sees_payloads": False}),  # it may consume
        ("note", {"note": "x" * 501}),
        ("requests_per_s", {"requests_per_s": 0}),
        ("parked", {"parked": 0}),
    ],
)
async def test_an_edit_past_a_bound_is_refused_by_its_field_and_is_in_the_audit_log(client, field, changes):
    made = (await client.do(create())).key
    with pytest.raises(InvalidRequest) as refused:
        await client.do(EditKey("ci", KeyChanges(**changes)))
    assert refused.value.fields["field"] == field
    with pytest.raises(KeyNotFound):
        await client.do(EditKey("none", KeyChanges(**changes)))
    assert (await client.ask(ListKeys())).keys == [made]
    newest = (await client.ask(ListAudit(2))).entries
    assert [(entry.action, entry.target, entry.outcome) for entry in newest] == [
        ("key.edit", "none", "key_not_found"),
        ("key.edit", "ci", "invalid_request"),
    ]


async def test_the_last_use_never_goes_back(client):
    await client.do(create())
    await client.do(NoteKeyUse({"key-ci": 500}))
    await client.do(NoteKeyUse({"key-ci": 400}))
    assert (await client.ask(ListKeys())).keys[0].used_at == 500
    await client.do(RotateKey("ci", rules.hash_of("2")))
    assert (await client.ask(ListKeys())).keys[0].used_at == 500


async def test_a_name_can_be_used_once_and_again_after_its_key_is_revoked(client):
    await client.do(create())
    with pytest.raises(Conflict):
        await client.do(create())
    await client.do(RevokeKey("ci"))
    for command in (RevokeKey("ci"), RotateKey("ci", b"x")):
        with pytest.raises(KeyNotFound):
            await client.do(command)
    await client.do(create())


async def test_the_admin_key_is_created_once_and_follows_its_file(client):
    first = await client.do(create("admin", replace=True))
    version = (await client.ask(ListKeys())).version
    assert (await client.do(create("admin", replace=True))).key == first.key
    assert (await client.ask(ListKeys())).version == version, "the same again is no change"
    other = CreateKey("key-new", "admin", rules.hash_of("other"), (Ability.ADMIN,), ("*",), replace=True)
    changed = (await client.do(other)).key
    assert (changed.id, changed.hashes, changed.abilities) == (first.key.id, (rules.hash_of("other"),), (Ability.ADMIN,))
    assert (await client.ask(ListKeys())).keys == [changed]


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_ms": 1_000},
        {"abilities": (Ability.READ,)},
        {"queues": ("one",)},
        {"requests_per_s": 1},
        {"note": "mine"},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_the_admin_key_of_a_file_is_restored_after_any_edit(client, changes):
    """Else an edit could lock out everybody."""
    first = (await client.do(create("admin", replace=True))).key
    assert (await client.do(EditKey("admin", KeyChanges(**changes)))).key != first
    client.clock.advance(2_000)
    assert (await client.do(create("admin", replace=True))).key == replace(first, used_at=None)
    assert (await client.ask(ListKeys())).keys == [first]


async def test_a_repeated_request_gets_no_jobs_of_a_queue_that_its_key_lost(client, new):
    await client.put_all([new("r.a"), new("x.a")])
    whole = LeaseJobs(("r.a", "x.a"), 2, "w", request="again")
    first = (await client.do(whole)).jobs
    assert [one.job.queue for one in (await client.do(whole)).jobs] == [one.job.queue for one in first] == ["r.a", "x.a"]
    again, fresh = await client.together(
        LeaseJobs(("r.a",), 2, "w", request="again", scope=MINE),
        LeaseJobs(("r.a",), 2, "w", request="again", scope=Scope(("r.none",), ())),
    )
    assert [one.job.queue for one in again.jobs] == ["r.a"]
    assert fresh.jobs == []


async def test_an_invalid_key_is_refused(client):
    for wrong in (create("a b"), create(abilities=()), create(queues=()), create(queues=("a", "a")), create(expires_ms=0)):
        with pytest.raises(InvalidRequest):
            await client.do(wrong)
    assert (await client.ask(ListKeys())).keys == []


# Scopes


@pytest.fixture
async def house(client):
    """A job, a worker, a schedule and an interest in each of some queues: in scope by prefix, in scope by name, and others with
    similar names.
    """
    ids = {}
    for queue in ("r.a", "exact", "exact2", "r", "x.a"):
        ids[queue] = (await client.put(queue=queue)).id
        await client.do(SetInterest(queue, "*"))
        await client.do(RegisterWorker(f"w-{queue}", "", (queue,)))
        await client.do(SetSchedule(f"s-{queue}", ScheduleSpec(NewJob(queue, b"1"), interval_ms=60_000), False))
    await client.do(RegisterWorker("w-both", "", ("r.a", "x.a")))
    await client.do(SetSchedule("s-publish", ScheduleSpec(NewJob("r.a", b"{}"), publish=True, interval_ms=60_000), False))
    return ids


async def test_lists_have_only_what_the_scope_includes(client, house):
    async def listed(**options):
        return sorted(detail.job.queue for detail in (await client.ask(ListJobs(100, scope=MINE, **options))).jobs)

    assert await listed() == ["exact", "r.a"]
    assert await listed(state=State.READY, text="1") == ["exact", "r.a"]
    assert [info.name for info in (await client.ask(ListQueues(100, scope=MINE))).queues] == ["exact", "r.a"]
    first = await client.ask(ListQueues(1, scope=MINE))
    assert ([info.name for info in first.queues], first.after) == (["exact"], "exact")
    assert [info.name for info in (await client.ask(ListQueues(1, first.after, scope=MINE))).queues] == ["r.a"]
    assert sorted((await client.ask(GetInterests(scope=MINE))).interests) == ["exact", "r.a"]
    assert sorted(info.worker.id for info in (await client.ask(ListWorkers(scope=MINE))).workers) == ["w-exact", "w-r.a"]
    assert [one.name for one in (await client.ask(ListSchedules(100, scope=MINE))).schedules] == ["s-exact", "s-r.a"]
    assert (await client.ask(ListSchedules(1, name="s-x.a", scope=MINE))).schedules == []


async def test_counts_and_statistics_include_only_what_is_in_scope(client, house):
    assert (await client.ask(CountJobs(scope=MINE))).counts["ready"] == 2
    assert (await client.ask(CountJobs(text="1", scope=MINE))).counts["ready"] == 2
    stats = await client.ask(GetStats(scope=MINE))
    assert sorted(queue.info.name for queue in stats.queues) == ["exact", "r.a"]
    assert (stats.tally.ready, stats.all, stats.totals["enqueued"]) == (2, 2, 2)


async def test_pages_skip_what_is_out_of_scope(client):
    seen = []
    for number in range(30):
        job = await client.put(queue="r.a" if number % 3 == 0 else "x.a")
        if number % 3 == 0:
            seen.append(job.id)
    found, cursor = [], None
    while True:
        page = await client.ask(ListJobs(4, cursor=cursor, scope=MINE))
        found += [detail.job.id for detail in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == seen


async def test_a_job_out_of_scope_is_not_found(client, house):
    for question in (GetJob(house["x.a"], scope=MINE), ExplainJob(house["x.a"], scope=MINE)):
        with pytest.raises(JobNotFound):
            await client.ask(question)
    with pytest.raises(JobNotFound):
        await client.do(CancelJob(house["x.a"], scope=MINE))
    assert (await client.ask(GetJob(house["x.a"]))).job.state is State.READY
    assert (await client.do(CancelJob(house["r.a"], scope=MINE))).job.state is State.CANCELLED


async def test_the_scope_of_a_command_does_not_apply_to_others_of_its_batch(client, house):
    results = await client.together(
        CancelJob(house["x.a"], scope=MINE),
        CancelJob(house["exact2"]),
        CancelJob(house["r"], scope=MINE),
        CancelJob(house["exact"], scope=MINE),
    )
    assert [getattr(one, "code", "done") for one in results] == ["job_not_found", "done", "job_not_found", "done"]


async def test_a_lease_out_of_scope_is_lost(client, house):
    granted = await client.do(LeaseJobs(("x.a",), 1, ""))
    ref = granted.jobs[0].job.ref()
    with pytest.raises(LeaseLost):
        await client.do(ConcludeLease(ref, scope=MINE))
    await client.do(ConcludeLease(ref))
    with pytest.raises(LeaseLost):
        await client.do(ConcludeLease(ref, scope=MINE))


async def test_workers_and_schedules_out_of_scope_are_not_found(client, house):
    for worker in ("w-x.a", "w-both"):
        with pytest.raises(WorkerNotFound):
            await client.do(BeatWorker(worker, scope=MINE))
        with pytest.raises(WorkerNotFound):
            await client.do(LeaseJobs((), 1, worker, registered=True, scope=MINE))
        with pytest.raises(WorkerNotFound):
            await client.do(LeaseJobs(("r.a",), 1, worker, scope=MINE))
    assert (await client.do(LeaseJobs(("r.a",), 1, "w-", scope=MINE))).jobs, "a name that is nobody's is free"
    await client.do(BeatWorker("w-r.a", scope=MINE))
    for schedule in ("s-x.a", "s-publish"):
        with pytest.raises(ScheduleNotFound):
            await client.do(RunSchedule(schedule, scope=MINE))
    with pytest.raises(Conflict):
        await client.do(SetSchedule("s-x.a", ScheduleSpec(NewJob("r.a", b"1"), interval_ms=60_000), False, scope=MINE))


async def test_failures_include_only_what_is_in_scope(client, house):
    for queue in ("r.a", "x.a"):
        job = await client.take(queue)
        await client.do(FailLease(job.ref(), "x", False))
    assert [one.queue for one in (await client.ask(RecentFailures(10, scope=MINE))).jobs] == ["r.a"]


async def test_a_job_does_not_name_the_job_that_it_follows_if_that_is_out_of_scope(client, new):
    """Also if it is leased, changed or listed: there the queue of the other job is not read."""
    followers = {}
    for queue in ("r.a", "x.a"):
        await client.put(queue)
        parent = await client.take(queue)
        followers[queue] = (await client.do(ConcludeLease(parent.ref(), None, [new("r.b")]))).then[0].id
    for queue, job_id in followers.items():
        whole = (await client.ask(GetJob(job_id))).job.extras.follows
        assert whole is not None
        assert (await client.ask(GetJob(job_id, scope=MINE))).job.extras.follows == (whole if queue == "r.a" else None)
    assert [one.job.extras.follows for one in (await client.ask(ListJobs(10, queue="r.b", scope=MINE))).jobs] == [None, None]
    assert None not in [one.job.extras.follows for one in (await client.ask(ListJobs(10, queue="r.b"))).jobs]
    granted = (await client.do(LeaseJobs(("r.b",), 2, "", request="again", scope=MINE))).jobs
    granted += (await client.do(LeaseJobs(("r.b",), 2, "", request="again", scope=MINE))).jobs
    assert [one.job.extras.follows for one in granted] == [None] * 4
    assert (await client.do(CancelJob(followers["x.a"], scope=MINE))).job.extras.follows is None
    assert (await client.ask(GetJob(followers["x.a"]))).job.extras.follows is not None, "it is still stored"


async def test_why_counts_no_worker_out_of_scope(client, house):
    job = await client.put("r.b")
    facts = await client.ask(ExplainJob(job.id, scope=MINE))
    assert (facts.workers_on_queue, facts.workers) == (0, 2)
    assert (await client.ask(ExplainJob(job.id))).workers > 2


async def test_workers_out_of_scope_are_not_removed_by_a_queue_that_they_share(client, house):
    assert (await client.do(RemoveWorkers(None, "r.a", scope=MINE))).count == 1
    assert {"w-both", "w-x.a"} <= {info.worker.id for info in (await client.ask(ListWorkers())).workers}


async def test_a_schedule_moved_to_another_queue_does_not_name_jobs_of_the_former_queue(client, house):
    outside, inside = (ScheduleSpec(NewJob(queue, b"1"), interval_ms=60_000) for queue in ("x.a", "r.a"))
    await client.do(SetSchedule("moved", outside, False))
    (job,) = (await client.do(RunSchedule("moved"))).jobs
    again = (await client.do(SetSchedule("moved", outside, True))).schedule
    assert again.last_jobs == (job.id,)
    await client.do(SetSchedule("moved", inside, False))
    (seen,) = (await client.ask(ListSchedules(1, name="moved", scope=MINE))).schedules
    assert (seen.last_jobs, seen.fired) == ((), 1)
