"""`holdfast move`: a store becomes another one, whole; its workers end their leases there."""

import json
import re
import shutil
import sqlite3

import psycopg
import pytest
from click.testing import CliRunner, Result

from cluster.postgres import server as postgres
from holdfast.cli.entry import main
from tests.contract.cli.test_access_keys import run as command
from tests.system.whole.calls import conclude, lease, push
from tests.system.whole.servers import Server


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with postgres(tmp_path_factory.mktemp("postgres"), settings={"fsync": "off"}) as one:
        yield one


@pytest.fixture
def empty(database):
    """The URL of a database in which nothing is."""
    database.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")
    return database.url()


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["move", *map(str, words)])


def is_refused(said: Result, *words: str, code: int = 1) -> None:
    """This exit code, one line on standard error that has these words, no traceback."""
    assert said.exit_code == code, said.output
    assert said.stderr.startswith("holdfast: ")
    assert said.stderr.count("\n") == 1, said.stderr
    for word in words:
        assert word in said.stderr


@pytest.fixture(scope="module")
def filled_store(tmp_path_factory):
    """The file of a stopped server with a bit of everything; the job that a worker of it still holds, the answer to a keyed call, and an access key."""
    server = Server(tmp_path_factory.mktemp("filled")).start()
    with server.client() as client:
        for n in range(600):
            push(client, "many", {"n": n, "ü": "x" * 50}, priority=n % 30)
        first = client.post("/v1/queues/q/jobs", json={"payload": "kept"}, headers={"Idempotency-Key": "once"}).json()
        for n in range(3):
            push(client, "q", n, group_key="g", tags=["a"], lease_ms=600_000)
        push(client, "q", "unique", unique_key="k", delay_ms=3_600_000, expires_at="2999-01-01T00:00:00Z")
        client.post("/v1/queues/q/jobs", content=b"\x00\xff", headers={"Content-Type": "image/png"})
        push(client, "large", "x" * 900_000)
        push(client, "large", "y" * 900_000)
        held, done, failed, retried = lease(client, "q", max=4, lease_ms=600_000)[:1] + lease(client, "many", max=3)
        assert held["id"] == first["id"]
        conclude(client, held, "extend", progress={"half": True}, lease_ms=600_000)
        conclude(client, done, result={"done": [1]}, then=[{"queue": "next", "payload": "follow-up"}])
        conclude(client, failed, "fail", reason="no", retry=False)
        conclude(
            client, retried, "fail", reason="again", error={"class": "E", "message": "ü", "traceback": "\n  at f (x.js:1)"}
        )
        cancelled = push(client, "q", "cancel me")
        assert client.post(f"/v1/jobs/{cancelled['id']}/cancel").status_code == 200
        assert client.put("/v1/interests/q", json={"match": {"kind": "a*"}}).status_code in (200, 201, 204)
        assert client.put("/v1/queues/many", json={"capacity_jobs": 5_000, "retention_ms": None}).status_code in (200, 201)
        assert client.post("/v1/queues/many/pause").status_code == 200
        schedule = {"interval_ms": 3_600_000, "queue": "q", "payload": 1, "expires_in_ms": 60_000}
        answered = client.put("/v1/schedules/hourly", json=schedule)
        assert answered.status_code in (200, 201), answered.text
        assert client.put("/v1/queues/q/types/newsletter", json={"paused": True}).json()["paused_types"] == ["newsletter"]
        assert client.put("/v1/budgets/one", json={"limit": 1}).status_code == 200
        for n in range(3):
            push(client, "paid", n, budgets=[{"name": "one", "key": "k"}])
        assert client.put("/v1/queues/shared", json={"fair": True}).status_code in (200, 201)
        assert client.put("/v1/queues/shared/fair/a", json={"weight": 4}).status_code == 200
        for key in "ab":
            push(client, "shared", key, fair_key=key)
        worker = client.post("/v1/workers", json={"name": "w", "queues": ["q"], "types": ["mail", ""]})
        assert client.post("/v1/operations", json={"do": "promote", "filter": {"queue": "next"}}).status_code == 202
        assert worker.status_code in (200, 201), worker.text
        outer = {"name": "outer", "jobs": [{"queue": "b"}] * 2, "on_finish": {"queue": "next", "payload": [1]}}
        outer = client.post("/v1/batches", json=outer).json()["id"]
        inner = {
            "jobs": [{"queue": "b"}],
            "closed": True,
            "on_success": {"queue": "next", "batch": outer},
            "on_failure": {"queue": "next"},
        }
        assert client.post("/v1/batches", json=inner, headers={"Idempotency-Key": "inner"}).status_code == 201
        conclude(client, lease(client, "b")[0])
        assert client.post("/v1/batches", json={"closed": True, "on_finish": {"queue": "next"}}).status_code == 201
    server.send(15)
    assert server.ended() == 0
    server.destroy()
    path = server.home / "holdfast-data/jobs.db"
    secret, _ = command("key", "create", "--store", f"sqlite:///{path}", "--name", "root", "--can", "admin")
    return path, held, first, {"authorization": f"Bearer {secret}"}


