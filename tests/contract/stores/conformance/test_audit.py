"""The audit log in a store: an entry for every managing verb, in the same transaction, bounded, and in the order of the
commits.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from holdfast import limits
from holdfast.auth.actor import Actor
from holdfast.committer import audit
from holdfast.errors import JobNotFound, QueueNotFound, WrongState
from holdfast.job.job import LEASED, Content, NewJob, State
from holdfast.job.queue import QueueSettings
from holdfast.job.schedule import ScheduleSpec
from holdfast.messages.audit import AuditEntry, AuditFilter, AuditPage, Bulk, ListAudit, Managed, RecordAudit, TrimAudit
from holdfast.messages.beanstalk_commands import KickJob, KickJobs, PauseFor
from holdfast.messages.budget_commands import BlockBudget, DeleteBudget, SetBudget
from holdfast.messages.commands import (
    AddJob,
    CancelJob,
    ConcludeLease,
    DeleteJob,
    DeleteQueue,
    DeleteSchedule,
    EditJob,
    MoveJob,
    PauseQueue,
    PauseSchedule,
    PauseType,
    PromoteJob,
    PurgeQueue,
    QuietWorker,
    RegisterWorker,
    RemoveWorkers,
    RetryJob,
    RunSchedule,
    SetInterest,
    SetQueue,
    SetSchedule,
    SettleJob,
    TakeBackLease,
)
from holdfast.messages.fair_commands import SetFairWeight
from holdfast.messages.job_batches import CancelJobBatch, MakeJobBatch
from holdfast.messages.key_commands import CreateKey, EditKey, RevokeKey, RotateKey
from holdfast.messages.operations import CancelOperation, PauseOperation, SetOperationRate, StartOperation
from holdfast.stores.postgres.transaction import PostgresTransaction
from holdfast.stores.sqlite.transaction import SqliteTransaction
from tests.contract.stores.conformance.conftest import StoreClient

ANNA = Actor("anna", "192.0.2.7", "http")
SECRET = "s3cret-7f1c"


async def entries(client: StoreClient, limit: int = 100, **filters: Any) -> list[AuditEntry]:
    page: AuditPage = await client.ask(ListAudit(limit, AuditFilter(**filters)))
    return page.entries


def all_managed(kind: type = Managed) -> Iterator[type]:
    """Every managing verb that there is."""
    for one in kind.__subclasses__():
        if one.__struct_config__.tag is not None:
            yield one
        yield from all_managed(one)


def told(entry: AuditEntry) -> tuple[str, str, str, str]:
    return entry.action, entry.queue, entry.target, entry.outcome


async def test_an_entry_says_who_did_what_to_which_job_when_and_from_where(client):
    await client.put("mail")
    client.clock.advance(5)
    await client.do(CancelJob(1, actor=ANNA))
    (entry,) = await entries(client)
    assert told(entry) == ("job.cancel", "mail", "1", "done")
    assert (entry.actor, entry.at, entry.done, entry.refused) == (ANNA, client.now, 1, 0)


async def test_every_managing_verb_has_its_entry(client):
    spec = ScheduleSpec(job=NewJob("q", SECRET.encode(), content_type="text/plain"), interval_ms=60_000)
    for _ in range(6):
        await client.put("q", SECRET.encode(), content_type="text/plain", delay_ms=60_000)
    await client.do(RegisterWorker("w-1", "w", ("q",)))
    verbs = [
        SetQueue("q", QueueSettings(capacity_jobs=99), whole=False),
        PauseQueue("q", True),
        PauseQueue("q", False),
        PauseType("q", "mail", True),
        PauseType("q", "mail", False),
        PauseFor("q", 1_000),
        PauseFor("q", 0),
        PromoteJob(1),
        TakeBackLease(1),
        EditJob(2, Content("", "text/plain", SECRET.encode()), priority=5),
        CancelJob(2),
        SettleJob(3, False, SECRET),
        RetryJob(3),
        MoveJob(4, "other"),
        DeleteJob(5),
        AddJob(NewJob("q", SECRET.encode(), content_type="text/plain")),
        KickJob(6),
        SettleJob(6, False, SECRET, None),
        KickJobs("q", True, 10),
        SetInterest("q", "*"),
        SetInterest("q", None),
        QuietWorker("w-1"),
        QuietWorker("w-1", stop=True),
        RemoveWorkers("w-1"),
        SetSchedule("s", spec, False),
        PauseSchedule("s", True),
        PauseSchedule("s", False),
        RunSchedule("s"),
        DeleteSchedule("s"),
        CancelJobBatch(0),
        SetBudget("b", 5, 1_000),
        BlockBudget("b", "k", 1_000),
        BlockBudget("b"),
        DeleteBudget("b", force=True),
        SetFairWeight("q", "k", 2),
        SetFairWeight("q", "k"),
        PurgeQueue("q", (State.READY, State.SCHEDULED, State.DEAD, State.CANCELLED), 0, 100),
        DeleteQueue("q"),
    ]
    theirs = (CreateKey, EditKey, RotateKey, RevokeKey)  # in test_access_keys.py
    theirs += (StartOperation, PauseOperation, CancelOperation, SetOperationRate)  # in test_operations.py
    assert {type(verb) for verb in verbs} == {*all_managed()} - {*theirs}
    for given in verbs:
        verb = given
        if isinstance(verb, TakeBackLease):
            await client.take()
        if isinstance(verb, CancelJobBatch):
            verb = replace(verb, id=(await client.do(MakeJobBatch([]))).id)
        await client.do(replace(verb, actor=ANNA))
    found = (await entries(client))[::-1]
    assert [(entry.action, entry.queue, entry.target, entry.note) for entry in found] == [
        ("queue.set", "q", "", "capacity_jobs 99"),
        ("queue.pause", "q", "", ""),
        ("queue.resume", "q", "", ""),
        ("type.pause", "q", "", "mail"),
        ("type.resume", "q", "", "mail"),
        ("queue.pause", "q", "", "for 1000 ms"),
        ("queue.resume", "q", "", ""),
        ("job.promote", "q", "1", ""),
        ("job.release_lease", "q", "1", ""),
        ("job.edit", "q", "2", "payload, priority"),
        ("job.cancel", "q", "2", ""),
        ("job.settle", "q", "3", "as dead"),
        ("job.retry", "q", "3", ""),
        ("job.move", "q", "4", "to other as job 7"),
        ("job.delete", "q", "5", ""),
        ("job.enqueue", "q", "", "as job 8"),
        ("job.kick", "q", "6", ""),
        ("job.settle", "q", "6", "as dead"),
        ("queue.kick", "q", "", "buried"),
        ("interest.set", "q", "", ""),
        ("interest.remove", "q", "", ""),
        ("worker.quiet", "", "w-1", ""),
        ("worker.stop", "", "w-1", ""),
        ("worker.remove", "", "w-1", ""),
        ("schedule.set", "q", "s", "every 60000 ms"),
        ("schedule.pause", "", "s", ""),
        ("schedule.resume", "", "s", ""),
        ("schedule.run", "q", "s", "as job 9"),
        ("schedule.delete", "", "s", ""),
        ("batch.cancel", "", "10", ""),
        ("budget.set", "", "b", "limit 5 per 1000 ms, burst 5"),
        ("budget.block", "", "b", "key k, for 1000 ms"),
        ("budget.unblock", "", "b", ""),
        ("budget.delete", "", "b", "by force"),
        ("queue.fair.set", "q", "k", "weight 2"),
        ("queue.fair.unset", "q", "k", ""),
        ("queue.purge", "q", "", "ready, scheduled, dead, cancelled"),
        ("queue.delete", "q", "", ""),
    ]
    assert {entry.outcome for entry in found} == {"done"}
    assert {entry.actor for entry in found} == {ANNA}
    assert [entry.id for entry in found] == list(range(found[0].id, found[0].id + len(found)))
    assert SECRET not in str(found)


async def test_commands_of_producers_and_workers_leave_no_entry(client):
    await client.put()
    job = await client.take()
    await client.do(ConcludeLease(job.ref()))
    await client.pass_time(1_000)
    assert await entries(client) == []


async def test_a_refusal_is_an_entry_with_its_code_and_the_queue_of_its_job(client):
    await client.put("mail")
    with pytest.raises(WrongState):
        await client.do(RetryJob(1, actor=ANNA))
    with pytest.raises(JobNotFound):
        await client.do(DeleteJob(77))
    with pytest.raises(QueueNotFound):
        await client.do(PauseQueue("none", True))
    assert [told(entry) for entry in await entries(client, outcome="refused")] == [
        ("queue.pause", "none", "", "queue_not_found"),
        ("job.delete", "", "77", "job_not_found"),
        ("job.retry", "mail", "1", "wrong_state"),
    ]
    assert {(entry.done, entry.refused) for entry in await entries(client)} == {(0, 1)}


async def test_each_verb_of_a_transaction_has_its_entry_in_order(client):
    await client.put()
    await client.together(PauseQueue("q", True), CancelJob(1), CancelJob(1), PauseQueue("q", False))
    found = [(entry.action, entry.outcome) for entry in (await entries(client))[::-1]]
    assert found == [("queue.pause", "done"), ("job.cancel", "done"), ("job.cancel", "wrong_state"), ("queue.resume", "done")]


async def test_of_many_refusals_some_are_stored_and_all_are_counted(client, monkeypatch):
    monkeypatch.setattr(audit, "AUDIT_REFUSALS_PER_S", 0)
    flood = limits.AUDIT_REFUSALS + 50
    await asyncio.gather(*[client.backend.submit(DeleteJob(1_000 + number)) for number in range(flood)])
    kept = len(await entries(client, limit=1_000))
    assert kept == limits.AUDIT_REFUSALS
    assert client.backend.totals.audit["unrecorded"] == flood - kept
    await client.do(TrimAudit(10**9, 10))
    (counted,) = await entries(client, action=audit.UNRECORDED)
    assert counted.refused == flood - kept
    await client.do(TrimAudit(10**9, 10))
    assert len(await entries(client, action=audit.UNRECORDED)) == 1


async def test_a_purge_in_several_steps_is_one_entry_with_its_count(client):
    await client.put_all([NewJob("q", b"1")] * 5)
    bulk = Bulk("one")
    first = await client.do(PurgeQueue("q", (State.READY,), 0, 3, bulk=bulk, actor=ANNA))
    (begun,) = await entries(client)
    assert (begun.done, begun.outcome) == (3, "going_on")
    await client.do(PurgeQueue("q", (State.READY,), first.up_to, 3, bulk=bulk, actor=ANNA))
    (ended,) = await entries(client)
    assert (ended.done, ended.outcome, ended.id, ended.at) == (5, "done", begun.id, begun.at)


async def test_a_bulk_change_is_one_entry_with_its_counts_of_done_and_refused(client):
    await client.put_all([NewJob("q", b"1")] * 4)
    await client.take()
    assert (await client.job(1)).state is LEASED
    bulk = Bulk("run", "all jobs with queue q", "q")
    await asyncio.gather(*[client.backend.submit(DeleteJob(number, bulk=bulk, actor=ANNA)) for number in (1, 2, 3, 4)])
    (entry,) = await entries(client)
    assert (entry.target, entry.queue, entry.done, entry.refused, entry.outcome) == ("all jobs with queue q", "q", 3, 1, "done")


async def test_a_caller_cannot_add_to_the_entry_of_another_by_the_same_run(client):
    await client.put_all([NewJob("q", b"1")] * 4)
    bulk = Bulk("run", "selected jobs")
    await client.do(DeleteJob(1, bulk=bulk, actor=ANNA))
    (first,) = await entries(client)
    await client.do(DeleteJob(2, bulk=Bulk(first.run, "selected jobs"), actor=ANNA))
    await client.do(DeleteJob(3, bulk=bulk, actor=Actor("bert", "192.0.2.7", "http")))
    await client.do(CancelJob(4, bulk=bulk, actor=ANNA))
    assert [(entry.action, entry.actor.name, entry.done) for entry in (await entries(client))[::-1]] == [
        ("job.delete", "anna", 1),
        ("job.delete", "anna", 1),
        ("job.delete", "bert", 1),
        ("job.cancel", "anna", 1),
    ]


async def test_a_run_cannot_hide_what_was_changed(client):
    for queue in ("scratch", "payroll"):
        await client.put_all([NewJob(queue, b"1")] * 2)
        await client.do(SetSchedule(queue, ScheduleSpec(NewJob(queue, b"1"), interval_ms=60_000), False))
    before = len(await entries(client))
    lie = Bulk("run", "nothing of note", "scratch")
    for number in (1, 2, 3, 4):
        await client.do(DeleteJob(number, bulk=lie))
    for name in ("scratch", "payroll"):
        await client.do(PurgeQueue(name, ("ready",), 0, 10, bulk=lie))
        await client.do(DeleteSchedule(name, bulk=lie))
        await client.do(SetQueue(name, QueueSettings(), whole=True, bulk=lie))
    await client.do(SetQueue("payroll", QueueSettings(max_attempts=1), whole=True, bulk=lie))
    new = (await entries(client))[: -before or None]
    assert [(entry.action, entry.queue, entry.target, entry.done) for entry in new[::-1]] == [
        ("job.delete", "scratch", "nothing of note", 2),
        ("job.delete", "payroll", "nothing of note", 2),
        ("queue.purge", "scratch", "", 0),
        ("schedule.delete", "", "scratch", 1),
        ("queue.set", "scratch", "", 1),
        ("queue.purge", "payroll", "", 0),
        ("schedule.delete", "", "payroll", 1),
        ("queue.set", "payroll", "", 1),
        ("queue.set", "payroll", "", 1),
    ]


async def test_entries_are_found_by_caller_action_target_outcome_and_time(client):
    await client.put("mail")
    await client.put("sms")
    await client.do(CancelJob(1, actor=ANNA))
    client.clock.advance(1_000)
    await client.do(CancelJob(2, actor=Actor("bert", "192.0.2.8", "web")))
    client.clock.advance(1_000)
    await client.do(PauseQueue("mail", True, actor=ANNA))
    now = client.now

    async def found(**filters: Any) -> list[str]:
        return [f"{entry.action} {entry.queue}" for entry in await entries(client, **filters)]

    assert await found(who="anna") == ["queue.pause mail", "job.cancel mail"]
    assert await found(who="192.0.2.8") == ["job.cancel sms"]
    assert await found(action="job") == ["job.cancel sms", "job.cancel mail"]
    assert await found(action="queue.pause") == ["queue.pause mail"]
    assert await found(queue="sms") == ["job.cancel sms"]
    assert await found(job=1) == ["job.cancel mail"]
    assert await found(text="ail", action="job") == ["job.cancel mail"]
    assert await found(since=now - 1_000) == ["queue.pause mail", "job.cancel sms"]
    assert await found(until=now - 1_000) == ["job.cancel mail"]
    assert await found(outcome="refused") == []
    assert await found(outcome="done", who="anna", queue="mail", action="job.cancel") == ["job.cancel mail"]


async def test_pages_in_both_directions_have_each_entry_once(client, monkeypatch):
    monkeypatch.setattr("holdfast.stores.audit_rows.AUDIT_SCANNED", 4)
    await client.put()
    for number in range(11):
        await client.do(PauseQueue("q", number % 2 == 0))
    back: list[int] = []
    cursor: int | None = limits.ID_MAX
    while cursor is not None:
        page = await client.ask(ListAudit(3, AuditFilter(action="queue.pause"), before=cursor))
        back += [entry.id for entry in page.entries]
        cursor = page.cursor
    assert back == [11, 9, 7, 5, 3, 1]
    ahead: list[int] = []
    cursor = 0
    while cursor is not None:
        page = await client.ask(ListAudit(3, after=cursor))
        ahead += [entry.id for entry in page.entries]
        cursor = page.cursor
    assert ahead == list(range(1, 12))


async def test_old_entries_are_removed_in_chunks_and_counted(client):
    await client.put()
    for number in range(5):
        await client.do(PauseQueue("q", number % 2 == 0))
    client.clock.advance(10_000)
    await client.do(PauseQueue("q", False))
    first = await client.do(TrimAudit(5_000, 3))
    assert (first.count, first.more) == (3, True)
    second = await client.do(TrimAudit(5_000, 3))
    assert (second.count, second.more) == (2, False)
    page = await client.ask(ListAudit(10))
    assert [entry.id for entry in page.entries] == [6]
    assert (page.kept, page.removed) == (1, 5)
    assert page.kept_bytes > 0
    assert client.backend.totals.audit["removed"] == 5


@pytest.mark.parametrize("bound", ["AUDIT_ROWS", "AUDIT_BYTES"])
async def test_past_the_bound_the_oldest_entries_are_removed(client, monkeypatch, bound):
    await client.put()
    for number in range(6):
        await client.do(PauseQueue("q", number % 2 == 0))
    page = await client.ask(ListAudit(10))
    monkeypatch.setattr(audit, bound, 2 if bound == "AUDIT_ROWS" else page.kept_bytes // 3)
    await client.do(TrimAudit(10**9, 100))
    page = await client.ask(ListAudit(10))
    assert [entry.id for entry in page.entries] == [6, 5]
    assert page.removed == 4


async def test_the_id_of_a_removed_entry_is_not_used_again(lasting_place, reopen):
    client = await reopen(lasting_place)
    await client.put()
    await client.do(PauseQueue("q", True))
    client.clock.advance(10_000)
    await client.do(TrimAudit(5_000, 100))
    client = await reopen(lasting_place, client)
    await client.do(PauseQueue("q", False))
    assert [entry.id for entry in await entries(client)] == [2]
    await client.close()


async def test_entries_survive_a_restart(lasting_place, reopen):
    client = await reopen(lasting_place)
    await client.put()
    await client.do(CancelJob(1, actor=ANNA))
    before = await entries(client)
    client = await reopen(lasting_place, client)
    assert await entries(client) == before
    await client.close()


async def test_an_action_that_is_no_command_is_recorded_with_the_time_of_the_store(client):
    await client.do(
        RecordAudit(AuditEntry("login", target="anna", outcome="unauthorized", done=0, refused=1, actor=ANNA, at=5))
    )
    (entry,) = await entries(client)
    assert (entry.action, entry.at, entry.refused) == ("login", client.now, 1)


async def test_texts_that_a_store_cannot_hold_are_stored_with_replacement_characters(client):
    actor = Actor("\0\ud800" + "n" * 1_000, "x" * 1_000, "http")
    await client.do(RecordAudit(AuditEntry("login", target="t\0" + "t" * 5_000, actor=actor)))
    (entry,) = await entries(client)
    assert len(entry.target) == limits.AUDIT_CHARS
    assert len(entry.actor.name) == limits.AUDIT_NAME_CHARS
    assert "\0" not in entry.target + entry.actor.name


async def test_a_change_is_rolled_back_if_its_entry_cannot_be_written(client, monkeypatch):
    await client.put()

    async def broken(*_: Any) -> list[int]:
        raise RuntimeError("no entry")

    monkeypatch.setattr(PostgresTransaction if client.store.shared else SqliteTransaction, "write_audit", broken)
    result = await client.backend.submit(CancelJob(1))
    assert result.code == "internal_error"
    assert await client.state(1) is State.READY
