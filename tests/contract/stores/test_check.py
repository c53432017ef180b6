"""What a check names on both stores beyond what a store file's own tests plant: contents that are none, rows that nothing stands behind, and
moments that only a clock that was ahead can have written.
"""

import re

import pytest

from holdfast.job.budget import Charge
from holdfast.job.job import IdempotencyKey, NewJob
from holdfast.messages.beanstalk_commands import PauseFor
from holdfast.messages.budget_commands import SetBudget
from holdfast.messages.commands import ConcludeLease, ExtendLease, FailLease, PauseQueue
from holdfast.messages.job_batches import MakeJobBatch
from holdfast.stores import check
from holdfast.stores.postgres import maintenance as database
from holdfast.stores.sqlite import copies, maintenance
from tests.contract.stores.conformance.conftest import new
from tests.contract.stores.test_spoiled_extras import InDatabase, InFile

CUT_OFF = '{"a":'
YEARS = 80 * 366 * 86_400_000


@pytest.fixture(params=[InFile, InDatabase], ids=["sqlite", "postgres"])
def place(request, tmp_path):
    return request.param(tmp_path)


async def filled(place):
    """1 has ended with a result and a follower, which is 5; 2 is leased and has progress; 3 failed and waits; 4 is a payload that is no JSON."""
    client = place.open()
    for _ in range(3):
        await client.put()
    ended, leased, failed = [granted.job for granted in await client.lease(limit=3)]
    await client.put_all([NewJob("q", b"\xff[", content_type="text/plain")])
    await client.do(ConcludeLease(ended.ref(), b"[1,2]", [new("other")]))
    await client.do(ExtendLease(leased.ref(), 60_000, b"[1]"))
    await client.do(FailLease(failed.ref(), "no", True, 3_600_000))
    await client.close()
    assert await place.check() == []


def bytes_of(place, text):
    return f"CAST('{text}' AS BLOB)" if isinstance(place, InFile) else f"convert_to('{text}', 'UTF8')"


@pytest.mark.parametrize(
    ("table", "column", "job", "says"),
    [
        ("job", "payload", 3, "payloads are what they say: job 3 has '{\"a\":': "),
        ("progress", "value", 2, "progress can be read: job 2 has '{\"a\":': "),
        ("ended", "result", 1, "results can be read: job 1 has '{\"a\":': "),
        ("ended", "followers", 1, "followers can be read: job 1 has '{\"a\":': "),
    ],
)
async def test_contents_that_are_none_are_named_and_stop_no_backup(place, table, column, job, says, tmp_path):
    await filled(place)
    key = "id" if table == "job" else "job"
    place.change(f"UPDATE {table} SET {column} = {bytes_of(place, CUT_OFF)} WHERE {key} = {job}")
    (problem,) = await place.check()
    assert problem.startswith(says)
    if isinstance(place, InFile):
        copies.backup(place._path, tmp_path / "copy.db")


async def test_contents_are_read_a_few_at_a_time_and_as_many_are_named_as_of_any_other_kind(place, monkeypatch):
    await filled(place)
    client = place.open()
    for _ in range(8):
        await client.put()
    await client.close()
    sizes, real = [], check.spoiled
    for module in (maintenance, database):
        monkeypatch.setattr(module, "CONTENTS_PAGE", 2)
        monkeypatch.setattr(module, "TOLD", 3)
        monkeypatch.setattr(module, "spoiled", lambda kind, decode, page: sizes.append(len(page)) or real(kind, decode, page))
    assert await place.check() == []
    assert sum(sizes) == 12 + 3
    assert max(sizes) == 2
    place.change(f"UPDATE job SET payload = {bytes_of(place, 'x')} WHERE content_type IS NULL")
    assert [line.split(":")[1].split()[1] for line in await place.check()] == ["1", "2", "3"]