@pytest.fixture
def file(filled_store, tmp_path):
    """A copy of it of one's own."""
    copy = tmp_path / "jobs.db"
    shutil.copy(filled_store[0], copy)
    return copy


def test_a_lease_of_before_the_move_is_concluded_after_it_and_numbers_go_on(file, filled_store, empty, serve, tmp_path):
    _, held, first, as_root = filled_store
    said = run("--from", f"sqlite:///{file}", "--to", empty)
    assert said.exit_code == 0, said.output
    server = serve("--store", empty, at=tmp_path / "moved")
    with server.client() as client:
        assert client.get("/v1/queues").status_code == 401  # its access keys have come along
    with server.client(headers=as_root) as client:
        assert client.get(f"/v1/jobs/{held['id']}").json()["state"] == "leased"
        assert client.get(f"/v1/jobs/{held['id']}").json()["progress"] == {"half": True}
        again = client.post("/v1/queues/q/jobs", json={"payload": "kept"}, headers={"Idempotency-Key": "once"})
        assert again.json()["id"] == first["id"]  # the same key, the same answer as before the move
        newest = max(job["id"] for job in client.get("/v1/jobs", params={"limit": 1_000}).json()["jobs"])
        assert push(client, "new", 1)["id"] > newest
        assert client.post("/v1/queues/q/jobs", json={"payload": 1, "unique_key": "k"}).status_code == 409
        assert lease(client, "many") == []  # it is paused
        assert client.post("/v1/queues/many/resume").status_code == 200
        jobs = lease(client, "many", max=100)
        assert [job["priority"] for job in jobs] == sorted(job["priority"] for job in jobs)
        fence = int(held["lease"]["token"].split(".")[2])
        assert all(int(job["lease"]["token"].split(".")[2]) > fence for job in jobs)
        assert conclude(client, held, result="late").status_code == 200
        assert client.get("/v1/schedules/hourly").status_code == 200
        assert [worker["name"] for worker in client.get("/v1/workers").json()["workers"]] == ["w"]
        assert lease(client, "next", max=5)[0]["payload"] == "follow-up"
    assert CliRunner().invoke(main, ["check", "--store", empty]).exit_code == 0


def test_the_report_has_every_queue_and_table_on_both_sides(file, empty):
    said = run("--from", f"sqlite:///{file}", "--to", empty, "--json")
    assert said.exit_code == 0, said.output
    report = json.loads(said.stdout)
    assert (report["moved"], report["differences"]) == (True, [])
    rows = {row["table"]: row for row in report["tables"]}
    with sqlite3.connect(file) as other:
        for table, row in rows.items():
            assert row["rows_from"] == row["rows_to"] == other.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            assert row["sha256_from"] == row["sha256_to"]
    other.close()
    empty_ones = {table for table, row in rows.items() if not row["rows_from"]}
    assert empty_ones <= {"ready_for"}, "the store that is moved has a bit of everything"
    large = next(row for row in report["queues"] if row["queue"] == "large")
    assert (large["state"], large["jobs_to"], large["bytes_to"]) == ("ready", 2, 1_800_004)


