"""`holdfast check` finds every kind of damage that is planted, and a backup is one consistent moment."""

import asyncio

import apsw
import pytest

from holdfast.clock import ManualClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.engine.engine import Engine
from holdfast.job.job import Extras, NewJob, UniqueWhile
from holdfast.job.queue import QueuePolicy
from holdfast.stores.sqlite import copies, maintenance
from holdfast.stores.sqlite.files import UnfitPlace
from holdfast.stores.sqlite.store import SqliteStore


@pytest.fixture
async def path(tmp_path):
    """A closed store with jobs in several states: 7 to 11 have keys and groups; 8 and 9 run, 11 is held behind 10."""
    backend = LocalBackend(SqliteStore(tmp_path / "jobs.db", QueuePolicy()), ManualClock())
    backend.start()
    engine = Engine(backend)
    await engine.enqueue([NewJob("q", b"1") for _ in range(5)])
    await engine.enqueue([NewJob("q", b"1", delay_ms=60_000)])
    await engine.lease(("q",), 2)
    keys = {"unique_key": "let-go", "unique_while": UniqueWhile.QUEUED}
    await engine.enqueue([NewJob("q", b"1", delay_ms=60_000, extras=Extras(**(keys | {"unique_key": "while-queued"})))])
    await engine.enqueue([NewJob("run", b"1", extras=Extras(**keys))])
    await engine.enqueue([NewJob("run", b"1", extras=Extras(unique_key="runs", group_key="r"))])
    await engine.lease(("run",), 2)
    await engine.enqueue([NewJob("q", b"1", extras=Extras(group_key="g")) for _ in range(2)])
    await backend.stop()
    return tmp_path / "jobs.db"


def test_a_sound_file_has_no_problems(path):
    assert maintenance.check(path) == []


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("DELETE FROM ready WHERE job = (SELECT max(job) FROM ready)", "every job in one state"),
        (
            "INSERT INTO scheduled(job, queue, ready_at, priority, attempt, failures, crashes) VALUES (1, 1, 0, 0, 0, 0, 0)",
            "every job in one state",
        ),
        ("DELETE FROM job WHERE id = 3", "every state has its job"),
        ("UPDATE job SET size = 9223372036854775807", "sizes can be: job 1 has 9223372036854775807 bytes"),
        ("UPDATE job SET type = CAST(x'ff' AS TEXT) WHERE id = 3", "text can be read: job 3 has the type "),
        ("UPDATE leased SET worker = CAST(x'ff' AS TEXT) WHERE job = 2", "text can be read: leased 2 has the worker "),
        ("UPDATE queue SET name = CAST(x'ff' AS TEXT), ready = 77 WHERE name = 'q'", "tallies agree: queue \ufffd counts"),
        (
            "UPDATE unique_key SET key = CAST(x'ff' AS TEXT) WHERE key = 'runs'",
            "unique keys agree: job 9 should not hold the key \ufffd",
        ),
        ("INSERT INTO schedule VALUES (CAST(x'ff' AS TEXT), 0, 0, x'ff')", "text can be read: schedule \ufffd has the name "),
        ("UPDATE counter SET value = 1 WHERE name = 'job'", "counters are ahead"),
        ("UPDATE counter SET value = 0 WHERE name = 'fence'", "counters are ahead"),
        ("UPDATE queue SET ready = ready + 1", "tallies agree"),
        ("UPDATE queue SET bytes = bytes - 1", "tallies agree"),
        ("DELETE FROM unique_key WHERE key = 'while-queued'", "unique keys agree: job 7 should hold the key while-queued"),
        ("DELETE FROM unique_key WHERE key = 'runs'", "unique keys agree: job 9 should hold the key runs"),
        ("UPDATE unique_key SET job = 1 WHERE key = 'runs'", "unique keys agree: job 1 should not hold the key runs"),
        ("UPDATE unique_key SET key = 'other' WHERE key = 'runs'", "unique keys agree: job 9 should hold the key runs"),
        (
            "INSERT INTO unique_key(queue, key, job) VALUES (1, 'let-go', 8)",
            "unique keys agree: job 8 should not hold the key let-go",
        ),
        ("DELETE FROM group_place WHERE group_key = 'g'", "group places agree: job 10 should have a place in the group g"),
        ("DELETE FROM group_place WHERE group_key = 'r'", "group places agree: job 9 should have a place in the group r"),
        (
            "INSERT INTO group_place(queue, group_key, job) VALUES (1, 'g', 11)",
            "group places agree: job 11 should have no place in the group g",
        ),
        (
            "UPDATE group_place SET group_key = 'h' WHERE group_key = 'g'",
            "group places agree: job 10 should have no place in the group h",
        ),
    ],
)
def test_damage_is_found_and_named(path, damage, says):
    connection = apsw.Connection(str(path))
    connection.execute(damage)
    connection.close()
    assert any(problem.startswith(says) for problem in maintenance.check(path))


def test_a_file_with_broken_pages_is_not_called_sound(path):
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 + 8 : page * 4096 + 64] = b"\xff" * 56
    path.write_bytes(content)
    try:
        problems = maintenance.check(path)
    except UnfitPlace as error:
        problems = [str(error)]
    assert problems


async def test_a_backup_under_load_has_everything_that_was_answered_before_it_began(tmp_path):
    backend = LocalBackend(SqliteStore(tmp_path / "jobs.db", QueuePolicy()), ManualClock())
    backend.start()
    engine = Engine(backend)
    answered: list[int] = []

    async def push() -> None:
        while True:
            answered.extend(receipt.id for receipt in (await engine.enqueue([NewJob("q", b'"%b"' % (b"x" * 500))] * 20)).jobs)

    pushing = asyncio.create_task(push())
    while len(answered) < 200:
        await engine.reading.stats_of_store()
    before = list(answered)
    await asyncio.to_thread(copies.backup, tmp_path / "jobs.db", tmp_path / "copy.db")
    pushing.cancel()
    await asyncio.gather(pushing, return_exceptions=True)
    await backend.stop()
    copy = apsw.Connection(str(tmp_path / "copy.db"))
    assert set(before) <= {job for (job,) in copy.execute("SELECT id FROM job")}
    assert maintenance.check(tmp_path / "copy.db") == []


def test_a_backup_never_overwrites_and_leaves_nothing_half_done(path, tmp_path):
    (tmp_path / "there.db").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        copies.backup(path, tmp_path / "there.db")
    assert (tmp_path / "there.db").read_bytes() == b"precious"
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE queue SET ready = ready + 1")
    connection.close()
    with pytest.raises(UnfitPlace, match="not sound"):
        copies.backup(path, tmp_path / "bad.db")
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith("bad.db")] == []