ROWS = {
    "a queue": (
        "DELETE FROM queue WHERE name = 'other'",
        "every queue is there: queue N is not there; rows in table ready that name it: 1 (the first of job 5)",
    ),
    "a queue of another": (
        "UPDATE job SET queue = 999 WHERE id = 2",
        "queues agree: job 2 is leased in queue N and its own row is of queue N",
    ),
    "a job with progress": ("DELETE FROM job WHERE id = 2", "every note has its job: progress of job 2 has no row in job"),
    "a job with errors": ("DELETE FROM job WHERE id = 3", "every note has its job: an error of job 3 has no row in job"),
    "a job": ("DELETE FROM job WHERE id = 5", "every state has its job: ready job 5 has no row in job"),
}


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (
            "UPDATE job_batch SET pending = 5",
            "batches agree: batch 1 counts 5 0 0 0 but has 1 0 0 0",
        ),
        ("DELETE FROM job_batch_member", "batches agree: batch 1 counts 1 0 0 0 but has 0 0 0 0"),
        (
            "INSERT INTO job_batch_member(job_batch, job) VALUES (1, 77)",
            "every member has its job: batch 1 has the member 77 which is not there",
        ),
    ],
)
async def test_a_batch_that_counts_other_members_than_it_has_is_named(place, statement, says):
    client = place.open()
    await client.do(MakeJobBatch([new()]))
    await client.close()
    assert await place.check() == []
    place.change(statement)
    assert says in await place.check()


@pytest.mark.parametrize("what", ROWS)
async def test_rows_that_name_what_is_not_there_are_named(place, what):
    await filled(place)
    statement, says = ROWS[what]
    place.change(statement)
    assert says in [re.sub(r"queue \d+", "queue N", line) for line in await place.check()]


async def test_what_a_clock_that_was_far_ahead_has_left_is_named_with_what_mends_it(place, monkeypatch):
    client = place.open()
    client.clock.advance(YEARS)
    for _ in range(3):
        await client.put()
    concluded, _ = [granted.job for granted in await client.lease(limit=2, lease_ms=60_000)]
    await client.do(ConcludeLease(concluded.ref()))
    await client.put(delay_ms=1_000)
    await client.put_all([new("q")], IdempotencyKey("q", "once", b"d"))
    await client.do(PauseFor("q", 60_000))
    await client.close()
    found = await place.check()
    assert [line.split(", and becomes")[0].split(" until ")[0].split(", the last")[0] for line in found] == [
        "moments can be: job 4 of queue q was put while the clock was ahead",
        "moments can be: job 2 of queue q is leased",
        "moments can be: queue q is paused",
        "moments can be: queue q has jobs that ended in the future (1",
        "moments can be: answers to idempotency keys of q are from the future (1",
        "moments can be: entries of the audit log (several queues) are from the future (1",
    ]
    assert all("T" in line and "+00:00" in line for line in found)


async def test_a_moment_that_somebody_asked_for_is_no_fault(place):
    client = place.open()
    await client.put(run_at=client.now + YEARS)
    await client.close()
    assert await place.check() == []


async def test_a_size_that_cant_be_is_named(place):
    await filled(place)
    place.change("UPDATE job SET size = -1 WHERE id = 2")
    problems = await place.check()
    assert problems[0] == "sizes can be: job 2 has -1 bytes"
    assert len(problems) == 2
    assert problems[1].startswith("tallies agree: ")


async def test_an_audit_log_with_fewer_entries_than_were_written_is_named(place):
    client = place.open()
    await client.put()
    await client.do(PauseQueue("q", True))
    await client.do(PauseQueue("q", False))
    await client.close()
    assert await place.check() == []
    place.change("DELETE FROM audit WHERE id = ?", 1)
    (problem,) = await place.check()
    assert re.match(r"audit tally agrees: kept 2 bytes \d+ last 2 where there are 1 \d+ 2", problem)


@pytest.mark.parametrize(
    "by_queue",
    [
        '{"q":[1,2,5,0],"r":[2,2,5,0]}',
        '{"q":[2,2,5,0],"r":[1,1,5,0]}',
        '{"q":[2,3,5,0],"s":[1,1,5,0]}',
        '{"q":[2,3,5,0]}',
        "{}",
        "no",
    ],
)
async def test_an_account_that_counts_what_is_next_in_the_wrong_queue_is_named(place, by_queue):
    client = place.open()
    await client.do(SetBudget("few", 9))
    await client.put_all([new(queue, budgets=(Charge("few", "", cost),)) for queue, cost in (("q", 1), ("q", 2), ("r", 1))])
    await client.close()
    assert await place.check() == []
    place.change(f"UPDATE budget_account SET by_queue = '{by_queue}'")
    (problem,) = await place.check()
    assert "few/" in problem
    assert "next by queue" in problem
