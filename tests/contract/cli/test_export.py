"""`holdfast export` and `import`: what a store has as lines, and back, on both stores; a break costs nothing, and nothing is there twice."""

import base64
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cluster.postgres import server as postgres
from holdfast.cli.entry import main
from holdfast.cli.entry import main as every_command
from holdfast.units import counted, is_or_are
from tests.contract.cli.test_backup import is_refused
from tests.contract.cli.test_move import filled_store
from tests.system.whole.calls import conclude, lease, push
from tests.system.whole.load import Acknowledged, Load, everything_is_there

__all__ = ["filled_store"]
LEASED = {"state", "lease", "ready_at", "leased_at"}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with postgres(tmp_path_factory.mktemp("postgres"), settings={"fsync": "off"}) as one:
        yield one


@pytest.fixture(params=["file", "database"])
def place(request, tmp_path):
    """A store that does not exist yet."""
    if request.param == "file":
        return f"sqlite:///{tmp_path}/target.db"
    database = request.getfixturevalue("database")
    database.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")
    return database.url()


@pytest.fixture(scope="module")
def exported(filled_store, tmp_path_factory):
    """An export of the store with a bit of everything."""
    said = export(f"sqlite:///{filled_store[0]}")
    assert said.exit_code == 0, said.output
    path = tmp_path_factory.mktemp("exported") / "all.ndjson"
    path.write_bytes(said.stdout_bytes)
    return path


def export(store: str, *options: object) -> Result:
    return CliRunner().invoke(main, ["export", "--store", store, *map(str, options)])


def take(path: Path, store: str) -> Result:
    return CliRunner().invoke(main, ["import", str(path), "--store", store])


def things(lines: bytes, kind: str) -> list[Any]:
    return [line[kind] for line in map(json.loads, lines.splitlines()) if kind in line]


def written(path: Path, *lines: Any) -> Path:
    head = {"export": {"format": "holdfast-export-1", "holdfast": "0", "at": 1, "last_job": 100, "last_fence": 50}}
    path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in (head, *lines)))
    return path


def job(**fields: Any) -> dict[str, Any]:
    usual = {
        "id": 7,
        "queue": "q",
        "state": "ready",
        "priority": 1,
        "attempt": 0,
        "failures": 0,
        "crashes": 0,
        "max_attempts": 3,
    }
    return {"job": usual | {"created_at": 5, "ready_at": 5, "payload": "1"} | fields}


MANY = {"id": 1, "queue": "q", "priority": 1, "max_attempts": 1, "created_at": 1, "count": 1_000}
STATE = {"job": {"queue": "q", "payload": "MQ=="}, "created_at": 5, "next_at": 6, "interval_ms": 60_000}


def failed(attempt: int, **fields: Any) -> dict[str, Any]:
    return {"attempt": attempt, "at": 1, "worker": "w", "kind": "failed", "reason": "r"} | fields


