"""What the page on backups tells an operator to do, done: pg_dump and pg_restore, and pg_basebackup with the log up to a chosen moment."""

import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster.postgres import PostgresServer
from cluster.postgres import server as postgres
from cluster.processes import give, run, unprivileged, wait_until
from cluster.programs import find
from holdfast.cli.entry import main
from tests.system.whole.calls import conclude, lease, push

AHEAD = "SELECT setval('holdfast.job_id', nextval('holdfast.job_id') + 1000000000), setval('holdfast.fence', nextval('holdfast.fence') + 1000000000)"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    folder = tmp_path_factory.mktemp("postgres")
    archive = folder / "archive"
    archive.mkdir()
    give(archive)
    settings = {"archive_mode": "on", "archive_command": f"cp %p {archive}/%f"}
    with postgres(folder, settings=settings) as one:
        one.archive = archive
        yield one


def client_program(name: str) -> str:
    return str(Path(find()["pg_basebackup"]).parent / name)


@contextmanager
def worked_on(serve, database, folder: Path):
    """A node with a job in each state; the leases that its workers hold."""
    database.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")
    server = serve("--store", database.url(), at=folder)
    with server.client() as client:
        for n in range(50):
            push(client, "q", n, unique_key=f"k{n}", group_key=f"g{n % 5}", group_limit=3)
        push(client, "q", "later", delay_ms=3_600_000)
        held, done, failed = lease(client, "q", max=3, lease_ms=600_000)
        conclude(client, done, result="done")
        conclude(client, failed, "fail", reason="no", retry=False)
        yield client, held


def is_all_there(client, held, url: str) -> None:
    """Everything from before the copy, in its state; the lease of then is ended now."""
    jobs = client.get("/v1/jobs", params={"limit": 1_000}).json()["jobs"]
    states = [job["state"] for job in jobs]
    counts = {state: states.count(state) for state in sorted(set(states))}
    assert counts == {"concluded": 1, "dead": 1, "leased": 1, "ready": 47, "scheduled": 1}
    assert len(jobs) == 51
    assert conclude(client, held).status_code == 200
    assert CliRunner().invoke(main, ["check", "--store", url]).exit_code == 0


def test_a_dump_restored_into_a_fresh_server_has_everything_and_later_leases_are_refused(serve, database, tmp_path):
    dump = tmp_path / "holdfast.dump"
    with worked_on(serve, database, tmp_path / "a") as (client, held):
        subprocess.run([client_program("pg_dump"), "-Fc", "-n", "holdfast", "-f", dump, database.url()], check=True, timeout=60)
        (later,) = lease(client, "q", lease_ms=600_000)
        unknown = push(client, "q", "after the dump")
    with postgres(tmp_path / "fresh", settings={"fsync": "off"}) as fresh:
        command = [
            client_program("pg_restore"),
            "--no-owner",
            "--role=holdfast",
            "--exit-on-error",
            "-d",
            fresh.url("postgres"),
            dump,
        ]
        subprocess.run(command, check=True, timeout=60)
        fresh.sql(AHEAD, database="holdfast")
        with serve("--store", fresh.url(), at=tmp_path / "b").client() as client:
            is_all_there(client, held, fresh.url())
            assert client.get(f"/v1/jobs/{unknown['id']}").status_code == 404
            assert client.get(f"/v1/jobs/{later['id']}").json()["state"] == "ready"
            assert conclude(client, later).status_code == 409  # given after the dump: nobody here knows of it
            (again, *_) = lease(client, "q", max=1)
            assert again["id"] == later["id"]
            assert conclude(client, later).status_code == 409  # the secret is another, whatever the numbers
            assert push(client, "q", "new")["id"] > unknown["id"]
            fence = int(later["lease"]["token"].split(".")[2])
            assert int(again["lease"]["token"].split(".")[2]) > fence


def test_a_base_backup_with_the_archived_log_is_restored_to_the_moment_before_a_mistake(serve, database, tmp_path):
    copy = PostgresServer(tmp_path / "copy", name="copy", settings={"fsync": "off"})
    with worked_on(serve, database, tmp_path / "a") as (client, held):
        origin = f"host=127.0.0.1 port={database.port} user=replicator"
        give(tmp_path)
        command = [find()["pg_basebackup"], f"--dbname={origin}", f"--pgdata={copy.data}", "--checkpoint=fast", "--no-sync"]
        run([*unprivileged(find().folder, copy.data), *command])
        after = push(client, "q", "after the backup")
        (late,) = lease(client, "q", lease_ms=600_000)
        moment = database.value("SELECT clock_timestamp()")
        assert client.post("/v1/queues/q/purge", json={"states": ["ready"]}).status_code == 200
        lost = push(client, "q", "after the mistake")
        switched = database.value("SELECT pg_walfile_name(pg_switch_wal())")
        database.sql("CHECKPOINT")
        wait_until((database.archive / switched).exists, 20, "the log is not archived")
    (copy.data / "recovery.signal").touch()
    give(copy.data / "recovery.signal")
    with (copy.data / "postgresql.auto.conf").open("a") as file:
        file.write(
            f"restore_command = 'cp {database.archive}/%f %p'\narchive_mode = 'off'\nrecovery_target_action = 'promote'\n"
        )
        file.write(f"recovery_target_time = '{moment}'\n")
    try:
        copy.start()
        wait_until(lambda: copy.is_primary, 20, "it is not promoted")
        copy.sql(AHEAD, database="holdfast")
        with serve("--store", copy.url(), at=tmp_path / "b").client() as client:
            assert client.get(f"/v1/jobs/{after['id']}").json()["state"] == "ready"
            assert conclude(client, late).status_code == 200
            assert conclude(client, held).status_code == 200
            assert client.get(f"/v1/jobs/{lost['id']}").status_code == 404
            assert push(client, "q", "new")["id"] > lost["id"]
            assert len(client.get("/v1/jobs", params={"limit": 1_000}).json()["jobs"]) == 53
        assert CliRunner().invoke(main, ["check", "--store", copy.url()]).exit_code == 0
    finally:
        copy.close()