def test_there_and_back_the_file_holds_the_same(file, empty, tmp_path):
    assert run("--from", f"sqlite:///{file}", "--to", empty).exit_code == 0
    back = tmp_path / "back.db"
    said = run("--from", empty, "--to", f"sqlite:///{back}", "--json")
    assert said.exit_code == 0, said.output
    with sqlite3.connect(file) as one, sqlite3.connect(back) as other:
        for row in json.loads(said.stdout)["tables"]:
            query = f"SELECT * FROM {row['table']} ORDER BY 1, 2"
            assert one.execute(query).fetchall() == other.execute(query).fetchall()
        counters = "SELECT * FROM counter ORDER BY name"
        assert one.execute(counters).fetchall() == other.execute(counters).fetchall()
    one.close()
    other.close()
    assert CliRunner().invoke(main, ["check", str(back)]).exit_code == 0
    assert back.stat().st_mode & 0o777 == 0o600
    assert not back.with_name("back.db.part").exists()


def test_a_dry_run_says_what_would_be_moved_and_changes_nothing(file, empty, database, tmp_path):
    before = file.read_bytes()
    said = run("--from", f"sqlite:///{file}", "--to", empty, "--dry-run", "--json")
    assert said.exit_code == 0, said.output
    report = json.loads(said.stdout)
    assert (report["dry_run"], report["moved"]) == (True, False)
    assert next(row["rows_from"] for row in report["tables"] if row["table"] == "job") > 600
    assert file.read_bytes() == before
    assert report["can_be_moved"] is True
    assert not database.sql("SELECT 1 FROM pg_namespace WHERE nspname = 'holdfast'", database="holdfast")


def test_a_dry_run_ends_with_a_verdict_and_the_move_with_the_same(file, empty, database, tmp_path):
    new = f"sqlite:///{tmp_path}/new.db"
    for origin, goal in ((f"sqlite:///{file}", new), (f"sqlite:///{file}", empty), (empty, f"sqlite:///{tmp_path}/back.db")):
        said = run("--from", origin, "--to", goal, "--dry-run")
        assert said.exit_code == 0, said.output
        assert re.fullmatch(r"It can be moved: \d{3} jobs in \d queues?. Nothing was changed.\n", said.stderr)
        assert run("--from", origin, "--to", goal).exit_code == 0


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_what_stops_a_move_stops_a_dry_run(file, empty, database, tmp_path, dry):
    from_file = ("--from", f"sqlite:///{file}", "--to")
    is_refused(run(*from_file, f"sqlite:///{tmp_path}/no/new.db", *dry), "is not there")
    is_refused(run(*from_file, f"sqlite:///{file}", *dry), "never overwrites")
    is_refused(run("--from", empty, "--to", f"sqlite:///{tmp_path}/new.db", *dry), "There is no store of Holdfast")
    is_refused(run(*from_file, empty, "--replicas", "1", *dry), "0 standbys are in sync")
    database.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")  # a move that was refused has made it
    database.sql("ALTER DATABASE holdfast OWNER TO postgres")
    try:
        is_refused(run(*from_file, empty, *dry), "can't be written")
    finally:
        database.sql("ALTER DATABASE holdfast OWNER TO holdfast")


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_source_that_is_not_sound_is_refused_before_anything_is_copied(file, empty, database, tmp_path, dry):
    with sqlite3.connect(file) as spoiling:
        (job,) = spoiling.execute("SELECT min(id) FROM job WHERE extras IS NOT NULL").fetchone()
        spoiling.execute("UPDATE job SET extras = '[null,1' WHERE id = ?", [job])
    spoiling.close()
    words = ("The source is not sound", f"job {job} of queue q has", "and 4 more", "`holdfast check`")
    is_refused(run("--from", f"sqlite:///{file}", "--to", empty, *dry), *words)
    is_refused(run("--from", f"sqlite:///{file}", "--to", f"sqlite:///{tmp_path}/new.db", *dry), *words)
    assert not (tmp_path / "new.db").exists()
    if database.value("SELECT to_regclass('holdfast.job') IS NOT NULL", database="holdfast"):
        assert database.value("SELECT count(*) FROM holdfast.job", database="holdfast") == 0