def without(fields: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def is_sound(store: str) -> None:
    said = CliRunner().invoke(main, ["check", "--store", store])
    assert said.exit_code == 0, said.output


def test_everything_comes_back_as_it_was_but_for_leases(exported, place):
    said = take(exported, place)
    assert said.exit_code == 0, said.output
    is_sound(place)
    before, after = exported.read_bytes(), export(place).stdout_bytes
    for kind in ("queue", "schedule", "batch", "answer"):
        assert things(before, kind) == things(after, kind)
        assert things(before, kind)
    there = {one["id"]: one for one in things(after, "job")}
    states = set()
    for one in things(before, "job"):
        same, states = there.pop(one["id"]), states | {one["state"]}
        if one["state"] == "leased":
            assert (same["state"], same["attempt"], same["failures"], same["crashes"]) == ("ready", one["attempt"], 0, 0)
            assert without(one, LEASED) == without(same, LEASED)
        else:
            assert one == same
    assert there == {}
    assert states == {"scheduled", "ready", "leased", "concluded", "dead", "cancelled"}


def test_a_server_goes_on_with_what_was_imported(exported, filled_store, place, serve, tmp_path):
    _, held, first, _ = filled_store
    assert take(exported, place).exit_code == 0
    newest = max(one["id"] for one in things(exported.read_bytes(), "job"))
    with serve("--store", place, at=tmp_path / "home").client() as client:
        assert push(client, "q", "new")["id"] > newest
        assert client.get(f"/v1/jobs/{first['id']}").json()["payload"] == "kept"
        again = client.post("/v1/queues/q/jobs", json={"payload": "kept"}, headers={"Idempotency-Key": "once"})
        assert again.json()["id"] == first["id"], "a producer that did not hear of it repeats its call"
        assert conclude(client, held).status_code == 409, "its lease has not come along"
        assert client.post("/v1/queues/q/jobs", json={"payload": 1, "unique_key": "k"}).status_code == 409
        jobs = lease(client, "q", max=50)
        assert held["id"] in [one["id"] for one in jobs]
        assert len([one for one in jobs if one.get("group_key") == "g"]) == 1, "a group has as many places as it had"
        fence = int(held["lease"]["token"].split(".")[2])
        assert all(int(one["lease"]["token"].split(".")[2]) > fence for one in jobs)
        (failed,) = client.get("/v1/jobs", params={"state": "dead"}).json()["jobs"]
        assert [error["reason"] for error in client.get(f"/v1/jobs/{failed['id']}").json()["errors"]] == ["no"]
        assert lease(client, "many") == [], "it is paused"


def test_batches_go_on_where_they_were(exported, place, serve, tmp_path):
    assert take(exported, place).exit_code == 0
    outer, inner, over = things(exported.read_bytes(), "batch")
    with serve("--store", place, at=tmp_path / "home").client() as client:
        before = [client.get(f"/v1/batches/{one['id']}").json() for one in (outer, inner, over)]
        counts = [(one["state"], one["pending"], one["concluded"]) for one in before]
        assert counts == [("open", 2, 1), ("closed", 1, 0), ("finished", 0, 0)]
        assert before[2]["on_finish"]["state"] == "put"
        client.post(f"/v1/batches/{outer['id']}/close")
        for job in lease(client, "b", max=5):
            conclude(client, job)
        (job,) = [one for one in lease(client, "next", max=9) if one.get("batch") == outer["id"]]
        assert (job["closes"]["batch"], job["closes"]["concluded"]) == (inner["id"], 1)
        conclude(client, job)
        (job,) = [one for one in lease(client, "next", max=9) if "closes" in one]
        assert (job["payload"], job["closes"]["batch"], job["closes"]["concluded"]) == ([1], outer["id"], 3)


def test_the_same_file_twice_and_a_file_of_two_pieces_bring_each_job_once(exported, filled_store, place, tmp_path):
    lines = exported.read_bytes()
    jobs = len(things(lines, "job"))
    middle = things(lines, "job")[jobs // 2]["id"]
    cut = lines[: lines.index(b'{"job":{"id":%d,' % middle) + 40]
    (tmp_path / "cut.ndjson").write_bytes(cut)
    is_refused(
        take(tmp_path / "cut.ndjson", place),
        f"line {cut.count(bytes([10])) + 1}: it is not complete",
        "import the same file again to go on",
    )
    whole_lines = cut[: cut.rindex(b"\n") + 1]
    last = things(whole_lines, "job")[-1]["id"]
    rest = export(f"sqlite:///{filled_store[0]}", "--after", last)
    (tmp_path / "joined.ndjson").write_bytes(whole_lines + rest.stdout_bytes)
    assert [one["id"] for one in things(whole_lines + rest.stdout_bytes, "job")] == [one["id"] for one in things(lines, "job")]
    said = take(tmp_path / "joined.ndjson", place)
    assert said.exit_code == 0, said.output
    known = len(things(whole_lines, "job"))
    assert f"{counted(jobs - known, 'job')} {is_or_are(jobs - known)} imported" in said.stderr
    assert f"{known:,} {'was' if known == 1 else 'were'} there already" in said.stderr
    said = take(exported, place)
    assert (
        f"0 jobs are imported into {'the database' if 'postgres' in place else place.removeprefix('sqlite:///')}, {jobs:,} were there already"
        in said.stderr
    )
    assert [one["id"] for one in things(export(place).stdout_bytes, "job")] == [one["id"] for one in things(lines, "job")]
    is_sound(place)


def test_filters_by_queue_and_state(exported, filled_store, tmp_path):
    store = f"sqlite:///{filled_store[0]}"
    every = things(exported.read_bytes(), "job")
    some = export(store, "--queue", "q", "--queue", "large", "--state", "ready", "--state", "dead").stdout_bytes
    assert [one["id"] for one in things(some, "job")] == [
        one["id"] for one in every if one["queue"] in ("q", "large") and one["state"] in ("ready", "dead")
    ]
    assert {one["name"] for one in things(some, "queue")} == {"q", "large"}
    assert not things(some, "answer"), "it may name a job in another state"
    assert things(export(store, "--queue", "q").stdout_bytes, "answer")
    assert not things(export(store, "--queue", "large").stdout_bytes, "answer")
    assert things(some, "schedule"), "the one that enqueues to q"
    assert not things(export(store, "--queue", "large").stdout_bytes, "schedule")
    assert things(export(store, "--queue", "nobody").stdout_bytes, "job") == []


def test_an_export_of_a_database_is_that_of_the_file_that_was_moved_there(exported, filled_store, database):
    database.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")
    moved = CliRunner().invoke(main, ["move", "--from", f"sqlite:///{filled_store[0]}", "--to", database.url()])
    assert moved.exit_code == 0, moved.output
    said = export(database.url())
    assert said.exit_code == 0, said.output
    for kind in ("queue", "schedule", "answer", "job"):
        assert things(said.stdout_bytes, kind) == things(exported.read_bytes(), kind)


def test_no_secret_is_in_an_export(exported, filled_store):
    path, held, _, as_root = filled_store
    text = exported.read_text()
    assert held["lease"]["token"].split(".")[3] not in text
    assert as_root["authorization"].removeprefix("Bearer ") not in text
    with sqlite3.connect(path) as file:
        kept = [
            bytes(row[0])
            for row in file.execute(
                "SELECT secret FROM leased UNION SELECT secret FROM ended WHERE secret IS NOT NULL UNION SELECT secret FROM job_error"
            )
        ]
        (key,) = file.execute("SELECT value FROM access_key").fetchone()
    file.close()
    assert kept
    assert not [one for one in kept if one.hex() in text or base64.b64encode(one).decode() in text]
    assert json.loads(key)["secret"] not in text if "secret" in json.loads(key) else True


def test_payloads_come_back_byte_for_byte(serve, home, tmp_path):
    server = serve()
    payloads = [b'{ "a" : 1e999,\n "b": "\\u0000\xc3\xbc" }', b"123456789012345678901234567890", b'"' + b"x" * 200_000 + b'"']
    with server.client() as client:
        ids = []
        for one in payloads:
            body = b'{"payload": ' + one + b"}"
            ids.append(
                client.post("/v1/queues/q/jobs", content=body, headers={"Content-Type": "application/json"}).json()["id"]
            )
        for raw, kind in ((b"\x00\xff\n", "image/png"), (b"plain\ntext", "text/plain"), (b"", "text/plain")):
            ids.append(client.post("/v1/queues/q/jobs", content=raw, headers={"Content-Type": kind}).json()["id"])
    server.send(signal.SIGTERM)
    server.gone()
    store = home / "holdfast-data/jobs.db"
    (tmp_path / "all.ndjson").write_bytes(export(f"sqlite:///{store}").stdout_bytes)
    assert take(tmp_path / "all.ndjson", f"sqlite:///{tmp_path}/new.db").exit_code == 0
    with sqlite3.connect(store) as one, sqlite3.connect(tmp_path / "new.db") as other:
        query = "SELECT id, type, content_type, payload, size FROM job ORDER BY id"
        assert one.execute(query).fetchall() == other.execute(query).fetchall()
        assert len(one.execute(query).fetchall()) == len(ids)
    one.close()
    other.close()


def test_a_store_in_use_is_exported_under_load_with_every_job_acknowledged_before(serve, home, tmp_path):
    server = serve()
    load = Load(server)
    load.wait_for(pushes=300)
    before = Acknowledged(dict(load.acknowledged.pushed), {}, set(load.acknowledged.concluded))
    said = export(f"sqlite:///{home}/holdfast-data/jobs.db")
    load.wait_for(pushes=len(load.acknowledged.pushed) + 50)
    assert load.stop().unknown == [], "the server goes on meanwhile"
    assert said.exit_code == 0, said.output
    ids = [one["id"] for one in things(said.stdout_bytes, "job")]
    assert ids == sorted(set(ids))
    (tmp_path / "all.ndjson").write_bytes(said.stdout_bytes)
    assert take(tmp_path / "all.ndjson", f"sqlite:///{tmp_path}/new.db").exit_code == 0
    with serve("--store", f"sqlite:///{tmp_path}/new.db", at=tmp_path / "elsewhere").client() as client:
        everything_is_there(client, before)


def test_a_store_that_is_served_takes_no_import(exported, place, serve, tmp_path):
    serve("--store", place, at=tmp_path / "home")
    is_refused(take(exported, place), "in use", "Nothing was imported")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (job(priority=-1), "it can't be read"),
        (job(queue="no name"), "job.queue must be 1 to"),
        (job(payload="{"), "job.payload is not JSON"),
        (job(payload=None, payload_base64="AP8="), "job.payload is not JSON"),
        (job(payload=None), "either payload or payload_base64"),
        (job(max_attempts=0), "job.max_attempts must be from 1 to"),
        (job(type="x" * 1_000), "job.type must have at most"),
        (job(extras={"tags": ["x"] * 1_000}), "job.tags must have at most"),
        (job(extras={"later": 1}), "unknown field `later`"),
        (job(result="1"), "job.result does not belong to a job that is ready"),
        (job(result="{", state="concluded", ended_at=9), "job.result is not JSON"),
        (job(state="dead"), "job.ended_at belongs to a job that has ended, and this one is dead"),
        (job(ended_at=9), "job.ended_at belongs to a job that has ended, and this one is ready"),
        (job(lease={"worker": "w"}), "job.lease does not belong to a job that is ready"),
        (job(id=0), "`int` >= 1 - at `$.job.id`"),
        (job(id=(1 << 53) - 1_000_000_000), "`int` <= 9007198254740991 - at `$.job.id`"),
        (job(attempt=1 << 31), "`int` <= 2147483647 - at `$.job.attempt`"),
        (job(created_at=1 << 53), "`int` <= 9007199254740991 - at `$.job.created_at`"),
        (job(reason="\0"), "job.reason must not hold a NUL"),
        (job(extras={"worker": "\0"}), "job.worker must not hold a NUL"),
        (job(progress='"' + "x" * (64 << 10) + '"'), "job.progress has 65538 bytes; at most 65536"),
        (job(errors=[failed(1)] * 21), "at `$.job.errors`"),
        (job(errors=[failed(1), failed(1)]), "job.errors must have one entry for an attempt at most"),
        (job(errors=[failed(1, worker="\0")]), "job.errors[0].worker must not hold a NUL"),
        (job(errors=[failed(1, reason="x" * 8_193)]), "job.errors[0].reason must have at most 8192"),
        (job(errors=[failed(1, kind="odd")]), "job.errors[0].kind must be failed or crashed"),
        (job(state="concluded", ended_at=9, then=[MANY, MANY]), "there are more than 1000 receipts"),
        (
            {"answer": {"scope": "q", "key": "k", "digest": "AA==", "receipts": [MANY] * 11, "at": 1}},
            "more than 10000 receipts",
        ),
        (
            {"schedule": {"name": "s", "try_at": 1, "state": STATE | {"interval_ms": 1}}},
            "the schedule s can't be taken: interval_ms is 1",
        ),
        (
            {"schedule": {"name": "s", "try_at": 1, "state": STATE | {"timezone": "\0"}}},
            "schedule.timezone must not hold a NUL",
        ),
        (
            {"schedule": {"name": "s", "try_at": 1, "state": STATE | {"job": {"queue": "/", "payload": "MQ=="}}}},
            "schedule.job.queue must",
        ),
        ({"end": {"jobs": 1, "last": 1, "last_job": 1 << 53, "last_fence": 1}}, "at `$.end.last_job`"),
        (job(invented=1), "unknown field `invented`"),
        (job(state="leased"), "a leased job has a lease"),
        ({"queue": {"name": "q", "created_at": 1, "settings": {"lease_ms": 0}}}, "lease_ms must be from 1 to"),
        ({"queue": {"name": "q", "created_at": 1, "interest": {"(": "x"}}}, "line 4: "),
        ({"schedule": {"name": "s", "try_at": 1, "state": {"cron": "no"}}}, "the schedule s can't be read"),
        ({"answer": {"scope": "q", "key": "", "digest": "AA==", "receipts": [], "at": 1}}, "answer.key must be"),
        ({"answer": {"scope": "q", "key": "k", "digest": "AA==", "receipts": [1], "at": 1}}, "can't be read"),
        ({"job": None, "end": None}, "with one name of"),
        (
            {"export": {"format": "holdfast-export-9", "holdfast": "9", "at": 1, "last_job": 1, "last_fence": 1}},
            "this version of Holdfast reads holdfast-export-1",
        ),
        ("text", "it can't be read"),
    ],
)
def test_a_line_that_cant_be_taken_is_named_and_all_before_it_is_in(line, says, tmp_path):
    path = written(tmp_path / "some.ndjson", job(id=5), job(id=6), line, job(id=8))
    store = f"sqlite:///{tmp_path}/new.db"
    is_refused(take(path, store), "line 4: ", says, "2 jobs are in")
    assert [one["id"] for one in things(export(store).stdout_bytes, "job")] == [5, 6]
    is_sound(store)


def test_a_job_comes_with_what_its_queue_has_added_to_its_own_costs(place, tmp_path):
    own = [{"name": f"own-{n}", "cost": 1_000_000} for n in range(8)]
    added = [{"name": f"own-{n}", "cost": 1_000_000} for n in range(4)] + [{"name": f"added-{n}"} for n in range(4)]
    both = [{**one, "cost": 2_000_000} for one in own[:4]] + own[4:] + added[4:]
    budget = {"limit": 1_000_000, "created_at": 1}
    names = sorted({one["name"] for one in both})
    lines = [{"budget": {"name": name, **budget}} for name in names]
    path = written(tmp_path / "in", *lines, job(extras={"budgets": both, "queue_budgets": added}))
    assert "1 job" in take(path, place).output
    (again,) = things(export(place).stdout_bytes, "job")
    assert again["extras"] == {"budgets": both, "queue_budgets": added}
    is_sound(place)
    path = written(tmp_path / "more", *lines, job(extras={"budgets": both}))
    assert "at most 8 entries" in take(path, f"sqlite:///{tmp_path}/more.db").output


def test_two_jobs_with_one_unique_key_and_an_id_of_another_job_are_named(place, tmp_path):
    unique = {"extras": {"unique_key": "k"}}
    path = written(tmp_path / "some.ndjson", job(id=5, **unique), job(id=6), job(id=9, **unique))
    is_refused(take(path, place), "line 4: job 9 has the unique key 'k' of job 5", "2 jobs are in")
    path = written(tmp_path / "other.ndjson", job(id=4), job(id=6, created_at=99))
    is_refused(take(path, place), "line 3: job 6 is there already, and is another one", "1 job is in")
    is_sound(place)