def test_a_target_that_holds_anything_is_refused_and_stays_as_it_is(file, empty, tmp_path):
    assert run("--from", f"sqlite:///{file}", "--to", empty).exit_code == 0
    for dry in ([], ["--dry-run"]):
        is_refused(run("--from", f"sqlite:///{file}", "--to", empty, *dry), "not empty", "job")
    there = tmp_path / "there.db"
    there.write_text("precious")
    is_refused(run("--from", empty, "--to", f"sqlite:///{there}"), "never overwrites")
    assert there.read_text() == "precious"


def test_a_store_that_a_server_uses_is_not_moved(serve, home, empty, tmp_path):
    serve()
    is_refused(run("--from", f"sqlite:///{home}/holdfast-data/jobs.db", "--to", empty), "in use by another server")
    serve("--store", empty, at=tmp_path / "node")
    is_refused(run("--from", empty, "--to", f"sqlite:///{tmp_path}/new.db"), "in use", "Stop its nodes")


def test_a_row_that_would_be_lost_is_named_and_nothing_is_moved(file, empty, database):
    """The target drops a job on its own: what is found there is not what was put there."""
    assert run("--from", f"sqlite:///{file}", "--to", empty).exit_code == 0  # the schema is there from now on
    with psycopg.connect(empty, autocommit=True) as broken:
        tables = (
            "job, queue, ready, held, leased, scheduled, ended, job_error, progress, unique_key, job_expiry, group_place, kept_answer,"
            " waiting, budget, budget_account, fair_line, fair_clock, fair_weight, job_batch, job_batch_closing, job_batch_member"
        )
        broken.execute(
            f"SET search_path = holdfast; TRUNCATE {tables}, interest, worker, schedule, audit, access_key, operation"
        )
        broken.execute(
            "CREATE FUNCTION holdfast.lose() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN IF new.id = 7 THEN RETURN NULL; END IF; new.type := CASE WHEN new.id = 9 THEN 'x' ELSE new.type END; RETURN new; END $$;"
            "CREATE TRIGGER lose BEFORE INSERT ON holdfast.job FOR EACH ROW EXECUTE FUNCTION holdfast.lose()"
        )
    said = run("--from", f"sqlite:///{file}", "--to", empty)
    assert said.exit_code == 1
    assert "DIFFERENT: job 7 is missing in the target" in said.stdout
    assert "DIFFERENT: job 9 differs in type" in said.stdout
    assert "DIFFERENT: queue many: " in said.stdout
    assert "nothing was moved" in said.stderr
    assert database.value("SELECT count(*) FROM holdfast.queue", database="holdfast") == 0


def test_a_command_that_makes_no_sense_is_refused(tmp_path):
    is_refused(run("--from", "memory", "--to", "postgresql://a@b/c"), "--from", "memory", code=2)
    is_refused(run("--from", f"sqlite:///{tmp_path}/none.db", "--to", f"sqlite:///{tmp_path}/new.db"), "is not there")
    nowhere = run("--from", "postgresql://a:secret@127.0.0.1:1/c", "--to", f"sqlite:///{tmp_path}/new.db")
    is_refused(nowhere, "can't be reached")
    assert "secret" not in nowhere.output


def test_a_database_that_was_damaged_is_found_out(file, empty, database):
    assert run("--from", f"sqlite:///{file}", "--to", empty).exit_code == 0
    damages = {
        "tallies agree": "UPDATE queue SET ready = ready + 1 WHERE name = 'many'",
        "every job in one state": "DELETE FROM ready WHERE job = (SELECT min(job) FROM ready)",
        "every state has its job": "DELETE FROM job WHERE id = (SELECT job FROM scheduled LIMIT 1)",
        "unique keys agree": "DELETE FROM unique_key",
        "group places agree": "DELETE FROM group_place",
        "counters are ahead": "SELECT setval('fence', 1)",
        "lines can be found": r"UPDATE queue SET ready_floors = '{}'",
    }
    assert CliRunner().invoke(main, ["check", "--store", empty]).exit_code == 0
    for check, damage in damages.items():
        with psycopg.connect(empty, autocommit=True) as breaking:
            breaking.execute("SET search_path = holdfast")
            breaking.execute(damage)
        said = CliRunner().invoke(main, ["check", "--store", empty])
        assert said.exit_code == 1
        assert f"{check}: " in said.stdout