def test_what_is_no_export_is_refused(tmp_path):
    store = f"sqlite:///{tmp_path}/new.db"
    for text in (b"", b"{}\n", b'{"job": {}}\n', b"\x00\xff\n"):
        (tmp_path / "some").write_bytes(text)
        is_refused(take(tmp_path / "some", store), "line 1: ", "Nothing was imported")
    (tmp_path / "some").write_bytes(json.dumps(job()).encode() + b"\n")
    is_refused(take(tmp_path / "some", store), "an export begins with a line")
    said = take(written(tmp_path / "cut", job()), store)
    assert said.exit_code == 1
    assert "1 job is imported" in said.stderr
    assert "the last line of an export is missing" in said.stderr
    assert CliRunner().invoke(main, ["import", str(tmp_path / "cut"), "--store", "memory"]).exit_code == 2
    assert export("memory").exit_code == 2
    is_refused(export(f"sqlite:///{tmp_path}/none.db"), "none.db")


def test_an_output_that_cant_be_written_says_how_to_go_on(filled_store):
    command = [sys.executable, "-m", "holdfast", "export", "--store", f"sqlite:///{filled_store[0]}"]
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        said = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert said.returncode == 1
    assert said.stderr == "holdfast: standard output can't be written (No space left on device).\n"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reading:
        assert reading.stdout is not None
        assert reading.stderr is not None
        some = reading.stdout.read(100_000)
        reading.stdout.close()
        told = reading.stderr.read().decode()
    assert reading.returncode == 1
    assert "standard output can't be written (Broken pipe)" in told
    found = re.search(r"([\d,]+) jobs are written, up to job (\d+)", told)
    assert found is not None
    assert whole(found[1]) >= some.count(b'{"job"') - 1
    assert "--after" in told


def whole(shown: str) -> int:
    """A number that is shown with its thousands apart."""
    return int(shown.replace(",", ""))


def test_an_import_that_is_killed_goes_on_where_it_was(place, tmp_path):
    jobs = 4_000
    path = written(tmp_path / "many.ndjson", *[job(id=number, payload=json.dumps("x" * 500)) for number in range(1, jobs + 1)])
    with path.open("ab") as file:
        file.write(json.dumps({"end": {"jobs": jobs, "last": jobs, "last_job": jobs, "last_fence": 50}}).encode() + b"\n")
    reading, writing = os.pipe()
    killed = subprocess.Popen(
        [sys.executable, "-m", "holdfast", "import", "-", "--store", place], stdin=reading, stderr=subprocess.PIPE, text=True
    )
    os.close(reading)
    text = path.read_bytes()
    os.write(writing, text[:60_000])
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(text[60_000 : len(text) // 2])
        pipe.flush()
        deadline = time.monotonic() + 30
        while not _jobs_in(place) and time.monotonic() < deadline:
            time.sleep(0.01)
        killed.kill()
        killed.wait()
    assert killed.stderr is not None
    killed.stderr.close()
    there = _jobs_in(place)
    assert 0 < there < jobs
    is_sound(place)
    said = take(path, place)
    assert said.exit_code == 0, said.output
    found = re.search(r"([\d,]+) jobs are imported .*, ([\d,]+) were there already", said.stderr)
    assert found is not None
    assert (whole(found[1]) + whole(found[2]), whole(found[2])) == (jobs, there)
    assert _jobs_in(place) == jobs
    is_sound(place)


def _jobs_in(place: str) -> int:
    said = export(place)
    return len(things(said.stdout_bytes, "job")) if said.exit_code == 0 else 0


@pytest.mark.parametrize("place", ["postgre://u@h/d", "sqlite://x.db", "sqlite:///", "foo", "memory", "postgresql://u@h"])
@pytest.mark.parametrize(
    "asked", [["export"], ["import", "-"], ["restore", "."], ["key", "ls"], ["key", "create", "--name", "k", "--can", "read"]]
)
def test_a_word_that_names_no_store_is_refused_and_makes_no_file(monkeypatch, tmp_path, asked, place):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(every_command, [*asked, "--store", place], input="")
    assert done.exit_code in (1, 2), done.output
    assert "sqlite:///PATH" in done.output or "memory" in done.output or "PostgreSQL" in done.output
    assert list(tmp_path.iterdir()) == []
